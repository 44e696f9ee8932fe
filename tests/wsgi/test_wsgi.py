"""WSGI applications below a mount."""

from __future__ import annotations

import functools
import json
from typing import Any
from wsgiref.validate import validator

import anyio
import httpx
import pytest
from flask import Flask, redirect, request, stream_with_context, url_for
from starlette.responses import PlainTextResponse
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Receive, Scope, Send
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response

from mountkit import Dispatcher, InterfaceError, Mount
from mountkit.wsgi.detection import recognise
from tests.support.apps import django_site
from tests.support.clients import ClientFactory
from tests.support.scopes import scope_of


def environ_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with every text of the environ."""
    start_response("200 OK", [("content-type", "application/json")])
    shown = {
        key: value for key, value in environ.items() if isinstance(value, (str, bool, int, tuple))
    }
    return [json.dumps(shown).encode()]


async def ask(
    path: str, *, mount: str = "/sub", scheme: str = "http", changes: Any = None, **options: Any
) -> dict[str, Any]:
    """The environ that a WSGI app below `mount` sees."""
    dispatch = Dispatcher({mount: environ_app})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await dispatch({**scope, **(changes or {})}, receive, send)

    transport = httpx.ASGITransport(app, client=("192.0.2.1", 5000))
    base_url = f"{scheme}://a.com"
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        response = await client.request(options.pop("method", "GET"), path, **options)
    found: dict[str, Any] = response.json()
    return found


@pytest.fixture
def anyio_backend() -> str:
    """The bridge of a2wsgi runs on asyncio."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "mount", "changes", "script_name", "path_info"),
    [
        pytest.param("/sub/x", "/sub", {}, "/sub", "/x", id="below"),
        pytest.param("/sub/", "/sub", {}, "/sub", "/", id="slash"),
        pytest.param("/sub", "/sub", {}, "/sub", "/", id="bare"),
        pytest.param("/a/b/x/y", "/a/b", {}, "/a/b", "/x/y", id="two-segments"),
        pytest.param("/x", "/", {}, "", "/x", id="root"),
        pytest.param("/t/acme/x", "/t/{t}", {}, "/t/acme", "/x", id="placeholder"),
        pytest.param("/caf%C3%A9/%C3%A9", "/café", {}, "/caf\xc3\xa9", "/\xc3\xa9", id="latin-1"),
        pytest.param("/o/sub/x", "/sub", {"root_path": "/o"}, "/o/sub", "/x", id="root-path"),
        pytest.param("/sub/x", "/sub", {"root_path": "/o"}, "/o/sub", "/x", id="stripped"),
    ],
)
async def test_script_name_and_path_info(
    path: str, mount: str, changes: dict[str, Any], script_name: str, path_info: str
) -> None:
    """Of the mount alone, as latin-1 bytes of the decoded path (PEP 3333)."""
    environ = await ask(path, mount=mount, changes=changes)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


@pytest.mark.anyio
async def test_script_name_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable has no say."""
    monkeypatch.setenv("SCRIPT_NAME", "/elsewhere")
    assert (await ask("/sub/x"))["SCRIPT_NAME"] == "/sub"


@pytest.mark.anyio
async def test_cookies_are_joined() -> None:
    """With `; `, when HTTP/2 has split them (RFC 9113, section 8.2.3)."""
    environ = await ask("/sub/", headers=[("cookie", "a=1"), ("cookie", "b=2")])
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.anyio
async def test_underscores_and_proxy() -> None:
    """`X_Auth` is not `X-Auth`; `Proxy` never becomes `HTTP_PROXY` (httpoxy)."""
    environ = await ask("/sub/", headers={"x_auth": "no", "proxy": "no", "x-auth-user": "yes"})
    assert environ["HTTP_X_AUTH_USER"] == "yes"
    assert not {"HTTP_X_AUTH", "HTTP_PROXY"} & set(environ)


@pytest.mark.anyio
async def test_query_string() -> None:
    """As it came, bytes that are not ASCII included."""
    raw = b"a=1&b=%20x" + b"&c=\xe9"
    environ = await ask("/sub/", changes={"query_string": raw})
    assert environ["QUERY_STRING"] == raw.decode("latin-1")


@pytest.mark.anyio
@pytest.mark.parametrize(("scheme", "https"), [("http", None), ("https", "on")])
async def test_scheme(scheme: str, https: str | None) -> None:
    """`wsgi.url_scheme`, and `HTTPS` for those who look there."""
    environ = await ask("/sub/", scheme=scheme)
    assert (environ["wsgi.url_scheme"], environ.get("HTTPS")) == (scheme, https)


@pytest.mark.anyio
async def test_variables() -> None:
    """PEP 3333, "environ Variables"."""
    environ = await ask("/sub/", method="POST", content=b"12345", headers={"content-type": "a/b"})
    expected = {
        "REQUEST_METHOD": "POST",
        "SERVER_NAME": "a.com",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "5",
        "CONTENT_TYPE": "a/b",
        "HTTP_HOST": "a.com",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": None,  # it has a length
    }
    assert {key: environ.get(key) for key in expected} == expected


def make_flask() -> Flask:
    app = Flask(__name__)

    @app.get("/")
    def index() -> str:
        return url_for("item", id=3) + " " + url_for("item", id=3, _external=True)

    @app.get("/item/<int:id>")
    def item(id: int) -> Response:
        return redirect(url_for("index"))

    @app.post("/upload")
    def upload() -> str:
        return str(len(request.get_data()))

    @app.get("/stream")
    def stream() -> Response:
        return Response(stream_with_context(f"{n}\n" for n in range(3)))

    return app


@pytest.fixture
def flask_client(client: ClientFactory) -> Any:
    return client(Dispatcher({"/sub": make_flask()}))


def test_urls_of_flask(flask_client: Any) -> None:
    """`url_for` and redirects stay below the prefix."""
    assert flask_client.get("/sub/").text == "/sub/item/3 http://testserver/sub/item/3"
    location = flask_client.get("/sub/item/3", follow_redirects=False).headers["location"]
    assert location == "/sub/"


def test_body(flask_client: Any) -> None:
    """Goes through whole."""
    assert flask_client.post("/sub/upload", content=b"x" * 300_000).text == "300000"


def test_chunked_body(flask_client: Any) -> None:
    """A body without a length is read to its end."""
    chunks = (b"x" * 1000 for _ in range(10))
    assert flask_client.post("/sub/upload", content=chunks).text == "10000"


def test_stream(flask_client: Any) -> None:
    """A generator is sent piece by piece."""
    assert flask_client.get("/sub/stream").text == "0\n1\n2\n"


def test_websocket_is_refused(flask_client: Any) -> None:
    """WSGI knows none."""
    with pytest.raises(WebSocketDenialResponse), flask_client.websocket_connect("/sub/ws"):
        """Is refused."""


def test_repr() -> None:
    """The app behind the bridge is shown."""
    assert repr(Mount("/sub", environ_app)._base_app).startswith("WSGIBridge(<function environ_app")


# What is a WSGI application.


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """A bare function."""
    start_response("200 OK", [("content-type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode()]


class Hello:
    """An object that is called."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return hello(environ, start_response)


def hello_flask() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/x", view_func=lambda: request.script_root)
    return app


def undecided(*args: Any) -> Any:
    """A wrapper whose signature says nothing."""
    return hello(*args)


async def hello_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["root_path"])(scope, receive, send)


def undecided_asgi(*args: Any) -> Any:
    return hello_asgi(*args)


def undecided_asgi2(*args: Any) -> Any:
    return functools.partial(hello_asgi, *args)


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(hello, id="function"),
        pytest.param(Hello(), id="object"),
        pytest.param(hello_flask(), id="flask"),
        pytest.param(hello_flask().wsgi_app, id="flask-bound-method"),
        pytest.param(ProxyFix(hello_flask().wsgi_app), id="werkzeug-middleware"),
        pytest.param(validator(hello), id="wsgiref-validator"),
    ],
)
def test_recognised(client: ClientFactory, app: Any) -> None:
    """Mounted like any other: nothing has to be said."""
    assert client(Dispatcher({"/sub": app})).get("/sub/x").text == "/sub"


def test_django_is_recognised() -> None:
    """`WSGIHandler` by its signature; `ASGIHandler` is none."""
    assert recognise(django_site.wsgi_site()) == "wsgi"
    assert recognise(django_site.asgi_site()) == "asgi3"


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        pytest.param(undecided, "wsgi", id="wsgi"),
        pytest.param(undecided_asgi, "asgi3", id="asgi3"),
        pytest.param(undecided_asgi2, "asgi2", id="asgi2"),
    ],
)
def test_said_explicitly(client: ClientFactory, app: Any, interface: Any) -> None:
    """Where it cannot be told, the user says it, and is believed."""
    with pytest.raises(InterfaceError) as caught:
        Mount("/sub", app)
    assert str(caught.value) == (
        f"Whether {app!r} is an ASGI or a WSGI application cannot be told from its signature; "
        "write interface='asgi3' or interface='wsgi'."
    )
    dispatch = Dispatcher([Mount("/sub", app, interface=interface)])
    assert client(dispatch).get("/sub/x").text == "/sub"


# PEP 3333, as Python's own validator reads it.


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    ("mount", "path"),
    [
        pytest.param("/sub", "/sub/x", id="below"),
        pytest.param("/sub", "/sub", id="bare"),
        pytest.param("/", "/x", id="root"),
        pytest.param("/", "/", id="root-slash"),
        pytest.param("/café", "/caf%C3%A9/%C3%A9?q=%C3%A9", id="non-ascii"),
    ],
)
def test_validator(client: ClientFactory, method: str, mount: str, path: str) -> None:
    """The environ, the input and the use of `start_response` are those of the PEP."""

    def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [("content-type", "text/plain")])
        return [body or b"none"]

    body = b"12345" if method in ("POST", "PUT") else b""
    response = client(Dispatcher({mount: validator(echo)})).request(method, path, content=body)
    assert response.status_code == 200
    assert response.content == (b"" if method == "HEAD" else body or b"none")


@pytest.mark.anyio
async def test_validator_of_options_of_the_server() -> None:
    """`OPTIONS *` is no mount's, and the app underneath is asked for its root."""
    app = Dispatcher({"/sub": environ_app}, default=validator(environ_app))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    received = iter([{"type": "http.request"}])

    async def receive() -> Any:
        message = next(received, None)
        return message or await anyio.sleep_forever()

    await app(scope_of("*", method="OPTIONS", raw_path=b"*"), receive, send)
    environ = json.loads(b"".join(message.get("body", b"") for message in sent))
    assert (sent[0]["status"], environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (200, "", "/")


def test_headers(client: ClientFactory) -> None:
    """Every header is a variable; one that came twice is joined, as HTTP allows."""
    headers = [("x-a", "1"), ("x-a", "2"), ("accept", "text/html"), ("user-agent", "test")]
    environ = client(Dispatcher({"/sub": environ_app})).get("/sub/", headers=headers).json()
    found = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
    expected = {"HTTP_X_A": "1,2", "HTTP_ACCEPT": "text/html", "HTTP_USER_AGENT": "test"}
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    ("server", "scheme", "expected"),
    [
        pytest.param(("a.com", 8000), "http", ("a.com", "8000"), id="port"),
        pytest.param(("::1", 443), "https", ("::1", "443"), id="ipv6"),
    ],
)
@pytest.mark.anyio
async def test_server(server: Any, scheme: str, expected: tuple[str, str]) -> None:
    """`SERVER_NAME` and `SERVER_PORT`, which are texts."""
    environ = await ask("/sub/", scheme=scheme, changes={"server": server})
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == expected


@pytest.mark.anyio
async def test_no_client() -> None:
    """A server on a Unix socket knows no address: the variables are absent, not empty."""
    environ = await ask("/sub/", changes={"client": None})
    assert not {"REMOTE_ADDR", "REMOTE_PORT"} & set(environ)
