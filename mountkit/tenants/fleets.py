"""The apps of all tenants while one server runs: started, found, evicted."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Generic, Literal, NamedTuple, TypeVar

import anyio

from mountkit.exceptions import LifespanError, MountkitError, shown
from mountkit.lifespans.children import Child, children_of
from mountkit.lifespans.runs import Health, Run
from mountkit.lifespans.supervisors import Supervisor
from mountkit.logs import tenants as logger
from mountkit.serving.mounts import Mount
from mountkit.tasks import describe, origin

T = TypeVar("T")

# Seconds before an app that did not start is started again: doubled each time.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
# How many failures are remembered.
MAX_FAILURES = 10_000


class Failure(NamedTuple):
    """Why an app is not up. It may start again at `retry_at` (`time.monotonic()`), `delay` seconds
    after it failed."""

    error: str
    retry_at: float
    delay: float
    told: object = None  # what was logged with a traceback


@dataclass(eq=False)
class Record:
    """One tenant's app, from its first request to its end."""

    key: Hashable
    failure: Failure | None  # why it is not up
    status: Literal["starting", "serving", "leaving"] = "starting"
    since: float = field(default_factory=time.time)
    mount: Mount = field(init=False)  # once its factory has returned
    run: Run = field(init=False)  # once it is up
    users: int = 0  # requests that it works on, or that wait until it is up
    used: float = 0.0  # when the last of them came or ended (`time.monotonic()`)
    settled: anyio.Event = field(default_factory=anyio.Event)  # it is up or did not start
    evicted: anyio.Event = field(default_factory=anyio.Event)
    unused: anyio.Event | None = None  # set when the last user leaves, if an eviction waits for it
    gone: anyio.Event = field(default_factory=anyio.Event)  # it is down or did not start

    @property
    def name(self) -> str:
        """For messages."""
        return f"tenant {shown(self.key)}"

    @property
    def health(self) -> Health:
        """How it is doing."""
        if self.status == "starting":
            return Health(self.name, "starting", self.since, self.users, {}, None)
        return replace(self.mount.health, mount=self.name)


@dataclass(eq=False)
class Fleet(Generic[T]):
    """The tenants' apps below one server, made inside its event loop.

    Each app has a task, which holds one of `max_apps` places from just before the app is made until
    it is down.

    Args:
        make: returns the mount of a tenant's app, and its child; given a name for messages.
        max_apps, idle_timeout, drain_timeout: see `TenantApps`.
        pinned: the keys of pinned tenants, which `TenantApps` changes.
        supervisor: runs the apps; its end is the end of all the tasks.

    Attributes:
        records: by key, the least recently used first.
    """

    make: Callable[[T, str], Awaitable[tuple[Mount, Child]]]
    max_apps: int
    idle_timeout: float
    drain_timeout: float | None
    pinned: set[Hashable]
    supervisor: Supervisor
    records: OrderedDict[Hashable, Record] = field(default_factory=OrderedDict)
    _failures: OrderedDict[Hashable, Failure] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._places = anyio.Semaphore(self.max_apps)  # given to those that wait in turn

    async def enter(self, key: Hashable, tenant: T) -> Record | Failure:
        """The app of a tenant, up until `leave`; or why it did not start."""
        record = self.records.get(key)
        while record is not None and record.status == "leaving":
            await record.gone.wait()
            record = self.records.get(key)
        if record is None:
            failure = self._failures.get(key)
            if failure is not None and monotonic() < failure.retry_at:
                return failure
            error = f"The app of tenant {shown(key)} was not started: the server is shutting down."
            failure = Failure(error, monotonic() + FIRST_DELAY, FIRST_DELAY)
            if self.supervisor.is_stopped:
                return failure
            record = self.records[key] = Record(key, failure)  # holds if the start is cancelled
            self.supervisor.spawn(partial(self._keep, record, tenant))
        elif record.status == "serving" and record.run.phase == "broken":
            self._evict(record)
            return self._fail(key, str(record.run.error))
        record.users += 1
        record.used = monotonic()
        self.records.move_to_end(key)
        if record.status == "starting":
            try:
                await record.settled.wait()
            except BaseException:
                self.leave(record)
                raise
        return record.failure or record

    def leave(self, record: Record) -> None:
        """Let go of an app that `enter` returned."""
        record.users -= 1
        record.used = monotonic()
        if self.records.get(record.key) is record:
            self.records.move_to_end(record.key)
        if not record.users and record.unused is not None:
            record.unused.set()

    async def start(self, key: Hashable, tenant: T) -> str | None:
        """Start an app, and return why it did not start."""
        record = await self.enter(key, tenant)
        if isinstance(record, Failure):
            return record.error
        self.leave(record)
        return None

    async def evict(self, key: Hashable) -> None:
        """Evict an app and wait until it is down."""
        record = self.records.get(key)
        if record is not None:
            await record.settled.wait()
            self._evict(record)
            await record.gone.wait()

    async def _keep(self, record: Record, tenant: T) -> None:
        """The life of one app."""
        try:
            if not self._places.value:
                self._make_room(1)
            async with self._places:
                await self._start(record, tenant)
                if record.failure is None:
                    await self._wait_for_eviction(record)
                    await self._retire(record)
        finally:
            del self.records[record.key]
            record.settled.set()
            record.gone.set()

    async def _start(self, record: Record, tenant: T) -> None:
        try:
            record.mount, child = await self.make(tenant, record.name)
            await self.supervisor.start(child)
        except Exception as exc:
            reason = str(exc) if isinstance(exc, MountkitError) else describe(exc)
            cause = exc.raised if isinstance(exc, LifespanError) else exc
            last, told = self._failures.get(record.key), origin(cause) or reason
            record.failure = self._fail(record.key, reason, told)
            shown = cause if last is None or last.told != told else None
            logger.error("The app of %s did not start: %s", record.name, reason, exc_info=shown)
        else:
            record.run = child.run_in(self.supervisor.register)
            record.failure = None
            record.status = "serving"
            self._failures.pop(record.key, None)
            record.settled.set()
            self._make_room()

    def _fail(self, key: Hashable, error: str, told: object = None) -> Failure:
        """Record a failure. The delay is doubled, unless the last failure was long ago."""
        now = monotonic()
        last = self._failures.pop(key, None)
        delay = FIRST_DELAY
        if last is not None and now < last.retry_at + LONGEST_DELAY:
            delay = min(2 * last.delay, LONGEST_DELAY)
        failure = self._failures[key] = Failure(error, now + delay, delay, told)
        if len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)
        return failure

    def _make_room(self, coming: int = 0) -> None:
        """Evict an app for each start that waits for a place, and for those that will. It may have
        to wait until one is up."""
        records = self.records.values()
        leaving = sum(record.status == "leaving" for record in records)
        missing = self._places.statistics().tasks_waiting + coming - leaving
        if missing > 0:
            # The least recently used ones: of those that are idle, then of all.
            victims = [record for record in records if self._may_leave(record)]
            for record in sorted(victims, key=lambda record: record.users > 0)[:missing]:
                self._evict(record)

    def _may_leave(self, record: Record) -> bool:
        return record.status == "serving" and record.key not in self.pinned

    async def _wait_for_eviction(self, record: Record) -> None:
        """Wait until an app is evicted, by this if it is idle for too long."""
        while record.status == "serving":
            left = record.used + self.idle_timeout - monotonic()
            if left <= 0 and not record.users and self._may_leave(record):
                self._evict(record)
            else:
                with anyio.move_on_after(left if left > 0 else self.idle_timeout):
                    await record.evicted.wait()

    def _evict(self, record: Record) -> None:
        if record.status == "serving":
            record.status = "leaving"
            record.mount.traffic.draining_since = time.time()
            record.evicted.set()

    async def _retire(self, record: Record) -> None:
        with anyio.move_on_after(self.drain_timeout):
            while record.users:
                record.unused = anyio.Event()
                await record.unused.wait()
        if record.users:  # else what is in flight is another server's
            await record.mount.traffic.drain(0)  # cuts what is left
        with anyio.CancelScope(shield=True):
            await self.supervisor.stop_some([*children_of([record.mount])])
