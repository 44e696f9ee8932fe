"""Tenants by host: one app that is told its tenant, or an app for each that comes and goes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import (
    Dispatcher,
    LifespanError,
    LimitMiddleware,
    Mount,
    MountkitError,
    PatternError,
    TenantApps,
    TenantMiddleware,
    TenantResolver,
)
from mountkit.tenants.fleets import LONGEST_DELAY
from tests.support.actors import Slow
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running, running
from tests.support.requests import ask
from tests.support.scopes import scope_of
from tests.support.tenants import Clock, Database
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

of_request: ContextVar[str] = ContextVar("of_request")


def resolver_of(**tenants: str) -> TenantResolver[str]:
    return TenantResolver(Database(**tenants).find)


async def find_label(host: str) -> str | None:
    """`acme.localhost` is acme's; who is called "nobody" is none."""
    tenant, dot, rest = host.partition(".")
    return tenant if dot and rest == "localhost" and tenant != "nobody" else None


class Apps:
    """Makes an app for each tenant, and takes down what happens to it.

    Attributes:
        log: `acme made`, `acme up`, `acme down`.
        failing: starts of these tenants fail: the factory's or the lifespan's.
        gate: starts wait for it, if there is one.
        bodies: requests wait for it, if there is one.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: dict[str, str] = {}
        self.gate: anyio.Event | None = None
        self.slow: dict[str, Slow] = {}
        self.dies: dict[str, anyio.Event] = {}
        self.contexts: list[str] = []
        self.wraps: Callable[[ASGIApp], Any] = lambda app: app

    async def make(self, tenant: str) -> Any:
        self.log.append(f"{tenant} made")
        self.contexts.append(of_request.get("nothing"))
        if self.gate is not None:
            await self.gate.wait()
        if self.failing.get(tenant) == "factory":
            raise RuntimeError("no database")
        if self.failing.get(tenant) == "hangs":
            await anyio.sleep_forever()
        if tenant in self.slow:
            return self.slow[tenant]

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
            if self.failing.get(tenant) == "lifespan":
                raise RuntimeError("no migrations")
            if self.failing.get(tenant) == "lifespan hangs":
                await anyio.sleep_forever()
            self.log.append(f"{tenant} up")
            yield {"number": len(self.log)}
            self.log.append(f"{tenant} down")

        async def show(request: Request) -> Response:
            return JSONResponse(
                {
                    "app": tenant,
                    "tenant": request.state.tenant,
                    "url": str(request.url_for("show", rest="x")),
                }
            )

        async def echo(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(f"{tenant}: {await websocket.receive_text()}")
            await websocket.close()

        routes = [
            WebSocketRoute("/ws", echo),
            Route("/{rest:path}", show, name="show"),
        ]
        return self.wraps(self._mortal(tenant, Starlette(routes=routes, lifespan=lifespan)))

    def _mortal(self, tenant: str, app: ASGIApp) -> ASGIApp:
        """`app`, whose lifespan ends when it is told so."""
        if tenant not in self.dies:
            return app

        async def mortal(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await app(scope, receive, send)
                return
            await receive()
            self.log.append(f"{tenant} up")
            await send({"type": "lifespan.startup.complete"})
            await self.dies[tenant].wait()
            raise RuntimeError("lost its database")

        return mortal

    def tenants(self, **options: Any) -> TenantApps[str]:
        return TenantApps(TenantResolver(find_label), self.make, **options)


def patched_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the tenants' apps."""
    clock = Clock()
    for name in ("tenants.apps", "tenants.fleets", "answers"):
        monkeypatch.setattr(f"mountkit.{name}.monotonic", clock)
    return clock


async def status_of(server: Running, tenant: str) -> int:
    return (await server.ask("/", host=f"{tenant}.localhost"))[0]


async def statuses(server: Running, *tenants: str) -> list[int]:
    return [await status_of(server, tenant) for tenant in tenants]


# One app for all tenants.


async def show_tenant(request: Request) -> Response:
    return JSONResponse({"tenant": request.state.tenant, "more": getattr(request.state, "db", 0)})


def show_tenant_wsgi() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.route("/")
    def index() -> str:
        return str(flask.request.environ["asgi.scope"]["state"]["tenant"])

    return app


def with_middleware(resolver: TenantResolver[str], **options: Any) -> Starlette:
    app = Starlette(routes=[Route("/", show_tenant), WebSocketRoute("/", greet)])
    app.add_middleware(TenantMiddleware, resolver=resolver, **options)
    return app


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.state.tenant)
    await websocket.close()


@pytest.mark.parametrize(
    "host", [pytest.param("a.com", id="plain"), pytest.param("A.COM.:8000", id="spelling")]
)
def test_the_tenant_is_in_the_state(client: ClientFactory, host: str) -> None:
    """Of requests and of websockets."""
    app = with_middleware(resolver_of(a_com="acme", b_com="globex"))
    with client(app, headers={"host": host}) as a, client(app, headers={"host": "b.com"}) as b:
        assert a.get("/").json() == {"tenant": "acme", "more": 0}
        assert b.get("/").json() == {"tenant": "globex", "more": 0}
        with a.websocket_connect("/") as session:
            assert session.receive_text() == "acme"


def test_a_mounted_app_with_its_lifespan(client: ClientFactory) -> None:
    """Beside others; the state of its lifespan is there too."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"db": 7}

    shop = Starlette(routes=[Route("/", show_tenant)], lifespan=lifespan)
    resolver = resolver_of(a_com="acme")
    app = Dispatcher([Mount("/shop", TenantMiddleware(shop, resolver))])
    with client(app, headers={"host": "a.com"}) as session:
        assert session.get("/shop/").json() == {"tenant": "acme", "more": 7}


def test_a_wsgi_app(client: ClientFactory) -> None:
    """It finds the tenant in the scope, which is in its environ."""
    app = TenantMiddleware(show_tenant_wsgi(), resolver_of(a_com="acme"))
    with client(app, headers={"host": "a.com"}) as session:
        assert session.get("/").text == "acme"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(with_middleware, id="one-app"),
        pytest.param(
            lambda resolver, **options: TenantApps(resolver, Apps().make, **options), id="apps"
        ),
    ],
)
class TestNobodys:
    """Requests that are no tenant's, for one app and for an app each."""

    def test_a_host_that_is_nobodys(self, client: ClientFactory, make: Any) -> None:
        """404; a websocket is refused."""
        with client(make(resolver_of()), headers={"host": "a.com"}) as session:
            assert session.get("/").status_code == 404
            with pytest.raises(WebSocketDenialResponse) as caught, session.websocket_connect("/"):
                pass
        assert caught.value.status_code == 404

    def test_the_users_answer(self, client: ClientFactory, make: Any) -> None:
        """A redirect to where one can sign up; a websocket cannot follow it."""
        unknown = RedirectResponse("https://example.com/?from=host")
        app = make(resolver_of(), unknown=unknown)
        with client(app, headers={"host": "a.com"}, follow_redirects=False) as session:
            found = session.get("/x")
            assert (found.status_code, found.headers["location"]) == (
                307,
                "https://example.com/?from=host",
            )
            with pytest.raises(WebSocketDenialResponse), session.websocket_connect("/"):
                pass

    @pytest.mark.parametrize(
        "hosts",
        [
            pytest.param([], id="none"),
            pytest.param(["a.com", "a.com"], id="two"),
            pytest.param(["u@a.com"], id="no-host"),
        ],
    )
    async def test_without_one_proper_host(self, make: Any, hosts: list[str]) -> None:
        """400, and no tenant is looked up."""
        database = Database(a_com="acme")
        async with running(make(TenantResolver(database.find))) as server:
            assert (await server.ask("/", host=hosts))[0] == 400
        assert database.asked == []

    def test_a_look_up_that_fails(self, client: ClientFactory, make: Any) -> None:
        """503 with `Retry-After`, for websockets too."""
        database = Database(a_com="acme")
        database.error = OSError("no route")
        app = make(TenantResolver(database.find, failure_ttl=7))
        with client(app, headers={"host": "a.com"}) as session:
            found = session.get("/")
            assert (found.status_code, found.headers["retry-after"]) == (503, "7")
            with pytest.raises(WebSocketDenialResponse) as caught, session.websocket_connect("/"):
                pass
        assert caught.value.status_code == 503

    def test_what_is_no_resolver_is_refused(self, client: ClientFactory, make: Any) -> None:
        """The message says how to make one."""
        with pytest.raises(PatternError, match="is not a TenantResolver; write TenantResolver"):
            client(make(find_label)).__enter__()


async def test_other_scopes_go_through_the_middleware() -> None:
    """It knows nothing of them."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Message:
        raise AssertionError("not called")

    await TenantMiddleware(app, resolver_of())({"type": "odd"}, nothing, nothing)
    assert seen == ["odd"]


# An app for each tenant.


async def test_an_app_for_each_tenant() -> None:
    """Made and started by its first request, stopped with the server in reverse order."""
    apps = Apps()
    async with running(apps.tenants()) as server:
        assert apps.log == []
        for tenant in ("acme", "globex", "acme"):
            _, _, body = await server.ask("/", host=f"{tenant}.localhost")
            assert f'"app":"{tenant}","tenant":"{tenant}"'.encode() in body
    assert apps.log == [
        *("acme made", "acme up", "globex made", "globex up"),
        *("globex down", "acme down"),
    ]


async def test_all_hosts_of_a_tenant_are_one_app() -> None:
    """Custom domains and a name below ours alike."""
    apps = Apps()
    resolver = resolver_of(acme_com="acme", www_acme_com="acme")
    async with running(TenantApps(resolver, apps.make)) as server:
        for host in ("acme.com", "www.acme.com"):
            assert (await server.ask("/", host=host))[0] == 200
    assert apps.log.count("acme up") == 1


def test_websockets(client: ClientFactory) -> None:
    """They come to their tenant as requests do."""
    with (
        client(Apps().tenants(), headers={"host": "acme.localhost"}) as session,
        session.websocket_connect("/ws") as websocket,
    ):
        websocket.send_text("hello")
        assert websocket.receive_text() == "acme: hello"


def test_below_a_prefix_and_beside_others(client: ClientFactory) -> None:
    """`root_path` and URLs are right, and the marketing site is another mount."""
    site = Starlette(routes=[Route("/", lambda request: PlainTextResponse("buy"))])
    app = Dispatcher(
        [Mount("/", site, host="localhost"), Mount("/shop", Apps().tenants(), name="shops")]
    )
    with client(app, base_url="http://acme.localhost") as session:
        assert session.get("/shop/x").json()["url"] == "http://acme.localhost/shop/x"
        assert session.get("/", headers={"host": "localhost"}).text == "buy"


def test_wsgi_apps(client: ClientFactory) -> None:
    """An app for each tenant may be Flask's."""

    async def make(tenant: str) -> flask.Flask:
        return show_tenant_wsgi()

    app = TenantApps(TenantResolver(find_label), make)
    with client(app) as session:
        for tenant in ("acme", "globex"):
            assert session.get(f"http://{tenant}.localhost/").text == tenant


async def test_an_error_is_the_tenants_own(caplog: pytest.LogCaptureFixture) -> None:
    """It goes up with a note of the tenant's name; contained, it is a 500 and one record."""

    async def make(tenant: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if tenant == "acme":
                raise RuntimeError("a secret")
            await PlainTextResponse(tenant)(scope, receive, send)

        return app

    async with running(TenantApps(TenantResolver(find_label), make)) as server:
        with pytest.raises(RuntimeError, match="a secret") as caught:
            await status_of(server, "acme")
        assert caught.value.__notes__ == [
            "mountkit: raised by the app mounted at '/' (tenant 'acme')."
        ]
        assert await status_of(server, "globex") == 200

    async def make_contained(tenant: str) -> Mount:
        return Mount("", await make(tenant), errors="contain")

    async with running(TenantApps(TenantResolver(find_label), make_contained)) as server:
        status, _, body = await server.ask("/", host="acme.localhost")
        assert (status, body) == (500, b"Internal Server Error")
    raised = [record for record in caplog.records if record.exc_info]
    assert "tenant 'acme'" in raised[0].getMessage()


async def test_the_tenant_of_the_state_is_the_latest() -> None:
    """What the resolver returns from now on, in an app that runs already."""

    @dataclass(frozen=True)
    class Tenant:
        id: int
        name: str

    names = ["old", "new"]
    lifespans: list[str] = []

    async def find(host: str) -> Tenant:
        return Tenant(1, names.pop(0))

    async def make(tenant: Tenant) -> Starlette:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            lifespans.append(tenant.name)
            yield

        async def show(request: Request) -> Response:
            return PlainTextResponse(request.state.tenant.name)

        return Starlette(routes=[Route("/", show)], lifespan=lifespan)

    resolver = TenantResolver(find)
    async with running(TenantApps(resolver, make, key=lambda tenant: tenant.id)) as server:
        assert (await server.ask("/", host="a.com"))[2] == b"old"
        resolver.invalidate("a.com")
        assert (await server.ask("/", host="a.com"))[2] == b"new"
    assert lifespans == ["old"]


async def test_the_state_of_the_lifespan_has_the_tenant() -> None:
    """Under the name that was chosen."""
    seen: list[Any] = []

    async def make(tenant: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(dict(scope["state"]))
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
            else:
                await PlainTextResponse("")(scope, receive, send)

        return app

    app = TenantApps(TenantResolver(find_label), make, state_key="account")
    async with running(app) as server:
        await status_of(server, "acme")
    assert seen == [{"account": "acme"}] * 2


async def test_while_look_ups_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenants that were known are served by their own apps, for as long as was said; the others,
    and after that all of them, get 503."""
    clock = Clock()
    monkeypatch.setattr("mountkit.tenants.resolvers.monotonic", clock)
    database = Database(acme_com="acme", globex_com="globex")
    apps = Apps()
    resolver = TenantResolver(database.find, ttl=60, stale_ttl=30, failure_ttl=0)
    async with running(TenantApps(resolver, apps.make)) as server:

        async def ask(host: str) -> str:
            status, _, body = await server.ask("/", host=host)
            return json.loads(body)["app"] if status == 200 else str(status)

        assert await ask("acme.com") == "acme"
        database.error = OSError("no route")
        clock.now += 60
        assert [await ask(host) for host in ("acme.com", "globex.com")] == ["acme", "503"]
        clock.now += 30
        assert [await ask(host) for host in ("acme.com", "globex.com")] == ["503", "503"]
        database.error = None
        assert [await ask(host) for host in ("acme.com", "globex.com")] == ["acme", "globex"]
    assert apps.log.count("acme made") == 1


async def test_a_stampede_starts_an_app_once() -> None:
    """The later requests wait for it."""
    apps = Apps()
    apps.gate = anyio.Event()
    app = apps.tenants()
    async with running(app), anyio.create_task_group() as tasks:
        asked = [ask(tasks, app, scope_of(host="acme.localhost")) for _ in range(50)]
        await until(lambda: bool(apps.log))
        assert [(health.status, health.in_flight) for health in app.health] == [("starting", 50)]
        apps.gate.set()
        await until(lambda: all(request.ended.is_set() for request in asked))
        assert {request.status for request in asked} == {200}
    assert apps.log == ["acme made", "acme up", "acme down"]


async def test_a_start_outlives_the_request_that_caused_it() -> None:
    """The first client goes away; the app comes up for the others."""
    apps = Apps()
    apps.gate = anyio.Event()
    app = apps.tenants()
    first = anyio.CancelScope()

    async def give_up() -> None:
        with first:
            await server.ask("/", host="acme.localhost")

    async with running(app) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        await until(lambda: bool(apps.log))
        first.cancel()
        await until(lambda: [health.in_flight for health in app.health] == [0])
        apps.gate.set()
        assert await status_of(server, "acme") == 200
    assert apps.log == ["acme made", "acme up", "acme down"]


async def test_an_app_does_not_see_the_context_of_its_first_request() -> None:
    """It serves others later."""
    apps = Apps()
    async with running(apps.tenants()) as server:
        of_request.set("the first")
        await status_of(server, "acme")
    assert apps.contexts == ["nothing"]


async def test_a_later_run() -> None:
    """After its shutdown a server may be started again."""
    apps = Apps()
    app = apps.tenants()
    for _ in range(2):
        async with running(app) as server:
            assert await status_of(server, "acme") == 200
    assert apps.log == ["acme made", "acme up", "acme down"] * 2


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param("factory", "no database", id="factory-raises"),
        pytest.param("hangs", "the factory took more than 0.05 seconds.", id="factory-hangs"),
        pytest.param("lifespan", "no migrations", id="lifespan-raises"),
        pytest.param("lifespan hangs", "0.05 seconds", id="lifespan-hangs"),
        pytest.param("mount", "without conditions", id="no-mount-for-a-tenant"),
    ],
)
async def test_a_start_that_fails(
    how: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """503 until the time is over, which is doubled each time; the others are served."""
    clock = patched_clock(monkeypatch)
    apps = Apps()
    apps.failing["acme"] = how
    apps.wraps = lambda app: Mount("/x", app) if apps.failing.get("acme") == "mount" else app
    async with running(apps.tenants(startup_timeout=0.05)) as server:
        for seconds in (1, 2, 4):
            for _ in range(2):
                status, headers, _ = await server.ask("/", host="acme.localhost")
                assert (status, headers["retry-after"]) == (503, str(seconds))
            clock.now += seconds
        assert apps.log == ["acme made"] * 3
        assert reason in caplog.text
        assert "tenant 'acme' did not start" in caplog.text
        assert caplog.text.count("Traceback (most recent call last)") <= 1
        apps.failing.clear()
        assert await statuses(server, "globex", "acme") == [200, 200]


@pytest.mark.parametrize(
    ("seconds", "delay"), [pytest.param(1, 2, id="soon"), pytest.param(62, 1, id="long-ago")]
)
async def test_old_failures_are_forgiven(
    seconds: float, delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is doubled only if the last failure was not long ago."""
    clock = patched_clock(monkeypatch)
    apps = Apps()
    apps.failing["acme"] = "factory"
    async with running(apps.tenants()) as server:
        await status_of(server, "acme")
        clock.now += seconds
        _, headers, _ = await server.ask("/", host="acme.localhost")
    assert (headers["retry-after"], LONGEST_DELAY) == (str(delay), 60)


async def test_what_is_known_of_failures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten."""
    monkeypatch.setattr("mountkit.tenants.fleets.MAX_FAILURES", 2)
    apps = Apps()
    apps.failing = dict.fromkeys(("a", "b", "c"), "factory")
    async with running(apps.tenants()) as server:
        assert await statuses(server, "a", "b", "c", "c", "a") == [503] * 5
    assert apps.log == ["a made", "b made", "c made", "a made"]


async def test_an_app_that_has_died_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request that finds it so gets 503; after a second a new one is made."""
    clock = patched_clock(monkeypatch)
    apps = Apps()
    apps.dies["acme"] = anyio.Event()
    app = apps.tenants()
    async with running(app) as server:
        assert await status_of(server, "acme") == 200
        apps.dies["acme"].set()
        await until(lambda: [health.status for health in app.health] == ["failed"])
        apps.dies["acme"] = anyio.Event()
        status, headers, _ = await server.ask("/", host="acme.localhost")
        assert (status, headers["retry-after"]) == (503, "1")
        clock.now += 1
        assert await status_of(server, "acme") == 200
        apps.dies["acme"].set()
    assert apps.log == ["acme made", "acme up"] * 2


# Apps leave.


async def test_the_least_recently_used_app_leaves() -> None:
    """If another one needs its place; it is down before that one comes up."""
    apps = Apps()
    async with running(apps.tenants(max_apps=2)) as server:
        assert await statuses(server, "a", "b", "a", "c", "a", "b") == [200] * 6
        up = [line for line in apps.log if not line.endswith("made")]
        assert up == ["a up", "b up", "b down", "c up", "c down", "b up"]


async def test_idle_apps_leave_before_busy_ones() -> None:
    """However long ago the busy one got its last request."""
    apps = Apps()
    slow = apps.slow["a"] = Slow(apps.log)
    app = apps.tenants(max_apps=2)
    async with running(app) as server, anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of(host="a.localhost"))
        await until(lambda: bool(slow.entered))
        assert await statuses(server, "b", "c") == [200, 200]
        slow.go.set()
        await until(asked.ended.is_set)
        assert asked.status == 200
        assert "b down" in apps.log
        assert "slow down" not in apps.log


async def test_a_busy_app_works_off_its_requests() -> None:
    """It leaves if all are busy. Later requests of the same tenant wait, and get a new app."""
    apps = Apps()
    slow = apps.slow["a"] = Slow(apps.log)
    app = apps.tenants(max_apps=1)
    async with running(app), anyio.create_task_group() as tasks:
        first = ask(tasks, app, scope_of(host="a.localhost"))
        await until(lambda: bool(slow.entered))
        other = ask(tasks, app, scope_of(host="b.localhost"))
        await until(lambda: app.health[0].status == "draining")
        del apps.slow["a"]
        again = ask(tasks, app, scope_of(host="a.localhost"))
        await anyio.wait_all_tasks_blocked()
        assert apps.log == ["a made", "slow up"]
        slow.go.set()
        await until(again.ended.is_set)
        assert [request.status for request in (first, other, again)] == [200, 200, 200]
    assert apps.log == [
        *("a made", "slow up", "slow down"),
        *("b made", "b up", "b down", "a made", "a up", "a down"),
    ]


@pytest.mark.parametrize(
    ("kind", "answers_first", "types"),
    [
        pytest.param("http", False, ["http.response.start", "http.response.body"], id="503"),
        pytest.param("websocket", True, ["websocket.accept", "websocket.close"], id="websocket"),
    ],
)
async def test_the_drain_timeout_cuts(kind: str, answers_first: bool, types: list[str]) -> None:
    """What has not ended by then: 503, or close code 1012."""
    apps = Apps()
    slow = apps.slow["a"] = Slow(apps.log, answers_first=answers_first)
    app = apps.tenants(max_apps=1, drain_timeout=0.01)
    async with running(app) as server, anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of(host="a.localhost", type=kind))
        await until(lambda: bool(slow.entered))
        assert await status_of(server, "b") == 200
        assert asked.types == types
        last = asked.sent[0].get("status") or asked.sent[-1].get("code")
    assert last == (503 if kind == "http" else 1012)


async def test_an_idle_app_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is busy, or was used a little ago, does not."""
    clock = patched_clock(monkeypatch)
    apps = Apps()
    slow = apps.slow["busy"] = Slow(apps.log)
    app = apps.tenants(idle_timeout=0.02)
    async with running(app) as server, anyio.create_task_group() as tasks:
        ask(tasks, app, scope_of(host="busy.localhost"))
        assert await status_of(server, "a") == 200
        clock.now += 0.015
        assert await status_of(server, "b") == 200
        clock.now += 0.015
        await until(lambda: "a down" in apps.log)
        assert "b down" not in apps.log
        clock.now += 0.015
        await until(lambda: [health.mount for health in app.health] == ["tenant 'busy'"])
        slow.go.set()
        await until(lambda: app.health[0].in_flight == 0)
        clock.now += 0.03
        await until(lambda: app.health == [])
        assert await status_of(server, "a") == 200  # it is watched again
        clock.now += 0.03
        await until(lambda: apps.log.count("a down") == 2)


async def test_without_an_idle_timeout_apps_stay() -> None:
    """Until another one needs the place."""
    apps = Apps()
    app = apps.tenants(idle_timeout=None)
    async with running(app) as server:
        assert await status_of(server, "a") == 200
        assert [health.status for health in app.health] == ["serving"]


async def test_a_pinned_app_stays() -> None:
    """Until it is not pinned any more: idle, or least recently used."""
    apps = Apps()
    app = apps.tenants(max_apps=2, idle_timeout=0.03)
    app.pin("vip")
    async with running(app) as server:
        assert await statuses(server, "vip", "a", "b", "c") == [200] * 4
        await until(lambda: "c down" in apps.log)
        assert "vip down" not in apps.log
        app.unpin("vip")
        await until(lambda: "vip down" in apps.log)


def test_a_place_is_left_for_the_others() -> None:
    """Not all of them can be pinned; to pin one twice is fine."""
    app = Apps().tenants(max_apps=2)
    app.pin("vip")
    app.pin("vip")
    message = (
        "Tenant 'acme' cannot be pinned: the last of max_apps=2 places is for the tenants that are "
        "not pinned; raise max_apps."
    )
    with pytest.raises(PatternError, match=re.escape(message)):
        app.pin("acme")


async def test_an_app_is_evicted_on_demand() -> None:
    """Its tenant has changed: the next request makes a new one. One that is not there is not."""
    apps = Apps()
    app = apps.tenants()
    async with running(app) as server:
        await status_of(server, "a")
        await app.evict("a")
        assert (apps.log[-1], app.health) == ("a down", [])
        await app.evict("a")
        assert await status_of(server, "a") == 200
    assert apps.log == ["a made", "a up", "a down"] * 2


@pytest.mark.parametrize("how", [None, "factory"], ids=["up", "failed"])
async def test_an_app_that_starts_is_evicted_afterwards(how: str | None) -> None:
    """It has seen what was before the change, so it cannot stay."""
    apps = Apps()
    apps.gate = anyio.Event()
    if how is not None:
        apps.failing["a"] = how
    app = apps.tenants()
    async with running(app), anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of(host="a.localhost"))
        await until(lambda: bool(apps.log))
        tasks.start_soon(app.evict, "a")
        tasks.start_soon(app.evict, "a")
        await anyio.wait_all_tasks_blocked()
        apps.gate.set()
        await until(asked.ended.is_set)
        await until(lambda: app.health == [])
    assert asked.status == (200 if how is None else 503)


async def test_starts_wait_in_turn_for_a_place() -> None:
    """A start that fails gives its place to the next one."""
    apps = Apps()
    apps.gate = anyio.Event()
    apps.failing["a"] = "factory"
    app = apps.tenants(max_apps=1)
    async with running(app), anyio.create_task_group() as tasks:
        a = ask(tasks, app, scope_of(host="a.localhost"))
        await until(lambda: bool(apps.log))
        b = ask(tasks, app, scope_of(host="b.localhost"))
        await anyio.wait_all_tasks_blocked()
        assert apps.log == ["a made"]
        apps.gate.set()
        await until(b.ended.is_set)
        assert (a.status, b.status) == (503, 200)


async def test_the_server_stops_while_a_start_waits_for_a_place() -> None:
    """It is given up: nothing of it is left in the queue, and its request gets 503."""
    apps = Apps()
    apps.gate = anyio.Event()
    app = apps.tenants(max_apps=1)
    async with running(app) as server, anyio.create_task_group() as tasks:
        a = ask(tasks, app, scope_of(host="a.localhost"))
        await until(lambda: bool(apps.log))
        b = ask(tasks, app, scope_of(host="b.localhost"))
        await anyio.wait_all_tasks_blocked()
        assert app._fleets[0]._places.statistics().tasks_waiting == 1
        server.stopping.set()
        await until(lambda: a.ended.is_set() and b.ended.is_set())
    assert (a.status, b.status) == (503, 503)
    assert app._fleets[0]._places.statistics().tasks_waiting == 0
    assert apps.log == ["a made"]


# From outside of requests.


async def test_a_start_ahead_of_the_first_request() -> None:
    """The request then finds it up."""
    apps = Apps()
    app = apps.tenants()
    async with running(app) as server:
        await app.start("acme")
        assert apps.log == ["acme made", "acme up"]
        assert await status_of(server, "acme") == 200
        apps.failing["globex"] = "factory"
        for _ in range(2):
            with pytest.raises(LifespanError, match="no database"):
                await app.start("globex")
    assert apps.log.count("globex made") == 1


async def test_apps_are_warmed_up_before_the_server_serves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that does not start is logged, and tried again when it is asked for."""
    apps = Apps()
    apps.failing["b"] = "factory"

    async def busiest() -> list[str]:
        return ["a", "b", "c"]

    app = apps.tenants(warm_up=busiest)
    async with running(app) as server:
        assert server.answered == ["startup.complete"]
        assert sorted(apps.log) == ["a made", "a up", "b made", "c made", "c up"]
        assert "tenant 'b' did not start: RuntimeError: no database" in caplog.text


async def test_a_warm_up_that_raises_stops_the_server() -> None:
    """As any app that does not start."""

    async def busiest() -> list[str]:
        raise OSError("no route")

    app = Dispatcher([Mount("/", Apps().tenants(warm_up=busiest))])
    server = Running(app)
    with pytest.raises(LifespanError, match="no route"):
        await app({"type": "lifespan"}, server.receive, server.send)
    assert server.answered == ["startup.failed"]


async def test_requests_that_wait_during_the_shutdown() -> None:
    """They get 503; what was begun is left, and what was up is shut down."""
    apps = Apps()
    apps.gate = anyio.Event()
    app = apps.tenants(max_apps=1)
    async with anyio.create_task_group() as tasks:
        async with running(app):
            asked = [ask(tasks, app, scope_of(host=f"{t}.localhost")) for t in "ab"]
            await until(lambda: bool(apps.log))
            await anyio.wait_all_tasks_blocked()
        await until(lambda: all(request.ended.is_set() for request in asked))
        late = ask(tasks, app, scope_of(host="c.localhost"))
        await until(late.ended.is_set)
    assert [request.status for request in (*asked, late)] == [503] * 3


async def test_a_start_that_waits_for_a_place_during_the_shutdown() -> None:
    """It gets none."""
    apps = Apps()
    slow = apps.slow["a"] = Slow(apps.log)
    app = apps.tenants(max_apps=1)
    async with anyio.create_task_group() as tasks:
        async with running(app):
            first = ask(tasks, app, scope_of(host="a.localhost"))
            await until(lambda: bool(slow.entered))
            other = ask(tasks, app, scope_of(host="b.localhost"))
            await until(lambda: app.health[0].status == "draining")
        await until(other.ended.is_set)
        slow.go.set()
        await until(first.ended.is_set)
    assert (first.status, other.status) == (200, 503)
    assert apps.log == ["a made", "slow up", "slow down"]


async def test_an_app_that_leaves_during_the_shutdown() -> None:
    """Is shut down once; requests for it that waited get 503."""
    apps = Apps()
    slow = apps.slow["a"] = Slow(apps.log)
    app = apps.tenants()
    async with anyio.create_task_group() as tasks:
        async with running(app):
            first = ask(tasks, app, scope_of(host="a.localhost"))
            await until(lambda: bool(slow.entered))
            tasks.start_soon(app.evict, "a")
            await until(lambda: app.health[0].status == "draining")
            again = ask(tasks, app, scope_of(host="a.localhost"))
            await anyio.wait_all_tasks_blocked()
        await until(again.ended.is_set)
        slow.go.set()
        await until(first.ended.is_set)
    assert (first.status, again.status) == (200, 503)
    assert apps.log == ["a made", "slow up", "slow down"]


async def test_a_dead_app_during_the_shutdown() -> None:
    """A request that finds it after that gets 503, and nothing is started."""
    apps = Apps()
    apps.dies["a"] = anyio.Event()
    app = apps.tenants()
    async with anyio.create_task_group() as tasks, running(app) as server:
        assert await status_of(server, "a") == 200
        apps.dies["a"].set()
        await until(lambda: [health.status for health in app.health] == ["failed"])
        [fleet] = app._fleets
        fleet.supervisor.is_stopped = True
        asked = ask(tasks, app, scope_of(host="a.localhost"))
        await until(asked.ended.is_set)
        fleet.supervisor.is_stopped = False
    assert asked.status == 503


async def test_without_a_lifespan() -> None:
    """The message says who can run it."""
    message = (
        "The app of tenant 'acme' cannot be started: nothing runs the lifespan of its TenantApps. "
        "Mount that in a Dispatcher, or write app.add_middleware(mountkit.LifespanMiddleware)."
    )
    with pytest.raises(MountkitError, match=re.escape(message)):
        await status_of(Running(Apps().tenants()), "acme")


async def test_other_scopes_have_no_host() -> None:
    """The message says so."""
    message = "Scope type 'odd' has no host to find a tenant by; send 'http', 'websocket'"
    with pytest.raises(MountkitError, match=message):
        await Apps().tenants()({"type": "odd"}, anyio.sleep_forever, anyio.sleep)  # type: ignore[arg-type]


async def test_a_mount_with_options() -> None:
    """The factory may return one, for its limits and the like."""
    apps = Apps()
    slow = Slow(apps.log)
    apps.slow["a"] = Mount("", slow, middleware=[Middleware(LimitMiddleware, max_concurrency=1)])  # type: ignore[assignment]
    app = apps.tenants()
    async with running(app) as server, anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of(host="a.localhost"))
        await until(lambda: bool(slow.entered))
        assert await status_of(server, "a") == 503
        slow.go.set()
        await until(asked.ended.is_set)
    assert asked.status == 200


async def test_health() -> None:
    """Of each app that is there, by its tenant."""
    app = Apps().tenants()
    async with running(app) as server:
        await statuses(server, "acme", "globex", "acme")
        assert [(h.mount, h.status, h.in_flight, h.answered) for h in app.health] == [
            ("tenant 'globex'", "serving", 0, {"2xx": 1}),
            ("tenant 'acme'", "serving", 0, {"2xx": 2}),
        ]


class Row:
    """As an ORM returns them: a new object each time, equal to itself alone."""

    def __init__(self, id: int) -> None:
        self.id = id

    def __repr__(self) -> str:
        return f"Row({self.id})"


@pytest.mark.parametrize(
    "tenant", [pytest.param(Row(1), id="identity"), pytest.param({"id": 1}, id="unhashable")]
)
def test_tenants_have_to_be_told_apart(tenant: Any) -> None:
    """Otherwise each look-up would start an app of its own."""

    async def find(host: str) -> Any:
        return tenant

    message = (
        f"Tenant {tenant!r} cannot be identified by {tenant!r}, which is equal only to itself "
        "or has no hash; pass key=, such as key=lambda tenant: tenant.id."
    )
    with pytest.raises(PatternError, match=re.escape(message)):
        TenantApps(TenantResolver(find), Apps().make).pin(tenant)


async def test_a_key_tells_tenants_apart() -> None:
    """Rows of a database have one."""
    made: list[int] = []

    async def find(host: str) -> Row:
        return Row(1)

    async def make(tenant: Row) -> ASGIApp:
        made.append(tenant.id)
        return PlainTextResponse("")

    app = TenantApps(TenantResolver(find, ttl=0), make, key=lambda tenant: tenant.id)
    async with running(app) as server:
        assert await statuses(server, "a", "b") == [200, 200]
    assert made == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"factory": 1},
            "factory=1 cannot be called; pass an async function that takes a tenant and returns "
            "its app.",
            id="factory",
        ),
        pytest.param({"max_apps": 0}, "max_apps=0 is not above 0; write e.g. 100.", id="max-apps"),
        pytest.param(
            {"idle_timeout": -1},
            "idle_timeout=-1 is not a number of seconds above 0; write e.g. 10.",
            id="idle-timeout",
        ),
    ],
)
def test_what_can_never_work_is_refused(options: dict[str, Any], message: str) -> None:
    """The message says what to write."""
    with pytest.raises(PatternError, match=re.escape(message)):
        TenantApps(TenantResolver(find_label), **{"factory": Apps().make, **options})
