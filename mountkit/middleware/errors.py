"""Containment: an app that raises answers 500 and does not reach the app above it."""

from __future__ import annotations

from starlette.exceptions import HTTPException, WebSocketException
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import MountkitError
from mountkit.logs import logger
from mountkit.middleware.exchanges import ENDED, UNANSWERED, Exchange, close, note_error
from mountkit.tasks import describe, is_outside

#: Answers for the app above, as Starlette's `StaticFiles` raises them.
ANSWERS = (HTTPException, WebSocketException, MultiPartException)


class ContainMiddleware:
    """Answers 500 for an app that raises before it has answered, closes an open websocket with code
    1011, and logs the exception once.

    After the start of a response the exception goes up, because only the server can break the
    connection. `SystemExit`, `KeyboardInterrupt`, `GeneratorExit`, a cancellation that the app has
    raised by itself (on asyncio; trio has none) and groups of them are handled alike, but go up as
    the cause of a `MountkitError`.

    What is an answer for the app above goes up: `HTTPException`, `WebSocketException` and
    `MultiPartException`; so does what does not come from the app: Ctrl-C, a cancelled request, a
    coroutine that is closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        exchange = Exchange(send)
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as exc:
            if isinstance(exc, ANSWERS) or is_outside(exc):
                raise
            await contain(exc, exchange.state, scope, receive, send)


async def contain(
    exc: BaseException, state: str, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer in the place of an app that has raised; see `ContainMiddleware`.

    Args:
        state: how far its answer is; see `exchanges`.
        scope: the app's own.
    """
    app = note_error(scope, describe(exc))
    if state == UNANSWERED:
        logger.error("%s raised and answers 500.", app, exc_info=exc)
        await answer(500, scope, receive, send, was_called=True)
    elif scope["type"] == "websocket" and state != ENDED:
        logger.error("%s raised and is closed with 1011.", app, exc_info=exc)
        await close(state, send)
    elif isinstance(exc, Exception):
        raise exc
    else:
        raise MountkitError(f"{app} was ended by {describe(exc)}.") from exc
