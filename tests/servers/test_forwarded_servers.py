"""Proxies in front of real servers, on ports and on unix sockets."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support import raw
from tests.support.servers import SERVERS, exchange_uds, serve, start

TARGET = "tests.support.apps.forwarded:app"
SAID = [
    ("X-Forwarded-Host", "acme.com"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-For", "6.6.6.6, 203.0.113.9:4711"),
    ("X-Forwarded-Path", "/x"),
]
APPLIED = {
    "url": "https://acme.com/shop/",
    "client": "203.0.113.9",
    "headers": ["x-forwarded-for", "x-forwarded-path"],
}
IGNORED = {"url": "http://localhost/shop/", "headers": []}


def options_of(server: str) -> list[str]:
    return ["--no-proxy-headers"] if server.startswith("uvicorn") else []


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "others"])
def test_a_unix_socket(server: str, is_trusted: bool) -> None:
    """Whatever the server calls a peer that has no address."""
    env = {"TRUSTED": json.dumps(["unix" if is_trusted else "127.0.0.1"])}
    with TemporaryDirectory() as folder:
        uds = Path(folder) / "s"
        with start(server, TARGET, env=env, uds=uds, options=options_of(server)) as running:
            data = raw.request("/shop/", headers=SAID)
            for _ in range(2):
                [response] = raw.responses(exchange_uds(running, uds, data))
                assert response.status == 200, running.output
                seen: dict[str, Any] = response.json()
                expected = APPLIED if is_trusted else IGNORED
                assert {key: seen[key] for key in expected} == expected, seen
            warnings = running.output.count("does not trust a peer without an address")
            assert warnings == (0 if is_trusted else 1)


@pytest.mark.parametrize("server", SERVERS)
def test_a_port(server: str) -> None:
    """Its own handling of these headers is off."""
    env = {"TRUSTED": json.dumps(["::ffff:127.0.0.0/104"])}
    with serve(server, TARGET, env=env, options=options_of(server)) as running:
        response = raw.ask(running.port, "/shop/", headers=SAID)
        assert response is not None
        seen = response.json()
        assert {key: seen[key] for key in APPLIED} == APPLIED
        assert "ForwardedMiddleware" not in running.output


@pytest.mark.parametrize("header", ["127.0.0.1:5", "203.0.113.9"])
def test_uvicorn_that_handles_them_itself(header: str) -> None:
    """It replaces the proxy's address, with a port if the header has one: neither is trusted."""
    env = {"TRUSTED": json.dumps(["127.0.0.1", "203.0.113.0/24"])}
    options = ["--forwarded-allow-ips", "*"]
    with serve("uvicorn-h11", TARGET, env=env, options=options) as running:
        said = [*SAID[:2], ("X-Forwarded-For", header)]
        response = raw.ask(running.port, "/shop/", headers=said)
        assert response is not None
        assert response.json()["url"] == "https://localhost/shop/"  # uvicorn's scheme
        assert "so the server has replaced the peer's address" in running.output
