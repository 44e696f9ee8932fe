"""What an app may send. Servers differ in what they make of a response that is none: they drop the
connection, end the process, or send it as it is, so that one response becomes two."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from starlette.types import Message, Scope

from mountkit.exceptions import ImproperResponseError, shown

# RFC 9110, section 5.6.2: what the name of a header and a subprotocol are made of.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, section 5.5: what the value of a header is not made of. A tab may be there.
_CONTROLS = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x09)
# Makes zeros of them: to look for a zero is quicker than to look for one of several bytes.
_ZEROED = bytes(byte not in _CONTROLS for byte in range(0x100))
_MAX_DIGITS = 19  # no length has more than 18
# RFC 9110, section 15: these have no body, whatever their headers say.
_BODILESS = (204, 304)
# RFC 6455, section 7.4, and IANA's registry: the codes that an endpoint may send.
_CODES = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
_REASON_LENGTH = 123
_BYTES = (bytes, bytearray, memoryview)
_LENGTH, _CODING = b"content-length", b"transfer-encoding"
# Names of headers that are proper, and which of them say where the body ends. Most apps send the
# same few; there is a limit, as an app may make them up.
_names: dict[bytes, bytes | None] = {}
_MAX_NAMES = 1000
# Goes out whenever it is sent, and is no part of the response.
_ASIDE = frozenset(("http.response.debug", "http.response.push", "http.response.early_hint"))
_FILES = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


class Progress(Protocol):
    """How far a response has come.

    Attributes:
        scope: of the request.
        status: 0 before it has started, 101 for an accepted websocket.
        is_complete: whether it is out, or the websocket closed.
        left: how many bytes of the body are to come; `None` if nobody has said it, -1 if there is
            no body.
        is_translated: a handshake is answered by an app that takes it for a request.
    """

    scope: Scope
    status: int
    is_complete: bool
    left: int | None
    is_translated: bool


def admit(progress: Progress, message: Message) -> Message | None:
    """Hold a message of an app against what it has sent before, and take down how far it is now.
    This is on the way of every message: the parts of a response are seen to here, one after the
    other, and all else by others.

    Returns:
        What is to be sent in its place, mostly the message itself; `None`: nothing.

    Raises:
        ImproperResponseError: it would make the response another than it says, or two of it.
    """
    kind = message["type"]
    if progress.scope["type"] != "http":
        return _of_websocket(progress, message)
    if kind == "http.response.body":
        if not progress.status or progress.is_complete:
            raise _untimely(progress, kind)
        body = message.get("body", b"")
        if body.__class__ is not bytes and not isinstance(body, _BYTES):
            raise ImproperResponseError(f"The body {_short(body)} is no bytes; encode it.")
        left = progress.left
        if left is None:
            return message
        if left < 0:
            return {**message, "body": b""} if body else message
        progress.left = left = left - len(body)
        if left < 0 or (left and not message.get("more_body")):
            raise ImproperResponseError(
                f"The body is {'longer' if left < 0 else 'shorter'} than the Content-Length that "
                f"was sent, by {abs(left)} bytes; leave that header to the framework."
            )
        return message
    if kind == "http.response.start":
        if progress.status:
            raise ImproperResponseError(
                f"{kind!r} was sent a second time; a request has one response."
            )
        message, length = checked_start(message)
        progress.status = status = message["status"]
        if status in _BODILESS:
            progress.left = -1
        elif length is not None and progress.scope.get("method") != "HEAD":
            progress.left = length
        return message
    if kind in _FILES:  # which the server reads
        if not progress.status or progress.is_complete:
            raise _untimely(progress, kind)
        return message
    return _other(progress, message)


def _untimely(progress: Progress, kind: str) -> ImproperResponseError:
    when = "after its end" if progress.is_complete else "before its start"
    return ImproperResponseError(
        f"{kind!r} was sent {when}; send 'http.response.start' once, then the body."
    )


def _other(progress: Progress, message: Message) -> Message:
    kind = message["type"]
    if not kind.startswith("http."):
        raise ImproperResponseError(f"{kind!r} was sent for a request; that is a websocket's.")
    is_late = progress.is_complete and kind != "http.response.trailers"
    if kind not in _ASIDE and (is_late or not progress.status):
        when = "after the end" if is_late else "before the start"
        raise ImproperResponseError(f"{kind!r} was sent {when} of the response.")
    return message


def _of_websocket(progress: Progress, message: Message) -> Message | None:
    kind = message["type"]
    if kind.startswith("http.response.") and progress.status != 101:
        return _translated(progress, message)
    if progress.is_complete:
        raise ImproperResponseError(f"{kind!r} was sent after the end of the websocket.")
    if kind == "websocket.send":
        if progress.status != 101:
            raise ImproperResponseError(f"{kind!r} was sent before 'websocket.accept'.")
        text, data = message.get("text"), message.get("bytes")
        if not (isinstance(data, _BYTES) if text is None else isinstance(text, str)):
            raise ImproperResponseError(
                f"A message of text={_short(text)}, bytes={_short(data)} is none; send one of them."
            )
    elif kind == "websocket.close":
        if progress.status == 101:
            _check_close(message)
        else:
            progress.status = progress.status or 403
    elif kind == "websocket.accept" or kind == "websocket.http.response.start":
        if progress.status:
            raise ImproperResponseError(f"{kind!r} was sent after the handshake was answered.")
        if kind == "websocket.accept":
            message = checked_accept(message)
            progress.status = 101
        else:
            message, _ = checked_start(message)
            progress.status = message["status"]
    elif kind == "websocket.http.response.body":
        if progress.status in (0, 101):
            raise ImproperResponseError(f"{kind!r} was sent before its start.")
    else:
        raise ImproperResponseError(f"{kind!r} was sent for a websocket, which knows no such one.")
    return message


def _translated(progress: Progress, message: Message) -> Message | None:
    """What an app means that answers a handshake as if it were a request. Sanic, Muffin and
    Socket.IO do it; no server has a rule for that."""
    kind = message["type"]
    if kind == "http.response.start" and not progress.status:
        message, _ = checked_start(message)
        progress.is_translated = True
        if "websocket.http.response" not in (progress.scope.get("extensions") or {}):
            progress.status = 403  # that is what servers make of it
            return {"type": "websocket.close", "code": 1000, "reason": ""}
        progress.status = message["status"]
        return {**message, "type": "websocket.http.response.start"}
    if kind == "http.response.body" and progress.is_translated:
        if progress.is_complete:
            return None
        return {**message, "type": "websocket.http.response.body"}
    raise ImproperResponseError(f"{kind!r} was sent for a websocket; accept or close it.")


def checked_start(message: Message) -> tuple[Message, int | None]:
    """A proper start of a response, and the length of the body if it says one.

    Raises:
        ImproperResponseError: its status is none, or a header.
    """
    status = message.get("status")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ImproperResponseError(
            f"The status {_short(status)} is none of a response; send a number from 200 to 599."
        )
    headers = message.get("headers", ())
    if type(headers) is not list and type(headers) is not tuple:
        message = {**message, "headers": (headers := _pairs(headers))}
    length, is_doubled = _check_headers(headers)
    if is_doubled and length is not None:  # RFC 9112, section 6.2: nobody may send it twice
        others = [pair for pair in headers if _names[pair[0]] is not _LENGTH]
        message = {**message, "headers": [*others, (_LENGTH, b"%d" % length)]}
    return message, length


def checked_accept(message: Message) -> Message:
    """A proper acceptance of a websocket.

    Raises:
        ImproperResponseError: its subprotocol is none, or a header.
    """
    subprotocol = message.get("subprotocol")
    if subprotocol is not None and not (
        isinstance(subprotocol, str)
        and subprotocol.isascii()
        and _TOKEN.fullmatch(subprotocol.encode())
    ):
        raise ImproperResponseError(
            f"The subprotocol {_short(subprotocol)} is none; send one of those that were offered."
        )
    headers = _pairs(message.get("headers") or ())
    _check_headers(headers)
    return {**message, "headers": headers}


def _check_close(message: Message) -> None:
    code, reason = message.get("code", 1000), message.get("reason") or ""
    if not isinstance(code, int) or not any(code in codes for codes in _CODES):
        raise ImproperResponseError(
            f"The close code {_short(code)} is none; send 1000, or a number from 3000 to 4999."
        )
    if not isinstance(reason, str) or len(reason.encode()) > _REASON_LENGTH:
        raise ImproperResponseError(
            f"The reason {_short(reason)} is no text of up to {_REASON_LENGTH} bytes; shorten it."
        )


def _pairs(headers: Any) -> list[Any]:
    if not isinstance(headers, Iterable):
        raise ImproperResponseError(
            f"The headers {_short(headers)} are none; send a list of pairs of bytes."
        )
    return list(headers)  # an iterator can be read once


def _check_headers(headers: Iterable[Any]) -> tuple[int | None, bool]:
    """The length of the body, if they say it, and whether they say it more than once.

    This is on the way of every response. Names are known after they came once; of the values a
    control character is searched in all of them together.
    """
    length: int | None = None
    is_doubled = False
    codings = 0
    values = []
    learned = _names.get
    try:
        for name, value in headers:
            values.append(value)
            framing = learned(name, b"")
            if framing is None:  # most of them
                continue
            if not framing:
                framing = _learn_name(name)
            if framing is _LENGTH:
                said = int(value) if value.isdigit() and len(value) < _MAX_DIGITS else -1
                if length is not None:
                    is_doubled = True
                    said = said if said == length else -1
                if said < 0:
                    raise ImproperResponseError(
                        f"The Content-Length {_short(value)} is none, or a second one; leave it to "
                        "the framework."
                    )
                length = said
            elif framing is _CODING:
                codings += 1
                if value.lower() != b"chunked" or codings > 1:
                    raise ImproperResponseError(
                        f"The Transfer-Encoding {_short(value)} is the server's to say; leave it "
                        "out."
                    )
        is_improper = 0 in b"".join(values).translate(_ZEROED)
    except (TypeError, ValueError, AttributeError):
        bad = next((pair for pair in headers if not _is_pair(pair)), headers)
        raise ImproperResponseError(
            f"The header {_short(bad)} is no pair of bytes; encode both, as latin-1."
        ) from None
    if is_improper:
        bad = next(value for value in values if 0 in bytes(value).translate(_ZEROED))
        raise ImproperResponseError(
            f"The header value {_short(bad)} has a control character in it; remove it, as it may "
            "begin another header."
        )
    if codings and length is not None:
        raise ImproperResponseError(
            "The response has a Content-Length and a Transfer-Encoding; leave both to the server."
        )
    return length, is_doubled


def _is_pair(pair: Any) -> bool:
    try:
        name, value = pair
    except (TypeError, ValueError):
        return False
    return isinstance(name, bytes) and isinstance(value, (bytes, bytearray))


def _learn_name(name: Any) -> bytes | None:
    """Refuse what is no name of a header, and remember it otherwise; see `_names`."""
    if not isinstance(name, bytes) or not _TOKEN.fullmatch(name):
        raise ImproperResponseError(
            f"The header name {_short(name)} is none; send bytes such as b'x-name'."
        )
    if len(_names) >= _MAX_NAMES:
        _names.clear()
    lower = name.lower()
    _names[name] = framing = next((n for n in (_LENGTH, _CODING) if n == lower), None)
    return framing


def _short(value: object) -> str:
    """For messages: what an app sends may be long, and may have no text."""
    text = shown(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
