"""The WSGI bridge beside its peers: `scripts/bench wsgi`.

In this process: one request after the other, with a fresh scope each, on asyncio and uvloop.
Through servers: the same app by the bridge and by the server's own WSGI, over loopback.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import a2wsgi
import flask
import uvloop
from asgiref.wsgi import WsgiToAsgi
from starlette.types import Message, Scope

from benchmarks.measuring import DOCS, Work, interleaved, quote, ratios, table, write
from mountkit import WSGIBridge

MIB = 1024 * 1024
OWN = "mountkit"
PAGE_OF_DOCS = DOCS / "wsgi.md"

page = flask.Flask("page")
PAGE = "<ul>{% for n in range(50) %}<li>{{ n }} {{ name }}</li>{% endfor %}</ul>"


@page.get("/")
def index() -> str:
    return flask.render_template_string(PAGE, name="Ada")


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def download(size: int, environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    chunk = b"x" * size
    return (chunk for _ in range(10 * MIB // size))


def upload(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    total = 0
    while chunk := environ["wsgi.input"].read(65_536):
        total += len(chunk)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(total).encode()]


#: What is measured: the app, and the bytes of the request's body.
WORKS: dict[str, tuple[Any, int]] = {
    "hello": (hello, 0),
    "Flask page": (page, 0),
    "10 MiB down, 64 KiB chunks": (partial(download, 65_536), 0),
    "10 MiB down, 4 KiB chunks": (partial(download, 4_096), 0),
    "10 MiB up": (upload, 10 * MIB),
}


def bridges(app: Any) -> dict[str, Any]:
    found = {
        OWN: WSGIBridge(app),
        "a2wsgi": a2wsgi.WSGIMiddleware(app),
        "asgiref": WsgiToAsgi(app),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        from uvicorn.middleware import wsgi  # whose public name is a2wsgi's, if that is installed

        found["uvicorn's"] = wsgi._WSGIMiddleware(app)
    return found


CHUNK = b"x" * 65_536


def work(app: Any, size: int) -> Work:
    """Ask an ASGI app, again and again."""

    async def ask() -> None:
        left, is_first, done = size, True, asyncio.Event()

        async def receive() -> Message:
            nonlocal left, is_first
            if left or is_first:
                is_first = False
                body = CHUNK if left else b""
                left -= len(body)
                return {"type": "http.request", "body": body, "more_body": left > 0}
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            """Nobody looks at it."""

        await app(scope_of(size), receive, send)
        done.set()

    async def run(n: int) -> None:
        for _ in range(n):
            await ask()

    return run


def scope_of(size: int) -> Scope:
    headers = [(b"host", b"a.com"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")]
    if size:
        headers.append((b"content-length", b"%d" % size))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST" if size else "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }


async def in_process(rounds: int) -> dict[str, dict[str, float]]:
    found = {}
    for name, (app, size) in WORKS.items():
        works = {peer: work(bridge, size) for peer, bridge in bridges(app).items()}
        found[name] = ratios(await interleaved(works, rounds=rounds, seconds=0.1), OWN)
    return found


# Through servers.

SERVERS: dict[str, list[str]] = {
    f"uvicorn, {OWN}": ["uvicorn", "benchmarks.wsgi:asgi", "--no-access-log"],
    "uvicorn, its own": [
        "uvicorn",
        "benchmarks.wsgi:hello",
        "--interface",
        "wsgi",
        "--no-access-log",
    ],
    f"granian, {OWN}": ["granian", "benchmarks.wsgi:asgi", "--interface", "asgi"],
    "granian, its own": ["granian", "benchmarks.wsgi:hello", "--interface", "wsgi"],
}

asgi = WSGIBridge(hello)


@asynccontextmanager
async def served(command: list[str], cores: set[int] | None = None) -> AsyncIterator[int]:
    """The port of a server that runs, on these cores if they are given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", *command, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if cores:
        os.sched_setaffinity(process.pid, cores)  # its own processes have what it has
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    status = process.returncode  # None: it runs, and does not listen
                    raise RuntimeError(
                        f"{command} does not answer; it ended with {status}."
                    ) from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def requests(port: int, connections: int, n: int) -> None:
    """`n` times a hundred requests, over some connections that are kept."""

    async def client(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head)
            await reader.readexactly(5)
        writer.close()

    await asyncio.gather(*(client(-(-100 * n // connections)) for _ in range(connections)))


async def through_servers(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds for a request, over those with the bridge."""
    found = {}
    names = list(SERVERS)
    for own, native in zip(names[::2], names[1::2], strict=True):
        async with served(SERVERS[own]) as own_port, served(SERVERS[native]) as native_port:
            works: dict[str, Work] = {
                OWN: partial(requests, own_port, 8),
                "server's own": partial(requests, native_port, 8),
            }
            times = await interleaved(works, rounds=rounds, seconds=0.3)
            found[f"hello through {own.partition(',')[0]}"] = ratios(times, OWN)
    return found


def tables(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as the documentation shows them."""
    return "\n\n".join(table(name, rows) for name, rows in figures.items())


def main(rounds: int = 11) -> None:
    started = time.monotonic()
    figures = {
        "asyncio": asyncio.run(in_process(rounds)),
        "uvloop": uvloop.run(in_process(rounds)),
        "servers": uvloop.run(through_servers(rounds)),
    }
    write("wsgi", figures)
    text = tables(figures)
    quote(PAGE_OF_DOCS, "figures", text)
    print(text)
    print(
        f"Times over those of {OWN}'s bridge: above 1 is slower. {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
