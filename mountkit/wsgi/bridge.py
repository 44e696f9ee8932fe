"""WSGI applications as ASGI ones, on threads of their own (PEP 3333).

A request takes one hop to a thread, and its answer one hop back: the event loop is woken
when it has something to do, and a small answer is whole by then. What is long is handed over
through two bounded buffers, so that whoever is slow holds the other back.
"""

from __future__ import annotations

import contextvars
import io
import logging
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from mountkit.answers import refuse_websocket
from mountkit.exceptions import InterfaceError, shown
from mountkit.frameworks import wsgi_route_of
from mountkit.wsgi.environs import environ_of
from mountkit.wsgi.threads import ThreadPool, loop_caller

WSGIApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

logger: logging.Logger = logging.getLogger("mountkit")

# Bytes of a body that may be on their way between the event loop and a thread.
_BUFFER = 256 * 1024
# Seconds after which an answer is not a quick one, and its client is watched.
_QUICK = 1.0
# Chunks of fewer bytes are joined if there are several.
_JOINED = 16 * 1024
_STATUS = re.compile(r"([2-9][0-9][0-9])(?: [^\x00-\x1f\x7f]*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# PEP 3333, "Other HTTP Features": the connection is the server's.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


class WSGIBridge:
    """An ASGI app around a WSGI one; what `Mount` puts around every WSGI app.

        Mount("/legacy", flask_app, bridge=partial(WSGIBridge, threads=4, queue=20))

    Args:
        app: the WSGI application.
        threads: how many requests it works on at a time. They are this app's alone: one that
            hangs takes nobody else's.
        queue: how many more requests wait for a thread; beyond, the answer is 503.
    """

    def __init__(self, app: WSGIApp, *, threads: int = 10, queue: int = 100) -> None:
        self.app: WSGIApp = app
        self.queue: int = queue
        self._pool = ThreadPool(threads, f"mountkit {shown(app)}")
        weakref.finalize(self, self._pool.close).atexit = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
            return
        if scope["type"] == "lifespan":  # where no mount is above that knows it to be WSGI
            await self._lifespan(receive, send)
            return
        exchange = _Exchange(self.app, scope)
        if not await exchange.receive_small_body(receive):
            return
        if self._pool.pending >= self._pool.limit + self.queue:
            headers = {"retry-after": "1", "cache-control": "no-store"}
            await PlainTextResponse("Service Unavailable", 503, headers)(scope, receive, send)
        else:
            self._pool.submit(exchange.run)
            await exchange.respond(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    def close(self) -> None:
        """End the threads, each after the request that it is at. A bridge that is no longer
        referred to is closed by itself; one that is used again starts new threads."""
        self._pool.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.app)})"


class _ClientGone(ConnectionAbortedError):
    """What an app gets that reads from, or writes to, a client that is not there any more."""


class _Exchange:
    """One request and its answer, between the thread that runs the app and the event loop.

    `_lock` guards everything that both touch. The thread waits on it as a condition; the
    loop's two tasks, `sender` and `receiver`, on an event each that exists while they wait,
    and `_waiting` has what sets it.
    """

    def __init__(self, app: WSGIApp, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._context = contextvars.copy_context()
        self._lock = threading.Condition()
        self._waiting: dict[str, Callable[[], None]] = {}
        # The thread's own.
        self._environ: dict[str, Any] = {}
        self._start: Message | None = None
        self._is_bodyless = False
        self._length: int | None = None  # of the body, if the app has declared it
        self._written = 0
        # The request's body, on its way to the thread.
        self._input: deque[bytes] = deque()
        self._input_size = 0
        self._is_input_wanted = False
        self._input_length = _body_length(scope)
        self._is_input_ended = self._input_length == 0
        # The answer, on its way to the loop.
        self._output: list[bytes] = []
        self._output_size = 0
        self._is_committed = False  # the start of the answer may be sent
        self._is_ended = False  # there is no more of the answer
        self._error: BaseException | None = None
        self._is_done = False  # the thread has finished
        self._is_abandoned = False  # nobody waits for the answer any more

    # In the thread.

    def run(self) -> None:
        """Run the app, from its call to `close()`."""
        if not self._is_abandoned:  # while it was waiting for a thread
            self._context.run(self._run_app)
        with self._lock:
            self._environ = {}  # which holds wsgi.input, which holds this
            self._is_done = True
            self._wake("sender")

    def _run_app(self) -> None:
        body: io.BufferedIOBase
        if self._is_input_ended:
            body = io.BytesIO(b"".join(self._input))
        else:
            body = io.BufferedReader(_Input(self))
        self._environ = environ_of(self._scope, body)
        try:
            chunks = self._app(self._environ, self._start_response)
            try:
                self._iterate(chunks)
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
        except _ClientGone:
            return
        except BaseException as exc:  # SystemExit too: a thread is not the process
            self._publish_route()
            with self._lock:  # raised by `respond`, or logged where nobody waits: never both
                if self._is_abandoned:
                    logger.error("%r failed after its client had gone.", self._app, exc_info=exc)
                else:
                    self._error = exc

    def _iterate(self, chunks: Iterable[bytes]) -> None:
        if isinstance(chunks, (list, tuple)) and len(chunks) == 1 and not self._is_committed:
            self._declare_length(len(chunks[0]))
        for chunk in chunks:
            self._write(chunk)
            if self._is_bodyless and self._is_committed:
                break
        with self._lock:
            self._commit(b"")
            self._is_ended = True

    def _declare_length(self, length: int) -> None:
        """What PEP 3333 advises for a body of one chunk; it saves the chunked encoding."""
        if self._start is None or self._is_bodyless:
            return
        headers = self._start["headers"]
        if not any(name == b"content-length" for name, _ in headers):
            self._length = length
            headers.append((b"content-length", b"%d" % length))

    def _start_response(
        self, status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        try:
            if exc_info is not None and self._is_committed:
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and self._start is not None:
                raise InterfaceError(
                    f"{self._app!r} called start_response a second time; to replace its answer "
                    "by that of an error, it has to pass exc_info."
                )
        finally:
            exc_info = None  # PEP 3333: no circle of frames
        self._start = _start_message(self._app, status, headers)
        code = self._start["status"]
        self._is_bodyless = self._scope["method"] == "HEAD" or code in (204, 304)
        lengths = [value for name, value in self._start["headers"] if name == b"content-length"]
        self._length = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        self._publish_route()
        return self._write

    def _publish_route(self) -> None:
        """For logs, metrics and traces."""
        self._scope["route"] = wsgi_route_of(self._environ)

    def _write(self, chunk: bytes) -> None:
        if not isinstance(chunk, bytes):
            raise InterfaceError(
                f"{self._app!r} answered with {chunk!r}, a {type(chunk).__name__}; a WSGI "
                "application has to answer with bytes."
            )
        if not chunk:  # an error that comes later can still be answered
            return
        with self._lock:
            self._commit(chunk)
            while self._output_size >= _BUFFER and not self._is_abandoned:
                self._lock.wait()
            if self._is_abandoned:
                raise _ClientGone("The client has gone.")

    def _commit(self, chunk: bytes) -> None:
        """Hand over a part of the answer, with all that comes before it."""
        if self._start is None:
            raise InterfaceError(
                f"{self._app!r} answered before it called start_response; it has to call it first."
            )
        self._is_committed = True
        if chunk and not self._is_bodyless:
            self._written += len(chunk)
            if self._length is not None and self._written > self._length:
                raise InterfaceError(
                    f"{self._app!r} answered with {self._written} bytes, after a Content-Length "
                    f"of {self._length}; it has to declare the right length, or none."
                )
            self._output.append(chunk)
            self._output_size += len(chunk)
            # The end is known before the thread has come there: no second hop for it.
            self._is_ended = self._written == self._length
        self._wake("sender")

    def take_input(self) -> deque[bytes]:
        """What is there of the request's body, as soon as something is; empty at its end."""
        with self._lock:
            self._is_input_wanted = True
            self._wake("sender")
            while not (self._input or self._is_input_ended or self._is_abandoned):
                self._lock.wait()
            if self._is_abandoned:
                raise _ClientGone("The client has gone before its request was complete.")
            chunks, self._input, self._input_size = self._input, deque(), 0
            self._wake("receiver")
            return chunks

    # In the loop.

    async def receive_small_body(self, receive: Receive) -> bool:
        """Take in a body that fits the buffer, so that the app need not ask for it and a slow
        client holds no thread. A client that waits for `100 Continue` is left to the app.

        Returns:
            Whether the client is still there.
        """
        length = self._input_length
        if not length or length > _BUFFER or any(k == b"expect" for k, _ in self._scope["headers"]):
            return True
        while not self._is_input_ended:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            self._take_in(message)
        return True

    async def respond(self, receive: Receive, send: Send) -> None:
        """Send the answer."""
        failure: BaseException | None = None
        try:
            # Once round the loop lets go of the interpreter's lock: often enough for the thread to
            # do all it has to, which then needs no event and no call across threads.
            await anyio.lowlevel.checkpoint()
            if not self._has_output():
                with anyio.move_on_after(_QUICK):
                    await self._wait("sender", lambda: self._has_output() or self._is_input_wanted)
            if self._is_ended or self._error is not None:
                await self._send_output(send)
            else:
                # A task of its own for the request's body, and to hear of a client that goes.
                async with anyio.create_task_group() as task_group:
                    task_group.start_soon(self._receive_input, receive)
                    try:
                        await self._send_output(send)
                    except Exception as exc:  # raised below: a group would wrap it
                        failure = exc
                    task_group.cancel_scope.cancel()
        finally:
            self._abandon()
        try:
            if self._error is not None:
                failure, self._error = self._error, None
            if isinstance(failure, Exception):
                raise failure
            if failure is not None:
                raise InterfaceError(f"{self._app!r} raised {failure!r}.") from failure
        finally:
            del failure  # no circle of frames

    async def _send_output(self, send: Send) -> None:
        is_started = False
        while True:
            await self._wait("sender", self._has_output)
            with self._lock:
                chunks, size = self._output, self._output_size
                self._output, self._output_size = [], 0
                is_ended = self._is_ended
                is_failed = self._error is not None and not is_ended
                self._lock.notify()
            if self._is_abandoned or (is_failed and not chunks):
                return
            try:
                if not is_started:
                    assert self._start is not None
                    await send(self._start)
                    is_started = True
                if size < _JOINED * len(chunks):  # small ones: fewer messages
                    chunks = [b"".join(chunks)]
                for chunk in chunks[:-1]:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                last = chunks[-1] if chunks else b""
                await send({"type": "http.response.body", "body": last, "more_body": not is_ended})
            except OSError:  # ASGI spec 2.4: the client has gone
                return
            if is_failed:
                return
            if is_ended:
                break
        await self._wait("sender", lambda: self._is_done)  # until `close()` was called

    async def _receive_input(self, receive: Receive) -> None:
        while True:
            await self._wait("receiver", lambda: self._is_input_ended or self._input_size < _BUFFER)
            message = await receive()
            if message["type"] == "http.disconnect":
                self._abandon()
                return
            self._take_in(message)

    def _take_in(self, message: Message) -> None:
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
        """Let a task of the loop look again. The lock is held."""
        wake = self._waiting.pop(task, None)
        if wake is not None:
            wake()

    def _abandon(self) -> None:
        """Nobody waits for the answer any more: let the thread know at its next step."""
        with self._lock:
            self._is_abandoned = True
            self._wake("sender")
            self._lock.notify()


class _Input(io.RawIOBase):
    """`wsgi.input`, below the buffer of `io.BufferedReader`."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._taken: deque[bytes] = deque()
        self._first = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._first:
            if not self._taken:
                self._taken = self._exchange.take_input()
            if not self._taken:
                return 0
            self._first = memoryview(self._taken.popleft())
        count = min(len(buffer), len(self._first))
        buffer[:count] = self._first[:count]
        self._first = self._first[count:]
        return count


def _body_length(scope: Scope) -> int | None:
    """The length of a request's body; `None` if that is not known before its end.

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


def _start_message(app: WSGIApp, status: Any, headers: Iterable[tuple[str, str]]) -> Message:
    """`http.response.start`.

    Raises:
        InterfaceError: something in it is no HTTP, such as a line break in a header.
    """
    match = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise InterfaceError(
            f"{app!r} answered with the status {status!r}; a WSGI application has to write it as "
            "in '200 OK'."
        )
    encoded = []
    for name, value in headers:
        is_text = isinstance(name, str) and isinstance(value, str)
        if not is_text or not _NAME.fullmatch(name) or _CONTROL.search(value):
            raise InterfaceError(
                f"{app!r} answered with the header {name!r}: {value!r}, which HTTP does not allow; "
                "it has to be a name and a text without control characters."
            )
        raw_name = name.lower().encode("ascii")
        if raw_name not in _HOP_BY_HOP:
            encoded.append((raw_name, value.strip(" \t").encode("latin-1", "replace")))
    return {"type": "http.response.start", "status": int(match[1]), "headers": encoded}
