"""What an app answers and how long it takes, in histograms that metrics are made of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Iterable, Mapping
from time import perf_counter
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.frameworks import route_below
from mountkit.middleware.errors import ANSWERS
from mountkit.middleware.exchanges import coroutine_function, has_left
from mountkit.tasks import is_outside

#: Upper bounds of the buckets, in seconds (OpenTelemetry, "Semantic conventions for HTTP metrics",
#: `http.server.request.duration`). One more bucket has all that took longer.
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: Stands for every method that is not one of these (the same conventions: clients could invent any
#: number of them), and for what is beyond `MOST`.
OTHER: Final = "_OTHER"
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
#: So many series have a route, and so many kinds of errors a name.
MOST: Final = 2000
_MOST_ERRORS = 50
_NO_ANSWER = "no answer"
#: The last messages of an answer, unless one has `more_body`.
_ENDS = ("http.response.body", "http.response.pathsend", "http.response.zerocopysend")
_SIZE = len(BOUNDS) + 1


class Meter:
    """What was answered, since it was made. It may outlive the layer that fills it, and be filled
    by several, so that counters go on when a mount is replaced.

    It has no lock: event loops in several threads that share one may lose a count now and then.

    Attributes:
        series: by method, status (0: the client got none) and route (`""` if it is not asked for or
            not known), the number of requests in each bucket of `BOUNDS`, and last the sum of the
            seconds.
        websockets: handshakes by status; 101 was accepted.
        errors: what has gone up, by the name of its class, and `"no answer"`.
    """

    __slots__ = ("errors", "series", "websockets")

    def __init__(self) -> None:
        self.series: dict[tuple[str, int, str], list[float]] = {}
        self.websockets: dict[int, int] = {}
        self.errors: dict[str, int] = {}

    def row(self, method: str, status: int, route: str) -> list[float]:
        """The series that a request counts in, which may be a new one."""
        method = method if method in _METHODS else OTHER
        status = status if 100 <= status <= 599 else 0 if not status else 500
        if route and len(self.series) >= MOST and (method, status, route) not in self.series:
            route = OTHER
        return self.series.setdefault((method, status, route), [0] * (_SIZE + 1))

    def note(self, error: str) -> None:
        """Count an error."""
        if len(self.errors) >= _MOST_ERRORS and error not in self.errors:
            error = OTHER
        self.errors[error] = self.errors.get(error, 0) + 1

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values, for JSON: `requests` is a list of method, status, route,
        buckets (each with its own requests alone) and sum."""
        return {
            "requests": [[*key, row[:_SIZE], row[_SIZE]] for key, row in [*self.series.items()]],
            "websockets": {str(status): n for status, n in [*self.websockets.items()]},
            "errors": {**self.errors},
        }

    @staticmethod
    def merge(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The sum of several snapshots, as of several processes."""
        whole = Meter()
        for one in snapshots:
            for method, status, route, buckets, seconds in one["requests"]:
                row = whole.series.setdefault((method, status, route), [0] * (_SIZE + 1))
                row[:] = map(sum, zip(row, [*buckets, seconds], strict=True))
            for text, number in one["websockets"].items():
                whole.websockets[int(text)] = whole.websockets.get(int(text), 0) + number
            for name, number in one["errors"].items():
                whole.errors[name] = whole.errors.get(name, 0) + number
        return whole.snapshot()


def quantiles(snapshot: Mapping[str, Any], *wanted: float) -> tuple[float, ...] | None:
    """Estimates of how many seconds these shares of the requests took at most, as Prometheus makes
    them: within a bucket, requests are taken to be spread evenly; what is beyond the last bound
    counts as that. `None` without any request."""
    columns = zip(*(buckets for _, _, _, buckets, _ in snapshot["requests"]), strict=True)
    counts = [float(sum(column)) for column in columns]
    total = sum(counts)
    return tuple(_quantile(counts, share * total) for share in wanted) if total else None


def _quantile(counts: list[float], rank: float) -> float:
    below = 0.0
    for lower, upper, count in zip((0.0, *BOUNDS), BOUNDS, counts, strict=False):
        if count and below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below += count
    return float(BOUNDS[-1])


class _Answer:
    """Notes the status of an answer, and when its last part was sent."""

    __slots__ = ("_send", "ended", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int = 0
        self.ended: float = 0.0

    @coroutine_function
    def send(self, message: Message) -> Awaitable[None]:
        if not self.status:
            if message["type"] == "http.response.start":
                status = message.get("status")
                self.status = status if isinstance(status, int) else 500
        elif message["type"] in _ENDS and not message.get("more_body"):
            self.ended = perf_counter()
        return self._send(message)


class MeterMiddleware:
    """Counts requests by method and status, and measures how long they take.

        Mount("/shop", shop, name="shop", middleware=[Middleware(MeterMiddleware)])

    `Status` and `Metrics` show it. A duration ends when the last part of the response was handed to
    the server, streams included; background tasks after that do not count. An exception before the
    response counts as 500, `HTTPException` as its status; all but the latter also count in
    `errors`. A client that leaves is not an error: its request has the status that was sent, or 0.
    For websockets, handshakes are counted by status.

    Put it first, so that it also counts the responses of other layers.

    Args:
        app: any ASGI app.
        meter: the meter to fill; by default its own.
        routes: count each route's template (`/shop/item/{id}`) separately, up to 2,000 of them.
            That makes many more series.
    """

    def __init__(self, app: ASGIApp, *, meter: Meter | None = None, routes: bool = False) -> None:
        self.app = app
        self.meter: Meter = Meter() if meter is None else meter
        self.routes: bool = routes
        self._series = self.meter.series

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        began = perf_counter()
        answer = _Answer(send)
        root_path = scope.get("root_path", "") if self.routes else ""
        try:
            await self.app(scope, receive, answer.send)
        except BaseException as exc:
            answer.ended = answer.ended or perf_counter()
            await self._judge(exc, answer, scope, receive)
            raise
        else:
            if not answer.ended:
                answer.ended = perf_counter()
                await self._judge(None, answer, scope, receive)
        finally:
            route = _template(scope, root_path) if self.routes else ""
            seconds = answer.ended - began
            key = (scope["method"], answer.status, route)
            row = self._series.get(key) or self.meter.row(*key)
            row[bisect_left(BOUNDS, seconds)] += 1
            row[-1] += seconds

    async def _judge(
        self, exc: BaseException | None, answer: _Answer, scope: Scope, receive: Receive
    ) -> None:
        """Find the status of a request that did not end well, and whether that is an error."""
        if exc is not None and is_outside(exc):
            return
        if await has_left(exc, bool(answer.status), scope, receive):
            return
        if isinstance(exc, ANSWERS):
            given = exc.status_code if isinstance(exc, HTTPException) else 400
            answer.status = answer.status or given
        elif exc is not None or not answer.status:
            answer.status = answer.status or 500
            self.meter.note(_NO_ANSWER if exc is None else type(exc).__name__)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        statuses: list[int] = []

        @coroutine_function
        def send_counted(message: Message) -> Awaitable[None]:
            status = _HANDSHAKES.get(message["type"])
            if status is not None and not statuses:
                statuses.append(status or message["status"])
                websockets = self.meter.websockets
                websockets[statuses[0]] = websockets.get(statuses[0], 0) + 1
            return send(message)

        try:
            await self.app(scope, receive, send_counted)
        except BaseException as exc:
            is_error = not (is_outside(exc) or isinstance(exc, ANSWERS))
            if is_error and not await has_left(exc, bool(statuses), scope, receive):
                self.meter.note(type(exc).__name__)
            raise


# What answers a handshake, and the status that the client sees; 0: the message has it.
_HANDSHAKES = {
    "websocket.accept": 101,
    "websocket.close": 403,
    "websocket.http.response.start": 0,
}


def _template(scope: Scope, root_path: str) -> str:
    """The template of the route that has served, with the prefix of the mount."""
    mount = scope.get("mountkit.mount")
    prefix = "" if mount is None else mount.path_format.removesuffix("/{path}")
    below = route_below(scope, root_path)
    return "" if below is None else prefix + below
