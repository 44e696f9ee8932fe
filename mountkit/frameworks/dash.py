"""Dash. It is told its prefix, and is found behind the pages of the server that it makes."""

from typing import Any

from mountkit.frameworks import Framework, Special, is_a, is_told, items_of, loaded
from mountkit.frameworks.starlette import APP


def _find(app: Any) -> Any:
    """Its pages are its methods: Flask and Quart list them as views, FastAPI as routes."""
    if loaded("dash", "Dash") is None:
        return None
    views = getattr(app, "view_functions", None)
    pages = [*views.values()] if isinstance(views, dict) else items_of(app, "routes")
    owners = (getattr(getattr(page, "endpoint", page), "__self__", None) for page in pages)
    return next((one for one in (app, *owners) if is_a(one, "dash", "Dash")), None)


def _find_on_fastapi(app: Any) -> Any:
    """Its middleware there compares the whole path with `routes_pathname_prefix`."""
    modules = {getattr(layer.cls, "__module__", "") for layer in app.user_middleware}
    return app if "dash.backends._fastapi" in modules else None


def _convention(app: Any, prefix: str) -> Special | None:
    """Its routes hold the prefix (`url_base_pathname`), and its server has no others."""
    routes = app.config.routes_pathname_prefix
    rules = getattr(app.server, "url_map", None)
    own = items_of(app.server, "routes") if rules is None else [*rules.iter_rules()]
    # Not the pages that FastAPI adds by itself.
    paths = [one.path for one in own if getattr(one, "include_in_schema", False)]
    paths += [one.rule for one in own if hasattr(one, "rule")]
    alone = all(path.startswith((routes, "/static/")) for path in paths)
    return "whole" if prefix and alone and f"{prefix}/" in routes else None


def _advice(app: Any, prefix: str) -> str:
    told, routes = app.config.requests_pathname_prefix, app.config.routes_pathname_prefix
    if is_told(told, f"{prefix}{routes}".rstrip("/")):
        return ""
    if routes.startswith(f"{prefix}/"):
        routes = routes[len(prefix) :]
    return (
        f"Dash asks for its scripts below requests_pathname_prefix={told!r}; write "
        f"Dash(requests_pathname_prefix={prefix + routes!r}, routes_pathname_prefix={routes!r})"
    )


DASH = Framework(name="Dash", find=_find, advice=_advice, convention=_convention)
ON_FASTAPI = Framework(name="Dash on FastAPI", app=APP, find=_find_on_fastapi, convention="strip")
