"""`root_path`, from a proxy down to a mounted app: every place, proxy and prefix."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import Dispatcher, DispatchMiddleware, LifespanMiddleware, Mount
from tests.support.apps import sites
from tests.support.clients import ClientFactory
from tests.support.scopes import scope_of

STYLE = (sites.STATIC / "style.css").read_text()


class Proxy(NamedTuple):
    """A server that was told of a proxy, and what the two make of a URL's path.

    Attributes:
        root_path: what the server was told.
        outer: the prefix of every URL from outside.
        strips: whether the path reaches the app without it.
    """

    root_path: str
    outer: str
    strips: bool

    def changed(self, scope: Scope) -> Scope:
        """The scope that the server makes of a request from outside."""
        path, raw_path = scope["path"], scope["raw_path"].decode("ascii")
        if self.strips:
            path = path.removeprefix(self.outer)
            raw_path = raw_path.removeprefix(quote(self.outer))
        changes = {"path": path, "raw_path": raw_path.encode(), "root_path": self.root_path}
        return {**scope, **changes}


PROXIES = {
    "none": Proxy("", "", False),
    # hypercorn and granian; uvicorn puts the prefix back, which yields the one after this.
    "strips": Proxy("/outer", "/outer", True),
    "keeps": Proxy("/outer", "/outer", False),
    "strips-trailing-slash": Proxy("/outer/", "/outer", True),
    "keeps-trailing-slash": Proxy("/outer/", "/outer", False),
    "only-a-slash": Proxy("/", "", False),
    "strips-non-ascii": Proxy("/außen", "/außen", True),
    "keeps-non-ascii": Proxy("/außen", "/außen", False),
}


def dispatcher(mount: Mount) -> Any:
    return Dispatcher([mount])


def middleware(mount: Mount) -> Any:
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[mount])
    return app


def route(mount: Mount) -> Any:
    app = Starlette(routes=[mount])
    app.add_middleware(LifespanMiddleware)
    return app


def included(mount: Mount) -> Any:
    app = FastAPI()
    app.include_router(APIRouter(routes=[mount]), prefix="/v1")
    app.add_middleware(LifespanMiddleware)
    return app


#: Where a mount stands, and what stands before its prefix there.
PLACES: dict[str, tuple[Callable[[Mount], Any], str]] = {
    "dispatcher": (dispatcher, ""),
    "middleware": (middleware, ""),
    "route": (route, ""),
    "include-router": (included, "/v1"),
}


#: How a mount is written, and its prefix as a request has it.
SHAPES: dict[str, tuple[Callable[[Any], Mount], str]] = {
    "sub": (lambda app: Mount("/sub", app), "/sub"),
    "nested": (lambda app: Mount("/a", routes=[Mount("/b", app)]), "/a/b"),
    "nested-app": (lambda app: Mount("/a", Dispatcher({"/b": app})), "/a/b"),
    "non-ascii": (lambda app: Mount("/café", app), "/café"),
    "percent-encoded": (lambda app: Mount("/caf%C3%A9", app), "/café"),
    "tenant": (lambda app: Mount("/t/{tenant}", app), "/t/acmé"),
    "root": (lambda app: Mount("", app), ""),
}


class Case(NamedTuple):
    """One app, mounted in one place, behind one proxy."""

    parent: Any
    proxy: Proxy
    #: Decoded, with what stands before the mount, without what the proxy has.
    prefix: str

    @property
    def own_root(self) -> str:
        """The `root_path` of the mounted app."""
        return self.proxy.outer + self.prefix

    @property
    def base(self) -> str:
        """What every URL of the mounted app begins with."""
        return "http://testserver" + quote(self.own_root)

    async def server(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The parent, as its server calls it."""
        if scope["type"] != "lifespan":
            scope = self.proxy.changed(scope)
        await self.parent(scope, receive, send)


def make_case(place: str, shape: str, proxy: str, child: Any) -> Case:
    parent, before = PLACES[place]
    mount, prefix = SHAPES[shape]
    return Case(parent(mount(child)), PROXIES[proxy], before + prefix)


every_place = pytest.mark.parametrize("place", PLACES)
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_proxy = pytest.mark.parametrize("proxy", PROXIES)


@pytest.fixture
def anyio_backend() -> str:
    """Paths are the same on either event loop."""
    return "asyncio"


async def called(app: ASGIApp, scope: Scope) -> bytes:
    """The body with which `app` answers."""
    body = b""

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        nonlocal body
        body += message.get("body", b"")

    await app(scope, receive, send)
    return body


# The keys of the ASGI specification, and Starlette's for a request's placeholders.
SPECIFIED = {
    "type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string",
    "root_path", "headers", "client", "server", "extensions", "state", "path_params",
    "mountkit.site", "mountkit.mount", "mountkit.params",
}  # fmt: skip
# What Starlette and FastAPI leave in the scope of every request that they route.
LEFT_BY_ROUTERS = {
    "app", "router", "route", "starlette.exception_handlers", "fastapi", "fastapi_middleware_astack",
    "mountkit.site", "mountkit.mount", "mountkit.params",
}  # fmt: skip


@pytest.mark.anyio
@every_place
@every_shape
@every_proxy
@pytest.mark.parametrize(
    ("asked", "rest", "raw_rest"),
    [
        pytest.param("/x/y", "/x/y", "/x/y", id="below"),
        pytest.param("/", "/", "/", id="slash"),
        pytest.param("", "/", "/", id="bare"),
        pytest.param("/%C3%A9%2Fx", "/é/x", "/%C3%A9%2Fx", id="encoded"),
    ],
)
async def test_scope_of_the_mounted_app(
    place: str, shape: str, proxy: str, asked: str, rest: str, raw_rest: str
) -> None:
    """`path` is full, `root_path` has grown, `raw_path` is as it was sent; nothing leaks."""
    seen: list[Scope] = []

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await Response()(scope, receive, send)

    case = make_case(place, shape, proxy, child)
    raw_path = quote(case.own_root) + asked or "/"
    scope = scope_of(unquote(raw_path), raw_path=raw_path.encode(), state={"parent": 1})
    await called(case.server, scope)
    [found] = seen
    assert (found["path"], found["root_path"]) == (case.own_root + rest, case.own_root)
    assert found["raw_path"] == (quote(case.own_root) + raw_rest).encode()
    assert found.get("path_params", {}) == ({"tenant": "acmé"} if "tenant" in shape else {})
    assert found["state"] == {}
    assert set(found) <= SPECIFIED


@pytest.mark.anyio
@every_place
@every_shape
@every_proxy
async def test_the_parents_scope_after_the_call(place: str, shape: str, proxy: str) -> None:
    """As it was, but that the composed route is published for those who log and trace."""
    case = make_case(place, shape, proxy, sites.starlette_site())
    path = case.own_root + "/item/3"
    scope = case.proxy.changed(scope_of(path, raw_path=quote(path).encode(), path_params={"p": 1}))
    before = copy.deepcopy(scope)
    assert await called(case.parent, scope) == b"item 3"
    assert {key: scope[key] for key in before} == before
    assert set(scope) - set(before) <= LEFT_BY_ROUTERS
    assert scope["route"].path_format == case.prefix.replace("acmé", "{tenant}") + "/item/{id}"


def encoded(link: str) -> str:
    """What a browser makes of a link: Starlette leaves it to the client to encode one."""
    return quote(link, safe=":/?=%")


@every_place
@every_shape
@every_proxy
def test_urls_of_the_mounted_app(client: ClientFactory, place: str, shape: str, proxy: str) -> None:
    """`url_for`, `request.url`, redirects, static files and docs, as seen from outside."""
    case = make_case(place, shape, proxy, sites.fastapi_site())
    running = client(case.server, follow_redirects=False)
    response = running.get(f"{case.base}/")
    links = {name: encoded(link) for name, link in response.json().items()}
    assert links == {
        "asked": f"{case.base}/",
        "item": f"{case.base}/item/3",
        "static": f"{case.base}/static/style.css",
    }
    assert running.get(links["static"]).text == STYLE
    for asked, expected in (("/go", "/item/3"), ("/dir", "/dir/")):
        response = running.get(case.base + asked)
        assert (response.status_code, response.headers["location"]) == (307, case.base + expected)
    [schema_url] = re.findall(r"url: '([^']+)'", running.get(f"{case.base}/docs").text)
    assert schema_url == f"{case.own_root}/openapi.json"
    servers = running.get(schema_url).json().get("servers", [{"url": ""}])
    assert servers == [{"url": case.own_root}]


@every_place
@every_proxy
def test_state_of_the_mounted_app(client: ClientFactory, place: str, proxy: str) -> None:
    """Its own lifespan's, a copy for each request; the server's stays with the parent."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"mine": 1}

    async def show(request: Request) -> Response:
        found = [*request.state._state]
        request.state.mark = True
        return JSONResponse(found)

    child = Starlette(routes=[Route("/", show)], lifespan=lifespan)
    case = make_case(place, "sub", proxy, child)
    with client(case.server) as running:
        for _ in range(2):
            assert running.get(f"{case.base}/").json() == ["mine"]
