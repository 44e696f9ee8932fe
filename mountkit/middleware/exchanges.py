"""What several layers need to know of a request: how far its answer is, and whose it is."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from starlette.types import Message, Scope, Send

from mountkit.exceptions import ImproperResponseError

# How far an answer is. A response that denies a websocket is `STARTED` too.
UNANSWERED: Final = "unanswered"
STARTED: Final = "started"
ACCEPTED: Final = "accepted"
ENDED: Final = "ended"

#: Messages that have headers.
STARTS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")
#: The state after a message.
AFTER: Final = {
    "http.response.start": STARTED,
    "websocket.accept": ACCEPTED,
    "websocket.http.response.start": STARTED,
    "websocket.close": ENDED,
}


class Exchange:
    """Watches the messages of one request.

    Attributes:
        state: how far the answer is. A message counts from the moment it is sent, since it may be
            out even if `send` raises; one that `CheckMiddleware` refuses does not count.
    """

    __slots__ = ("_send", "state")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.state = UNANSWERED

    async def send(self, message: Message) -> None:
        """Pass a message on; give this to the app as its `send`."""
        before = self.state
        if before == STARTED:
            if not message.get("more_body"):
                self.state = ENDED
        else:
            self.state = AFTER.get(message["type"], before)
        try:
            await self._send(message)
        except ImproperResponseError:
            self.state = before
            raise


def where(scope: Scope) -> str:
    """The app that a scope belongs to, for messages: the mount and its line if there is one."""
    mount = scope.get("mountkit.mount")
    return f"The app at {scope.get('root_path') or '/'!r}" if mount is None else mount.where


def note_error(scope: Scope, error: str) -> None:
    """Tell the mount, if there is one, that a layer has answered in its app's place."""
    if "mountkit.mount" in scope:
        scope["mountkit.mount"].error = error


async def end_websocket(state: str, send: Send) -> None:
    """Close an open websocket with 1011 (RFC 6455, section 7.4.1), or end the response that denies
    it. Does nothing if the client has gone."""
    message: Message = {"type": "websocket.close", "code": 1011, "reason": ""}
    if state == STARTED:
        message = {"type": "websocket.http.response.body", "body": b""}
    with suppress(Exception):
        await send(message)
