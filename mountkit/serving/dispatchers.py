"""`Dispatcher`, an app made of apps; `DispatchMiddleware`, the same in front of an app.

A request's way: the table decides; the mount that it has chosen makes the app's scope and runs the
app with its layers. What no mount takes goes to the app underneath.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, NoMatchFound
from starlette.types import Receive, Scope, Send

from mountkit.exceptions import MountkitError
from mountkit.lifespans.children import Child, children_of, mounts_of
from mountkit.lifespans.options import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT, Timeouts
from mountkit.lifespans.runners import LifespanRunner
from mountkit.lifespans.runs import Health, HealthReport
from mountkit.matching.decisions import Refusal, Resolution
from mountkit.matching.paths import split_root_path
from mountkit.matching.tables import Table
from mountkit.serving.changes import DRAIN_TIMEOUT, Changes, PreparedChange, checked_mounts
from mountkit.serving.escapes import EscapeWatch
from mountkit.serving.exposures import with_exposures
from mountkit.serving.mounts import Mount
from mountkit.serving.names import url_path_for, url_path_of
from mountkit.serving.pipelines import check_one_of
from mountkit.serving.refusals import refuse
from mountkit.serving.scopes import same_scope
from mountkit.serving.sites import SITE, new_site
from mountkit.types import Application, ASGI3Application

_UNTAKEN = Refusal(404, "No mount takes the request, and there is no default app.")


class Dispatcher:
    """An ASGI app that gives each request to the most specific of its mounts.

    Args:
        mounts: `Mount` objects, or Werkzeug's shape, a mapping of paths to apps.
        default: the app underneath, ASGI or WSGI. It gets the requests that no mount takes, with
            the scope as it came. Without one, they get 404, and websockets are refused.
        errors: `"contain"`: an exception of any of the apps is a 500 and one log record, as with
            `Mount(errors="contain")`. `"raise"`: each mount decides.
        unknown_host: who answers a request for a host that no mount has: `404`, `421` (misdirected
            request), or `"default"`, the app underneath.
        path_has_root: whether `path` includes the server's `root_path`. By default the dispatcher
            sees that from the path; say `True` or `False` if that is ambiguous (`root_path="/auth"`
            and a mount at `/auth`).
        debug: whether a 400, 404 or 421 of the dispatcher's own is a page that says why: what was
            asked, the nearest mounts, and why each refused. It shows where they are written, so it
            is not for production. The `debug` of the parent app counts as well.
        startup_timeout, shutdown_timeout: seconds that one app's lifespan may take, unless its
            mount says otherwise; `None` for no limit.
        total_startup_timeout, total_shutdown_timeout: seconds for all of them together; `None` for
            no limit.

    Raises:
        ConflictError: two mounts would take exactly the same requests.
        PatternError: an option can never work.

    Attributes:
        table: the compiled `Table`, which decides.
        default: the app underneath as a mount, or `None`.
    """

    has_lifespans = True  # for `lifespans.children.starts_apps`

    def __init__(
        self,
        mounts: Mapping[str, Application] | Sequence[Mount] | Iterator[Mount] = (),
        *,
        default: Application | None = None,
        errors: Literal["raise", "contain"] = "raise",
        unknown_host: Literal["default", 404, 421] = "default",
        path_has_root: bool | None = None,
        debug: bool = False,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        entries = with_exposures(checked_mounts(mounts))
        self.table: Table[Any] = Table(entries, path_has_root=path_has_root)
        check_one_of("errors", errors, ("raise", "contain"))
        self.errors = errors
        check_one_of("unknown_host", unknown_host, ("default", 404, 421))
        self.unknown_host: Literal["default", 404, 421] = unknown_host
        self.debug: bool = debug
        self.default: Underneath | None = None if default is None else Underneath(default)
        self._timeouts = Timeouts(
            startup_timeout, shutdown_timeout, total_startup_timeout, total_shutdown_timeout
        )
        self.escapes: EscapeWatch = EscapeWatch(self.table)
        self._set_lifespans(None if self.default is None else self.default.child)

    def _set_lifespans(self, wrapped: Child | None, *, is_transparent: bool = False) -> None:
        self._lifespans = LifespanRunner(
            self._children,
            self._timeouts,
            wrapped=wrapped,
            report=self._report,
            is_transparent=is_transparent,
        )
        self._changes = Changes(self.table, self._lifespans)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.table.decide(scope)
        if found is None:
            if scope["type"] == "lifespan":
                await self._lifespans(scope, receive, send)
            elif self.unknown_host == "default" or self.table.knows_host(scope):
                await self._serve_default(scope, receive, self.escapes.watched(scope, send))
            else:
                unknown = Refusal(self.unknown_host, "No mount has the host of the request.")
                await refuse(unknown, self.table, scope, receive, send, self)
        elif isinstance(found, Refusal):
            await refuse(found, self.table, scope, receive, send, self)
        else:
            await found.mount.serve(found, scope, receive, send, self)

    def _serve_default(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The app underneath, if there is one; it also gets scope types that mountkit does not
        know."""
        default, is_request = self.default, scope["type"] in ("http", "websocket")
        if default is not None:
            if not is_request:
                return default.app(scope, receive, send)
            root_path, rest = split_root_path(scope)
            found = Resolution(default, root_path, "", rest, {})
            return default.serve(found, scope, receive, send, self)
        if is_request:
            return refuse(_UNTAKEN, self.table, scope, receive, send, self)
        raise MountkitError(
            f"Scope type {scope['type']!r} is not 'http', 'websocket' or 'lifespan'; give the "
            "dispatcher a default app that knows it."
        )

    @property
    def underneath(self) -> Any:
        """The app underneath as it was given, or `None`."""
        return None if self.default is None else self.default.target

    @property
    def routes(self) -> list[BaseRoute]:
        """The mounts in the order of their declaration, for tools that walk routes."""
        return [mount for mount in self.table.declared if isinstance(mount, Mount)]

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """As Starlette's `Router.url_path_for`; `mount:route` names a route of a mounted app. What
        no mount knows is looked up in the app underneath.

        Raises:
            NoMatchFound: no mount knows the name, or the parameters do not fit.
        """
        try:
            return url_path_for(self.routes, name, **path_params)
        except NoMatchFound:
            return url_path_of(self.underneath, name, path_params)

    def _children(self, scope: Scope) -> Iterable[Child]:
        """The apps to start, in order.

        Args:
            scope: of the lifespan.
        """
        return children_of(self._roots(scope))

    def _roots(self, scope: Scope) -> Iterable[Any]:
        """The routes whose mounts are this dispatcher's to start."""
        return self.table.declared

    def _report(self, scope: Scope) -> HealthReport:
        roots = (self._roots(scope), self._changes.mounts)
        last = () if self.default is None else (self.default,)
        return HealthReport(lambda: chain(mounts_of(chain(*roots)), last))

    @property
    def health(self) -> Sequence[Health]:
        """How each mount is doing, those that are starting or draining included, and the default
        app, which comes last.

        A sequence of the mounts of this moment; the `Health` of each is made when it is read. With
        very many, iterate, and let other tasks run now and then: `len`, an index and `==` visit
        all of them at once.
        """
        return self._report({})

    def only(self, which: str | Mount) -> ASGI3Application:
        """One mount alone, for tests: an app that starts and serves it as the whole does. What
        another mount or the app underneath takes is 404.

            TestClient(dispatcher.only("/shop")).get("/shop/cart")

        `mountkit.only` does this for apps that have a dispatcher or mounts in them.

        Args:
            which: a `Mount`, a name, or a path, which may be that of several mounts;
                `"shop.example.com/"` is one by its host and path.

        Raises:
            PatternError: there is no such mount; the message has near names.
        """
        from mountkit.serving.alone import Alone, named  # for few apps

        mounts = named(which, (("", mount) for mount in self.routes))

        def takes(scope: Scope) -> bool:
            found = self.table.decide(scope)
            if not isinstance(found, Resolution):
                return found is not None  # a refusal is the same
            return getattr(found.mount, "mount", found.mount) in mounts

        return Alone(self, mounts, takes, self._timeouts)

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

        First the change is validated, then the new apps are started. When all are up, the table
        changes, so that each request sees all of the change or none of it. Removed mounts get no
        new requests; those in flight, streams and websockets included, go on, and then the apps are
        shut down. An app that other mounts serve runs on.

        Returns when all of this is done. Once the table has changed, the change is completed even
        if the caller is cancelled. Before a server runs the dispatcher, only the table changes.

        Args:
            add: mounts to add, last in the order of declaration.
            remove: mounts of this dispatcher.
            replace: pairs of a mount of this dispatcher and the one that takes its place. The
                same app in both is neither stopped nor started.
            drain_timeout: seconds that requests in flight have; then they are cancelled: those
                without a response get a 503, other connections are broken, websockets are closed
                with code 1012 (service restart). `None` for no limit. A request that removes its
                own mount waits for itself: do it in another task.

        Raises:
            PatternError: a mount is not in the table, is named twice, or is still draining.
            ConflictError: two mounts would take exactly the same requests.
            LifespanError: an app did not start, and is not isolated.
            In each case nothing has changed. If an app fails to stop, that is logged.
        """
        work = self._changes.apply(add, remove, replace, drain_timeout)
        del add, remove, replace  # mounts that nothing else holds are freed in steps
        await work

    async def prepare(
        self,
        *,
        add: Iterable[Mount] = (),
        remove: Iterable[Mount] = (),
        replace: Iterable[tuple[Mount, Mount]] = (),
        drain_timeout: float | None = DRAIN_TIMEOUT,
    ) -> PreparedChange:
        """The first half of `change`: validate the table and start the new apps, so that several
        processes can change at the same moment, or not at all.

            change = await dispatcher.prepare(add=[mount])
            await change.commit()  # or change.abort()

        Takes the arguments of `change`, and raises what it raises.

        Returns:
            What commits the change or aborts it. Until then no request sees anything of it.
        """
        work = self._changes.prepare(add, remove, replace, drain_timeout)
        del add, remove, replace
        return await work


class Underneath(Mount):
    """The app underneath a dispatcher: an app like any other, but that it gets the scope as it came
    and takes whatever no mount takes."""

    def __init__(self, app: Any) -> None:
        super().__init__("", app, redirect_slashes=False)
        self._build_scope = same_scope

    @property
    def label(self) -> str:
        return "default"

    @property
    def where(self) -> str:
        return f"The default app ({self.rule.where})"


class DispatchMiddleware(Dispatcher):
    """A `Dispatcher` in front of an app: `app.add_middleware(DispatchMiddleware, mounts=[…])`.

    What no mount takes goes to the app, untouched. Mounts that stand among the app's own
    routes are started and stopped with those given here; see `LifespanMiddleware`.

    Args:
        app: the wrapped app.
        mounts: as for `Dispatcher`, and so are the others.
    """

    is_middleware = True  # the handlers of the scope's app are behind it, not above

    def __init__(
        self,
        app: ASGI3Application,
        mounts: Mapping[str, Application] | Sequence[Mount] | Iterator[Mount] = (),
        *,
        errors: Literal["raise", "contain"] = "raise",
        unknown_host: Literal["default", 404, 421] = "default",
        path_has_root: bool | None = None,
        debug: bool = False,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        super().__init__(
            mounts,
            errors=errors,
            unknown_host=unknown_host,
            path_has_root=path_has_root,
            debug=debug,
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            total_startup_timeout=total_startup_timeout,
            total_shutdown_timeout=total_shutdown_timeout,
        )
        self.app = app
        self._set_lifespans(Child(app, app, "The wrapped app"), is_transparent=True)

    @property
    def underneath(self) -> Any:
        return self.app

    def _serve_default(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if SITE not in scope and scope["type"] in ("http", "websocket"):
            root_path = scope.get("root_path", "").rstrip("/")
            scope[SITE] = new_site(scope, root_path, self, scope.get("app"))
        return self.app(scope, receive, send)

    def _roots(self, scope: Scope) -> Iterable[Any]:
        return [*self.table.declared, *getattr(scope.get("app"), "routes", ())]
