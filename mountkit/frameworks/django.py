"""Django, as ASGI and as WSGI. Its `STATIC_URL` keeps the first prefix that it sees."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from mountkit.frameworks import Framework, Reversal, is_a, is_told, loaded, within

_HANDLER = ("django.core.handlers.base", "BaseHandler")
_HANDLERS = ("ASGIStaticFilesHandler", "StaticFilesHandler", "WhiteNoise", "ServeStatic")
_MIDDLEWARE = ("WhiteNoiseMiddleware", "ServeStaticMiddleware")


def _find(app: Any) -> Any:
    """The app with its wrappers, as one of them may serve the static files."""
    return app if any(is_a(one, *_HANDLER) for one in within(app)) else None


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
    if not prefix or static is None or "django.contrib.staticfiles" not in settings.INSTALLED_APPS:
        return ""
    layers = {cls.__name__ for cls in _middleware(settings)}.intersection(_MIDDLEWARE)
    serves = layers or any(type(one).__name__ in _HANDLERS for one in within(app))
    is_relative = not static.startswith(("/", "http:", "https:"))
    if not is_relative and not (serves and static.startswith("/")):
        return ""
    fixed = vars(settings).get("STATIC_URL")
    is_right = f"{prefix}/" in (fixed or static)
    if is_relative:  # it gets a script name that is forced, unless it was read before that was set
        is_right = forced is not None and (fixed is None or is_right)
    # It compares the path below the script name, and knows only a forced one.
    own = getattr(settings, "WHITENOISE_STATIC_PREFIX", None)
    needs_name = bool(layers) and forced is None and own is None
    if is_right and not needs_name:
        return ""
    return (
        f"Django has STATIC_URL={static!r}"
        + ", to which it adds the prefix that it sees first, or none" * is_relative
        + f"; write STATIC_URL={f'{prefix}/static/'!r}"
        + f" and FORCE_SCRIPT_NAME={prefix!r}, as WhiteNoise needs both" * needs_name
    )


def _middleware(settings: Any) -> Iterator[type]:
    """The classes of the middleware, with their bases."""
    for name in settings.MIDDLEWARE:
        module, _, attribute = name.rpartition(".")
        yield from getattr(loaded(module, attribute), "__mro__", ())


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


DJANGO = Framework(
    name="Django",
    find=_find,
    advice=_advice,
)
# Not the wrappers, which may have routes of their own.
HANDLER = Framework(
    name="Django's handler", app=_HANDLER, reversal=lambda app: Reversal(_path_for, _names)
)
