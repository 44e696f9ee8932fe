"""A URL as a target, beside other proxies to the same upstream: `scripts/bench proxy`.

All run at the same time and take turns: the bare app (uvicorn, httptools, uvloop), and in front of
it mountkit's `Proxy` and proxies of httpx and httpx2 (uvicorn too), nginx and Caddy. What is not
installed is skipped, and named. `apt install nginx`; Caddy comes with the group `bench`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.measuring import DOCS, Work, interleaved, quote, table, write
from benchmarks.wsgi import requests
from mountkit import Proxy

PAGE_OF_DOCS = DOCS / "proxy.md"
OWN = "mountkit"
MIB = 1024 * 1024
#: Of a body in the rounds, and of that during which memory is measured.
SIZE = 256 * MIB
WHOLE = 1024 * MIB
CHUNK = b"x" * (64 * 1024)
PEERS = (OWN, "httpx", "httpx2", "nginx", "Caddy")
_SECONDS = 60

NGINX = """
daemon off; master_process off; error_log stderr crit; pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; default_type text/plain;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000000;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
  persist_config off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{upstream}
}}
"""


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """`/`: hello; `/down/<bytes>`: a body; POST: takes one."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    more = scope["method"] == "POST"
    while more:
        more = (await receive()).get("more_body", False)
    size = int(scope["path"].rpartition("/")[2] or 0)
    length = b"%d" % (size or 5)
    headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(size // len(CHUNK)):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if size else b"hello"})


def client_proxy(name: str, url: str) -> ASGIApp:
    """What one writes with httpx, or with httpx2: bodies as streams, and nothing else."""
    module = import_module(name)
    client = module.AsyncClient(base_url=url, timeout=None, trust_env=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])

        async def body() -> AsyncIterator[bytes]:
            more = True
            while more:
                message = await receive()
                more = message.get("more_body", False)
                yield message.get("body", b"")

        content = body() if scope["method"] == "POST" else None
        asked = client.build_request(
            scope["method"], scope["path"], headers=scope["headers"], content=content
        )
        answer = await client.send(asked, stream=True)
        headers = [(n.lower(), v) for n, v in answer.headers.raw if n.lower() != b"connection"]
        start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
        await send(start)
        async for chunk in answer.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    return app


def served_by_uvicorn() -> ASGIApp:
    """What `uvicorn --factory` calls; the arguments behind `--` say which."""
    name, url = os.environ["PROXY"].split()
    return Proxy(url) if name == OWN else client_proxy(name, url)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running(
    command: list[str], port: int, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **(env or {})}
        )
        deadline = time.monotonic() + _SECONDS
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        output.seek(0)
                        raise RuntimeError(f"{command}: {output.read().decode()}") from None
                    time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def program(name: str) -> str | None:
    """Where it is: beside this Python, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def command_of(name: str, upstream: int, port: int, folder: Path) -> list[str] | None:
    """What starts one of the peers; `None` if it is not installed."""
    values = {"upstream": upstream, "port": port, "folder": folder}
    if name == "nginx":
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(**values), "utf-8")
        found = program("nginx")
        return found and [found, "-c", str(config), "-p", str(folder)]  # type: ignore[return-value]
    if name == "Caddy":
        config = folder / "Caddyfile"
        config.write_text(CADDY.format(**values), "utf-8")
        found = program("caddy")
        return found and [found, "run", "--adapter", "caddyfile", "--config", str(config)]  # type: ignore[return-value]
    if name != OWN and find_spec(name) is None:
        return None
    return uvicorn("benchmarks.proxy:served_by_uvicorn", port, "--factory")


def uvicorn(app: str, port: int, *options: str) -> list[str]:
    fast = ["--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "error"]
    return [sys.executable, "-m", "uvicorn", app, "--port", str(port), *fast, *options]


async def down(port: int, n: int, size: int = SIZE) -> None:
    for _ in range(n):
        await asyncio.to_thread(_down, port, size)


async def up(port: int, n: int, size: int = SIZE) -> None:
    for _ in range(n):
        await asyncio.to_thread(_up, port, size)


def _down(port: int, size: int) -> None:
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        connection.sendall(b"GET /down/%d HTTP/1.1\r\nHost: a.com\r\n\r\n" % size)
        buffer, received, head = bytearray(MIB), 0, b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        received = len(head.partition(b"\r\n\r\n")[2])
        while received < size:
            count = connection.recv_into(buffer)
            if not count:
                raise RuntimeError(f"{received} of {size} bytes have come.")
            received += count


def _up(port: int, size: int) -> None:
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        head = b"POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: %d\r\n\r\n" % size
        connection.sendall(head)
        for _ in range(size // len(CHUNK)):
            connection.sendall(CHUNK)
        answer = connection.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer)


def memory(process: subprocess.Popen[bytes], name: str) -> int:
    """`VmRSS` or `VmHWM` of a process, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def grown(process: subprocess.Popen[bytes], transfer: Any, port: int) -> float:
    """MiB by which the peak during a transfer exceeds what the idle process has."""
    before = memory(process, "VmRSS")
    Path(f"/proc/{process.pid}/clear_refs").write_text("5", "ascii")  # forgets the peak
    transfer(port, WHOLE)
    return (memory(process, "VmHWM") - before) / MIB


async def measured(rounds: int) -> dict[str, dict[str, float]]:
    upstream = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(running(uvicorn("benchmarks.proxy:bare", upstream), upstream))
        ports, processes = {"direct": upstream}, {}
        for name in PEERS:
            port = free_port()
            command = command_of(name, upstream, port, folder)
            if command is None:
                print(f"{name} is not installed: skipped.")
                continue
            env = {"PROXY": f"{name} http://127.0.0.1:{upstream}"}
            processes[name] = stack.enter_context(running(command, port, env))
            ports[name] = port
        shares: dict[str, dict[str, Work]] = {
            "hello, one connection": {k: partial(requests, p, 1) for k, p in ports.items()},
            "hello, 16 connections": {k: partial(requests, p, 16) for k, p in ports.items()},
            "256 MiB down": {k: partial(down, p) for k, p in ports.items()},
            "256 MiB up": {k: partial(up, p) for k, p in ports.items()},
        }
        found = {}
        for name, works in shares.items():
            few = rounds if name.startswith("hello") else max(3, rounds // 3)
            times = await interleaved(works, rounds=few, seconds=0.5)
            # What each reaches of the direct way: below 1.
            direct = times["direct"]["median"]
            found[name] = {k: direct / one["median"] for k, one in times.items() if k != "direct"}
        for name, transfer in (("down", _down), ("up", _up)):
            found[f"MiB of memory, 1 GiB {name}"] = {
                key: round(grown(process, transfer, ports[key]), 1)
                for key, process in processes.items()
                if key in (OWN, "nginx", "Caddy")
            }
    return found


def tables(figures: dict[str, dict[str, float]]) -> str:
    """The figures as the documentation shows them."""
    return table("of the direct way", figures)


def main(rounds: int = 11) -> None:
    figures = uvloop.run(measured(rounds))
    write("proxy", figures)
    text = tables(figures)
    quote(PAGE_OF_DOCS, "figures", text)
    print(text)


if __name__ == "__main__":
    main()
