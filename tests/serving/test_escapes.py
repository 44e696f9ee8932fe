"""Requests of pages of a mounted app for what is outside of its prefix."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import bottle
import falcon.asgi
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from werkzeug.middleware.proxy_fix import ProxyFix

from mountkit import Dispatcher, DispatchMiddleware, Mount
from tests.support.clients import ClientFactory
from tests.support.logs import logged
from tests.support.stand_ins import WsgiDAVApp, stand_in

HERE = Path(__file__).parent
PAGE = "http://testserver/dash/page?x=1"
MESSAGE = (
    "asked for '/_assets/app.js', which is outside of its prefix and does not exist: a URL on it "
    "lacks the prefix. Tell the app its prefix"
)


def page() -> Any:
    return PlainTextResponse("page")


def mounts() -> list[Mount]:
    return [
        Mount("/dash", page()),
        Mount("/käse", page()),
        Mount("", page(), host="root.com"),
        Mount("/outer", Dispatcher({"/in": page()})),
    ]


def dispatcher(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher(mounts)


def default(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher(mounts, default=Starlette(routes=[Route("/found", page())]))


def middleware(mounts: list[Mount]) -> ASGIApp:
    app = Starlette(routes=[Route("/found", page())])
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    return app


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    """The warnings."""
    caplog.set_level(logging.WARNING, "mountkit")

    def said() -> list[str]:
        return [r.getMessage() for r in logged(caplog) if r.name.startswith("mountkit")]

    return said


@pytest.mark.parametrize("make", [dispatcher, default, middleware])
@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_the_app_is_named_once(client: ClientFactory, said: Any, make: Any, root_path: str) -> None:
    """With the path that it has asked for, and where it is mounted."""
    session = client(make(mounts()), root_path=root_path)
    referer = f"http://testserver{root_path}/dash/page"
    for name in ("app", "other"):
        url = f"{root_path}/_assets/{name}.js"
        assert session.get(url, headers={"referer": referer}).status_code == 404
    [message] = said()
    assert message.startswith("A page of the app mounted at '/dash' (")
    assert MESSAGE.replace("/_assets", f"{root_path}/_assets") in message


def test_each_app_is_named(client: ClientFactory, said: Any) -> None:
    """Whatever its prefix is written like; one in another dispatcher is its own to name."""
    session = client(Dispatcher(mounts()))
    for referer in ("/dash", "/k%C3%A4se/", "/outer/in/x"):
        session.get("/x", headers={"referer": f"http://testserver{referer}"})
    session.get("/outer/x", headers={"referer": "http://testserver/outer/in/x"})
    assert [message.split("'")[1] for message in said()] == ["/dash", "/käse", "/outer", "/in"]


@pytest.mark.parametrize(
    ("url", "referer"),
    [
        pytest.param("/_assets/app.js", None, id="none"),
        pytest.param("/_assets/app.js", "http://testserver/elsewhere", id="no-mount"),
        pytest.param("/_assets/app.js", "http://other.com/dash/", id="other-host"),
        pytest.param("/_assets/app.js", "http://testserver", id="no-path"),
        pytest.param("/_assets/app.js", "about:blank", id="no-url"),
        pytest.param("/_assets/app.js", "http://[", id="improper"),
        pytest.param("/dash/missing", PAGE, id="below"),
    ],
)
def test_what_says_nothing(client: ClientFactory, said: Any, url: str, referer: str | None) -> None:
    """A 404 like any other."""
    headers = {} if referer is None else {"referer": referer}
    client(Dispatcher(mounts())).get(url, headers=headers)
    assert said() == []


def test_an_exposed_page(client: ClientFactory, said: Any) -> None:
    """Is one of its app, whose prefix a URL on it lacks."""
    app = Dispatcher([Mount("/dash", page(), expose=["/shown"])])
    client(app).get("/x", headers={"referer": "http://testserver/shown"})
    [message] = said()
    assert message.startswith("A page of the app mounted at '/dash' (")


def test_a_websocket_says_nothing(client: ClientFactory, said: Any) -> None:
    """Browsers send no `Referer` with one."""
    with (
        pytest.raises(WebSocketDisconnect),
        client(Dispatcher(mounts())).websocket_connect("/x", headers={"referer": PAGE}),
    ):
        pass
    assert said() == []


def test_what_is_there(client: ClientFactory, said: Any) -> None:
    """A link from one app to another is none that has escaped."""
    response = client(middleware(mounts())).get("/found", headers={"referer": PAGE})
    assert response.status_code == 200
    assert said() == []


def test_a_long_path(client: ClientFactory, said: Any) -> None:
    """Is cut."""
    url = "/" + "x" * 1000
    client(Dispatcher(mounts())).get(url, headers={"referer": PAGE})
    [message] = said()
    assert len(message) < 700


def test_what_is_known_of_the_app(
    client: ClientFactory, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own option is named."""
    stand_in(monkeypatch)
    session = client(Dispatcher({"/dav": WsgiDAVApp(None)}))
    session.get("/x", headers={"referer": "http://testserver/dav/"})
    [message] = said()
    assert "and does not exist: WsgiDAV writes its answers with mount_path=None" in message


@pytest.mark.parametrize(
    "path",
    [
        *("/favicon.ico", "/apple-touch-icon.png", "/apple-touch-icon-120x120-precomposed.png"),
        *("/robots.txt", "/browserconfig.xml", "/.well-known/change-password", "/app.js.map"),
        "/.well-known/appspecific/com.chrome.devtools.json",
    ],
)
@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_what_browsers_ask_for_by_themselves(
    client: ClientFactory, said: Any, path: str, root_path: str
) -> None:
    """Says nothing of the page, and does not hide what it has asked for."""
    session = client(Dispatcher(mounts()), root_path=root_path)
    headers = {"referer": f"http://testserver{root_path}/dash/page"}
    session.get(root_path + path, headers=headers)
    assert said() == []
    session.get(f"{root_path}/_assets/app.js", headers=headers)
    assert len(said()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([{}] * 4, id="by-name"),
        pytest.param(
            [{"sec-fetch-dest": kind} for kind in ("image", "script", "font", "made-up")],
            id="by-destination",
        ),
    ],
)
def test_each_kind_is_told(client: ClientFactory, said: Any, headers: Any) -> None:
    """An image that is not there does not hide a script."""
    session = client(Dispatcher(mounts()))
    for _ in range(2):
        for path, more in zip(("/a.png", "/a.js", "/a.woff2", "/api"), headers, strict=True):
            session.get(path, headers={"referer": PAGE, **more})
    assert [message.split("'")[3] for message in said()] == ["/a.png", "/a.js", "/a.woff2", "/api"]


def redirecting(to: str) -> list[Mount]:
    async def index(scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse(to)(scope, receive, send)

    apps = {"/dash": index, "/login": page(), "/käse": index}
    return [Mount(path, app, lifespan="off") for path, app in apps.items()]


@pytest.mark.parametrize("make", [dispatcher, default, middleware])
@pytest.mark.parametrize("prefix", ["/dash", "/käse"])
@pytest.mark.parametrize("root_path", ["", "/proxy"])
@pytest.mark.parametrize(
    "to",
    [
        pytest.param("{root}/dashboard?a=1", id="path"),
        pytest.param("http://testserver{root}/dashboard", id="url"),
        pytest.param("../dashboard#top", id="relative"),
    ],
)
def test_a_redirect_that_leaves_the_prefix(
    client: ClientFactory, said: Any, make: Any, root_path: str, to: str, prefix: str
) -> None:
    """Is told once, where nothing is there, whether the browser follows it or not."""
    app = make(redirecting(to.format(root=root_path)))
    session = client(app, root_path=root_path)
    for _ in range(2):
        assert session.get(f"{root_path}{prefix}/").status_code == 404
    [message] = said()
    assert message.startswith(f"A redirect of the app mounted at {prefix!r} (")
    assert f"leads to '{root_path}/dashboard', which is outside of its prefix" in message


def test_a_redirect_that_nobody_follows(client: ClientFactory, said: Any) -> None:
    """Is told if there is no app underneath, which might have an answer."""
    client(Dispatcher(redirecting("/dashboard"))).get("/dash/", follow_redirects=False)
    assert len(said()) == 1
    client(default(redirecting("/dashboard"))).get("/dash/", follow_redirects=False)
    assert len(said()) == 1


@pytest.mark.parametrize("make", [dispatcher, default, middleware])
@pytest.mark.parametrize(
    "to",
    [
        pytest.param("/dash/missing", id="below"),
        pytest.param("/dash", id="the-prefix"),
        pytest.param("missing", id="relative"),
        pytest.param("/login", id="another-mount"),
        pytest.param("https://other.com/dashboard", id="another-host"),
        pytest.param("mailto:ada@example.com", id="no-path"),
        pytest.param("http://[", id="improper"),
    ],
)
def test_redirects_that_say_nothing(client: ClientFactory, said: Any, make: Any, to: str) -> None:
    """They do not leave the prefix, or lead to somebody else."""
    client(make(redirecting(to))).get("/dash/", follow_redirects=False)
    assert said() == []


@pytest.mark.parametrize(("status", "count"), [(307, 0), (308, 0), (303, 1)])
def test_a_redirect_of_a_method(client: ClientFactory, said: Any, status: int, count: int) -> None:
    """Some keep it (RFC 9110, section 15.4)."""

    async def form(scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse("/sent", status)(scope, receive, send)

    app = Dispatcher([Mount("/dash", form), Mount("/sent", page(), methods=["POST"])])
    client(app).post("/dash/", follow_redirects=False)
    assert len(said()) == count


@pytest.mark.parametrize("make", [default, middleware])
def test_a_redirect_to_the_app_underneath(client: ClientFactory, said: Any, make: Any) -> None:
    """Is right, if that has it."""
    assert client(make(redirecting("/found"))).get("/dash/").text == "page"
    assert said() == []


def test_a_redirect_out_of_what_a_proxy_gives(client: ClientFactory, said: Any) -> None:
    """Who knows what is there."""
    session = client(Dispatcher(redirecting("/dashboard")), root_path="/proxy")
    session.get("/proxy/dash/", follow_redirects=False)
    assert said() == []


def test_a_redirect_of_an_app_in_an_app(client: ClientFactory, said: Any) -> None:
    """Is told of the mount whose prefix is known to have nothing there."""
    inner = Dispatcher(redirecting("/dashboard"))
    client(Dispatcher({"/outer": inner})).get("/outer/dash/", follow_redirects=False)
    [message] = said()
    assert message.startswith("A redirect of the app mounted at '/outer' (")


def test_answers_that_are_no_redirects(client: ClientFactory, said: Any) -> None:
    """A status without a `Location`, and a websocket that is refused."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kind = "http" if scope["type"] == "http" else "websocket.http"
        more = {} if kind == "http" else {"headers": []}
        await send({"type": f"{kind}.response.start", "status": 302, **more})
        await send({"type": f"{kind}.response.body", "body": b""})

    session = client(Dispatcher({"/dash": app}))
    assert session.get("/dash/").status_code == 302
    with pytest.raises(WebSocketDenialResponse), session.websocket_connect("/dash/"):
        pass
    assert said() == []


def test_a_mount_among_routes(client: ClientFactory, said: Any) -> None:
    """What its redirects lead to is the router's to know."""
    app = Starlette(routes=redirecting("/dashboard"))
    client(app).get("/dash/", follow_redirects=False)
    assert said() == []


def test_redirects_that_nobody_follows_are_forgotten(client: ClientFactory, said: Any) -> None:
    """So that they do not fill the memory."""

    async def to_the_query(scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse("/" + scope["query_string"].decode())(scope, receive, send)

    app = Dispatcher({"/dash": to_the_query}, default=Starlette())
    session = client(app)
    for number in range(100):
        session.get(f"/dash/?{number}", follow_redirects=False)
    assert len(app.escapes._redirects) == 64
    session.get("/0")
    assert said() == []
    session.get("/99")
    assert len(said()) == 1


async def on_path_alone(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that does not look at `root_path`."""
    is_there = scope["path"] == "/x" or scope["query_string"]
    await PlainTextResponse("x", 200 if is_there else 404)(scope, receive, send)


@pytest.mark.parametrize("convention", [None, "whole"])
@pytest.mark.parametrize("count", [4, 5, 12])
def test_an_app_that_does_not_find_its_prefix(
    client: ClientFactory, said: Any, convention: Any, count: int
) -> None:
    """It answers 404 to everything, which is said once."""
    session = client(Dispatcher([Mount("/sub", on_path_alone, convention=convention)]))
    for _ in range(count):
        assert session.get("/sub/x").status_code == 404
    assert len(said()) == (count >= 5)
    for message in said():
        assert message.startswith("The app mounted at '/sub' (")
        assert "has answered its first 5 requests with 404: with convention=" in message
        assert "Write Mount(convention='strip') for an app that routes on its path" in message


def test_a_wsgi_app_whose_routes_hold_the_prefix(client: ClientFactory, said: Any) -> None:
    """It is told likewise."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("404 Not Found" if environ["SCRIPT_NAME"] else "200 OK", [])
        return [b""]

    for convention, expected in ((None, 1), ("whole", 1)):
        session = client(Dispatcher([Mount("/sub", app, convention=convention)]))
        for _ in range(6):
            session.get("/sub/x")
        assert len(said()) == expected


def scanned(app: Any, **options: Any) -> ASGIApp:
    return Dispatcher([Mount("/sub", app, **options)])


@pytest.mark.parametrize(
    ("app", "first"),
    [
        pytest.param(lambda: scanned(Starlette()), [], id="starlette"),
        pytest.param(lambda: scanned(GZipMiddleware(Starlette())), [], id="starlette-wrapped"),
        pytest.param(lambda: scanned(FastAPI()), [], id="fastapi"),
        pytest.param(lambda: scanned(Flask("shop")), [], id="flask"),
        pytest.param(lambda: scanned(ProxyFix(Flask("shop").wsgi_app)), [], id="flask-wrapped"),
        pytest.param(lambda: scanned(bottle.Bottle()), [], id="bottle"),
        pytest.param(lambda: scanned(falcon.asgi.App()), [], id="falcon"),
        pytest.param(lambda: scanned(Dispatcher()), [], id="dispatcher"),
        pytest.param(lambda: scanned(StaticFiles(directory=HERE)), [], id="files"),
        pytest.param(lambda: scanned(None, routes=[]), [], id="routes"),
        pytest.param(lambda: scanned(on_path_alone), ["/sub/y?"], id="found-once"),
        pytest.param(lambda: Dispatcher({"": on_path_alone}), [], id="root"),
        pytest.param(lambda: Dispatcher({}, default=on_path_alone), [], id="default"),
    ],
)
def test_an_app_that_is_probed(
    client: ClientFactory, said: Any, app: Any, first: list[str]
) -> None:
    """A scanner asks for what is not there, of apps that are right."""
    session = client(app())
    for url in [path + "1" * path.endswith("?") for path in first]:
        assert session.get(url).status_code == 200
    for number in range(20):
        session.get(f"/sub/{number}.php")
    assert said() == []


def test_an_app_that_refuses(client: ClientFactory, said: Any) -> None:
    """With 401 it shows that it has routes."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        status = 401 if scope["path"].endswith("/x") else 404
        await PlainTextResponse("", status)(scope, receive, send)

    session = client(Dispatcher({"/sub": guarded}))
    for path in "xyyyyyyy":
        session.get(f"/sub/{path}")
    assert said() == []
