"""Upstreams of raw sockets that do what no server would, and servers in front of them, in threads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.waiting import wait_until

_SECONDS = 30.0


class Peer:
    """One connection that an upstream has accepted.

    Attributes:
        received: all that has come.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(_SECONDS)
        self.received = b""
        self._read = 0

    def until(self, end: bytes) -> bytes:
        """What comes up to this."""
        while (position := self.received.find(end, self._read)) < 0:
            self._more()
        start, self._read = self._read, position + len(end)
        return self.received[start : self._read]

    def exactly(self, count: int) -> bytes:
        while len(self.received) < self._read + count:
            self._more()
        start, self._read = self._read, self._read + count
        return self.received[start : self._read]

    def head(self) -> bytes:
        """The head of the next request."""
        return self.until(b"\r\n\r\n")

    def frame(self) -> tuple[int, bytes]:
        """The next frame of a websocket's client: its opcode and its payload."""
        first, second = self.exactly(2)
        length = second & 127
        if length == 126:
            length = int.from_bytes(self.exactly(2))
        elif length == 127:
            length = int.from_bytes(self.exactly(8))
        assert second & 128, "A client has to mask."
        mask, data = self.exactly(4), self.exactly(length)
        return first, bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))

    def rest(self) -> bytes:
        """What comes until the other side closes the connection, in whatever way."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self._more()
        start, self._read = self._read, len(self.received)
        return self.received[start:]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def fill(self, data: bytes) -> int:
        """Send this again and again until none of it is taken for a while; how much was."""
        self.socket.settimeout(0.5)
        count = 0
        with contextlib.suppress(TimeoutError):
            while count < 1 << 28:
                count += self.socket.send(data[count % len(data) :])
        return count

    def answer(self, body: bytes = b"ok", *headers: bytes, status: bytes = b"200 OK") -> None:
        lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers, b"", body]
        self.send(b"\r\n".join([*lines[:-2], b"", body]))

    def reset(self) -> None:
        """Close it with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.received += data


Script = Callable[[Peer], None]


@dataclass
class Upstream:
    """An upstream that runs.

    Attributes:
        peers: its connections, in the order in which they came.
    """

    url: str
    peers: list[Peer] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many heads of requests have come."""
        return sum(peer.received.count(b" HTTP/1.1\r\n") for peer in self.peers)


@contextmanager
def upstream(*scripts: Script, path: Path | None = None) -> Iterator[Upstream]:
    """Run an upstream.

    Args:
        scripts: what is done with the first connection, the second, …; the last with all others.
            A connection is closed when its script ends.
        path: of a unix socket to listen on.
    """
    if path is None:
        listener = socket.create_server(("127.0.0.1", 0))
        found = Upstream(f"http://127.0.0.1:{listener.getsockname()[1]}")
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        found = Upstream(f"unix:{path}")
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []

    def run(peer: Peer, script: Script) -> None:
        try:
            script(peer)
        except (EOFError, ConnectionError):
            pass  # the proxy has closed it
        except BaseException as exc:
            errors.append(exc)
        finally:
            peer.socket.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer = Peer(listener.accept()[0])
                script = scripts[min(len(found.peers), len(scripts) - 1)]
                found.peers.append(peer)
                thread = threading.Thread(target=run, args=(peer, script))
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield found
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(_SECONDS)
        for peer in found.peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(_SECONDS)
    if errors:
        raise errors[0]


def answering(body: bytes = b"ok") -> Script:
    """Answers every request on a connection."""

    def script(peer: Peer) -> None:
        while True:
            peer.head()
            peer.answer(body)

    return script


def answering_once(done: threading.Event) -> Script:
    """Answers one request, and sets `done` when the connection is closed."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer()
        peer.rest()
        done.set()

    return script


@dataclass
class Front:
    """A server that runs in a thread; its app can be changed at any time.

    Attributes:
        app: what it serves.
        calls: how many requests and websockets have come to their end, and what they raised.
    """

    port: int = 0
    app: ASGIApp | None = None
    calls: list[BaseException | None] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        raised: BaseException | None = None
        calls = self.calls
        try:
            assert self.app is not None
            await self.app(scope, receive, send)
        except BaseException as exc:
            raised = exc
            raise
        finally:
            calls.append(raised)

    def ended(self, count: int = 1) -> BaseException | None:
        """Wait until so many calls have ended; what the last of them has raised."""
        wait_until(lambda: len(self.calls) >= count)
        return self.calls[count - 1]


@contextmanager
def front(name: str) -> Iterator[Front]:
    """Run uvicorn, hypercorn or granian."""
    found = Front()
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    found.port = listener.getsockname()[1]
    serve = {"uvicorn": _uvicorn, "hypercorn": _hypercorn, "granian": _granian}[name]
    thread = threading.Thread(target=serve, args=(found, listener, stop))
    thread.start()
    try:
        wait_until(lambda: _answers(found.port))
        found.calls = []
        yield found
    finally:
        stop.set()
        thread.join(_SECONDS)
        listener.close()


async def _empty(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return connection.recv(4) == b"HTTP"
    except OSError:
        return False


def _uvicorn(app: Front, listener: socket.socket, stop: threading.Event) -> None:
    app.app = app.app or _empty
    config = uvicorn.Config(
        app,
        log_level="critical",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        async def watch() -> None:
            await asyncio.to_thread(stop.wait)
            server.should_exit = True

        watching = asyncio.create_task(watch())
        await server.serve(sockets=[listener])
        await watching

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


def _hypercorn(app: Front, listener: socket.socket, stop: threading.Event) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    app.app = app.app or _empty
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "CRITICAL"
    config.graceful_timeout = 1
    handler: Any = app

    async def wait() -> None:
        await asyncio.to_thread(stop.wait)

    asyncio.run(serve(handler, config, shutdown_trigger=wait))


def _granian(app: Front, listener: socket.socket, stop: threading.Event) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    app.app = app.app or _empty
    listener.close()
    server = Server(
        app, address="127.0.0.1", port=app.port, interface=Interfaces.ASGI, log_enabled=False
    )

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        await asyncio.to_thread(stop.wait)
        server.stop()
        await serving

    asyncio.run(run())


@contextmanager
def client(port: int, data: bytes = b"") -> Iterator[Peer]:
    """A connection to a server, on which this was sent."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        peer = Peer(connection)
        peer.send(data)
        yield peer
