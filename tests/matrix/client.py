"""A client of one app of the matrix: it asks below the prefix, and nowhere else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.matrix.facts import Facts
from tests.matrix.places import Place

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


def normal(url: str) -> str:
    """A URL as a browser would send it."""
    return quote(unquote(url), safe=":/?=&%#,@+~")


@dataclass
class Site:
    """An app that is mounted and served."""

    facts: Facts
    place: Place
    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"host": f"{self.place.host}:{self.port}"},
            timeout=20,
            trust_env=False,
        )

    @property
    def origin(self) -> str:
        return f"http://{self.place.host}:{self.port}"

    @property
    def base(self) -> str:
        """The URL of the prefix, without a slash."""
        return self.origin + self.place.quoted

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")

    def absolute(self, link: str, page: str = "/") -> str:
        """What a browser makes of a link on a page; it has to stay below the prefix."""
        url = normal(urljoin(f"{self.base}{page}", link))
        assert url == self.base or url.startswith(f"{self.base}/"), f"{link} leaves {self.base}"
        return url

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        parts = urlsplit(self.absolute(url))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return self.http.request(method, target or "/", **options)

    def get(self, url: str, **options: Any) -> httpx.Response:
        """Ask for a URL, absolute or relative to the prefix."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.request("POST", url, **options)

    def location(self, response: httpx.Response, status: int) -> str:
        """Where a redirect leads to."""
        assert response.status_code == status, response.text
        raw = next(v for k, v in response.headers.raw if k.lower() == b"location")
        assert raw.isascii(), f"Location {raw!r} is not ASCII"
        return self.absolute(
            raw.decode(), urlsplit(str(response.url)).path[len(self.place.quoted) :]
        )

    @contextmanager
    def stream(self, url: str) -> Iterator[Iterator[bytes]]:
        with self.http.stream("GET", urlsplit(self.absolute(url)).path) as response:
            assert response.status_code == 200
            yield response.iter_raw()

    def websocket(self, url: str, **options: Any) -> ClientConnection:
        target = self.absolute(url).replace("http://", "ws://", 1)
        sock = socket.create_connection(("127.0.0.1", self.port))
        return connect(target, sock=sock, open_timeout=20, proxy=None, **options)

    def stop(self) -> int:
        """Ask the server to end; its exit status."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)


@contextmanager
def serve(name: str, facts: Facts, place_name: str, place: Place, way: str) -> Iterator[Site]:
    """Start a server of its own for one app, place and way."""
    with (
        TemporaryDirectory(prefix="matrix-") as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        environ = {
            **os.environ,
            "MATRIX_FOLDER": folder,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        with open(f"{folder}/output", "wb") as output:
            arguments = [name, place_name, way, str(listener.fileno())]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.matrix.serve", *arguments],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            )
        port: int = listener.getsockname()[1]
        listener.close()
        site = Site(facts, place, port, Path(folder), process)
        try:
            _wait(site)
            yield site
        finally:
            try:
                site.stop()
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(site: Site) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert site.process.poll() is None, f"The server has ended.\n{site.output}"
        try:
            site.http.head("/-/outside")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"The server did not answer in time.\n{site.output}")
