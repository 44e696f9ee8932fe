"""Starlette."""

from typing import Any

from mountkit.frameworks import Framework, SessionCookie, cells_of, items_of, loaded

APP = ("starlette.applications", "Starlette")


def _session_cookie(app: Any) -> SessionCookie | None:
    """That of `SessionMiddleware`."""
    known = loaded("starlette.middleware.sessions", "SessionMiddleware")
    for options in (layer.kwargs for layer in app.user_middleware if layer.cls is known):
        if options.get("path", "/") == "/":
            name = options.get("session_cookie", "session")
            return SessionCookie(name, "starlette", str(options.get("secret_key")))
    return None


def _starts_nothing(app: Any) -> bool:
    """Whether its lifespan is the default one, or FastAPI's of several routers, each with that."""
    contexts = [app.router.lifespan_context]
    for context in contexts:
        if type(context).__name__ == "_DefaultLifespan":
            router = context._router
            if items_of(router, "on_startup") or items_of(router, "on_shutdown"):
                return False
        elif getattr(context, "__module__", "") == "fastapi.routing":
            contexts += cells_of(context)
        else:
            return False
    return True


STARLETTE = Framework(
    name="Starlette",
    app=APP,
    # `route_root_path` is of releases before 0.35. Not "starlette.opentelemetry", which keeps a
    # mounted app from opening a second span, nor the limit of a body, which holds below too.
    left_keys="app app_root_path endpoint path_params route route_root_path router "
    "starlette.exception_handlers",
    session_cookie=_session_cookie,
    starts_nothing=_starts_nothing,
)
