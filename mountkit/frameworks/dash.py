"""Dash. It is told its prefix, and is found behind the pages of the server that it makes."""

from typing import Any

from mountkit.frameworks import Framework, is_a, unless_told
from mountkit.frameworks.starlette import APP


def _find(app: Any) -> Any:
    """Its pages are its methods: Flask and Quart list them as views, FastAPI as routes."""
    views = (getattr(app, "view_functions", None) or {}).values()
    endpoints = (getattr(route, "endpoint", None) for route in getattr(app, "routes", None) or ())
    owners = (getattr(page, "__self__", None) for page in (*views, *endpoints))
    return next((one for one in (app, *owners) if is_a(one, "dash", "Dash")), None)


def _find_on_fastapi(app: Any) -> Any:
    """Its middleware there compares the whole path with `routes_pathname_prefix`."""
    modules = {getattr(layer.cls, "__module__", "") for layer in app.user_middleware}
    return app if "dash.backends._fastapi" in modules else None


DASH = Framework(
    name="Dash",
    find=_find,
    advice=unless_told(
        lambda app: app.config.requests_pathname_prefix,
        "Dash asks for its scripts below requests_pathname_prefix={told!r}; write "
        "Dash(requests_pathname_prefix='{prefix}/', routes_pathname_prefix='/')",
    ),
)
ON_FASTAPI = Framework(name="Dash on FastAPI", app=APP, find=_find_on_fastapi, convention="strip")
