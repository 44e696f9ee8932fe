"""What several layers need to know of a request: how far its answer is, and whose it is."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from starlette.types import Message, Scope, Send

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
_AFTER: Final = {**STARTS, "websocket.close": ENDED}

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


def note_error(scope: Scope, error: str) -> str:
    """Tell the mount, if there is one, that a layer has answered in its app's place.

    Returns:
        The app, for messages: its mount and the line of that, or else its prefix.
    """
    mount = scope.get("mountkit.mount")
    if mount is None:
        return f"The app at {scope.get('root_path') or '/'!r}"
    mount.error = error
    return str(mount.where)


async def close(state: str, send: Send) -> None:
    """Close an open websocket with 1011 (RFC 6455, section 7.4.1), or end the response that denies
    it. Does nothing if the client has gone."""
    message: Message = {"type": "websocket.close", "code": 1011, "reason": ""}
    if state == STARTED:
        message = {"type": "websocket.http.response.body", "body": b""}
    with suppress(Exception):
        await send(message)
