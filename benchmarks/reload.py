"""A reload of `mountkit serve`, with few mounts and with many, while a client asks without a pause.

Each reload adds one mount, removes one and gives one other conditions. The time is that from SIGHUP
to the moment when the worker serves the new site; the longest answer is the slowest that the client
got meanwhile. Nothing may be lost.

    scripts/bench reload
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import DOCS, quote, table, write

SIZES = (10, 1_000, 10_000)
RELOADS = 9
PAGE_OF_DOCS = DOCS / "serve.md"

_APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})
"""
_SERVING = re.compile(r"Serving on http://[^:]+:(\d+)")
_SERVED = "is served:"
_REFUSED = "Not changed"


def text_of(size: int, number: int) -> str:
    """The file of a site of so many mounts, after so many edits."""
    paths = [*(f"/m{n}" for n in range(size - 2)), f"/new{number}"]
    mounts = "".join(f'[[mount]]\npath = "{path}"\napp = "apps:app"\n' for path in paths)
    changed = f'[[mount]]\npath = "/"\nquery = {{ version = "{number}" }}\napp = "apps:app"\n'
    return f"[server]\nport = 0\n[server.log]\naccess = false\n{mounts}{changed}"


class Output:
    """What a process prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(self._process.stdout)

    def wait(self, is_true: Callable[[str], object], start: int = 0) -> str:
        """The first line from `start` on of which something is true."""
        for _ in range(600_000):
            for line in self.lines[start:]:
                if is_true(line):
                    return line
            if self._process.poll() is not None:
                break
            time.sleep(0.0005)
        raise SystemExit("".join(self.lines[-20:]))


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Output]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mountkit", "serve", str(folder / "mountkit.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process, Output(process)
    finally:
        process.terminate()
        process.wait(60)


class Client(threading.Thread):
    """Asks one path again and again, and keeps the times."""

    def __init__(self, port: int, size: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._path = f"/m{size // 2}/x"
        self.times: list[float] = []
        self.lost = 0
        self.is_over = False

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self.is_over:
            start = time.perf_counter()
            connection.request("GET", self._path)
            response = connection.getresponse()
            response.read()
            self.lost += response.status != 200
            self.times.append(time.perf_counter() - start)
            time.sleep(0.001)
        connection.close()


def measured(size: int) -> dict[str, float]:
    """The figures of one size."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "apps.py").write_text(_APP, encoding="utf-8")
        file = folder / "mountkit.toml"
        file.write_text(text_of(size, 0), encoding="utf-8")
        start = time.perf_counter()
        with served(folder) as (process, output):
            line = output.wait(_SERVING.search)
            started = time.perf_counter() - start
            found = _SERVING.search(line)
            assert found is not None
            client = Client(int(found[1]), size)
            client.start()
            times: list[float] = []
            for number in range(1, RELOADS + 1):
                file.write_text(text_of(size, number), encoding="utf-8")
                at, start = len(output.lines), time.perf_counter()
                process.send_signal(signal.SIGHUP)
                line = output.wait(lambda text: _SERVED in text or _REFUSED in text, at)
                if _REFUSED in line:
                    raise SystemExit(line)
                times.append(time.perf_counter() - start)
            client.is_over = True
            client.join(60)
    if client.lost or client.is_alive():
        raise SystemExit(f"{client.lost} requests were lost.")
    return {
        "start, ms": round(started * 1000),
        "reload, ms": round(statistics.median(times) * 1000),
        "longest answer, ms": round(max(client.times) * 1000),
        "requests meanwhile": len(client.times),
        "lost": client.lost,
    }


def main() -> None:
    figures = {f"{size:,}": measured(size) for size in SIZES}
    write("reload", figures)
    text = tables(figures)
    quote(PAGE_OF_DOCS, "reload", text)
    print(text)


def tables(figures: dict[str, dict[str, float]]) -> str:
    """The figures as the documentation shows them."""
    return table("mounts", figures)


if __name__ == "__main__":
    main()
