"""Where an app chooses between mounts: its tables and its routers, found from outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import starlette.routing
from starlette.routing import BaseRoute, Router
from starlette.types import Scope

from mountkit.frameworks import WRAPPED, attribute_of, held_by, is_a
from mountkit.matching.tables import Table
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount
from mountkit.serving.splits import Split
from mountkit.serving.tables import MountTable
from mountkit.types import name_of, public_name

STARLETTE = ("starlette.applications", "Starlette")
_CHOOSING = (starlette.routing.Mount, starlette.routing.Host, MountTable)
# So many objects are looked at for one that leads inwards.
_MOST = 200


class Layer(NamedTuple):
    """One place where a choice is made.

    Attributes:
        label: for messages.
        table: the table that decides, or `None` where routes are tried in their order.
        routes: the mounts of the table in the order in which they are tried, or the routes.
        underneath: the app that gets what no mount takes, or `None`: the answer is 404.
        unknown_host: as for `Dispatcher`.
        passed: what a request has passed when it is here, the outermost first; this place last.
    """

    label: str
    table: Table[Any] | None
    routes: tuple[BaseRoute, ...]
    underneath: Any = None
    unknown_host: object = "default"
    passed: tuple[Any, ...] = ()

    def passes_on(self, scope: Scope) -> bool:
        """Whether the app underneath gets a request that no mount takes."""
        return self.unknown_host == "default" or self.table is None or self.table.knows_host(scope)


class Fork(NamedTuple):
    """Where the way inwards cannot be followed: an object that holds several apps, or, without any
    of them, a middleware that does not show what it wraps."""

    holder: Any
    apps: tuple[Any, ...] = ()


def chain_of(app: Any, *, keep: bool = False, above: Iterable[Any] = ()) -> Iterator[Any]:
    """What a request passes, the outermost first: wrappers, apps of Starlette's, dispatchers, the
    router, in which it ends; and `Fork`.

    Args:
        keep: have Starlette apps serve with the very middleware, and so the mounts, seen here.
        above: what holds `app`: apps that refer to it, as pages on its health do, do not wrap it.
    """
    seen = set(map(id, above))
    wrapped: Any = None  # the app whose middleware is being walked
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        yield app
        if isinstance(app, Dispatcher):
            app = app.underneath
        elif isinstance(app, Router):
            return
        elif is_a(app, *STARLETTE):
            wrapped = app
            app = app.middleware_stack or app.build_middleware_stack()
            if keep:
                wrapped.middleware_stack = app
        else:
            shown = attribute_of(app, "app")
            inner = _inner_apps(app, seen) or ([] if shown is None else [shown])
            if len(inner) > 1 or (wrapped is not None and not inner):
                yield Fork(app, tuple(inner))
            app = inner[0] if len(inner) == 1 else None if inner or not wrapped else wrapped.router


def _inner_apps(holder: Any, seen: set[int]) -> list[Any]:
    """What a wrapper holds and leads to an app that can be looked into."""
    if isinstance(holder, Split):
        return holder.apps
    found: dict[int, Any] = {}
    for name, one in held_by(holder):
        if id(one) not in seen and _leads(one, {*seen, id(holder)}):
            if name in WRAPPED:
                return [one]
            found[id(one)] = one
    return list(found.values())


def _leads(app: Any, seen: set[int]) -> bool:
    """Whether one of these, or what it wraps, can be looked into; `seen` grows."""
    if isinstance(app, (Dispatcher, Router)) or is_a(app, *STARLETTE):
        return True
    if id(app) in seen or len(seen) > _MOST:
        return False
    seen.add(id(app))
    return isinstance(app, Split) or any(_leads(one, seen) for _, one in held_by(app))


def layers_of(app: Any, *, keep: bool = False, above: Iterable[Any] = ()) -> Iterator[Layer]:
    """The places where `app` chooses between mounts, the outermost first; see `chain_of`."""
    return layers_in(chain_of(app, keep=keep, above=above))


def layers_in(chain: Iterable[Any], *, is_whole: bool = False) -> Iterator[Layer]:
    """The same of what `chain_of` has found.

    Args:
        is_whole: whether routes without a mount among them are a place, too.
    """
    passed: tuple[Any, ...] = ()
    for one in chain:
        passed += (one,)
        if isinstance(one, Dispatcher) and one.routes:
            name, mounts = type(one).__name__, tuple(one.table.mounts)
            wrapped = [app for app in passed if is_a(app, *STARLETTE)]
            below = wrapped[-1] if wrapped else one.underneath
            yield Layer(name, one.table, mounts, below, one.unknown_host, passed)
        elif isinstance(one, Router):
            routes = tuple(flatten(one.routes))
            if is_whole or any(isinstance(route, _CHOOSING) for route in routes):
                yield Layer("routes", None, routes, passed=passed)


def has_mounts(app: Any) -> bool:
    """Whether there are mounts in an app, or in one that it holds, or may be where none is seen."""
    forks = [one for one in chain_of(app) if isinstance(one, Fork)]
    return any(layers_of(app)) or any(not f.apps or any(map(has_mounts, f.apps)) for f in forks)


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
