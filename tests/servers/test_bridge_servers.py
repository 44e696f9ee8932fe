"""WSGI apps behind real servers, over sockets: what goes wrong stays with who does it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support import http
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

MIB = 1024 * 1024
APP = "tests.support.apps.wsgi_faults:app"


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    with serve(name, APP) as running:
        yield running


def ask(server: Server, path: str, method: str = "GET", **options: Any) -> httpx.Response:
    return http.request(method, server.url + path, timeout=20, **options)


def status(server: Server) -> dict[str, int]:
    found: dict[str, int] = ask(server, "/status").json()
    return found


@contextmanager
def connection(server: Server, request: str) -> Iterator[socket.socket]:
    """A socket on which `request` was sent, line ends written as `\\n`."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        yield raw


def read_all(raw: socket.socket) -> bytes:
    chunks = []
    while chunk := raw.recv(65_536):
        chunks.append(chunk)
    return b"".join(chunks)


@pytest.mark.parametrize("path", ["/exits", "/injects", "/silent", "/late"])
def test_an_error_is_a_500(server: Server, path: str) -> None:
    """Of the one request; the next one is answered, with nothing injected."""
    for _ in range(2):
        response = ask(server, path)
        assert response.status_code == 500
        assert "set-cookie" not in response.headers
    assert ask(server, "/valid").text == "nothing"


def test_an_answer_that_breaks_off(server: Server) -> None:
    """Breaks the connection off: there are never two answers, and none that looks whole."""
    with pytest.raises(httpx.RemoteProtocolError):
        ask(server, "/cut")
    assert ask(server, "/valid").text == "nothing"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_validator(server: Server, method: str) -> None:
    """`wsgiref.validate` finds nothing, with and without a body."""
    content = b"hello" if method in ("POST", "OPTIONS") else None
    response = ask(server, "/valid", method, content=content)
    assert response.status_code == 200
    assert response.text == {"GET": "nothing", "HEAD": ""}.get(method, "hello")


def test_a_form(server: Server) -> None:
    """Reaches Flask."""
    response = ask(server, "/files/form", "POST", data={"name": "Ada"})
    assert response.json() == {"form": {"name": "Ada"}, "length": 8}


def test_a_chunked_form(server: Server) -> None:
    """Reaches Flask too, although it has no length."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    chunks = iter([b"name=", b"Ada"])
    response = ask(server, "/files/form", "POST", content=chunks, headers=headers)
    assert response.json() == {"form": {"name": "Ada"}, "length": None}


def test_100_continue(server: Server) -> None:
    """Is sent when the app reads, and the body after it is read."""
    request = (
        "POST /files/up HTTP/1.1\nHost: a\nContent-Length: 5\nExpect: 100-continue\n"
        "Connection: close\n\n"
    )
    with connection(server, request) as raw:
        assert raw.recv(25).startswith(b"HTTP/1.1 100")
        raw.sendall(b"hello")
        assert read_all(raw).endswith(b"5")


def test_a_client_that_goes(server: Server) -> None:
    """Ends the app's iteration and closes its iterable; the mount's two threads are free again."""
    for _ in range(3):
        before = status(server)
        with connection(server, "GET /endless HTTP/1.1\nHost: a\n\n") as raw:
            assert raw.recv(20)
        wait_until(lambda: status(server)["closed"] > before["closed"])  # noqa: B023
        assert status(server)["finished"] == 0


def test_a_slow_reader_holds_the_app_back(server: Server) -> None:
    """A client that does not read makes no app fill the memory."""
    ask(server, "/reset", "POST")
    before = status(server)["peak"]
    with connection(server, "GET /files/down/256 HTTP/1.1\nHost: a\n\n") as raw:
        assert raw.recv(20)
        time.sleep(0.5)
        grown = status(server)["peak"] - before
    assert grown < 5 * MIB
    # hypercorn may hold much of an answer to a client that has gone, until the app has ended.
    wait_until(lambda: status(server)["files"] == 0)


def test_large_bodies_in_bounded_memory(server: Server, name: str) -> None:
    """Much more goes through than is ever held: half a GiB each way on one server, less on the
    others."""
    size = 512 if name == "uvicorn-httptools" else 128
    ask(server, "/files/down/1")
    ask(server, "/reset", "POST")
    before = status(server)["peak"]
    with http.stream("GET", f"{server.url}/files/down/{size}", timeout=60) as response:
        received = sum(map(len, response.iter_raw()))
    assert received == size * MIB
    chunk = b"x" * 65_536
    headers = {"content-length": str(size * MIB)}
    response = http.post(
        f"{server.url}/files/up",
        content=(chunk for _ in range(size * 16)),
        headers=headers,
        timeout=60,
    )
    assert response.text == str(size * MIB)
    assert status(server)["peak"] - before < 32 * MIB


def test_an_app_that_hangs(name: str) -> None:
    """Takes its own threads alone: the others answer, it answers 503 when its queue is full, and
    the server stops when it is told to."""
    with serve(name, APP) as server:
        sockets = []
        for _ in range(3):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            raw.sendall(b"GET /hangs HTTP/1.1\r\nHost: a\r\n\r\n")
            sockets.append(raw)
        wait_until(lambda: status(server)["hangs"] == 3)  # two have threads, one waits
        assert ask(server, "/hangs").status_code == 503
        started = time.monotonic()
        assert ask(server, "/valid").text == "nothing"
        assert time.monotonic() - started < 2
        for raw in sockets:
            raw.close()
        wait_until(lambda: status(server)["hangs"] == 0)  # the server has told that they have gone
        pid = status(server)["pid"]
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)
        wait_until(lambda: not _is_running(pid))


GRACE = {
    "uvicorn-httptools": ["--timeout-graceful-shutdown", "1"],
    "uvicorn-h11": ["--timeout-graceful-shutdown", "1"],
    "hypercorn-asyncio": ["--graceful-timeout", "1"],
    "hypercorn-trio": ["--graceful-timeout", "1"],
    "granian": ["--workers-kill-timeout", "1"],
}


def test_an_app_that_hangs_outlives_no_grace(name: str) -> None:
    """While its client still waits, the server waits as long as it was told to, and ends: the
    thread holds up nothing."""
    with serve(name, APP, options=GRACE[name]) as server:
        pid = status(server)["pid"]
        with connection(server, "GET /hangs HTTP/1.1\nHost: a\n\n"):
            wait_until(lambda: status(server)["threads"] == 1)
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(12)
            wait_until(lambda: not _is_running(pid))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
