"""What is known of frameworks whose requirements do not go together with those of the others, or
that few use: they have an environment of their own (`scripts/matrix apart`)."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from mountkit import Dispatcher, InterfaceError, Lifespan, Mount, check

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def codes(app: Any) -> list[str]:
    return [finding.code for finding in check(app)]


def test_mesop_that_was_not_told_its_prefix() -> None:
    module = pytest.importorskip("mesop.server.wsgi_app")
    assert codes(Dispatcher({"/sub": module.create_wsgi_app()})) == ["unaware-of-prefix"]


MESOP = """
import os
os.environ["MESOP_BASE_URL_PATH"] = "/sub"
import mesop
from starlette.testclient import TestClient
from mountkit import Dispatcher, Mount, check

@mesop.page(path="/")
def page():
    mesop.text("Hello")

app = Dispatcher([Mount("/sub", mesop.create_wsgi_app(), convention="whole")])
assert check(app) == []
with TestClient(app) as client:
    answer = client.get("/sub/")
    assert answer.status_code == 200, answer
    assert '<base href="/sub/"' in answer.text, answer.text
"""


def test_mesop_that_was_told_its_prefix() -> None:
    """It reads the environment when it is imported."""
    pytest.importorskip("mesop")
    subprocess.run([sys.executable, "-c", MESOP], check=True, timeout=120)


def test_chainlit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHAINLIT_APP_ROOT", str(tmp_path))  # it writes files
    app = pytest.importorskip("chainlit.server").app
    monkeypatch.delenv("CHAINLIT_ROOT_PATH", raising=False)
    assert codes(Dispatcher({"/sub": app})) == ["unaware-of-prefix", "ends-the-process"]
    monkeypatch.setenv("CHAINLIT_ROOT_PATH", "/sub")
    assert codes(Dispatcher([Mount("/sub", app, lifespan=Lifespan(shutdown=False))])) == []


def flask_admin() -> Any:
    module = pytest.importorskip("flask_admin")
    app = pytest.importorskip("flask").Flask("shop")

    # The checker does not know a class out of `importorskip`.
    class View(module.BaseView):  # type: ignore[misc, name-defined]
        @module.expose("/")
        def index(self) -> str:
            return str(self.render("admin/index.html"))

    admin = module.Admin(app)
    admin.add_view(View(name="Orders", endpoint="orders"))
    return app


def flet() -> Any:
    return pytest.importorskip("flet_web.fastapi").app(lambda page: None)


def solara() -> Any:
    return pytest.importorskip("solara.server.starlette").app


def lilya() -> Any:
    return pytest.importorskip("lilya.apps").Lilya()


def ravyn() -> Any:
    return pytest.importorskip("ravyn").Ravyn()


@pytest.mark.parametrize("make", [flask_admin, flet, solara, lilya, ravyn])
def test_an_app_at_several_prefixes(make: Any) -> None:
    """It is recognised."""
    app = make()
    assert codes(Dispatcher({"/one": app, "/two": app})) == ["several-prefixes"]
    assert codes(Dispatcher({"/one": app})) == []


def test_flask_admin_keeps_the_first_prefix() -> None:
    """That is why."""
    app = flask_admin()
    with TestClient(Dispatcher({"/one": app, "/two": app})) as client:
        first, second = (client.get(f"{prefix}/admin/").text for prefix in ("/one", "/two"))
    assert 'href="/one/admin/orders/"' in first
    assert 'href="/one/admin/orders/"' in second


SPEC = """
openapi: "3.0.0"
info: {title: hello, version: "1"}
paths:
  /hello/{name}:
    get:
      operationId: hello
      parameters:
        - {name: name, in: path, required: true, schema: {type: string}}
      responses: {"200": {description: hello}}
"""


@pytest.mark.parametrize("kind", ["AsyncApp", "FlaskApp"])
@pytest.mark.parametrize("prefix", ["/sub", "/{tenant}"])
def test_connexion(kind: str, prefix: str, tmp_path: Path) -> None:
    """Its handlers do not get the placeholders of the mount."""
    connexion = pytest.importorskip("connexion")
    (tmp_path / "hello.yaml").write_text(SPEC)
    app = getattr(connexion, kind)("hello", specification_dir=str(tmp_path))
    find = connexion.resolver.Resolver(lambda name: lambda name: f"hello {name}")
    app.add_api("hello.yaml", resolver=find)
    with TestClient(Dispatcher({prefix: app})) as client:
        answer = client.get("/sub/hello/ada")
    assert (answer.status_code, "hello ada" in answer.text) == (200, True)


@pytest.mark.parametrize("has_fallback", [False, True])
def test_sonora(has_fallback: bool) -> None:
    """Its methods are found below a prefix, and its fallback sees the whole path."""
    grpc, module = pytest.importorskip("grpc"), pytest.importorskip("sonora.asgi")

    class Services(grpc.GenericRpcHandler):  # type: ignore[misc, name-defined]
        def service(self, details: Any) -> Any:
            async def echo(request: bytes, context: Any) -> bytes:
                return request

            if details.method != "/hello.Greeter/Hello":
                return None
            return grpc.unary_unary_rpc_method_handler(echo, bytes, bytes)

    async def fallback(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(scope["path"])(scope, receive, send)

    app = module.grpcASGI(fallback if has_fallback else None)
    app.add_generic_rpc_handlers((Services(),))
    client = TestClient(Dispatcher([Mount("/sub", app, lifespan="off")]))
    answer = client.post("/sub/hello.Greeter/Hello", content=b"\0\0\0\0\3abc")
    assert answer.content.startswith(b"\0\0\0\0\3abc")
    assert client.get("/sub/x").text == ("/sub/x" if has_fallback else "")


def baize() -> Any:
    asgi = pytest.importorskip("baize.asgi")

    @asgi.request_response  # type: ignore[untyped-decorator]
    async def item(request: Any) -> Any:
        return asgi.PlainTextResponse("item")

    return asgi.Router(("/item", item))


def kui() -> Any:
    app = pytest.importorskip("kui.asgi").Kui()

    @app.router.http.get("/item")  # type: ignore[untyped-decorator]
    async def item() -> str:
        return "item"

    return app


def lihil() -> Any:
    module = pytest.importorskip("lihil")

    async def item() -> str:
        return "item"

    route = module.Route("item")
    route.get(item)
    return module.Lihil(route)


def flama() -> Any:
    app = pytest.importorskip("flama").Flama()
    app.add_route("/item", lambda: {"a": "item"})
    return app


def asgineer() -> Any:
    async def item(request: Any) -> Any:
        return "item" if request.path == "/item" else (404, {}, "")

    return pytest.importorskip("asgineer").to_asgi(item)


@pytest.mark.parametrize("make", [baize, kui, lihil, flama, asgineer])
@pytest.mark.parametrize("root_path", ["", "/outer"])
def test_an_app_that_is_not_right_by_the_spec(make: Any, root_path: str) -> None:
    """It is recognised, and gets the scope that it needs."""
    with TestClient(Dispatcher({"/sub": make()}), root_path=root_path) as client:
        answer = client.get(f"{root_path}/sub/item")
    assert (answer.status_code, "item" in answer.text) == (200, True)


def test_twirp() -> None:
    """Its services are found below a prefix."""
    base, server = pytest.importorskip("twirp.base"), pytest.importorskip("twirp.server")
    text = pytest.importorskip("google.protobuf.wrappers_pb2").StringValue

    class Greeter(server.TwirpServer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(service=None)
            self._prefix = "/twirp/hello.Greeter"
            echo = base.Endpoint(
                service_name="Greeter",
                name="Hello",
                function=lambda context, request: request,
                input=text,
                output=text,
            )
            self._endpoints = {"Hello": echo}

    app = pytest.importorskip("twirp.asgi").TwirpASGIApp()
    app.add_service(Greeter())
    with TestClient(Dispatcher({"/sub": app})) as client:
        assert client.post("/sub/twirp/hello.Greeter/Hello", json="ada").json() == "ada"


PANTHER = """
from panther.app import API

@API()
async def item():
    return "item"

URLs = {"item/": item}
"""


def test_panther(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = pytest.importorskip("panther")
    (tmp_path / "panther_urls.py").write_text(PANTHER)
    (tmp_path / "panther_core.py").write_text("URLs = 'panther_urls.URLs'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import_module("panther_core")
    app = module.Panther("panther_core", configs="panther_core")
    with TestClient(Dispatcher({"/sub": app})) as client:
        assert client.get("/sub/item/").json() == "item"


def test_twisted() -> None:
    """The error says that it is neither ASGI nor WSGI."""
    resource = pytest.importorskip("twisted.web.resource").Resource()
    site = pytest.importorskip("twisted.web.server").Site(resource)
    for app in (resource, site):
        with pytest.raises(InterfaceError, match=r"neither an ASGI nor a WSGI .*\(Twisted\)"):
            Mount("/sub", app)
