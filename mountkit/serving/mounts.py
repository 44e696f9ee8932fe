"""`Mount`: an app below a path, a host and any other condition.

It is a `starlette.routing.Mount` and goes wherever one goes. FastAPI's `include_router`
keeps subclasses of `Mount` (it copies them and rewrites their path) and breaks others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Literal, NamedTuple

import starlette.routing
from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException, WebSocketException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Match, NoMatchFound, Router, replace_params
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.answers import answer, answer_unavailable, refuse_websocket
from mountkit.exceptions import ImproperResponseError, MountkitError, PatternError
from mountkit.frameworks.reversal import reversal_of
from mountkit.lifespans.supervision import Child, Health, Status, Supervision
from mountkit.matching.hosts import HostPort, request_host
from mountkit.matching.locations import encode_path, slash_location
from mountkit.matching.matchers import Matcher, Wanted
from mountkit.matching.paths import split_root_path
from mountkit.matching.rules import Rule, call_site
from mountkit.matching.tables import Refusal, Resolution, Table
from mountkit.matching.views import has_control, is_odd, other_views
from mountkit.middleware.redirects import Mending
from mountkit.serving.errors import answer_error, with_ascii_location
from mountkit.serving.flights import (
    SILENT,
    Flight,
    Limits,
    Refused,
    Traffic,
    WhenFull,
    removed,
)
from mountkit.serving.routes import watch
from mountkit.serving.scopes import (
    CONVENTIONS,
    Convention,
    child_scope,
    copied_scope,
    full_raw_path,
)
from mountkit.serving.sites import SITE, site_of
from mountkit.tasks import current_task, describe, is_outside
from mountkit.wsgi.bridge import WSGIBridge
from mountkit.wsgi.detection import (
    Interface,
    adapt,
    believes_to_be_alone,
    wants_stripped_path,
)

logger: logging.Logger = logging.getLogger("mountkit")

# The toolkit's one key. A router has to put what `matches` returns into its own scope;
# `handle` takes it out again, and everything else that `matches` has put there with it.
_KEY = "mountkit"
_MATCHED_KEYS = ("path_params", "app_root_path", "root_path", "endpoint")


class _Matched(NamedTuple):
    resolution: Resolution[Mount]
    before: dict[str, Any]


class Mount(starlette.routing.Mount):
    """An app, or routes, below a path.

    Args:
        path: `""` or `"/"` for the root, else a prefix of whole segments that may hold
            Starlette's placeholders: `/t/{tenant}`, `/u/{id:int}`.
        app: any ASGI or WSGI application.
        routes: routes of the parent app instead. Those that are a mountkit `Mount` are
            chosen among by specificity, after the others, which keep their order.
        name: as in Starlette; `name:child` names a route of the child.
        middleware: as in Starlette; around this mount alone.
        max_body_size: as in Starlette; bytes, 413 beyond.
        host: `acme.example.com`, `*.example.com` (one or more labels) or
            `{tenant}.example.com` (one label), with a port if it matters.
        methods: HTTP methods, exactly: unlike in Starlette's `Route`, `GET` does not take
            `HEAD` (Gateway API). Websockets have none.
        headers: by name, the exact value, a compiled regular expression (matched by
            `fullmatch`), `True` (present) or `None` (absent).
        query: the same for query parameters.
        when: any other `Matcher`, or several, composed with `&`, `|` and `~`.
        priority: goes before specificity; the higher wins. Counts only where a table
            decides (`Dispatcher`, `DispatchMiddleware`, `routes=`).
        exact: this very path, nothing below it.
        redirect_slashes: what a request for the bare prefix gets. `"navigate"`: a browser
            that navigates there (`Sec-Fetch-Mode: navigate`) is redirected to the prefix with
            a slash, so that relative links work; others are served, as the child's `/`.
            `True`: all are redirected (307), `False`: all are served. A websocket is never
            redirected.
        convention: which scope the app gets; see `mountkit.serving.scopes.Convention`. By default
            `"spec"`, or `"strip"` or `"none"` for the apps that are known to need it.
        mend_redirects: give the prefix to redirects of the app that leave it: to a path, or to
            a URL at the host of the request. For apps that do not know their prefix; a redirect
            that leads to another mount on purpose is led astray.
        cookie_path: keep the cookies of the app to itself: a path outside of the prefix gets it,
            `Path=/` becomes the prefix.
        interface: `"asgi3"`, `"asgi2"` or `"wsgi"`, where it cannot be recognised.
        bridge: makes an ASGI app of a WSGI one: `partial(WSGIBridge, threads=4)`,
            `a2wsgi.WSGIMiddleware`. Without effect on other apps.
        expose: paths of the app that are served at the root too, such as
            `["/.well-known/oauth-protected-resource"]`; a mapping if they have another path
            there: `{"/.well-known/oauth-protected-resource/mcp": "/.well-known/…"}`. The app sees
            a request below its own prefix.
        scope_keys: keys of the parent's scope that the app is to have beyond those of ASGI,
            such as `("session", "user", "auth")`.
        share: keys of the parent's `request.state` that the app finds in its own: those of the
            parent's lifespan when the app starts, and those of each request.
        lifespan: `"on"`; `"startup-only"`: the app is started and is not told to stop, for one
            whose shutdown ends the process; its task is ended last, once all others have stopped.
            `"off"`: the app's lifespan is somebody else's.
        startup_timeout, shutdown_timeout: seconds that the app's lifespan may take; by default
            what the dispatcher says.
        on_failure: what happens if the app does not start. `"fail"`: the server does not start;
            if its lifespan ends while it serves, it is served on, and `Readiness` says that it
            has failed. `"isolate"`: the others serve, this mount answers 503 with `Retry-After`,
            and the app is started again after 1, 2, 4, … 60 seconds; the same if its lifespan
            ends while it serves.
        independent: start it at the same time as the neighbours that say so too.
        max_concurrency: how many requests and websockets it takes at a time; `None` sets no
            limit.
        when_full: what one more gets: `503`, `429`, or `"wait"`: its turn.
        response_timeout: seconds until the response has to start, or the websocket to be
            accepted; 504 beyond.
        total_timeout: seconds until the request has to have ended, answer, stream and websocket
            included. 504 if nothing was answered, else the connection is broken.
        errors: what becomes of an exception that the app has raised before it has answered.
            `"contain"`: a 500 of this mount and one log record with its name. `"raise"`: it goes
            up to the handlers of the parent. `HTTPException` goes up in any case, and so does
            every exception of *routes* (see below).

    Raises:
        PatternError: a condition or an option can never work.
        InterfaceError: the app is none, or it cannot be told which.

    A mounted *app* gets a scope of its own: its `url_for`, its redirects and its docs are
    right, and it has its own `request.app` and `request.state`. *Routes*, and a bare
    `starlette.routing.Router`, are a part of the parent, as in Starlette: they share its
    `app`, its `state` and its names.
    """

    rule: Rule
    #: Whether one of its pages was seen to ask for what is outside of the prefix.
    has_escaped: bool = False

    def __init__(
        self,
        path: str,
        app: Any = None,
        routes: Sequence[BaseRoute] | None = None,
        name: str | None = None,
        *,
        middleware: Sequence[Middleware] | None = None,
        max_body_size: int | None = None,
        host: str | None = None,
        methods: Iterable[str] | None = None,
        headers: Mapping[str, Wanted] | None = None,
        query: Mapping[str, Wanted] | None = None,
        when: Matcher | None = None,
        priority: int = 0,
        exact: bool = False,
        redirect_slashes: bool | Literal["navigate"] = "navigate",
        convention: Convention | None = None,
        mend_redirects: bool = False,
        cookie_path: bool = False,
        interface: Interface | Literal["auto"] = "auto",
        bridge: Callable[[Any], ASGIApp] = WSGIBridge,
        expose: Iterable[str] | Mapping[str, str] = (),
        scope_keys: Iterable[str] = (),
        share: Iterable[str] = (),
        lifespan: Literal["on", "startup-only", "off"] = "on",
        startup_timeout: float | None = None,
        shutdown_timeout: float | None = None,
        on_failure: Literal["fail", "isolate"] = "fail",
        independent: bool = False,
        max_concurrency: int | None = None,
        when_full: WhenFull = 503,
        response_timeout: float | None = None,
        total_timeout: float | None = None,
        errors: Literal["contain", "raise"] = "contain",
    ) -> None:
        self.rule = Rule(
            path,
            host=host,
            methods=methods,
            headers=headers,
            query=query,
            when=when,
            priority=priority,
            exact=exact,
            where=call_site(),
        )
        check_one_of("redirect_slashes", redirect_slashes, (True, False, "navigate"))
        self.redirect_slashes = redirect_slashes
        self.expose: dict[str, str] = _checked_exposures(self.rule, expose)
        self._exposures: list[Exposure] | None = None
        self.scope_keys: tuple[str, ...] = tuple(scope_keys)
        check_one_of("errors", errors, ("contain", "raise"))
        self.errors = errors
        limits = Limits(max_concurrency, when_full, response_timeout, total_timeout)
        self.traffic: Traffic = Traffic(limits)
        self._since = time.time()
        #: The app and its lifespan; `None` for `routes=`.
        self.child: Child | None = None
        if app is not None and routes is not None:
            raise PatternError(f"Mount({path!r}) has app= and routes=; pass one of them.")
        self._own_routes = None if routes is None else list(routes)
        if self._own_routes is not None:
            app = _router_of(self._own_routes)
        elif app is None:
            raise PatternError(f"Mount({path!r}) has nothing to serve; pass app= or routes=.")
        else:
            check_one_of("on_failure", on_failure, ("fail", "isolate"))
            check_one_of("lifespan", lifespan, ("on", "startup-only", "off"))
            supervision = Supervision(
                startup_timeout,
                shutdown_timeout,
                on_failure,
                independent,
                tuple(share),
                is_kept=lifespan == "startup-only",
            )
            app = self._adopt(app, interface, bridge, supervision, lifespan != "off")
        super().__init__(
            self.rule.path.path, app, name=name, middleware=middleware, max_body_size=max_body_size
        )
        # Routes and bare routers are a part of the parent app, and see its scope.
        self._is_part_of_parent = isinstance(self._base_app, Router)
        self.convention: Convention = self._chosen_convention(convention)
        #: Whether its cookies are kept to the prefix.
        self.has_own_cookies: bool = cookie_path
        if mend_redirects or cookie_path:
            if self.convention in ("none", "whole"):
                raise PatternError(
                    f"convention={self.convention!r} hides the prefix from what mend_redirects= "
                    "and cookie_path= would do; leave them out, or write convention='strip'."
                )
            mended = Mending(self.app, redirects=mend_redirects, cookies=cookie_path)
            self.app: ASGIApp = mended
        #: Whether a dispatcher may do by itself what `serve` does; see `Dispatcher.__call__`.
        self.is_quick: bool = (
            self.child is not None
            and not self._is_part_of_parent
            and self.convention == "spec"
            and not self.scope_keys
            and not share
            and self.traffic.limits is None
            and self.path.isascii()
        )

    def _adopt(
        self,
        app: Any,
        interface: Interface | Literal["auto"],
        bridge: Callable[[Any], ASGIApp],
        supervision: Supervision,
        has_lifespan: bool,
    ) -> ASGIApp:
        asgi, found = adapt(app, interface, bridge)
        self.child = Child(
            app,
            asgi,
            self.where,
            has_lifespan=has_lifespan and found != "wsgi",
            supervision=supervision,
            close=asgi.close if isinstance(asgi, WSGIBridge) else lambda: None,
        )
        return asgi

    def _chosen_convention(self, convention: Convention | None) -> Convention:
        if convention is not None:
            check_one_of("convention", convention, CONVENTIONS)
            return convention
        if believes_to_be_alone(self._base_app):
            return "none"
        return "strip" if wants_stripped_path(self._base_app, self.path) else "spec"

    @property
    def path(self) -> str:
        """The prefix, without a trailing slash. Setting it, as `include_router` does on a copy,
        moves the mount and keeps its conditions."""
        return self.rule.path.path

    @path.setter
    def path(self, path: str) -> None:
        if path != self.rule.path.path:
            self.rule = self.rule.at(path)
            self._exposures = None
            self.is_quick = False

    @property
    def label(self) -> str:
        """Host and path, for messages."""
        host = "" if self.rule.host is None else self.rule.host.pattern
        return host + (self.rule.path.text or "/")

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes below, for tools that walk them; a change to the list has no effect."""
        return super().routes if self._own_routes is None else list(self._own_routes)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Hold a request against this mount alone, as a router that tries its routes does."""
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        root_path, rest = split_root_path(scope)
        if not rest.startswith("/") and (rest or not root_path):
            return Match.NONE, {}
        host = None if self.rule.host is None else request_host(scope)
        found = self.rule.match(scope, rest, host)
        if is_odd(scope["path"], scope.get("raw_path")) and self._is_ambiguous(
            scope, root_path, rest, host, found
        ):
            return Match.FULL, {_KEY: None}
        if found is None:
            for exposure in self.exposures:
                match, matched = exposure.matches(scope)
                if match is not Match.NONE:
                    return match, matched
            return Match.NONE, {}
        prefix, params = found
        return Match.FULL, self.matched_scope(
            scope, Resolution(self, root_path, prefix, rest[len(prefix) :], params)
        )

    def _is_ambiguous(
        self,
        scope: Scope,
        root_path: str,
        rest: str,
        host: HostPort | None,
        found: tuple[str, dict[str, Any]] | None,
    ) -> bool:
        """Whether other readers of the path would not agree; see `Table.refusal`."""
        if found is not None and has_control(rest):
            return True
        for view in other_views(scope, root_path, rest):
            other = None if view is None else self.rule.match(scope, view, host)
            if (found and found[1]) != (other and other[1]):
                return True
        return False

    @property
    def exposures(self) -> list[Exposure]:
        """What of the app is served outside of the prefix too; a mount for each path."""
        if self._exposures is None:
            self._exposures = [Exposure(self, *pair) for pair in self.expose.items()]
        return self._exposures

    def matched_scope(self, scope: Scope, found: Resolution[Mount]) -> Scope:
        """What a router updates its scope with: Starlette's keys, so that tools find them."""
        return {
            "path_params": {**scope.get("path_params", {}), **found.params},
            "app_root_path": scope.get("app_root_path", found.root_path),
            "root_path": found.root_path + found.prefix,
            "endpoint": self.app,
            _KEY: _Matched(found, {k: scope[k] for k in _MATCHED_KEYS if k in scope}),
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that `matches` has taken, and leave the router's scope as it was."""
        if _KEY in scope and scope[_KEY] is None:
            del scope[_KEY]
            await answer(400, scope, receive, send)
            return
        matched: _Matched | None = scope.pop(_KEY, None)
        if matched is None:
            raise MountkitError(
                f"{self!r} was asked to handle a request that it has not matched; call "
                "matches() first and update the scope with what it returns."
            )
        for key in _MATCHED_KEYS:
            if key in matched.before:
                scope[key] = matched.before[key]
            else:
                del scope[key]
        if self.child is not None and not self.child.is_started and self.child.has_lifespan:
            self._warn_not_started(self.child)
        await matched.resolution.mount.serve(matched.resolution, scope, receive, send)

    def _warn_not_started(self, child: Child) -> None:
        child.is_started = True  # once is enough
        logger.warning(
            "%s is served, but was never started: nothing runs the lifespans of mounts among "
            "an app's routes. Write app.add_middleware(mountkit.LifespanMiddleware).",
            child.name,
        )

    async def serve(
        self,
        found: Resolution[Mount],
        scope: Scope,
        receive: Receive,
        send: Send,
        router: Any = None,
    ) -> None:
        """Serve a request that a table has given to this mount. `scope` is not changed, but
        that the composed route is left in it.

        Args:
            router: who resolves names for routes that are a part of the parent, if no router
                stands above.
        """
        own_child = self.child
        traffic = self.traffic
        if own_child is not None and own_child.run.retry_at is not None:
            await answer_unavailable(own_child.run.retry_at, scope, receive, send)
            traffic.count(503)
            return
        if scope.get("method") == "CONNECT":  # RFC 9110, section 9.3.6: there is no tunnel here
            await answer(501, scope, receive, send)
            traffic.count(501)
            return
        root_path = found.root_path
        if not found.rest:
            location = self._slash_redirect(scope, found)
            if location is not None:
                response = RedirectResponse(location, 307, {"cache-control": "no-store"})
                await response(scope, receive, send)
                traffic.count(307)
                return
        child = self._child_scope(scope, found, router)
        if not child["root_path"].isascii():
            send = with_ascii_location(send)
        flight = scope["route"] = Flight()
        flight.mount, flight.child, flight.own_root = self, child, child["root_path"]
        flight.on_start = publish = watch(scope, child, root_path)
        flight.scope, flight.server_send, flight.context = scope, send, copy_context()
        flight.status, flight.is_complete = 0, False
        flight.task = task = None if traffic.limits is not None else current_task()
        traffic.flights.add(flight)
        try:
            if task is not None:
                await self.app(child, receive, flight.send)
            else:
                await traffic.carry(flight, self.app, child, receive)
        except BaseException as exc:
            await self.fail(exc, flight, scope, receive)
        else:
            if flight.cuts:  # it has ended well all the same
                flight.settle()
            elif not flight.is_complete:
                await self.finish(flight, scope)
        finally:
            traffic.end(flight)
            if publish is not None:
                publish()

    async def fail(
        self, exc: BaseException, flight: Flight, scope: Scope, receive: Receive
    ) -> None:
        """See to an exception that has ended a request: answer it, or raise it."""
        if flight.cuts and flight.settle() and isinstance(exc, asyncio.CancelledError):
            exc = removed()
        self.traffic.leave(flight)
        if is_outside(exc, flight.task):
            raise exc
        if flight.on_start is not None:
            flight.on_start()
        await self._answer_failure(exc, flight, scope, receive)

    async def _answer_failure(
        self, exc: BaseException, flight: Flight, scope: Scope, receive: Receive
    ) -> None:
        """Answer in the place of an app that has raised, or has used up its time."""
        traffic = self.traffic
        is_contained = self.errors == "contain" and not self._is_part_of_parent
        if flight.status:  # nobody may answer a second time: the server breaks the connection
            traffic.error = describe(exc)
            if isinstance(exc, Refused):
                if not flight.is_complete:
                    await self._break_off(exc, flight)
                return
            if scope["type"] == "websocket" and not flight.is_complete and is_contained:
                logger.error("%s raised and is closed with 1011.", self.where, exc_info=exc)
                await _close(flight)
                return
            if isinstance(exc, Exception):
                note = f"{self.where}: it had started to answer."
                if note not in getattr(exc, "__notes__", ()):  # some apps raise the same again
                    exc.add_note(note)
                raise exc
            raise MountkitError(f"{self.where} was ended by {describe(exc)}.") from exc
        if isinstance(exc, Refused):
            if exc.status == 504:
                traffic.error = str(exc)
            level = logging.WARNING if exc.status == 504 else logging.INFO
            logger.log(level, "%s answers %d: %s", self.where, exc.status, exc)
            await answer(exc.status, scope, receive, flight.send, was_called=True)
            return
        if isinstance(exc, Exception):
            if isinstance(exc, (HTTPException, WebSocketException, MultiPartException)):
                try:
                    await answer_error(exc, scope, receive, flight.send)
                    return
                except ImproperResponseError as improper:  # its headers are none
                    exc = improper
            if not is_contained:
                traffic.error = describe(exc)
                await answer_error(exc, scope, receive, flight.send)
                return
        traffic.error = describe(exc)
        logger.error("%s raised and answers 500.", self.where, exc_info=exc)
        await answer(500, scope, receive, flight.send, was_called=True)

    async def finish(self, flight: Flight, scope: Scope) -> None:
        """End what an app has returned from without an end. A response that has begun is left to
        the server, which breaks the connection; one that has not is not: for some servers that
        is an error of their own."""
        is_websocket = scope["type"] == "websocket"
        if flight.status and is_websocket:
            await _close(flight)
        elif not flight.status:
            if self.traffic.error is not SILENT:  # once is enough
                logger.warning("%s returned without an answer and answers 500.", self.where)
                self.traffic.error = SILENT
            with suppress(Exception):  # the client may have gone
                if is_websocket:
                    await refuse_websocket(scope, None, flight.send, 500)
                else:
                    await flight.answer_for()

    async def _break_off(self, exc: Refused, flight: Flight) -> None:
        """End a response that has begun. ASGI has no message for that; to raise is what breaks
        the connection, with every middleware that is in between."""
        if flight.status == 101:  # RFC 6455, section 7.4, and IANA's registry of close codes
            code = 1012 if exc.status == 503 else 1011
            await flight.send({"type": "websocket.close", "code": code, "reason": str(exc)})
        else:
            raise MountkitError(f"{self.where} was broken off: {exc}") from exc

    @property
    def where(self) -> str:
        """For messages: "The app mounted at '/mcp' (main.py:12)"."""
        return f"The app mounted at {self.label!r} ({self.rule.where})"

    @property
    def health(self) -> Health:
        """How this mount is doing."""
        traffic = self.traffic
        status: Status = "serving"
        since, error = self._since, traffic.error
        if traffic.draining_since is not None:
            status, since = "draining", traffic.draining_since
        elif self.child is not None and self.child.has_lifespan:
            run = self.child.run
            status, since, error = run.status, run.since, run.error or error
        return Health(self.label, status, since, len(traffic.flights), traffic.answered, error)

    def _slash_redirect(self, scope: Scope, found: Resolution[Mount]) -> str | None:
        """Where to send a request for the bare prefix; `None` if it is to be served."""
        root_path, prefix, rest = found.root_path, found.prefix, found.rest
        if rest or self.rule.path.exact or scope["type"] != "http":
            return None
        # Fetch Metadata (W3C), section 2.3: sent by browsers, and not by the scripts in them.
        is_navigation = scope["method"] == "GET" and any(
            name == b"sec-fetch-mode" and value == b"navigate" for name, value in scope["headers"]
        )
        if self.redirect_slashes is True or (self.redirect_slashes and is_navigation):
            return slash_location(root_path + prefix, scope.get("query_string", b""))
        return None

    def preview(self, scope: Scope, matched: Scope) -> tuple[Scope, str | None]:
        """What `handle` would do with a request: the app's scope, and a redirect if any.

        Args:
            matched: what `matches` has returned for `scope`.
        """
        found: Resolution[Mount] = matched[_KEY].resolution
        return self._child_scope(scope, found, None), self._slash_redirect(scope, found)

    @property
    def target(self) -> Any:
        """What stands behind the mount: the app as it was given, or the router of `routes=`."""
        return self._base_app if self.child is None else self.child.app

    def _child_scope(self, scope: Scope, found: Resolution[Mount], router: Any) -> Scope:
        root_path, prefix, rest = found.root_path, found.prefix, found.rest
        params = found.params
        if self.child is not None and not self._is_part_of_parent:
            run = self.child.run
            state = _shared(self.child, scope) if self.child.supervision.share else run.state.copy()
            keys, own = self.scope_keys, None
            if self.convention == "spec" and not keys:
                own = copied_scope(scope, root_path, prefix, rest, state)
                if own is not None and params:
                    own["path_params"] = params
            if own is None:
                own = child_scope(
                    scope, root_path, prefix, rest, params, self.convention, state, keys
                )
            own[SITE] = site_of(scope, root_path, router)
            return own
        child = {**scope, **self.matched_scope(scope, found)}
        del child[_KEY]
        child[SITE] = site_of(scope, root_path, router)
        child.pop("route", None)
        if "fastapi" in child:  # what FastAPI knows of the parent's route is none of the child's
            known = child["fastapi"].items()
            child["fastapi"] = {k: v for k, v in known if k != "effective_route_context"}
        if router is not None:
            child.setdefault("router", router)
        child["path"] = child["root_path"] + (rest or "/")
        child["raw_path"] = full_raw_path(scope, root_path, prefix + rest)
        if not rest:
            child["raw_path"] += b"/"
        if self.child is not None and self.child.run.state:  # a Router with its own lifespan
            child["state"] = {**scope.get("state", {}), **self.child.run.state}
        return child

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
            isinstance(other, Mount) and super().__eq__(other) and self.rule.key == other.rule.key
        )

    # As Starlette's mounts: comparable and mutable, hence not hashable.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        conditions = self.rule.describe_conditions()
        return f"{super().__repr__()[:-1]}{', ' if conditions else ''}{conditions})"


class Exposure(Mount):
    """A path of a mounted app that is served outside of its prefix: the same mount, elsewhere.

    RFC 8615 puts `/.well-known/` at the root of a host, wherever the app is that it tells of.

    Args:
        owner: the mount of the app.
        at: where the path is served, below the router of the mount.
        below: where the app has it, below its own root.
    """

    def __init__(self, owner: Mount, at: str, below: str) -> None:
        rule = owner.rule.at(at, exact=True)
        self.__dict__.update(owner.__dict__, expose={}, _exposures=[], rule=rule, is_quick=False)
        self.owner: Mount = owner
        self.below: str = below

    def _child_scope(self, scope: Scope, found: Resolution[Mount], router: Any) -> Scope:
        prefix = self.owner.path
        root_path, params = found.root_path, found.params
        full = root_path + prefix + self.below
        moved = Resolution[Mount](self, root_path, prefix, self.below, params)
        inner = {**scope, "path": full, "raw_path": encode_path(full).encode("ascii")}
        return super()._child_scope(inner, moved, router)


async def _close(flight: Flight) -> None:
    """Close a websocket that its app has left open (RFC 6455, section 7.4.1: 1011), or end the
    answer that turns it away."""
    message: Message = {"type": "websocket.close", "code": 1011, "reason": ""}
    if flight.status != 101:
        message = {"type": "websocket.http.response.body", "body": b""}
    with suppress(Exception):  # the client may have gone
        await flight.send(message)


def with_exposures(mounts: Iterable[Mount]) -> Iterator[Mount]:
    """Mounts, each followed by what it serves outside of its prefix."""
    for mount in mounts:
        yield mount
        yield from mount.exposures


def _checked_exposures(rule: Rule, expose: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    pairs = dict(expose) if isinstance(expose, Mapping) else {path: path for path in expose}
    for path in {*pairs, *pairs.values()}:
        if not isinstance(path, str) or len(path) < 2 or path[0] != "/" or "{" in path:
            raise PatternError(
                f"expose={expose!r} has {path!r}, which is no path that begins with '/'; write "
                "e.g. ['/.well-known/oauth-protected-resource']."
            )
    if pairs and rule.path.convertors:
        raise PatternError(
            f"expose={expose!r} needs a prefix without placeholders, not {rule.path.path!r}: it "
            "has to say which app is meant."
        )
    return pairs


def _shared(child: Child, scope: Scope) -> dict[str, Any]:
    """An app's lifespan state, and what it is to have of its parent's."""
    parent = scope.get("state", {})
    shared = {key: parent[key] for key in child.supervision.share if key in parent}
    return child.run.state | shared


def check_one_of(option: str, value: Any, known: Sequence[Any]) -> None:
    """Refuse a value that is none of those that are known."""
    if value not in known:
        choice = ", ".join(map(repr, known))
        raise PatternError(f"{option}={value!r} is not known; write one of {choice}.")


def _router_of(routes: Sequence[BaseRoute]) -> Router:
    mounts = [route for route in routes if isinstance(route, Mount)]
    others = [route for route in routes if not isinstance(route, Mount)]
    return Router([*others, MountTable(mounts)] if mounts else others)


class MountTable(BaseRoute):
    """Several mounts as one route: the most specific of them that matches."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self.routes: list[Mount] = list(mounts)
        self.table: Table[Mount] = Table(with_exposures(self.routes))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        is_path = scope["path"][:1] == "/"
        if is_path and isinstance(self.table.decide(scope), Refusal):
            return Match.FULL, {_KEY: None}
        found = self.table.resolve(scope)
        if found is None:
            return Match.NONE, {}
        return Match.FULL, found.mount.matched_scope(scope, found)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        matched: _Matched | None = scope[_KEY]
        mount = self.routes[0] if matched is None else matched.resolution.mount
        await mount.handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        return url_path_for(self.routes, name, **path_params)


def url_path_for(routes: Iterable[BaseRoute], name: str, /, **path_params: Any) -> URLPath:
    """The first route that knows the name, as in Starlette's `Router`.

    Raises:
        NoMatchFound: none does.
    """
    for route in routes:
        try:
            return route.url_path_for(name, **path_params)
        except NoMatchFound:
            continue
    raise NoMatchFound(name, path_params)


def url_path_of(app: Any, name: str, params: dict[str, Any]) -> URLPath:
    """Of a named route of an app, whatever its framework.

    Raises:
        NoMatchFound: it has none, or names are not known of its framework.
    """
    own = getattr(app, "url_path_for", None)
    if own is not None and not isinstance(app, BaseRoute):  # as Starlette: a route is no router
        url: URLPath = own(name, **params)
        return url
    reversal = reversal_of(app)
    if reversal is None:
        return url_path_for(getattr(app, "routes", None) or (), name, **params)
    try:
        return URLPath(reversal.path_for(name, params), "http")
    except Exception:  # each framework has its own
        raise NoMatchFound(name, params) from None


def mounts_of(routes: Iterable[Any]) -> Iterator[Mount]:
    """The mounts anywhere among these routes, in the order of declaration.

    Looks below Starlette's mounts and hosts and FastAPI's included routers, but not into a
    mounted app: what it mounts is its own to start.
    """
    seen: set[int] = set()
    pending = list(routes)[::-1]
    while pending:
        route = pending.pop()
        if id(route) in seen:
            continue
        seen.add(id(route))
        if isinstance(route, Mount):
            if not isinstance(route, Exposure):
                yield route
            if route.child is not None:
                continue
        router = getattr(route, "original_router", route)
        pending += list(getattr(router, "routes", None) or ())[::-1]


def children_of(routes: Iterable[Any]) -> Iterator[Child]:
    """The apps of those mounts."""
    return (mount.child for mount in mounts_of(routes) if mount.child is not None)
