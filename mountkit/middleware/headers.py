"""Headers, status and subprotocol of an answer: what HTTP and websockets allow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

from starlette.types import Message

from mountkit.exceptions import ImproperResponseError, shown

# RFC 9110, section 5.6.2: the characters of a header name and of a subprotocol.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, section 5.5: a header value contains no control characters, except the tab. They become
# zeros here: one byte is found faster than one of several.
_ZEROED = bytes(byte == 0x09 or 0x20 <= byte != 0x7F for byte in range(0x100))
_MAX_DIGITS = 18  # of a length
_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_MAX_NAMES = 1000


class _Names(dict[Any, bytes]):
    """Valid header names that were seen: `_LENGTH` or `_CODING` if they say where the body ends.
    Most apps send the same few, but an app may make them up, so there is a limit."""

    def __missing__(self, name: Any) -> bytes:
        if not isinstance(name, bytes) or not _TOKEN.fullmatch(name):
            refuse("Header name {} is not valid; send bytes such as b'x-name'.", name)
        if len(self) >= _MAX_NAMES:
            self.clear()
        kinds = {_LENGTH: _LENGTH, _CODING: _CODING}
        return self.setdefault(name, kinds.get(name.lower(), b""))


_names = _Names()


def checked_start(message: Message) -> tuple[Message, int | None]:
    """A valid start of a response, and the length of its body: `None` if it does not say one, -1
    if this status has no body.

    Raises:
        ImproperResponseError: its status or a header is not valid.
    """
    status = message.get("status")
    if not isinstance(status, int) or not 200 <= status <= 599:
        refuse("Status {} is not a valid response status; send 200 to 599.", status)
    headers = message.get("headers", ())
    if type(headers) is not list and type(headers) is not tuple:
        message = {**message, "headers": (headers := _listed(headers))}
    length, lines = _framing(headers)
    if status in (204, 304):  # RFC 9110, section 15: no body, whatever the headers say
        length, once = -1, []
    elif length is not None and lines > 1:  # RFC 9112, section 6.2: only one may be sent
        once = [(_LENGTH, b"%d" % length)]
    else:
        return message, length
    kept = [pair for pair in headers if pair[0].lower() not in (_LENGTH, _CODING)]
    return {**message, "headers": kept + once}, length


def checked_accept(message: Message) -> Message:
    """A valid acceptance of a websocket.

    Raises:
        ImproperResponseError: its subprotocol or a header is not valid.
    """
    text = message.get("subprotocol")
    is_text = isinstance(text, str)
    if text is not None and not (is_text and _TOKEN.fullmatch(text.encode("ascii", "replace"))):
        refuse("Subprotocol {} is not valid; send one that the client has offered.", text)
    headers = _listed(message.get("headers") or ())
    _framing(headers)
    return {**message, "headers": headers}


def checked_trailers(message: Message) -> Message:
    """Valid trailers, which cannot say where the body ends (RFC 9110, section 6.5.1).

    Raises:
        ImproperResponseError: a header is not valid.
    """
    headers = message.get("headers", ())
    if type(headers) is not list and type(headers) is not tuple:
        message = {**message, "headers": (headers := _listed(headers))}
    if _framing(headers)[1]:
        refuse("Trailers {} say where the body ends; say it at the start.", headers)
    return message


def _listed(headers: Any) -> list[Any]:
    if not isinstance(headers, Iterable):
        refuse("Headers {} are not a list; send pairs such as (b'x-name', b'value').", headers)
    return list(headers)  # an iterator can be read only once


def _framing(headers: Iterable[Any]) -> tuple[int | None, int]:
    """Check headers; return the length of the body if one says it, and how many say where it ends.

    Every response comes here, so all values are searched for control characters together.
    """
    values = []
    length: int | None = None
    lines = 0
    names = _names
    try:
        for name, value in headers:
            values.append(value)
            kind = names[name]
            if kind:
                lines += 1
                if kind is _LENGTH and lines == 1 and value.isdigit() and len(value) <= _MAX_DIGITS:
                    length = int(value)
                else:
                    length = _framed(kind, value, length, lines)
        is_improper = 0 in b"".join(values).translate(_ZEROED)
    except (TypeError, ValueError, AttributeError):
        bad = next((pair for pair in headers if not _is_pair(pair)), headers)
        refuse("Header {} is not a pair of bytes; encode name and value as latin-1.", bad)
    if is_improper:
        bad = next(value for value in values if 0 in bytes(value).translate(_ZEROED))
        reason = "contains a control character; remove it, because it could start another header."
        refuse("Header value {} " + reason, bad)
    return length, lines


def _framed(kind: bytes, value: Any, before: int | None, line: int) -> int | None:
    """The length of a body after one more header about it; all agree (RFC 9112, section 6.3)."""
    if kind is _LENGTH:
        length = int(value) if value.isdigit() and len(value) <= _MAX_DIGITS else -1
        if length < 0 or (line > 1 and length != before):
            reason = "is not a length, or another header says where the body ends"
            refuse("Content-Length {} " + reason + "; leave this header to the framework.", value)
        return length
    if value.lower() != b"chunked" or line > 1:
        refuse("Transfer-Encoding {} is for the server to choose; leave this header out.", value)
    return None


def _is_pair(pair: Any) -> bool:
    try:
        name, value = pair
    except (TypeError, ValueError):
        return False
    return isinstance(name, bytes) and isinstance(value, (bytes, bytearray))


def refuse(text: str, *values: object) -> NoReturn:
    """Raise `ImproperResponseError`.

    Args:
        text: with braces for the values, which may be long, or have no text.
    """
    texts = [shown(value) for value in values]
    short = [one if len(one) <= 80 else f"{one[:77]}..." for one in texts]
    raise ImproperResponseError(text.format(*short)) from None
