"""`Dispatcher`, an app made of apps; `DispatchMiddleware`, the same in front of an app."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Literal

import anyio
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import ImproperRequestError, MountkitError, PatternError
from mountkit.lifespans.children import Child, children_of, mounts_of
from mountkit.lifespans.options import (
    SHUTDOWN_TIMEOUT,
    STARTUP_TIMEOUT,
    Timeouts,
    check_seconds,
)
from mountkit.lifespans.runners import LifespanRunner
from mountkit.lifespans.runs import Health
from mountkit.matching.paths import target_refusal
from mountkit.matching.rules import call_site
from mountkit.matching.tables import Table
from mountkit.matching.trees import Found
from mountkit.middleware.contexts import restore
from mountkit.serving.escapes import EscapeWatch
from mountkit.serving.flights import Flight
from mountkit.serving.mounts import (
    Exposure,
    Mount,
    check_one_of,
    url_path_for,
    url_path_of,
    with_exposures,
)
from mountkit.serving.routes import watch
from mountkit.serving.scopes import is_from_server
from mountkit.serving.sites import SITE, site_of
from mountkit.tasks import current_task
from mountkit.wsgi.detection import adapt

#: Seconds that requests in flight have when their mount leaves.
DRAIN_TIMEOUT = 30.0


class Dispatcher:
    """An ASGI app that hands each request to the most specific of its mounts.

    Args:
        mounts: `Mount` objects, or Werkzeug's shape, a mapping of paths to apps.
        default: the app underneath, ASGI or WSGI. It gets what no mount takes, with the scope
            as it came. Without one: 404, and a websocket is refused.
        unknown_host: what a request gets that no mount takes and whose host is that of none:
            `404`, `421` (misdirected request), or `"default"`: the app underneath.
        path_has_root: whether `path` holds the server's `root_path`. `None`, the default,
            looks; say `True` or `False` where that is ambiguous (`root_path="/auth"` and a
            mount at `/auth`).
        startup_timeout, shutdown_timeout: seconds that one app's lifespan may take, unless its
            mount says otherwise; `None` waits for ever.
        total_startup_timeout, total_shutdown_timeout: seconds for all of them together; `None`
            sets no such limit.

    Raises:
        ConflictError: two mounts would take exactly the same requests.
        PatternError: an option can never work.

    Attributes:
        table: the compiled `Table`, which decides.
        default: the app underneath, or `None`.
    """

    def __init__(
        self,
        mounts: Mapping[str, Any] | Iterable[Mount] = (),
        *,
        default: Any = None,
        unknown_host: Literal["default", 404, 421] = "default",
        path_has_root: bool | None = None,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        self.table: Table[Mount] = Table(
            with_exposures(_mounts(mounts)), path_has_root=path_has_root
        )
        self._site = (self, None, "")  # what `site_of` answers most
        self._usual_keys: list[str] = []  # of the scopes that the server makes
        # Those that are not in the table yet, or any more, by identity.
        self._changing: dict[int, Mount] = {}
        check_one_of("unknown_host", unknown_host, ("default", 404, 421))
        self.unknown_host: Literal["default", 404, 421] = unknown_host
        self._timeouts = Timeouts(
            startup_timeout, shutdown_timeout, total_startup_timeout, total_shutdown_timeout
        )
        self._wrapped: Child | None = None
        self._default: ASGIApp | None = None
        self._nobody = EscapeWatch(_refuse, self.table)
        if default is not None:
            self._default, interface = adapt(default)
            name = f"The default app ({call_site()})"
            asgi = EscapeWatch(self._default, self.table)
            self._wrapped = Child(default, asgi, name, has_lifespan=interface != "wsgi")
        self._run_by(self._wrapped, is_transparent=False)

    def _run_by(self, wrapped: Child | None, *, is_transparent: bool) -> None:
        self._wrapped = wrapped
        self._lifespans = LifespanRunner(
            lambda scope: children_of(self._roots(scope)),
            self._timeouts,
            wrapped=wrapped,
            report=self._health,
            is_transparent=is_transparent,
        )
        self._supervisors = self._lifespans.supervisors

    @property
    def default(self) -> ASGIApp | None:
        return self._default

    @property
    def underneath(self) -> Any:
        """The app underneath as it was given, or `None`."""
        return None if self._wrapped is None else self._wrapped.app

    @property
    def routes(self) -> list[BaseRoute]:
        """The mounts in the order of their declaration, for tools that walk routes."""
        return [mount for mount in self.table.declared if not isinstance(mount, Exposure)]

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """As Starlette's `Router.url_path_for`; `mount:route` names a route of a mounted app. What
        no mount knows is looked up in the app underneath.

        Raises:
            NoMatchFound: no mount knows the name, or the parameters do not fit.
        """
        try:
            return url_path_for(self.table.declared, name, **path_params)
        except NoMatchFound:
            return url_path_of(self.underneath, name, path_params)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The hot path: in one frame, since a call costs as much as a look-up, what most requests
        # take. What it does not know it leaves to those who do the same for every request, one
        # step after the other: `Table.choose` and `Mount.serve`. The tests hold them together.
        mount: Mount | None = None
        found: Found[Mount] | None = None
        try:
            # The mount, where the first segment alone leads to it, and all readers of the path
            # agree: nothing climbs, nothing was encoded (37 is "%": to look for a number in bytes
            # is quicker than to look for bytes), nothing is a control character.
            path: str = scope["path"]
            raw_path = scope["raw_path"]
            before, segment, _ = path.split("/", 2)  # never further, whatever the path
            number = self.table.first.get(segment)
            if (
                number.__class__ is int
                and not before
                and not scope["root_path"]
                and raw_path
                and ".." not in path
                and 37 not in raw_path
                and path.isprintable()
            ):
                mount = self.table.by_number[number]
                own_root = "/" + segment
                params = None
                site = self._site
        except (KeyError, ValueError):
            pass  # a lifespan has no path, a bare prefix no third part; that costs others nothing
        if mount is None:
            if scope["type"] in ("http", "websocket"):
                try:
                    found = self.table.choose(scope)
                except ImproperRequestError:
                    await answer(400, scope, receive, send)
                    return
            if found is None:
                await self._pass_on(scope, receive, send)
                return
            mount, root_path, prefix, rest, params = found
            own_root = root_path + prefix
            if (
                not rest
                or not scope.get("raw_path")
                or not own_root.isascii()
                or len(scope["path"]) < len(own_root) + len(rest)
            ):
                await mount.serve(found, scope, receive, send, self)
                return
            site = (self, None, root_path) if root_path else self._site
        # A scope of its own. To copy one is much quicker than to compose one, and right if it has
        # the keys that a server gives it and no others. They are the same for every request.
        if (
            [*scope] != self._usual_keys
            or not mount.is_quick
            or (run := mount.child.run_for(scope)).retry_at is not None  # type: ignore[union-attr]
            or scope["method"] == "CONNECT"
        ):
            if is_from_server(scope):
                self._usual_keys = [*scope]
            if found is None:
                found = mount, "", own_root, path[len(own_root) :], {}
            await mount.serve(found, scope, receive, send, self)
            return
        child: dict[str, Any] = scope.copy()  # type: ignore[attr-defined]  # ASGI: it is a dict
        child["root_path"] = own_root
        child["headers"] = [*child["headers"]]
        child["state"] = run.state.copy()
        child[SITE] = site
        if "extensions" in child:
            child["extensions"] = dict(child["extensions"] or {})
        if params:
            child["path_params"] = params
        # The request is in flight: it can be seen, waited for, cut, and answered if the app fails.
        flight = scope["route"] = Flight()
        flight.mount, flight.child, flight.own_root = mount, child, own_root
        is_traced = "opentelemetry.trace" in sys.modules
        flight.on_start = publish = watch(scope, child, site[2]) if is_traced else None
        flight.scope, flight.server_send, flight.context = scope, send, copy_context()
        flight.status, flight.is_complete = 0, False
        flight.task = task = current_task()
        traffic = mount.traffic
        flights = traffic.flights
        flights.add(flight)
        try:
            if task is not None:
                await mount.app(child, receive, flight.send)
            else:
                await traffic.carry(flight, mount.app, child, receive)
        except BaseException as exc:
            await mount.fail(exc, flight, scope, receive)
        else:
            if flight.cuts:
                flight.settle()
            elif not flight.is_complete:
                await mount.finish(flight, scope)
        finally:  # `Traffic.end`, without the calls
            flights.discard(flight)
            if traffic.emptied is not None and not flights:
                traffic.emptied.set()
            status = flight.status
            traffic.answers[status // 100 if status < 600 else 5] += 1
            if flight.is_marked:
                restore(flight.context)
            flight.scope = flight.server_send = flight.context = None
            if publish is not None:
                publish()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See to what is no mount's."""
        if scope["type"] == "lifespan":
            await self._lifespans(scope, receive, send)
            return
        is_request = scope["type"] in ("http", "websocket")
        if is_request and (scope["path"][:1] != "/" or scope.get("method") == "CONNECT"):
            status = None if self.table.is_empty else target_refusal(scope)
            if status is not None:
                await answer(status, scope, receive, send)
                return
        if is_request and self.unknown_host != "default" and not self.table.knows_host(scope):
            await answer(self.unknown_host, scope, receive, send)
            return
        if self._wrapped is not None:
            if SITE not in scope:
                root_path = scope.get("root_path", "").rstrip("/")
                scope[SITE] = site_of(scope, root_path, self)
            await self._wrapped.asgi(scope, receive, send)
        else:
            await self._nobody(scope, receive, send)

    def _roots(self, scope: Scope) -> Iterable[BaseRoute]:
        """The routes whose mounts are this dispatcher's to start."""
        return self.table.declared

    @property
    def health(self) -> list[Health]:
        """How each mount is doing, those that are starting or draining included."""
        return list(self._health({}))

    def _health(self, scope: Scope) -> Iterable[Health]:
        routes = [*self._roots(scope), *self._changing.values()]
        return (mount.health for mount in mounts_of(routes))

    async def add(self, mount: Mount) -> None:
        """Add a mount while the server runs; see `change`."""
        await self.change(add=[mount])

    async def remove(self, mount: Mount, *, drain_timeout: float | None = DRAIN_TIMEOUT) -> None:
        """Remove a mount while the server runs; see `change`."""
        await self.change(remove=[mount], drain_timeout=drain_timeout)

    async def replace(
        self, old: Mount, new: Mount, *, drain_timeout: float | None = DRAIN_TIMEOUT
    ) -> None:
        """Put a mount in the place of another while the server runs; see `change`."""
        await self.change(replace=[(old, new)], drain_timeout=drain_timeout)

    async def change(
        self,
        *,
        add: Iterable[Mount] = (),
        remove: Iterable[Mount] = (),
        replace: Iterable[tuple[Mount, Mount]] = (),
        drain_timeout: float | None = DRAIN_TIMEOUT,
    ) -> None:
        """Change the mounts in one step, while requests are served, and lose none of them.

        First the table is validated, then the new apps are started. Once all are up the table
        changes, so that each request sees all of the change or nothing of it. Mounts that have
        left get no new requests; those that are in flight, streams and websockets included, go
        on, and after that their apps are shut down. An app that other mounts hold runs on.

        Returns when all of this is done. Once the table has changed, it is brought to its end
        even if the caller is cancelled. Before a server runs the dispatcher, the table alone
        changes.

        Args:
            add: mounts that come last in the order of declaration.
            remove: mounts of this dispatcher.
            replace: pairs of a mount of this dispatcher and the one that takes its place. The
                same app in both is neither stopped nor started.
            drain_timeout: seconds that requests in flight have; then they are cancelled: those
                that have not been answered get a 503, other connections are broken, websockets
                with code 1012 (service restart). `None` waits for ever. A request that removes
                its own mount waits for itself: do it in another task.

        Raises:
            PatternError: a mount is not in the table, is named twice, or drains still.
            ConflictError: two mounts would take exactly the same requests.
            LifespanError: an app did not start, and is not to be isolated.
            In each case nothing has changed. That an app did not stop well is logged.
        """
        check_seconds("drain_timeout", drain_timeout, least="from 0")
        coming, leaving, pairs = _mounts(add), _mounts(remove), _pairs(replace)
        news = {id(new): new for new in (*coming, *(new for _, new in pairs))}
        olds = {id(old): old for old in (*leaving, *(old for old, _ in pairs))}
        for mount in news.values():
            if id(mount) in self._changing:
                raise PatternError(
                    f"{mount!r} is starting or draining still; wait until that has ended."
                )
            if id(mount) in olds:
                raise PatternError(f"{mount!r} leaves and comes in one change; make a new one.")
        # What they expose comes and goes with them.
        coming += [exposure for new in news.values() for exposure in new.exposures]
        leaving += [exposure for old in olds.values() for exposure in old.exposures]
        self.table.validate(add=coming, remove=leaving, replace=pairs)
        await self._start(news)
        try:
            self.table.validate(add=coming, remove=leaving, replace=pairs)
        except MountkitError:  # another change was quicker
            await self._lifespans.stop(children_of(news.values()))
            raise
        self.table.apply(add=coming, remove=leaving, replace=pairs)
        for mount in mounts_of(olds.values()):
            mount.traffic.draining_since = time.time()
        self._changing |= olds
        await self._lifespans.finish(partial(self._retire, olds, drain_timeout))

    async def _start(self, news: dict[int, Mount]) -> None:
        """Bring mounts up that are not in the table yet: all of them, or none."""
        if not self._supervisors:
            return
        self._changing |= news
        for mount in mounts_of(news.values()):
            mount.traffic.draining_since = None
        try:
            await self._lifespans.start(children_of(news.values()))
        finally:
            self._forget(news)

    async def _retire(self, olds: dict[int, Mount], drain_timeout: float | None) -> None:
        """Wait until mounts that have left the table are unused, then stop their apps."""
        try:
            async with anyio.create_task_group() as task_group:
                for mount in mounts_of(olds.values()):
                    task_group.start_soon(mount.traffic.drain, drain_timeout)
            await self._lifespans.stop(children_of(olds.values()))
        finally:
            self._forget(olds)

    def _forget(self, mounts: dict[int, Mount]) -> None:
        for key in mounts:
            self._changing.pop(key, None)


class DispatchMiddleware(Dispatcher):
    """A `Dispatcher` in front of an app: `app.add_middleware(DispatchMiddleware, mounts=[…])`.

    What no mount takes goes to the app, untouched. Mounts that stand among the app's own
    routes are started and stopped with those given here.

    Args:
        app: the wrapped app.
        mounts: as for `Dispatcher`, and so are the others.
    """

    def __init__(
        self,
        app: ASGIApp,
        mounts: Mapping[str, Any] | Iterable[Mount] = (),
        *,
        unknown_host: Literal["default", 404, 421] = "default",
        path_has_root: bool | None = None,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        super().__init__(
            mounts,
            unknown_host=unknown_host,
            path_has_root=path_has_root,
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            total_startup_timeout=total_startup_timeout,
            total_shutdown_timeout=total_shutdown_timeout,
        )
        self.app = app
        self._default = app
        wrapped = Child(app, EscapeWatch(app, self.table), "The wrapped app")
        self._run_by(wrapped, is_transparent=True)

    def _roots(self, scope: Scope) -> Iterable[BaseRoute]:
        yield from self.table.declared
        yield from getattr(scope.get("app"), "routes", ())


def _mounts(mounts: Mapping[str, Any] | Iterable[Mount]) -> list[Mount]:
    if isinstance(mounts, Mapping):
        return [Mount(path, app) for path, app in mounts.items()]
    found = list(mounts)
    for mount in found:
        if not isinstance(mount, Mount):
            raise PatternError(
                f"{mount!r} is no mountkit.Mount; write Mount('/path', app), or a mapping of "
                "paths to apps."
            )
    return found


def _pairs(pairs: Iterable[tuple[Mount, Mount]]) -> list[tuple[Mount, Mount]]:
    found = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise PatternError(
                f"{pair!r} is no pair of mounts; write replace=[(old, new)], two Mount objects."
            )
        old, new = _mounts(pair)
        found.append((old, new))
    return found


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] not in ("http", "websocket"):
        raise MountkitError(
            f"Scope type {scope['type']!r} is none of 'http', 'websocket' and 'lifespan'; "
            "give the dispatcher a default app that knows it."
        )
    await answer(404, scope, receive, send)
