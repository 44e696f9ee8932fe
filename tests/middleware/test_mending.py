"""Redirects and cookies of apps that do not know their prefix."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mountkit import CookiePathMiddleware, Dispatcher, Mount, PatternError, RedirectMiddleware
from tests.support.clients import ClientFactory


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


def location(
    client: ClientFactory, to: str, path: str = "/sub", at: str = "", **options: Any
) -> str:
    app = Dispatcher([Mount(path, child(), **{"mend_redirects": True, **options})])
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
        ("http://testserver/x", "http://testserver/sub/x"),
        ("http://testserver", "http://testserver/sub/"),
        ("https://TestServer/sub/x", "https://TestServer/sub/x"),
        ("//testserver/x", "//testserver/sub/x"),
        ("http://other.example.com/x", "http://other.example.com/x"),
        ("//other.example.com/x", "//other.example.com/x"),
        ("x", "x"),
        ("../x", "../x"),
        ("?a", "?a"),
        ("mailto:a@b.c", "mailto:a@b.c"),
        ("http://[", "http://["),
    ],
)
def test_redirects(client: ClientFactory, to: str, expected: str) -> None:
    """Those that leave the prefix on the same host get it; others are as they were."""
    assert location(client, to) == expected
    assert location(client, to, mend_redirects=False) == to


def test_a_prefix_that_is_not_ascii(client: ClientFactory) -> None:
    """It is encoded, and known in both forms."""
    assert location(client, "/x", "/käse") == "/k%C3%A4se/x"
    assert location(client, "/k%C3%A4se/x", "/käse") == "/k%C3%A4se/x"


def test_the_prefix_is_that_of_the_request(client: ClientFactory) -> None:
    """With the server's `root_path`, and what fills the placeholders."""
    mount = Mount("/t/{tenant}", child(), middleware=[Middleware(RedirectMiddleware)])
    session = client(Dispatcher([Mount("/a", Dispatcher([mount]))]), root_path="/outer")
    response = session.get("/outer/a/t/acme/go", params={"to": "/x"}, follow_redirects=False)
    assert response.headers["location"] == "/outer/a/t/acme/x"


def test_without_a_prefix(client: ClientFactory) -> None:
    """Nothing is to be mended."""
    app = Dispatcher(
        [
            Mount(
                "",
                child(),
                middleware=[Middleware(RedirectMiddleware), Middleware(CookiePathMiddleware)],
            )
        ]
    )
    response = client(app).get("/go", params={"to": "/x"}, follow_redirects=False)
    assert response.headers["location"] == "/x"


def test_a_falcon_app(client: ClientFactory) -> None:
    """Its redirects go where they are told: it has no names of routes."""
    import falcon.asgi

    class Go:
        async def on_get(self, req: Any, resp: Any) -> None:
            raise falcon.HTTPFound("/item")

    site = falcon.asgi.App()
    site.add_route("/go", Go())
    app = Dispatcher([Mount("/sub", site, middleware=[Middleware(RedirectMiddleware)])])
    assert client(app).get("/sub/go", follow_redirects=False).headers["location"] == "/sub/item"


def test_a_wsgi_app_with_a_session(client: ClientFactory) -> None:
    """Two of them on one host, with one name for their cookies, are apart."""
    from flask import Flask, session

    def site(name: str) -> Flask:
        app = Flask(name)
        app.secret_key = name

        @app.get("/in")
        def log_in() -> str:
            session["user"] = name
            return name

        @app.get("/")
        def index() -> str:
            return str(session.get("user"))

        return app

    app = Dispatcher(
        [
            Mount(f"/{name}", site(name), middleware=[Middleware(CookiePathMiddleware)])
            for name in ("a", "b")
        ]
    )
    with client(app) as browser:
        for name in ("a", "b"):
            cookie = browser.get(f"/{name}/in").headers["set-cookie"]
            assert cookie == f"{cookie.partition(';')[0]}; HttpOnly; Path=/{name}"
        assert [browser.get(f"/{name}/").text for name in ("a", "b")] == ["a", "b"]


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
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        (
            "a=path; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
            "a=path; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Path=/sub",
        ),
    ],
)
def test_cookies(client: ClientFactory, cookie: str, expected: str) -> None:
    """Belong to the prefix; each by itself."""
    app = Dispatcher([Mount("/sub", child(), middleware=[Middleware(CookiePathMiddleware)])])
    response = client(app).get("/sub/bake", params={"cookie": [cookie, "other=1; Path=/"]})
    assert response.headers.get_list("set-cookie") == [expected, "other=1; Path=/sub"]


def test_a_prefix_that_is_no_path_of_a_cookie(client: ClientFactory) -> None:
    """Nobody writes attributes by means of a placeholder."""
    app = Dispatcher([Mount("/{tenant}", child(), middleware=[Middleware(CookiePathMiddleware)])])
    response = client(app).get("/a;Domain=com/bake", params={"cookie": "a=b"})
    assert response.headers["set-cookie"] == "a=b; Path=/a%3BDomain=com"


def test_the_cookie_of_a_handshake(client: ClientFactory) -> None:
    """Is one like the others."""
    app = Dispatcher([Mount("/sub", child(), middleware=[Middleware(CookiePathMiddleware)])])
    with client(app).websocket_connect("/sub/ws") as websocket:
        assert (b"set-cookie", b"a=b; Path=/sub") in (websocket.extra_headers or [])


@pytest.mark.parametrize("convention", ["none", "whole"])
@pytest.mark.parametrize("option", ["mend_redirects", "cookie_path"])
def test_an_app_that_sees_no_prefix(convention: Any, option: str) -> None:
    """It cannot be said what its own prefix is."""
    with pytest.raises(PatternError, match=f"convention='{convention}' hides the prefix"):
        Mount("/sub", child(), convention=convention, **{option: True})
