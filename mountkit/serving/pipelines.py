"""What a mount is made of: the app as an ASGI app, its layers, its lifespan, its scope."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from mountkit.exceptions import PatternError, shown
from mountkit.frameworks import convention_of, first
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import Lifespan
from mountkit.matching.rules import Rule
from mountkit.middleware.redirects import LocationMiddleware
from mountkit.serving.scopes import (
    BUILDERS,
    Builder,
    Convention,
    divided_scope,
    routes_scope,
    shared_scope,
    unnamed_scope,
)
from mountkit.serving.tables import MountTable
from mountkit.wsgi.detection import Interface, adapt, is_built


def check_one_of(option: str, value: Any, known: Sequence[Any]) -> None:
    """Refuse a value that is not one of those that are known."""
    if value not in known:
        choice = ", ".join(map(repr, known))
        raise PatternError(f"{option}={value!r} is not known; write one of {choice}.")


def asgi_app(
    rule: Rule,
    app: Any,
    routes: list[BaseRoute] | None,
    interface: Interface | Literal["auto"],
    bridge: Callable[[Any], ASGIApp] | None,
) -> tuple[ASGIApp, Interface]:
    """What a mount serves, as an ASGI app, and what it was. Routes become a router in which the
    mounts among them are one table, after the others.

    Raises:
        PatternError: it has nothing to serve, or an app and routes.
        InterfaceError: `app` is not an application, or it does not tell which kind it is.
    """
    if routes is None:
        if app is None:
            raise PatternError(f"Mount({rule!r}) has nothing to serve; pass app= or routes=.")
        if hasattr(type(app), "exposures"):
            raise PatternError(f"{app!r} is a mount, not an application; write routes=[Mount(…)].")
        return adapt(app, interface, bridge)
    if app is not None:
        raise PatternError(f"Mount({rule!r}) has app= and routes=; pass one of them.")
    mounts = [route for route in routes if hasattr(route, "exposures")]
    others = [route for route in routes if route not in mounts]
    return Router([*others, MountTable(mounts)] if mounts else others), "asgi3"


def with_layers(
    app: ASGIApp, middleware: Sequence[Middleware] | None, max_body_size: int | None, prefix: str
) -> ASGIApp:
    """The app with its layers, the first outermost; composed once, as Starlette composes them."""
    for cls, args, kwargs in reversed(_checked_layers(middleware or ())):
        app = cls(app, *args, **kwargs)
    if max_body_size is not None:
        app = RequestBodyLimitMiddleware(app, max_body_size)
    return app if prefix.isascii() else LocationMiddleware(app)


def _checked_layers(middleware: Any) -> list[Middleware]:
    """The items of `middleware=`, with the classes to build."""
    is_list = isinstance(middleware, Iterable) and not isinstance(middleware, Middleware)
    items: list[Any] = list(middleware) if is_list else [middleware]
    for item in items:
        made = item.cls if isinstance(item, Middleware) else item
        if not is_list or made is item or is_built(made):
            name = getattr(made if inspect.isclass(made) else type(made), "__name__", "")
            raise PatternError(
                f"middleware={shown(middleware)} is not a list of Middleware objects with classes; "
                f"write middleware=[Middleware({name}, …)], from starlette.middleware."
            )
    return items


def checked_routes(routes: Any) -> list[BaseRoute] | None:
    """The items of `routes=`."""
    if routes is None:
        return None
    items = list(routes) if isinstance(routes, Iterable) else [routes]
    if not isinstance(routes, Iterable) or not all(isinstance(item, BaseRoute) for item in items):
        raise PatternError(
            f"routes={shown(routes)} is not a list of routes; write routes=[Route('/path', view)], "
            "or pass an application as app=."
        )
    return items


def child_of(
    app: Any,
    asgi: ASGIApp,
    mount: Any,
    lifespan: Lifespan | Literal["on", "off"],
    interface: Interface,
) -> Child:
    """The app of a mount with its lifespan."""
    options: dict[str, Any] = {"has_lifespan": lifespan != "off" and interface != "wsgi"}
    if isinstance(lifespan, Lifespan):
        options["lifespan"] = lifespan
    else:
        check_one_of("lifespan", lifespan, ("on", "off"))
    if interface == "wsgi" and hasattr(asgi, "close"):  # a bridge that has threads
        options["close"] = asgi.close
    if hasattr(type(app), "named_after"):  # it logs under the name of its mount
        app.named_after(mount.name or mount.label)
    place = (mount.label, mount.rule.where)
    return Child(app, asgi, mount.where, place=place, **options)


def chosen_convention(convention: Convention | None, app: ASGIApp, prefix: str) -> Convention:
    """The convention that was asked for, else the one that the app is known to need."""
    if convention is None:
        return convention_of(app, prefix) or "spec"
    check_one_of("convention", convention, tuple(BUILDERS))
    return convention


def builder_of(
    convention: Convention,
    app: ASGIApp,
    child: Child | None,
    prefix: str,
    given: Convention | None,
) -> Builder:
    """What makes the app's scope.

    Args:
        given: the convention that was asked for.
    """
    if isinstance(app, Router):
        return routes_scope
    build = BUILDERS[convention]
    if given is None and convention != "spec" and (divided := first("hands_on", app)):
        is_own, other = divided
        build = divided_scope(build, BUILDERS[convention_of(other, prefix) or "spec"], is_own)
    if first("refuses_params", app):
        build = unnamed_scope(build)
    share = () if child is None else tuple(child.lifespan.share)
    return shared_scope(build, share) if share else build
