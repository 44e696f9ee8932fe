"""One mount, several apps, each with a share of the requests: canaries and A/B tests."""

from __future__ import annotations

import hashlib
import math
import random
import re
import sys
from bisect import bisect
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.exceptions import MountkitError, PatternError, shown
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT, Timeouts
from mountkit.lifespans.runners import LifespanRunner
from mountkit.locations import encode_path
from mountkit.matching.callers import call_site
from mountkit.matching.conditions import Cookie, Header
from mountkit.middleware.exchanges import has_left
from mountkit.serving.errors import annotated
from mountkit.serving.flights import Flight
from mountkit.serving.routes import TRACING, Route, watch
from mountkit.tasks import is_outside, reraise
from mountkit.types import Application
from mountkit.wsgi.detection import adapt

_COOKIE_VALUE = re.compile(r"[A-Za-z0-9._-]+")


class _Branch(NamedTuple):
    """What the route shows of an app of a split."""

    path_format: str
    name: str


class Split:
    """An app that sends each request to one of several apps, by weight.

        Mount("/api", Split({"stable": (v1, 95), "canary": (v2, 5)}, sticky_cookie="lane"))

    Args:
        apps: by name, an ASGI or WSGI app and its weight, a number from 0. An app gets its
            weight divided by the sum of all (Gateway API, `backendRefs.weight`); weight 0
            gets nothing.
        sticky_cookie: the name of a cookie that keeps a client with its first app; it holds the
            app's name. If that app has weight 0, or is gone, the client gets another.
        sticky_header: the name of a header; requests with the same value go to the same app,
            as long as the weights stay. Without that header the choice is random.
        seed: makes every choice repeatable.

    Raises:
        PatternError: an app has no weight, or one that is not a number from 0; or no weight is
            above 0.
    """

    has_lifespans = True  # for `lifespans.children.starts_apps`

    def __init__(
        self,
        apps: Mapping[str, tuple[Application, float]],
        *,
        sticky_cookie: str | None = None,
        sticky_header: str | None = None,
        seed: int | None = None,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
    ) -> None:
        if not isinstance(apps, Mapping) or not all(map(_is_pair, apps.values())):
            raise PatternError(
                f"{shown(apps)} is not a mapping of names to apps with weights; write "
                "Split({'stable': (v1, 95), 'canary': (v2, 5)})."
            )
        self.weights: dict[str, float] = {name: weight for name, (_, weight) in apps.items()}
        _check_weights(self.weights)
        for name in self.weights:
            if not _COOKIE_VALUE.fullmatch(name):
                raise PatternError(
                    f"Name {name!r} of an app cannot stand in a cookie; use letters, digits, "
                    "'.', '_' and '-'."
                )
        if sticky_cookie is not None and sticky_header is not None:
            raise PatternError("A split is sticky by a cookie or by a header; choose one.")
        where = call_site()
        self._children = {name: _child(name, app, where) for name, (app, _) in apps.items()}
        self._names = [name for name, weight in self.weights.items() if weight > 0]
        self._bounds = list(accumulate(self.weights[name] for name in self._names))
        self._cookie = None if sticky_cookie is None else Cookie(sticky_cookie)
        self._header = None if sticky_header is None else Header(sticky_header)
        self._seed = seed
        self._random = random.Random(seed)
        self._lifespans = LifespanRunner(
            self._to_start, Timeouts(startup_timeout, shutdown_timeout)
        )

    @property
    def apps(self) -> list[Any]:
        """The apps as they were given."""
        return [child.app for child in self._children.values()]

    def _to_start(self, scope: Scope) -> Iterable[Child]:
        for child in self._children.values():
            child.state = {**scope.get("state", {})}  # what its mount shares
            yield child

    def choose(self, scope: Scope) -> str:
        """The name of the app that a request goes to."""
        if self._cookie is not None:
            values = self._cookie.values(scope) or []
            if len(values) == 1 and values[0] in self._names:
                return values[0]
        if self._header is not None:
            values = self._header.values(scope) or []
            if len(values) == 1:
                return self._at(_fraction(values[0], self._seed))
        return self._at(self._random.random())

    def _at(self, fraction: float) -> str:
        position = bisect(self._bounds, fraction * self._bounds[-1])
        return self._names[min(position, len(self._names) - 1)]  # the product may be rounded up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespans(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise MountkitError(
                f"Scope type {scope['type']!r} cannot be split; mount an app for it."
            )
        try:
            name = self.choose(scope)
        except BaseException as exc:
            reraise(exc, f"{type(self).__name__}.choose")
        child = self._children[name]
        if self._cookie is not None and self._cookie.values(scope) != [name]:
            send = _set_cookie(send, scope, self._cookie.name, name)
        root_path = scope.get("root_path", "").rstrip("/")
        run = child.run_for(scope, self._lifespans)
        if run.retry_at is not None:
            child.warn(self._lifespans)
        state = {**run.state, **self._shared(scope)}
        child_scope = {**scope, "root_path": root_path, "state": state}
        scope["route"] = Route(_Branch("", name), child_scope)
        publish = watch(scope, child_scope, root_path) if TRACING in sys.modules else None
        flight = Flight(send, publish)
        try:
            await child.asgi(child_scope, receive, flight.send)
        except BaseException as exc:
            is_answered = bool(flight.status)
            if is_outside(exc, flight.task) or await has_left(exc, is_answered, scope, receive):
                raise
            error = annotated(exc, child.name, scope, has_started=is_answered)
            if error is exc:
                raise
            raise error from exc
        finally:
            if publish is not None:
                publish()

    def _shared(self, scope: Scope) -> dict[str, Any]:
        """What the mount of this shares of its parent's state."""
        child, state = getattr(scope.get("mountkit.mount"), "child", None), scope.get("state", {})
        share = child.lifespan.share if child is not None and child.app is self else ()
        return {key: state[key] for key in share if key in state}

    def __repr__(self) -> str:
        shares = ", ".join(f"{name}: {weight:g}" for name, weight in self.weights.items())
        return f"{type(self).__name__}({shares})"


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _child(name: str, app: Any, where: str) -> Child:
    asgi: ASGIApp
    asgi, interface = adapt(app)
    return Child(
        app, asgi, f"The app {name!r} of the split ({where})", has_lifespan=interface != "wsgi"
    )


def _check_weights(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise PatternError(
                f"Weight {weight!r} of {name!r} is not a number from 0; write e.g. 5."
            )
    if not any(weights.values()):
        raise PatternError("No app of the split has a weight above 0; give one a weight.")


def _fraction(text: str, seed: int | None) -> float:
    """The same number from 0 up to 1 for the same text, in every process."""
    digest = hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _set_cookie(send: Send, scope: Scope, name: str, value: str) -> Send:
    """`send`, with a session cookie for the mount's own paths (RFC 6265, section 4.1)."""
    # In a cookie, a ";" would end the path and begin another attribute.
    path = encode_path(scope.get("root_path", "").rstrip("/")).replace(";", "%3B") or "/"
    cookie = f"{name}={value}; Path={path}; HttpOnly; SameSite=Lax"
    if scope.get("scheme") in ("https", "wss"):
        cookie += "; Secure"

    async def sticky_send(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            headers = [*message.get("headers", ()), (b"set-cookie", cookie.encode("latin-1"))]
            message = {**message, "headers": headers}
        await send(message)

    return sticky_send
