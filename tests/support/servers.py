"""Real servers in processes of their own, on ports that the operating system chose."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

#: Server and its protocol implementation or event loop.
SERVERS = (
    "uvicorn-httptools",
    "uvicorn-h11",
    "hypercorn-asyncio",
    "hypercorn-trio",
    "granian",
)

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0


@dataclass
class Server:
    """A server that runs, or ran.

    Attributes:
        port: its port on the loopback interface.
        process: the process, which this helper started and stops by its id.
    """

    port: int
    process: subprocess.Popen[bytes]
    _output: IO[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All that the server has printed so far."""
        # By position: the process writes through the same open file.
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode("utf-8", "replace")

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that does not help; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # its workers too
            self.process.wait()
            raise AssertionError(
                f"The server did not stop within {_STOP_SECONDS:g} seconds.\n{self.output}"
            ) from None


@contextmanager
def start(
    name: str,
    target: str,
    *,
    root_path: str = "",
    env: Mapping[str, str] | None = None,
    fails: bool = False,
    options: Sequence[str] = (),
    uds: Path | None = None,
    folder: Path = _ROOT,
) -> Iterator[Server]:
    """Start a server without waiting for it; it is stopped at the end of the block.

    Args:
        name: one of `SERVERS`.
        target: `package.module:attribute`.
        root_path: what the server is told of a prefix that a proxy has.
        env: environment variables beyond those of the tests.
        fails: the server is going to end by itself.
        options: further options of the server's command.
        uds: listen on this unix socket instead of a port.
        folder: where it is started.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    # granian takes no open socket: it gets the port, freed a moment before.
    fd = None if name == "granian" or uds else listener.fileno()
    if fd is None:
        listener.close()
    # Their coverage is not measured: each would start much later, and what mountkit does in them
    # the other tests cover.
    ours = {key: os.environ[key] for key in os.environ if not key.startswith("COVERAGE_PROCESS")}
    environ = {**ours, **(env or {}), "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}
    with TemporaryFile() as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m"),
                *_command(name, target, root_path, uds or fd, port, fails),
                *options,
            ],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=() if fd is None else (fd,),
            start_new_session=True,
        )
        # With the child's copy alone, a server that ends refuses connections.
        listener.close()
        server = Server(port, process, output)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def serve(name: str, target: str, **how: Any) -> Iterator[Server]:
    """As `start`, once the server answers."""
    with start(name, target, **how) as server:
        _wait_until_it_answers(server)
        yield server


def exit_status(server: Server) -> int:
    """The status with which a server ends by itself.

    Raises:
        AssertionError: it still runs.
    """
    try:
        return server.process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"The server still runs.\n{server.output}") from None


def _command(
    name: str, target: str, root_path: str, fd: int | Path | None, port: int, fails: bool
) -> list[str]:
    server, _, variant = name.partition("-")
    is_unix = isinstance(fd, Path)
    if server == "uvicorn":
        root = ["--root-path", root_path] if root_path else []
        bind = "--uds" if is_unix else "--fd"
        return ["uvicorn", target, bind, str(fd), "--http", variant, "--lifespan", "on", *root]
    if server == "hypercorn":
        root = ["--root-path", root_path] if root_path else []
        # With no workers the process that was started is the one that serves. Under trio it
        # then knows no SIGTERM; and with a worker it ends with 0 although that has failed.
        workers = "1" if variant == "trio" and not fails else "0"
        bind = f"unix:{fd}" if is_unix else f"fd://{fd}"
        options = ["--bind", bind, "--worker-class", variant, "--workers", workers]
        return ["hypercorn", target, *options, *root]
    root = ["--url-path-prefix", root_path] if root_path else []
    listen = ["--uds", str(fd)] if is_unix else ["--port", str(port)]
    return ["granian", target, "--interface", "asgi", *listen, *root]


def exchange_uds(server: Server, path: Path, data: bytes) -> bytes:
    """What comes back over a unix socket until the server closes the connection; it waits until
    there is one."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        received = b""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(path))
            except OSError:
                time.sleep(0.05)
                continue
            connection.sendall(data)
            while chunk := connection.recv(65536):
                received += chunk
            return received
    raise AssertionError(f"The server did not answer in time.\n{server.output}")


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"The server ended before it answered.\n{server.output}")
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
                connection.sendall(request)
                if connection.recv(5) == b"HTTP/":
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"The server did not answer in time.\n{server.output}")


def free_port() -> int:
    """A port that the operating system chose, for programs that take no open socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
