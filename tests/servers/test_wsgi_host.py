"""A dispatcher under a server that speaks WSGI alone."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import http

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Gunicorn's sync worker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        fd = listener.fileno()
        command = ["gunicorn", "--bind", f"fd://{fd}", "tests.support.apps.wsgi_host:application"]
        server = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, pass_fds=(fd,), stderr=subprocess.DEVNULL
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        assert server.wait(20) == 0


def ask(url: str, method: str, path: str, **options: object) -> httpx.Response:
    for _ in range(100):
        try:
            return http.request(method, url + path, timeout=20, **options)  # type: ignore[arg-type]
        except httpx.ConnectError:
            time.sleep(0.1)
    raise AssertionError("Gunicorn did not start.")


def test_asgi_app(url: str) -> None:
    """Makes the right URLs."""
    assert ask(url, "GET", "/new/item/3").text == f"{url}/new/item/3"


def test_wsgi_app(url: str) -> None:
    """There and back: WSGI in ASGI in WSGI."""
    assert ask(url, "POST", "/old/form", data={"name": "Ada"}).text == "/old/form Ada"


def test_not_found(url: str) -> None:
    """What no mount takes."""
    assert ask(url, "GET", "/other").status_code == 404
