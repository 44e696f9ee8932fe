"""The URL of a named route of an app that is none of Starlette's family.

Apps are recognised by what their frameworks document; none of these is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote


class Reversal(NamedTuple):
    """How to ask an app for its own URLs.

    Attributes:
        path_for: the path below the app, decoded, from the name of a route and its parameters;
            raises if there is no such route, or not with these parameters.
        names: the names that the app has.
    """

    path_for: Callable[[str, Mapping[str, Any]], str]
    names: Callable[[], Iterable[str]]


def reversal_of(app: Any) -> Reversal | None:
    """How to ask `app`, or `None` if it is not known how."""
    if hasattr(getattr(app, "url_map", None), "bind"):
        return _of_werkzeug(app.url_map)
    if _is_django(app):
        return _of_django()
    if hasattr(app, "route_reverse"):
        return _of_litestar(app)
    return None


def _of_werkzeug(url_map: Any) -> Reversal:
    """Flask, and Quart, by the endpoint: `index`, `blueprint.index`, `static`."""
    adapter = url_map.bind("localhost")

    def path_for(name: str, params: Mapping[str, Any]) -> str:
        # Those that no rule knows would go into a query.
        if not any(rule.arguments.issuperset(params) for rule in url_map.iter_rules(name)):
            raise LookupError(name)
        return unquote(adapter.build(name, dict(params)))

    return Reversal(path_for, lambda: sorted({rule.endpoint for rule in url_map.iter_rules()}))


def _of_litestar(app: Any) -> Reversal:
    """Litestar, by the `name=` of the handler."""

    def names() -> Iterable[str]:
        for route in app.routes:
            handlers = getattr(route, "route_handlers", None) or (route.route_handler,)
            yield from (handler.name for handler in handlers if handler.name)

    return Reversal(lambda name, params: str(app.route_reverse(name, **params)), names)


def _is_django(app: Any) -> bool:
    base = sys.modules.get("django.core.handlers.base")
    return base is not None and isinstance(app, base.BaseHandler)


def _of_django() -> Reversal:
    """Django, by the name of the pattern: `index`, `admin:index`."""
    from django.urls import get_resolver, get_script_prefix, reverse, set_script_prefix

    def path_for(name: str, params: Mapping[str, Any]) -> str:
        before = get_script_prefix()
        set_script_prefix("/")
        try:
            return unquote(reverse(name, kwargs=dict(params)))
        finally:
            set_script_prefix(before)

    def names(resolver: Any = None, namespace: str = "") -> Iterable[str]:
        resolver = resolver or get_resolver()
        yield from (namespace + key for key in resolver.reverse_dict if isinstance(key, str))
        for key, (_, inner) in resolver.namespace_dict.items():
            yield from names(inner, f"{namespace}{key}:")

    return Reversal(path_for, names)
