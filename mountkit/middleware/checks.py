"""A check of what an app sends. Servers differ in what they do with an invalid response: they drop
the connection, end the process, or send it as it is, so that one response becomes two."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.logs import errors as logger
from mountkit.middleware.exchanges import (
    ACCEPTED,
    ENDED,
    GONE,
    STARTED,
    UNANSWERED,
    close,
    coroutine_function,
    has_left,
    is_told,
    note_error,
)
from mountkit.middleware.headers import checked_accept, checked_start, checked_trailers, refuse

_START = "http.response.start"
_BODY = "http.response.body"
_FILES = ("http.response.pathsend", "http.response.zerocopysend")
_TRAILERS = "http.response.trailers"
_EARLY = {"http.response.debug", "http.response.push", "http.response.early_hint"}
_BYTES = (bytes, bytearray, memoryview)
# RFC 6455, section 7.4, and IANA's registry: the close codes that an endpoint may send.
_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
_LEFT = "left"  # a state: the client has gone, and nothing goes out any more
_WHEN = {UNANSWERED: "before the start", ENDED: "after the end"}
_ORDER = {
    "http": "response; send 'http.response.start' once, then the body.",
    "websocket": "websocket; accept or close it once, and send 'websocket.send' in between.",
}


class CheckMiddleware:
    """Stops messages that contradict the response so far, or that would start a second one.

    Checks status, headers, the length of the body and the order of messages, also of tasks that
    send at the same time, and the same for websockets. An invalid message raises
    `ImproperResponseError` in the app's call of `send`, and is not sent. Three faults are corrected
    instead: a 204 or 304 is sent without a body and its headers, a repeated Content-Length is sent
    once, and an HTTP response to a handshake denies the websocket. Messages of a later version of
    ASGI are left to the server.

    If the app returns without a response, the client gets 500, and one warning is logged; an open
    websocket is closed with 1011. A response that has started is left to the server, which breaks
    the connection. A message sent after the app has returned is refused.

    If the client has gone, invalid messages are dropped and nothing is logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._has_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turns = _TURNS.get(scope["type"])
        if turns is None:
            await self.app(scope, receive, send)
            return
        checked = Checked(turns, scope, receive, send)
        root_path = scope.get("root_path", "")
        try:
            await self.app(scope, checked.receive, checked.send)
        finally:
            # What a task sends that the app has left behind comes too late.
            state, checked.state = checked.state, ENDED
        if state == UNANSWERED and not await has_left(None, False, scope, receive):
            app = note_error(scope, "It returned without an answer.", root_path)
            if not self._has_warned:
                self._has_warned = True
                logger.warning("%s returned without an answer and answers 500.", app)
            with suppress(Exception):  # the client may have gone
                await answer(500, scope, receive, send, was_called=True)
        elif scope["type"] == "websocket" and state in (STARTED, ACCEPTED):
            await close(state, send)


class Checked:
    """Checks the messages of one request. What a message changes is recorded before it is sent, so
    that no other task can send the same meanwhile.

    Attributes:
        left: bytes of the body to come; `None` if that is not known, -1 if there is no body.
        has_trailers: whether they come after the body.
    """

    __slots__ = ("_asked", "_receive", "_send", "_turns", "has_trailers", "left", "scope", "state")

    def __init__(self, turns: _Turns, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope: Scope = scope
        self.state: str = UNANSWERED
        self.left: int | None = None
        self.has_trailers: bool = False
        self._asked: list[Message] = []  # what the app has yet to receive
        self._receive = receive
        self._send = send
        self._turns = turns

    async def receive(self) -> Message:
        """Receive a message; give this to the app as its `receive`. Some servers tell only once
        that the client has gone."""
        message = self._asked.pop(0) if self._asked else await self._receive()
        if self.state != ENDED and message["type"].endswith(".disconnect"):
            self.scope[GONE] = True
        return message

    @coroutine_function
    def send(self, message: Message) -> Awaitable[None]:
        """Check a message and send it; give this to the app as its `send`.

        Raises:
            ImproperResponseError: the message is not valid, or may not come now.
        """
        turn = self._turns[self.state].get(message["type"])
        if turn is None:
            return self._send_unexpected(message)
        check, after = turn
        if check is not None:
            message = check(self, message)
        if after is not ENDED or not message.get("more_body"):
            self.state = after
        return self._send(message)

    async def _send_unexpected(self, message: Message) -> None:
        kind = message["type"]
        if self.scope["type"] == "http":
            if kind == _TRAILERS and self.has_trailers and self.state == ENDED:
                message = checked_trailers(message)
                self.has_trailers = bool(message.get("more_trailers"))
                may_come = True
            elif self.state == STARTED:  # of a later version of ASGI, or an extension
                may_come = kind.startswith("http.") and kind not in (_START, _TRAILERS)
            else:
                may_come = kind in _EARLY and self.state == UNANSWERED
            if may_come:
                await self._send(message)
                return
        elif kind.startswith("http.response.") and self.state != ACCEPTED:
            # Sanic, Muffin and Socket.IO answer a handshake as if it were an HTTP request, and no
            # server expects that.
            if "websocket.http.response" in (self.scope.get("extensions") or {}):
                await self.send({**message, "type": f"websocket.{kind}"})
                return
            if self.state == ENDED:
                return  # what follows such a start
            if kind == _START:
                await self.send({"type": "websocket.close", "code": 1000, "reason": ""})
                return
        if await self._has_left():
            self.state = _LEFT
            return
        when = _WHEN.get(self.state, "after the start")
        refuse("{} was sent " + when + " of the " + _ORDER[self.scope["type"]], kind)

    async def _has_left(self) -> bool:
        """Whether the client has gone, so that a bare app may send what it wants."""
        if self.state == STARTED and GONE not in self.scope and await is_told(self._ask):
            self.scope[GONE] = True
        return GONE in self.scope

    async def _ask(self) -> Message:
        message = await self._receive()
        self._asked.append(message)
        return message


def _check_start(checked: Checked, message: Message) -> Message:
    message, length = checked_start(message)
    if length is not None and (length < 0 or checked.scope.get("method") != "HEAD"):
        checked.left = length
    checked.has_trailers = bool(message.get("trailers"))
    return message


def _check_body(checked: Checked, message: Message) -> Message:
    body = message.get("body", b"")
    if not isinstance(body, _BYTES):
        refuse("Body {} is not bytes; encode it.", body)
    left, kind = checked.left, message["type"]
    if left is not None and left < 0:
        return {**message, "type": _BODY if kind in _FILES else kind, "body": b""}
    if left is None or kind in _FILES:  # a file, which the server reads
        return message
    left -= len(body)
    if left < 0 or (left and not message.get("more_body")):
        size = f"{abs(left)} bytes {'longer' if left < 0 else 'shorter'}"
        refuse(f"The body is {size} than its Content-Length; leave this header to the framework.")
    checked.left = left
    return message


def _check_data(checked: Checked, message: Message) -> Message:
    text, data = message.get("text"), message.get("bytes")
    if not (isinstance(data, _BYTES) if text is None else isinstance(text, str)):
        fix = "send a str as text or bytes as bytes."
        refuse("A message with text={} and bytes={} has no data; " + fix, text, data)
    return message


def _check_close(checked: Checked, message: Message) -> Message:
    code, reason = message.get("code", 1000), message.get("reason") or ""
    if not isinstance(code, int) or code not in _CODES:
        refuse("Close code {} is not valid; send 1000, or a number from 3000 to 4999.", code)
    if not isinstance(reason, str) or len(reason.encode()) > 123:
        refuse("Close reason {} is not text of up to 123 bytes; shorten it.", reason)
    return message


# What may come in a state: how it is checked, and the state after it.
_Turn: TypeAlias = tuple[Callable[[Checked, Message], Message] | None, str]
_Turns: TypeAlias = dict[str, dict[str, _Turn]]
_TURNS: Final[dict[str, _Turns]] = {
    "http": {
        UNANSWERED: {_START: (_check_start, STARTED)},
        STARTED: dict.fromkeys((_BODY, *_FILES), (_check_body, ENDED)),
        ENDED: {},
        _LEFT: {},
    },
    "websocket": {
        UNANSWERED: {
            "websocket.accept": (lambda _, message: checked_accept(message), ACCEPTED),
            "websocket.http.response.start": (_check_start, STARTED),
            "websocket.close": (None, ENDED),
        },
        STARTED: {
            "websocket.http.response.body": (_check_body, ENDED),
            "websocket.close": (None, ENDED),
        },
        ACCEPTED: {
            "websocket.send": (_check_data, ACCEPTED),
            "websocket.close": (_check_close, ENDED),
        },
        ENDED: {},
        _LEFT: {},
    },
}
