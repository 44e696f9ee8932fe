"""Serve one app of the matrix at one place in one way: `python -m tests.matrix.serve
FRAMEWORK PLACE WAY FD`, where FD is an open socket that listens."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn

from tests.matrix.places import PLACES, WAYS, Place, neighbour


def application(name: str, place: Place, way: str) -> Any:
    """The app of a framework, mounted."""
    module = import_module(f"tests.matrix.apps.{name}")
    options = getattr(module, "options", lambda prefix: {})(place.prefix)
    mount = place.mount(place.path, module.make(place.prefix), options)
    return WAYS[way](neighbour(place), mount)


def run(app: Any, place: Place, listener: socket.socket) -> None:
    """Serve until SIGTERM comes."""
    if place.server == "hypercorn":
        asyncio.run(_hypercorn(app, place, listener))
        return
    if place.is_stripped:
        behind = socket.create_server(("127.0.0.1", 0))
        target: int = behind.getsockname()[1]
        proxy = _proxy(listener, place.root_path.encode(), target)
        threading.Thread(target=asyncio.run, args=(proxy,), daemon=True).start()
        listener = behind
    config = uvicorn.Config(
        app, root_path=place.root_path, lifespan="on", log_level="warning", ws="websockets-sansio"
    )
    uvicorn.Server(config).run(sockets=[listener])


async def _hypercorn(app: Any, place: Place, listener: socket.socket) -> None:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.root_path = place.root_path
    config.graceful_timeout = 2
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await hypercorn.asyncio.serve(app, config, shutdown_trigger=stopped.wait)  # type: ignore[arg-type]


async def _proxy(listener: socket.socket, prefix: bytes, target: int) -> None:
    """A reverse proxy that strips a prefix, with a connection for each request."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, rest = head.split(b" ", 2)
            if not path.startswith(prefix):
                writer.write(
                    b"HTTP/1.1 502 Outside\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
                return
            lines = rest.split(b"\r\n")
            if not any(line.lower().startswith(b"upgrade:") for line in lines):
                kept = [line for line in lines if not line.lower().startswith(b"connection:")]
                rest = b"\r\n".join([kept[0], b"Connection: close", *kept[1:]])
            upstream = await asyncio.open_connection("127.0.0.1", target)
            upstream[1].write(b" ".join([method, path.removeprefix(prefix) or b"/", rest]))
            upwards = asyncio.ensure_future(_pump(reader, upstream[1]))
            await _pump(upstream[0], writer)
            upwards.cancel()
            upstream[1].close()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(forward, sock=listener) as server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()


if __name__ == "__main__":
    name, place, way, fd = sys.argv[1:]
    run(application(name, PLACES[place], way), PLACES[place], socket.socket(fileno=int(fd)))
