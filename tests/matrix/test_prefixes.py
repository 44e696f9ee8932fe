"""What is known of the real Dash, Datasette, WsgiDAV, CherryPy, aiohttp and Tornado."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from flask import Flask
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient
from werkzeug.middleware.proxy_fix import ProxyFix

from mountkit import Dispatcher, InterfaceError, Mount, check


def dash(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("dash")
    return module.Dash("board", requests_pathname_prefix=prefix, routes_pathname_prefix="/")


def dash_server(prefix: str, folder: Path) -> Any:
    return dash(prefix, folder).server


def dash_on_fastapi(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("dash")
    return module.Dash(
        "board", backend="fastapi", requests_pathname_prefix=prefix, routes_pathname_prefix="/"
    ).server


def datasette(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("datasette.app")
    return module.Datasette(memory=True, settings={"base_url": prefix}).app()


def wsgidav(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("wsgidav.wsgidav_app")
    provider = pytest.importorskip("wsgidav.fs_dav_provider").FilesystemProvider(str(folder))
    users = {"user_mapping": {"*": True}}
    config = {
        "provider_mapping": {"/": provider},
        "simple_dc": users,
        "mount_path": prefix.rstrip("/"),
    }
    return module.WsgiDAVApp({**config, "logging": {"enable": False}})


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("make", [dash, dash_server, dash_on_fastapi, datasette, wsgidav])
def test_told_its_prefix_or_not(make: Any, tmp_path: Path) -> None:
    """Found where it was told none or another, and only there."""

    def codes(path: str, told: str) -> list[str]:
        mount = Mount(path, make(told, tmp_path))
        return [finding.code for finding in check(Dispatcher([mount]))]

    assert codes("/sub", "/sub/") == []
    assert codes("/sub", "/outer/sub/") == []
    assert codes("/sub", "/") == ["unaware-of-prefix"]
    assert codes("/sub", "/other/") == ["unaware-of-prefix"]


@pytest.mark.filterwarnings("ignore")  # theirs
def test_dash_on_fastapi_is_served() -> None:
    """It is recognised, and gets the scope that it needs."""
    board = pytest.importorskip("dash").Dash(
        "board", backend="fastapi", requests_pathname_prefix="/sub/", routes_pathname_prefix="/"
    )
    board.layout = pytest.importorskip("dash.html").P("hello")
    for app in (board, board.server):
        mount = Mount("/sub", app)
        assert mount.convention == "strip"
    with TestClient(Dispatcher([mount])) as client:
        assert 'src="/sub/_dash-component-suites/' in client.get("/sub/").text
        assert client.get("/sub/_dash-layout").json()["type"] == "P"


WRAPPERS = [
    lambda app: app,
    ProxyFix,
    WSGIMiddleware,
    lambda app: GZipMiddleware(WsgiToAsgi(ProxyFix(app))),
    lambda app: pytest.importorskip("whitenoise").WhiteNoise(app),
]
NAMES = ["bare", "ProxyFix", "a2wsgi", "asgiref", "WhiteNoise"]


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("wrap", WRAPPERS, ids=NAMES)
@pytest.mark.parametrize("make", [dash_server, wsgidav])
def test_within_a_wrapper(make: Any, wrap: Any, tmp_path: Path) -> None:
    """It is found all the same."""
    for told, expected in (("/sub/", []), ("/other/", ["unaware-of-prefix"])):
        app = Dispatcher({"/sub": wrap(make(told, tmp_path))})
        assert [finding.code for finding in check(app)] == expected


def board(**options: Any) -> Any:
    made = pytest.importorskip("dash").Dash("board", **options)
    made.layout = pytest.importorskip("dash.html").P("hello")
    return made


def layout(app: Any, path: str) -> Any:
    """What the page would ask for, if it is Dash's."""
    response = TestClient(app).get(path)
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return response.json()["type"] if response.status_code == 200 and is_json else None


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("wrap", WRAPPERS, ids=NAMES)
def test_dash_whose_routes_hold_the_prefix(wrap: Any) -> None:
    """`url_base_pathname` is enough."""
    mount = Mount("/sub", wrap(board(url_base_pathname="/sub/").server))
    assert mount.convention == "whole"
    app = Dispatcher([mount])
    assert check(app) == []
    assert layout(app, "/sub/_dash-layout") == "P"


@pytest.mark.filterwarnings("ignore")  # theirs
def test_dash_on_fastapi_whose_routes_hold_the_prefix() -> None:
    app = Dispatcher({"/sub": board(backend="fastapi", url_base_pathname="/sub/")})
    assert check(app) == []
    with TestClient(app) as client:
        assert client.get("/sub/_dash-layout").json()["type"] == "P"


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(
    ("options", "is_right"),
    [
        ({"requests_pathname_prefix": "/sub/dash/", "routes_pathname_prefix": "/dash/"}, True),
        ({"url_base_pathname": "/dash/"}, False),
        ({"url_base_pathname": "/sub/dash/"}, False),
    ],
    ids=["told", "untold", "told-twice"],
)
def test_dash_in_a_flask_site(options: dict[str, str], is_right: bool) -> None:
    """What `check` says to write is right."""
    site = Flask("site")
    site.add_url_rule("/about", "about", lambda: "about")
    app = Dispatcher({"/sub": board(server=site, **options).server})
    found = [finding.message for finding in check(app)]
    assert not found if is_right else "'/sub/dash/', routes_pathname_prefix='/dash/'" in found[0]
    assert TestClient(app).get("/sub/about").text == "about"
    page = TestClient(app).get("/sub/dash/").text
    assert ('src="/sub/dash/_dash-component-suites/' in page) is is_right


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(
    ("name", "is_right"), [(None, True), ("/sub", True), ("", False), ("/other", False)]
)
@pytest.mark.parametrize("shape", ["app", "tree"])
def test_cherrypy(shape: str, name: str | None, is_right: bool) -> None:
    """It answers below its `script_name` alone."""
    cherrypy = pytest.importorskip("cherrypy")
    cherrypy.config.update({"environment": "embedded"})

    class Site:
        @cherrypy.expose  # type: ignore[untyped-decorator]
        def index(self) -> str:
            return "index"

    if shape == "app":
        made = cherrypy.Application(Site(), name)
    else:
        made = cherrypy._cptree.Tree()
        if name is None:
            pytest.skip("a tree has no such apps")
        made.mount(Site(), name)
    app = Dispatcher({"/sub": made})
    assert (TestClient(app).get("/sub/").text == "index") is is_right
    assert [finding.code for finding in check(app)] == ["unaware-of-prefix"] * (not is_right)


@pytest.mark.parametrize(
    ("module", "word"), [("aiohttp.web", "run_app"), ("tornado.web", "listen")]
)
def test_apps_of_servers_of_their_own(module: str, word: str) -> None:
    """The error says that they are neither ASGI nor WSGI, and what to do."""
    app = pytest.importorskip(module).Application()
    with pytest.raises(InterfaceError, match=f"neither an ASGI nor a WSGI .*{word}"):
        Mount("/sub", app)
