"""Containment: an app that raises answers 500 and does not reach the app above it."""

from __future__ import annotations

from starlette.exceptions import HTTPException, WebSocketException
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import MountkitError
from mountkit.logs import errors as logger
from mountkit.middleware.exchanges import ENDED, UNANSWERED, Exchange, close, has_left, note_error
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
    coroutine that is closed. An app that ends because its client has gone is left alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        exchange = Exchange(send)
        root_path = scope.get("root_path", "")
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as exc:
            if isinstance(exc, ANSWERS) or is_outside(exc):
                raise
            if await has_left(exc, exchange.state != UNANSWERED, scope, receive):
                if "mountkit.mount" in scope:  # which counts it
                    raise
                return
            app = note_error(scope, describe(exc), root_path)
            if not await contain(exc, app, exchange.state, scope, receive, send):
                if isinstance(exc, Exception):
                    raise
                raise MountkitError(f"{app} was ended by {describe(exc)}.") from exc


async def contain(
    exc: BaseException, app: str, state: str, scope: Scope, receive: Receive, send: Send
) -> bool:
    """Answer in the place of an app that has raised; see `ContainMiddleware`.

    Args:
        app: for messages.
        state: how far its answer is; see `exchanges`.

    Returns:
        Whether that was possible; else the exception has to go up.
    """
    if state == UNANSWERED:
        logger.error("%s raised and answers 500.", app, exc_info=exc)
        await answer(500, scope, receive, send, was_called=True)
    elif scope["type"] == "websocket" and state != ENDED:
        logger.error("%s raised and is closed with 1011.", app, exc_info=exc)
        await close(state, send)
    else:
        return False
    return True
