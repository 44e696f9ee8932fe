"""Starlette."""

from typing import Any

from mountkit.frameworks.base import Framework, SessionCookie, is_a, loaded

_APP = ("starlette.applications", "Starlette")


def middleware_of(app: Any) -> list[Any]:
    """The middleware that was added to an app of Starlette or FastAPI. Other frameworks have an
    attribute of this name that holds something else."""
    found: list[Any] = app.user_middleware if is_a(app, *_APP) else []
    return found


def _session_cookie(app: Any) -> SessionCookie | None:
    """That of `SessionMiddleware`."""
    for layer in middleware_of(app):
        if layer.cls is loaded("starlette.middleware.sessions", "SessionMiddleware"):
            options = layer.kwargs
            if options.get("path", "/") == "/":
                name = options.get("session_cookie", "session")
                return SessionCookie(name, "starlette", str(options.get("secret_key")))
    return None


STARLETTE = Framework(
    name="Starlette",
    app=_APP,
    # `route_root_path` is of releases before 0.35. Not "starlette.opentelemetry", which keeps a
    # mounted app from opening a second span, nor the limit of a body, which holds below too.
    left_keys="app app_root_path endpoint path_params route route_root_path router "
    "starlette.exception_handlers",
    session_cookie=_session_cookie,
)
