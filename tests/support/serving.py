"""`mountkit serve` as a user runs it: a folder with a file and its apps, and a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx

from tests.support.programs import is_alive
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 20.0
_URL = re.compile(r"Serving on (?:https?://[^ ,]+:(\d+)|unix:(\S+))")
_PAGE = re.compile(r"Status page on http://[^ ]+:(\d+)\.")

#: An app that says which process serves it, and what it is. `/stream` sends a number every 20 ms
#: until its mount is told to stop, at most `?n=`; a websocket echoes.
APP = """
import asyncio, os, sys

NAME = "one"


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            print(f"lifespan {NAME} {message['type'].rpartition('.')[2]}", file=sys.stderr, flush=True)
            await send({"type": f"{message['type']}.complete"})
            if message["type"].endswith("shutdown"):
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{NAME} {message['text']}"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"].endswith("/stream"):
        for number in range(int(scope["query_string"][2:])):
            await send({"type": "http.response.body", "body": b"%d\\n" % number, "more_body": True})
            await asyncio.sleep(0.02)
    body = f"{NAME} {os.getpid()} {scope['root_path']}".encode()
    await send({"type": "http.response.body", "body": body})
"""


@dataclass
class Site:
    """A site that is served, or was."""

    folder: Path
    process: subprocess.Popen[bytes]
    _output: IO[bytes]

    @property
    def output(self) -> str:
        """All that parent and workers have printed so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has printed this text so often."""
        try:
            wait_until(lambda: self.output.count(text) >= times or self.process.poll() is not None)
        except AssertionError:
            raise AssertionError(f"It does not say {text!r}.\n{self.output}") from None
        assert self.output.count(text) >= times, self.output

    @property
    def port(self) -> int:
        """The newest port that it has said."""
        return int(_URL.findall(self.output)[-1][0])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def page(self) -> str:
        """The URL of the status page."""
        self.says("Status page on")
        return f"http://127.0.0.1:{_PAGE.findall(self.output)[-1]}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def workers(self) -> list[int]:
        """The processes of its workers that run."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split() if is_alive(int(pid))]

    def get(self, path: str = "/", **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30, **options)

    def write(self, text: str, name: str = "mountkit.toml") -> None:
        """Put a text in the place of a file, as editors do."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.rename(path)

    def reload(self, text: str | None = None) -> None:
        """Write the file, and have it read."""
        if text is not None:
            self.write(text)
        self.send(signal.SIGHUP)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """Send a signal, if it still runs; the exit status."""
        if number is not None and self.process.poll() is None:
            self.send(number)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It still runs.\n{self.output}") from None


@contextmanager
def start(
    folder: Path,
    text: str | None = None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "mountkit", "serve"),
    **how: Any,
) -> Iterator[Site]:
    """Run the command; it is stopped at the end of the block.

    Args:
        text: of `mountkit.toml`; `None`: none is written.
        how: more for `Popen`.
    """
    if not (folder / "one.py").exists():
        (folder / "one.py").write_text(APP, encoding="utf-8")
    if text is not None:
        (folder / "mountkit.toml").write_text(text, encoding="utf-8")
    environ = {**os.environ, **(env or {}), "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"  # an edit within a second would not be seen
    with TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **how,
        )
        site = Site(folder, process, output)
        try:
            yield site
        finally:
            try:
                site.end()
            except AssertionError:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise


@contextmanager
def serve(folder: Path, text: str | None = None, *arguments: str, **how: Any) -> Iterator[Site]:
    """The same, once it serves."""
    with start(folder, text, *arguments, **how) as site:
        site.says("Stop: Ctrl-C")
        yield site


def ended_within(site: Site, seconds: float) -> bool:
    """Whether it ends within so many seconds."""
    started = time.monotonic()
    site.end(None)
    return time.monotonic() - started < seconds
