"""Answers in the place of an app: that it is not up, has failed, or may not be asked."""

from __future__ import annotations

import math
import signal
import threading
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from mountkit.matching.paths import ascii_location
from mountkit.serving.flights import Refused, current_task
from mountkit.websockets import refuse_websocket


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


def is_outside(exc: BaseException, task: Any = None) -> bool:
    """Whether an exception has come from outside of the app: Ctrl-C, a cancellation, or the end of
    a coroutine that nobody awaits any more. An app that raises `SystemExit`, or any of these by
    itself, is not to end the server.

    Args:
        task: asyncio's, in which the app was called.
    """
    if isinstance(exc, Exception):
        return False
    if isinstance(exc, GeneratorExit):
        return not _is_in_task(task)
    if isinstance(exc, anyio.get_cancelled_exc_class()):
        task = current_task()  # none in trio, where nobody can raise a cancellation of his own
        return task is None or task.cancelling() > 0
    if isinstance(exc, BaseExceptionGroup):
        return any(is_outside(part, task) for part in exc.exceptions)
    return isinstance(exc, KeyboardInterrupt) and _may_be_ctrl_c()


def _may_be_ctrl_c() -> bool:
    """Whether a signal may raise here. Servers have handlers of their own, which raise nothing."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, partial):  # of asyncio.Runner
        handler = handler.func
    module = getattr(handler, "__module__", None) or ""
    return handler is signal.default_int_handler or module.startswith(("asyncio.run", "trio."))


def _is_in_task(task: Any) -> bool:
    if task is not None:
        return task is current_task()
    try:
        anyio.get_current_task()
    except RuntimeError:
        return False
    return True


def describe(exc: BaseException) -> str:
    """An exception in a line."""
    if isinstance(exc, Refused):
        return str(exc)
    name = type(exc).__name__
    try:
        return f"{name}: {exc}"
    except Exception:
        return name


async def answer(
    status: int, scope: Scope, receive: Receive, send: Send, *, was_called: bool = False
) -> None:
    """A short answer in the place of the app's.

    Args:
        was_called: the app may have received the start of a websocket's handshake.
    """
    if scope["type"] == "websocket":
        await refuse_websocket(scope, None if was_called else receive, send, status)
        return
    headers = {"cache-control": "no-store"}
    if status in (429, 503):
        headers["retry-after"] = "1"
    await PlainTextResponse(HTTPStatus(status).phrase, status, headers)(scope, receive, send)


async def answer_unavailable(retry_at: float, scope: Scope, receive: Receive, send: Send) -> None:
    """503 for an app that is not up (RFC 9110, section 15.6.4)."""
    if scope["type"] == "websocket":
        await refuse_websocket(scope, receive, send, 503)
        return
    seconds = max(1, math.ceil(retry_at - monotonic()))
    headers = {"retry-after": str(seconds), "cache-control": "no-store"}
    await PlainTextResponse("Service Unavailable", 503, headers)(scope, receive, send)


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
