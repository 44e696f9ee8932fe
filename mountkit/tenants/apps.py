"""`TenantApps`: an app for each tenant."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from time import monotonic
from typing import Any, ClassVar, Generic, TypeVar

import anyio
from anyio.lowlevel import current_token
from starlette.types import Receive, Scope, Send

from mountkit.answers import answer_unavailable
from mountkit.exceptions import LifespanError, MountkitError, PatternError, ResolutionError, shown
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT, Timeouts, check_seconds
from mountkit.lifespans.registers import MARK, mark_of
from mountkit.lifespans.runners import LifespanRunner
from mountkit.lifespans.runs import Health, HealthReport
from mountkit.lifespans.supervisors import Supervisor
from mountkit.logs import tenants as logger
from mountkit.matching.decisions import Resolution
from mountkit.matching.paths import split_root_path
from mountkit.serving.changes import DRAIN_TIMEOUT
from mountkit.serving.mounts import Mount
from mountkit.tasks import describe, guarded, is_outside
from mountkit.tenants.fleets import FIRST_DELAY, Failure, Fleet
from mountkit.tenants.middleware import TenantMiddleware
from mountkit.tenants.resolvers import TenantResolver, call_within
from mountkit.types import Application

T = TypeVar("T")


@dataclass(eq=False, repr=False)
class TenantApps(Generic[T]):
    """An app for each tenant, made and started by its first request.

    Mount it at the tenants' hosts: `Mount("/", TenantApps(resolver, make_app))`. Requests that come
    while an app starts wait for it. If it does not start, they get 503 with `Retry-After`, and the
    first request after that time starts it again; the time doubles with each failure, up to a
    minute. An app is evicted after `idle_timeout`, or when another app needs its place: the least
    recently used of the idle apps, else of all. It finishes its requests, then its lifespan is shut
    down; a later request starts it anew.

    Each app has its own lifespan, scope and state, and finds its tenant in `request.state.tenant`
    and in the state of its lifespan. It starts in the server's context, without the context
    variables of the first request. Each server that runs this has apps of its own.

    Args:
        resolver: finds the tenant of a host.
        factory: an async function that takes a tenant and returns its app, ASGI or WSGI, or a
            `Mount("", app, …)` with options. If it raises, the app did not start.
        key: a function that returns what identifies a tenant. By default the tenant itself, which
            must then be equal from one look-up to the next: a string, a number, a frozen dataclass.
            If it raises, the request gets 503, and the methods here raise `ResolutionError`.
        max_apps: the limit of apps at a time for each server, including those that start or leave.
        idle_timeout: seconds without a request after which an app is evicted; `None`: never.
        drain_timeout: seconds that an evicted app's requests have; see `Dispatcher.change`.
        startup_timeout: seconds for the factory, and as many again for the app's lifespan.
        shutdown_timeout: seconds for the shutdown of an app's lifespan.
        warm_up: an async function that returns the tenants whose apps start before the server takes
            requests. An app that does not start is logged; if `warm_up` itself raises, the server
            does not start.
        state_key, unknown: see `TenantMiddleware`.

    Raises:
        PatternError: an argument can never work.
    """

    has_lifespans: ClassVar[bool] = True  # for `lifespans.children.starts_apps`

    resolver: TenantResolver[T]
    factory: Callable[[T], Awaitable[Application]]
    _: KW_ONLY
    key: Callable[[T], Hashable] | None = None
    max_apps: int = 100
    idle_timeout: float | None = 600.0
    drain_timeout: float | None = DRAIN_TIMEOUT
    startup_timeout: float | None = STARTUP_TIMEOUT
    shutdown_timeout: float | None = SHUTDOWN_TIMEOUT
    warm_up: Callable[[], Awaitable[Iterable[T]]] | None = None
    state_key: str = "tenant"
    unknown: Application | None = None

    def __post_init__(self) -> None:
        if not callable(self.factory):
            raise PatternError(
                f"factory={self.factory!r} cannot be called; pass an async function that takes a "
                "tenant and returns its app."
            )
        if not self.max_apps > 0:
            raise PatternError(f"max_apps={self.max_apps!r} is not above 0; write e.g. 100.")
        check_seconds("idle_timeout", self.idle_timeout)
        options: dict[str, Any] = {"state_key": self.state_key, "unknown": self.unknown}
        self._door = TenantMiddleware(self._serve, self.resolver, **options)
        timeouts = Timeouts(self.startup_timeout, self.shutdown_timeout)
        self._lifespans = LifespanRunner(lambda scope: (), timeouts, prepare=self._prepare)
        self._pinned: set[Hashable] = set()
        self._fleets: list[Fleet[T]] = []  # one for each server that runs this

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespans(scope, receive, send)
        elif kind in ("http", "websocket"):
            await self._door(scope, receive, send)
        else:
            raise MountkitError(
                f"Scope type {kind!r} has no host to find a tenant by; send 'http', 'websocket' or "
                "'lifespan'."
            )

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose tenant `TenantMiddleware` has found."""
        tenant: T = scope["state"][self.state_key]
        try:
            key = self._key_of(tenant)
        except ResolutionError:
            await answer_unavailable(monotonic() + FIRST_DELAY, scope, receive, send)
            return
        fleet = self._fleet(key, scope)
        record = await fleet.enter(key, tenant)
        if isinstance(record, Failure):
            await answer_unavailable(record.retry_at, scope, receive, send)
            return
        try:
            # The request's own state is copied from this before anything else can happen.
            record.run.state[self.state_key] = tenant
            mark = fleet.supervisor.register.mark
            if mark is not None:  # perhaps since the request came
                scope["state"][MARK] = mark
            root_path, rest = split_root_path(scope)
            found = Resolution(record.mount, root_path, "", rest, {})
            await record.mount.serve(found, scope, receive, send)
        finally:
            fleet.leave(record)

    async def _prepare(self, supervisor: Supervisor) -> None:
        """Make a server's fleet, with the apps of the tenants that `warm_up` returns."""
        # The last one that has stopped stays until now: it answers late requests.
        seconds = math.inf if self.idle_timeout is None else self.idle_timeout
        options = (self._make, self.max_apps, seconds, self.drain_timeout, self._pinned)
        fleet = Fleet(*options, supervisor)
        self._fleets = [one for one in self._fleets if not one.supervisor.is_stopped] + [fleet]
        if self.warm_up is None:
            return
        try:
            tenants = [*await guarded(self.warm_up)]
        except Exception as exc:
            raise LifespanError(f"warm_up raised {describe(exc)}") from exc
        async with anyio.create_task_group() as task_group:
            for tenant in tenants:
                with suppress(ResolutionError):  # it was logged
                    task_group.start_soon(fleet.start, self._key_of(tenant), tenant)

    async def _make(self, tenant: T, name: str) -> tuple[Mount, Child]:
        """Have the factory make an app, and mount it under a name for messages."""
        make = partial(self.factory, tenant)
        app = await call_within(self.startup_timeout, "the factory", make)
        mount = app if isinstance(app, Mount) else Mount("", app)
        rule, child = mount.rule, mount.child
        if child is None or rule.path.segments or rule.host or rule.conditions:
            raise PatternError(
                f"{mount!r} cannot serve a tenant: its path and conditions would be ignored; "
                "return the app, or Mount('', app) without conditions."
            )
        rule.where = name
        mount.traffic.draining_since = None
        child.name, child.place = mount.where, None  # tenants come and go
        child.state = {self.state_key: tenant}
        return mount, child

    def _fleet(self, key: Hashable, scope: Scope | None = None) -> Fleet[T]:
        """The fleet of the server that a request came through, or of the newest."""
        fleets = self._fleets_here()
        if not fleets:
            raise MountkitError(
                f"The app of tenant {key!r} cannot be started: nothing runs the lifespan of its "
                "TenantApps. Mount that in a Dispatcher, or write "
                "app.add_middleware(mountkit.LifespanMiddleware)."
            )
        if len(fleets) > 1 and scope is not None:
            mark = mark_of(scope)
            own = [fleet for fleet in fleets if fleet.supervisor.register.mark == mark]
            fleets = own or fleets
        return fleets[-1]

    def _fleets_here(self) -> list[Fleet[T]]:
        """The fleets of this event loop; one that can start apps is last."""
        if len(self._fleets) < 2:
            return self._fleets
        here = current_token()
        fleets = [fleet for fleet in self._fleets if fleet.supervisor.register.token == here]
        return sorted(fleets, key=lambda fleet: not fleet.supervisor.is_stopped)

    def _key_of(self, tenant: T) -> Hashable:
        try:
            key = tenant if self.key is None else self.key(tenant)
        except BaseException as exc:
            if is_outside(exc):
                raise
            message = f"The key of tenant {shown(tenant)} could not be found: {describe(exc)}"
            logger.error("%s", message, exc_info=exc)
            raise ResolutionError(message) from exc
        if type(key).__eq__ is object.__eq__ or key.__hash__ is None:
            raise PatternError(
                f"Tenant {tenant!r} cannot be identified by {key!r}, which is equal only to itself "
                "or has no hash; pass key=, such as key=lambda tenant: tenant.id."
            )
        return key

    async def start(self, tenant: T) -> None:
        """Start a tenant's app now, as its first request would.

        Raises:
            LifespanError: it did not start, or failed so recently that it is not tried again yet.
        """
        key = self._key_of(tenant)
        error = await self._fleet(key).start(key, tenant)
        if error is not None:
            raise LifespanError(error)

    async def evict(self, tenant: T) -> None:
        """Evict a tenant's app, pinned or not, and return once it is down. Call it when what the
        app was made from has changed: the next request starts a new one.

        A request of the same app that awaits this waits for its own end, and is cut after
        `drain_timeout`. Call it from another app or a background task.
        """
        key = self._key_of(tenant)
        for fleet in self._fleets_here():
            await fleet.evict(key)

    def pin(self, tenant: T) -> None:
        """Never evict a tenant's app to make room or because it is idle.

        Raises:
            PatternError: it would leave no place for the tenants that are not pinned.
        """
        key = self._key_of(tenant)
        if len(self._pinned | {key}) >= self.max_apps:
            raise PatternError(
                f"Tenant {key!r} cannot be pinned: the last of max_apps={self.max_apps} places is "
                "for the tenants that are not pinned; raise max_apps."
            )
        self._pinned.add(key)

    def unpin(self, tenant: T) -> None:
        """Undo `pin`."""
        self._pinned.discard(self._key_of(tenant))

    @property
    def health(self) -> Sequence[Health]:
        """How the app of each tenant is doing; `mount` is `tenant 'acme'`. As `Dispatcher.health`,
        a sequence of those of this moment, each made when it is read."""
        records = [record for fleet in self._fleets for record in fleet.records.values()]
        return HealthReport(lambda: records)
