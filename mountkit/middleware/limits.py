"""A limit on how many requests an app serves at a time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import PatternError
from mountkit.logs import access as logger
from mountkit.middleware.exchanges import note_error


class LimitMiddleware:
    """Limits the number of requests and websockets at a time.

        Middleware(LimitMiddleware, max_concurrency=100)

    Put a `TimeoutMiddleware` in front to bound the wait.

    Args:
        app: any ASGI app.
        max_concurrency: how many are served at a time.
        when_full: what one more gets: `503` or `429` with `Retry-After: 1` (a websocket is closed
            if the server cannot send a status), or `"wait"`: its turn, first come first served.

    Raises:
        PatternError: an option has another value.
    """

    def __init__(
        self, app: ASGIApp, *, max_concurrency: int, when_full: Literal[503, 429, "wait"] = 503
    ) -> None:
        if not isinstance(max_concurrency, int) or max_concurrency < 1:
            raise PatternError(
                f"max_concurrency={max_concurrency!r} is not a whole number above 0; write e.g. 10."
            )
        if when_full not in (503, 429, "wait"):
            raise PatternError(
                f"when_full={when_full!r} is not known; write one of 503, 429, 'wait'."
            )
        self.app = app
        self.max_concurrency = max_concurrency
        self.when_full: Literal[503, 429, "wait"] = when_full
        self._free = max_concurrency
        # In order. While a request waits, no place is free: each goes straight to the next one.
        self._waiting: OrderedDict[anyio.Event, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if self._free:
            self._free -= 1
        elif self.when_full == "wait":
            await self._wait()
        else:
            error = f"It is full: it serves {self.max_concurrency} at a time."
            app = note_error(scope, error, scope.get("root_path", ""))
            logger.info("%s answers %d: %s", app, self.when_full, error)
            await answer(self.when_full, scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self._give_back()

    async def _wait(self) -> None:
        turn = anyio.Event()
        self._waiting[turn] = None
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # cancelled just after a place had come
                self._give_back()
            else:
                del self._waiting[turn]
            raise

    def _give_back(self) -> None:
        if self._waiting:
            self._waiting.popitem(last=False)[0].set()
        else:
            self._free += 1
