"""`TenantResolver`: the tenant of a host, looked up by the user's function and remembered."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

import anyio

from mountkit.exceptions import PatternError, ResolutionError
from mountkit.matching.hosts import HostPattern
from mountkit.tasks import describe, guarded

logger: logging.Logger = logging.getLogger("mountkit")

T = TypeVar("T")
E = TypeVar("E")


class _Entry(NamedTuple, Generic[T]):
    tenant: T | None
    fresh_until: float
    stale_until: float


@dataclass(eq=False)
class _Lookup(Generic[T]):
    """One call of the user's function, and the requests that wait for it."""

    ended: anyio.Event = field(default_factory=anyio.Event)
    entry: _Entry[T] | None = None  # this or `failure` is set then, unless it was cancelled
    failure: str | None = None
    is_kept: bool = True  # the host has not been invalidated since it began
    changes: int = 0  # the resolver's, when it ended


class TenantResolver(Generic[T]):
    """Finds the tenant of a host, and remembers it.

    Requests that ask for the same host at the same time share one look-up. If the request that runs
    it is cancelled, another one takes over.

    Args:
        find: an async function that takes a host and returns its tenant, any object but `None`, or
            `None` if the host has no tenant. The host is in lower case, without a port or a
            trailing dot; international names are in ASCII (`xn--bcher-kva.de`), as in DNS.
        ttl: seconds that a tenant is remembered.
        unknown_ttl: seconds that a host without a tenant is remembered.
        stale_ttl: seconds beyond `ttl` that a tenant is still served while `find` fails
            (`stale-if-error`, RFC 5861, section 4). Hosts without a tenant are never stale.
        failure_ttl: seconds that a host is not looked up again after `find` has failed.
        timeout: seconds after which `find` has failed; `None` sets no limit.
        max_size: how many hosts with a tenant are remembered, and as many without one, so that
            made-up hosts do not displace tenants. The least recently used are forgotten.

    Raises:
        PatternError: `find` cannot be called, or a number is out of range.
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
                f"TenantResolver({find!r}) cannot call its argument; pass an async function that "
                "takes a host."
            )
        numbers = {"ttl": ttl, "unknown_ttl": unknown_ttl, "stale_ttl": stale_ttl}
        for name, seconds in (numbers | {"failure_ttl": failure_ttl}).items():
            if not seconds >= 0:
                raise PatternError(f"{name}={seconds!r} is not a number of seconds; write e.g. 60.")
        for name, value in {"timeout": timeout, "max_size": max_size}.items():
            if value is not None and not value > 0:
                raise PatternError(f"{name}={value!r} is not above 0; write e.g. 5.")
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
        self._changes = 0  # counts invalidations

    def __len__(self) -> int:
        """The number of hosts that are remembered, with and without a tenant."""
        return len(self._known) + len(self._unknown)

    @staticmethod
    def normal(host: str) -> str:
        """A host as a customer typed it, in the form that `find` gets: store custom domains in this
        form. A port is dropped.

        Raises:
            PatternError: it is not a valid host.
        """
        name = HostPattern(host).host
        if name is None:
            raise PatternError(f"{host!r} is not one host; write one, such as 'a.example.com'.")
        return name

    async def resolve(self, host: str) -> T | None:
        """The tenant of a host, from memory or from `find`.

        Args:
            host: in the form that `find` gets; see `normal`.

        Raises:
            ResolutionError: `find` raised or took too long, and there is no stale answer.
        """
        while True:
            now = monotonic()
            entries = self._known if host in self._known else self._unknown
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
                continue  # it may be older than the change
            if lookup.failure is not None:
                return self._stale(entry, lookup.failure)
            if lookup.entry is not None:
                return lookup.entry.tenant
            # The request that ran the look-up was cancelled.

    def _stale(self, entry: _Entry[T] | None, failure: str) -> T:
        if entry is None or entry.tenant is None or monotonic() >= entry.stale_until:
            raise ResolutionError(failure)
        return entry.tenant

    async def _look_up(self, host: str, lookup: _Lookup[T]) -> None:
        try:
            tenant = await self._ask(host)
        except Exception as exc:
            lookup.failure = f"The tenant of {host!r} could not be looked up: {describe(exc)}"
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
            return await guarded(partial(self._find, host))
        raise TimeoutError(f"it took more than {self.timeout:g} seconds.")

    def _keep(self, entries: OrderedDict[str, E], host: str, entry: E) -> None:
        entries[host] = entry
        entries.move_to_end(host)
        if len(entries) > self.max_size:
            entries.popitem(last=False)

    def invalidate(self, *hosts: str) -> None:
        """Forget hosts, so that the next request for each looks it up. Look-ups of them that are
        running are repeated: no later answer comes from before this call.

        Args:
            hosts: in any spelling; without one, all are forgotten.

        Raises:
            PatternError: one is not a valid host. Nothing is forgotten then.
        """
        names = [self.normal(host) for host in hosts]
        self._changes += 1
        for name in names or [*self._known, *self._unknown, *self._failures, *self._lookups]:
            self._forget(name)
            if name in self._lookups:
                self._lookups.pop(name).is_kept = False

    def invalidate_tenant(self, is_meant: Callable[[T], bool]) -> None:
        """Forget the hosts of each tenant for which a function returns true. All look-ups that are
        running are repeated."""
        self._changes += 1
        for host, entry in [*self._known.items()]:
            if entry.tenant is not None and is_meant(entry.tenant):
                self._forget(host)
        for lookup in self._lookups.values():  # their tenants are not known yet
            lookup.is_kept = False
        self._lookups.clear()

    def _forget(self, host: str) -> None:
        self._known.pop(host, None)
        self._unknown.pop(host, None)
        self._failures.pop(host, None)
