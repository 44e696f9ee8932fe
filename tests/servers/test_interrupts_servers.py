"""Ctrl-C on real servers, at every phase of their life: apps go down, and nothing is said that
nobody needs."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support import http
from tests.support.servers import SERVERS, Server, exit_status, serve, start
from tests.support.waiting import wait_until


@pytest.fixture(params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each server."""
    return str(request.param)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    """Where the apps write what happens to them."""
    path = tmp_path / "record"
    path.touch()
    return path


def environ(record: Path, phase: str) -> dict[str, str]:
    return {"TEST_RECORD": str(record), "TEST_PHASE": phase}


def interrupt(server: Server) -> None:
    """Ctrl-C in a terminal reaches every process of the server."""
    os.killpg(server.process.pid, signal.SIGINT)


def noise(server: Server) -> list[str]:
    """What of the output is mountkit's, or a traceback."""
    return [
        line
        for line in server.output.splitlines()
        if "Traceback" in line or "mounted at" in line or "never retrieved" in line
    ]


def wait_for(record: Path, line: str) -> None:
    wait_until(lambda: line in record.read_text().splitlines(), shown=record.read_text)


@pytest.mark.parametrize("variant", [name for name in SERVERS if name != "granian"])
def test_while_an_app_starts(variant: str, record: Path) -> None:
    """Servers let it come up, and take all down then; in the order of any shutdown. granian hangs,
    whatever app it has."""
    target = "tests.support.apps.interrupted:app"
    with start(variant, target, env=environ(record, "startup")) as server:
        wait_for(record, "slow starts")
        interrupt(server)
        exit_status(server)
        assert noise(server) == []
    lines = record.read_text().splitlines()
    assert lines[:2] == ["raw up", "slow starts"]
    assert lines[2:] in ([], ["slow down", "raw down"])


@pytest.mark.parametrize("phase", ["raises", "raises-raw"])
def test_an_app_that_raises_it_as_it_starts(name: str, record: Path, phase: str) -> None:
    """It is this app that failed: the others are told to stop, and the server says which it was and
    ends; hypercorn took it for an app without a lifespan, and served on."""
    target = "tests.support.apps.interrupted:app"
    with start(name, target, env=environ(record, phase), fails=True) as server:
        assert exit_status(server) != 0, server.output
        where = "/slow" if phase == "raises" else "/interrupts"
        assert f"The app mounted at {where!r} (" in server.output
    lines = [line for line in record.read_text().splitlines() if line.startswith("raw")]
    assert lines == ["raw up", "raw down"]


def test_while_it_serves(name: str, record: Path) -> None:
    """With a stream and a websocket open, whose clients leave then."""
    with serve(name, "tests.support.apps.interrupted:app", env=environ(record, "")) as server:
        assert http.get(f"{server.url}/wsgi").text == "wsgi"
        with socket.create_connection(("127.0.0.1", server.port)) as streamed:
            streamed.sendall(b"GET /slow/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert streamed.recv(4) == b"HTTP"
            with connect(f"{server.ws_url}/slow/echo") as ws:
                ws.send("x")
                assert ws.recv() == "x"
                interrupt(server)
        exit_status(server)
        assert noise(server) == []
    assert record.read_text().splitlines()[2:] == ["slow down", "raw down"]


def test_while_an_app_hangs_in_its_shutdown(name: str, record: Path) -> None:
    """It is given up, the others go down, and the log says which it was."""
    target = "tests.support.apps.interrupted:app"
    with serve(name, target, env=environ(record, "shutdown")) as server:
        interrupt(server)
        exit_status(server)
        assert "The app mounted at '/slow' (" in server.output
        assert "did not stop within 0.3 seconds" in server.output
    assert record.read_text().splitlines()[2:] == ["raw down"]


@pytest.mark.parametrize("variant", ["uvicorn-httptools", "uvicorn-h11"])
def test_twice(variant: str, record: Path) -> None:
    """uvicorn is forced to end, and cancels every task; mountkit has nothing to say of that."""
    with serve(variant, "tests.support.apps.interrupted:app", env=environ(record, "")) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as streamed:
            streamed.sendall(b"GET /slow/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert streamed.recv(4) == b"HTTP"
            interrupt(server)
            wait_until(
                lambda: "CTRL+C to force quit" in server.output.split("Shutting down")[-1],
                shown=lambda: server.output,
            )
            interrupt(server)
            exit_status(server)
        assert "mounted at" not in server.output
