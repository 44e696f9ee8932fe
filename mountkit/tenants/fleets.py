"""The apps of all tenants while one server runs: started, found, evicted."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

import anyio

from mountkit.exceptions import LifespanError, MountkitError, PatternError
from mountkit.lifespans.children import Child
from mountkit.lifespans.supervisors import Supervisor
from mountkit.serving.mounts import Mount
from mountkit.tasks import describe, guarded
from mountkit.tenants.records import Failure, Record

logger: logging.Logger = logging.getLogger("mountkit")

T = TypeVar("T")

# Seconds before an app that did not start is started again: doubled each time.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
# Failures that are remembered.
MAX_FAILURES = 10_000


@dataclass(eq=False)
class Fleet(Generic[T]):
    """The tenants' apps that run below one server, made inside its event loop.

    A record's status goes from "starting" to "serving" to "leaving" to "gone", or from "starting"
    to "gone" if the app does not start. Each record holds one of `max_apps` places from just before
    its factory is called until it is gone.

    Attributes:
        factory, …, startup_timeout: see `TenantApps`.
        pinned: the keys of pinned tenants, which `TenantApps` changes.
        running: the supervisors of all servers that run now.
        supervisor: runs the apps of this one.
        records: by key, the least recently used first.
    """

    factory: Callable[[T], Awaitable[Any]]
    state_key: str
    max_apps: int
    idle_timeout: float | None
    drain_timeout: float | None
    startup_timeout: float | None
    pinned: set[Hashable]
    running: list[Supervisor]
    supervisor: Supervisor
    records: OrderedDict[Hashable, Record[T]] = field(default_factory=OrderedDict)
    _failures: OrderedDict[Hashable, Failure] = field(default_factory=OrderedDict)
    _taken: int = 0  # places
    _queue: deque[anyio.Event] = field(default_factory=deque)  # starts that wait for a place
    _leaving: int = 0  # apps that will give theirs back

    @property
    def is_running(self) -> bool:
        """Whether it may start apps: the server has not begun to stop."""
        return self.supervisor in self.running

    async def enter(self, key: Hashable, tenant: T) -> Record[T] | Failure:
        """The app of a tenant, up until `leave`; or why it did not start."""
        record = self.records.get(key)
        while record is not None and record.status == "leaving":
            await record.gone.wait()
            record = self.records.get(key)
        if record is None:
            failure = self._failures.get(key)
            if failure is not None and monotonic() < failure.retry_at:
                return failure
            if not self.is_running:
                return shutting_down(key)
            record = self.records[key] = Record(key, tenant)
            self.supervisor.spawn(partial(self._bring_up, record))
        elif record.status == "serving" and record.error is not None:
            self._evict(record)
            return self._fail(key, record.error)
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

    def leave(self, record: Record[T]) -> None:
        """Let go of an app that `enter` returned."""
        record.users -= 1
        record.used = monotonic()
        if self.records.get(record.key) is record:
            self.records.move_to_end(record.key)
        if not record.users and record.unused is not None:
            record.unused.set()

    def _fail(self, key: Hashable, error: str) -> Failure:
        """Record a failure. The delay is doubled, unless the last failure was long ago."""
        now = monotonic()
        last = self._failures.pop(key, None)
        delay = FIRST_DELAY
        if last is not None and now < last.retry_at + LONGEST_DELAY:
            delay = min(2 * last.delay, LONGEST_DELAY)
        failure = self._failures[key] = Failure(error, now + delay, delay)
        if len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)
        return failure

    async def _bring_up(self, record: Record[T]) -> None:
        record.failure = shutting_down(record.key)  # if this is cancelled
        try:
            await self._take_place()
            record.has_place = True
            record.mount, record.child = await self._make(record)
            await self.supervisor.start(record.child)
        except Exception as exc:
            reason = str(exc) if isinstance(exc, MountkitError) else describe(exc)
            record.failure = self._fail(record.key, reason)
            cause = exc.__cause__ if isinstance(exc, LifespanError) else exc
            logger.error("The app of %s did not start: %s", record.name, reason, exc_info=cause)
        else:
            record.failure = None
            record.status = "serving"
            self._failures.pop(record.key, None)
        finally:
            if record.failure is not None:
                self._remove(record)
            record.settled.set()
            self._make_room()

    async def _make(self, record: Record[T]) -> tuple[Mount, Child]:
        """Have the user's function make an app."""
        with anyio.move_on_after(self.startup_timeout) as cancel_scope:
            app = await guarded(partial(self.factory, record.tenant))
        if cancel_scope.cancelled_caught:
            raise TimeoutError(f"the factory took more than {self.startup_timeout:g} seconds.")
        mount = app if isinstance(app, Mount) else Mount("", app)
        rule, child = mount.rule, mount.child
        if child is None or rule.path.segments or rule.host or rule.conditions:
            raise PatternError(
                f"{mount!r} cannot serve a tenant, as its requests are not selected again; return "
                "the app, or Mount('', app) without conditions."
            )
        rule.where = record.name
        mount.traffic.draining_since = None
        child.name = mount.where
        child.state = {self.state_key: record.tenant}
        return mount, child

    async def _take_place(self) -> None:
        """Wait for one of the places, in turn."""
        if self._taken < self.max_apps:
            self._taken += 1
            return
        turn = anyio.Event()
        self._queue.append(turn)
        self._make_room()
        try:
            await turn.wait()
        finally:
            if turn in self._queue:  # cancelled
                self._queue.remove(turn)

    def _make_room(self) -> None:
        """Evict an app for each start that waits. It may have to wait until one is up."""
        while self._leaving < len(self._queue):
            victim = self._victim()
            if victim is None:
                return
            self._evict(victim)

    def _victim(self) -> Record[T] | None:
        """The least recently used app: of those that are idle, else of all."""
        found = None
        for record in self.records.values():
            if self._may_leave(record):
                if record.is_idle:
                    return record
                found = found or record
        return found

    def _may_leave(self, record: Record[T]) -> bool:
        return record.status == "serving" and record.key not in self.pinned

    async def evict(self, key: Hashable) -> None:
        """Evict an app and wait until it is down."""
        record = self.records.get(key)
        if record is None:
            return
        await record.settled.wait()
        if record.status == "serving":
            self._evict(record)
        if record.status == "leaving":
            await record.gone.wait()

    def _evict(self, record: Record[T]) -> None:
        record.status = "leaving"
        self._leaving += 1
        record.mount.traffic.draining_since = time.time()
        if self.is_running:  # else the server stops them all
            self.supervisor.spawn(partial(self._retire, record))

    async def _retire(self, record: Record[T]) -> None:
        try:
            with anyio.move_on_after(self.drain_timeout):
                while record.users:
                    record.unused = anyio.Event()
                    await record.unused.wait()
            await record.mount.traffic.drain(0)  # cuts what is left
            with anyio.CancelScope(shield=True):
                await self.supervisor.stop_some([record.child])
        finally:
            self._leaving -= 1
            self._remove(record)

    def _remove(self, record: Record[T]) -> None:
        del self.records[record.key]
        record.status = "gone"
        record.gone.set()
        if not record.has_place:
            return
        if self._queue:
            self._queue.popleft().set()  # the next start has its place
        else:
            self._taken -= 1

    def watch_idle(self) -> None:
        """From now on, evict apps that are idle for `idle_timeout` seconds."""
        if self.idle_timeout is not None:
            self.supervisor.spawn(partial(self._reap, self.idle_timeout))

    async def _reap(self, idle_timeout: float) -> None:
        while True:
            now = monotonic()
            due = now + idle_timeout
            for record in [*self.records.values()]:
                if record.is_idle and self._may_leave(record):
                    if record.used + idle_timeout <= now:
                        self._evict(record)
                    else:
                        due = min(due, record.used + idle_timeout)
            await anyio.sleep(due - now)

    def end(self) -> None:
        """Release the requests that wait for an app to be down: all of them are."""
        for record in self.records.values():
            record.gone.set()
        self.records.clear()


def shutting_down(key: Hashable) -> Failure:
    """Why nothing is started any more."""
    error = f"The app of tenant {key!r} was not started: the server is shutting down."
    return Failure(error, monotonic() + FIRST_DELAY, FIRST_DELAY)
