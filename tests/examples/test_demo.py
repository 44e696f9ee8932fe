"""The demo: what `scripts/demo` serves, and the tour that checks it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import serve

ROOT = Path(__file__).parents[2]
SITE = ROOT / "examples/demo/mountkit.toml"
START_PAGE = ROOT / "examples/demo/templates/start.html"


def demo(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **environ},
        check=False,
    )


def test_tour() -> None:
    """Every mount answers as it should; the table says so."""
    found = demo("--tour", NO_COLOR="1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stderr == ""
    assert re.search(r"\d+ answers, all right\.", found.stdout)
    assert "\x1b" not in found.stdout
    for mount in ("Django", "Flask", "FastAPI", "Litestar", "MCP", "tenants", "versions"):
        assert re.search(rf"^ok +{mount} ", found.stdout, re.MULTILINE)


@pytest.fixture
def other() -> Iterator[str]:
    """A server of something else."""
    with serve("uvicorn-h11", "tests.support.apps.empty:app") as server:
        yield server.url


def test_tour_of_something_else(other: str) -> None:
    """Where an answer is wrong the tour goes on, says what it wanted, and exits 1."""
    found = demo("--tour", "--url", other)
    assert found.returncode == 1
    assert re.search(r"^wrong +start page +GET / +404 *$", found.stdout, re.MULTILINE)
    assert "wanted the status 200; wanted 'mountkit demo' in the answer" in found.stdout
    assert re.search(r"^wrong +tenants +GET acme.localhost/ +404 *$", found.stdout, re.MULTILINE)
    assert re.search(r"\d+ answers, \d+ of them wrong\.", found.stdout)


def test_tour_of_nothing() -> None:
    """No server is an answer that is wrong, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = demo("--tour", "--url", f"http://127.0.0.1:{port}")
    assert found.returncode == 1
    assert "ConnectError" in found.stdout
    assert "Traceback" not in found.stdout + found.stderr


def test_port_that_is_taken() -> None:
    """The message says so, and there is no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = demo("--port", str(port))
    assert found.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in found.stderr
    assert "Traceback" not in found.stdout + found.stderr


@pytest.mark.parametrize("port", ["http", "65536", "-1", "8 000", "²"])
@pytest.mark.parametrize("example", ["demo", "saas"])
def test_what_is_no_port(example: str, port: str) -> None:
    """The message says what is one."""
    command = [sys.executable, "-m", f"examples.{example}", f"--port={port}"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.returncode == 2
    wanted = f"Port {port!r} is not a number from 0 to 65535; write e.g. --port 8001.\n"
    assert found.stderr.endswith(wanted)
    assert "Traceback" not in found.stderr


def test_the_tour_is_at_the_port() -> None:
    """That was asked for: where something else is, the tour says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = demo("--tour", "--port", str(port))
    assert found.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in found.stderr
    assert "Traceback" not in found.stdout + found.stderr


@pytest.mark.parametrize("options", [["--tour", "--port", "1"], []], ids=["port", "no-tour"])
def test_a_url_is_of_a_tour_elsewhere(options: list[str]) -> None:
    """It says nothing to a demo that is started."""
    found = demo(*options, "--url", "http://localhost:1")
    assert found.returncode == 2
    assert "--url goes with --tour, and not with --port" in found.stderr


def test_ctrl_c() -> None:
    """Stops it, without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "Serving on" in line:
                break
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=60)[0]
    assert server.returncode == 0
    assert "FastAPI's lifespan has stopped." in rest
    assert "Traceback" not in rest


def test_start_page_lists_every_mount() -> None:
    """A mount that is added to the demo is added to its start page."""
    program = f"""
from pathlib import Path
from mountkit.config.parsing import parse
from mountkit.config.sources import read_source
print(*(f"{{mount.host or ''}}{{mount.path}}" for mount in parse(read_source(Path({str(SITE)!r}))).mounts), sep="\\n")
"""
    labels = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    page = START_PAGE.read_text(encoding="utf-8")
    for label in labels:
        assert f"<code>{label.rstrip('/')}</code>" in page
