"""What stands in the wrong place: middleware behind mounts that need it, WSGI apps that nothing
bridges, mounts that nothing starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import starlette.routing
from starlette.middleware.cors import CORSMiddleware

from mountkit.exceptions import InterfaceError
from mountkit.frameworks import is_a, is_known, starts_nothing, within
from mountkit.inspection.layers import STARLETTE, Fork, Layer, describe, describe_app
from mountkit.lifespans.children import children_of, mounts_of, starts_apps
from mountkit.lifespans.middleware import LifespanMiddleware
from mountkit.matching.findings import Finding, listed, shown
from mountkit.middleware.forwarded import ForwardedMiddleware
from mountkit.serving.dispatchers import DispatchMiddleware
from mountkit.serving.mounts import Mount
from mountkit.wsgi.detection import recognise

_PROXIES = ("uvicorn.middleware.proxy_headers", "ProxyHeadersMiddleware")
# Of other apps it cannot be seen whether they add CORS headers.
_PLAIN = (STARLETTE, ("starlette.routing", "Router"))
_WITH_CORS = {
    ("flask.sansio.app", "App"): ("flask_cors", "quart_cors"),
    ("django.core.handlers.base", "BaseHandler"): ("corsheaders",),
}
_STARTS_NOTHING = ("Django", "Starlette's files", "Starlette's router", "mountkit")


def is_cors(layer: Any) -> bool:
    """Whether this is Starlette's `CORSMiddleware`, or one that is named like it."""
    cls = layer if isinstance(layer, type) else type(layer)
    return issubclass(cls, CORSMiddleware) or "cors" in cls.__name__.lower()


def has_cors(app: Any) -> bool:
    """Whether CORS headers are added in an app, as far as can be seen."""
    apps = [*within(app)]
    added = [layer for one in apps for layer in getattr(one, "user_middleware", ())]
    return any(map(is_cors, [*apps, *(getattr(layer, "cls", None) for layer in added)]))


def _lacks_cors(mount: Mount) -> bool:
    apps = [*within(mount.app)]
    readable = [*_PLAIN, *(at for at, names in _WITH_CORS.items() if not {*names} & {*sys.modules})]
    return not has_cors(mount.app) and any(is_a(one, *at) for one in apps for at in readable)


def _is_forwarded(layer: Any) -> bool:
    return isinstance(layer, ForwardedMiddleware) or is_a(layer, *_PROXIES)


def _lacks_forwarded(mount: Mount) -> bool:
    return not any(map(_is_forwarded, within(mount.app)))


def check_order(
    chain: Sequence[Any], layers: Sequence[Layer], above: Sequence[Any]
) -> Iterator[Finding]:
    """Middleware that the mounts of a table need, and that stands behind them."""
    for layer in layers:
        if layer.table is None:
            continue
        at = len(layer.passed) - 1
        front = (*above, *chain[:at])
        kinds = [
            (_is_forwarded, _lacks_forwarded, "do not see what the proxy says of the client"),
            (is_cors, _lacks_cors, "have no CORS headers, and no answers to preflights"),
        ]
        for is_kind, lacks, what in kinds[: 1 + isinstance(chain[at], DispatchMiddleware)]:
            behind = [one for one in chain[at + 1 :] if is_kind(one)]
            rules = [one.rule for one in layer.routes if isinstance(one, Mount) and lacks(one)]
            if behind and rules and not any(map(is_kind, front)):
                text = (
                    f"{type(behind[0]).__name__} stands behind {layer.label}, whose mounts {what}: "
                    f"{listed(map(shown, rules))}. Let it stand in front; what app.add_middleware "
                    "adds last is the outermost."
                )
                yield Finding("behind-mounts", text, tuple(rules))


def check_foreign(route: Any) -> Iterator[Finding]:
    """A mount of Starlette's, which calls its app as an ASGI 3 one, whatever it is."""
    app, interface = getattr(route, "_base_app", route.app), "asgi3"
    with suppress(InterfaceError):
        interface = recognise(app)
    if interface == "asgi3":
        return
    host = getattr(route, "host", None)
    args = f"'/', …, host={host!r}" if host else f"{route.path or '/'!r}, …"
    text = (
        f"Starlette's {describe(route)} holds {_KINDS[interface]} app ({describe_app(app)}) and "
        "calls it as an ASGI one, which is a TypeError at each request; write "
        f"app.router.routes.append(mountkit.Mount({args}))."
    )
    yield Finding("not-bridged", text)


_KINDS = {"wsgi": "a WSGI", "asgi2": "an ASGI 2"}


def check_fork(fork: Fork) -> Iterator[Finding]:
    """A note where one could not look."""
    if not fork.apps:
        text = (
            f"{describe_app(fork.holder)} does not show the app that it wraps, so the middleware "
            "behind it was not looked into; let it keep that in an attribute, self.app."
        )
        yield Finding("not-looked-into", text)


def check_started(chain: Sequence[Any]) -> Iterator[Finding]:
    """Mounts among the routes of an app whose server, or parent, starts nothing but the app."""
    owners = [at for at, one in enumerate(chain) if is_a(one, *STARLETTE)]
    at = owners[-1] if owners else len(chain) - 1
    if not chain or any(getattr(one, "has_lifespans", False) for one in chain[at + 1 :]):
        return
    if any(isinstance(one, LifespanMiddleware) and one.app is chain[at] for one in chain[:at]):
        return
    routes = chain[at].routes if isinstance(chain[-1], starlette.routing.Router) else ()
    found = [one for one in children_of(routes) if one.has_lifespan and _may_start(one.app)]
    rules = [one.rule for one in mounts_of(routes) if any(one.child is child for child in found)]
    if found:
        names = listed(child.name for child in found)
        text = (
            f"{names}: nothing runs the lifespan, as Starlette does so for none of the apps among "
            "an app's routes. Write app.add_middleware(mountkit.LifespanMiddleware)."
        )
        yield Finding("never-started", text, tuple(rules))


def _may_start(app: Any) -> bool:
    """Whether an app has something to start, as far as is known."""
    for one in within(app):
        if is_a(one, *STARLETTE):
            return starts_apps(app) or not starts_nothing(one)
    return starts_apps(app) or is_known(app, but=_STARTS_NOTHING)
