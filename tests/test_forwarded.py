"""What proxies say, and who is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mountkit import Dispatcher, ForwardedMiddleware, Mount, PatternError
from tests.conftest import ClientFactory
from tests.reference import scope_of
from tests.test_traffic import asked

pytestmark = pytest.mark.anyio

PROXY = ("10.0.0.1", 1)


async def show(request: Request) -> Response:
    client = request.client and request.client.host
    return JSONResponse({"url": str(request.url_for("show")), "client": client})


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str(websocket.url))
    await websocket.close()


def app(trusted: list[str] | None = None) -> ForwardedMiddleware:
    child = Starlette(routes=[Route("/", show, name="show"), WebSocketRoute("/live", live)])
    mounts = [Mount("/shop", child, host="acme.com"), Mount("/shop", child)]
    return ForwardedMiddleware(Dispatcher(mounts), trusted=trusted or ["10.0.0.0/8", "::1"])


async def ask(headers: dict[str, str], path: str = "/shop/", **options: Any) -> Any:
    scope = scope_of(path, host="inner:8000", headers=list(headers.items()), **options)
    sent, _ = await asked(app(), scope)
    return json.loads(sent[1]["body"]) if sent[0]["status"] == 200 else sent[0]["status"]


ALL = {
    "x-forwarded-host": "acme.com",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/outer/v1/",
    "x-forwarded-for": "203.0.113.9, 10.0.0.7",
}


@pytest.mark.parametrize(
    ("client", "left"),
    [
        pytest.param(PROXY, ["forwarded", "x-forwarded-for", "x-forwarded-port"], id="trusted"),
        pytest.param(("203.0.113.7", 1), [], id="others"),
        pytest.param(None, [], id="nobody"),
    ],
)
async def test_what_the_app_sees_of_them(client: Any, left: list[str]) -> None:
    """Nothing that was applied, lest it is applied again, and nothing of anybody else."""
    more = {
        "x-forwarded-port": "1",
        "forwarded": "for=a",
        "x-script-name": "/e",
        "script-name": "/e",
    }

    async def names(request: Request) -> Response:
        return JSONResponse([name for name in request.headers if name != "host"])

    child = Starlette(routes=[Route("/", names)])
    middleware = ForwardedMiddleware(Dispatcher({"/shop": child}), trusted=["10.0.0.0/8"])
    headers = [*ALL.items(), *more.items()]
    sent, _ = await asked(middleware, scope_of("/shop/", client=client, headers=headers))
    assert sorted(json.loads(sent[1]["body"])) == left


@pytest.mark.parametrize("client", [PROXY, ("::1", 1)], ids=["v4", "v6"])
@pytest.mark.parametrize("path", ["/shop/", "/outer/v1/shop/"], ids=["strips", "keeps"])
async def test_a_trusted_proxy(client: Any, path: str) -> None:
    """Host, scheme, prefix and client are those of the outside, whether it strips or not."""
    assert await ask(ALL, path, client=client) == {
        "url": "https://acme.com/outer/v1/shop/",
        "client": "203.0.113.9",
    }


@pytest.mark.parametrize("client", [("203.0.113.1", 1), ("unix", 0), None], ids=repr)
async def test_nobody_else_is_believed(client: Any) -> None:
    """The headers have no effect."""
    found = await ask(ALL, client=client)
    assert found["url"] == "http://inner:8000/shop/"
    assert found["client"] == (client and client[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "a.com, b.com"),
        ("host", "u@a.com"),
        ("host", "a.com/x"),
        ("host", ""),
        ("proto", "ftp"),
        ("proto", "https, http"),
        ("prefix", "outer"),
        ("prefix", "//evil.com"),
        ("prefix", "/a/../b"),
        ("prefix", "/a/."),
        ("prefix", "/a%2f"),
        ("prefix", "/a b"),
        ("prefix", "/a\\b"),
        ("for", "nobody"),
        ("for", "203.0.113.9, unknown"),
    ],
)
async def test_values_that_are_not_what_they_claim(name: str, value: str) -> None:
    """Somebody has put them there through the proxy: 400."""
    assert await ask({f"x-forwarded-{name}": value}, client=PROXY) == 400


@pytest.mark.parametrize("name", ["host", "proto", "prefix"])
async def test_two_values(name: str) -> None:
    """Nobody can say which is the proxy's."""
    header = f"x-forwarded-{name}"
    scope = scope_of("/shop/", host="inner", headers=[(header, ALL[header])] * 2, client=PROXY)
    assert (await asked(app(), scope))[0][0]["status"] == 400


@pytest.mark.parametrize(
    ("addresses", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("garbage, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
async def test_the_client(addresses: str, client: str) -> None:
    """The last address that is no proxy of ours: what is before it may be made up."""
    assert (await ask({"x-forwarded-for": addresses}, client=PROXY))["client"] == client


async def test_addresses_in_several_headers() -> None:
    """Are one list."""
    headers = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.0.0.2")]
    scope = scope_of("/shop/", host="inner", headers=headers, client=PROXY)
    sent, _ = await asked(app(), scope)
    assert json.loads(sent[1]["body"])["client"] == "203.0.113.9"


def test_a_websocket(client: ClientFactory) -> None:
    """`https` is `wss` for it."""
    headers = {"x-forwarded-proto": "https", "x-forwarded-host": "acme.com"}
    session = client(app(), client=PROXY)
    with session.websocket_connect("/shop/live", headers=headers) as websocket:
        assert websocket.receive_text() == "wss://acme.com/shop/live"


async def test_a_websocket_is_refused() -> None:
    """With 400 where that can be said."""
    scope = scope_of(
        "/shop/live",
        type="websocket",
        headers=[("x-forwarded-proto", "ftp")],
        client=PROXY,
        extensions={"websocket.http.response": {}},
    )
    assert (await asked(app(), scope))[0][0]["status"] == 400


def test_the_lifespan_goes_through(client: ClientFactory) -> None:
    """It comes from no client."""
    with client(app(), client=PROXY) as session:
        assert session.get("/shop/").status_code == 200


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.local", "*"])
def test_networks_that_are_none(text: str) -> None:
    """The message says what to write."""
    with pytest.raises(PatternError, match=r"is no address and no network: .*; write"):
        ForwardedMiddleware(Starlette(), trusted=[text])
