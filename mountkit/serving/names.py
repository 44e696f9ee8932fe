"""Paths of named routes, below mounts and below apps of any framework."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, NoMatchFound

from mountkit.frameworks import reversal_of


def url_path_for(routes: Iterable[BaseRoute], name: str, /, **path_params: Any) -> URLPath:
    """The path of the first route that knows the name, as Starlette's `Router` finds it.

    Raises:
        NoMatchFound: no route does.
    """
    for route in routes:
        try:
            return route.url_path_for(name, **path_params)
        except NoMatchFound:
            continue
    raise NoMatchFound(name, path_params)


def url_path_of(app: Any, name: str, params: dict[str, Any]) -> URLPath:
    """The path of a named route of an app, whatever its framework.

    Raises:
        NoMatchFound: it has none, or mountkit does not know how its framework names routes.
    """
    own = getattr(app, "url_path_for", None)
    if own is not None and not isinstance(app, BaseRoute):  # as Starlette: a route is not a router
        url: URLPath = own(name, **params)
        return url
    reversal = reversal_of(app)
    if reversal is None:
        return url_path_for(getattr(app, "routes", None) or (), name, **params)
    try:
        return URLPath(reversal.path_for(name, params), "http")
    except Exception:  # each framework has its own
        raise NoMatchFound(name, params) from None
