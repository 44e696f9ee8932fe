"""Tenants by host: one app for all of them, or an app for each."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer, answer_unavailable
from mountkit.exceptions import LifespanError, MountkitError, PatternError, ResolutionError
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT, Timeouts
from mountkit.lifespans.runners import LifespanRunner
from mountkit.lifespans.runs import Health
from mountkit.lifespans.supervisors import Supervisor
from mountkit.matching.hosts import request_host
from mountkit.matching.paths import split_root_path
from mountkit.matching.tables import Resolution
from mountkit.serving.dispatchers import DRAIN_TIMEOUT
from mountkit.serving.mounts import Mount
from mountkit.tenants.resolvers import TenantResolver
from mountkit.wsgi.detection import adapt

logger: logging.Logger = logging.getLogger("mountkit")

T = TypeVar("T")

# Seconds before an app that did not start is started again: doubled each time.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
# Apps whose last start failed, of which is known when to start them again.
_MAX_FAILURES = 10_000


class _Door(Generic[T]):
    """Lets requests of tenants in, and answers those of nobody."""

    def __init__(
        self, resolver: TenantResolver[T], state_key: str, unknown: ASGIApp | None
    ) -> None:
        if not isinstance(resolver, TenantResolver):
            raise PatternError(
                f"{resolver!r} is no TenantResolver; write TenantResolver(find), where find is an "
                "async function that takes a host and returns its tenant."
            )
        self.resolver = resolver
        self.state_key = state_key
        self.unknown: ASGIApp | None = None if unknown is None else adapt(unknown)[0]

    async def tenant(self, scope: Scope, receive: Receive, send: Send) -> T | None:
        """The tenant of a request; `None` if there is none, and an answer was sent."""
        host = request_host(scope)
        if host is None:
            await answer(400, scope, receive, send)
            return None
        try:
            tenant = await self.resolver.resolve(host.host)
        except ResolutionError:
            retry_at = monotonic() + self.resolver.failure_ttl
            await answer_unavailable(retry_at, scope, receive, send)
            return None
        if tenant is not None:
            return tenant
        if self.unknown is None or scope["type"] == "websocket":
            await answer(404, scope, receive, send)
        else:
            await self.unknown({**scope}, receive, send)
        return None


class TenantMiddleware(Generic[T]):
    """One app for all tenants, which finds the tenant of a request in `request.state.tenant`.

    `app.add_middleware(TenantMiddleware, resolver=resolver)`, or
    `Mount("/", TenantMiddleware(app, resolver))`; in a WSGI app,
    `environ["asgi.scope"]["state"]["tenant"]`. The lifespan of the app goes through.

    Args:
        app: an ASGI or a WSGI application.
        resolver: finds the tenant of a host.
        state_key: the name in `request.state`.
        unknown: answers requests (not websockets) for hosts that are nobody's in the place of a
            404: an app, or a response such as `RedirectResponse("https://example.com/")`. Its
            lifespan is not run.

    A request without exactly one proper `Host` gets 400; one whose tenant could not be looked up
    gets 503 with `Retry-After`.

    Raises:
        PatternError: `resolver` is none.
    """

    def __init__(
        self,
        app: Any,
        resolver: TenantResolver[T],
        *,
        state_key: str = "tenant",
        unknown: ASGIApp | None = None,
    ) -> None:
        self.app: ASGIApp = adapt(app)[0]
        self._door = _Door(resolver, state_key, unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            tenant = await self._door.tenant(scope, receive, send)
            if tenant is None:
                return
            # In place, as Starlette's middleware does it, so that those above see the route.
            scope["state"] = {**scope.get("state", {}), self._door.state_key: tenant}
        await self.app(scope, receive, send)


class _Failure(NamedTuple):
    retry_at: float
    delay: float
    error: str


class _Unavailable(Exception):
    """A tenant's app is not up, and is not started before a time."""

    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.error)
        self.retry_at = failure.retry_at


class _Record(Generic[T]):
    """One tenant's app, from its first request to its end.

    Attributes:
        status: it is `"gone"` too if it never was up.
        mount, child: once it is up.
        failure: why it did not start.
        users: requests that it works on, or that wait until it is up.
        used: when the last of them came or ended.
        settled: it is up, or did not start.
        gone: it is down.
        unused: it has no users any more, while somebody waits for that.
    """

    def __init__(self, key: Hashable, tenant: T) -> None:
        self.key = key
        self.tenant = tenant
        self.status: Literal["starting", "serving", "leaving", "gone"] = "starting"
        self.since = time.time()
        self.mount: Mount
        self.child: Child
        self.failure: _Failure | None = None
        self.users = 0
        self.used = monotonic()
        self.settled = anyio.Event()
        self.gone = anyio.Event()
        self.unused: anyio.Event | None = None

    @property
    def error(self) -> str | None:
        """Why its lifespan has ended while it served, if it has and is not started again."""
        run = self.child.run
        return run.error if run.status == "failed" and run.retry_at is None else None


class TenantApps(Generic[T]):
    """An app for each tenant, made and started when its first request comes.

    Mount it where the tenants are: `Mount("/", TenantApps(resolver, make_app))`. Requests that
    come while an app starts wait for it. If it does not start, they get 503 with `Retry-After`,
    and the first request after that time starts it again; the time is doubled each time, up to a
    minute. An app is evicted when it was idle for long, and when another one needs its place: the
    least recently used of those that are idle, else the least recently used. It works off the
    requests that it has, then its lifespan is shut down; a later request starts it anew.

    Each app has a lifespan, a scope and a state of its own, and finds its tenant in
    `request.state.tenant` and in its lifespan's state. It starts in the context of the server, and
    sees no context variable of the request that was the first.

    Args:
        resolver: finds the tenant of a host.
        factory: an async function that is given a tenant and makes its app, ASGI or WSGI; or a
            `Mount("", app, …)`, for the sake of its options. If it raises, the app did not start.
        key: what tells tenants apart. By default the tenant itself, which then has to be equal
            from one look-up to the next: a string, a number, a frozen dataclass.
        max_apps: how many there are at a time, those that start or leave included.
        idle_timeout: seconds without a request after which an app is evicted; `None`: never.
        drain_timeout: seconds that the requests of an evicted app have; see
            `Dispatcher.change`.
        startup_timeout: seconds for the factory, and as many for the app's lifespan.
        shutdown_timeout: seconds for the app's lifespan.
        warm_up: an async function that returns the tenants whose apps are to start before the
            server takes requests. One that does not start is logged; if `warm_up` itself raises,
            the server does not start.
        state_key, unknown: see `TenantMiddleware`.

    Raises:
        PatternError: an argument can never work.
    """

    def __init__(
        self,
        resolver: TenantResolver[T],
        factory: Callable[[T], Awaitable[Any]],
        *,
        key: Callable[[T], Hashable] | None = None,
        max_apps: int = 100,
        idle_timeout: float | None = 600.0,
        drain_timeout: float | None = DRAIN_TIMEOUT,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        warm_up: Callable[[], Awaitable[Iterable[T]]] | None = None,
        state_key: str = "tenant",
        unknown: ASGIApp | None = None,
    ) -> None:
        if not callable(factory):
            raise PatternError(
                f"factory={factory!r} cannot be called; pass an async function that takes a tenant "
                "and returns its app."
            )
        for name, value in {"max_apps": max_apps, "idle_timeout": idle_timeout}.items():
            if value is not None and not value > 0:
                raise PatternError(f"{name}={value!r} is no number above 0; write e.g. 100.")
        self._door = _Door(resolver, state_key, unknown)
        self._factory = factory
        self._key = key
        self.max_apps = max_apps
        self.idle_timeout = idle_timeout
        self.drain_timeout = drain_timeout
        self.startup_timeout = startup_timeout
        self.shutdown_timeout = shutdown_timeout
        self._warm_up = warm_up
        self._lifespans = LifespanRunner(
            lambda scope: (),
            Timeouts(startup_timeout, shutdown_timeout),
            prepare=self._start_first,
        )
        self._supervisors = self._lifespans.supervisors
        self._has_run = False
        self._pinned: set[Hashable] = set()
        # By key, the least recently used first.
        self._records: OrderedDict[Hashable, _Record[T]] = OrderedDict()
        self._failures: OrderedDict[Hashable, _Failure] = OrderedDict()
        self._taken = 0  # places of `max_apps`
        self._queue: deque[anyio.Event] = deque()  # apps that wait for a place
        self._leaving = 0  # apps that will give theirs back
        self._is_reaping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" or kind == "websocket":
            tenant = await self._door.tenant(scope, receive, send)
            if tenant is not None:
                await self._serve(tenant, scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            raise MountkitError(
                f"Scope type {kind!r} is none of 'http', 'websocket' and 'lifespan': it has no "
                "host to tell a tenant by."
            )

    async def _serve(self, tenant: T, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            record = await self._enter(tenant)
        except _Unavailable as exc:
            await answer_unavailable(exc.retry_at, scope, receive, send)
            return
        try:
            record.tenant = tenant
            # The request's own state is copied from this before anything else can happen.
            record.child.run.state[self._door.state_key] = tenant
            root_path, rest = split_root_path(scope)
            mount = record.mount
            resolution = Resolution(mount, root_path, "", rest, {})
            await mount.serve(resolution, scope, receive, send)
        finally:
            self._leave(record)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._has_run = True
        try:
            await self._lifespans(scope, receive, send)
        finally:
            for record in self._records.values():
                record.gone.set()
            self._records.clear()
            self._failures.clear()
            self._taken = self._leaving = 0

    async def _start_first(self) -> None:
        tenants = () if self._warm_up is None else await self._warm_up()
        async with anyio.create_task_group() as task_group:
            for tenant in tenants:
                task_group.start_soon(self._try_to_start, tenant)

    async def _try_to_start(self, tenant: T) -> None:
        with suppress(LifespanError):  # it was logged
            await self.start(tenant)

    async def start(self, tenant: T) -> None:
        """Start a tenant's app now, as its first request would.

        Raises:
            LifespanError: it did not start, or a little ago it did not.
        """
        try:
            self._leave(await self._enter(tenant))
        except _Unavailable as exc:
            raise LifespanError(str(exc)) from exc

    async def evict(self, tenant: T) -> None:
        """Evict a tenant's app, pinned or not, and return once it is down. Evict it when what it
        was made of has changed: the next request starts a new one.

        A request of this very app that awaits it waits for its own end, and is cut after
        `drain_timeout`: let another app do it, or a task.
        """
        record = self._records.get(self._key_of(tenant))
        if record is None:
            return
        await record.settled.wait()
        if record.status == "serving":
            self._evict(record)
        if record.status == "leaving":
            await record.gone.wait()

    def pin(self, tenant: T) -> None:
        """Never evict a tenant's app to make room or because it is idle.

        Raises:
            PatternError: all places but one are pinned; the others need that one.
        """
        key = self._key_of(tenant)
        if len(self._pinned | {key}) >= self.max_apps:
            raise PatternError(
                f"Tenant {key!r} cannot be pinned: of max_apps={self.max_apps} places one is left, "
                "and the other tenants need it; raise max_apps."
            )
        self._pinned.add(key)

    def unpin(self, tenant: T) -> None:
        """Take `pin` back."""
        self._pinned.discard(self._key_of(tenant))

    @property
    def health(self) -> list[Health]:
        """How each tenant's app is doing that is there; `mount` is `tenant 'acme'`."""
        return [self._health(record) for record in self._records.values()]

    def _health(self, record: _Record[T]) -> Health:
        name = _name(record.key)
        if record.status == "starting":
            return Health(name, "starting", record.since, record.users, {}, None)
        return replace(record.mount.health, mount=name)

    def _key_of(self, tenant: T) -> Hashable:
        key = tenant if self._key is None else self._key(tenant)
        if type(key).__eq__ is object.__eq__ or key.__hash__ is None:
            raise PatternError(
                f"Tenant {tenant!r} cannot be told from others by {key!r}, which is equal to "
                "itself alone or has no hash; pass key=, such as key=lambda tenant: tenant.id."
            )
        return key

    async def _enter(self, tenant: T) -> _Record[T]:
        """The app of a tenant, up. It stays so until `_leave`.

        Raises:
            _Unavailable: it did not start.
        """
        key = self._key_of(tenant)
        record = self._records.get(key)
        while record is not None and record.status == "leaving":
            await record.gone.wait()
            record = self._records.get(key)
        if record is None:
            record = self._begin(key, tenant)
        elif record.status == "serving" and record.error is not None:
            failure = self._fail(key, record.error)
            self._evict(record)
            raise _Unavailable(failure)
        record.users += 1
        record.used = monotonic()
        self._records.move_to_end(key)
        if record.status == "starting":
            try:
                await record.settled.wait()
            except BaseException:
                self._leave(record)
                raise
            if record.failure is not None:
                raise _Unavailable(record.failure)
        return record

    def _leave(self, record: _Record[T]) -> None:
        record.users -= 1
        record.used = monotonic()
        if self._records.get(record.key) is record:
            self._records.move_to_end(record.key)
        if not record.users and record.unused is not None:
            record.unused.set()

    def _begin(self, key: Hashable, tenant: T) -> _Record[T]:
        failure = self._failures.get(key)
        if failure is not None and monotonic() < failure.retry_at:
            raise _Unavailable(failure)
        if not self._supervisors:
            if self._has_run:
                raise _Unavailable(_shutting_down(key))
            raise MountkitError(
                f"The app of {_name(key)} cannot be started: nothing runs the lifespan of its "
                "TenantApps. Mount that in a Dispatcher, or write "
                "app.add_middleware(mountkit.LifespanMiddleware)."
            )
        supervisor = self._supervisors[-1]
        record = self._records[key] = _Record(key, tenant)
        supervisor.spawn(partial(self._bring_up, record, supervisor))
        return record

    async def _bring_up(self, record: _Record[T], supervisor: Supervisor) -> None:
        key = record.key
        record.failure = _shutting_down(key)  # if this is cancelled
        has_place = False
        try:
            await self._take_place()
            has_place = True
            record.mount, record.child = await self._make(record)
            await supervisor.start(record.child)
        except Exception as exc:
            record.failure = self._fail(key, str(exc) or repr(exc))
            cause = exc.__cause__ if isinstance(exc, LifespanError) else exc
            logger.error("The app of %s did not start: %s", _name(key), exc, exc_info=cause)
        else:
            record.failure = None
            record.status = "serving"
            self._failures.pop(key, None)
            self._reap_later(supervisor)
        finally:
            if record.failure is not None:
                self._remove(record, has_place=has_place)
            record.settled.set()
            self._make_room()

    async def _make(self, record: _Record[T]) -> tuple[Mount, Child]:
        """Have the user's function make an app."""
        with anyio.move_on_after(self.startup_timeout) as cancel_scope:
            app = await self._factory(record.tenant)
        if cancel_scope.cancelled_caught:
            raise TimeoutError(f"It was not made within {self.startup_timeout:g} seconds.")
        mount = app if isinstance(app, Mount) else Mount("", app)
        rule, child = mount.rule, mount.child
        if child is None or rule.path.segments or rule.host or rule.conditions:
            raise PatternError(
                f"{mount!r} is no mount for a tenant; return its app, or Mount('', app) without "
                "conditions."
            )
        rule.where = _name(record.key)
        mount.traffic.draining_since = None
        child.name = mount.where
        child.state = {self._door.state_key: record.tenant}
        return mount, child

    def _fail(self, key: Hashable, error: str) -> _Failure:
        now = monotonic()
        last = self._failures.pop(key, None)
        delay = _FIRST_DELAY
        if last is not None and now < last.retry_at + _LONGEST_DELAY:
            delay = min(2 * last.delay, _LONGEST_DELAY)
        failure = self._failures[key] = _Failure(now + delay, delay, error)
        if len(self._failures) > _MAX_FAILURES:
            self._failures.popitem(last=False)
        return failure

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

    def _give_place_back(self) -> None:
        if self._queue:
            self._queue.popleft().set()
        else:
            self._taken -= 1

    def _make_room(self) -> None:
        """Have as many apps leave as others wait. There may be none yet: some start."""
        while self._leaving < len(self._queue):
            victim = self._victim()
            if victim is None:
                return
            self._evict(victim)

    def _victim(self) -> _Record[T] | None:
        """Who leaves so that another can come."""
        found = None
        for record in self._records.values():
            if record.status == "serving" and record.key not in self._pinned:
                if not record.users:
                    return record
                found = found or record
        return found

    def _evict(self, record: _Record[T]) -> None:
        record.status = "leaving"
        self._leaving += 1
        record.mount.traffic.draining_since = time.time()
        if self._supervisors:  # else all of them go
            supervisor = self._supervisors[-1]
            supervisor.spawn(partial(self._retire, record, supervisor))

    async def _retire(self, record: _Record[T], supervisor: Supervisor) -> None:
        try:
            with anyio.move_on_after(self.drain_timeout):
                while record.users:
                    record.unused = anyio.Event()
                    await record.unused.wait()
            await record.mount.traffic.drain(0)  # cuts what is left
            with anyio.CancelScope(shield=True):
                await supervisor.stop_some([record.child])
        finally:
            self._leaving -= 1
            self._remove(record, has_place=True)

    def _remove(self, record: _Record[T], *, has_place: bool) -> None:
        del self._records[record.key]
        record.status = "gone"
        record.gone.set()
        if has_place:
            self._give_place_back()

    def _reap_later(self, supervisor: Supervisor) -> None:
        if self.idle_timeout is not None and not self._is_reaping:
            self._is_reaping = True
            supervisor.spawn(partial(self._reap, self.idle_timeout))

    async def _reap(self, idle_timeout: float) -> None:
        """Evict what was idle for long, for as long as there is any app."""
        try:
            while self._records:
                now = monotonic()
                due = now + idle_timeout
                for record in [*self._records.values()]:
                    is_idle = record.status == "serving" and not record.users
                    if is_idle and record.key not in self._pinned:
                        if record.used + idle_timeout <= now:
                            self._evict(record)
                        else:
                            due = min(due, record.used + idle_timeout)
                await anyio.sleep(due - now)
        finally:
            self._is_reaping = False


def _name(key: Hashable) -> str:
    return f"tenant {key!r}"


def _shutting_down(key: Hashable) -> _Failure:
    error = f"The app of {_name(key)} was not started: the server is shutting down."
    return _Failure(monotonic() + _FIRST_DELAY, _FIRST_DELAY, error)
