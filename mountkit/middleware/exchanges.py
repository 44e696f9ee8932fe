"""What several layers need to know of a request: how far its answer is, and whose it is."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import anyio
from starlette.types import Message, Receive, Scope, Send

# How far an answer is. A response that denies a websocket is `STARTED` too.
UNANSWERED: Final = "unanswered"
STARTED: Final = "started"
ACCEPTED: Final = "accepted"
ENDED: Final = "ended"

#: Messages that have headers, and the state after them.
STARTS: Final = {
    "http.response.start": STARTED,
    "websocket.accept": ACCEPTED,
    "websocket.http.response.start": STARTED,
}
#: A key of a scope: whoever serves it was told that the client has gone.
GONE: Final = "mountkit.client_gone"
_AFTER: Final = {**STARTS, "websocket.close": ENDED}

# What is raised in an app whose client has gone, by package: client libraries have such names too
# (httpx2), and what a websocket raises in a request of HTTP is of another client.
_DEPARTURES: Final = {
    "http": {"lilya.ClientDisconnect", "starlette.ClientDisconnect", "werkzeug.ClientDisconnected"},
    "websocket": {"falcon.WebSocketDisconnected"}
    | {f"{name}.WebSocketDisconnect" for name in ("lilya", "litestar", "solara", "starlette")},
}
# What `send` raises, perhaps that of another websocket. An error of a database, or of a file, is
# the app's, whoever has gone.
_OF_SERVERS = {"gunicorn.ClientDisconnected", "uvicorn.ClientDisconnected"}
_OF_SEND = (BrokenPipeError, ConnectionAbortedError, ConnectionResetError)
# How long `receive` may take to tell what it knows, and how many parts of a body come before that.
_PATIENCE = 0.05
_UNREAD = 20

_Function = TypeVar("_Function", bound=Callable[..., Awaitable[None]])


def coroutine_function(function: _Function) -> _Function:
    """A plain function that passes for an `async def`, which asgiref's `async_to_sync`, and so
    Channels, wants of `send`. A coroutine for each message would double the cost of a layer."""
    vars(function)["_is_coroutine"] = getattr(asyncio.coroutines, "_is_coroutine", None)  # 3.11
    getattr(inspect, "markcoroutinefunction", id)(function)
    return function


class Exchange:
    """Watches the messages of one request.

    Attributes:
        state: how far the answer is. A message counts once it is sent, also if the server raises
            then, since it may be out; one that `CheckMiddleware` refuses does not count.
    """

    __slots__ = ("_send", "state")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.state: str = UNANSWERED

    @coroutine_function
    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on; give this to the app as its `send`."""
        after = self.state
        if after != STARTED:
            after = _AFTER.get(message["type"], after)
        elif not message.get("more_body"):
            after = ENDED
        sent = self._send(message)  # a check refuses the message here, and not when it is awaited
        self.state = after
        return sent


def note_error(scope: Scope, error: str, root_path: str) -> str:
    """Tell the mount, if there is one, that a layer has answered in its app's place.

    Args:
        root_path: of the scope, before the app was called: routers of Starlette change it.

    Returns:
        The app, for messages: its mount and the line of that, or else its prefix.
    """
    mount = scope.get("mountkit.mount")
    if mount is None:
        return f"The app at {root_path or '/'!r}"
    mount.error = error
    return str(mount.where)


async def has_left(
    exc: BaseException | None, is_answered: bool, scope: Scope, receive: Receive
) -> bool:
    """Whether an app has ended because its client has gone, which is nobody's fault.

    Args:
        exc: what it has raised; `None` if it has returned.
        is_answered: whether it has started to answer. Once an answer is complete, servers say that
            the client has gone.
        scope: the app's. What `receive` has told, which some servers do only once, is kept there.
        receive: the server's, which is asked if the exception does not tell.
    """
    if isinstance(exc, BaseExceptionGroup):
        return all([await has_left(part, is_answered, scope, receive) for part in exc.exceptions])
    names = {f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(exc).__mro__}
    if names & _DEPARTURES[scope["type"]]:
        # Starlette's StreamingResponse makes one of any OSError, also of the app's own.
        cause = None if exc is None else exc.__context__
        return not isinstance(cause, OSError) or await has_left(cause, False, scope, receive)
    if not (exc is None or isinstance(exc, _OF_SEND) or names & _OF_SERVERS):
        return False
    if is_answered and scope["type"] == "http":
        return False
    if GONE not in scope and await is_told(receive):
        scope[GONE] = True
    return GONE in scope


async def is_told(receive: Receive) -> bool:
    """Whether the server has a disconnect to tell, after what the app has not read."""
    with suppress(Exception), anyio.move_on_after(_PATIENCE):
        for _ in range(_UNREAD):
            if (await receive())["type"].endswith(".disconnect"):
                return True
    return False


async def close(state: str, send: Send) -> None:
    """Close an open websocket with 1011 (RFC 6455, section 7.4.1), or end the response that denies
    it. Does nothing if the client has gone."""
    message: Message = {"type": "websocket.close", "code": 1011, "reason": ""}
    if state == STARTED:
        message = {"type": "websocket.http.response.body", "body": b""}
    with suppress(Exception):
        await send(message)
