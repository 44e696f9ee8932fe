"""An app for each tenant on real servers: requests, streams and websockets over real connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support import http
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

every_server = pytest.mark.parametrize("name", SERVERS)


@contextmanager
def tenants(name: str, **env: str) -> Iterator[tuple[Server, httpx.Client]]:
    """The server, and a client that keeps its connection from one host to the next."""
    with (
        serve(name, "tests.support.apps.tenants:app", env=env) as server,
        http.Client(base_url=server.url, timeout=60) as client,
    ):
        yield server, client


def get(client: httpx.Client, host: str, path: str = "/") -> httpx.Response:
    return client.get(path, headers={"host": f"{host}.localhost"})


def control(client: httpx.Client, path: str) -> Any:
    return get(client, "control", path).json()


def websocket(server: Server, host: str) -> ClientConnection:
    connection = socket.create_connection(("127.0.0.1", server.port))
    try:
        return connect(f"ws://{host}.localhost:{server.port}/ws", sock=connection)
    except BaseException:
        connection.close()
        raise


def says(ws: ClientConnection, text: str) -> str:
    ws.send(text)
    return str(ws.recv(timeout=60))


@every_server
def test_each_host_has_its_app(name: str) -> None:
    """On one connection: of tenants, of nobody, and of one that cannot be looked up. With the
    server all of them are shut down."""
    with tenants(name) as (server, client):
        for _ in range(2):
            for tenant in ("acme", "globex"):
                assert get(client, tenant).text == f"{tenant} {tenant} {tenant}"
            assert get(client, "nobody").status_code == 404
            broken = get(client, "broken")
            assert (broken.status_code, broken.headers["retry-after"]) == (503, "1")
        with websocket(server, "acme") as ws:
            assert says(ws, "hello") == "acme: hello"
        for host, status in (("nobody", 404), ("broken", 503)):
            with pytest.raises(InvalidStatus) as caught:
                websocket(server, host)
            assert caught.value.response.status_code == status
        server.stop()
        for tenant in ("acme", "globex"):
            assert server.output.count(f"{tenant} up") == 1
            assert server.output.count(f"{tenant} down") == 1


@every_server
def test_an_app_that_leaves_ends_its_stream(name: str) -> None:
    """It is not shut down before that, and the next request gets a new one."""
    with tenants(name) as (server, client), ThreadPoolExecutor() as pool:
        with client.stream("GET", "/stream", headers={"host": "acme.localhost"}) as response:
            lines = response.iter_lines()
            assert next(lines) == "acme begins"
            with (
                http.Client(base_url=server.url, timeout=60) as second,
                http.Client(base_url=server.url, timeout=60) as third,
            ):
                evicted = pool.submit(control, second, "/evict?tenant=acme")
                wait_until(lambda: control(third, "/health") != {"tenant 'acme'": "serving"})
                control(third, "/release?tenant=acme")
                assert [*lines] == ["acme ends"]
                assert evicted.result() == ["acme up", "acme streamed", "acme down"]
        assert get(client, "acme").text == "acme acme acme"
        assert control(client, "/release?tenant=acme")[-1] == "acme up"


@every_server
def test_what_does_not_end_is_cut(name: str) -> None:
    """A stream and a websocket, and those of the tenant alone."""
    with (
        tenants(name, DRAIN_TIMEOUT="0.2") as (server, client),
        websocket(server, "acme") as ws,
        websocket(server, "globex") as other,
    ):
        assert says(ws, "hello") == "acme: hello"
        assert says(other, "hello") == "globex: hello"
        with client.stream("GET", "/stream", headers={"host": "acme.localhost"}) as response:
            lines = response.iter_lines()
            assert next(lines) == "acme begins"
            with http.Client(base_url=server.url, timeout=60) as second:
                assert control(second, "/evict?tenant=acme")[-1] == "acme down"
            rest = []
            with pytest.raises(httpx.RemoteProtocolError):
                rest += lines
            assert rest == []
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=60)
        assert ws.close_code == 1012
        assert says(other, "still there?") == "globex: still there?"
        assert get(client, "acme").text == "acme acme acme"
