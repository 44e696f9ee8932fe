"""Headers, status and subprotocol of an answer: what HTTP and websockets allow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

from starlette.types import Message

from mountkit.exceptions import ImproperResponseError, shown

# RFC 9110, section 5.6.2: the characters of a header name and of a subprotocol.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, section 5.5: a header value contains no control characters, except the tab.
_CONTROLS = bytes(byte for byte in (*range(0x20), 0x7F) if byte != 0x09)
# Makes zeros of them: one byte is found faster than one of several.
_ZEROED = bytes(byte not in _CONTROLS for byte in range(0x100))
_MAX_DIGITS = 18  # of a length
_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_CHUNKED = -2  # stands for a length that the server finds out
# RFC 9110, section 15: these have no body, whatever their headers say.
_BODILESS = (204, 304)
# Valid header names that were seen, with `_LENGTH` or `_CODING` if they say where the body ends.
# Most apps send the same few, but an app may make them up, so there is a limit.
_names: dict[bytes, bytes | None] = {}
_MAX_NAMES = 1000


def checked_start(message: Message) -> tuple[Message, int | None]:
    """A valid start of a response, and the length of its body: `None` if it does not say one, -1
    if a response with this status has no body.

    Raises:
        ImproperResponseError: its status or a header is not valid.
    """
    status = message.get("status")
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ImproperResponseError(
            f"Status {short(status)} is not a valid response status; send 200 to 599."
        )
    headers = message.get("headers", ())
    if type(headers) is not list and type(headers) is not tuple:
        message = {**message, "headers": (headers := _pairs(headers))}
    length, lines = _framing(headers)
    if status in _BODILESS:
        if lines:
            message = {**message, "headers": _without_framing(headers)}
        return message, -1
    if length is not None and lines > 1:  # RFC 9112, section 6.2: only one may be sent
        once = [*_without_framing(headers), (_LENGTH, b"%d" % length)]
        return {**message, "headers": once}, length
    return message, length


def checked_accept(message: Message) -> Message:
    """A valid acceptance of a websocket.

    Raises:
        ImproperResponseError: its subprotocol or a header is not valid.
    """
    subprotocol = message.get("subprotocol")
    if subprotocol is not None and not (
        isinstance(subprotocol, str)
        and subprotocol.isascii()
        and _TOKEN.fullmatch(subprotocol.encode())
    ):
        raise ImproperResponseError(
            f"Subprotocol {short(subprotocol)} is not valid; send one that the client has offered."
        )
    headers = _pairs(message.get("headers") or ())
    _framing(headers)
    return {**message, "headers": headers}


def _pairs(headers: Any) -> list[Any]:
    if not isinstance(headers, Iterable):
        raise ImproperResponseError(
            f"Headers {short(headers)} are not a list; send pairs such as (b'x-name', b'value')."
        )
    return list(headers)  # an iterator can be read only once


def _framing(headers: Iterable[Any]) -> tuple[int | None, int]:
    """Check the headers of an answer.

    This is on the way of every response, so a name is looked up after it was checked once, and all
    values are searched for control characters together.

    Returns:
        The length of the body if a header says it, and how many headers say where it ends.
    """
    values = []
    length: int | None = None
    lines = 0
    known = _names.get
    try:
        for name, value in headers:
            values.append(value)
            kind = known(name, b"")
            if kind is None:  # most of them
                continue
            if kind or (kind := _learn_name(name)):
                lines += 1
                if kind is _LENGTH and lines == 1 and value.isdigit() and len(value) <= _MAX_DIGITS:
                    length = int(value)
                else:
                    length = _framed(kind, value, length, lines)
        is_improper = 0 in b"".join(values).translate(_ZEROED)
    except (TypeError, ValueError, AttributeError):
        _refuse_pairs(headers)
    if is_improper:
        bad = next(value for value in values if 0 in bytes(value).translate(_ZEROED))
        raise ImproperResponseError(
            f"Header value {short(bad)} contains a control character; remove it, because it could "
            "start another header."
        )
    return (None if length == _CHUNKED else length), lines


def _framed(kind: bytes, value: Any, before: int | None, line: int) -> int:
    """The length of a body after one more header about it; all have to agree (RFC 9112, section
    6.3)."""
    if kind is _LENGTH:
        length = int(value) if value.isdigit() and len(value) <= _MAX_DIGITS else -1
        if length < 0 or before not in (None, length):
            raise ImproperResponseError(
                f"Content-Length {short(value)} is not a length, or another header says where the "
                "body ends; leave this header to the framework."
            )
        return length
    if value.lower() != b"chunked" or line > 1:
        raise ImproperResponseError(
            f"Transfer-Encoding {short(value)} is for the server to choose; leave this header out."
        )
    return _CHUNKED


def _without_framing(headers: Iterable[Any]) -> list[Any]:
    return [pair for pair in headers if pair[0].lower() not in (_LENGTH, _CODING)]


def _refuse_pairs(headers: Iterable[Any]) -> NoReturn:
    bad = next((pair for pair in headers if not _is_pair(pair)), headers)
    raise ImproperResponseError(
        f"Header {short(bad)} is not a pair of bytes; encode name and value as latin-1."
    ) from None


def _is_pair(pair: Any) -> bool:
    try:
        name, value = pair
    except (TypeError, ValueError):
        return False
    return isinstance(name, bytes) and isinstance(value, (bytes, bytearray))


def _learn_name(name: Any) -> bytes | None:
    """Check the name of a header and remember it; see `_names`."""
    if not isinstance(name, bytes) or not _TOKEN.fullmatch(name):
        raise ImproperResponseError(
            f"Header name {short(name)} is not valid; send bytes such as b'x-name'."
        )
    if len(_names) >= _MAX_NAMES:
        _names.clear()
    lower = name.lower()
    _names[name] = kind = next((known for known in (_LENGTH, _CODING) if known == lower), None)
    return kind


def short(value: object) -> str:
    """A value for a message: what an app sends may be long, or have no text."""
    text = shown(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
