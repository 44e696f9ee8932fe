"""Caddy, Envoy, HAProxy, nginx and Traefik as processes on the loopback interface, and upstreams
that tell which one they are."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from mountkit.export import traefik
from mountkit.export.names import Options
from mountkit.export.upstreams import Upstream
from tests.support.exporting import Asked

_SECONDS = 30.0
_READY = Asked("/ready", headers=(("Host", "a..com"),))
_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/exported.yaml;
}}
"""


def executable(name: str) -> str | None:
    """Where a router is: beside this Python, on the path, or where Debian has it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    return shutil.which(name, path=path)


def command(name: str, folder: Path, port: int = 0, *, is_check: bool = False) -> list[str]:
    """What starts a router with the file `exported` in a folder, or checks the file."""
    program, file = executable(name) or name, f"{folder}/exported.yaml"
    if name == "nginx":
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder))
        return [program, "-p", str(folder), "-c", f"{folder}/nginx.conf", *["-t"] * is_check]
    if name == "haproxy":
        return [program, *(["-c"] if is_check else ["-db"]), "-f", file]
    if name == "caddy":
        return [
            program,
            "validate" if is_check else "run",
            "--adapter",
            "caddyfile",
            "--config",
            file,
        ]
    if name == "envoy":
        mode = ["--mode", "validate"] if is_check else ["--concurrency", "1", "-l", "error"]
        return [program, "-c", file, "--disable-hot-restart", *mode]
    arguments = traefik.arguments(Options("", "127.0.0.1", port), file)
    return [program, *arguments, "--log.level=ERROR", "--global.checkNewVersion=false"]


def checked(name: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A router's own check of a file."""
    (folder / "exported.yaml").write_text(text)
    return subprocess.run(
        command(name, folder, is_check=True), capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
    )  # fmt: skip


@contextmanager
def running(name: str, text: str, port: int, folder: Path) -> Iterator[None]:
    """A router with this file, which has it listen on this port."""
    (folder / "exported.yaml").write_text(text)
    with _process(command(name, folder, port), folder, port, lambda seen: seen.status == 400):
        yield


@contextmanager
def traefik_of_gateway(api: str, port: int, folder: Path) -> Iterator[None]:
    """Traefik, which reads its routes from a Kubernetes API, and listens on this port."""
    provider = "--providers.kubernetesgateway"
    started = [
        *(executable("traefik") or "", f"--entryPoints.web.address=127.0.0.1:{port}"),
        *(provider, f"{provider}.endpoint={api}", f"{provider}.token=x"),
        *("--log.level=ERROR", "--global.checkNewVersion=false"),
    ]
    with _process(started, folder, port, lambda seen: seen.upstream != ""):
        yield


@contextmanager
def _process(
    started: list[str], folder: Path, port: int, is_ready: Callable[[Seen], bool]
) -> Iterator[None]:
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    env["XDG_CONFIG_HOME"] = str(folder)
    with TemporaryFile() as output:
        process = subprocess.Popen(
            started, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env
        )
        try:
            _wait(process, port, output, is_ready)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(
    process: subprocess.Popen[bytes], port: int, output: Any, is_ready: Callable[[Seen], bool]
) -> None:
    """Until it answers a request as it should: Traefik listens before it has read its routes.

    Args:
        is_ready: of what every exported router refuses, and the Gateway API knows not to be one.
    """
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, EOFError), Client(port) as client:
            if is_ready(client.ask(_READY)):
                return
        time.sleep(0.02)
    output.seek(0)
    raise AssertionError(f"The router does not answer.\n{output.read().decode()[-5000:]}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Seen(NamedTuple):
    """What an upstream has seen, or the status that the router has answered."""

    status: int
    upstream: str = ""
    target: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def to(self) -> str | int:
        return self.upstream or self.status


@contextmanager
def upstreams(count: int) -> Iterator[list[Upstream]]:
    """Servers that answer each request with what they have seen of it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> list[Any]:
        return [await asyncio.start_server(_serve, "127.0.0.1", 0) for _ in range(count)]

    async def stop() -> None:
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    servers = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield [Upstream("127.0.0.1", server.sockets[0].getsockname()[1]) for server in servers]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    name = Upstream("127.0.0.1", writer.get_extra_info("sockname")[1]).name
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = [[part.strip() for part in line.split(":", 1)] for line in lines]
            body = json.dumps([name, first.split(" ", 1)[1].rpartition(" ")[0], headers]).encode()
            is_head = first.startswith("HEAD ")
            start = f"HTTP/1.1 200 OK\r\nX-Upstream: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
            if any(key.lower() == "upgrade" and value == "websocket" for key, value in headers):
                start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                start += f"Connection: Upgrade\r\nX-Upstream: {name}\r\n"
                start += "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                is_head = True
            writer.write(start.encode() + (b"" if is_head else body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Client:
    """Sends requests as they are, one after the other, on one connection if it is kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def ask(self, asked: Asked) -> Seen:
        is_kept = self._socket is not None
        try:
            return self._ask(asked.raw)
        except (ConnectionError, EOFError):
            self._close()
            if is_kept:  # it was closed in the meantime
                return self.ask(asked)
            raise

    def _ask(self, raw: bytes) -> Seen:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self._socket.sendall(raw)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if "x-upstream" not in headers or "content-length" not in headers:
            self._close()  # the router's own answer, or a switch of protocols
            return Seen(status, headers.get("x-upstream", ""))
        while len(body) < int(headers["content-length"]):
            body += self._more()
        if headers.get("connection", "").lower() == "close":
            self._close()
        name, target, seen = json.loads(body)
        return Seen(status, name, target, tuple((k.lower(), v) for k, v in seen))

    def _more(self) -> bytes:
        assert self._socket is not None
        chunk = self._socket.recv(65536)
        if not chunk:
            raise EOFError
        return chunk
