"""Real frameworks below a mount: their own URLs, redirects, static files and websockets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from fastapi import APIRouter, FastAPI
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mountkit import Dispatcher, DispatchMiddleware, LifespanMiddleware, Mount
from tests.support.apps import django_site, sites
from tests.support.clients import ClientFactory

STYLE = (sites.STATIC / "style.css").read_text()


class Site(NamedTuple):
    """How to make one framework's site, and what it can do.

    Attributes:
        redirect: the status of a redirect by name.
        slash: the status of a redirect from `/dir` to `/dir/`, if there is one.
        has_trio, has_websockets: whether it runs on trio, and takes websockets.
    """

    make: Callable[[], Any]
    redirect: int = 302
    slash: int | None = None
    has_trio: bool = False
    has_websockets: bool = False


SITES = {
    "starlette": Site(sites.starlette_site, 307, 307, has_trio=True, has_websockets=True),
    "fastapi": Site(sites.fastapi_site, 307, 307, has_trio=True, has_websockets=True),
    "litestar": Site(sites.litestar_site, has_trio=True, has_websockets=True),
    "quart": Site(sites.quart_site, slash=308, has_websockets=True),
    "flask": Site(sites.flask_site, slash=308, has_trio=True),
    "django": Site(django_site.asgi_site, slash=301),
    "django-wsgi": Site(django_site.wsgi_site, slash=301, has_trio=True),
}


def dispatcher(mount: Mount) -> Any:
    return Dispatcher([mount])


def middleware(mount: Mount) -> Any:
    app = FastAPI()
    app.add_middleware(DispatchMiddleware, mounts=[mount])
    return app


def route(mount: Mount) -> Any:
    app = Starlette(routes=[mount])
    app.add_middleware(LifespanMiddleware)
    return app


def included(mount: Mount) -> Any:
    app = FastAPI()
    app.include_router(APIRouter(routes=[mount]))
    app.add_middleware(LifespanMiddleware)
    return app


PLACES = {place.__name__: place for place in (dispatcher, middleware, route, included)}


def plain(prefix: str, app: Any) -> Mount:
    return Mount(prefix, app)


def in_routes(prefix: str, app: Any) -> Mount:
    outer, inner = re.fullmatch("(/[^/]+)(/.+)", prefix).groups()  # type: ignore[union-attr]
    return Mount(outer, routes=[Mount(inner, app)])


def in_dispatcher(prefix: str, app: Any) -> Mount:
    outer, inner = re.fullmatch("(/[^/]+)(/.+)", prefix).groups()  # type: ignore[union-attr]
    return Mount(outer, Dispatcher({inner: app}))


#: How the mount is written, and its prefix.
SHAPES = {
    "sub": (plain, "/sub"),
    "nested-routes": (in_routes, "/a/b"),
    "nested-dispatcher": (in_dispatcher, "/a/b"),
    "non-ascii": (plain, "/café"),
}


class Running(NamedTuple):
    """A site that is served, and the URL of its prefix, percent-encoded."""

    site: Site
    client: TestClient
    base: str

    def absolute(self, link: str) -> str:
        """What a browser makes of a link on a page."""
        return quote(urljoin(f"{self.base}/", link), safe=":/?=%")

    def location(self, path: str, status: int) -> str:
        """Where a redirect leads to."""
        response = self.client.get(self.base + path)
        assert response.status_code == status
        assert response.headers["location"].isascii()
        return self.absolute(response.headers["location"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every site in every place and shape; in one of the shapes on trio as well."""
    if "running" not in metafunc.fixturenames:
        return
    wants_websockets = metafunc.function is test_websocket
    cases = [
        pytest.param((name, place, shape), backend, id=f"{name}-{place}-{shape}-{backend}")
        for name, site in SITES.items()
        if site.has_websockets or not wants_websockets
        for place in PLACES
        for shape in SHAPES
        if shape != "nested-dispatcher" or place in ("dispatcher", "route")
        for backend in ("asyncio", "trio")
        if backend == "asyncio" or (site.has_trio and shape == "sub")
    ]
    metafunc.parametrize(("running", "anyio_backend"), cases, indirect=True)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """asyncio, unless a test says otherwise: most of these frameworks run on nothing else."""
    return str(getattr(request, "param", "asyncio"))


@pytest.fixture
def running(request: pytest.FixtureRequest, client: ClientFactory) -> Iterator[Running]:
    name, place, shape = request.param
    mount, prefix = SHAPES[shape]
    # Django takes the prefix of its URLs from each request, but that of STATIC_URL.
    with override_settings(STATIC_URL=f"{prefix}/static/"):
        app = PLACES[place](mount(prefix, SITES[name].make()))
        with client(app, follow_redirects=False) as started:
            yield Running(SITES[name], started, f"http://testserver{quote(prefix)}")


def test_index(running: Running) -> None:
    """At the bare prefix and with a slash; every URL on it is below the prefix and works."""
    for asked in (running.base, f"{running.base}/"):
        response = running.client.get(asked)
        assert response.status_code == 200
        links = {name: running.absolute(link) for name, link in response.json().items()}
        assert links == {
            "asked": f"{running.base}/",
            "item": f"{running.base}/item/3",
            "static": f"{running.base}/static/style.css",
        }
    assert running.client.get(links["item"]).text == "item 3"
    assert running.client.get(links["static"]).text == STYLE


def test_redirects(running: Running) -> None:
    """By name, and from a path without its slash: both stay below the prefix."""
    assert running.location("/go", running.site.redirect) == f"{running.base}/item/3"
    if running.site.slash is not None:
        assert running.location("/dir", running.site.slash) == f"{running.base}/dir/"


def test_not_found(running: Running) -> None:
    """What the site does not know is its own 404; nothing beside the prefix reaches it."""
    assert running.client.get(f"{running.base}/nowhere").status_code == 404
    assert running.client.get(f"{running.base}x/item/3").status_code == 404


def test_websocket(running: Running) -> None:
    """A websocket of the framework's own."""
    path = running.base.removeprefix("http://testserver")
    with running.client.websocket_connect(f"{path}/echo") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database for Django with one user, the superuser `ada`."""
    connection = connections["default"]
    connection.close()
    before = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = str(tmp_path_factory.mktemp("django") / "db.sqlite3")
    call_command("migrate", verbosity=0)
    get_user_model().objects.create_superuser("ada", password="lovelace")
    yield
    connection.close()
    connection.settings_dict["NAME"] = before


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", ["django", "django-wsgi"])
@pytest.mark.parametrize("place", PLACES)
def test_admin_of_django(client: ClientFactory, name: str, place: str) -> None:
    """The login page with its style sheets, the login, and the page behind it."""
    prefix = "/sub"
    with override_settings(STATIC_URL=f"{prefix}/static/"):
        app = PLACES[place](Mount(prefix, SITES[name].make()))
        with client(app, follow_redirects=False) as running:
            response = running.get("/sub/admin/")
            assert response.headers["location"] == "/sub/admin/login/?next=/sub/admin/"
            page = running.get(response.headers["location"]).text
            styles = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
            assert styles
            for style in styles:
                assert style.startswith("/sub/static/admin/")
                assert running.get(style).headers["content-type"].startswith("text/css")
            [action] = re.findall(r'<form action="([^"]+)"', page)
            [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            form = {
                "username": "ada",
                "password": "lovelace",
                "csrfmiddlewaretoken": token,
                "next": "/sub/admin/",
            }
            response = running.post(action, data=form)
            assert (response.status_code, response.headers["location"]) == (302, "/sub/admin/")
            page = running.get("/sub/admin/").text
            assert 'href="/sub/admin/auth/user/"' in page


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES)
def test_docs_of_fastapi(client: ClientFactory, place: str, shape: str) -> None:
    """The docs page asks for the schema below the prefix; its `servers` names the prefix."""
    mount, prefix = SHAPES[shape]
    with client(PLACES[place](mount(prefix, sites.fastapi_site()))) as running:
        page = running.get(f"{prefix}/docs").text
        [schema_url] = re.findall(r"url: '([^']+)'", page)
        assert schema_url == f"{prefix}/openapi.json"
        schema = running.get(schema_url).json()
        assert schema["servers"] == [{"url": prefix}]
        assert f"{prefix}/docs/oauth2-redirect" in page


def mcp_app() -> Any:
    server = MCPServer("test")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return server.streamable_http_app(
        streamable_http_path="/", stateless_http=True, json_response=True, host="testserver"
    )


MCP_HEADERS = {"accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
CALL = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "add", "arguments": {"a": 2, "b": 3}},
}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"], ids=["bare", "slash"])
def test_mcp(client: ClientFactory, place: str, path: str) -> None:
    """A POST to the bare prefix is served and not redirected; the session manager runs."""
    app = PLACES[place](Mount("/mcp", mcp_app()))
    with client(app, follow_redirects=False, headers=MCP_HEADERS) as running:
        response = running.post(path, json=INITIALIZE)
        assert response.status_code == 200
        assert response.json()["result"]["serverInfo"]["name"] == "test"
        response = running.post(path, json=CALL)
        assert response.json()["result"]["content"] == [{"type": "text", "text": "5"}]


def test_mcp_without_its_lifespan(client: ClientFactory, caplog: pytest.LogCaptureFixture) -> None:
    """Among routes, and the one line is missing: the log says which app and what to write."""
    running = client(
        Starlette(routes=[Mount("/mcp", mcp_app())]),
        raise_server_exceptions=False,
        headers=MCP_HEADERS,
    )
    assert running.post("/mcp", json=INITIALIZE).status_code == 500
    [warning] = [record for record in caplog.records if record.name.startswith("mountkit")]
    assert re.fullmatch(
        r"The app mounted at '/mcp' \(.+\) is served, but was never started: .+ "
        r"Write app\.add_middleware\(mountkit\.LifespanMiddleware\)\.",
        warning.getMessage(),
    )
