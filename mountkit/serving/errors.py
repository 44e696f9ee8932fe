"""What becomes of an exception that a mounted app leaves to the app above it."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Message, Receive, Scope, Send

from mountkit.matching.locations import ascii_location


def with_ascii_location(send: Send) -> Send:
    """Percent-encode what an app has made of its prefix. A `Location` is a URI (RFC 9110,
    section 10.2.2), which is ASCII; Quart, BlackSheep and others send letters."""

    async def encode(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, ascii_location(value) if name.lower() == b"location" else value)
                for name, value in message.get("headers", ())
            ]
        await send(message)

    return encode


async def answer_error(exc: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an exception that a mounted app has left to whoever is above, or raise it.

    Where a router is above, that is its business. Otherwise it is done here as Starlette's
    routers do it, with the handlers of the app if there is one: in front of an app, its own
    `ExceptionMiddleware` is not reached, and in front of none there is none.
    """
    if isinstance(exc, MultiPartException) and "app" in scope:
        # Starlette's Request.form() does this where it sees an app above.
        exc = HTTPException(400, exc.message)
    if "starlette.exception_handlers" in scope:
        raise exc
    handlers = getattr(scope.get("app"), "exception_handlers", {}).items()

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise exc

    # Those of 500 are for ServerErrorMiddleware, which stands above this in any case.
    own = {key: handler for key, handler in handlers if key not in (500, Exception)}
    await ExceptionMiddleware(fail, own)({**scope}, receive, send)
