"""Requests in flight, and what one mount has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.middleware.exchanges import coroutine_function
from mountkit.tasks import current_task

# How often a request is cancelled that does not heed it, and the seconds it has each time.
_CUTS = 3
_CUT_GRACE = 1.0

#: In the place of a status: the client has gone.
LEFT: Final[Any] = "client_gone"


class Flight:
    """A request in flight: whether the app has started to answer, and how to cancel it.

    Args:
        send: the server's.
        on_start: called when the app starts to answer.

    Attributes:
        status: of the response, 101 for an accepted websocket; 0 before the app has answered.
        start: the message that has started a response of HTTP, once `status` is not 0.
        task: asyncio's, which `cut` cancels; `None` on trio, where a cancel scope does it.
        cuts: how often it was cut.
    """

    __slots__ = (
        "_cancel_scope",
        "_cancelled_before",
        "_on_start",
        "_send",
        "cuts",
        "start",
        "status",
        "task",
    )

    start: Message

    def __init__(self, send: Send, on_start: Callable[[], None] | None = None) -> None:
        self._send = send
        self._on_start = on_start
        self.status: int = 0
        self.cuts: int = 0
        self.task: asyncio.Task[object] | None = current_task()

    @coroutine_function
    def send(self, message: Message) -> Awaitable[None]:
        """What the app gets as its `send`: a plain function, as a coroutine for each message would
        cost more than the server's own `send`."""
        if not self.status:
            if message["type"] == "http.response.start":
                self.start = message
                self.status = message["status"]
                if self._on_start is not None:
                    self._on_start()
            else:
                self._note(message)
        send = self._send  # Python finds a method faster than what it may call in an attribute
        return send(message)

    def _note(self, message: Message) -> None:
        """Of the other messages, those that start an answer."""
        kind = message["type"]
        if kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.close":  # before it was accepted: the server answers 403
            self.status = 403
        elif kind == "websocket.http.response.start":
            self.status = message["status"]
        else:
            return
        if self._on_start is not None:
            self._on_start()

    @property
    def is_closed(self) -> bool:
        """Whether the server knows that the client has gone: the `receive` of hypercorn, and that
        of uvicorn's websockets, tell it only once."""
        server = getattr(self._send, "__self__", None)
        if isinstance(server, Flight):
            return server.is_closed
        return True in (getattr(server, name, 0) for name in ("closed", "disconnected"))

    async def carry(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Call the app where a request is cut by a cancel scope: on trio, and outside any event
        loop, where nothing can cut it."""
        try:
            self._cancel_scope = anyio.CancelScope()
        except RuntimeError:
            await app(scope, receive, self.send)
            return
        with self._cancel_scope:
            await app(scope, receive, self.send)

    def cut(self) -> None:
        """Cancel the request. On asyncio the task is cancelled, as `asyncio.timeout` does it: to
        enter a cancel scope for every request would cost more than everything else here."""
        if self.task is None:
            self._cancel_scope.cancel()
        else:
            if not self.cuts:
                self._cancelled_before = self.task.cancelling()
            self.task.cancel()
        self.cuts += 1

    def settle(self, exc: BaseException | None) -> bool:
        """Remove every trace of the cuts from the task, which goes on to other work.

        Args:
            exc: what the app has raised.

        Returns:
            Whether the cut, and nothing else, has ended the app.
        """
        cuts, self.cuts = self.cuts, 0
        if not cuts:
            return False
        if self.task is None:
            return exc is None and self._cancel_scope.cancelled_caught
        is_alone = self.task.cancelling() <= self._cancelled_before + cuts
        for _ in range(cuts):
            self.task.uncancel()
        return is_alone and isinstance(exc, asyncio.CancelledError)


class Traffic:
    """All requests of one mount.

    Attributes:
        flights: those under way; a dict, as an empty set takes four times the memory.
        answers: how many have ended, by the first digit of the status.
        gone: how many were given up because the client has gone.
        missing: how many were 404.
        draining_since: when the mount has left its table, in seconds since the epoch; `None` while
            it serves.
    """

    __slots__ = ("_emptied", "answers", "draining_since", "flights", "gone", "missing")

    def __init__(self) -> None:
        self.flights: dict[Flight, None] = {}
        self.answers: list[int] = [0] * 6
        self.gone: int = 0
        self.missing: int = 0
        self.draining_since: float | None = None
        self._emptied: anyio.Event | None = None  # while `drain` waits for it

    @property
    def answered(self) -> dict[str, int]:
        """How many requests have ended, by the class of their status."""
        names = ("none", "1xx", "2xx", "3xx", "4xx", "5xx", LEFT)
        counts = (*self.answers, self.gone)
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    def count(self, status: int) -> None:
        """Record a request that the mount has answered by itself."""
        self.answers[status // 100] += 1

    def end(self, flight: Flight) -> None:
        """Record that a request is no longer in flight, and how it ended."""
        del self.flights[flight]
        try:
            self.answers[flight.status // 100] += 1
        except (IndexError, TypeError):  # apps may send a status that is not valid
            if flight.status is LEFT:
                self.gone += 1
            else:
                self.answers[5] += 1
        if self._emptied is not None and not self.flights:
            self._emptied.set()

    async def drain(self, seconds: float | None) -> None:
        """Wait until nothing is in flight.

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
            self._emptied = None

    async def _wait_until_empty(self) -> None:
        while self.flights:
            self._emptied = anyio.Event()
            await self._emptied.wait()
