"""`Dispatcher`, an app made of apps; `DispatchMiddleware`, the same in front of an app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.datastructures import URLPath
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.exceptions import MountkitError, PatternError
from mountkit.interfaces import adapt
from mountkit.lifespans import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT, Child, run_lifespan
from mountkit.routing import Mount, children_of, url_path_for
from mountkit.rules import call_site
from mountkit.tables import Table
from mountkit.websockets import refuse_websocket


class Dispatcher:
    """An ASGI app that hands each request to the most specific of its mounts.

    Args:
        mounts: `Mount` objects, or Werkzeug's shape, a mapping of paths to apps.
        default: the app underneath, ASGI or WSGI. It gets what no mount takes, with the scope
            as it came. Without one: 404, and a websocket is refused.
        path_has_root: whether `path` holds the server's `root_path`. `None`, the default,
            looks; say `True` or `False` where that is ambiguous (`root_path="/auth"` and a
            mount at `/auth`).
        startup_timeout, shutdown_timeout: seconds that one app's lifespan may take, unless its
            mount says otherwise; `None` waits for ever.
        total_startup_timeout, total_shutdown_timeout: seconds for all of them together; `None`
            sets no such limit.

    Raises:
        ConflictError: two mounts would take exactly the same requests.

    Attributes:
        table: the compiled `Table`, which decides.
        default: the app underneath, or `None`.
    """

    # Whether a server is to see that no app supports lifespans.
    _is_transparent = False

    def __init__(
        self,
        mounts: Mapping[str, Any] | Iterable[Mount] = (),
        *,
        default: Any = None,
        path_has_root: bool | None = None,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        self._mounts = _mounts(mounts)
        self.table: Table[Mount] = Table(self._mounts, path_has_root=path_has_root)
        self.startup_timeout = startup_timeout
        self.shutdown_timeout = shutdown_timeout
        self.total_startup_timeout = total_startup_timeout
        self.total_shutdown_timeout = total_shutdown_timeout
        self._wrapped: Child | None = None
        if default is not None:
            asgi, interface = adapt(default)
            name = f"The default app ({call_site()})"
            self._wrapped = Child(default, asgi, name, has_lifespan=interface != "wsgi")

    @property
    def default(self) -> ASGIApp | None:
        return None if self._wrapped is None else self._wrapped.asgi

    @property
    def routes(self) -> list[BaseRoute]:
        """The mounts in the order of their declaration, for tools that walk routes."""
        return list(self._mounts)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """As Starlette's `Router.url_path_for`; `mount:route` names a route of a mounted app.

        Raises:
            NoMatchFound: no mount knows the name, or the parameters do not fit.
        """
        return url_path_for(self._mounts, name, **path_params)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] in ("http", "websocket"):
            found = self.table.resolve(scope)
            if found is not None:
                await found.mount.serve(found, scope, receive, send, router=self)
                return
        if self._wrapped is not None:
            await self._wrapped.asgi(scope, receive, send)
        else:
            await _refuse(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await run_lifespan(
            scope,
            receive,
            send,
            list(self._children(scope)),
            wrapped=self._wrapped,
            is_transparent=self._is_transparent,
            startup_timeout=self.startup_timeout,
            shutdown_timeout=self.shutdown_timeout,
            total_startup_timeout=self.total_startup_timeout,
            total_shutdown_timeout=self.total_shutdown_timeout,
        )

    def _children(self, scope: Scope) -> Iterable[Child]:
        return children_of(self._mounts)


class DispatchMiddleware(Dispatcher):
    """A `Dispatcher` in front of an app: `app.add_middleware(DispatchMiddleware, mounts=[…])`.

    What no mount takes goes to the app, untouched. Mounts that stand among the app's own
    routes are started and stopped with those given here.

    Args:
        app: the wrapped app.
        mounts: as for `Dispatcher`, and so are the others.
    """

    _is_transparent = True

    def __init__(
        self,
        app: ASGIApp,
        mounts: Mapping[str, Any] | Iterable[Mount] = (),
        *,
        path_has_root: bool | None = None,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        super().__init__(
            mounts,
            path_has_root=path_has_root,
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            total_startup_timeout=total_startup_timeout,
            total_shutdown_timeout=total_shutdown_timeout,
        )
        self.app = app
        self._wrapped = Child(app, app, "The wrapped app")

    def _children(self, scope: Scope) -> Iterable[Child]:
        yield from children_of(self._mounts)
        yield from children_of(getattr(scope.get("app"), "routes", ()))


class LifespanMiddleware(DispatchMiddleware):
    """Starts and stops the apps of every `Mount` among an app's routes.

    `app.add_middleware(LifespanMiddleware)` is the one line that mounts in `routes=`, in
    `app.router.routes` and in included routers need; Starlette itself runs the lifespan of
    none. Routes are looked through when the server starts, so that its place does not matter.

    Args:
        app: the wrapped app.
        startup_timeout: as for `Dispatcher`, and so are the others.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        super().__init__(
            app,
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            total_startup_timeout=total_startup_timeout,
            total_shutdown_timeout=total_shutdown_timeout,
        )


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


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await refuse_websocket(scope, receive, send)
        return
    if scope["type"] != "http":
        raise MountkitError(
            f"Scope type {scope['type']!r} is none of 'http', 'websocket' and 'lifespan'; "
            "give the dispatcher a default app that knows it."
        )
    response = PlainTextResponse("Not Found", 404, {"cache-control": "no-store"})
    await response(scope, receive, send)
