"""One request to a WSGI app: the exchange between its thread and the event loop.

A request takes one hop to a thread, and its answer one hop back: by the time that the event loop is
woken, a small answer is complete. Long bodies pass through two bounded buffers.
"""

from __future__ import annotations

import contextvars
import io
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from starlette.types import Message, Receive, Scope, Send

from mountkit.exceptions import InterfaceError
from mountkit.frameworks import wsgi_route_of
from mountkit.logs import logger
from mountkit.wsgi.environs import environ_of
from mountkit.wsgi.threads import loop_caller

#: PEP 3333, "The Application/Framework Side".
WSGIApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


# Bytes of a body that may be buffered between the event loop and a thread, each way.
_BUFFER = 256 * 1024
# Seconds after which a second task watches the client while the app works on its answer.
_QUICK = 1.0
# Several chunks are joined if they are smaller than this many bytes on average.
_JOINED = 16 * 1024
_STATUS = re.compile(r"([2-9][0-9][0-9])(?: [^\x00-\x1f\x7f]*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# PEP 3333, "Other HTTP Features": these are the server's.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


class _ClientGone(ConnectionAbortedError):
    """Raised in an app that reads from, or writes to, a client that has gone."""


class Exchange:
    """One request and its answer, between the thread that runs the app and the event loop.

    `run` is for the thread; `receive_small_body` and `respond` are for the loop. `_lock` guards
    what both touch. The thread waits on it as a condition. The loop has two tasks, "sender" and
    "receiver"; each waits on an event of its own, and `_waiting` holds the function that sets it.
    """

    def __init__(self, app: WSGIApp, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._context = contextvars.copy_context()
        self._lock = threading.Condition()
        self._waiting: dict[str, Callable[[], None]] = {}
        # Used by the thread alone, until the answer is committed.
        self._environ: dict[str, Any] = {}
        self._start: Message = {}
        self._is_bodyless = False
        self._length: int | None = None  # of the body, if the app declared it
        self._written = 0
        # The request's body, for the thread.
        self._input: deque[bytes] = deque()
        self._input_size = 0
        self._is_input_wanted = False
        self._is_input_ended = body_length(scope) == 0
        # The answer, for the loop.
        self._output: list[bytes] = []
        self._output_size = 0
        self._is_committed = False  # the start of the answer may be sent
        self._is_ended = False  # the answer is complete
        self._error: BaseException | None = None
        self._is_done = False  # the thread has finished
        self._is_abandoned = False  # the client has gone, or the request was cancelled

    def run(self) -> None:
        """Run the app, from its call to `close()`."""
        try:
            if not self._is_abandoned:  # while it waited for a thread
                self._context.run(self._run_app)
        except _ClientGone:
            pass
        except BaseException as exc:  # SystemExit too: it must not end the server
            self._scope["route"] = wsgi_route_of(self._environ)
            with self._lock:  # either `respond` raises it, or it is logged here
                if self._is_abandoned:
                    logger.error("%r failed after its client had gone.", self._app, exc_info=exc)
                else:
                    self._error = exc
        with self._lock:
            self._environ = {}  # wsgi.input refers back to this
            self._is_done = True
            self._wake("sender")

    def _run_app(self) -> None:
        body: io.BufferedIOBase
        if self._is_input_ended:
            body = io.BytesIO(b"".join(self._input))
        else:
            body = io.BufferedReader(Input(self._take_input))
        self._environ = environ_of(self._scope, body)
        chunks = self._app(self._environ, self._start_response)
        try:
            self._iterate(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def _iterate(self, chunks: Iterable[bytes]) -> None:
        if isinstance(chunks, (list, tuple)) and len(chunks) == 1:
            self._declare_length(len(chunks[0]))
        for chunk in chunks:
            self._write(chunk)
            if self._is_bodyless and self._is_committed:
                break
        with self._lock:
            self._commit(b"")
            self._is_ended = True

    def _declare_length(self, length: int) -> None:
        """A body of one chunk needs no chunked encoding (PEP 3333, "Handling the Content-Length
        Header")."""
        if self._start and not self._is_committed and not self._is_bodyless:
            headers = self._start["headers"]
            if all(name != b"content-length" for name, _ in headers):
                self._length = length
                headers.append((b"content-length", b"%d" % length))

    def _start_response(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        try:
            if exc_info is not None and self._is_committed:
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and self._start:
                raise InterfaceError(
                    f"{self._app!r} called start_response a second time; pass exc_info to "
                    "replace the answer with an error."
                )
        finally:
            exc_info = None  # PEP 3333: avoid a circular reference
        self._start = start_message(self._app, status, headers)
        is_empty = self._start["status"] in (204, 304)
        self._is_bodyless = is_empty or self._scope["method"] == "HEAD"
        length = dict(self._start["headers"]).get(b"content-length", b"")
        self._length = int(length) if length.isdigit() else None
        self._scope["route"] = wsgi_route_of(self._environ)  # for logs, metrics and traces
        return self._write

    def _write(self, chunk: bytes) -> None:
        if not isinstance(chunk, bytes):
            raise InterfaceError(
                f"{self._app!r} answered with {chunk!r}, a {type(chunk).__name__}; a WSGI "
                "application must answer with bytes."
            )
        if not chunk:  # an error that follows can still get an answer of its own
            return
        with self._lock:
            self._commit(chunk)
            if self._output_size >= _BUFFER or self._is_abandoned:
                self._hold(lambda: self._output_size < _BUFFER)

    def _commit(self, chunk: bytes) -> None:
        """Hand over a part of the answer, after its start."""
        if not self._start:
            raise InterfaceError(
                f"{self._app!r} answered before it called start_response; call it first."
            )
        self._is_committed = True
        if chunk and not self._is_bodyless:
            self._written += len(chunk)
            if self._length is not None and self._written > self._length:
                raise InterfaceError(
                    f"{self._app!r} answered with {self._written} bytes, after a Content-Length "
                    f"of {self._length}; declare the right length, or none."
                )
            self._output.append(chunk)
            self._output_size += len(chunk)
            # A declared length tells the end before the thread gets there: no second hop.
            self._is_ended = self._written == self._length
        self._wake("sender")

    def _take_input(self) -> bytes:
        """Wait for a chunk of the request's body; empty at its end."""
        with self._lock:
            self._is_input_wanted = True
            self._wake("sender")
            self._hold(lambda: bool(self._input) or self._is_input_ended)
            chunk = self._input.popleft() if self._input else b""
            self._input_size -= len(chunk)
            self._wake("receiver")
            return chunk

    def _hold(self, is_ready: Callable[[], bool]) -> None:
        """Have the thread, which holds the lock, wait for the loop."""
        self._lock.wait_for(lambda: is_ready() or self._is_abandoned)
        if self._is_abandoned:
            raise _ClientGone("The client has gone.")

    async def receive_small_body(self, receive: Receive) -> bool:
        """Receive a body that fits the buffer, so that a slow client holds no thread. If the client
        waits for `100 Continue`, the body is received when the app reads it.

        Returns:
            Whether the client is still there.
        """
        if not self._is_input_ended:
            length = body_length(self._scope)
            is_waiting = any(name == b"expect" for name, _ in self._scope["headers"])
            if length is not None and length <= _BUFFER and not is_waiting:
                while not (self._is_input_ended or self._is_abandoned):
                    await self._receive(receive)
        return not self._is_abandoned

    async def respond(self, receive: Receive, send: Send) -> None:
        """Send the answer.

        Raises:
            Exception: what the app raised, or `send`.
            InterfaceError: the app raised `SystemExit`, `KeyboardInterrupt` or the like.
        """
        try:
            # One turn of the loop releases the interpreter lock. Often the thread then finishes
            # without an event or a call across threads.
            await anyio.lowlevel.checkpoint()
            if not self._has_output():
                with anyio.move_on_after(_QUICK):
                    await self._wait("sender", lambda: self._has_output() or self._is_input_wanted)
            if self._is_ended or self._error is not None:
                await self._send_output(send)
            else:
                # A second task receives the request's body, and notices when the client goes.
                async with anyio.create_task_group() as task_group:
                    task_group.start_soon(self._receive_input, receive)
                    await self._send_output(send)
                    task_group.cancel_scope.cancel()
        finally:
            self._abandon()
        error, self._error = self._error, None
        try:
            if isinstance(error, Exception):
                raise error
            if error is not None:
                raise InterfaceError(f"{self._app!r} raised {error!r}.") from error
        finally:
            del error  # avoid a circular reference

    async def _send_output(self, send: Send) -> None:
        """Send what the thread hands over. What `send` raises is left for `respond` to raise, as a
        task group would wrap it."""
        is_started = is_ended = False
        while not is_ended:
            await self._wait("sender", self._has_output)
            with self._lock:
                chunks, size = self._output or [b""], self._output_size
                self._output, self._output_size = [], 0
                is_ended = self._is_ended
                is_failed = self._error is not None and not is_ended
                self._lock.notify()
            if self._is_abandoned or (is_failed and not size):
                return
            if size < _JOINED * len(chunks):  # many small ones
                chunks = [b"".join(chunks)]
            try:
                if not is_started:
                    await send(self._start)
                    is_started = True
                for number, body in enumerate(chunks, 1):
                    is_more = not is_ended or number < len(chunks)
                    await send({"type": "http.response.body", "body": body, "more_body": is_more})
            except OSError:  # ASGI spec 2.4: the client has gone
                return
            except Exception as exc:
                self._error = self._error or exc
                return
            if is_failed:
                return
        await self._wait("sender", lambda: self._is_done)  # `close()` has returned

    async def _receive_input(self, receive: Receive) -> None:
        while not self._is_abandoned:
            await self._wait("receiver", lambda: self._is_input_ended or self._input_size < _BUFFER)
            await self._receive(receive)

    async def _receive(self, receive: Receive) -> None:
        message = await receive()
        if message["type"] == "http.disconnect":
            self._abandon()
            return
        with self._lock:
            if chunk := message.get("body"):
                self._input.append(chunk)
                self._input_size += len(chunk)
            self._is_input_ended = not message.get("more_body", False)
            self._lock.notify()

    def _has_output(self) -> bool:
        return bool(self._output) or self._is_ended or self._is_abandoned or self._error is not None

    async def _wait(self, task: str, is_ready: Callable[[], bool]) -> None:
        if not is_ready():
            await anyio.lowlevel.checkpoint()
        while True:
            with self._lock:
                if is_ready():
                    return
                event = anyio.Event()
                self._waiting[task] = partial(loop_caller(), event.set)
            await event.wait()

    def _wake(self, task: str) -> None:
        """Have a task of the loop look again. The caller holds the lock."""
        self._waiting.pop(task, lambda: None)()

    def _abandon(self) -> None:
        """Have the thread stop at its next step."""
        with self._lock:
            self._is_abandoned = True
            self._wake("sender")
            self._lock.notify()


class Input(io.RawIOBase):
    """`wsgi.input`, for an `io.BufferedReader`. `take` waits for a chunk, which is empty at the
    body's end."""

    def __init__(self, take: Callable[[], bytes]) -> None:
        self._take = take
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        rest = self._rest or memoryview(self._take())
        count = min(len(buffer), len(rest))
        buffer[:count], self._rest = rest[:count], rest[count:]
        return count


def body_length(scope: Scope) -> int | None:
    """The length of a request's body in bytes; `None` if it is not known before the end.

    RFC 9112, section 6.3; RFC 9113, section 8.1.
    """
    length = None
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value)
    if length is None and (scope["http_version"] < "2" or scope["method"] in ("GET", "HEAD")):
        return 0
    return length


def start_message(app: WSGIApp, status: Any, headers: Iterable[tuple[str, str]]) -> Message:
    """The `http.response.start` for what an app passed to `start_response`.

    Raises:
        InterfaceError: HTTP does not allow it, such as a line break in a header.
    """
    match = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise InterfaceError(
            f"{app!r} answered with the status {status!r}; write it like '200 OK', from 200 to 999."
        )
    encoded = []
    for name, value in headers:
        is_text = isinstance(name, str) and isinstance(value, str)
        if not is_text or not _NAME.fullmatch(name) or _CONTROL.search(value):
            raise InterfaceError(
                f"{app!r} answered with the header {name!r}: {value!r}, which HTTP does not allow; "
                "write a token as the name, and a str without control characters as the value."
            )
        raw_name = name.lower().encode("ascii")
        if raw_name not in _HOP_BY_HOP:
            encoded.append((raw_name, value.strip(" \t").encode("latin-1", "replace")))
    return {"type": "http.response.start", "status": int(match[1]), "headers": encoded}
