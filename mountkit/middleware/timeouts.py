"""Bounds on the time that an app takes for a request."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import MountkitError, PatternError, spelled
from mountkit.logs import access as logger
from mountkit.middleware.exchanges import ACCEPTED, ENDED, STARTS, UNANSWERED, Exchange, note_error
from mountkit.tasks import current_task


class TimeoutMiddleware:
    """Cancels an app that takes too long, and answers in its place.

        Middleware(TimeoutMiddleware, response=10, total=60)

    If nothing was answered in time, the client gets 504 and one warning is logged. An open
    websocket is closed with code 1011. If a response has started, `MountkitError` makes the server
    break the connection, so that the client does not take what it has for the whole. An app that
    goes on after its response, as with a background task, is only cancelled.

    An app is cancelled once on asyncio, as `asyncio.timeout` does it: if it catches the
    cancellation and goes on, its answer counts. On trio it is cancelled at each checkpoint.

    Args:
        app: any ASGI app.
        response: seconds until the response starts or the websocket is accepted.
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
        task, root_path = current_task(), scope.get("root_path", "")
        timer: _Timer | anyio.CancelScope
        if task is None:
            now = anyio.current_time()
            timer = anyio.CancelScope(deadline=now + self.first)
            exchange = Exchange(_prolonging(send, timer, now + self.total))
        else:
            exchange = Exchange(send)
            timer = _Timer(task, exchange, self.first, self.total - self.first)
        with timer:
            await self.app(scope, receive, exchange.send)
        if timer.cancelled_caught:
            await self._end(exchange.state, root_path, scope, receive, send)

    async def _end(
        self, state: str, root_path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        verb, seconds = ("answer", self.first) if state == UNANSWERED else ("end", self.total)
        error = f"It did not {verb} within {spelled(seconds)}."
        app = note_error(scope, error, root_path)
        if state == UNANSWERED:
            logger.warning("%s answers 504: %s", app, error)
            await answer(504, scope, receive, send, was_called=True)
        elif state == ACCEPTED:
            await send({"type": "websocket.close", "code": 1011, "reason": error})
        elif state != ENDED:  # ASGI has no message that breaks a connection
            raise MountkitError(f"{app} was broken off: {error}")


def _prolonging(send: Send, cancel_scope: anyio.CancelScope, deadline: float) -> Send:
    """A `send` that sets the second deadline of a cancel scope when the answer starts."""

    async def send_in_time(message: Message) -> None:
        if message["type"] in STARTS:
            cancel_scope.deadline = deadline
        await send(message)

    return send_in_time


class _Timer:
    """A cancel scope of a task of asyncio, with two deadlines; one of anyio costs four times as
    much. Most requests have ended before the first one, so the second is set then."""

    cancelled_caught = False
    _has_fired = False

    def __init__(
        self, task: asyncio.Task[Any], exchange: Exchange, first: float, left: float
    ) -> None:
        self._task = task
        self._cancelling = task.cancelling()
        self._exchange = exchange
        self._left = left  # seconds from the first deadline to the second
        self._handle = task.get_loop().call_later(first, self._check)

    def _check(self) -> None:
        left = self._left
        if self._exchange.state == UNANSWERED or not left:
            self._has_fired = True
            self._task.cancel()
        elif left < math.inf:
            self._left = 0
            self._handle = self._task.get_loop().call_later(left, self._check)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, exc: BaseException | None, __: Any) -> bool:
        """Leave nothing behind, and go on if the timer alone has cancelled the task."""
        self._handle.cancel()
        if self._has_fired and self._task.uncancel() <= self._cancelling:
            is_silent = exc is None and self._exchange.state == UNANSWERED
            self.cancelled_caught = is_silent or isinstance(exc, asyncio.CancelledError)
        return self.cancelled_caught
