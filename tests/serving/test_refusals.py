"""Why a request was refused: a record for the log, and with `debug` a page."""

from __future__ import annotations

import logging
import re
import shlex
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient, WebSocketDenialResponse

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    ForwardedMiddleware,
    Mount,
    TenantMiddleware,
    TenantResolver,
    WSGIBridge,
)
from mountkit.cli import commands, main
from mountkit.config.finding import Found
from tests.support.requests import asked
from tests.support.scopes import scope_of

app = PlainTextResponse("app")
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ATTACKS = ["<script>alert(1)</script>", "'><img src=x onerror=alert(1)>", "</title><script>"]


def site(**options: Any) -> Dispatcher:
    mounts = [
        Mount("/shop", app),
        Mount("/shop/admin", app, methods=["POST"]),
        Mount("/", app, host="b.com"),
        Mount("/docs/{page}", app),
        Mount("/static", app),
    ]
    return Dispatcher(mounts, **options)


def in_front(parent: Any, **options: Any) -> Any:
    parent.add_middleware(DispatchMiddleware, mounts=site().routes, **options)
    return parent


def text_of(response: Any) -> str:
    """The text that a browser shows, without the styles."""
    text: str = response.text
    return re.sub(r"<style>.*?</style>|<[^>]*>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("make", "url", "status", "reason"),
    [
        (
            site,
            "http://a.com/shpo",
            404,
            "No mount takes the request, and there is no default app.",
        ),
        (
            lambda: site(unknown_host=421),
            "http://a.com/shpo",
            421,
            "No mount has the host of the request.",
        ),
        (
            site,
            "http://a.com/shop//../static",
            400,
            "The path '/shop//../static' may be read as '/static', which is another mount's.",
        ),
        (
            lambda: in_front(Starlette()),
            "http://a.com/shop%2Fx",
            400,
            "The path '/shop/x' may be read as '/shop%2Fx', which is another mount's.",
        ),
        (
            lambda: Starlette(routes=[Mount("", routes=site().routes)]),
            "http://a.com/shop%2Fx",
            400,
            "The path '/shop/x' may be read as '/shop%2Fx', which is another mount's.",
        ),
    ],
    ids=["miss", "unknown-host", "two-readings", "middleware", "routes"],
)
@pytest.mark.anyio
async def test_a_record_of_why(
    make: Any, url: str, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At the level DEBUG, and nothing in the answer."""
    caplog.set_level(logging.DEBUG, "mountkit")
    host, _, path = url.removeprefix("http://").partition("/")
    scope = scope_of(f"/{path}".replace("%2F", "/"), host=host, raw_path=f"/{path}".encode())
    sent, _ = await asked(make(), scope)
    assert sent[0]["status"] == status
    assert sent[1]["body"] in (b"Not Found", b"Bad Request", b"Misdirected Request")
    records = [r for r in caplog.records if r.name == "mountkit.dispatch"]
    assert [r.levelno for r in records] == [logging.DEBUG]
    assert records[0].getMessage() == f"{status} for {f'GET {url}'!r}: {reason}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: site(debug=True),
        lambda: Starlette(debug=True, routes=[Mount("/", site())]),
        lambda: Dispatcher([Mount("/", site())], debug=True),
        lambda: in_front(FastAPI(debug=True), unknown_host=404),
        lambda: in_front(Starlette(), unknown_host=404, debug=True),
    ],
    ids=["dispatcher", "below-an-app", "below-a-dispatcher", "middleware-of-an-app", "middleware"],
)
def test_the_page_explains(make: Any) -> None:
    """What was asked, the nearest mounts and why each refused, and what to do next."""
    response = TestClient(make(), base_url="http://a.com").get("/shpo?q=1", headers=BROWSER)
    assert response.status_code == 404
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    shown = text_of(response)
    assert "404 Not Found" in shown
    assert "GET http://a.com/shpo?q=1" in shown
    assert "The nearest mounts (2 more)" in shown
    assert re.search(r"Mount\(&#x27;/shop&#x27;\) at \S+test_refusals\.py:\d+", shown)
    assert "path: wants one that starts with &#x27;/shop&#x27;, the request has" in shown
    assert "mountkit explain main:app &#x27;http://a.com/shpo?q=1&#x27;" in shown


def test_the_page_as_text() -> None:
    """For clients that do not ask for HTML."""
    mount = Mount("/a", app)
    response = TestClient(Dispatcher([mount], debug=True)).get("/b")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == (
        f"""404 Not Found
GET http://testserver/b
No mount takes the request, and there is no default app.

The mounts

Mount('/a') at {mount.rule.where}
path: wants one that starts with '/a', the request has '/b'

Go on with
Write your own app in place of main:app.
mountkit explain main:app http://testserver/b
mountkit routes main:app
mountkit check main:app
This page is shown because debug is on.
"""
    )


def test_a_page_without_mounts() -> None:
    page = TestClient(Dispatcher(debug=True)).get("/b").text
    assert "The mounts\nThere are none.\n" in page


def test_a_mount_of_several_hosts_is_shown_once() -> None:
    """With the host that is nearest."""
    one = Mount("/one", app, host=["a.com", "b.com", "c.com"])
    page = TestClient(Dispatcher([one, Mount("/two", app)], debug=True)).get(
        "/x", headers={"host": "b.com"}
    )
    assert page.text.count("Mount('/one', host=['a.com', 'b.com', 'c.com'])") == 1
    assert "path: wants one that starts with '/one', the request has '/x'" in page.text


def test_a_request_that_a_mount_would_take() -> None:
    """It was refused for another reason."""
    routes = Starlette(debug=True, routes=[Mount("", routes=site().routes)])
    for make in (site(debug=True), routes):
        shown = TestClient(make, base_url="http://a.com").get("/shop%2F..%2Fstatic").text
        assert shown.startswith("400 Bad Request\nGET http://a.com/shop%2F..%2Fstatic\n")
        assert "would take it, were it not refused" in shown


@pytest.mark.parametrize(
    "make",
    [
        site,
        lambda: in_front(FastAPI(), unknown_host=404),
        lambda: Starlette(routes=[Mount("/", site())]),
    ],
    ids=["dispatcher", "middleware", "routes"],
)
def test_never_without_debug(make: Any) -> None:
    response = TestClient(make()).get("/shpo", headers=BROWSER)
    assert (response.status_code, response.text) == (404, "Not Found")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["path", "raw_path", "query", "host", "method", "root_path"])
@pytest.mark.anyio
async def test_everything_is_escaped(attack: str, place: str) -> None:
    """Whatever of the request is on the page is text."""
    scope = scope_of(host=attack if place == "host" else "a.com", headers=[("accept", "text/html")])
    scope |= {
        "path": {"path": "/" + attack, "raw_path": "/x"}.get(place, "/x"),
        "raw_path": ("/" + attack).encode() if place == "raw_path" else None,
        "query_string": attack.encode() if place == "query" else b"",
        "method": attack if place == "method" else "GET",
        "root_path": attack if place == "root_path" else "",
    }
    sent, error = await asked(site(debug=True), scope)
    assert error is None
    assert sent[0]["status"] in (400, 404)
    page = sent[1]["body"].decode()
    tags = set(re.findall(r"</?(\w+)[^>]*>", page.partition("</style>")[2]))
    assert tags == {"h1", "h2", "h3", "p", "pre"}
    assert "<script" not in page
    assert not re.search(r"\b(src|href)=|url\(|@import|http-equiv", page.replace("src=x", ""))


@pytest.mark.anyio
async def test_a_path_that_is_no_text() -> None:
    """A lone surrogate, of a server that decodes loosely."""
    scope = scope_of(host="b.net")
    scope |= {"path": "/\udc80", "raw_path": None}
    sent, error = await asked(Dispatcher([Mount("/a", app)], debug=True), scope)
    assert error is None
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("/shpo?a=1&b=2", {}),
        ("/it's;$(id)", {}),
        ("/sho/admin", {"method": "DELETE"}),
        ("/api/shpo", {"root_path": "/api"}),
        ("/shpo", {"host": "not a host"}),
    ],
    ids=["query", "quotes", "method", "root-path", "no-host"],
)
def test_the_command_explains_the_same(
    url: str, options: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be pasted into a shell."""
    made = Dispatcher([Mount("/shop", app), Mount("/y", app, host="b.com")], debug=True)
    monkeypatch.setattr(commands, "find", lambda target, **options: Found(made, target))
    client = TestClient(made, root_path=options.get("root_path", ""), base_url="http://a.com")
    headers = {"host": options["host"]} if "host" in options else {}
    response = client.request(options.get("method", "GET"), url, headers=headers)
    lines = [line for line in response.text.splitlines() if line.startswith("mountkit explain")]
    assert main([*shlex.split(lines[0])[1:], "--json"]) == 0
    assert '"takes": null' in capsys.readouterr().out


def test_a_websocket_has_no_page(caplog: pytest.LogCaptureFixture) -> None:
    """It is refused as ever; the record says why."""
    caplog.set_level(logging.DEBUG, "mountkit.dispatch")
    client = TestClient(Dispatcher([Mount("/a", app)], debug=True))
    refused = pytest.raises(WebSocketDenialResponse)
    with refused as caught, client.websocket_connect("/b"):
        pass
    assert (caught.value.status_code, caught.value.text) == (404, "")
    assert "404 for 'WEBSOCKET ws://testserver/b': No mount" in caplog.text


async def find_no_tenant(host: str) -> None:
    return None


TENANTS = TenantMiddleware(app, resolver=TenantResolver(find_no_tenant))
PROXIED = ForwardedMiddleware(app, trusted=["192.0.2.0/24"])


@pytest.mark.parametrize(
    ("layer", "scope", "record"),
    [
        (TENANTS, scope_of(host="a.com"), "404: the host 'a.com' has no tenant."),
        (TENANTS, scope_of(), "400: the request has no Host header, several, or not a valid one."),
        (
            PROXIED,
            scope_of(headers=[("x-forwarded-host", "a b")]),
            "400: a proxy does not say a b.",
        ),
        (
            WSGIBridge(Flask("flask")),
            scope_of(type="websocket"),
            "404: <Flask 'flask'> has no websockets.",
        ),
    ],
    ids=["no-tenant", "no-host", "forwarded", "wsgi-websocket"],
)
@pytest.mark.anyio
async def test_records_of_other_refusals(
    layer: Any, scope: Any, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of layers and bridges, which have no page."""
    caplog.set_level(logging.DEBUG, "mountkit")
    await asked(layer, {**scope})
    assert record in [r.getMessage() for r in caplog.records if r.levelno == logging.DEBUG]
