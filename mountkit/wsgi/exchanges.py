"""One request to a WSGI app: the exchange between its thread and the event loop.

A request takes one hop to a thread, and its answer one hop back: by the time that the event loop is
woken, a small answer is complete. Long bodies pass through two bounded buffers.
"""

from __future__ import annotations

import contextvars
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeAlias

import anyio
import anyio.lowlevel
from starlette.types import Message, Receive, Scope, Send

from mountkit.exceptions import InterfaceError
from mountkit.frameworks import wsgi_route_of
from mountkit.logs import wsgi as logger
from mountkit.wsgi.bodies import BUFFER, RequestBody
from mountkit.wsgi.environs import environ_of
from mountkit.wsgi.threads import ClientGone, Meeting

#: PEP 3333, "The Application/Framework Side".
WSGIApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


# Seconds after which a second task watches the client while the app works on its answer.
_QUICK = 1.0
# Several chunks are joined if they are smaller than this many bytes on average.
_JOINED = 16 * 1024
_STATUS = re.compile(r"([2-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_DIGITS = 18  # of a length
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# PEP 3333, "Other HTTP Features": these are the server's.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


class Exchange:
    """One request and its answer, between the thread that runs the app and the event loop.

    `run` is for the thread; `respond` is for the loop, where two tasks meet the thread, "sender"
    and "receiver".
    """

    def __init__(self, app: WSGIApp, scope: Scope, spool: int, cut_off: Any) -> None:
        self._app = app
        self._scope = scope
        self._context = contextvars.copy_context()
        self.meeting: Meeting = Meeting()
        self.body: RequestBody = RequestBody(scope, self.meeting, spool, cut_off)
        # Used by the thread alone, until the answer is committed.
        self._environ: dict[str, Any] = {}
        self._start: Message = {}
        self._is_bodyless = False
        self._length: int | None = None  # of the body, if the app declared it
        self._written = 0
        # The answer, for the loop.
        self._output: list[bytes] = []
        self._output_size = 0
        self._is_committed = False  # the start of the answer may be sent
        self._is_ended = False  # the answer is complete
        self._error: BaseException | None = None
        self._is_done = False  # the thread has finished

    def run(self) -> None:
        """Run the app, from its call to `close()`."""
        try:
            self._context.run(self._run_app)
        except BaseException as exc:  # SystemExit too: it must not end the server
            self._scope["route"] = wsgi_route_of(self._environ)
            with self.meeting.lock:  # either `respond` raises it, or it is logged here
                if not self.meeting.is_abandoned:
                    self._error = exc
                elif not isinstance(exc.__cause__ or exc, ClientGone):
                    logger.error("%r failed after its client had gone.", self._app, exc_info=exc)
        with self.meeting.lock:
            self._environ = {}  # wsgi.input refers back to this
            self._is_done = True
            # Nobody reads what still comes. hypercorn's `send` may wait for that to be received.
            self.body.is_left = True
            self.meeting.wake("receiver")
            self.meeting.wake("sender")

    def _run_app(self) -> None:
        self._environ = environ_of(self._scope, *self.body.open())
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
        if not self._is_bodyless and self._written < (self._length or 0):
            self._refuse_length()
        with self.meeting.lock:
            self._commit(b"")
            self._is_ended = True

    def _refuse_length(self) -> NoReturn:
        """The server would make of the next response what is missing here, or the reverse."""
        raise InterfaceError(
            f"{self._app!r} answered with {self._written} bytes, after a Content-Length of "
            f"{self._length}; declare the right length, or none."
        )

    def _declare_length(self, length: int) -> None:
        """A body of one chunk needs no chunked encoding (PEP 3333, "Handling the Content-Length
        Header")."""
        if self._start and not self._is_committed and not self._is_bodyless:
            headers = self._start["headers"]
            if all(name != b"content-length" for name, _ in headers):
                self._length = length
                headers.append((b"content-length", b"%d" % length))

    def _start_response(
        self, status: str, given: Iterable[tuple[str, str]], exc_info: Any = None
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
        self._start = start_message(self._app, status, given)
        self._is_bodyless = self._scope["method"] == "HEAD"
        headers = self._start["headers"]
        if self._start["status"] in (204, 205, 304):  # RFC 9110: they have no content
            self._is_bodyless = True
            headers[:] = [pair for pair in headers if pair[0] != b"content-length"]
        self._length = declared_length(self._app, headers)
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
        with self.meeting.lock:
            self._commit(chunk)
            if self._output_size >= BUFFER or self.meeting.is_abandoned:
                self.meeting.hold(lambda: self._output_size < BUFFER)

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
                self._refuse_length()
            self._output.append(chunk)
            self._output_size += len(chunk)
            # A declared length tells the end before the thread gets there: no second hop.
            self._is_ended = self._written == self._length
        self.meeting.wake("sender")

    async def respond(self, receive: Receive, send: Send, *, is_queued: bool = False) -> None:
        """Send the answer.

        Args:
            is_queued: all threads are taken, so the client is watched from the first moment.

        Raises:
            Exception: what the app raised, or `receive`, or `send`.
            InterfaceError: the app raised `SystemExit`, `KeyboardInterrupt` or the like.
        """
        try:
            # One turn of the loop releases the interpreter lock. Often the thread then finishes
            # without an event or a call across threads.
            await anyio.lowlevel.checkpoint()
            if not (is_queued or self._has_output()):
                with anyio.move_on_after(_QUICK):
                    await self.meeting.wait(
                        "sender", lambda: self._has_output() or self.body.is_wanted
                    )
            # Who is asked for a body sends `100 Continue`.
            is_all = self.body.is_ended or self.body.is_expected
            if is_all and (self._is_ended or self._error is not None):
                await self._send_output(send)
            else:
                # A second task receives the request's body, and notices when the client goes.
                async with anyio.create_task_group() as task_group:
                    task_group.start_soon(self._receive_input, receive)
                    await self._send_output(send)
                    task_group.cancel_scope.cancel()
        finally:
            self.meeting.abandon()
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
            await self.meeting.wait("sender", self._has_output)
            with self.meeting.lock:
                chunks, size = self._output or [b""], self._output_size
                self._output, self._output_size = [], 0
                is_ended = self._is_ended
                is_failed = self._error is not None and not is_ended
                self.meeting.notify()
            if self.meeting.is_abandoned or (is_failed and not size):
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
            if not is_ended:  # `send` may never let other tasks run
                await anyio.lowlevel.checkpoint()
        await self.meeting.wait("sender", lambda: self._is_done)  # `close()` has returned

    async def _receive_input(self, receive: Receive) -> None:
        """Receive until the client goes. What `receive` raises is left for `respond` to raise,
        whatever the app makes of it: a body over `max_body_size` is a 413."""
        body = self.body
        try:
            while not self.meeting.is_abandoned:
                await self.meeting.wait("receiver", lambda: body.has_room)
                await body.receive(receive)
        except Exception as exc:
            if not body.is_left:
                self._error = self._error or exc
                self.meeting.abandon()

    def _has_output(self) -> bool:
        is_ready = self._is_ended or self.meeting.is_abandoned or self._error is not None
        return is_ready or bool(self._output)


def start_message(app: WSGIApp, status: Any, headers: Iterable[tuple[str, str]]) -> Message:
    """The `http.response.start` for what an app passed to `start_response`.

    Raises:
        InterfaceError: HTTP does not allow it, such as a line break in a header.
    """
    match = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise InterfaceError(
            f"{app!r} answered with the status {status!r}; write it like '200 OK', from 200 to 599 "
            "and in latin-1."
        )
    encoded = []
    for name, value in headers:
        is_text = isinstance(name, str) and isinstance(value, str)
        if not is_text or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InterfaceError(
                f"{app!r} answered with the header {name!r}: {value!r}, which HTTP does not allow; "
                "write a token as the name, and a str of latin-1 without control characters as the "
                "value (quote URLs)."
            )
        raw_name = name.lower().encode("ascii")
        if raw_name not in _HOP_BY_HOP:
            encoded.append((raw_name, value.strip(" \t").encode("latin-1")))
    return {"type": "http.response.start", "status": int(match[1]), "headers": encoded}


def declared_length(app: WSGIApp, headers: list[tuple[bytes, bytes]]) -> int | None:
    """The length of the body, if a header says it; it stays there once.

    Raises:
        InterfaceError: it is not one number (RFC 9112, section 6.3). Servers send it as it is, or
            drop the connection.
    """
    given = [value for name, value in headers if name == b"content-length"]
    if not given:
        return None
    if len({*given}) > 1 or not given[0].isdigit() or len(given[0]) > _MAX_DIGITS:
        raise InterfaceError(
            f"{app!r} answered with the Content-Length {b', '.join(given).decode('latin-1')!r}; "
            "declare one number, or none."
        )
    if len(given) > 1:
        others = [pair for pair in headers if pair[0] != b"content-length"]
        headers[:] = [*others, (b"content-length", given[0])]
    return int(given[0])
