"""The example of scaling: one site in three sizes, which all answer alike."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import pytest

from examples.scaling.__main__ import ROUTERS, executable
from tests.support.scaling import FOLDER, answers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = FOLDER.parents[1]
_UP = re.compile(r"The site is up: http://localhost:(\d+)/")
SIZES = ["processes", *(f"machines --router {router}" for router in ROUTERS)]


@contextmanager
def running(size: str) -> Iterator[int]:
    """The example in a size; its port. It ends by a signal, with all of its processes."""
    with TemporaryFile() as output:
        command = [sys.executable, "-m", "examples.scaling", *size.split(), "--port", "0"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)

        def said() -> str:
            return os.pread(output.fileno(), 1_000_000, 0).decode()

        try:
            wait_until(lambda: bool(_UP.search(said())) or process.poll() is not None)
            found = _UP.search(said())
            assert found is not None, said()
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130, said()
        assert "Traceback" not in said()
        # uvicorn says so of a handshake that was refused with an answer.
        errors = [line for line in said().splitlines() if "ERROR" in line]
        assert [line for line in errors if "without completing handshake" not in line] == []


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The answers of one process."""
    with running("one") as port:
        return answers(port)


def test_one_process(whole: dict[str, Any]) -> None:
    """What it answers is not nothing."""
    status, headers, cookies, text = whole["GET example.com/shop/items/a%2Fb"]
    assert (status, headers["content-type"], cookies) == (200, "application/json", [])
    assert '"url":"http://example.com/shop/items/a/b"' in text
    assert '"root_path":"/shop"' in text
    assert whole["GET example.com/shop/basket"][2] == [
        "basket=1; Path=/shop; SameSite=lax",
        "seen=anvil; Path=/shop; SameSite=lax",
    ]
    assert whole["navigate /shop"][:1] == (307,)
    assert whole["GET acme.example.com/"][3] == '{"tenant":"acme","url":"http://acme.example.com/"}'
    assert whole["stream"][1::2] == ["data: open", "data: sold"]
    told = ("chat", "ws://example.com/shop/chat", b"\x00\xff", 4001, "closed")
    assert (whole["websocket"], whole["no websocket"]) == (told, 403)


@pytest.mark.parametrize("size", SIZES)
def test_all_sizes_answer_alike(size: str, whole: dict[str, Any]) -> None:
    """Status, headers, cookies and bodies, streams and websockets."""
    router = size.rpartition(" ")[2] if " " in size else ""
    if router and executable(router) is None:
        pytest.skip(f"{router} is not installed")
    with running(size) as port:
        assert answers(port) == whole


def test_a_router_that_is_missing() -> None:
    """The example says which one, and how to get one."""
    env = {**os.environ, "PATH": "/nonexistent"}
    missing = next((router for router in ROUTERS if executable(router) is None), None)
    if missing is None:
        pytest.skip("all routers are installed")
    command = [sys.executable, "-m", "examples.scaling", "machines", "--router", missing]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert f"{missing} is not installed" in done.stderr
