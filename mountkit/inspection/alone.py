"""One mount of an app alone, wherever in it the mount stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.types import Scope

from mountkit.inspection.explanations import Explanation, explain_scope
from mountkit.inspection.layers import candidates_of, layers_of
from mountkit.lifespans.options import Timeouts
from mountkit.serving.alone import Alone, named
from mountkit.serving.mounts import Mount
from mountkit.types import ASGI3Application


def only(app: Any, which: str | Mount) -> ASGI3Application:
    """As `Dispatcher.only`, for any app that `mountkit.explain` looks into.

        TestClient(only(fastapi_app, "/shop")).get("/shop/cart")

    The middleware of the apps above runs for these requests, their lifespans do not; none can be
    added from now on. A mount in a mounted app has both paths: `"/eu/shop"`.
    """
    mounts = named(which, _mounts_in(app, "", ()))

    def takes(scope: Scope) -> bool:
        found: Explanation | None = explain_scope(app, scope)
        while found is not None and not any(found.mount is mount for mount in mounts):
            found = found.below
        return found is not None

    return Alone(app, mounts, takes, Timeouts())


def _mounts_in(app: Any, prefix: str, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Every mount, however deep, with the path of what stands above it."""
    for layer in layers_of(app, keep=True, above=above):
        for route in candidates_of(layer):
            if isinstance(route, Mount):
                yield prefix, route
            target = getattr(route, "target", getattr(route, "app", None))
            path = prefix + getattr(route, "path", "")
            yield from _mounts_in(target, path, (*above, *layer.passed))
