"""`TenantResolver`: the tenant of a host, looked up by the user's function and remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

import anyio

from mountkit.exceptions import PatternError, ResolutionError, spelled
from mountkit.lifespans.options import check_seconds
from mountkit.logs import tenants as logger
from mountkit.matching.hosts import HostPattern
from mountkit.tasks import describe, guarded

T = TypeVar("T")


async def call_within(seconds: float | None, name: str, call: Callable[[], Awaitable[T]]) -> T:
    """Call a user's function, as `guarded` does.

    Raises:
        TimeoutError: it took too long.
    """
    with anyio.move_on_after(seconds):
        return await guarded(call)
    raise TimeoutError(f"{name} took more than {spelled(seconds or 0)}.")


class _Entry(NamedTuple, Generic[T]):
    """What is known of a host: its tenant, that it has none, or why the look-up failed."""

    tenant: T | None
    error: str
    fresh_until: float


@dataclass(eq=False)
class _Lookup(Generic[T]):
    """One call of the user's function, and the requests that wait for it."""

    ended: anyio.Event = field(default_factory=anyio.Event)
    entry: _Entry[T] | None = None  # set by the end, unless it was cancelled
    changes: int = -1  # the resolver's at the end, unless the host was invalidated before


@dataclass(eq=False, repr=False)
class TenantResolver(Generic[T]):
    """Finds the tenant of a host, and caches the answer.

    Requests that ask for the same host at the same time share one look-up. If the request that runs
    it is cancelled, another one takes over.

    Args:
        find: an async function that takes a host and returns its tenant, any object but `None`, or
            `None` if the host has no tenant. The host is in lower case, without a port or a
            trailing dot; international names are in ASCII (`xn--bcher-kva.de`), as in DNS.
        ttl: seconds that a tenant is cached.
        unknown_ttl: seconds that a host without a tenant is cached.
        stale_ttl: seconds beyond `ttl` that a tenant is still served while `find` fails
            (`stale-if-error`, RFC 5861, section 4). Hosts without a tenant are never stale.
        failure_ttl: seconds that a host is not looked up again after `find` has failed.
        timeout: seconds after which `find` has failed; `None` sets no limit.
        max_size: how many hosts with a tenant are cached, and how many without one, so that made-up
            hosts do not displace tenants. The least recently used are dropped.

    Raises:
        PatternError: `find` cannot be called, or a number is out of range.
    """

    find: Callable[[str], Awaitable[T | None]]
    _: KW_ONLY
    ttl: float = 60.0
    unknown_ttl: float = 10.0
    stale_ttl: float = 0.0
    failure_ttl: float = 1.0
    timeout: float | None = 5.0
    max_size: int = 100_000

    def __post_init__(self) -> None:
        if not callable(self.find):
            raise PatternError(
                f"TenantResolver({self.find!r}) cannot call its argument; pass an async function "
                "that takes a host."
            )
        for name in ("ttl", "unknown_ttl", "stale_ttl", "failure_ttl"):
            value = getattr(self, name)
            if not value >= 0:
                raise PatternError(f"{name}={value!r} is not a number of seconds; write e.g. 60.")
        check_seconds("timeout", self.timeout)
        if not self.max_size > 0:
            raise PatternError(f"max_size={self.max_size!r} is not above 0; write e.g. 1000.")
        # By host, the least recently used first.
        self._known: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._lookups: dict[str, _Lookup[T]] = {}  # without those that an invalidation outdated
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
        """The tenant of a host, from the cache or from `find`.

        Args:
            host: in the form that `find` gets; see `normal`.

        Raises:
            ResolutionError: `find` raised or took too long, and there is no stale answer.
        """
        while True:
            for entries in (self._known, self._unknown):
                entry = entries.get(host)
                if entry is not None and monotonic() < entry.fresh_until:
                    entries.move_to_end(host)
                    break
            else:
                lookup = await self._look_up(host)
                entry = lookup.entry
                if entry is None or lookup.changes != self._changes:
                    continue  # it was cancelled, or may be older than an invalidation
            if not entry.error:
                return entry.tenant
            known = self._known.get(host)
            if known is None or monotonic() >= known.fresh_until + self.stale_ttl:
                raise ResolutionError(entry.error)
            return known.tenant

    async def _look_up(self, host: str) -> _Lookup[T]:
        """Call the user's function, or wait for a call that is running."""
        lookup = self._lookups.get(host)
        if lookup is not None:
            await lookup.ended.wait()
            return lookup
        lookup = self._lookups[host] = _Lookup()
        try:
            tenant = await call_within(self.timeout, "it", partial(self.find, host))
        except Exception as exc:
            error = f"The tenant of {host!r} could not be looked up: {describe(exc)}"
            logger.error("%s", error, exc_info=exc)
            lookup.entry = _Entry(None, error, monotonic() + self.failure_ttl)
        else:
            ttl = self.unknown_ttl if tenant is None else self.ttl
            lookup.entry = _Entry(tenant, "", monotonic() + ttl)
        finally:
            if self._lookups.get(host) is lookup:
                del self._lookups[host]
                lookup.changes = self._changes
                if lookup.entry is not None:
                    self._remember(host, lookup.entry)
            lookup.ended.set()
        return lookup

    def _remember(self, host: str, entry: _Entry[T]) -> None:
        if not entry.error:  # else what is known may be served stale
            self._forget(host)
        entries = self._unknown if entry.tenant is None else self._known
        entries[host] = entry
        entries.move_to_end(host)
        if len(entries) > self.max_size:
            entries.popitem(last=False)

    def _forget(self, host: str) -> None:
        self._known.pop(host, None)
        self._unknown.pop(host, None)

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
        for name in names or [*self._known, *self._unknown, *self._lookups]:
            self._forget(name)
            self._lookups.pop(name, None)

    def invalidate_tenant(self, is_meant: Callable[[T], bool]) -> None:
        """Forget the hosts of each tenant for which a function returns true. All look-ups that are
        running are repeated: their tenants are not known yet."""
        self._changes += 1
        for host, entry in [*self._known.items()]:
            if entry.tenant is not None and is_meant(entry.tenant):
                self._forget(host)
        self._lookups.clear()
