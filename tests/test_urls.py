"""URLs of named routes across apps, from every framework that asks and that is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from flask import Flask
from flask import request as flask_request
from litestar import Litestar, get
from litestar.params import FromPath
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount as StarletteMount
from starlette.routing import NoMatchFound, Route, WebSocketRoute
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    LifespanMiddleware,
    Mount,
    MountkitError,
    URLNotFound,
    path_for,
    url_context,
    url_for,
)
from tests.support.apps.django_site import wsgi_site as django_app
from tests.support.clients import ClientFactory
from tests.support.scopes import scope_of


async def ask(request: Request) -> Response:
    """Answers with the URL of the route that is named in the query."""
    params: dict[str, Any] = dict(request.query_params)
    name, form = params.pop("name"), params.pop("form", "absolute")
    params = {k: int(v) if v.isdigit() else v for k, v in params.items()}
    make: Callable[..., Any] = path_for if form == "relative" else url_for
    try:
        return PlainTextResponse(str(make(request, name, **params)))
    except URLNotFound as exc:
        return PlainTextResponse(str(exc), 404)


async def item(request: Request) -> Response:
    return JSONResponse(request.path_params)


def shop() -> Starlette:
    return Starlette(
        routes=[
            Route("/", item, name="home"),
            Route("/item/{id:int}", item, name="item"),
            Route("/note/{text}", item, name="note"),
            Route("/files/{path:path}", item, name="file"),
            Route("/ask", ask),
            WebSocketRoute("/live", item, name="live"),
        ]
    )


def flask_app() -> Flask:
    app = Flask("legacy")

    @app.get("/page/<int:number>")
    def page(number: int) -> str:
        return str(number)

    @app.get("/ask")
    def asked() -> str:
        return str(url_for(flask_request, flask_request.args["name"]))

    @app.get("/note/<text>")
    def note(text: str) -> dict[str, str]:
        return {"text": text}

    return app


def quart_app() -> Quart:
    app = Quart("quart")

    @app.get("/page/<int:number>")
    async def page(number: int) -> str:
        return str(number)

    return app


@get("/page/{number:int}", name="page", sync_to_thread=False)
def litestar_page(number: FromPath[int]) -> int:
    return number


def mounts() -> list[Mount]:
    return [
        Mount("/shop", shop(), name="shop"),
        Mount("/t/{tenant}", shop(), name="tenant"),
        Mount("/", shop(), host="{label}.example.com", name="site"),
        Mount("/", shop(), host="admin.example.com:8443", name="admin"),
        Mount("/any", shop(), host="*.example.org", name="any"),
        Mount("/legacy", flask_app(), name="legacy"),
        Mount("/quart", quart_app(), name="quart"),
        Mount("/django", django_app(), name="django"),
        Mount("/litestar", Litestar([litestar_page]), name="litestar"),
        Mount("/team", routes=[Mount("/käse", shop(), name="cheese")], name="team"),
        Mount("/deep", Dispatcher([Mount("/in", shop(), name="in")]), name="deep"),
        Mount("/nameless", Starlette(routes=[Route("/x", item, name="only_here")])),
        Mount("/routes", routes=[Route("/ask", ask)]),
    ]


def main_routes() -> list[Any]:
    return [Route("/about/{page}", item, name="about"), Route("/ask", ask)]


def dispatcher() -> ASGIApp:
    return Dispatcher(mounts(), default=Starlette(routes=main_routes()))


def middleware() -> ASGIApp:
    app = Starlette(routes=main_routes())
    app.add_middleware(DispatchMiddleware, mounts=mounts())
    return app


def routes() -> ASGIApp:
    by_host = [mount for mount in mounts() if mount.rule.host is not None]
    others = [mount for mount in mounts() if mount.rule.host is None]
    app = Starlette(routes=[*by_host, *main_routes(), *others])
    app.add_middleware(LifespanMiddleware)
    return app


def fastapi() -> ASGIApp:
    app = FastAPI()
    router = APIRouter(prefix="/about")

    @router.get("/{page}", name="about")
    def about(page: str) -> str:
        return page

    app.include_router(router)
    app.router.routes[:0] = [mount for mount in mounts() if mount.rule.host is not None]
    app.router.routes += [mount for mount in mounts() if mount.rule.host is None]
    app.router.routes.append(Route("/ask", ask))
    app.add_middleware(LifespanMiddleware)
    return app


ASKERS = [
    pytest.param("http://testserver", "/shop/ask", id="path"),
    pytest.param("http://testserver", "/t/acme/ask", id="placeholder"),
    pytest.param("http://testserver", "/team/käse/ask", id="nested-routes"),
    pytest.param("http://testserver", "/deep/in/ask", id="nested-dispatcher"),
    pytest.param("http://testserver", "/routes/ask", id="routes"),
    pytest.param("http://testserver", "/ask", id="outermost"),
]
NAMES: list[Any] = [
    ("shop:home", {}, "http://testserver/shop/"),
    ("shop:item", {"id": 3}, "http://testserver/shop/item/3"),
    ("shop:file", {"path": "a/b.txt"}, "http://testserver/shop/files/a/b.txt"),
    ("shop:live", {}, "ws://testserver/shop/live"),
    ("shop", {"path": "/x/y"}, "http://testserver/shop/x/y"),
    ("tenant:item", {"tenant": "acme", "id": 3}, "http://testserver/t/acme/item/3"),
    ("site:item", {"label": "acme", "id": 3}, "http://acme.example.com/item/3"),
    ("admin:home", {}, "http://admin.example.com:8443/"),
    ("any:home", {}, "http://testserver/any/"),
    ("legacy:page", {"number": 3}, "http://testserver/legacy/page/3"),
    ("quart:page", {"number": 3}, "http://testserver/quart/page/3"),
    ("litestar:page", {"number": 3}, "http://testserver/litestar/page/3"),
    ("django:item", {"id": 3}, "http://testserver/django/item/3"),
    ("team:cheese:home", {}, "http://testserver/team/k%C3%A4se/"),
    ("deep:in:item", {"id": 3}, "http://testserver/deep/in/item/3"),
    ("only_here", {}, "http://testserver/nameless/x"),
    ("about", {"page": "us"}, "http://testserver/about/us"),
]


@pytest.fixture(scope="module", params=[dispatcher, middleware, routes, fastapi])
def site(request: pytest.FixtureRequest) -> ASGIApp:
    """Every place where mounts stand."""
    app: ASGIApp = request.param()
    return app


@pytest.mark.parametrize(("base", "asker"), ASKERS)
@pytest.mark.parametrize(("name", "params", "url"), NAMES, ids=[name for name, _, _ in NAMES])
def test_url_of_any_route_from_anywhere(
    site: ASGIApp, base: str, asker: str, name: str, params: dict[str, Any], url: str
) -> None:
    """Names go from the outermost mount inwards, wherever the question is asked."""
    from starlette.testclient import TestClient

    response = TestClient(site, base_url=base).get(asker, params={"name": name, **params})
    assert response.text == url


@pytest.mark.parametrize(
    ("name", "params", "url"),
    [
        ("shop:item", {"id": 3}, "/shop/item/3"),
        ("site:home", {"label": "acme"}, "//acme.example.com/"),
        ("about", {"page": "us"}, "/about/us"),
    ],
)
def test_relative(client: ClientFactory, name: str, params: dict[str, Any], url: str) -> None:
    """Without the host where that is the request's, else without the scheme."""
    session = client(dispatcher())
    query = {"name": name, "form": "relative", **params}
    assert session.get("/t/acme/ask", params=query).text == url


def test_relative_on_its_own_host(client: ClientFactory) -> None:
    """A tenant's link to itself needs no host."""
    session = client(dispatcher(), base_url="http://acme.example.com")
    query = {"name": "site:home", "form": "relative", "label": "acme"}
    assert session.get("/ask", params=query).text == "/"


def test_the_port_and_the_scheme_of_the_request_are_kept(client: ClientFactory) -> None:
    """On a development server tenants are on its port."""
    session = client(dispatcher(), base_url="https://testserver:8000")
    query = {"name": "site:home", "label": "acme"}
    assert session.get("/shop/ask", params=query).text == "https://acme.example.com:8000/"
    query = {"name": "admin:home"}
    assert session.get("/shop/ask", params=query).text == "https://admin.example.com:8443/"
    query = {"name": "shop:live"}
    assert session.get("/shop/ask", params=query).text == "wss://testserver:8000/shop/live"


@pytest.mark.parametrize("make", [dispatcher, middleware, routes, fastapi])
@pytest.mark.parametrize("asker", ["/shop/ask", "/ask", "/deep/in/ask"])
def test_below_a_servers_root_path(client: ClientFactory, make: Any, asker: str) -> None:
    """It stands before every path."""
    session = client(make(), root_path="/outer")
    response = session.get(f"/outer{asker}", params={"name": "shop:item", "id": 3})
    assert response.text == "http://testserver/outer/shop/item/3"


def test_from_a_wsgi_app(client: ClientFactory) -> None:
    """Flask's request leads to the scope by its environ."""
    response = client(dispatcher()).get("/legacy/ask", params={"name": "shop:home"})
    assert response.text == "http://testserver/shop/"


def test_of_a_wsgi_app_underneath(client: ClientFactory) -> None:
    """The names of a monolith that the mounts stand in front of."""
    app = Dispatcher([Mount("/shop", shop(), name="shop")], default=flask_app())
    session = client(app)
    query = {"name": "page", "number": 3}
    assert session.get("/shop/ask", params=query).text == "http://testserver/page/3"
    assert session.get("/ask", params={"name": "shop:home"}).text == "http://testserver/shop/"
    assert "'page'" in session.get("/shop/ask", params={"name": "pag"}).text


def test_from_a_websocket(client: ClientFactory) -> None:
    """The same as from a request; pages are http ones."""

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str(url_for(websocket, "shop:home")))
        await websocket.close()

    chat = Starlette(routes=[WebSocketRoute("/", live)])
    app = Dispatcher([Mount("/shop", shop(), name="shop"), Mount("/chat", chat)])
    with client(app).websocket_connect("/chat/") as websocket:
        assert websocket.receive_text() == "http://testserver/shop/"


def test_in_templates(client: ClientFactory, tmp_path: Path) -> None:
    """`mount_url_for` and `mount_path_for`, beside Starlette's own `url_for`."""
    text = "{{ url_for('me') }} {{ mount_url_for('shop:home') }} {{ mount_path_for('shop:home') }}"
    (tmp_path / "page.html").write_text(text)
    templates = Jinja2Templates(tmp_path, context_processors=[url_context])

    async def page(request: Request) -> Response:
        return templates.TemplateResponse(request, "page.html")

    pages = Starlette(routes=[Route("/", page, name="me")])
    app = Dispatcher([Mount("/shop", shop(), name="shop"), Mount("/pages", pages)])
    response = client(app).get("/pages/")
    assert response.text == "http://testserver/pages/ http://testserver/shop/ /shop/"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shop:itm", "No route is named 'shop:itm'; near names: 'shop:item'"),
        ("legacy:pag", "No route is named 'legacy:pag'; near names: 'legacy:page'"),
        ("litestar:pag", "No route is named 'litestar:pag'; near names: 'litestar:page'"),
        ("django:itm", "No route is named 'django:itm'; near names: 'django:item'"),
        ("abut", "No route is named 'abut'; near names: 'about'"),
        ("deep:in:hom", "No route is named 'deep:in:hom'; near names: 'deep:in:home'"),
        ("team:cheese:hom", "No route is named 'team:cheese:hom'; near names: 'team:cheese:home'"),
        (
            "tenant:item",
            "Route 'tenant:item' does not take the parameters that were given (none); pass "
            "those of its host and path, no others.",
        ),
        (
            "site:home",
            "Route 'site:home' does not take the parameters that were given (none); pass "
            "those of its host and path, no others.",
        ),
    ],
)
@pytest.mark.parametrize("make", [dispatcher, fastapi])
def test_names_that_are_not_there(
    client: ClientFactory, make: Any, name: str, message: str
) -> None:
    """The message has near ones."""
    response = client(make()).get("/shop/ask", params={"name": name})
    assert response.status_code == 404
    assert response.text.startswith(message)


@pytest.mark.parametrize("name", ["shop:note", "legacy:note"])
@pytest.mark.parametrize("text", ["a b", "100%", "käse", "a?b=c#d", "a;b,c"])
def test_values_are_encoded(client: ClientFactory, name: str, text: str) -> None:
    """Once, so that they come back as they were."""
    session = client(dispatcher())
    url = session.get("/shop/ask", params={"name": name, "text": text}).text
    assert url.isascii()
    assert session.get(url).json() == {"text": text}


@pytest.mark.parametrize(
    ("name", "params", "given"),
    [
        ("shop:note", {"text": "a/b"}, "text='a/b'"),
        ("shop:item", {"id": "x"}, "id='x'"),
        ("tenant:home", {"tenant": "a/b"}, "tenant='a/b'"),
        ("site:home", {"label": "evil.com?"}, "label='evil.com?'"),
        ("legacy:page", {"number": "3", "more": "x"}, "number=3, more='x'"),
        ("litestar:page", {"number": "x"}, "number='x'"),
        ("django:item", {"id": "x"}, "id='x'"),
    ],
)
def test_values_that_do_not_fit(
    client: ClientFactory, name: str, params: dict[str, str], given: str
) -> None:
    """Are shown with the name that they were meant for."""
    response = client(dispatcher()).get("/shop/ask", params={"name": name, **params})
    message = f"Route '{name}' does not take the parameters that were given ({given}); "
    assert response.text.startswith(message)


@pytest.mark.parametrize(
    ("host", "base", "url"),
    [
        ("[::1]", "http://testserver:8000", "http://[::1]:8000/"),
        ("[::1]:81", "http://testserver:8000", "http://[::1]:81/"),
        ("a.com", "http://[::1]:8000", "http://a.com:8000/"),
        ("a.com", "http://[::1]", "http://a.com/"),
    ],
)
def test_addresses(client: ClientFactory, host: str, base: str, url: str) -> None:
    """The colons of an IPv6 address are no port."""
    app = Dispatcher([Mount("", shop(), host=host, name="at"), Mount("/shop", shop())])
    response = client(app, base_url=base).get("/shop/ask", params={"name": "at:home"})
    assert response.text == url


def test_no_names_at_all() -> None:
    """There is nothing near."""
    with pytest.raises(URLNotFound, match=r"^No route is named 'x'; no route has a name.$"):
        url_for(scope_of("/"), "x")


def test_the_error_is_starlettes_too() -> None:
    """Code that expects `NoMatchFound` goes on working."""
    assert issubclass(URLNotFound, NoMatchFound)


def test_without_a_host_header() -> None:
    """The server's own name and port stand in."""
    app = Starlette(routes=[Route("/", item, name="home")])
    scope = scope_of("/", app=app)
    assert str(url_for(scope, "home")) == "http://127.0.0.1:80/"
    assert str(url_for({**scope, "server": ("unix", None)}, "home")) == "http://unix/"
    assert str(url_for({**scope, "server": None}, "home")) == "http://localhost/"


def test_what_holds_no_scope() -> None:
    """Is named."""
    with pytest.raises(MountkitError, match=r"^'request' has no connection scope; pass"):
        url_for("request", "home")
    with pytest.raises(MountkitError, match="has no connection scope"):
        url_for({}, "home")


def test_starlettes_own_mounts_are_walked(client: ClientFactory) -> None:
    """Their names too."""
    app = Starlette(
        routes=[
            StarletteMount("/old", routes=[Route("/x", item, name="x")], name="old"),
            StarletteMount("/files", app=Response(), name="files"),
            Mount("/shop", shop(), name="shop"),
        ]
    )
    session = client(app)
    assert session.get("/shop/ask?name=old:x").text == "http://testserver/old/x"
    assert "'old:x'" in session.get("/shop/ask?name=old:y").text
