"""`Dispatcher.only`: one mount of a dispatcher, as in the whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from mountkit import Dispatcher, DispatchMiddleware, LifespanError, Mount, PatternError
from tests.support.clients import ClientFactory

log: list[str] = []


@pytest.fixture(autouse=True)
def empty_log() -> None:
    log.clear()


async def seen(request: Request) -> JSONResponse:
    scope = request.scope
    state = getattr(request.state, "name", None)
    return JSONResponse([state, scope["root_path"], scope["path"], str(request.url_for("seen"))])


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.url.path)
    await websocket.close()


def make(name: str) -> Starlette:
    """An app that says what it sees, and logs its lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        log.append(f"{name} starts")
        yield {"name": name}
        log.append(f"{name} stops")

    routes = [WebSocketRoute("/ws", echo), Route("/cart", seen, name="seen")]
    return Starlette(routes=routes, lifespan=lifespan)


def answers(app: Any, *urls: str, **headers: str) -> list[int]:
    """The status of each request."""
    client = TestClient(app, follow_redirects=False)
    return [client.get(url, headers=headers).status_code for url in urls]


def test_the_app_sees_what_it_sees_in_the_whole(client: ClientFactory) -> None:
    """Its scope, its state, and so its URLs."""
    dispatcher = Dispatcher({"/shop": make("shop"), "/blog": make("blog")}, default=make("site"))
    with client(dispatcher, root_path="/api") as whole:
        expected = whole.get("/api/shop/cart").json()
    with client(dispatcher.only("/shop"), root_path="/api") as alone:
        assert alone.get("/api/shop/cart").json() == expected
    assert expected == ["shop", "/api/shop", "/api/shop/cart", "http://testserver/api/shop/cart"]


def test_nothing_else_is_started(client: ClientFactory) -> None:
    """Neither the other mounts nor the app underneath."""
    dispatcher = Dispatcher({"/shop": make("shop"), "/blog": make("blog")}, default=make("site"))
    with client(dispatcher.only("/shop")):
        assert log == ["shop starts"]
    assert log == ["shop starts", "shop stops"]


def test_nothing_else_is_served() -> None:
    """What a more specific mount or the app underneath takes in the whole is 404."""
    mounts = [Mount(path, PlainTextResponse("x")) for path in ("/shop", "/shop/admin", "/blog")]
    alone = Dispatcher(mounts, default=PlainTextResponse("x")).only("/shop")
    assert answers(alone, "/shop/x", "/shop/admin/x", "/blog/", "/") == [200, 404, 404, 404]


def test_websockets(client: ClientFactory) -> None:
    """Those of the mount are served, others refused."""
    alone = client(Dispatcher({"/shop": make("shop"), "/blog": make("blog")}).only("/shop"))
    with alone.websocket_connect("/shop/ws") as websocket:
        assert websocket.receive_text() == "/shop/ws"
    with pytest.raises(WebSocketDenialResponse), alone.websocket_connect("/blog/ws"):
        pass


def test_a_refusal_is_the_same() -> None:
    """A path that may be read in two ways is nobody's."""
    alone = Dispatcher({"/shop": make("shop"), "/blog": make("blog")}).only("/shop")
    assert answers(alone, "/shop/%2e%2e/blog") == [400]


def test_an_exposed_path() -> None:
    """It is the mount's own."""
    shop = Mount("/shop", PlainTextResponse("x"), expose=["/.well-known/shop"])
    alone = Dispatcher([shop, Mount("/blog", PlainTextResponse("x"))]).only(shop)
    assert answers(alone, "/.well-known/shop", "/.well-known/blog") == [200, 404]


def test_a_dispatch_middleware_has_it_too() -> None:
    """As it is a dispatcher; the app underneath is not reached."""
    site = DispatchMiddleware(make("site"), {"/shop": make("shop"), "/blog": make("blog")})
    assert answers(site.only("/shop"), "/shop/cart", "/blog/cart", "/cart") == [200, 404, 404]


def test_the_timeouts_of_the_dispatcher() -> None:
    """They hold for the one mount."""

    @asynccontextmanager
    async def hang(app: Starlette) -> AsyncIterator[None]:
        await anyio.sleep_forever()
        yield

    dispatcher = Dispatcher({"/shop": Starlette(lifespan=hang)}, startup_timeout=0.01)
    alone = TestClient(dispatcher.only("/shop"))
    with pytest.raises(LifespanError, match=r"did not start within 0\.01 seconds"), alone:
        pass


PLAIN = PlainTextResponse("x")
SHOP = Mount("/shop", PLAIN, name="store")
V2 = Mount("/shop/", PLAIN, headers={"x-version": "2"})
CAFE = Mount("/caf%C3%A9/{id:int}", PLAIN)
HOST = Mount("/", PLAIN, host="shop.example.com", name="hosted")
EXACT = Mount("/exact/", PLAIN, exact=True)
ROUTES = Mount("/routes", routes=[Route("/", seen)])
NAMED = Dispatcher([SHOP, V2, CAFE, HOST, EXACT, ROUTES])
URLS: dict[str, tuple[str, dict[str, str]]] = {
    "shop": ("/shop/x", {}),
    "v2": ("/shop/x", {"x-version": "2"}),
    "cafe": ("/café/7/x", {}),
    "host": ("http://shop.example.com/x", {}),
    "exact": ("/exact/", {}),
    "routes": ("/routes/", {}),
}


@pytest.mark.parametrize(
    ("which", "served"),
    [
        pytest.param("/shop", "shop v2", id="a path, of two mounts"),
        pytest.param("/shop/", "shop v2", id="a trailing slash means nothing"),
        pytest.param("store", "shop", id="a name"),
        pytest.param(SHOP, "shop", id="the mount"),
        pytest.param(V2, "v2", id="another mount with this path"),
        pytest.param("/café/{id:int}", "cafe", id="placeholders"),
        pytest.param("/caf%C3%A9/{id:int}", "cafe", id="a path as it was written"),
        pytest.param("/", "host", id="the root"),
        pytest.param("", "host", id="the root, as Starlette writes it"),
        pytest.param("shop.example.com/", "host", id="host and path"),
        pytest.param("/exact/", "exact", id="an exact path"),
        pytest.param(ROUTES, "routes", id="routes"),
    ],
)
def test_ways_to_say_which(which: Any, served: str) -> None:
    """Every other request is 404."""
    alone = TestClient(NAMED.only(which))
    found = [
        name for name, (url, headers) in URLS.items() if alone.get(url, headers=headers).is_success
    ]
    assert found == served.split()


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        pytest.param("/shopp", "did you mean '/shop'", id="a typing error"),
        pytest.param("stor", "did you mean 'store'", id="a typing error in a name"),
        pytest.param(
            "zzz",
            "there are '/shop', 'store', '/café/{id:int}', '/', 'hosted', 'shop.example.com/', "
            "'/exact', '/routes'",
            id="what there is",
        ),
        pytest.param(None, "there are '/shop'", id="nothing"),
        pytest.param(Mount("/shop", PLAIN), "there are '/shop'", id="a mount of another app"),
    ],
)
def test_what_there_is_not(which: Any, reason: str) -> None:
    """The message says what there is."""
    with pytest.raises(PatternError) as caught:
        NAMED.only(which)
    message = str(caught.value)
    assert message.startswith(f"{which!r} is not a mount of this app, nor a path or name of one; ")
    assert reason in message


def test_no_mounts_at_all() -> None:
    """Then there is nothing to propose."""
    with pytest.raises(PatternError, match="one; the app has none"):
        Dispatcher().only("/shop")


def test_many_mounts() -> None:
    """The message does not name all of them."""
    many = Dispatcher({f"/{n}": PLAIN for n in range(100)})
    with pytest.raises(PatternError) as caught:
        many.only("shop")
    assert str(caught.value).endswith(
        "there are '/0', '/1', '/2', '/3', '/4', '/5', '/6', '/7', '/8', '/9'."
    )
