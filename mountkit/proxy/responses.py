"""What an upstream answers, read strictly (RFC 9112): what two readers may read in two ways is no
response.

Nothing here waits: `read_head` and `Body` take bytes and return what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mountkit.proxy.errors import ProxyError

Headers = list[tuple[bytes, bytes]]

#: Bytes of a head, and of the trailers of a body, at most.
MAX_HEAD: Final = 128 * 1024
#: Interim responses (1xx) before a response, at most.
MAX_INTERIM: Final = 100
#: Framings other than a length: in chunks, and until the connection ends.
CHUNKED: Final = -1
UNTIL_END: Final = -2

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: .*)?")
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0D})
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
# The longest line of a size that is waited for.
_MAX_SIZE_LINE = 4096

#: Of one connection only (RFC 9110, section 7.6.1), or of a proxy and its own client.
HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"),
        *(b"transfer-encoding", b"proxy-authenticate", b"proxy-authorization"),
    }
)
# What this module reads.
_READ = frozenset((b"connection", b"content-length", b"transfer-encoding"))


@dataclass(slots=True)
class Head:
    """The head of a response.

    Attributes:
        headers: names in lower case, in the order in which they came.
        kept: those of them that are passed on: without those of the connection.
        framing: the length of the body, `CHUNKED` or `UNTIL_END`.
        is_kept: the connection can be used again after the body.
        has_trailers: it says so.
    """

    status: int
    headers: Headers
    kept: Headers
    framing: int
    is_kept: bool
    has_trailers: bool


def named_by_connection(headers: Headers) -> Collection[bytes]:
    """The names of headers that belong to one connection, because `Connection` says so."""
    values = [value for name, value in headers if name == b"connection"]
    if not values:
        return ()
    return {option.strip(b" \t") for option in b",".join(values).lower().split(b",")}


def read_head(data: bytes, method: str) -> tuple[Head, bytes] | None:
    """The head that some bytes begin with, and the bytes after it; `None` if it is not whole.

    Args:
        method: of the request: it decides whether there is a body.

    Raises:
        ProxyError: it cannot be read, or can be read in several ways.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        if len(data) >= MAX_HEAD:
            raise ProxyError(502, f"The head of the response has more than {MAX_HEAD} bytes.")
        return None
    first, *lines = _lines(data[:end])
    match = _STATUS.fullmatch(first)
    if match is None:
        raise ProxyError(502, f"The response begins with {first[:80]!r}.")
    headers = _headers(lines)
    is_old, status = match[1] == b"0", int(match[2])
    own = [pair for pair in headers if pair[0] in _READ]
    named = named_by_connection(own)
    framing = _framing(status, own, method, is_old=is_old)
    rest = data[end + 4 :]
    if rest and status >= 200 and (method == "HEAD" or status in (204, 304)):
        raise ProxyError(502, "The response has a body that it must not have.")
    is_kept = not is_old and framing != UNTIL_END and b"close" not in named
    # A server would wait for the body of which a 304 tells the length.
    dropped = HOP_BY_HOP | {b"content-length"} if status in (204, 304) else HOP_BY_HOP
    kept = [pair for pair in headers if pair[0] not in dropped and pair[0] not in named]
    has_trailers = framing == CHUNKED and any(name == b"trailer" for name, _ in headers)
    return Head(status, headers, kept, framing, is_kept, has_trailers), rest


def _lines(head: bytes) -> list[bytes]:
    """The lines of a head: with no bare CR or LF, and no control characters."""
    lines = head.split(b"\r\n")
    breaks = len(lines) - 1
    is_clean = head.count(b"\r") == breaks and head.count(b"\n") == breaks
    if not is_clean or len(head.translate(None, _CONTROLS)) != len(head):
        raise ProxyError(502, f"The response has a control character in {head[:80]!r}.")
    return lines


def _headers(lines: list[bytes]) -> Headers:
    headers: Headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((_name(name), value.strip(b" \t")))
        if len(name) == len(line):
            raise ProxyError(502, f"The response has the line {line[:80]!r}.")
    return headers


@lru_cache(1000)
def _name(name: bytes) -> bytes:
    """In lower case: no line is folded, and no space comes before the colon."""
    if not _NAME.fullmatch(name):
        raise ProxyError(502, f"The response has the header {name[:80]!r}.")
    return name.lower()


def _framing(status: int, own: Headers, method: str, *, is_old: bool) -> int:
    """RFC 9112, section 6.3."""
    lengths = [value for name, value in own if name == b"content-length"]
    codings = [value for name, value in own if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise ProxyError(502, "The response says more than once how long its body is.")
    if codings and (is_old or codings[0].lower() != b"chunked"):
        raise ProxyError(502, f"The response has the transfer coding {codings[0]!r}.")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise ProxyError(502, f"The response has the length {lengths[0]!r}.")
    if status < 200 or status == 204:
        if codings or (lengths and int(lengths[0])):
            raise ProxyError(502, f"A response with the status {status} has a body.")
        return 0
    if method == "HEAD" or status == 304:
        return 0
    if codings:
        return CHUNKED
    return int(lengths[0]) if lengths else UNTIL_END


class Body:
    """The body of a response, taken out of its framing.

    Attributes:
        is_ended: all of it has come.
        rest: what came after it.
        trailers: that have come with the end, but for those of the connection.
    """

    def __init__(self, framing: int) -> None:
        self._framing = framing
        self.is_ended: bool = framing == 0
        self.rest: bytes = b""
        self.trailers: Headers = []
        self._left = max(framing, 0)  # of the body, or of the chunk
        self._pending = b""  # of a line that is not whole
        self._is_after_chunk = self._is_in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """The body's part of what has come.

        Raises:
            ProxyError: that is not a chunk.
        """
        if self._framing == UNTIL_END:
            return data
        if self._framing != CHUNKED:
            return self._take(data)
        if not self._pending and len(data) < self._left:  # within a chunk
            self._left -= len(data)
            return data
        parts, position, data = [], 0, self._pending + data
        self._pending = b""
        while not self.is_ended and position < len(data):
            if self._left:
                part = data[position : position + self._left]
                self._left -= len(part)
                self._is_after_chunk = not self._left
                parts.append(part)
                position += len(part)
                continue
            step = self._line(data, position)
            if not step:
                self._pending = data[position:]
                break
            position += step
        else:
            self.rest = data[position:]
        return b"".join(parts)

    def _take(self, data: bytes) -> bytes:
        if len(data) > self._left:
            data, self.rest = data[: self._left], data[self._left :]
        self._left -= len(data)
        self.is_ended = not self._left
        return data

    def _line(self, data: bytes, position: int) -> int:
        """How long the line is that begins here; 0 if it is not whole."""
        if self._is_in_trailers:
            return self._trailers(data, position)
        if self._is_after_chunk:
            if data[position : position + 2] == b"\r\n":
                self._is_after_chunk = False
                return 2
            if data[position:] == b"\r":
                return 0
            raise ProxyError(502, "A chunk of the response is longer than it says.")
        match = _SIZE.match(data, position, position + _MAX_SIZE_LINE)
        if match is None:
            if b"\n" in data[position:] or len(data) - position >= _MAX_SIZE_LINE:
                raise ProxyError(
                    502, f"{data[position : position + 40]!r} is not the size of a chunk."
                )
            return 0
        self._left = int(match[1], 16)
        self._is_in_trailers = not self._left
        return match.end() - position

    def _trailers(self, data: bytes, position: int) -> int:
        if data[position : position + 2] == b"\r\n":
            self.is_ended = True
            return 2
        end = data.find(b"\r\n\r\n", position)
        if end < 0 and len(data) - position < MAX_HEAD:
            return 0
        if end < 0:
            raise ProxyError(502, f"The trailers of the response have more than {MAX_HEAD} bytes.")
        found = _headers(_lines(data[position:end]))
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in found):
            raise ProxyError(502, "The trailers of the response say how long its body is.")
        self.trailers = [pair for pair in found if pair[0] not in HOP_BY_HOP]
        self.is_ended = True
        return end + 4 - position

    def end(self) -> None:
        """The connection has ended.

        Raises:
            ProxyError: the body has not.
        """
        if self._framing != UNTIL_END:
            raise ProxyError(502, "The connection ended before the body of the response.")
        self.is_ended = True
