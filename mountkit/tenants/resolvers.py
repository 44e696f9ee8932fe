"""Whose host is this? A look-up in the user's database, remembered."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

import anyio

from mountkit.exceptions import PatternError, ResolutionError
from mountkit.matching.hosts import HostPattern

logger: logging.Logger = logging.getLogger("mountkit")

T = TypeVar("T")
E = TypeVar("E")


class _Entry(NamedTuple, Generic[T]):
    tenant: T | None
    fresh_until: float
    stale_until: float


class _Lookup(Generic[T]):
    """One call of the user's function, and all who wait for it."""

    def __init__(self) -> None:
        self.ended = anyio.Event()
        # One of them, unless it was cancelled.
        self.entry: _Entry[T] | None = None
        self.failure: str | None = None
        self.is_kept = True  # nobody has invalidated the host since it began
        self.changes = 0  # those of the resolver when it ended


class TenantResolver(Generic[T]):
    """Finds the tenant of a host, and remembers it.

    However many requests ask for a host at a time, it is looked up once. If the request that
    looks it up is cancelled, one of those that wait does it in its place.

    Args:
        find: an async function that is given a host and returns its tenant, any object but
            `None`, or `None` if it is nobody's. The host has no port, no trailing dot and
            capital letters; international names are in ASCII (`xn--bcher-kva.de`), as in DNS.
        ttl: seconds that a tenant is remembered.
        unknown_ttl: seconds that it is remembered that a host is nobody's.
        stale_ttl: seconds beyond `ttl` that a tenant goes on to be served while `find` fails
            (`stale-if-error`, RFC 5861, section 4). That a host is nobody's is never stale.
        failure_ttl: seconds that a host is not looked up again after `find` has failed.
        timeout: seconds that `find` may take; beyond, it has failed. `None` waits for ever.
        max_size: how many tenants' hosts are remembered, and how many hosts that are nobody's,
            each; the least recently used are forgotten. Hosts that somebody made up do not
            displace those of tenants.

    Raises:
        PatternError: `find` cannot be called, or one of the numbers can never work.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[T | None]],
        *,
        ttl: float = 60.0,
        unknown_ttl: float = 10.0,
        stale_ttl: float = 0.0,
        failure_ttl: float = 1.0,
        timeout: float | None = 5.0,
        max_size: int = 100_000,
    ) -> None:
        if not callable(find):
            raise PatternError(
                f"TenantResolver({find!r}) has no function to ask; pass an async function that "
                "takes a host."
            )
        numbers = {"ttl": ttl, "unknown_ttl": unknown_ttl, "stale_ttl": stale_ttl}
        for name, seconds in (numbers | {"failure_ttl": failure_ttl}).items():
            if not seconds >= 0:
                raise PatternError(f"{name}={seconds!r} is no number of seconds; write e.g. 60.")
        for name, value in {"timeout": timeout, "max_size": max_size}.items():
            if value is not None and not value > 0:
                raise PatternError(f"{name}={value!r} is no number above 0; write e.g. 5.")
        self._find = find
        self.ttl = ttl
        self.unknown_ttl = unknown_ttl
        self.stale_ttl = stale_ttl
        self.failure_ttl = failure_ttl
        self.timeout = timeout
        self.max_size = max_size
        # By host, the least recently used first.
        self._known: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._failures: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lookups: dict[str, _Lookup[T]] = {}
        self._changes = 0  # how often something was invalidated

    def __len__(self) -> int:
        """How many hosts are remembered, those that are nobody's included."""
        return len(self._known) + len(self._unknown)

    @staticmethod
    def normal(host: str) -> str:
        """A host that somebody has typed, in the form that `find` gets: what to store of a
        custom domain. A port is left out.

        Raises:
            PatternError: it is no host.
        """
        name = HostPattern(host).host
        if name is None:
            raise PatternError(f"{host!r} is no single host; write one, such as 'a.example.com'.")
        return name

    async def resolve(self, host: str) -> T | None:
        """The tenant of a host, from memory or from `find`.

        Args:
            host: in the form that `find` gets; `normal` brings it there.

        Raises:
            ResolutionError: `find` has raised or took too long, and no stale answer may stand in.
        """
        while True:
            now = monotonic()
            entries = self._known
            entry = entries.get(host)
            if entry is None:
                entries = self._unknown
                entry = entries.get(host)
            if entry is not None and now < entry.fresh_until:
                entries.move_to_end(host)
                return entry.tenant
            failed = self._failures.get(host)
            if failed is not None and now < failed[0]:
                return self._stale(entry, failed[1])
            lookup = self._lookups.get(host)
            if lookup is None:
                lookup = self._lookups[host] = _Lookup()
                await self._look_up(host, lookup)
            else:
                await lookup.ended.wait()
            if not lookup.is_kept or lookup.changes != self._changes:
                continue  # it may be older than what has changed
            if lookup.failure is not None:
                return self._stale(entry, lookup.failure)
            if lookup.entry is not None:
                return lookup.entry.tenant
            # The request that looked it up was cancelled.

    def _stale(self, entry: _Entry[T] | None, failure: str) -> T:
        if entry is None or entry.tenant is None or monotonic() >= entry.stale_until:
            raise ResolutionError(failure)
        return entry.tenant

    async def _look_up(self, host: str, lookup: _Lookup[T]) -> None:
        try:
            tenant = await self._ask(host)
        except Exception as exc:
            lookup.failure = (
                f"The tenant of {host!r} could not be looked up: {type(exc).__name__}: {exc}"
            )
            logger.error("%s", lookup.failure, exc_info=exc)
            if lookup.is_kept:
                self._keep(self._failures, host, (monotonic() + self.failure_ttl, lookup.failure))
        else:
            now = monotonic()
            ttl = self.unknown_ttl if tenant is None else self.ttl
            lookup.entry = _Entry(tenant, now + ttl, now + ttl + self.stale_ttl)
            if lookup.is_kept:
                self._forget(host)
                self._keep(self._unknown if tenant is None else self._known, host, lookup.entry)
        finally:
            if self._lookups.get(host) is lookup:
                del self._lookups[host]
            lookup.changes = self._changes
            lookup.ended.set()

    async def _ask(self, host: str) -> T | None:
        with anyio.move_on_after(self.timeout):
            return await self._find(host)
        raise TimeoutError(f"it took more than {self.timeout:g} seconds.")

    def _keep(self, entries: OrderedDict[str, E], host: str, entry: E) -> None:
        entries[host] = entry
        entries.move_to_end(host)
        if len(entries) > self.max_size:
            entries.popitem(last=False)

    def invalidate(self, *hosts: str) -> None:
        """Forget hosts, so that the next request for each looks it up. What is being looked up
        right now is looked up again: no request is served by what was before.

        Args:
            hosts: in any spelling; none of them means all.

        Raises:
            PatternError: one is no host. Nothing is forgotten.
        """
        names = [self.normal(host) for host in hosts]
        self._changes += 1
        for name in names or [*self._known, *self._unknown, *self._failures, *self._lookups]:
            self._forget(name)
            if name in self._lookups:
                self._lookups.pop(name).is_kept = False

    def invalidate_tenant(self, is_meant: Callable[[T], bool]) -> None:
        """Forget every host of the tenants that a function picks. It is asked for each of those
        that are remembered. All that is being looked up right now is looked up again."""
        self._changes += 1
        for host, entry in [*self._known.items()]:
            if entry.tenant is not None and is_meant(entry.tenant):
                self._forget(host)
        for lookup in self._lookups.values():  # whose they are is not known yet
            lookup.is_kept = False
        self._lookups.clear()

    def _forget(self, host: str) -> None:
        self._known.pop(host, None)
        self._unknown.pop(host, None)
        self._failures.pop(host, None)
