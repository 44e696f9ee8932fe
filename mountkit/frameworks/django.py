"""Django, as ASGI and as WSGI. Its `STATIC_URL` keeps the first prefix that it sees."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from mountkit.frameworks import Framework, Reversal, inner, is_a, is_told

_HANDLER = ("django.core.handlers.base", "BaseHandler")
_STATIC_HANDLERS = ("ASGIStaticFilesHandler", "StaticFilesHandler")


def _find(app: Any) -> Any:
    """The app with its wrappers, as one of them may serve the static files."""
    return app if any(is_a(one, *_HANDLER) for one in inner(app, "application", "app")) else None


def _advice(app: Any, prefix: str) -> str:
    settings = sys.modules["django.conf"].settings
    forced = settings.FORCE_SCRIPT_NAME
    if forced is not None and not is_told(forced, prefix):
        return (
            f"Django has FORCE_SCRIPT_NAME={forced!r} and makes its URLs with it wherever it is "
            f"mounted; write {prefix!r}, or leave it out"
        )
    # As it was written: to read the setting would fix it (`LazySettings.__getattr__`).
    static: str | None = getattr(settings._wrapped, "STATIC_URL", None)
    has_files = "django.contrib.staticfiles" in settings.INSTALLED_APPS
    if forced is not None or static is None or not has_files:
        return ""
    chain = inner(app, "application", "app")
    serves = any(type(one).__name__ in _STATIC_HANDLERS for one in chain)
    is_relative = not static.startswith(("/", "http:", "https:"))
    if is_relative or (serves and static.startswith("/") and f"{prefix}/" not in static):
        return (
            f"Django has STATIC_URL={static!r}, to which it adds the prefix that it sees first, or "
            f"none; write STATIC_URL={f'{prefix}/static/'!r}, or FORCE_SCRIPT_NAME={prefix!r}"
        )
    return ""


def _path_for(name: str, params: Mapping[str, Any]) -> str:
    """By the name of the pattern, `index`, `admin:index`."""
    from django.urls import get_script_prefix, reverse

    path = unquote(reverse(name, kwargs=dict(params)))
    return "/" + path.removeprefix(get_script_prefix())


def _names(resolver: Any = None, namespace: str = "") -> Iterable[str]:
    from django.urls import get_resolver

    resolver = resolver or get_resolver()
    yield from (namespace + key for key in resolver.reverse_dict if isinstance(key, str))
    for key, (_, below) in resolver.namespace_dict.items():
        yield from _names(below, f"{namespace}{key}:")


_APP = "pass get_asgi_application() or get_wsgi_application()"
DJANGO = Framework(
    name="Django",
    find=_find,
    advice=_advice,
    parts={("django.urls.resolvers", name): _APP for name in ("URLPattern", "URLResolver")},
)
# Not the wrappers, which may have routes of their own.
HANDLER = Framework(
    name="Django's handler", app=_HANDLER, reversal=lambda app: Reversal(_path_for, _names)
)
