"""What the page on migrating says of each site before, and of the same site after."""

from __future__ import annotations

import runpy
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.test import Client
from werkzeug.wrappers import Response

from mountkit import Dispatcher, LifespanError, check
from tests.support.pages import write_files

PAGE = "migrating.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(PAGE, tmp_path_factory.mktemp("migrating"))


@pytest.fixture
def load(folder: Path) -> Callable[[str], dict[str, Any]]:
    """The names of a file of the page, run alone."""
    return lambda name: runpy.run_path(str(folder / f"{name}.py"))


Load = Callable[[str], dict[str, Any]]


@pytest.fixture
def sites(load: Load, request: pytest.FixtureRequest) -> Iterator[tuple[TestClient, TestClient]]:
    """Clients of the site before and of the site after, with their lifespans run."""
    before, after = (load(f"{when}_{request.param}")["app"] for when in ("before", "after"))
    options: dict[str, Any] = {"follow_redirects": False, "raise_server_exceptions": False}
    with TestClient(before, **options) as old, TestClient(after, **options) as new:
        yield old, new


SAME = {
    "starlette": ["/", "/shop/item/3", "http://acme.example.com/", "/nothing"],
    "fastapi": ["/", "/api/status", "/api/docs", "/docs", "/nothing"],
    "a2wsgi": ["/legacy/where", "/legacy/nothing", "/nothing"],
    "hypercorn": ["/other", "/x/y"],
}


@pytest.mark.parametrize(
    ("sites", "url"),
    [(name, url) for name, urls in SAME.items() for url in urls],
    indirect=["sites"],
)
def test_what_stays(sites: tuple[TestClient, TestClient], url: str) -> None:
    """The same answers before and after."""
    before, after = (client.get(url) for client in sites)
    assert (before.status_code, before.text) == (after.status_code, after.text)


@pytest.mark.parametrize("name", ["werkzeug", *SAME])
def test_nothing_is_wrong_after(load: Load, name: str) -> None:
    assert check(load(f"after_{name}")["app"]) == []


def test_werkzeug(load: Load) -> None:
    names = load("before_werkzeug")
    old, new = Client(names["application"]), TestClient(load("after_werkzeug")["app"])
    for path in ("/", "/admin/", "/nothing"):
        before, after = old.get(path), new.get(path)
        assert (before.status_code, before.text) == (after.status_code, after.text), path
    assert old.get("/admin").status_code == 308
    assert new.get("/admin", follow_redirects=False).text == "the admin at /admin/"
    navigates = new.get("/admin", headers={"sec-fetch-mode": "navigate"}, follow_redirects=False)
    assert navigates.headers["location"] == "./admin/"


def test_werkzeug_a_key_with_a_slash(load: Load) -> None:
    names = load("before_werkzeug")
    admin, site = Response("admin"), names["site"]
    old = Client(type(names["application"])(site, {"/admin/": admin}))
    assert old.get("/admin/users").status_code == 404
    assert (
        TestClient(Dispatcher({"/admin/": admin}, default=site)).get("/admin/users").text == "admin"
    )


def test_werkzeug_a_path_of_two_meanings(load: Load) -> None:
    scope = {"type": "http", "method": "GET", "path": "/x/../admin/", "headers": []}
    assert answer(load("after_werkzeug")["app"], scope) == 400
    assert Client(load("before_werkzeug")["application"]).get("/x/../admin/").status_code == 404


def answer(app: ASGIApp, scope: Scope) -> int:
    """The status of an answer to a request that no client would send."""
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        status.append(message.get("status", 0))

    anyio.run(app, scope, receive, send)
    return status[0]


@pytest.mark.parametrize("sites", ["starlette"], indirect=True)
def test_starlette(sites: tuple[TestClient, TestClient]) -> None:
    old, new = sites
    assert (old.get("/shop").status_code, new.get("/shop").status_code) == (307, 404)
    two_labels = "http://a.b.example.com/"
    assert (old.get(two_labels).text, new.get(two_labels).text) == ("the shop of a.b", "home")
    host = {"host": "ACME.example.com.:80"}
    assert old.get("/", headers=host).text == "home"
    assert new.get("/", headers=host).text == "the shop of acme"
    invalid = {"host": "a b"}
    assert new.get("/", headers=invalid).status_code == 400


@pytest.mark.parametrize("sites", ["fastapi"], indirect=True)
def test_fastapi(sites: tuple[TestClient, TestClient]) -> None:
    old, new = sites
    assert (old.get("/api").status_code, new.get("/api").status_code) == (307, 404)
    assert new.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]


@pytest.mark.parametrize("sites", ["a2wsgi"], indirect=True)
def test_a2wsgi(sites: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/of-the-environment")
    old, new = (client.get("/legacy/where").text for client in sites)
    assert (old, new) == ("/of-the-environment /where", "/legacy /where")


@pytest.mark.parametrize("sites", ["hypercorn"], indirect=True)
def test_hypercorn(sites: tuple[TestClient, TestClient]) -> None:
    old, new = sites
    assert new.get("/shop/cart").text == "http://testserver/shop/cart"
    assert (old.get("/shopping").status_code, new.get("/shopping").text) == (
        404,
        "home of /shopping",
    )


@pytest.mark.parametrize("sites", ["hypercorn"], indirect=True)
def test_hypercorn_a_websocket_that_nobody_takes(sites: tuple[TestClient, TestClient]) -> None:
    shop = sites[1].app.routes[0]  # type: ignore[attr-defined]
    client = TestClient(Dispatcher([shop]))
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/other"):
        pass
    assert refused.value.status_code == 404


def test_hypercorn_the_root_path_of_the_root(load: Load) -> None:
    """`/` for the app at `/`: Starlette finds no route of its own then."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["root_path"])
        await PlainTextResponse("")(scope, receive, send)

    for dispatcher in (type(load("before_hypercorn")["app"]), Dispatcher):
        TestClient(dispatcher({"/": app})).get("/x")
    assert seen == ["/", ""]


def test_hypercorn_one_state_for_all(load: Load) -> None:
    def make(name: str) -> Starlette:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
            yield {"name": name}

        async def index(request: Request) -> PlainTextResponse:
            return PlainTextResponse(request.state.name)

        return Starlette(routes=[Route("/", index)], lifespan=lifespan)

    answers = []
    for dispatcher in (type(load("before_hypercorn")["app"]), Dispatcher):
        with TestClient(dispatcher({"/a": make("a"), "/b": make("b")})) as client:
            answers.append({client.get("/a/").text, client.get("/b/").text})
    assert len(answers[0]) == 1
    assert answers[1] == {"a", "b"}


def test_hypercorn_an_app_without_lifespan(load: Load) -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("no lifespan")
        await PlainTextResponse("served")(scope, receive, send)

    dispatcher = type(load("before_hypercorn")["app"])
    with pytest.raises(ExceptionGroup), TestClient(dispatcher({"/": raises})):
        pass
    with TestClient(Dispatcher({"/": raises})) as client:
        assert client.get("/").text == "served"


def test_a2wsgi_cookies_that_come_apart(load: Load) -> None:
    seen = []

    def cookies(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["HTTP_COOKIE"])
        start_response("200 OK", [])
        return [b""]

    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b""}
    scope |= {"headers": [(b"cookie", b"a=1"), (b"cookie", b"b=2")], "root_path": ""}
    scope |= {"http_version": "2", "scheme": "http", "server": ("a", 80), "client": ("b", 5)}
    for app in (load("before_a2wsgi")["WSGIMiddleware"](cookies), Dispatcher({"/": cookies})):
        assert answer(app, scope) == 200
    assert seen == ["a=1,b=2", "a=1; b=2"]


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.anyio
async def test_hypercorn_hangs_if_a_start_fails(load: Load) -> None:
    old = type(load("before_hypercorn")["app"])({"/": failing})
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        if told:
            await anyio.sleep_forever()
        told.append("startup")
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        told.append(message)

    with anyio.move_on_after(0.3):
        await old({"type": "lifespan", "asgi": {}}, receive, send)
    assert told == ["startup"]
    with (
        pytest.raises(LifespanError, match="mounted at '/'"),
        TestClient(Dispatcher({"/": failing})),
    ):
        pass
