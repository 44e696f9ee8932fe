"""Where requests are passed on to: the connections of an upstream, and whether it is up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from time import monotonic

from mountkit.logs import proxy as logger
from mountkit.proxy.connections import READ, Connection, connect, read_final_head
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.targets import Target

#: Seconds for which an upstream that could not be reached is left alone.
PAUSE: float = 1.0
# Requests that have to fail one after the other until an upstream of several is left alone.
_FAILURES = 3


@dataclass(frozen=True)
class Limits:
    """Seconds and numbers; see `Proxy`."""

    connect: float
    head: float | None
    idle: float | None
    keep_alive: float
    max_connections: int | None


@dataclass(eq=False)
class Upstream:
    """One upstream.

    Attributes:
        in_flight: requests and websockets that it serves.
        is_healthy: what the last probe said; `True` before the first, and without probes.
        is_closed: no connection is kept any more.
    """

    target: Target
    limits: Limits
    context: SSLContext | None = None
    in_flight: int = 0
    is_healthy: bool = True
    is_closed: bool = False
    turn: int = 0  # of the last request; those that are equal take turns
    _idle: list[Connection] = field(default_factory=list)
    _failures: int = 0
    _retry_at: float = 0.0

    @property
    def is_up(self) -> bool:
        """Whether requests are passed on to it."""
        return self.is_healthy and (not self._retry_at or self._retry_at <= monotonic())

    @property
    def retry_after(self) -> float:
        """Seconds until it is tried again; 0 if it is up."""
        return max(self._retry_at - monotonic(), 0.0 if self.is_healthy else PAUSE)

    async def connection(self, *, is_fresh: bool) -> Connection:
        """A connection that is kept, or a new one.

        Raises:
            ProxyError: with 503: there is none.
        """
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            connection.is_idle = False
            if connection.is_quiet and connection.loop is loop and not is_fresh:
                connection.requests += 1
                connection.is_silent = True
                return connection
            connection.drop()
        try:
            return await connect(self.target, self.limits.connect, self.context)
        except ProxyError:
            self._retry_at = monotonic() + PAUSE
            raise

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request, if nothing has come on it that nobody asked."""
        if self.is_closed or not self.limits.keep_alive or not connection.is_quiet:
            connection.close()
            return
        connection.is_idle = True
        connection.allow(READ, self.limits.keep_alive)
        self._idle.append(connection)

    def note(self, *, has_failed: bool | None, is_alone: bool) -> None:
        """A request has ended.

        Args:
            has_failed: no answer in time; `None` if the client gave up.
            is_alone: no other could take its requests, so that it is not left alone.
        """
        if has_failed is None:
            return
        self._failures = self._failures + 1 if has_failed else 0
        if self._failures >= _FAILURES and not is_alone:
            self._failures, self._retry_at = 0, monotonic() + PAUSE
            logger.warning("%s is left alone: %d requests failed.", self.target.url, _FAILURES)

    def close(self) -> None:
        """Close the connections that are kept, and those in use once they are given back."""
        self.is_closed = True
        while self._idle:
            self._idle.pop().drop()

    async def probe(self, path: str, host: str) -> int:
        """The status of a GET on a connection of its own.

        Raises:
            ProxyError: there was no answer in time.
        """
        connection = await connect(self.target, self.limits.connect, self.context)
        try:
            connection.allow(READ, self.limits.connect)
            base = self.target.base
            head = f"GET {base}{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            await connection.write(head.encode("ascii"))
            return (await read_final_head(connection, "GET"))[0].status
        finally:
            connection.close()

    async def check(self, path: str, host: str) -> None:
        """Probe once, and note what it says: a status below 400 is healthy."""
        try:
            status = await self.probe(path, host)
            reason = f"{path} answered {status}"
            is_healthy = status < 400
        except ProxyError as exc:
            reason, is_healthy = str(exc), False
        if is_healthy:
            self._retry_at = 0.0
        if is_healthy != self.is_healthy:
            self.is_healthy = is_healthy
            level = logger.info if is_healthy else logger.warning
            level("%s is %s: %s", self.target.url, "up" if is_healthy else "down", reason)


class Pool:
    """All upstreams of a proxy.

    Attributes:
        retry: see `Proxy`.
    """

    def __init__(
        self, targets: Sequence[Target], limits: Limits, context: SSLContext | None, *, retry: bool
    ) -> None:
        self.limits = limits
        self.retry = retry
        self._context = context
        self._turn = 0
        self.upstreams: tuple[Upstream, ...] = ()
        self.switch(targets)

    def switch(self, targets: Sequence[Target]) -> None:
        """Pass requests on to these from now on. Those that are on their way end where they are."""
        before = self.upstreams
        self.upstreams = tuple(Upstream(one, self.limits, self._context) for one in targets)
        for upstream in before:
            upstream.close()

    async def open(self, *, is_fresh: bool = False) -> tuple[Upstream, Connection]:
        """A connection to the upstream that is chosen, which counts as in flight until `release`.
        One that cannot be reached is left alone, and the next is tried: nothing was sent.

        Args:
            is_fresh: a new connection.

        Raises:
            ProxyError: with 503.
        """
        tried: dict[Upstream, ProxyError] = {}
        while True:
            upstream = self._choose(tried)
            upstream.in_flight += 1
            try:
                return upstream, await upstream.connection(is_fresh=is_fresh)
            except BaseException as exc:
                upstream.in_flight -= 1
                if not isinstance(exc, ProxyError):
                    raise
                tried[upstream] = exc

    def _choose(self, tried: Mapping[Upstream, ProxyError]) -> Upstream:
        """The upstream with the fewest requests in flight, of those that are up; of several, the
        one whose turn it is."""
        up = [one for one in self.upstreams if one not in tried and one.is_up]
        if not up:
            wait = min((one.retry_after for one in self.upstreams), default=PAUSE)
            reason = " ".join(map(str, tried.values())) or "No upstream is up."
            raise ProxyError(503, reason, retry_after=wait)
        found = min(up, key=_load) if up[1:] else up[0]
        most = self.limits.max_connections
        if most is not None and found.in_flight >= most:
            raise ProxyError(503, f"All {most} connections to {found.target.url} are in use.")
        self._turn += 1
        found.turn = self._turn
        return found

    def release(
        self, upstream: Upstream, connection: Connection, *, is_kept: bool, has_failed: bool | None
    ) -> None:
        """Give a connection back.

        Args:
            is_kept: it can be used again.
            has_failed: there was no answer, or it broke off; `None` if the client gave up.
        """
        upstream.in_flight -= 1
        upstream.note(has_failed=has_failed, is_alone=len(self.upstreams) == 1)
        if is_kept:
            upstream.keep(connection)
        elif not connection.is_finished:
            connection.close()


def _load(upstream: Upstream) -> tuple[int, int]:
    return upstream.in_flight, upstream.turn
