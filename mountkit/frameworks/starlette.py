"""Starlette."""

from typing import Any

from mountkit.frameworks import Framework, SessionCookie, loaded

APP = ("starlette.applications", "Starlette")


def _session_cookie(app: Any) -> SessionCookie | None:
    """That of `SessionMiddleware`."""
    known = loaded("starlette.middleware.sessions", "SessionMiddleware")
    for options in (layer.kwargs for layer in app.user_middleware if layer.cls is known):
        if options.get("path", "/") == "/":
            name = options.get("session_cookie", "session")
            return SessionCookie(name, "starlette", str(options.get("secret_key")))
    return None


STARLETTE = Framework(
    name="Starlette",
    app=APP,
    # `route_root_path` is of releases before 0.35. Not "starlette.opentelemetry", which keeps a
    # mounted app from opening a second span, nor the limit of a body, which holds below too.
    left_keys="app app_root_path endpoint path_params route route_root_path router "
    "starlette.exception_handlers",
    session_cookie=_session_cookie,
)
