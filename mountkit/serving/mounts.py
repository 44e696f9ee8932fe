"""`Mount`: an app below a path, a host and any other condition.

It is a `starlette.routing.Mount` and goes wherever one goes. FastAPI's `include_router` keeps
subclasses of `Mount` (it copies them and rewrites their path) and breaks other routes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import starlette.routing
from starlette.datastructures import URLPath
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Match, NoMatchFound, Router, compile_path, replace_params
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer_unavailable, redirect_location, redirected
from mountkit.frameworks import Place, left_keys
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import Lifespan
from mountkit.lifespans.runs import Health, Status
from mountkit.matching.callers import call_site
from mountkit.matching.conditions import Wanted
from mountkit.matching.decisions import Resolution
from mountkit.matching.matchers import Matcher
from mountkit.matching.rules import Rule
from mountkit.serving.errors import end
from mountkit.serving.escapes import TELLING, note
from mountkit.serving.exposures import Exposure, checked_exposures, exposures_of
from mountkit.serving.flights import Flight, Traffic
from mountkit.serving.names import url_path_of
from mountkit.serving.pipelines import (
    asgi_app,
    builder_of,
    check_one_of,
    checked_routes,
    child_of,
    chosen_convention,
    with_layers,
)
from mountkit.serving.routes import TRACING, Route, watch
from mountkit.serving.scopes import Convention
from mountkit.serving.tables import MountTable
from mountkit.tasks import SERVING
from mountkit.types import Application, ASGI3Application
from mountkit.wsgi.detection import Interface

# Stands for `routes=`: no lifespan of its own, no state.
_NO_CHILD = Child(None, Router(), "", has_lifespan=False)


class Mount(starlette.routing.Mount):
    """An app, or routes, below a path.

    Args:
        path: `""` or `"/"` for the root, or a prefix of whole segments, which may have Starlette's
            placeholders: `/t/{tenant}`, `/u/{id:int}`.
        app: any ASGI or WSGI application.
        routes: routes of the parent app instead. Those that are a mountkit `Mount` are
            chosen among by specificity, after the others, which keep their order.
        name: as in Starlette; `name:child` names a route of the child.
        middleware: as in Starlette, around this mount only. `mountkit.middleware` has layers for
            limits, timeouts, checks, redirects and cookies.
        max_body_size: as in Starlette; bytes, 413 beyond.
        host: `acme.example.com`, `*.example.com` (one or more labels) or `{tenant}.example.com`
            (one label), with a port if it matters; or a list of these, of which `url_for` uses the
            first.
        methods: HTTP methods, exactly: unlike in Starlette's `Route`, `GET` does not take
            `HEAD` (Gateway API). Websockets have no method.
        headers: by name, the exact value, a compiled regular expression (matched by
            `fullmatch`), `True` (present) or `None` (absent).
        query: the same for query parameters.
        when: any other `Matcher`, or several, composed with `&`, `|` and `~`.
        priority: counts before specificity; the higher wins. Has an effect only where a table
            decides (`Dispatcher`, `DispatchMiddleware`, `routes=`).
        exact: only this path, nothing below it.
        redirect_slashes: what a request for the bare prefix gets. `"navigate"`: a browser
            that navigates there (`Sec-Fetch-Mode: navigate`) is redirected to the prefix with
            a slash, so that relative links work; other requests are served, as the child's `/`.
            `True`: all are redirected (307), `False`: all are served. `"bare"`: all are served, and
            the app sees no slash (`path` is `root_path`, WSGI's `PATH_INFO` is empty): for apps
            that redirect `/sub/` to `/sub`. A websocket is never redirected.
        convention: which scope the app gets; see `mountkit.serving.scopes.Convention`. By default
            `"spec"`, or `"strip"` or `"none"` for the apps that are known to need it.
        interface: `"asgi3"`, `"asgi2"` or `"wsgi"`, if it cannot be recognised.
        bridge: makes an ASGI app from a WSGI app, instead of `WSGIBridge`: `partial(WSGIBridge,
            threads=4)`, `a2wsgi.WSGIMiddleware`. Has no effect on other apps.
        expose: paths of the app that are served at the root too, such as
            `["/.well-known/oauth-protected-resource"]`; a mapping if they have another path
            there: `{"/.well-known/oauth-protected-resource/mcp": "/.well-known/…"}`. The app sees
            a request below its own prefix.
        lifespan: how the app is started and stopped: a `Lifespan` with timeouts and what happens on
            failure, or `"off"` if something else runs the app's lifespan.
        errors: what happens with the app's exceptions. `"raise"`: they go up to the parent's
            handlers and the server, as in Starlette, with a note that names this mount.
            `"contain"`: before the response starts, they become a 500 and one log record.
            `HTTPException` goes up in any case.

    Raises:
        PatternError: a condition or an option can never work.
        InterfaceError: `app` is not an application, or its kind cannot be recognised.

    Attributes:
        error: the last error of a request, in one line; `None` if there was none.
        error_at: when that was, in seconds since the epoch.

    A mounted *app* gets its own scope: its `url_for`, redirects and docs are right, and it has its
    own `request.app` and `request.state`. *Routes*, and a bare `starlette.routing.Router`, are part
    of the parent, as in Starlette: they share its `app`, its `state` and its names.
    """

    rule: Rule
    #: What routers above leave in a scope, which the app must not get.
    left_keys: frozenset[str]
    error_at: float | None = None
    #: The app and its lifespan; `None` for `routes=`.
    child: Child | None = None
    #: Paths of the app that are served elsewhere too, by where they are served.
    expose: Mapping[str, str] = MappingProxyType({})
    #: The kinds of URLs outside the prefix that it was seen to ask for or to redirect to.
    escaped: frozenset[str] = frozenset()
    #: How often its index was seen to redirect to the bare prefix, and how many successes there
    #: were before that.
    index_redirects: tuple[int, int] = (0, 0)
    _error: str | None = None
    _exposures: Sequence[Exposure] | None = None
    _own_table: MountTable | None = None

    def __init__(
        self,
        path: str,
        app: Application | None = None,
        routes: Sequence[BaseRoute] | None = None,
        name: str | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
        host: str | Iterable[str] | None = None,
        methods: Iterable[str] | None = None,
        headers: Mapping[str, Wanted] | None = None,
        query: Mapping[str, Wanted] | None = None,
        when: Matcher | None = None,
        priority: int = 0,
        exact: bool = False,
        redirect_slashes: bool | Literal["navigate", "bare"] = "navigate",
        convention: Convention | None = None,
        interface: Interface | Literal["auto"] = "auto",
        bridge: Callable[[Any], ASGI3Application] | None = None,
        expose: Iterable[str] | Mapping[str, str] = (),
        lifespan: Lifespan | Literal["on", "off"] = "on",
        errors: Literal["raise", "contain"] = "raise",
    ) -> None:
        given: Any = {"host": host, "methods": methods, "headers": headers, "query": query}
        given |= {"when": when, "priority": priority, "exact": exact, "where": call_site()}
        self.rule = Rule(path, **given)
        check_one_of("redirect_slashes", redirect_slashes, (True, False, "navigate", "bare"))
        check_one_of("errors", errors, ("raise", "contain"))
        is_kept = redirect_slashes == "bare" or not exact  # nothing is below an exact path
        self.redirect_slashes = redirect_slashes if is_kept else False
        self.errors: Literal["raise", "contain"] = errors
        if expose:
            self.expose = checked_exposures(self.rule, expose)
        self.traffic: Traffic = Traffic()
        self._own_routes = checked_routes(routes)
        asgi, interface = asgi_app(self.rule, app, self._own_routes, interface, bridge)
        self._base_app, self._since = asgi, time.time()
        self.name = name  # all this as Starlette's own `__init__`, but that it compiles no path
        self.app: ASGIApp = with_layers(asgi, middleware, max_body_size, self.path)
        if app is not None:
            self.child = child_of(app, asgi, self, lifespan, interface)
        self.left_keys: frozenset[str] = left_keys()
        self.convention: Convention = chosen_convention(convention, asgi, self.path)
        self._build_scope = builder_of(self.convention, asgi, self.child, self.path, convention)

    path_regex: cached_property[Any] = cached_property(lambda self: _compiled(self)[0])
    path_format: cached_property[Any] = cached_property(lambda self: _compiled(self)[1])
    param_convertors: cached_property[Any] = cached_property(lambda self: _compiled(self)[2])

    @property
    def path(self) -> str:
        """The prefix, without a trailing slash. Setting it, as `include_router` does on a copy,
        moves the mount and keeps its conditions."""
        return self.rule.path.path

    @path.setter
    def path(self, path: str) -> None:
        if path != self.path:
            self.rule = self.rule.at(path)
            self._own_table = self._exposures = None
            for name in ("path_regex", "path_format", "param_convertors"):
                vars(self).pop(name, None)

    @property
    def error(self) -> str | None:
        return self._error

    @error.setter
    def error(self, error: str | None) -> None:
        self._error, self.error_at = error, None if error is None else time.time()

    @property
    def label(self) -> str:
        """Host and path, for messages."""
        host = "" if self.rule.host is None else self.rule.host.pattern
        return host + (self.rule.path.text or "/")

    @property
    def where(self) -> str:
        """For messages: "The app mounted at '/mcp' (main.py:12)"."""
        return f"The app mounted at {self.label!r} ({self.rule.where})"

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes below, for tools that walk them; a change to the list has no effect."""
        return super().routes if self._own_routes is None else list(self._own_routes)

    @property
    def target(self) -> Any:
        """What stands behind the mount: the app as it was given, or the router of `routes=`."""
        return self._base_app if self.child is None else self.child.app

    def place(self, prefix: str) -> Place:
        """What decides whether the app is right here.

        Args:
            prefix: of the mounts above and of this one.
        """
        child = self.child
        is_stopped = child is not None and child.has_lifespan and child.lifespan.shutdown
        host = None if self.rule.host is None else self.rule.host.host
        return Place(prefix, host, self.convention, is_stopped)

    @property
    def exposures(self) -> Sequence[Exposure]:
        """Where the app is served too: outside of the prefix, and at other hosts."""
        if self._exposures is None:
            self._exposures = tuple(exposures_of(self))
        return self._exposures

    @property
    def _alone(self) -> MountTable:
        """This mount as a table of one, for a router that tries its routes."""
        if self._own_table is None:
            self._own_table = MountTable([self])
        return self._own_table

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Compare a request with this mount alone."""
        return self._alone.matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that `matches` has taken, and leave the router's scope as it was."""
        await self._alone.handle(scope, receive, send)

    async def serve(
        self, found: Resolution[Any], scope: Scope, receive: Receive, send: Send, router: Any = None
    ) -> None:
        """Serve a request that a table has given to this mount: make the app's scope, run the
        layers and the app. `scope` is not changed, but that the composed route is left in it.

        Args:
            router: who resolves names for routes that are part of the parent, if no router stands
                above.
        """
        holder = self.child or _NO_CHILD
        run = holder.run
        if holder.others:
            run = holder.run_for(scope, getattr(router, "_lifespans", None))
        build, app = self._build_scope, self.app  # see `Flight.send`
        child = build(self, found, scope, run.state, router)
        scope["route"] = Route(self, child)
        if run.retry_at is not None:
            if run.phase != "new":
                await answer_unavailable(run.retry_at, scope, receive, send)
                self.traffic.count(503)
                return
            holder.warn(getattr(router, "_lifespans", None))
        if not found.rest and await redirected(
            self.redirect_slashes, found.root_path + found.prefix, scope, receive, send
        ):
            self.traffic.count(307)
            return
        publish = watch(scope, child, found.root_path) if TRACING in sys.modules else None
        flight = Flight(send, publish)
        traffic = self.traffic
        traffic.flights[flight] = None
        try:
            if flight.task is not None:
                await app(child, receive, flight.send)
            else:
                await flight.carry(app, child, receive)
            if flight.cuts or not flight.status:
                await end(self, None, flight, scope, child, receive, router)
        except BaseException as exc:
            await end(self, exc, flight, scope, child, receive, router)
        finally:
            traffic.end(flight)
            if flight.status in TELLING:
                note(self, found, scope, flight, router)
            if publish is not None:
                publish()

    def preview(self, found: Resolution[Any], scope: Scope) -> tuple[dict[str, Any], str | None]:
        """What `serve` would do: the app's scope, and where the request is redirected, if it is."""
        child = self._build_scope(self, found, scope, {}, None)
        when = False if found.rest else self.redirect_slashes
        return child, redirect_location(when, found.root_path + found.prefix, scope)

    @property
    def health(self) -> Health:
        """How this mount is doing."""
        traffic = self.traffic
        status: Status = "serving"
        since, error = self._since, self.error
        if traffic.draining_since is not None:
            status, since = "draining", traffic.draining_since
        elif self.child is not None and self.child.has_lifespan:
            run = self.child.run
            status, since, error = run.status, run.since, run.error or error
            if hasattr(type(self.target), "outage") and status == "serving":  # a `Process`
                since, error = self.target.outage or (since, error)
                status = "starting" if self.target.outage else status
        return Health(self.label, status, since, len(traffic.flights), traffic.answered, error)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """As Starlette's; the placeholders of the host are taken from `path_params` too.

        Names below Flask, Quart, Django and Litestar apps are known as well: `mount:endpoint`.
        """
        params = dict(path_params)
        try:
            host = None if self.rule.host is None else self.rule.host.format(params)
            if self.name is not None and name == self.name and "path" in params:
                url = super().url_path_for(name, **params)
            else:
                url = self._url_path_below(name, params)
        except KeyError:
            raise NoMatchFound(name, path_params) from None
        return URLPath(path=str(url), protocol=url.protocol, host=url.host or host or "")

    def _url_path_below(self, name: str, params: dict[str, Any]) -> URLPath:
        """Of a route of the app."""
        below = name.removeprefix(f"{self.name}:") if self.name is not None else name
        if self.name is not None and below == name:
            raise KeyError(name)
        own_path = params.pop("path", None)  # of the route, where it has such a parameter
        prefix, rest = replace_params(
            self.path_format, dict(self.param_convertors), {**params, "path": ""}
        )
        if own_path is not None:
            rest["path"] = own_path
        url = url_path_of(self.target, below, rest)
        return URLPath(prefix.rstrip("/") + str(url), url.protocol, url.host)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mount)
            and super().__eq__(other)
            and self.rule.key == other.rule.key
            and {host.key for host in self.rule.hosts} == {host.key for host in other.rule.hosts}
        )

    # As Starlette's mounts: comparable and mutable, hence not hashable.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        conditions = self.rule.describe_conditions()
        return f"{super().__repr__()[:-1]}{', ' if conditions else ''}{conditions})"


def _compiled(mount: Mount) -> tuple[Any, ...]:
    return compile_path(mount.path + "/{path:path}")


SERVING[Mount.serve.__code__] = "self"
