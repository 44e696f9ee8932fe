"""Clients that leave, on real servers: nobody's fault, and counted as what they are."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import raw
from tests.support.apps.departures import APPS, STYLES
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

UPLOAD: dict[str, Any] = {"method": "POST", "headers": [("Content-Length", "9")], "body": b"a"}
#: What is asked of each app.
ASKED: dict[str, list[tuple[str, dict[str, Any] | None]]] = {
    "gives-up": [("/", {}), ("/", None)],
    "framed": [("/upload", UPLOAD), ("/listen", None), ("/talk", None)],
    "silent": [("/", {})],
    "answers-again": [("/", {})],
    "starts-again": [("/", {})],
}
#: A message of the server's own, which it raises of a bare app too.
OWN = {
    "hypercorn-asyncio": "UnexpectedMessageError",
    "hypercorn-trio": "UnexpectedMessageError",
    "granian": "RuntimeError: ASGI flow error",
}
AGAIN = ("answers-again", "starts-again")


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Every server in turn, each in one process for all of this."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    """A server whose clients have left, each once the app was at work."""
    with serve(name, "tests.support.apps.departures:app") as running:
        connections = []
        for style in STYLES:
            for app, requests in ASKED.items():
                for path, how in requests:
                    target = f"/{style}/{app}{path}"
                    data = (
                        raw.handshake(target)
                        if how is None
                        else raw.request(target, keep_alive=True, **how)
                    )
                    connection = socket.create_connection(("127.0.0.1", running.port))
                    connection.sendall(data)
                    connections.append(connection)
        asked = len(connections)
        wait_for(running, lambda found: in_flight(found) > asked)
        for connection in reversed(connections):
            connection.close()
        # granian tells an app nothing of a handshake that it has not accepted.
        left = len(STYLES) if name == "granian" else 0
        wait_for(running, lambda found: in_flight(found, "gives-up") == left)
        assert raw.ask(running.port, "/go") is not None
        wait_for(running, lambda found: in_flight(found) == left + 1)
        yield running


def health_of(server: Server) -> dict[str, Any]:
    response = raw.ask(server.port, "/health")
    assert response is not None
    return dict(response.json())


def in_flight(found: dict[str, Any], name: str = "") -> int:
    return sum(one[0] for mount, one in found.items() if mount.endswith(name))


def wait_for(server: Server, is_so: Any) -> None:
    """The request that asks is in flight too."""
    wait_until(lambda: is_so(health_of(server)), shown=lambda: server.output)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("app", APPS)
def test_what_they_are_counted_as(name: str, server: Server, app: str, style: str) -> None:
    """Not as answers, and never as a failure; what had begun to be answered has its status."""
    left, answered, error = health_of(server)[f"/{style}/{app}"]
    asked = len(ASKED[app]) - left
    if app in AGAIN:
        assert answered == {"2xx": 1}
        is_own = name in OWN and style != "checked"
        assert OWN[name] in error if is_own else error is None
    elif app == "framed":  # `send` tells an app on uvicorn alone
        told = 3 if name.startswith("uvicorn") else 2
        assert answered == {"client_gone": told} | ({"1xx": 1} if told == 2 else {})
        assert error is None
    else:
        assert (answered, error) == ({"client_gone": asked}, None)


def test_what_is_said_of_them(name: str, server: Server) -> None:
    """Nothing but what the server says of a second start by itself."""
    lines = [line for line in server.output.splitlines() if "mountkit" in line]
    assert not [line for line in lines if "without an answer" in line or "and answers" in line]
    assert "ClientDisconnect" not in server.output
    assert "WebSocketDisconnect" not in server.output
    if name not in OWN:
        assert "Traceback" not in server.output


def test_what_is_not_of_this_client(name: str) -> None:
    """A websocket that is used wrongly, and on uvicorn, where `send` tells it, one of another
    client that has gone: errors."""
    with serve(name, "tests.support.apps.chats:app") as server:
        raw.websocket(server.port, "/chat/forget")
        wait_for(server, lambda found: "WebSocketDisconnected" in str(found["/chat"][1]))
        if name.startswith("uvicorn"):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(raw.handshake("/chat/join"))
                assert connection.recv(9) == b"HTTP/1.1 "
            wait_for(server, lambda _: has_failed(server, "/chat/say"))
            wait_for(server, lambda found: found["/chat"][1] == "WebSocketDisconnect")
        assert "client_gone" not in health_of(server)["/chat"][0]
        assert "Traceback" in server.output


def has_failed(server: Server, path: str) -> bool:
    response = raw.ask(server.port, path)
    return response is not None and response.status == 500
