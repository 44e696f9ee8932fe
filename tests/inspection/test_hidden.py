"""`check` on what is hidden, stands on the wrong side, or is never started, with the exact text."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from a2wsgi import WSGIMiddleware
from django.core.handlers.wsgi import WSGIHandler
from fastapi import APIRouter, FastAPI, WebSocket
from flask import Flask
from litestar import Litestar
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Route, Router
from starlette.routing import Mount as StarlettesMount
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    ForwardedMiddleware,
    LifespanMiddleware,
    Mount,
    Split,
    check,
    explain,
)
from mountkit.matching.findings import Finding
from tests.support.commands import run

ROOT = Path(__file__).parents[2]
flask = Flask("site")
page = PlainTextResponse("page")


def client(request: Request) -> PlainTextResponse:
    assert request.client is not None
    return PlainTextResponse(request.client.host)


@asynccontextmanager
async def starting(app: Any) -> AsyncIterator[None]:
    yield


def api() -> FastAPI:
    app = FastAPI()
    router = APIRouter()

    @app.get("/x/{id:int}")
    def x(id: int) -> None: ...

    @app.api_route("/y", methods=["POST", "PUT"])
    def y() -> None: ...

    @router.get("/z/{path:path}")
    def z(path: str) -> None: ...

    @router.websocket("/ws")
    async def ws(websocket: WebSocket) -> None: ...

    app.include_router(router, prefix="/api")
    app.router.routes.append(Host("a.com", Router([Route("/only", page)])))
    app.mount("/sub", Starlette(routes=[Route("/a/{name}", page), StarlettesMount("/raw", page)]))
    return app


def in_front(app: Any, *mounts: Mount, **options: Any) -> Any:
    app.add_middleware(DispatchMiddleware, mounts=mounts, **options)
    return app


def texts(app: Any, code: str = "unreachable") -> list[str]:
    """Without places."""
    findings = check(app)
    assert {finding.code for finding in findings} <= {code}
    return [re.sub(r" at \S+:\d+( \(number \d there\))?", "", one.message) for one in findings]


LAST = (
    "which can never be reached: give it another path, or write it as the last of the app's routes."
)
ORDER = (
    "which can never be reached: routes are tried in the order of their declaration. Move the mount "
    "to their end."
)


def taken(mounts: str, routes: str, fix: str = LAST) -> list[str]:
    return [f"{mounts} every request for {routes}, {fix}"]


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        pytest.param(
            [Mount("/", flask)],
            taken(
                "Mount('/') takes",
                "GET /x/{id:int} (such as GET /x/0), POST|PUT /y, GET /api/z/{path:path}, "
                "WEBSOCKET /api/ws, Host('a.com') and 5 more",
            ),
            id="all",
        ),
        pytest.param(
            [Mount("/api", flask)],
            taken(
                "Mount('/api') takes",
                "GET /api/z/{path:path} (such as GET /api/z/x), WEBSOCKET /api/ws",
            ),
            id="below-a-prefix",
        ),
        pytest.param(
            [Mount("/y", flask, methods=["POST"]), Mount("/y", page, methods=["PUT"])],
            taken(
                "Mount('/y', when=Method('POST')) and Mount('/y', when=Method('PUT')) take",
                "POST|PUT /y (such as POST /y)",
            ),
            id="two-together",
        ),
        pytest.param(
            [Mount("/sub/a", flask)],
            taken("Mount('/sub/a') takes", "/sub/a/{name} (such as GET /sub/a/x)"),
            id="in-a-mounted-app",
        ),
        pytest.param(
            [Mount("/sub/raw", flask)],
            taken("Mount('/sub/raw') takes", "Mount('/raw') (such as GET /sub/raw)"),
            id="a-mount-in-a-mounted-app",
        ),
        pytest.param(
            [Mount("/", flask, host="a.com")],
            taken("Mount('/', host='a.com') takes", "Host('a.com') (such as GET http://a.com/)"),
            id="host",
        ),
        pytest.param(
            [Mount("/only", flask)],
            taken("Mount('/only') takes", "/only (such as GET http://a.com/only)"),
            id="below-a-host",
        ),
        pytest.param([Mount("/y", flask, methods=["POST"])], [], id="one-method-of-two"),
        pytest.param([Mount("/api/z/q", flask)], [], id="some-paths"),
        pytest.param([Mount("/x/7", flask)], [], id="one-number"),
        pytest.param([Mount("/", flask, host="b.com")], [], id="one-host"),
        pytest.param([Mount("/", flask, headers={"x": "1"})], [], id="one-header"),
        pytest.param([Mount("/docs", flask)], [], id="the-pages-of-fastapi"),
        pytest.param([Mount("/", flask, exact=True)], [], id="the-start-page"),
    ],
)  # fmt: skip
def test_routes_of_the_app_underneath(mounts: list[Mount], expected: list[str]) -> None:
    """Those of which a mount in front takes every request; behind middleware and as `default=` too."""
    assert texts(in_front(api(), *mounts)) == expected
    assert texts(GZipMiddleware(DispatchMiddleware(api(), mounts))) == expected
    assert texts(Dispatcher(mounts, default=api())) == expected


def test_a_request_shows_that_a_route_is_hidden() -> None:
    """It goes to the mount."""
    app = in_front(api(), Mount("/", page))
    [finding] = check(app)
    assert finding.request == "GET /x/0"
    assert TestClient(app).get("/x/0").text == "page"


def test_apps_of_one_table() -> None:
    """The more specific mount hides what the other has below that path."""
    fix = "which can never be reached: give one of them another path."
    routes = "GET /api/z/{path:path} (such as GET /api/z/x), WEBSOCKET /api/ws"
    expected = taken("Mount('/api') takes", routes, fix)
    assert texts(Dispatcher({"/": api(), "/api": flask})) == expected
    assert texts(Dispatcher({"/in": Dispatcher({"/": api(), "/api": flask})})) == expected
    in_routes = Starlette(routes=[Mount("/", routes=[Mount("/", api()), Mount("/api", flask)])])
    assert texts(in_routes) == expected
    tenants = [Mount("/t/{id}", api()), Mount("/t/{name}/x", flask), Mount("/t/{name}/x/1", flask)]
    found = "GET /t/{id}/x/{id:int} (such as GET /t/x/x/0)"
    assert texts(Dispatcher(tenants)) == taken("Mount('/t/{name}/x') takes", found, fix)


@pytest.mark.parametrize(
    "mounts",
    [
        pytest.param({"/": (site := api()), "/api": site}, id="the-same-app"),
        pytest.param({"/{p:path}/x": api(), "/q/x": flask}, id="two-paths-of-any-length"),
    ],
)
def test_what_another_mount_may_reach(mounts: dict[str, Any]) -> None:
    """Nothing is said."""
    assert check(Dispatcher(mounts)) == []
    whole = [Mount("/api", api(), convention="whole"), Mount("/api/api", flask)]
    assert check(Dispatcher(whole)) == []


def test_a_dispatcher_in_front_of_another() -> None:
    """The outer one takes all that the inner one has."""
    app = in_front(in_front(FastAPI(), Mount("/a", flask), Mount("/b", page)), Mount("/a", page))
    assert texts(app) == [
        "Mount('/a') can never be reached; every request for it is taken by Mount('/a'), in front of "
        "it. Give one of them another path, or a condition."
    ]
    assert TestClient(app).get("/a").text == "page"
    in_routes = Starlette(routes=[Mount("/a/b", flask)])
    assert texts(in_front(in_routes, Mount("/a", page))) == [
        "Mount('/a/b') can never be reached; every request for it is taken by Mount('/a'), in front "
        "of it. Give one of them another path, or a condition."
    ]


def test_a_mount_before_routes() -> None:
    """Mountkit's, of a table and Starlette's; an endpoint hides what it hides on purpose."""
    routes = [Route("/a", page), Route("/a", page), Route("/a/b", page), Route("/c/d", page)]
    expected = taken("Mount('/a') takes", "/a (such as GET /a), /a/b", ORDER)
    assert texts(Starlette(routes=[Mount("/a", flask), *routes])) == [
        expected[0].replace("), /a/b", "), /a, /a/b")
    ]
    assert texts(Starlette(routes=[StarlettesMount("/a", page), *routes])) == [
        expected[0].replace("/a (such as GET /a), /a/b", "/a/b (such as GET /a/b)")
    ]
    assert texts(Starlette(routes=[*routes, Mount("/a", flask)])) == []
    refusing = Starlette(routes=[Mount("/t", routes=[Mount("/{p:path}", page)]), *routes])
    assert texts(refusing) == []
    assert (
        texts(Starlette(routes=[StarlettesMount("/", page), Route("/{a:path}/{b:path}", page)]))
        == []
    )


def test_an_app_within_itself() -> None:
    """Is looked at once."""
    app = Starlette(routes=[Route("/a", page)])
    app.router.routes.append(Mount("/again", app))
    codes = [finding.code for finding in check(Dispatcher([Mount("/a", page)], default=app))]
    assert codes == ["mounted-into-itself", "unreachable"]


def test_routes_that_are_named_by_their_request() -> None:
    """It is not said twice; routes of one's own, without a path, are not known."""
    app = FastAPI(routes=[Mount("/a", flask), BaseRoute()])
    app.get("/a/b")(lambda: None)
    assert texts(app) == taken("Mount('/a') takes", "GET /a/b", ORDER)


def test_mounts_below_an_app_of_starlettes_mount() -> None:
    """They are checked as all others."""
    inner = Dispatcher([Mount("/a", Starlette(routes=[Route("/b", page)])), Mount("/a/b", flask)])
    fix = "which can never be reached: give one of them another path."
    expected = taken("Mount('/a/b') takes", "/a/b (such as GET /a/b)", fix)
    for route in (StarlettesMount("/in", inner), Host("a.com", inner)):
        assert (
            texts(Starlette(routes=[route], middleware=[Middleware(LifespanMiddleware)]))
            == expected
        )


# What is looked through.


class Anywhere:
    """A wrapper that keeps its app under a name of its own."""

    def __init__(self, app: Any, *others: Any) -> None:
        self._the_one = app
        self.others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._the_one(scope, receive, send)

    async def method(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._the_one(scope, receive, send)


class Slotted(Anywhere):
    __slots__ = ("__kept", "unset")

    def __init__(self, app: Any) -> None:
        self.__kept = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.__kept(scope, receive, send)


class Mapped(Anywhere):
    def __init__(self, app: Any) -> None:
        self.apps = {"main": app}


class Opaque(Anywhere):
    """Nothing is seen of its app."""

    def __init__(self, app: Any) -> None:
        self.find = {"main": {"app": app}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.find["main"]["app"](scope, receive, send)


def closing(app: Any, note: Callable[[], None] = list, request: Any = None) -> ASGIApp:  # type: ignore[assignment]
    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        note()
        assert request is None
        await app(scope, receive, send)

    return asgi


def choosing(app: Any) -> ASGIApp:
    apps = {"a.com": app}

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        await apps["a.com"](scope, receive, send)

    return asgi


async def partly(app: Any, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


WRAPPERS: list[Any] = [
    Anywhere,
    Slotted,
    Mapped,
    closing,
    choosing,
    lambda app: functools.partial(partly, app),
    lambda app: Anywhere(app).method,
    lambda app: closing(app, request=__import__("flask").request),
    lambda app: closing(Slotted(GZipMiddleware(Anywhere(app)))),
    lambda app: socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"), app),
    lambda app: Split({"a": (app, 1), "b": (page, 1)}),
    lambda app: Anywhere(Starlette(), app),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_are_looked_through(wrap: Any) -> None:
    """By attributes, slots, mappings, closures, and what they are bound to."""
    expected = taken("Mount('/api') takes", "GET /api/z/{path:path} (such as GET /api/z/x), WEBSOCKET /api/ws")  # fmt: skip
    assert texts(wrap(in_front(api(), Mount("/api", flask)))) == expected
    assert texts(Dispatcher({"/in": wrap(Dispatcher({"/api": flask}, default=api()))})) == expected


@pytest.mark.parametrize("wrap", WRAPPERS[:9])
def test_explanations_look_through_wrappers(wrap: Any) -> None:
    """Where they hold one app."""
    mount = Mount("/a", flask)
    assert explain(wrap(Dispatcher([mount])), "/a").mount is mount


def test_an_app_that_refers_to_the_one_above() -> None:
    """As a page on its health does: it does not wrap it."""
    dispatcher = Dispatcher([health := Mount("/", Mapped(None))])
    health.target.apps["main"] = dispatcher
    assert check(dispatcher) == []
    assert explain(dispatcher, "/health").below is None


def test_a_middleware_that_hides_its_app() -> None:
    """The routes of the app are looked at; that nothing else was is a note, not a fault."""
    app = in_front(in_front(api(), Mount("/api", flask)), Mount("/y", flask))
    app.user_middleware.insert(1, Middleware(Opaque))
    found, note = check(app)
    assert (found.code, found.is_note) == ("unreachable", False)
    assert "Mount('/y')" in found.message
    assert note == Finding(
        "not-looked-into",
        "Opaque does not show the app that it wraps, so the middleware behind it was not looked "
        "into; let it keep that in an attribute, self.app.",
    )
    assert note.is_note


# What is on the wrong side.

CORS = Middleware(CORSMiddleware, allow_origins=["*"])
FORWARDED = Middleware(ForwardedMiddleware, trusted=["127.0.0.1"])
BY_PROXY = Middleware(ProxyHeadersMiddleware)
DISPATCH = Middleware(DispatchMiddleware, mounts=[Mount("/a", flask), Mount("/b", api())])
LAST_ADDED = "Let it stand in front; what app.add_middleware adds last is the outermost."


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        pytest.param(
            [DISPATCH, CORS],
            "CORSMiddleware stands behind DispatchMiddleware, whose mounts have no CORS headers, and "
            f"no answers to preflights: Mount('/a'), Mount('/b'). {LAST_ADDED}",
            id="cors",
        ),
        pytest.param(
            [DISPATCH, FORWARDED],
            "ForwardedMiddleware stands behind DispatchMiddleware, whose mounts do not see what the "
            f"proxy says of the client: Mount('/a'), Mount('/b'). {LAST_ADDED}",
            id="forwarded",
        ),
        pytest.param(
            [DISPATCH, BY_PROXY],
            "ProxyHeadersMiddleware stands behind DispatchMiddleware, whose mounts do not see what "
            f"the proxy says of the client: Mount('/a'), Mount('/b'). {LAST_ADDED}",
            id="uvicorns",
        ),
        pytest.param([CORS, FORWARDED, DISPATCH], None, id="in-front"),
        pytest.param([BY_PROXY, DISPATCH, FORWARDED], None, id="on-both-sides"),
    ],
)
def test_middleware_behind_the_mounts(middleware: list[Middleware], expected: str | None) -> None:
    """It is not in force for them."""
    app = Starlette(middleware=middleware)
    assert texts(app, "behind-mounts") == ([] if expected is None else [expected])


def test_mounts_with_middleware_of_their_own() -> None:
    """They do not need the parent's; what cannot be looked into is not guessed at."""
    mounts = [
        Mount("/a", flask, middleware=[CORS, FORWARDED]),
        Mount("/b", Starlette(middleware=[CORS]), middleware=[FORWARDED]),
        Mount("/c", Litestar(), middleware=[FORWARDED]),
    ]
    assert check(in_front(Starlette(middleware=[CORS, FORWARDED]), *mounts)) == []


def test_middleware_of_a_default_app() -> None:
    """What the proxy says is for all apps; CORS is for the app itself."""
    dispatcher = Dispatcher({"/a": flask}, default=Starlette(middleware=[CORS, FORWARDED]))
    assert [finding.message.split()[0] for finding in check(dispatcher)] == ["ForwardedMiddleware"]
    assert check(Starlette(routes=[Mount("/in", dispatcher)], middleware=[FORWARDED, Middleware(LifespanMiddleware)])) == []  # fmt: skip


class ASGI2:
    def __init__(self, scope: Scope) -> None: ...

    async def __call__(self, receive: Receive, send: Send) -> None: ...


STARLETTES = "Starlette's {0} holds {1} app ({2}) and calls it as an ASGI one, which is a TypeError at each request; write app.router.routes.append(mountkit.{3})."  # fmt: skip


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        pytest.param(
            StarlettesMount("/a", flask),
            ("Mount('/a')", "a WSGI", "Flask", "Mount('/a', …)"),
            id="flask",
        ),
        pytest.param(
            StarlettesMount("/a", flask, middleware=[CORS]),
            ("Mount('/a')", "a WSGI", "Flask", "Mount('/a', …)"),
            id="middleware",
        ),
        pytest.param(
            StarlettesMount("/", WSGIHandler.__new__(WSGIHandler)),
            ("Mount('')", "a WSGI", "WSGIHandler", "Mount('/', …)"),
            id="django",
        ),
        pytest.param(
            Host("a.com", flask),
            ("Host('a.com')", "a WSGI", "Flask", "Mount('/', …, host='a.com')"),
            id="host",
        ),
        pytest.param(
            StarlettesMount("/a", ASGI2),
            ("Mount('/a')", "an ASGI 2", "type", "Mount('/a', …)"),
            id="asgi2",
        ),
        pytest.param(StarlettesMount("/a", WSGIMiddleware(flask)), None, id="bridged"),
        pytest.param(StarlettesMount("/a", lambda **options: None), None, id="unclear"),
    ],
)
def test_apps_that_starlette_cannot_call(route: Any, expected: tuple[str, ...] | None) -> None:
    """A WSGI app in Starlette's own mount fails at each request."""
    found = texts(Starlette(routes=[route]), "not-bridged")
    assert found == ([] if expected is None else [STARLETTES.format(*expected)])


@pytest.mark.parametrize(
    "interface", [flask, WSGIHandler.__new__(WSGIHandler)], ids=["flask", "django"]
)
def test_starlette_fails_on_what_it_cannot_call(interface: Any) -> None:
    """Mountkit's mount, written as the finding says, does not."""
    with pytest.raises(TypeError):
        TestClient(Starlette(routes=[StarlettesMount("/a", interface)])).get("/a/")
    app = Starlette(routes=[Mount("/a", flask)])
    assert TestClient(app).get("/a/").status_code == 404
    assert check(app) == []


@pytest.mark.parametrize("is_behind", [True, False], ids=["behind", "in-front"])
def test_middleware_behind_a_mount_does_nothing_for_it(is_behind: bool) -> None:
    """What is found is a fault."""
    own = Mount("/a", Starlette(routes=[Route("/", client)]), lifespan="off")
    layers = [CORS, FORWARDED, Middleware(DispatchMiddleware, mounts=[own])]
    app = Starlette(middleware=layers[::-1] if is_behind else layers)
    headers = {"origin": "https://b.com", "x-forwarded-for": "192.0.2.7"}
    answer = TestClient(app, client=("127.0.0.1", 1)).get("/a/", headers=headers)
    assert ("access-control-allow-origin" in answer.headers) is not is_behind
    assert answer.text == ("127.0.0.1" if is_behind else "192.0.2.7")
    assert len(check(app)) == (2 if is_behind else 0)


# What is never started.

STARTS = FastAPI(lifespan=starting)
NEVER = "nothing runs the lifespan, as Starlette does so for none of the apps among an app's routes. Write app.add_middleware(mountkit.LifespanMiddleware)."  # fmt: skip


def never(*paths: str) -> list[str]:
    names = ", ".join(f"The app mounted at {path!r}" for path in paths)
    return [f"{names}: {NEVER}"] if paths else []


def started(app: Any) -> list[str]:
    return [re.sub(r" \(\S+:\d+\)", "", text) for text in texts(app, "never-started")]


@pytest.mark.parametrize(
    ("app", "paths"),
    [
        pytest.param(STARTS, ["/a"], id="lifespan"),
        pytest.param(Litestar(), ["/a"], id="another-framework"),
        pytest.param(Dispatcher({"/": page}), ["/a"], id="a-dispatcher"),
        pytest.param(in_front(Starlette(), Mount("/q", page)), ["/a"], id="mounts-of-its-own"),
        pytest.param(Starlette(), [], id="nothing-to-start"),
        pytest.param(flask, [], id="wsgi"),
        pytest.param(page, [], id="not-known"),
    ],
)
def test_mounts_among_routes_that_nothing_starts(app: Any, paths: list[str]) -> None:
    """If they have something to start."""
    assert started(Starlette(routes=[Mount("/a", app)])) == never(*paths)
    assert started(Router([Mount("/a", app)])) == never(*paths)
    assert started(Starlette(routes=[Mount("/a", app, lifespan="off")])) == []
    assert started(Starlette(routes=[StarlettesMount("/b", Starlette(routes=[Mount("/a", app)]))])) == never(*paths)  # fmt: skip
    assert started(Dispatcher({"/in": Starlette(routes=[Mount("/a", app)])})) == never(*paths)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(LifespanMiddleware, id="around"),
        pytest.param(lambda app: app.add_middleware(LifespanMiddleware) or app, id="added"),
        pytest.param(lambda app: in_front(app, Mount("/q", page)), id="dispatcher"),
    ],
)
def test_mounts_among_routes_that_are_started(start: Any) -> None:
    """By one of the two layers that look through the routes of their app."""
    routes = [Mount("/a", STARTS), StarlettesMount("/b", Starlette(routes=[Mount("/c", STARTS)]))]
    assert started(start(Starlette(routes=routes))) == []
    assert started(DispatchMiddleware(Starlette(routes=routes), {"/q": page})) == never("/a", "/c")


# What is right.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["examples/demo/mountkit.toml", "examples.saas.main:app"])
def test_examples_are_clean(name: str) -> None:
    """Notes included."""
    ran = run(ROOT, "check", name)
    assert re.fullmatch(r"[1-9]\d* mounts checked, nothing found\.\n", ran.stdout), ran


def test_an_exception_while_looking_is_not_raised() -> None:
    """Attributes may be properties; mappings may hold anything."""

    class Odd(Anywhere):
        @property
        def app(self) -> Any:
            raise RuntimeError

    assert [one.code for one in check(Odd(Dispatcher({"/a/": flask})))] == ["trailing-slash"]


def test_what_an_app_exposes_hides_nothing_by_itself() -> None:
    """Its mount stands for it; a path that it exposes in front of a route does hide that."""
    several = Mount("/mcp", page, expose=["/.well-known/a"], host=["a.com", "b.com"])
    assert check(in_front(api(), several)) == []
    app = in_front(FastAPI(), Mount("/mcp", page, expose=["/.well-known/a"]))
    assert check(app) == []
    app.router.routes.append(Route("/.well-known/a", page))
    expected = taken("Mount('/.well-known/a', exact=True) takes", "/.well-known/a", LAST)
    assert texts(app) == [
        expected[0].replace("/a, which", "/a (such as GET /.well-known/a), which")
    ]
