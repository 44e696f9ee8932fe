"""The requests of one mount: those in flight, what was answered, and what bounds them."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope

from mountkit.exceptions import PatternError
from mountkit.middleware.checks import admit
from mountkit.middleware.contexts import is_current, restore, send_in
from mountkit.serving.routes import RouteTemplate

# What a full mount does with one more request.
WhenFull: TypeAlias = Literal[503, 429, "wait"]

#: The error of a mount whose app has returned and said nothing.
SILENT = "It returned without an answer."
# How often a request is cancelled that does not heed it, and the seconds that it has each time.
_CUTS = 3
_CUT_GRACE = 1.0


class Refused(Exception):
    """A request that gets `status` in the place of the app's answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


_ENDS = frozenset(
    (
        "http.response.body",
        "http.response.pathsend",
        "http.response.zerocopysend",
        "websocket.http.response.body",
        "websocket.close",
    )
)


def removed() -> Refused:
    """What a request gets that was cut."""
    return Refused(503, "It was removed, and waited no longer for the request to end.")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one mount may take at most.

    Attributes:
        max_concurrency: requests and websockets at a time.
        when_full: the status that one more gets, or `"wait"`: it waits for its turn.
        response_timeout: seconds until the response starts, or the websocket is accepted.
        total_timeout: seconds until it has ended.

    Raises:
        PatternError: a limit is no number above 0, or `when_full` is not known.
    """

    max_concurrency: int | None = None
    when_full: WhenFull = 503
    response_timeout: float | None = None
    total_timeout: float | None = None

    def __post_init__(self) -> None:
        for option in ("max_concurrency", "response_timeout", "total_timeout"):
            value = getattr(self, option)
            if value is not None and not (isinstance(value, (int, float)) and value > 0):
                raise PatternError(f"{option}={value!r} is no number above 0; write e.g. 10.")
        if self.when_full not in (503, 429, "wait"):
            raise PatternError(
                f"when_full={self.when_full!r} is not known; write one of 503, 429, 'wait'."
            )

    @property
    def has_any(self) -> bool:
        """Whether there is a limit at all."""
        return any((self.max_concurrency, self.response_timeout, self.total_timeout))


_NO_LIMITS = Limits()


class Flight(RouteTemplate):
    """One request on its way through an app; its route besides, so that one object is made for it
    and not two.

    Attributes:
        scope: of the request, as the server made it.
        server_send: the server's `send`.
        context: the context variables before the app was called. The end of the response is sent
            in it, as uvicorn starts the next request of the connection there and then.
            These three are `None` once the request has ended: they lead from the scope, which
            holds this, back to the scope.
        is_marked: the app has changed context variables.
        on_start: called when the response starts.
        status: of the response, 101 for an accepted websocket; 0 before it has started.
        is_complete: whether the response is out, or the websocket closed.
        task: asyncio's, which `cut` cancels; without one, or with limits, there is a
            `cancel_scope`.
        cuts: how often it was cut.
        left, is_translated: see `guards.Progress`.
    """

    # No `__init__`: whoever makes one sets the slots, which is quicker. The rest is of the class
    # until it is set.
    __slots__ = (
        *("__dict__", "context", "is_complete", "on_start", "scope", "server_send", "status"),
        "task",
    )

    scope: Any
    server_send: Any
    context: Any
    on_start: Callable[[], None] | None
    status: int
    is_complete: bool
    task: asyncio.Task[Any] | None
    cancel_scope: anyio.CancelScope
    is_timed: bool = False
    final_deadline: float = math.inf
    cuts: int = 0
    cancelled_before: int = 0
    left: int | None = None
    is_translated: bool = False
    is_marked: bool = False

    def send(self, message: Message) -> Awaitable[None]:
        """What the app is given as its `send`. It is a plain function, since a coroutine of its own
        for each message would cost more than what it does.

        Raises:
            ImproperResponseError: it is no message that may come now.
        """
        if self.server_send is None:
            return _nothing()  # its request has ended
        was_started = self.status
        admitted = admit(self, message)
        if admitted is None:
            return _nothing()
        if not was_started and self.status:
            if self.is_timed:
                self.cancel_scope.deadline = self.final_deadline
            if self.on_start is not None:
                self.on_start()
        if admitted["type"] not in _ENDS or admitted.get("more_body"):
            sent: Awaitable[None] = self.server_send(admitted)
            return sent
        return self._send_end(admitted)

    async def answer_for(self) -> None:
        """Answer 500 for an app that has said nothing. What `send` makes sure of is so here."""
        self.status = 500
        if self.on_start is not None:
            self.on_start()
        headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
        await self.server_send({"type": "http.response.start", "status": 500, "headers": headers})
        await self._send_end({"type": "http.response.body", "body": b""})

    async def _send_end(self, message: Message) -> None:
        """Send what a response ends with."""
        if is_current(self.context):
            await self.server_send(message)
        else:
            self.is_marked = True
            await send_in(self.context, self.server_send, message)
        self.is_complete = True

    def cut(self) -> None:
        """Cancel it. Entering an anyio scope for every request would cost asyncio more than all
        the rest; there the task is cancelled, as `asyncio.timeout` does it."""
        if self.task is not None:
            if not self.cuts:
                self.cancelled_before = self.task.cancelling()
            self.task.cancel()
        else:
            self.cancel_scope.cancel()
        self.cuts += 1

    def settle(self) -> bool:
        """Leave nothing of the cuts in the task, which may go on to other things.

        Returns:
            Whether nobody else has cancelled the task.
        """
        task = self.task
        if task is None:
            return False
        is_alone = task.cancelling() <= self.cancelled_before + self.cuts
        for _ in range(self.cuts):
            task.uncancel()
        self.cuts = 0
        return is_alone


async def _nothing() -> None:
    """What a message comes to that is not sent."""


def mark_as_coroutine_function(function: Any) -> None:
    """What `inspect.markcoroutinefunction` does since Python 3.12, for Python 3.11 and its
    `asyncio.iscoroutinefunction`; asgiref marks its functions in the same way."""
    function._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)


# What asks first whether it was given a coroutine function, as asgiref's `async_to_sync` does, and
# Channels' consumers with it, is told so.
getattr(inspect, "markcoroutinefunction", mark_as_coroutine_function)(Flight.send)


class Traffic:
    """All requests of one mount.

    Attributes:
        limits: `None` if there are none.
        flights: those that are on their way.
        error: the last one, and what kind it was.
        draining_since: when its mount has left, in seconds since the epoch; `None` while it
            serves.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits: Limits | None = limits if limits.has_any else None
        self.flights: set[Flight] = set()
        self.error: str | None = None
        self.draining_since: float | None = None
        self.answers: list[int] = [0] * 6  # by the first digit of the status
        self._active = 0  # those that have a place, where places are limited
        self._places: anyio.Semaphore | None = None
        self.emptied: anyio.Event | None = None  # while somebody waits for it

    @property
    def answered(self) -> dict[str, int]:
        """How many requests have ended, by the class of their status."""
        names = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
        return {name: count for name, count in zip(names, self.answers, strict=True) if count}

    def count(self, status: int) -> None:
        """Take down that a request has ended."""
        self.answers[status // 100 if status < 600 else 5] += 1

    def leave(self, flight: Flight) -> None:
        """Take down that a request is not in flight any more."""
        self.flights.discard(flight)
        if self.emptied is not None and not self.flights:
            self.emptied.set()

    def end(self, flight: Flight) -> None:
        """Take down that a request has ended, and how."""
        self.leave(flight)
        self.count(flight.status)
        if flight.is_marked:
            restore(flight.context)
        flight.scope = flight.server_send = flight.context = None

    async def carry(self, flight: Flight, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Call the app where it needs a cancel scope: within limits, and in trio.

        Raises:
            Refused: there was no place for the request, it took too long, or it was cut.
        """
        limits = self.limits or _NO_LIMITS
        try:
            now = anyio.current_time()
        except RuntimeError:
            if self.limits is not None:
                raise
            # Driven by hand, outside of any event loop: nobody is there to cut it.
            await app(scope, receive, flight.send)
            return
        if limits.total_timeout is not None:
            flight.final_deadline = now + limits.total_timeout
        deadline = flight.final_deadline
        if limits.response_timeout is not None:
            deadline = min(deadline, now + limits.response_timeout)
        has_place = False
        flight.is_timed = deadline < math.inf
        with anyio.CancelScope(deadline=deadline) as flight.cancel_scope:
            await self._take_place(limits)
            has_place = True
            try:
                await app(scope, receive, flight.send)
            finally:
                self._give_place_back()
        if not flight.cancel_scope.cancelled_caught:
            return
        if flight.cuts:
            raise removed()
        if not has_place:
            raise Refused(503, "It had no place for the request in time.")
        if flight.status:
            raise Refused(504, f"It did not end within {limits.total_timeout:g} seconds.")
        raise Refused(504, f"It did not answer within {deadline - now:g} seconds.")

    async def _take_place(self, limits: Limits) -> None:
        most = limits.max_concurrency
        if most is not None and limits.when_full == "wait":
            if self._places is None:
                self._places = anyio.Semaphore(most)
            await self._places.acquire()
        elif most is not None and self._active >= most:
            raise Refused(int(limits.when_full), "It has as many requests as it takes.")
        self._active += 1

    def _give_place_back(self) -> None:
        self._active -= 1
        if self._places is not None:
            self._places.release()

    async def drain(self, seconds: float | None) -> None:
        """Wait until nothing is in flight any more.

        Args:
            seconds: after which what is in flight is cut; `None` waits for ever.
        """
        try:
            with anyio.move_on_after(seconds):
                await self._wait_until_empty()
            for _ in range(_CUTS):
                for flight in [*self.flights]:
                    flight.cut()
                with anyio.move_on_after(_CUT_GRACE):
                    await self._wait_until_empty()
        finally:
            self.emptied = None

    async def _wait_until_empty(self) -> None:
        while self.flights:
            self.emptied = anyio.Event()
            await self.emptied.wait()
