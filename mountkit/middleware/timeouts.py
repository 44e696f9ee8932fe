"""Bounds on the time that an app takes for a request."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import MountkitError, PatternError
from mountkit.middleware.exchanges import (
    ACCEPTED,
    ENDED,
    STARTS,
    UNANSWERED,
    Exchange,
    note_error,
    where,
)
from mountkit.tasks import current_task

logger: logging.Logger = logging.getLogger("mountkit")


class TimeoutMiddleware:
    """Cancels an app that takes too long, and answers in its place.

        Middleware(TimeoutMiddleware, response=10, total=60)

    If nothing was answered in time, the client gets 504 and one warning is logged. If a response
    has started, the connection is broken, so that the client does not take what it has for the
    whole: `MountkitError` is raised, which makes the server do so. An open websocket is closed
    with code 1011. If the response is out and the app goes on, as with a background task, it is
    only cancelled.

    An app is cancelled once on asyncio, as `asyncio.timeout` does it: if it catches the
    cancellation and goes on, its answer counts. On trio it is cancelled at each checkpoint.

    Args:
        app: any ASGI app.
        response: seconds until the response starts or the websocket is accepted; a stream may take
            longer.
        total: seconds until the app returns.

    Raises:
        PatternError: an option is not a number above 0.
    """

    def __init__(
        self, app: ASGIApp, *, response: float | None = None, total: float | None = None
    ) -> None:
        for option, value in (("response", response), ("total", total)):
            if value is not None and not (isinstance(value, (int, float)) and value > 0):
                raise PatternError(f"{option}={value!r} is not a number above 0; write e.g. 10.")
        self.app = app
        self.total: float = math.inf if total is None else total
        #: Seconds after which an app that has not answered is cancelled.
        self.first: float = self.total if response is None else min(response, self.total)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self.first == math.inf:
            await self.app(scope, receive, send)
            return
        exchange = Exchange(send)
        task = current_task()
        if task is None:
            is_late = await self._call_on_trio(exchange, scope, receive)
        else:
            is_late = await self._call_on_asyncio(task, exchange, scope, receive)
        if is_late:
            await self._end(exchange.state, scope, receive, send)

    async def _call_on_asyncio(
        self, task: asyncio.Task[Any], exchange: Exchange, scope: Scope, receive: Receive
    ) -> bool:
        """Call the app, and return whether its time has run out.

        An anyio cancel scope with a deadline costs four times as much as this timer.
        """
        timer = _Timer(task, exchange, self.first, self.total)
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as exc:
            if timer.stop() and isinstance(exc, asyncio.CancelledError):
                return True
            raise
        return timer.stop() and exchange.state == UNANSWERED

    async def _call_on_trio(self, exchange: Exchange, scope: Scope, receive: Receive) -> bool:
        now = anyio.current_time()
        with anyio.CancelScope(deadline=now + self.first) as cancel_scope:

            async def send(message: Message) -> None:
                if message["type"] in STARTS:
                    cancel_scope.deadline = now + self.total
                await exchange.send(message)

            await self.app(scope, receive, send)
        return cancel_scope.cancelled_caught

    async def _end(self, state: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the place of an app whose time has run out, or break the connection."""
        if state == UNANSWERED:
            error = f"It did not answer within {self.first:g} seconds."
            logger.warning("%s answers 504: %s", where(scope), error)
        else:
            error = f"It did not end within {self.total:g} seconds."
        note_error(scope, error)
        if state == UNANSWERED:
            await answer(504, scope, receive, send, was_called=True)
        elif state == ACCEPTED:
            await send({"type": "websocket.close", "code": 1011, "reason": error})
        elif state != ENDED:  # ASGI has no message that breaks a connection
            raise MountkitError(f"{where(scope)} was broken off: {error}")


class _Timer:
    """Cancels a task when its time has run out; what `asyncio.timeout` does, for two deadlines."""

    __slots__ = ("_cancelling", "_exchange", "_handle", "_has_fired", "_left", "_task")

    def __init__(
        self, task: asyncio.Task[Any], exchange: Exchange, first: float, total: float
    ) -> None:
        self._task = task
        self._cancelling = task.cancelling()
        self._exchange = exchange
        self._left = total - first  # seconds from the first deadline to the second
        self._has_fired = False
        self._handle = task.get_loop().call_later(first, self._check)

    def _check(self) -> None:
        """At the first deadline: most requests have ended before it, so the second one is set
        here, and not when the response starts."""
        if self._exchange.state == UNANSWERED or not self._left:
            self._cancel()
        elif self._left < math.inf:
            self._handle = self._task.get_loop().call_later(self._left, self._cancel)

    def _cancel(self) -> None:
        self._has_fired = True
        self._task.cancel()

    def stop(self) -> bool:
        """Leave nothing behind; return whether it has cancelled the task, and nothing else has."""
        self._handle.cancel()
        return self._has_fired and self._task.uncancel() <= self._cancelling
