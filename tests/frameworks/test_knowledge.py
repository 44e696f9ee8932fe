"""`mountkit.frameworks`: the files are found, each is whole, and routers' keys are known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import fastapi
import litestar
import pytest
import socketio
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route, Router
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from werkzeug.local import LocalProxy

from mountkit import Dispatcher, Mount, check, frameworks
from mountkit.frameworks import Framework, Place, is_told

FILES = sorted(
    path.stem for path in Path(frameworks.__file__).parent.glob("*.py") if path.stem != "__init__"
)


EMPTY = Framework(name="")
STYLE = Path(__file__).parent.parent / "support/apps/static/style.css"


def declared_in(file: str) -> list[Framework]:
    """The frameworks of a file."""
    __import__(f"mountkit.frameworks.{file}")
    module = sys.modules[f"mountkit.frameworks.{file}"]
    return [value for value in vars(module).values() if isinstance(value, Framework)]


@pytest.mark.parametrize("file", FILES)
def test_a_file_declares_a_framework(file: str) -> None:
    """Its apps are recognised, and something is known of them."""
    found = declared_in(file)
    assert found
    for framework in found:
        assert framework in frameworks.all_frameworks()
        given = {key for key, value in vars(framework).items() if value != getattr(EMPTY, key)}
        known = given - {"name", "app", "find"}
        assert known
        assert given & {"app", "find"} or known == {"left_keys"}


def test_every_name_is_given_once() -> None:
    names = [framework.name for framework in frameworks.all_frameworks()]
    assert len(names) == len(set(names)) >= len(FILES)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    """`import mountkit` stays cheap, and imports no framework."""
    code = """
import sys
import mountkit
loaded = {name for name in sys.modules if name.startswith("mountkit.frameworks.")}
assert not loaded, loaded
mountkit.Mount("/x", lambda scope, receive, send: None)
assert "mountkit.frameworks.sanic" in sys.modules
for name in ("fastapi", "flask", "django", "litestar", "dash"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


DROPPED = '''
"""A framework of one's own."""

from mountkit.frameworks import Framework, Problem, Reversal, WSGIRoute, unless_told

OWN = Framework(
    name="Own",
    app=("own_framework", "Own"),
    left_keys="own.router own.route",
    convention="none",
    refuses_params=True,
    keeps_first_prefix=True,
    advice=unless_told(lambda app: app.told, "Own was told {told!r}; write Own({prefix!r})"),
    problems=lambda app, place: [Problem("refuses-host", f"Own is at {place.host}")],
    reversal=lambda app: Reversal(lambda name, params: f"/{name}", lambda: ["index"]),
    document=lambda app: {"openapi": "3.1.0"},
    route_of=lambda scope: scope.get("own.route"),
    wsgi_route_of=lambda environ: WSGIRoute("/own", "/own", "own"),
)
'''


class Own:
    """An app of a framework that mountkit has no file for."""

    told = "/other"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing here calls it."""


def forget() -> None:
    for function in (frameworks.all_frameworks, frameworks._with, frameworks.left_keys):
        function.cache_clear()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An app of a framework whose file was dropped into the package."""
    (tmp_path / "own.py").write_text(DROPPED)
    monkeypatch.setattr(frameworks, "__path__", [*frameworks.__path__, str(tmp_path)])
    monkeypatch.setitem(sys.modules, "own_framework", sys.modules[__name__])
    forget()
    yield Own()
    sys.modules.pop("mountkit.frameworks.own")
    monkeypatch.undo()
    forget()


def test_a_file_that_is_dropped_in_is_found(own: Any) -> None:
    """Each question reaches it."""
    mount = Mount("/sub", own, name="own", host="a.com")
    app = Dispatcher([mount])
    assert mount.convention == "none"
    assert {"own.router", "own.route"} <= frameworks.left_keys()
    assert frameworks.advice(own, "/sub") == "Own was told '/other'; write Own('/sub')"
    assert frameworks.advice(own, "/other") == ""
    assert frameworks.keeps_first_prefix(own) == ("Own", own)
    assert frameworks.document_of(own) == {"openapi": "3.1.0"}
    assert frameworks.route_of({"own.route": "a", "route": "b"}) == "a"
    where = f"The app of Mount({mount.rule!r}) at {mount.rule.where}: "
    assert [(finding.code, finding.message) for finding in check(app)] == [
        ("unaware-of-prefix", f"{where}Own was told '/other'; write Own('/sub')."),
        ("refuses-host", f"{where}Own is at a.com."),
    ]
    assert app.url_path_for("own:index") == "/sub/index"


def test_an_app_that_is_not_known() -> None:
    """Nothing is said of it."""
    app = Own()
    assert frameworks.convention_of(app, "/sub") is None
    assert frameworks.advice(app, "/sub") == ""
    assert list(frameworks.problems(app, Place("/sub", "a.com", "spec", True))) == []
    assert frameworks.keeps_first_prefix(app) == ("", None)
    assert frameworks.reversal_of(app) is None
    assert frameworks.document_of(app) is None
    assert frameworks.session_cookie(app) is None
    assert frameworks.route_of({"route": 1}) == 1
    assert frameworks.route_of({}) is None
    assert frameworks.wsgi_route_of({}) is None


def test_a_proxy_is_known_by_the_class_that_it_shows() -> None:
    """Werkzeug's and Django's stand for an object that is made later."""
    app = Flask("shop")
    reversal = frameworks.reversal_of(LocalProxy(lambda: app))
    assert reversal is not None
    assert list(reversal.names()) == ["static"]


@pytest.mark.parametrize(
    ("told", "prefix", "expected"),
    [
        pytest.param("/sub", "/sub", True, id="equal"),
        pytest.param("sub/", "/sub", True, id="slashes"),
        pytest.param("/outer/sub", "/sub", True, id="proxy"),
        pytest.param("/xsub", "/sub", False, id="part-of-a-segment"),
        pytest.param("/", "/sub", False, id="root"),
        pytest.param(None, "/sub", False, id="nothing"),
        pytest.param(None, "", True, id="nothing-at-the-root"),
    ],
)
def test_is_told(told: str | None, prefix: str, expected: bool) -> None:
    """A proxy may add whole segments."""
    assert is_told(told, prefix) is expected


@pytest.mark.parametrize(
    ("own", "prefix", "path"),
    [
        pytest.param("sub/socket.io", "/sub", "/sub/socket.io/", id="told-its-prefix"),
        pytest.param("socket.io", "/sub", "/sub/socket.io/", id="told-nothing"),
        pytest.param(None, "/sub", "/sub/", id="any"),
        pytest.param("socket.io", "", "/socket.io/", id="root"),
    ],
)
def test_socketio_answers_at_its_mount(own: Any, prefix: str, path: str) -> None:
    """Whether its own path holds the prefix of the mount or not. Its server is not started: tasks
    of it would outlive the test."""
    app = socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"), socketio_path=own)
    app.engineio_server = SimpleNamespace(handle_request=PlainTextResponse("socket"))
    assert TestClient(Dispatcher([Mount(prefix, app, lifespan="off")])).get(path).text == "socket"


def with_other(other: Any, static_files: Any = None) -> Any:
    app = socketio.ASGIApp(
        socketio.AsyncServer(async_mode="asgi"), other_asgi_app=other, static_files=static_files
    )
    app.engineio_server = SimpleNamespace(handle_request=PlainTextResponse("socket"))
    return app


async def url_of(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.url_for("page")))


def site() -> Starlette:
    below = StarletteMount("/below", routes=[Route("/page", url_of)])
    return Starlette(routes=[Route("/page", url_of, name="page"), below])


@pytest.mark.parametrize("root_path", ["", "/proxy"])
@pytest.mark.parametrize("prefix", ["/sub", "/t/{tenant}"])
@pytest.mark.parametrize("wrap", [lambda app: app, GZipMiddleware], ids=["bare", "wrapped"])
def test_socketio_hands_on_to_another_app(prefix: str, root_path: str, wrap: Any) -> None:
    """Each gets the scope that it needs, the files of Socket.IO too."""
    files = {"/style.css": str(STYLE), "/missing.css": "/nowhere/style.css"}
    app = Dispatcher({prefix: wrap(with_other(site(), files))})
    base = root_path + prefix.replace("{tenant}", "acme")
    with TestClient(app, root_path=root_path) as client:
        for path in ("/socket.io/?EIO=4", "/socket.io?EIO=4"):
            assert client.get(base + path).text == "socket"
        for path in ("/page", "/below/page"):
            assert client.get(base + path).text == f"http://testserver{base}/page"
        assert client.get(f"{base}/style.css").text == STYLE.read_text()
        assert client.get(f"{base}/missing.css").status_code == 404


def test_socketio_hands_on_to_an_app_that_needs_another_scope() -> None:
    """Which it gets."""

    class Item:
        async def on_get(self, request: Any, response: Any) -> None:
            response.text = request.prefix

    other = falcon.asgi.App()
    other.add_route("/item", Item())
    with TestClient(Dispatcher({"/sub": with_other(other)})) as client:
        assert client.get("/sub/item").text == "http://testserver/sub"


def test_a_convention_that_was_asked_for_holds_for_all() -> None:
    """An explicit word beats what is known."""
    app = Dispatcher([Mount("/sub", with_other(site()), convention="spec")])
    with TestClient(app) as client:
        assert client.get("/sub/socket.io/").status_code == 404
        assert client.get("/sub/page").text == "http://testserver/sub/page"


def test_placeholders_that_an_app_refuses(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its own alone; those of the mounts are in a key of mountkit's."""
    recorder = Recorder()
    monkeypatch.setattr(sys.modules[__name__], "Own", Recorder)
    with TestClient(Dispatcher({"/{tenant}": Dispatcher({"/{id}": recorder})})) as client:
        client.get("/acme/7/x")
    assert "path_params" not in recorder.scope
    assert recorder.scope["mountkit.params"] == {"tenant": "acme", "id": "7"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("sub/socket.io", "spec", id="prefix"),
        pytest.param("/outer/sub/socket.io", "spec", id="whole-prefix"),
        pytest.param("/other/socket.io", "strip", id="another"),
    ],
)
def test_socketio_that_holds_a_prefix(path: str, expected: str) -> None:
    """Of this mount, or of those above it too."""
    server = socketio.AsyncServer(async_mode="asgi")
    assert Mount("/sub", socketio.ASGIApp(server, socketio_path=path)).convention == expected


#: What servers send, and what middleware has put there for mounted apps too.
PASSED_ON = {
    *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "root_path"),
    *("query_string", "headers", "client", "server", "extensions", "state"),
    *("session", "starlette.opentelemetry", "fastapi.telemetry"),
}


class Recorder:
    """An app that keeps the scopes that it gets."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = dict(scope)
        await PlainTextResponse("ok")(scope, receive, send)


def in_starlette(app: Recorder) -> Any:
    return Starlette(routes=[StarletteMount("/sub", app)])


def in_router(app: Recorder) -> Any:
    return Router([StarletteMount("/sub", app)])


def in_nested_mounts(app: Recorder) -> Any:
    return Starlette(routes=[StarletteMount("/sub", routes=[StarletteMount("/in", app)])])


def in_fastapi(app: Recorder) -> Any:
    parent = fastapi.FastAPI()
    parent.mount("/sub", app)
    return parent


def in_included_router(app: Recorder) -> Any:
    parent, router = fastapi.FastAPI(), fastapi.APIRouter()
    router.mount("/in", app)
    parent.include_router(router, prefix="/sub")
    return parent


def in_litestar(app: Recorder) -> Any:
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return litestar.Litestar(
        [litestar.asgi("/sub", is_mount=True, copy_scope=True)(mounted)], openapi_config=None
    )


def in_endpoint(app: Recorder) -> Any:
    """FastAPI's own stacks are there where an endpoint calls the app."""
    parent = fastapi.FastAPI()

    async def opened() -> Any:
        yield 1

    @parent.get("/sub/{rest:path}")
    async def endpoint(
        request: fastapi.Request, rest: str, value: int = fastapi.Depends(opened)
    ) -> Any:
        app.scope = dict(request.scope)

    return parent


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(in_starlette, {"app", "router", "app_root_path"}, id="starlette"),
        pytest.param(in_router, {"router", "endpoint", "path_params", "route"}, id="router"),
        pytest.param(in_nested_mounts, {"starlette.exception_handlers"}, id="nested"),
        pytest.param(in_fastapi, {"router", "fastapi_middleware_astack"}, id="fastapi"),
        pytest.param(in_included_router, {"fastapi"}, id="included"),
        pytest.param(
            in_endpoint,
            {"fastapi_inner_astack", "fastapi_function_astack", "fastapi_async_cleanup_scopes"},
            id="endpoint",
        ),
        pytest.param(
            in_litestar, {"litestar_app", "path_template", "route_handler"}, id="litestar"
        ),
    ],
)
def test_the_keys_that_routers_leave(make: Any, expected: set[str]) -> None:
    """All that a router has put into the scope of an app that it mounts is listed."""
    app = Recorder()
    with TestClient(make(app)) as client:
        client.get("/sub/in/x")
    assert app.scope, "it was not called"
    left = app.scope.keys() - PASSED_ON
    assert left <= frameworks.left_keys()
    assert expected <= left


def test_the_keys_of_telemetry_are_not_listed() -> None:
    """Without them a mounted app would open a second span."""
    assert not frameworks.left_keys() & PASSED_ON
