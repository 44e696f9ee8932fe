"""One connection to an upstream, on asyncio: bounded in memory and in time.

A protocol of its own and not `anyio`'s streams, because these cost a third of the requests per
second, and could not tell what comes on a connection that nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from ssl import SSLContext, SSLError, create_default_context
from typing import cast

from mountkit.proxy.errors import ProxyError
from mountkit.proxy.responses import MAX_INTERIM, Head, read_head
from mountkit.proxy.targets import Target

#: Bytes that may have come and not been read before the upstream is made to wait: as many as an
#: event loop reads at a time, so that it does not wait after each.
BUFFER: int = 256 * 1024
#: Which deadline; see `Connection.allow`.
READ, WRITE = 0, 1


class Connection(asyncio.Protocol):
    """A connection, read by one task at a time and written by any.

    Attributes:
        loop: the event loop that it belongs to.
        requests: how many were sent on it before the one that it serves.
        name: the upstream's.
        is_idle: it waits in a pool, where nothing may come: it is closed if something does.
        is_silent: nothing has come since it was taken.
        is_finished: `finish` closes it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.requests: int = 0
        self.is_idle: bool = False
        self.is_silent: bool = True
        self.is_finished: bool = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._is_paused = self._is_full = self._is_ended = False
        self._failure: ProxyError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writers: set[asyncio.Future[None]] = set()
        self._deadlines = [inf, inf]
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class
        self._transport.set_write_buffer_limits(BUFFER)

    def data_received(self, data: bytes) -> None:
        if self.is_idle:
            self.close()
            return
        self.is_silent = False
        self._chunks.append(data)
        self._size += len(data)
        if self._size > BUFFER and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._is_ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_ended = True
        if exc is not None and self._failure is None:
            self._failure = ProxyError(502, f"The connection to {self.name} broke: {exc}.")
        if self._alarm is not None:
            self._alarm.cancel()
        self._wake(with_writers=True)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake(with_writers=True)

    def _wake(self, *, with_writers: bool = False) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if with_writers:
            for writer in self._writers:
                if not writer.done():
                    writer.set_result(None)

    # What an exchange calls.

    async def read(self) -> bytes:
        """What has come, once something has; empty at the end.

        Raises:
            ProxyError: the connection broke, or a deadline has passed.
        """
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._is_ended:
                return b""
            self._reader = self.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._is_paused and self._size <= BUFFER // 2:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send this, and wait while too much waits to be sent.

        Raises:
            ProxyError: the connection broke, or a deadline has passed.
        """
        if not self._is_ended:
            self._transport.write(data)
            while self._is_full and not self._is_ended:
                writer = self.loop.create_future()
                self._writers.add(writer)
                try:
                    await writer
                finally:
                    self._writers.discard(writer)
        if self._is_ended:
            raise self._failure or ProxyError(502, f"{self.name} has closed the connection.")

    def allow(self, side: int, seconds: float | None) -> None:
        """Set how long the connection may take until this is called again.

        Args:
            side: `READ`, until something comes, or `WRITE`, until there is room to send.
            seconds: `None` for as long as it takes.
        """
        when = inf if seconds is None else self.loop.time() + seconds
        self._deadlines[side] = when
        # An alarm that comes too early does no harm: most deadlines are moved before they pass.
        if when < self._alarm_at:
            self._set_alarm(when)

    def _set_alarm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = when
        self._alarm = None if when == inf else self.loop.call_at(when, self._look)

    def _look(self) -> None:
        when = min(self._deadlines)
        if when <= self.loop.time():
            self.fail(ProxyError(504, f"{self.name} took too long."))
        else:
            self._set_alarm(when)

    def fail(self, failure: ProxyError) -> None:
        """Close it at once; who reads or writes gets this error."""
        self._failure = self._failure or failure
        self.close()
        self._wake(with_writers=True)

    def close(self) -> None:
        """Close it at once; what was not sent is dropped."""
        self._is_ended = True
        self._transport.abort()

    def drop(self) -> None:
        """Close it, from whatever thread; with its event loop it is closed already."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.close)

    def finish(self, data: bytes, seconds: float) -> None:
        """Close it once this and what was written before is sent, or this time has passed."""
        if not self._is_ended:
            self._transport.write(data)
        self._is_ended = self.is_finished = True
        self._transport.close()
        self.allow(WRITE, seconds)

    @property
    def is_quiet(self) -> bool:
        """Whether it is open, and nothing has come that was not read."""
        return not (self._is_ended or self._chunks or self._transport.is_closing())


async def connect(target: Target, seconds: float, context: SSLContext | None) -> Connection:
    """Open a connection.

    Raises:
        ProxyError: with 503: nothing was sent.
    """
    loop = asyncio.get_running_loop()

    def make() -> Connection:
        return Connection(loop, target.url)

    try:
        async with asyncio.timeout(seconds):
            if target.path:
                return _connected(*await loop.create_unix_connection(make, target.path))
            tls = (context or default_context()) if target.is_secure else None
            name = target.host if target.is_secure else None
            return (
                await loop.create_connection(
                    make, target.host, target.port, ssl=tls, server_hostname=name
                )
            )[1]
    except TimeoutError as exc:
        raise ProxyError(503, f"{target.url} took more than {seconds:g} s to connect.") from exc
    except (OSError, SSLError) as exc:
        raise ProxyError(503, f"{target.url} cannot be reached: {exc}.") from exc


def _connected(transport: asyncio.BaseTransport, connection: Connection) -> Connection:
    """The connection to a unix socket; asyncio also gives one if its backlog was full.

    Raises:
        OSError: it was.
    """
    try:
        transport.get_extra_info("socket").getpeername()
    except OSError:
        connection.close()
        raise
    return connection


async def read_final_head(
    connection: Connection,
    method: str,
    *,
    may_switch: bool = False,
    hint: Callable[[Head], Awaitable[None]] | None = None,
) -> tuple[Head, bytes]:
    """The head of the response, and what has come after it.

    Args:
        may_switch: the request asks for another protocol.
        hint: gets the interim responses (1xx); they are dropped without it.

    Raises:
        ProxyError: there is no proper one.
    """
    data, count = b"", 0
    while True:
        found = read_head(data, method) if data else None
        if found is None:
            chunk = await connection.read()
            if not chunk:
                raise ProxyError(502, f"{connection.name} has closed the connection, unanswered.")
            data += chunk
            continue
        head, data = found
        if head.status >= 200 or (head.status == 101 and may_switch):
            return head, data
        if head.status == 101:
            raise ProxyError(502, "The upstream switched protocols without being asked to.")
        count += 1
        if count > MAX_INTERIM:
            raise ProxyError(502, f"There were more than {MAX_INTERIM} interim responses.")
        if hint is not None:
            await hint(head)


_contexts: list[SSLContext] = []


def default_context() -> SSLContext:
    """The certificates that the system trusts, read once."""
    if not _contexts:
        _contexts.append(create_default_context())
    return _contexts[0]
