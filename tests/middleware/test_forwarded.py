"""`ForwardedMiddleware`: what proxies say, and which are trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Dispatcher, DispatchMiddleware, ForwardedMiddleware, Mount, PatternError
from mountkit.middleware.forwarded import _elements as elements_of
from tests.support.clients import ClientFactory
from tests.support.logs import logged
from tests.support.requests import asked
from tests.support.scopes import scope_of

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


async def ask(
    headers: dict[str, str],
    path: str = "/shop/",
    trusted: list[str] | None = None,
    **options: Any,
) -> Any:
    scope = scope_of(path, host="inner:8000", headers=list(headers.items()), **options)
    sent, _ = await asked(app(trusted), scope)
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
        pytest.param(PROXY, ["x-forwarded-for", "x-forwarded-port"], id="trusted"),
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


@pytest.mark.parametrize(
    ("root_path", "prefixes"), [("/outer/v1", "/outer/v1"), ("/v2", "/outer/v1/v2")]
)
async def test_the_server_may_be_told_the_same(root_path: str, prefixes: str) -> None:
    """Another prefix is one more."""
    found = await ask(ALL, f"{prefixes}/shop/", root_path=root_path, client=PROXY)
    assert found["url"] == f"https://acme.com{prefixes}/shop/"


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
        ("for", "203.0.113.9, unix:"),
        ("for", "fe80::1%eth0"),
        ("for", "203.0.113.9, fe80::1%eth0"),
        ("for", "[fe80::1%25eth0]:5"),
        ("for", "1.2.3.4:123456"),
        ("for", "1.2.3.4:"),
        ("for", "[::1"),
        ("for", "1.2.3.4:5:6"),
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
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:DB8::1]:4711", "2001:db8::1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("203.0.113.9:1, 10.0.0.2:5678, [::1]:5", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
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
    with pytest.raises(PatternError, match=r"is not an address or a network: .*; write"):
        ForwardedMiddleware(Starlette(), trusted=[text])


# RFC 7239.


async def ask_forwarded(*values: str, others: dict[str, str] | None = None) -> Any:
    """What the app sees of a request that a proxy has sent with these `Forwarded` headers."""
    headers = [("forwarded", value) for value in values] + list((others or {}).items())
    scope = scope_of("/shop/", host="inner:8000", headers=headers, client=PROXY)
    trusting = ForwardedMiddleware(app().app, trusted=["10.0.0.0/8", "::1"], forwarded=True)
    sent, _ = await asked(trusting, scope)
    return json.loads(sent[1]["body"]) if sent[0]["status"] == 200 else sent[0]["status"]


OUTER = {"url": "https://acme.com/shop/", "client": "203.0.113.9"}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["for=203.0.113.9;host=acme.com;proto=https"], id="plain"),
        pytest.param(["For=203.0.113.9; HOST=acme.com; Proto=HTTPS;"], id="case-and-spaces"),
        pytest.param(['for="203.0.113.9:4711";host="acme.com";proto="https"'], id="quoted"),
        pytest.param(['host="ac\\me.com";proto=https;for="203.0.113.9:_x"'], id="escaped"),
        pytest.param(["for=203.0.113.9;by=10.0.0.1;ext=\"a,b;c\";host=acme.com;proto=https"], id="more"),
        pytest.param(["for=6.6.6.6;host=evil.com;proto=http,for=203.0.113.9;host=acme.com;proto=https"], id="made-up"),
        pytest.param(['for=evil;host="@"', "for=203.0.113.9;host=acme.com;proto=https"], id="made-up-and-improper"),
        pytest.param(["for=203.0.113.9;host=acme.com;proto=https", "for=10.0.0.7;host=inner;proto=http"], id="two-proxies"),
        pytest.param(["for=203.0.113.9, for=10.0.0.7;host=acme.com;proto=https"], id="an-outer-one-that-is-silent"),
        pytest.param([",for=203.0.113.9;host=acme.com;proto=https"], id="empty-element"),
    ],
)  # fmt: skip
async def test_forwarded(values: list[str]) -> None:
    """What the outermost trusted proxy says; what comes before it may be made up."""
    assert await ask_forwarded(*values) == OUTER


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ('for="[2001:DB8::1]:80"', "2001:db8::1"),
        ("for=10.0.0.3, for=10.0.0.2", "10.0.0.3"),
        ("for=unknown", None),
        ("for=_hidden", None),
        ('for="_hidden:80"', None),
        ("for=1.2.3.4, for=_hidden", None),
        ("proto=http", "10.0.0.1"),
        ("for=1.2.3.4, proto=http", "10.0.0.1"),
    ],
)
async def test_the_client_of_forwarded(value: str, client: str | None) -> None:
    """Nobody where the proxy hides it; the proxy where it says nothing."""
    assert (await ask_forwarded(value))["client"] == client


@pytest.mark.parametrize(
    "value",
    [
        "for",
        "for=",
        "=1.2.3.4",
        "for=1.2.3.4;for=1.2.3.4",
        "for=1.2.3.4 host=a.com",
        'for="1.2.3.4',
        'for="1.2.3.4\\"',
        'for=1.2.3.4;x="a\tb',
        "for=1.2.3.4;host=a.com/x",
        "host=a.com:80",
        'host="u@a.com"',
        'host=""',
        "proto=ftp",
        'proto="https, http"',
        "for=nobody",
        "for=1.2.3",
        "for=999.1.1.1",
        "for=[::1]",
        'for="::1"',
        'for="[::1"',
        'for="1.2.3.4:port"',
        'for="1.2.3.4:123456"',
        "for=1.2.3.4;é=1",
        "for=1.2.3.4;x=é",
        "for = 1.2.3.4",
        'for="," , "',
    ],
)
async def test_forwarded_that_is_none(value: str) -> None:
    """400: somebody has put it there through the proxy, or the proxy does not do what it should."""
    assert await ask_forwarded(value) == 400


INNER = "http://inner:8000/shop/"


@pytest.mark.parametrize("values", [[], [""], [" , ;"]], ids=repr)
async def test_without_forwarded(values: list[str]) -> None:
    """The request is what it is."""
    assert await ask_forwarded(*values) == {"url": INNER, "client": "10.0.0.1"}


@pytest.mark.parametrize(
    ("header", "value", "is_refused"),
    [
        ("x-forwarded-host", "ACME.com.", False),
        ("x-forwarded-host", "evil.com", True),
        ("x-forwarded-proto", "https", False),
        ("x-forwarded-proto", "http", True),
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9", False),
        ("x-forwarded-for", "6.6.6.6", True),
        ("x-forwarded-for", "nobody", True),
    ],
)
async def test_both_families(header: str, value: str, is_refused: bool) -> None:
    """They have to agree: one of them may have come through the proxy as it was."""
    value_of_forwarded = "for=203.0.113.9;host=acme.com;proto=https"
    found = await ask_forwarded(value_of_forwarded, others={header: value})
    assert found == (400 if is_refused else OUTER)
    assert await ask_forwarded("by=_x", others={header: value}) == 400


async def test_the_prefix_besides_forwarded() -> None:
    """RFC 7239 has none."""
    found = await ask_forwarded(others={"x-forwarded-prefix": "/outer"})
    assert found["url"] == "http://inner:8000/outer/shop/"


async def test_forwarded_has_no_say_by_default() -> None:
    """Whoever has sent it."""
    found = await ask({"forwarded": "for=1.2.3.4;host=acme.com"}, client=PROXY)
    assert found == {"url": INNER, "client": "10.0.0.1"}
    found = await ask({"forwarded": '"', "x-forwarded-host": "acme.com"}, client=PROXY)
    assert found["url"] == "http://acme.com/shop/"


@pytest.mark.parametrize("forwarded", [False, True], ids=["x-forwarded", "forwarded"])
async def test_what_was_applied_is_used_up(forwarded: bool) -> None:
    """An app below that reads it too would apply it twice; and what is not believed by the
    middleware is nothing to believe for an app."""
    values = {
        "x-forwarded-host": "acme.com",
        "x-forwarded-prefix": "/outer",
        "forwarded": "for=203.0.113.9;host=acme.com",
        "x-forwarded-for": "203.0.113.9",
        "x-other": "1",
    }
    seen: list[Any] = []

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(name.decode() for name, _ in scope["headers"])

    headers = list(values.items())
    for client in (PROXY, ("203.0.113.1", 1)):
        scope = scope_of("/", host="inner", headers=headers, client=client)
        seen.clear()
        middleware = ForwardedMiddleware(child, trusted=["10.0.0.0/8"], forwarded=forwarded)
        await asked(middleware, scope)
        believed = {"x-forwarded-for"} if client == PROXY else set()
        assert {*seen} == {"host", "x-other"} | believed
        assert len(headers) == 5


async def test_a_peer_that_the_server_has_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """uvicorn does so by default: whose address it is depends on a header."""
    trusting = app()
    for _ in range(2):
        scope = scope_of("/shop/", host="a", headers=[*ALL.items()], client=("10.0.0.9", 0))
        sent, _ = await asked(trusting, scope)
        assert json.loads(sent[1]["body"])["url"] == "http://a/shop/"
    [record] = logged(caplog)
    assert record.getMessage().startswith("ForwardedMiddleware does not trust 10.0.0.9: it has no")


@pytest.mark.parametrize(
    ("trusted", "peer", "is_trusted"),
    [
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "::ffff:11.0.0.1", False),
        ("::ffff:10.0.0.0/104", "10.0.0.1", True),
        ("::ffff:10.0.0.0/104", "::ffff:10.0.0.1", True),
        ("::ffff:10.0.0.0/104", "11.0.0.1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::/0", "2001:db8::1", True),
        ("::/0", "10.0.0.1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fe80::/10", "fe81::1", True),
        ("fe80::/10", "2001:db8::1", False),
    ],
)
async def test_networks(trusted: str, peer: str, is_trusted: bool) -> None:
    """`::ffff:10.0.0.1` is `10.0.0.1`, on both sides; the zone of a peer is the server's own."""
    found = await ask({"x-forwarded-proto": "https"}, client=(peer, 1), trusted=[trusted])
    assert found["url"].startswith("https:" if is_trusted else "http:")


# Peers without an address.

NOWHERE: list[Any] = [
    None,
    ("", 0),
    ("", "0"),
    ["", None],
    (None, None),
    ("unix:/run/a.sock", None),
]
SHORT: list[Any] = [(), ["unix:/run/a.sock"]]  # with which Starlette's `request.client` fails


@pytest.mark.parametrize("client", [*NOWHERE, *SHORT], ids=repr)
async def test_a_proxy_on_a_unix_socket(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Can be trusted, however the server says that it has no address."""
    for name in ("unix", "unix:"):
        found = await ask(ALL, client=client, trusted=[name, "10.0.0.0/8"])
        assert found == {"url": "https://acme.com/outer/v1/shop/", "client": "203.0.113.9"}
    assert logged(caplog) == []


@pytest.mark.parametrize("client", NOWHERE, ids=repr)
async def test_a_peer_without_an_address_that_is_not_trusted(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, if there are headers that are never applied."""
    trusting = app()
    await asked(trusting, scope_of("/shop/", host="a", client=client))
    assert logged(caplog) == []
    for _ in range(2):
        sent, _ = await asked(
            trusting, scope_of("/shop/", host="a", headers=[*ALL.items()], client=client)
        )
        assert json.loads(sent[1]["body"])["url"] == "http://a/shop/"
    [record] = logged(caplog)
    assert record.getMessage() == (
        "ForwardedMiddleware does not trust a peer without an address, as on a unix socket; write "
        "trusted=['unix'] if only proxies can connect to it."
    )


@pytest.mark.parametrize(
    "client", [("unix", 0), ("unix:", 0), ("unix:/run/a.sock", 0), ("203.0.113.1", 1)], ids=repr
)
async def test_what_is_no_peer_without_an_address(client: Any) -> None:
    """uvicorn puts any text of a header there, with the port 0."""
    headers = ALL | {"x-forwarded-for": client[0]}
    found = await ask(headers, client=client, trusted=["unix"])
    assert found == {"url": INNER, "client": client[0]}


@pytest.mark.parametrize(
    ("addresses", "client"),
    [
        ("203.0.113.9, unix:", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("unix:", None),
    ],
)
async def test_hops_without_an_address(addresses: str, client: str | None) -> None:
    """nginx calls them `unix:`."""
    found = await ask({"x-forwarded-for": addresses}, client=None, trusted=["unix"])
    assert found["client"] == client


@pytest.mark.parametrize(
    "header", ["10.0.0.9:5", "10.0.0.9:05, 203.0.113.9", "6.6.6.6, [10.0.0.9]:5"]
)
async def test_a_peer_that_the_server_has_replaced_with_its_port(
    header: str, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn does so where a header has one: a client could choose to be a proxy."""
    found = await ask(ALL | {"x-forwarded-for": header}, client=("10.0.0.9", 5))
    assert found["url"] == INNER
    [record] = logged(caplog)
    assert (
        "does not trust 10.0.0.9: it stands in a header, so the server has" in record.getMessage()
    )


# Headers of others.

OF_PROXIES = [
    *(f"x-forwarded-{part}" for part in (
        "for", "host", "proto", "prefix", "port", "path", "by", "ssl", "scheme", "protocol", "server",
        "uri", "base", "proto-version", "client-cert", "user",
    )),
    *("x-forwarded", "forwarded", "forwarded-for", "x-real-ip", "x-script-name", "script-name"),
    *("x-original-url", "x-original-uri", "x-original-host", "x-original-forwarded-for", "x-rewrite-url"),
    *("front-end-https", "x-url-scheme", "x-scheme", "x-host", "x-client-ip", "client-ip", "x-remote-addr"),
    *("true-client-ip", "cf-connecting-ip", "x-cluster-client-ip", "fastly-client-ip", "x-arr-ssl"),
    *("proxy-client-ip", "wl-proxy-client-ip", "x-envoy-external-address", "x_forwarded_host"),
    *("x-azure-clientip", "x-azure-socketip", "x-appengine-user-ip", "x-proxyuser-ip", "x-originating-ip"),
    *("x-envoy-original-path", "x-http-host-override", "cf-visitor", "x-ingress-path", "x-external-path"),
]  # fmt: skip


@pytest.mark.parametrize("name", OF_PROXIES)
async def test_the_family_of_headers(name: str) -> None:
    """None of it reaches an app from a peer that is not trusted."""
    seen: list[bytes] = []

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(name for name, _ in scope["headers"])

    middleware = ForwardedMiddleware(child, trusted=["10.0.0.0/8"])
    headers = [(name, "1"), ("x-forward", "1"), ("ip", "1"), ("x-realm", "1"), ("client", "1")]
    await asked(middleware, scope_of("/", headers=headers))
    assert seen == [b"x-forward", b"ip", b"x-realm", b"client"]


# In the wrong place.


def as_a_layer() -> ASGIApp:
    layer = Middleware(ForwardedMiddleware, trusted=["10.0.0.0/8"])
    return Dispatcher(
        [Mount("/shop", Starlette(routes=[Route("/", show, name="show")]), middleware=[layer])]
    )


def below_the_dispatcher() -> ASGIApp:
    parent = Starlette(routes=[Route("/shop/", show, name="show")])
    parent.add_middleware(ForwardedMiddleware, trusted=["10.0.0.0/8"])
    parent.add_middleware(DispatchMiddleware, mounts={"/other": Starlette()})
    return parent


def above_the_dispatcher() -> ASGIApp:
    parent = Starlette()
    parent.add_middleware(
        DispatchMiddleware, mounts={"/shop": Starlette(routes=[Route("/", show, name="show")])}
    )
    parent.add_middleware(ForwardedMiddleware, trusted=["10.0.0.0/8"])
    return parent


@pytest.mark.parametrize(
    ("make", "is_late"),
    [(as_a_layer, True), (below_the_dispatcher, True), (above_the_dispatcher, False)],
)
async def test_the_place_of_the_middleware(
    make: Callable[[], ASGIApp], is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Below a dispatcher it comes too late to choose the mount, and says so once."""
    placed = make()
    for _ in range(2):
        headers = [("x-forwarded-proto", "https")]
        sent, _ = await asked(placed, scope_of("/shop/", host="a", headers=headers, client=PROXY))
        assert json.loads(sent[1]["body"])["url"] == "https://a/shop/"
    assert [record.getMessage() for record in logged(caplog)] == [
        "ForwardedMiddleware comes too late: the mount was chosen; put it in front of the dispatcher."
    ] * is_late


tokens = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=8)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
spaces = st.sampled_from(["", " ", "\t", "  "])


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(
    st.lists(st.dictionaries(tokens.map(str.lower), texts, max_size=4), min_size=1, max_size=4),
    spaces,
)
def test_what_was_written_is_read(elements: list[dict[str, str]], space: str) -> None:
    """Whatever the values are."""
    separators = (f"{space};{space}", f"{space},{space}")
    written = separators[1].join(
        separators[0].join(f"{name}={quoted(text)}" for name, text in element.items())
        for element in elements
    )
    assert list(elements_of(written)) == elements


@given(st.text(st.sampled_from('for=host;,"\\ \t1.[]:_é\x00'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes of it."""
    try:
        found = list(elements_of(text))
    except ValueError:
        return
    assert found
    assert all(isinstance(element, dict) for element in found)


def test_long_values_are_read_in_linear_time() -> None:
    """Each of these would take minutes in quadratic time."""
    for text in (" " * 200_000 + "@", "for=1;" * 50_000, '"' * 200_000, 'x="' + "\\" * 300_001):
        with suppress(ValueError):
            list(elements_of(text))
