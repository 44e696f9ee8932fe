"""`RedirectMiddleware`, `CookiePathMiddleware` and `LocationMiddleware`: headers below a prefix."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.middleware.redirects import LocationMiddleware, RedirectMiddleware
from tests.support.apps.misbehaving import sends
from tests.support.clients import ClientFactory
from tests.support.requests import asked
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio


async def go(request: Request) -> Response:
    """To what the query says, as it is."""
    return Response(status_code=302, headers={"location": request.query_params["to"]})


async def bake(request: Request) -> Response:
    response = Response()
    for cookie in request.query_params.getlist("cookie"):
        response.headers.append("set-cookie", cookie)
    return response


async def socket(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"set-cookie", b"a=b; Path=/")])
    await websocket.close()


def child() -> Starlette:
    return Starlette(routes=[Route("/go", go), Route("/bake", bake), WebSocketRoute("/ws", socket)])


def mounted(path: str, *layers: type[Any], app: Any = None) -> Starlette:
    """The app below a prefix, mounted by Starlette; a mount of it hides no prefix."""
    middleware = [Middleware(layer) for layer in layers]
    return Starlette(routes=[Mount(path, app or child(), middleware=middleware)])


def location(client: ClientFactory, to: str, path: str = "/sub", at: str = "") -> str:
    app = mounted(path, RedirectMiddleware)
    response = client(app).get(f"{at or path}/go", params={"to": to}, follow_redirects=False)
    assert response.status_code == 302
    return str(response.headers["location"])


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("/x?a=/b#c", "/sub/x?a=/b#c"),
        ("/", "/sub/"),
        ("/sub", "/sub"),
        ("/sub/x", "/sub/x"),
        ("/subway", "/sub/subway"),
        ("/%73ub/x", "/%73ub/x"),
        ("/sub/../x", "/sub/x"),
        ("/sub/%2e%2E/x/.", "/sub/x/"),
        ("/sub/a/../b/..", "/sub/"),
        ("/../..", "/sub/"),
        ("/.well-known/x", "/sub/.well-known/x"),
        ("http://testserver/x", "http://testserver/sub/x"),
        ("http://testserver", "http://testserver/sub/"),
        ("https://TestServer/sub/x", "https://TestServer/sub/x"),
        ("//testserver/x", "//testserver/sub/x"),
        ("http://other.example.com/x", "http://other.example.com/x"),
        ("//other.example.com/x", "//other.example.com/x"),
        ("x", "x"),
        ("./x", "./x"),
        ("../x", "/sub/x"),
        ("../../x?a#b", "/sub/x?a#b"),
        ("a/%2e%2e/%2E./x", "/sub/x"),
        ("a/../x", "a/../x"),
        ("..", "/sub/"),
        ("a..b", "a..b"),
        ("../sub/x", "../sub/x"),
        ("", ""),
        ("#f", "#f"),
        ("?a", "?a"),
        ("?..", "?.."),
        (" /x", "/sub/x"),
        ("/sub%2f../x", "/sub/sub%2f../x"),
        ("/sub%2f..%2fx", "/sub/sub%2f..%2fx"),
        ("/\\other.example.com", "/sub//other.example.com"),
        ("\\x", "/sub/x"),
        ("/sub\\..\\x", "/sub/x"),
        ("..\\x", "/sub/x"),
        ("///other.example.com", "/sub/other.example.com"),
        ("/..//other.example.com", "/sub//other.example.com"),
        ("//", "/sub/"),
        ("http://testserver:80/x", "http://testserver:80/sub/x"),
        ("https://testserver:443/x", "https://testserver:443/sub/x"),
        ("http://testserver:8000/x", "http://testserver:8000/x"),
        ("http://a@testserver/x", "http://a@testserver/x"),
        ("ftp://testserver/x", "ftp://testserver/x"),
        ("javascript:/../x", "javascript:/../x"),
        ("mailto:a@b.c", "mailto:a@b.c"),
        ("http://[", "http://["),
    ],
)
def test_redirects(client: ClientFactory, to: str, expected: str) -> None:
    """Those that leave the prefix on the same host get it; others are as they were."""
    assert location(client, to) == expected


@pytest.mark.parametrize(
    ("to", "expected"), [("../x", "../x"), ("../../x", "/sub/x"), ("../../../x", "/sub/x")]
)
async def test_a_relative_redirect(to: str, expected: str) -> None:
    """Is left alone as long as it stays below the prefix."""
    app = sends(
        {"type": "http.response.start", "status": 302, "headers": [(b"location", to.encode())]}
    )
    for path in ("/sub/a/b", "/a/b"):  # the whole, or what is below the prefix
        sent, _ = await asked(RedirectMiddleware(app), scope_of(path, root_path="/sub"))
        assert sent[0]["headers"] == [(b"location", expected.encode())]


def test_a_prefix_that_is_not_ascii(client: ClientFactory) -> None:
    """It is encoded, and known in every form."""
    assert location(client, "/x", "/käse") == "/k%C3%A4se/x"
    assert location(client, "/k%C3%A4se/x", "/käse") == "/k%C3%A4se/x"


@pytest.mark.parametrize(
    "layers",
    [[LocationMiddleware], [RedirectMiddleware], [LocationMiddleware, RedirectMiddleware]],
    ids=["location", "redirect", "both"],
)
async def test_a_redirect_that_is_not_ascii(layers: list[Any]) -> None:
    """Its letters are percent-encoded; other headers are left alone."""
    headers = [(b"location", "/käse/ü".encode()), (b"x", "ä".encode())]
    app: Any = sends({"type": "http.response.start", "status": 302, "headers": headers})
    for layer in layers:
        app = layer(app)
    sent, _ = await asked(app, scope_of("/käse/", root_path="/käse"))
    assert sent[0]["headers"] == [(b"location", b"/k%C3%A4se/%C3%BC"), (b"x", "ä".encode())]


def test_the_prefix_is_that_of_the_request(client: ClientFactory) -> None:
    """With the server's `root_path`, and what fills the placeholders."""
    inner = mounted("/t/{tenant}", RedirectMiddleware)
    session = client(Starlette(routes=[Mount("/a", inner)]), root_path="/outer")
    response = session.get("/outer/a/t/acme/go", params={"to": "/x"}, follow_redirects=False)
    assert response.headers["location"] == "/outer/a/t/acme/x"


def test_the_prefix_is_that_of_the_layer(client: ClientFactory) -> None:
    """Routers of Starlette write the prefix of an inner mount into the scope that they are given."""
    app = Starlette(routes=[Mount("/inner", child())])
    session = client(mounted("/sub", RedirectMiddleware, CookiePathMiddleware, app=app))
    response = session.get("/sub/inner/go", params={"to": "/x"}, follow_redirects=False)
    assert response.headers["location"] == "/sub/x"
    response = session.get("/sub/inner/bake", params={"cookie": "a=b"})
    assert response.headers["set-cookie"] == "a=b; Path=/sub"


@pytest.mark.parametrize("layer", [RedirectMiddleware, CookiePathMiddleware, LocationMiddleware])
def test_without_a_prefix(client: ClientFactory, layer: type[Any]) -> None:
    """Nothing is changed; the lifespan goes through."""
    app = Starlette(routes=child().routes, middleware=[Middleware(layer)])
    with client(app) as session:
        response = session.get("/go", params={"to": "/x"}, follow_redirects=False)
        assert response.headers["location"] == "/x"
        response = session.get("/bake", params={"cookie": "a=b"})
        assert response.headers["set-cookie"] == "a=b"


def test_a_falcon_app(client: ClientFactory) -> None:
    """Its redirects go where they are told: it has no names of routes."""
    import falcon.asgi

    class Go:
        async def on_get(self, req: Any, resp: Any) -> None:
            raise falcon.HTTPFound("/sub/item" if req.get_param("known") else "/item")

    site = falcon.asgi.App()
    site.add_route("/sub/go", Go())  # Falcon routes on the whole path
    session = client(mounted("/sub", RedirectMiddleware, app=site))
    for query in ("", "?known=1"):
        response = session.get(f"/sub/go{query}", follow_redirects=False)
        assert response.headers["location"] == "/sub/item"


def test_two_apps_with_a_session(client: ClientFactory) -> None:
    """Their cookies have the same name on the same host, and are apart."""

    def site(name: str) -> Starlette:
        async def log_in(request: Request) -> Response:
            request.session["user"] = name
            return Response(name)

        async def index(request: Request) -> Response:
            return Response(str(request.session.get("user")))

        sessions = Middleware(SessionMiddleware, secret_key=name)
        return Starlette(routes=[Route("/in", log_in), Route("/", index)], middleware=[sessions])

    layers = [Middleware(CookiePathMiddleware)]
    routes: list[BaseRoute] = [Mount(f"/{name}", site(name), middleware=layers) for name in "ab"]
    with client(Starlette(routes=routes)) as browser:
        for name in "ab":
            cookie = browser.get(f"/{name}/in").headers["set-cookie"]
            assert cookie.endswith(f"; Path=/{name}")
        assert [browser.get(f"/{name}/").text for name in "ab"] == ["a", "b"]


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("a=b; Path=/; HttpOnly", "a=b; HttpOnly; Path=/sub"),
        ("a=b", "a=b; Path=/sub"),
        ("a=b; path=", "a=b; Path=/sub"),
        ("a=b; Path", "a=b; Path=/sub"),
        ("a=b; Path=relative", "a=b; Path=/sub"),
        ("a=b; Path=/x", "a=b; Path=/sub/x"),
        ("a=b; Path=/sub", "a=b; Path=/sub"),
        ("a=b; Path=/sub/x; Secure", "a=b; Secure; Path=/sub/x"),
        ("a=b; Path=/x; Path=/", "a=b; Path=/sub"),
        ("a=b; Path=/%73ub/x", "a=b; Path=/sub/x"),
        ("a=b; Path=/sub/%FF", "a=b; Path=/sub/%FF"),
        ("a=b; Path=/%2Fsub", "a=b; Path=/sub/%2Fsub"),
        ("a=b; Path=/subway", "a=b; Path=/sub/subway"),
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        (
            "a=path; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
            "a=path; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Path=/sub",
        ),
    ],
)
def test_cookies(client: ClientFactory, cookie: str, expected: str) -> None:
    """Belong to the prefix; each by itself."""
    app = mounted("/sub", CookiePathMiddleware)
    response = client(app).get("/sub/bake", params={"cookie": [cookie, "other=1; Path=/"]})
    assert response.headers.get_list("set-cookie") == [expected, "other=1; Path=/sub"]


def test_a_prefix_that_is_no_path_of_a_cookie(client: ClientFactory) -> None:
    """A placeholder cannot add attributes."""
    app = mounted("/{tenant}", CookiePathMiddleware)
    response = client(app).get("/a;Domain=com/bake", params={"cookie": "a=b"})
    assert response.headers["set-cookie"] == "a=b; Path=/a%3BDomain=com"


def test_the_cookie_of_a_handshake(client: ClientFactory) -> None:
    """Is one like the others."""
    app = mounted("/sub", CookiePathMiddleware)
    with client(app).websocket_connect("/sub/ws") as websocket:
        assert (b"set-cookie", b"a=b; Path=/sub") in (websocket.extra_headers or [])


@pytest.mark.parametrize("path", ["/käse", "/k%C3%A4se", "/kase"])
def test_a_cookie_below_a_prefix_that_is_not_ascii(client: ClientFactory, path: str) -> None:
    """Has the path as browsers send it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"set-cookie", f"a=b; Path={path}".encode()), (b"x", b"y")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    response = client(mounted("/käse", CookiePathMiddleware, app=app)).get("/käse/")
    expected = "/k%C3%A4se/kase" if path == "/kase" else "/k%C3%A4se"
    assert response.headers["set-cookie"] == f"a=b; Path={expected}"


@pytest.mark.parametrize("root_path", ["/", "/sub/"])
async def test_a_root_path_with_a_slash_at_its_end(root_path: str) -> None:
    """Never makes `//`, which leads to another host."""
    headers = [(b"location", b"/x"), (b"set-cookie", b"a=b; Path=/x")]
    app = sends({"type": "http.response.start", "status": 302, "headers": headers})
    layers = RedirectMiddleware(CookiePathMiddleware(app))
    sent, _ = await asked(layers, scope_of("/sub/", root_path=root_path))
    path = root_path.rstrip("/").encode() + b"/x"
    assert sent[0]["headers"] == [(b"location", path), (b"set-cookie", b"a=b; Path=" + path)]


async def test_headers_of_a_message_are_not_changed() -> None:
    """The app may keep its list."""
    headers = [(b"location", b"/x")]
    start = {"type": "http.response.start", "status": 302, "headers": headers}
    sent, _ = await asked(RedirectMiddleware(sends(start)), scope_of("/sub/", root_path="/sub"))
    assert sent[0]["headers"] == [(b"location", b"/sub/x")]
    assert headers == [(b"location", b"/x")]
