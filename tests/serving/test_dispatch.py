"""`Dispatcher`, `DispatchMiddleware` and `LifespanMiddleware`: one answer, from the right app."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.datastructures import URLPath
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Match, NoMatchFound, Route, Router, WebSocketRoute
from starlette.routing import Mount as StarletteMount
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from mountkit import (
    Accept,
    Cookie,
    Dispatcher,
    DispatchMiddleware,
    LifespanMiddleware,
    Mount,
    MountkitError,
    PatternError,
    Split,
    Table,
    TenantMiddleware,
    TenantResolver,
)
from tests.support.clients import ClientFactory
from tests.support.scopes import scope_of


def says(text: str) -> Starlette:
    """An app that says who it is, at every path."""

    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(text)

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(text)
        await websocket.close()

    paths = "/{rest:path}"
    return Starlette(routes=[Route(paths, answer, name="at"), WebSocketRoute(paths, echo)])


def dispatcher(mounts: Any, default: Any = None) -> Dispatcher:
    return Dispatcher(mounts, default=default)


def middleware(mounts: Any, default: Any = None) -> Starlette:
    app = default if default is not None else Starlette()
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    return app  # type: ignore[no-any-return]


Make = Callable[..., Any]
MAKERS = [pytest.param(dispatcher, id="dispatcher"), pytest.param(middleware, id="middleware")]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a", "a"),
        ("/a/", "a"),
        ("/a/b", "ab"),
        ("/a/bc", "a"),
        ("/ab", "default"),
        ("/", "default"),
    ],
)
def test_http(client: ClientFactory, make: Make, path: str, expected: str) -> None:
    """The mount's app answers, or the one underneath."""
    app = make({"/a": says("a"), "/a/b": says("ab")}, says("default"))
    assert client(app).get(path).text == expected


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("path", "expected"), [("/a", "a"), ("/a/b", "ab"), ("/ab", "default")])
def test_websocket(client: ClientFactory, make: Make, path: str, expected: str) -> None:
    """Websockets are dispatched as requests are."""
    app = make({"/a": says("a"), "/a/b": says("ab")}, says("default"))
    with client(app).websocket_connect(path) as websocket:
        assert websocket.receive_text() == expected


def test_not_found(client: ClientFactory) -> None:
    """Without a default: 404, which nobody may keep."""
    response = client(Dispatcher({"/a": says("a")})).get("/b")
    assert (response.status_code, response.text) == (404, "Not Found")
    assert response.headers["cache-control"] == "no-store"


def test_websocket_not_found(client: ClientFactory) -> None:
    """The handshake is answered with 404, where the server can do that."""
    app = Dispatcher({"/a": says("a")})
    with pytest.raises(WebSocketDenialResponse) as caught, client(app).websocket_connect("/b"):
        """Is refused."""
    assert caught.value.status_code == 404


def test_websocket_not_found_on_a_plain_server(client: ClientFactory) -> None:
    """Where it cannot, the websocket is closed before it is accepted: the server answers 403."""
    app = Dispatcher({"/a": says("a")})

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": None}, receive, send)

    with pytest.raises(WebSocketDisconnect), client(plain).websocket_connect("/b"):
        """Is refused."""


TABLES: dict[str, list[Mount]] = {
    "nothing": [],
    "paths": [Mount("/a", says("a")), Mount("/", says("root"))],
    "nested-paths": [Mount("/a/b", says("a")), Mount("/{x}", says("x"))],
    "exact": [Mount("/a", says("a"), exact=True)],
    "hosts": [Mount("/", says("a"), host="a.com")],
    "host-patterns": [Mount("/", says("a"), host="{tenant}.a.com")],
    "methods": [Mount("/", says("a"), methods=["GET"])],
    "headers": [Mount("/", says("a"), headers={"x": "1"})],
    "cookies": [Mount("/", says("a"), when=~Cookie("x"))],
    "accept": [Mount("/", says("a"), when=Accept("a/b"))],
    "priority": [Mount("/", says("a"), priority=1), Mount("/a", says("a"))],
    "mounts-among-routes": [Mount("/", routes=[Mount("/a", says("a"))])],
}
UNKNOWN = {
    "bare": {"type": "webtransport"},
    "full": scope_of("/a", type="webtransport", raw_path=b"/a", headers=[("referer", "http://x/")]),
}
of_every_kind = pytest.mark.parametrize("kind", UNKNOWN)
in_every_table = pytest.mark.parametrize("table", TABLES)


@of_every_kind
@in_every_table
@pytest.mark.parametrize("unknown_host", ["default", 404, 421])
@pytest.mark.anyio
async def test_unknown_scope_type(table: str, kind: str, unknown_host: Any) -> None:
    """Of a protocol that is yet to come, nothing is known: not to be mistaken for HTTP."""
    dispatcher = Dispatcher(TABLES[table], unknown_host=unknown_host)
    with pytest.raises(MountkitError, match="Scope type 'webtransport' is not"):
        await dispatcher(dict(UNKNOWN[kind]), None, None)  # type: ignore[arg-type]


@of_every_kind
@in_every_table
@pytest.mark.parametrize("unknown_host", ["default", 404, 421])
@pytest.mark.parametrize("shape", ["default", "middleware"])
@pytest.mark.anyio
async def test_unknown_scope_type_goes_to_the_app_underneath(
    table: str, kind: str, unknown_host: Any, shape: str
) -> None:
    """Which may know it, as it came."""
    seen = []

    async def underneath(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    app: Any = (
        Dispatcher(TABLES[table], default=underneath, unknown_host=unknown_host)
        if shape == "default"
        else DispatchMiddleware(underneath, TABLES[table], unknown_host=unknown_host)
    )
    await app(dict(UNKNOWN[kind]), None, None)
    assert seen == [UNKNOWN[kind]]


@of_every_kind
@in_every_table
def test_unknown_scope_type_is_no_mount_s(table: str, kind: str) -> None:
    """A table and a mount among routes take none."""
    for found in (Table(TABLES[table]).decide, Table(TABLES[table]).resolve):
        assert found(UNKNOWN[kind]) is None
    for mount in TABLES[table]:
        assert mount.matches(dict(UNKNOWN[kind])) == (Match.NONE, {})


@of_every_kind
@pytest.mark.parametrize("sticky", [{}, {"sticky_cookie": "lane"}, {"sticky_header": "x"}], ids=str)
@pytest.mark.anyio
async def test_unknown_scope_type_is_not_split(kind: str, sticky: dict[str, str]) -> None:
    """It has nothing that an app could be chosen by."""
    split = Split({"a": (says("a"), 1), "b": (says("b"), 1)}, **sticky)
    with pytest.raises(MountkitError, match="Scope type 'webtransport' cannot be split"):
        await split(dict(UNKNOWN[kind]), None, None)  # type: ignore[arg-type]


@of_every_kind
@pytest.mark.anyio
async def test_unknown_scope_type_passes_tenant_middleware(kind: str) -> None:
    """As it came."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def find(host: str) -> str:
        raise NotImplementedError

    middleware = TenantMiddleware(app, TenantResolver(find))
    await middleware(dict(UNKNOWN[kind]), None, None)  # type: ignore[arg-type]
    assert seen == [UNKNOWN[kind]]


@pytest.mark.parametrize("mount", [Starlette(), "/a"], ids=["app", "text"])
def test_what_is_no_mount(mount: Any) -> None:
    """Is refused, with what to write."""
    with pytest.raises(
        PatternError, match=r"is not a mountkit\.Mount; write Mount\('/path', app\)"
    ):
        Dispatcher([mount])


def test_urls_by_name() -> None:
    """From outside of a request, through the names of mounts."""
    app = Dispatcher([Mount("/a", says("a"), name="a"), Mount("/b", says("b"), name="b")])
    assert app.url_path_for("b:at", rest="x") == URLPath("/b/x")
    with pytest.raises(NoMatchFound):
        app.url_path_for("c:at", rest="x")


def test_default() -> None:
    """The app underneath, or `None`."""
    app = says("a")
    assert Dispatcher(default=app).underneath is app
    assert Dispatcher().underneath is None


def test_names_of_the_dispatcher_from_its_routes(client: ClientFactory) -> None:
    """Routes in `routes=` are the dispatcher's own, and find each other's names."""

    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.url_for("b:other")))

    async def other(request: Request) -> None:
        """Is never asked."""

    app = Dispatcher(
        [
            Mount("/a", routes=[Route("/", where)]),
            Mount("/b", routes=[Route("/other", other, name="other")], name="b"),
        ]
    )
    assert client(app).get("/a/").text == "http://testserver/b/other"


# The lifespans of mounts among routes.


class Log(list[str]):
    """What was started and stopped, in order."""

    def app(self, name: str) -> Starlette:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
            self.append(f"+{name}")
            yield {"name": name}
            self.append(f"-{name}")

        async def answer(request: Request) -> JSONResponse:
            return JSONResponse(getattr(request.state, "name", None))

        return Starlette(routes=[Route("/", answer)], lifespan=lifespan)


def in_routes(mount: Mount) -> Starlette:
    return Starlette(routes=[mount])


def in_fastapi(mount: Mount) -> FastAPI:
    return FastAPI(routes=[mount])


def appended(mount: Mount) -> FastAPI:
    app = FastAPI()
    app.router.routes.append(mount)
    return app


def included(mount: Mount) -> FastAPI:
    app = FastAPI()
    app.include_router(APIRouter(routes=[mount]))
    return app


def nested(mount: Mount) -> Starlette:
    return Starlette(routes=[Mount("/", routes=[mount])])


@pytest.mark.parametrize("line", [LifespanMiddleware, DispatchMiddleware])
@pytest.mark.parametrize("place", [in_routes, in_fastapi, appended, included, nested])
def test_one_line_starts_the_mounts_among_routes(
    client: ClientFactory, place: Callable[[Mount], Starlette], line: Any
) -> None:
    """Wherever they stand."""
    log = Log()
    app = place(Mount("/a", log.app("a")))
    app.add_middleware(line)
    with client(app) as running:
        assert running.get("/a/").json() == "a"
    assert log == ["+a", "-a"]


def test_a_mount_that_stands_twice_among_routes(client: ClientFactory) -> None:
    """Is started once, and a circle of routers is no trap."""
    log = Log()
    mount = Mount("/a", log.app("a"))
    router = Router([mount])
    app = Starlette(routes=[mount, StarletteMount("/r", router), StarletteMount("/s", router)])
    app.add_middleware(LifespanMiddleware)
    with client(app):
        """Is started and stopped."""
    assert log == ["+a", "-a"]


def test_a_mount_that_is_never_started_says_so(
    client: ClientFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the line to write."""
    log = Log()
    with client(Starlette(routes=[Mount("/a", log.app("a"))])) as running:
        answers = [running.get("/a/").json() for _ in range(2)]
    assert answers == [None, None]
    assert log == []
    (record,) = (r for r in caplog.records if r.name.startswith("mountkit"))
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("Write app.add_middleware(mountkit.LifespanMiddleware).")


def test_the_wrapped_app_runs_its_lifespan_too(client: ClientFactory) -> None:
    """Before the mounted apps, and stops after them; each has its own state."""
    log = Log()
    app = log.app("parent")
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/a", log.app("a"))])
    with client(app) as running:
        assert (running.get("/").json(), running.get("/a/").json()) == ("parent", "a")
    assert sorted(log[:2]) == ["+a", "+parent"]
    assert log[2:] == [f"-{name[1:]}" for name in log[1::-1]]


def test_a_router_with_a_lifespan_is_started(client: ClientFactory) -> None:
    """A bare `Router` is a part of the parent, but its lifespan is its own."""
    log = Log()
    outer = log.app("a")
    with client(Dispatcher({"/a": outer.router})) as running:
        assert running.get("/a/").json() == "a"
    assert log == ["+a", "-a"]


@pytest.mark.anyio
async def test_messages_of_a_refused_websocket() -> None:
    """Never `http.response.start`; the connect event is taken first."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await Dispatcher()(scope_of(type="websocket"), receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


def test_middleware_of_starlette_takes_it_as_an_argument(client: ClientFactory) -> None:
    """`Middleware(DispatchMiddleware, mounts=[…])` among others, in their order."""
    app = Starlette(middleware=[Middleware(DispatchMiddleware, mounts={"/a": says("a")})])
    assert client(app).get("/a").text == "a"


def test_a_router_of_starlette_as_default(client: ClientFactory) -> None:
    """Any ASGI app will do."""
    assert client(Dispatcher(default=Router(says("r").routes))).get("/x").text == "r"
