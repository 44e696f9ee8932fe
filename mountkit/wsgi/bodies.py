"""A request's body, on its way from the event loop to the thread of a WSGI app."""

from __future__ import annotations

import io
from collections import deque
from tempfile import TemporaryFile
from typing import IO, Any

import anyio
import anyio.lowlevel
from starlette.types import Receive, Scope

from mountkit.wsgi.threads import ClientGone, Meeting

#: Bytes of a body that may be buffered between the event loop and a thread, each way.
BUFFER: int = 256 * 1024
# Seconds between looks at a `receive` that has more after the end of the body, as middleware has
# that replays a body for ever.
_PAUSE = 1.0
# Messages after which other tasks get their turn, if `receive` never suspends.
_TURNS = 16
_FRAMING = frozenset((b"content-length", b"content-type", b"expect", b"transfer-encoding"))


class RequestBody:
    """The body: up to `BUFFER` bytes in memory, and in a temporary file what comes beyond them
    before the app runs.

    Args:
        scope: the request's.
        meeting: of the thread and the loop.
        limit: how many bytes are received before the app is called.
        cut_off: the exception by which the app is told that a body without a length was cut off,
            or `None`.

    Attributes:
        length: in bytes, as declared; `None` if only the end will tell.
        is_expected: the client waits for `100 Continue` before it sends.
        size: the bytes that have come and were not read.
        is_wanted: the app has begun to read.
        is_ended: all has come.
        is_taken: the app has been called.
        is_left: the app has ended, and what still comes is dropped.
    """

    def __init__(self, scope: Scope, meeting: Meeting, limit: int, cut_off: Any) -> None:
        self._meeting = meeting
        self._cut_off = cut_off
        self.limit = limit
        self._chunks: deque[bytes] = deque()
        self._file: IO[bytes] | None = None  # what comes after the chunks
        self._read = self._messages = 0  # bytes of the file; messages received
        names = {name: value for name, value in scope["headers"] if name in _FRAMING}
        length = names.get(b"content-length", b"")
        # A transfer coding goes before a length (RFC 9112, section 6.3). HTTP/2, and scopes that no
        # HTTP server has made, have bodies without either.
        is_known = b"transfer-encoding" not in names and length.isdigit() and len(length) < 20
        self.length: int | None = int(length) if is_known else None
        is_old = scope.get("http_version", "1.1").startswith("1")
        if not names and is_old and scope["method"] in ("GET", "HEAD"):
            self.length = 0
        self.is_expected: bool = b"expect" in names
        self.size: int = 0
        self.is_wanted: bool = False
        self.is_ended: bool = self.length == 0
        self.is_taken: bool = False
        self.is_left: bool = False

    async def receive(self, receive: Receive) -> None:
        """Receive one message. It lets other tasks run also if `receive` never does."""
        message = await receive()
        if message["type"] == "http.disconnect":
            self._meeting.abandon()
        elif self.is_ended:
            await anyio.sleep(_PAUSE)
        else:
            with self._meeting.lock:
                if (chunk := message.get("body")) and not self.is_left:
                    self._keep(chunk)
                self.is_ended = not message.get("more_body", False)
                self._meeting.notify()
            self._messages += 1
            if not self._messages % _TURNS:
                await anyio.lowlevel.checkpoint()

    def _keep(self, chunk: bytes) -> None:
        if self._file is None and not self.is_taken and self.size + len(chunk) > BUFFER:
            self._file = TemporaryFile()  # noqa: SIM115
            self._read = 0
        if self._file is None:
            self._chunks.append(chunk)
        else:
            self._file.seek(0, io.SEEK_END)
            self._file.write(chunk)
        self.size += len(chunk)

    @property
    def has_room(self) -> bool:
        """Whether more may be received; after the end, that is the client's going."""
        return (
            self.is_ended or self.is_left or self.size < (BUFFER if self.is_taken else self.limit)
        )

    def open(self) -> tuple[io.BufferedIOBase, int | None]:
        """The body as `wsgi.input`, and its length, for the thread; called once, with the app."""
        with self._meeting.lock:
            self.is_taken = True
            # Who reads to the end of a stream without a length is told none.
            is_counted = self.is_ended and (self.length is not None or self._cut_off is None)
            length = self.size if is_counted else self.length
            if self.is_ended and self._file is None:
                return io.BytesIO(b"".join(self._chunks)), length
            return io.BufferedReader(_Input(self)), length

    def take(self) -> bytes:
        """Wait for a chunk, in the thread; empty at the end.

        Raises:
            Exception: the client has gone.
        """
        with self._meeting.lock:
            self.is_wanted = True
            self._meeting.wake("sender")
            try:
                self._meeting.hold(lambda: self.size or self.is_ended)
            except ClientGone as exc:
                if self.length is None and self._cut_off is not None:
                    raise self._cut_off from exc
                raise
            chunk = self._chunks.popleft() if self._chunks else self._read_file()
            self.size -= len(chunk)
            self._meeting.wake("receiver")
            return chunk

    def _read_file(self) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(self._read)
        chunk = self._file.read(BUFFER)
        self._read += len(chunk)
        if len(chunk) == self.size:  # what still comes goes through memory
            self._file.close()
            self._file = None
        return chunk

    def close(self) -> None:
        """Drop the temporary file. The meeting was abandoned, so the thread reads no more."""
        file = self._file
        if file is not None:
            with self._meeting.lock:
                file.close()


class _Input(io.RawIOBase):
    """`wsgi.input`, for an `io.BufferedReader`."""

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        rest = self._rest or memoryview(self._body.take())
        count = min(len(buffer), len(rest))
        buffer[:count], self._rest = rest[:count], rest[count:]
        return count
