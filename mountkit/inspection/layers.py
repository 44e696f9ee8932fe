"""Where an app chooses between mounts: its tables and its routers, found from outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import starlette.routing
from starlette.routing import BaseRoute, Router
from starlette.types import Scope

from mountkit.frameworks import is_a
from mountkit.matching.tables import Table
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount
from mountkit.serving.splits import Split
from mountkit.serving.tables import MountTable
from mountkit.types import name_of, public_name


class Layer(NamedTuple):
    """One place where a choice is made.

    Attributes:
        label: for messages.
        table: the table that decides, or `None` where routes are tried in their order.
        routes: the mounts of the table in the order in which they are tried, or the routes.
        underneath: the app that gets what no mount takes, or `None`: the answer is 404.
        unknown_host: as for `Dispatcher`.
    """

    label: str
    table: Table[Any] | None
    routes: tuple[BaseRoute, ...]
    underneath: Any = None
    unknown_host: object = "default"

    def passes_on(self, scope: Scope) -> bool:
        """Whether the app underneath gets a request that no mount takes."""
        return self.unknown_host == "default" or self.table is None or self.table.knows_host(scope)


def layers_of(app: Any, *, keep: bool = False) -> Iterator[Layer]:
    """The places where `app` chooses between mounts, the outermost first.

    Args:
        keep: have Starlette apps serve with the very middleware, and so the mounts, seen here.
    """
    seen: set[int] = set()
    wrapped: Any = None  # the app whose middleware is being walked
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        if isinstance(app, Dispatcher):
            name, mounts, below = type(app).__name__, tuple(app.table.mounts), app.underneath
            if app.routes:
                yield Layer(name, app.table, mounts, wrapped or below, app.unknown_host)
            app = below
        elif isinstance(app, Router):
            routes = tuple(flatten(app.routes))
            if any(isinstance(route, (starlette.routing.Mount, MountTable)) for route in routes):
                yield Layer("routes", None, routes)
            return
        elif is_a(app, "starlette.applications", "Starlette"):
            wrapped = app
            app = app.middleware_stack or app.build_middleware_stack()
            if keep:
                wrapped.middleware_stack = app
        else:
            app = getattr(app, "app", None)


def flatten(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes that a router tries, with those of FastAPI's included routers in their place."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            yield from (getattr(one, "starlette_route", None) or one for one in contexts())


def candidates_of(layer: Layer) -> Iterator[BaseRoute]:
    """The routes of a layer, with the mounts of each `MountTable` in its place; a mount of several
    hosts is one."""
    for route in layer.routes:
        routes = route.table.mounts if isinstance(route, MountTable) else (route,)
        yield from (one for one in routes if getattr(one, "below", "") is not None)


def target_of(route: Any) -> Any:
    """The app behind a mount or a host, the endpoint of a route, or else the route itself."""
    if isinstance(route, Mount):
        return route.target
    is_nested = isinstance(route, (starlette.routing.Mount, starlette.routing.Host))
    return route.app if is_nested else getattr(route, "endpoint", route)


def describe(route: Any) -> str:
    """A route in a few words: `Mount('/api', when=Header('x', '2'))`."""
    if hasattr(route, "rule"):  # a mount, or a path that it exposes
        return f"Mount({route.rule!r})"
    path = getattr(route, "path", None) or getattr(route, "host", "")
    # FastAPI's own objects for routes of an included router stand for these.
    return f"{public_name(type(getattr(route, 'original_route', route)))}({path!r})"


def describe_app(app: Any) -> str:
    """An app in a word or two: its class, its function's name, a split's shares."""
    return repr(app) if isinstance(app, Split) else name_of(app)
