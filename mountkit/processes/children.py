"""One start of a command: its socket, its shim, its output, and its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from mountkit.exceptions import MountkitError, spelled
from mountkit.processes.commands import Command, Place
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.targets import Target
from mountkit.proxy.upstreams import Limits, Upstream

SHIM: Path = Path(__file__).with_name("shim.py")

# Seconds between looks at a command that does not answer yet.
_STEP = 0.05
# Seconds that the shim has, beyond those of the command, and that what was printed has to come.
_SPARE = 5.0
_LAST_WORDS = 1.0
_LONGEST_LINE = 16 * 1024


class ProcessError(MountkitError, RuntimeError):
    """A command did not start, or did not answer."""


class Child:
    """A command that was started.

    Args:
        grace: seconds from SIGTERM to SIGKILL.
        log: is called with each line that it prints.

    Raises:
        ProcessError: nothing can be started.

    Attributes:
        pid: 0 until it runs.
        url: where it listens.
        ended: how, once it has: "has ended with status 1".
    """

    def __init__(self, command: Command, grace: float, log: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.pid: int = 0
        self.ended: asyncio.Future[str] = loop.create_future()
        self._grace = grace
        self._log = log
        self._last = ""
        try:
            self._place = Place(is_open=command.takes_fd)
            self._control, self._shim, output = _spawn(self._place, command, grace)
        except OSError as exc:
            raise ProcessError(f"It cannot be started: {exc}.") from exc
        self.url: str = f"unix:{self._place.path}"
        self._draining = loop.create_task(self._drain(output))
        self._living = loop.create_task(self._live())

    async def ready(self, path: str | None, seconds: float) -> None:
        """Wait until it answers.

        Args:
            path: see `Process`.

        Raises:
            ProcessError: it has ended, or does not answer in time.
        """
        probing = asyncio.create_task(self._answering(path, seconds))
        try:
            both: list[asyncio.Future[Any]] = [probing, self.ended]
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            probing.cancel()
        last = f" It has printed {self._last!r}." if self._last else ""
        if self.ended.done():
            raise ProcessError(f"It {self.ended.result()}, and has not answered before.{last}")
        if not probing.done():
            where = "" if path is None else f" at {path!r}"
            raise ProcessError(f"It has not answered{where} within {spelled(seconds)}.{last}")

    async def _answering(self, path: str | None, seconds: float) -> None:
        target, deadline = Target.parse(self.url), monotonic() + seconds
        while True:
            limits = Limits(max(deadline - monotonic(), _STEP), None, None, 0.0, None)
            with suppress(ProxyError):
                status = await Upstream(target, limits).probe(path or "/", "localhost")
                if path is None or status < 400:
                    return
            await asyncio.sleep(_STEP)

    def abandon(self) -> None:
        """Have it end: SIGTERM now, and SIGKILL to what is left after its grace."""
        with suppress(OSError):  # it has ended
            self._control.shutdown(socket.SHUT_WR)

    async def stop(self) -> None:
        """Have it end, and wait for that."""
        self.abandon()
        await asyncio.wait([self.ended], timeout=self._grace + _SPARE)
        if not self.ended.done():
            self._shim.kill()
            await asyncio.wait([self.ended])

    async def _live(self) -> None:
        """Listen to the shim until there is nothing left of the command."""
        how = "was killed"
        reader, writer = await asyncio.open_unix_connection(sock=self._control)
        try:
            while line := await _line_of(reader):
                said = json.loads(line)
                self.pid = said.get("pid", self.pid)
                if "failed" in said:
                    how = f"cannot be started ({said['failed']})"
                elif "status" in said:
                    how = _how(said["status"])
        finally:
            writer.close()
        if how == "was killed" and self.pid:  # the shim, so that nothing else ends the others
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        while self._shim.poll() is None:  # noqa: ASYNC110
            await asyncio.sleep(_STEP)
        # A process that has left the group may hold the pipe.
        await asyncio.wait([self._draining], timeout=_LAST_WORDS)
        self._draining.cancel()
        self._place.remove()
        self.ended.set_result(how)

    async def _drain(self, output: int) -> None:
        """Log what is printed, line by line."""
        reader, rest = asyncio.StreamReader(), b""
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb", 0)
        )
        try:
            while data := await reader.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    lines.append(rest)
                    rest = b""
                self._print(lines)
        finally:
            self._print([rest])
            transport.close()

    def _print(self, lines: list[bytes]) -> None:
        for line in lines:
            if text := line.decode(errors="replace").rstrip():
                self._last = text
                self._log(text)


def _spawn(
    place: Place, command: Command, grace: float
) -> tuple[socket.socket, subprocess.Popen[bytes], int]:
    """Start a command; its shim, the socket to that, and the pipe of what is printed.

    Raises:
        OSError: there are too many processes, or no memory.
    """
    fds = [] if place.listener is None else [place.listener.fileno()]
    environment = command.environment(os.environ)
    order = {
        "command": [place.filled(one) for one in command.arguments],
        "env": {name: place.filled(value) for name, value in environment.items()},
        "cwd": command.cwd,
        "fds": fds,
        "grace": grace,
        "socket": place.path,
    }
    ours, theirs = socket.socketpair()
    output, end = os.pipe()
    try:
        shim = subprocess.Popen(
            [sys.executable, str(SHIM), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=end,
            pass_fds=[theirs.fileno(), *fds],
            start_new_session=True,  # Ctrl-C is not for it
        )
        ours.sendall(json.dumps(order).encode() + b"\n")
    except OSError:
        ours.close()
        os.close(output)
        place.remove()
        raise
    finally:
        theirs.close()
        os.close(end)
        place.close()
    ours.setblocking(False)
    return ours, shim, output


async def _line_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ConnectionError:  # the shim was killed with something unread
        return b""


def _how(status: int) -> str:
    if status >= 0:
        return f"has ended with status {status}"
    names = {one.value: one.name for one in signal.Signals}  # not of all real-time signals
    return f"was ended by {names.get(-status, f'signal {-status}')}"
