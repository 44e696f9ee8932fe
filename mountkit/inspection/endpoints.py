"""What an app will do with a request, as far as its routes tell without serving it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import starlette.routing
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Scope

from mountkit.frameworks import within
from mountkit.inspection.layers import describe, describe_app, flatten, target_of


def answer_of(app: Any, scope: Scope) -> str:
    """What `app` will do: its route and endpoint, or 404, 405, a redirect; `""` if it shows no
    routes of Starlette's or FastAPI's."""
    for shown in within(app, functions=False):
        router = getattr(shown, "router", shown)
        if isinstance(router, Router):
            return _answer_of_routes(router.routes, scope)
    return ""


def _answer_of_routes(routes: Iterable[BaseRoute], scope: Scope) -> str:
    partial: Any = None
    for route in flatten(routes):
        match, found = route.matches(dict(scope))
        if match is Match.FULL:
            return answer_of_route(route, {**scope, **found})
        if match is Match.PARTIAL:
            partial = partial or route
    if partial is not None:
        return f"405: {describe(partial)} takes {', '.join(sorted(partial.methods))}"
    if scope["type"] == "websocket":
        return "403: no route takes this websocket"
    path = scope["path"]
    other = path.rstrip("/") if path.endswith("/") else f"{path}/"
    moved = {**scope, "path": other}
    if other and any(one.matches(moved)[0] is not Match.NONE for one in flatten(routes)):
        return f"307: redirected to {other!r}"
    return "404: no route takes it"


def answer_of_route(route: Any, scope: Scope) -> str:
    """The same for a route that takes the request, with the scope that it makes."""
    if isinstance(route, (starlette.routing.Mount, starlette.routing.Host)):
        return answer_of(route.app, scope)
    endpoint, name = target_of(route), getattr(route, "name", "")
    named = f", named {name!r}" if name != getattr(endpoint, "__name__", name) else ""
    return f"{describe(route)}{named}, {describe_app(endpoint)}"
