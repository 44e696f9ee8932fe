"""Apps that have to be told their prefix, and whether they were told the right one.

Recognised by class, without an import: an instance can only be met if its module was imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


def advice(app: Any, prefix: str) -> str:
    """What an app that is known was told of its prefix and should have been told.

    Args:
        prefix: where it is mounted, without a slash at the end. More may come before it: what a
            proxy has.

    Returns:
        `""` if all is well, or the app is not known.
    """
    for look in (_dash, _datasette, _wsgidav, _chainlit, _mesop, _django):
        found = look(app, prefix)
        if found:
            return found
    return ""


def loaded(module: str, name: str) -> Any:
    """A class or object of a module, if that was imported."""
    return getattr(sys.modules.get(module), name, None)


def is_a(app: Any, module: str, name: str) -> bool:
    """Whether it is an instance of a class that may not have been imported."""
    cls = loaded(module, name)
    return isinstance(cls, type) and isinstance(app, cls)


def middleware_of(app: Any) -> list[Any]:
    """The middleware of a Starlette or FastAPI app; other frameworks have an attribute of this name
    that holds something else."""
    if not is_a(app, "starlette.applications", "Starlette"):
        return []
    found: list[Any] = app.user_middleware
    return found


def inner(app: Any, *attributes: str) -> Iterator[Any]:
    """An app, and what it wraps."""
    for _ in range(8):  # a bound, should they go in a circle
        if app is None:
            return
        yield app
        found = (getattr(app, name, None) for name in attributes)
        app = next((one for one in found if one is not None), None)


def _all_within(app: Any) -> Iterator[Any]:
    """An app and whatever it wraps, in functions too."""
    pending, seen = [app], 0
    while pending and seen < 50:
        one = pending.pop(0)
        seen += 1
        yield one
        found = [getattr(one, name, None) for name in ("ds", "asgi", "app")]
        for cell in getattr(one, "__closure__", None) or ():
            try:
                found.append(cell.cell_contents)
            except ValueError:  # not filled yet
                continue
        pending += [inside for inside in found if callable(inside) or hasattr(inside, "setting")]


def _is_at(told: Any, prefix: str) -> bool:
    return isinstance(told, str) and f"/{told.strip('/')}".endswith(prefix or "/")


def _dash(app: Any, prefix: str) -> str:
    views: dict[str, Callable[..., Any]] = getattr(app, "view_functions", None) or {}
    endpoints = [getattr(route, "endpoint", None) for route in getattr(app, "routes", None) or ()]
    for one in (app, *(getattr(view, "__self__", None) for view in (*views.values(), *endpoints))):
        if is_a(one, "dash", "Dash"):
            told = one.config.requests_pathname_prefix
            if _is_at(told, prefix):
                return ""
            return (
                f"Dash asks for its scripts below requests_pathname_prefix={told!r}; write "
                f"Dash(requests_pathname_prefix={prefix + '/'!r}, routes_pathname_prefix='/')"
            )
    return ""


def _datasette(app: Any, prefix: str) -> str:
    for one in _all_within(app):
        if is_a(one, "datasette.app", "Datasette"):
            told = one.setting("base_url")
            if _is_at(told, prefix):
                return ""
            return (
                f"Datasette writes its links below base_url={told!r}; write "
                f"Datasette(settings={{'base_url': {prefix + '/'!r}}}) and "
                "Mount(convention='strip')"
            )
    return ""


def _wsgidav(app: Any, prefix: str) -> str:
    if not is_a(app, "wsgidav.wsgidav_app", "WsgiDAVApp"):
        return ""
    told = app.config.get("mount_path")
    if _is_at(told or "", prefix):
        return ""
    return (
        f"WsgiDAV writes its answers with mount_path={told!r}; write 'mount_path': {prefix!r} into "
        "its configuration"
    )


def is_chainlit(app: Any) -> bool:
    """Whether it is the one app that Chainlit has."""
    return app is not None and app is loaded("chainlit.server", "app")


def _chainlit(app: Any, prefix: str) -> str:
    told = os.environ.get("CHAINLIT_ROOT_PATH", "")
    if not is_chainlit(app) or _is_at(told, prefix):
        return ""
    return (
        f"Chainlit makes its URLs with the environment's CHAINLIT_ROOT_PATH={told!r}; set it to "
        f"{prefix!r} before chainlit is imported"
    )


def _mesop(app: Any, prefix: str) -> str:
    """Its routes carry the prefix, so that it has to be told both."""
    is_mesop = getattr(app, "__module__", "") == "mesop.server.wsgi_app"
    if not is_mesop or not prefix:
        return ""
    told = loaded("mesop.env.env", "MESOP_BASE_URL_PATH") or ""
    return (
        f"Mesop has its pages below the environment's MESOP_BASE_URL_PATH={told!r}; set it to "
        f"{prefix!r} before mesop is imported, and write Mount(convention='whole')"
    )


# Apps that write the first prefix that they see into what they keep: flask-admin into its menu,
# Flet into its page, Solara into all of its URLs, Lilya and Ravyn into the list of servers of their
# OpenAPI document.
_KEEPERS = {
    "Flet": ("flet_web.fastapi.flet_fastapi", "FastAPI"),
    "Ravyn": ("ravyn.applications", "Application"),
    "Lilya": ("lilya.apps", "BaseLilya"),
}


def keeps_first_prefix(app: Any) -> str:
    """The name of a framework whose apps are good for one prefix, if it is one's; else `""`."""
    for name, (module, cls) in _KEEPERS.items():
        if is_a(app, module, cls):
            return name
    if app is not None and app is loaded("solara.server.starlette", "app"):
        return "Solara"
    extensions = getattr(app, "extensions", None)
    has_admin = isinstance(extensions, dict) and "admin" in extensions
    return "flask-admin" if has_admin and is_a(app, "flask", "Flask") else ""


def _django(app: Any, prefix: str) -> str:
    """Django keeps the first prefix that it sees for a relative `STATIC_URL`, and none before its
    first request."""
    handler = loaded("django.core.handlers.base", "BaseHandler")
    if not isinstance(handler, type):
        return ""
    chain = list(inner(app, "application", "app"))
    if not any(isinstance(one, handler) for one in chain):
        return ""
    settings = sys.modules["django.conf"].settings
    forced = settings.FORCE_SCRIPT_NAME
    if forced is not None:
        if _is_at(forced, prefix):
            return ""
        return (
            f"Django has FORCE_SCRIPT_NAME={forced!r} and makes its URLs with it wherever it is; "
            f"write {prefix!r}, or leave it out"
        )
    # As it was written: reading the setting itself would fix it.
    static = getattr(settings._wrapped, "STATIC_URL", None)
    if "django.contrib.staticfiles" not in settings.INSTALLED_APPS or static is None:
        return ""
    serves = any(type(one).__name__ in _STATIC_HANDLERS for one in chain)
    is_relative = not static.startswith(("/", "http:", "https:"))
    if is_relative or (serves and static.startswith("/") and f"{prefix}/" not in static):
        return (
            f"Django has STATIC_URL={static!r}, to which it gives the prefix that it sees first, "
            f"or none; write STATIC_URL={f'{prefix}/static/'!r}, or FORCE_SCRIPT_NAME={prefix!r}"
        )
    return ""


_STATIC_HANDLERS = ("ASGIStaticFilesHandler", "StaticFilesHandler")


class SessionCookie(NamedTuple):
    """The cookie in which an app keeps its sessions, for the whole of a host."""

    name: str
    form: str
    secret: Any

    def is_as(self, other: SessionCookie) -> bool:
        """Whether each can read what the other has written."""
        return (self.form, self.secret) == (other.form, other.secret)


def session_cookie(app: Any) -> SessionCookie | None:
    """That of Flask and Quart, if sessions are in use, and of Starlette's `SessionMiddleware`."""
    config = getattr(app, "config", None)
    if isinstance(config, dict) and "SESSION_COOKIE_NAME" in config:
        path = config.get("SESSION_COOKIE_PATH") or config.get("APPLICATION_ROOT") or "/"
        secret = config.get("SECRET_KEY")
        if secret and path == "/":
            return SessionCookie(config["SESSION_COOKIE_NAME"], "itsdangerous", secret)
        return None
    for middleware in middleware_of(app):
        if middleware.cls is loaded("starlette.middleware.sessions", "SessionMiddleware"):
            options = middleware.kwargs
            if options.get("path", "/") == "/":
                name = options.get("session_cookie", "session")
                return SessionCookie(name, "starlette", str(options.get("secret_key")))
    return None
