"""uvicorn, hypercorn and granian, run in this event loop without handlers of signals.

Each is a function of a `Duty`, which serves until `Duty.stop` is called, and returns once the
lifespan has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from mountkit.server.failures import FAILED, MISUSED, ServeError, WorkerError

if TYPE_CHECKING:
    import socket

    import uvicorn

    from mountkit.config.models import ServerConfig
    from mountkit.types import ASGI3Application

# mountkit's own limits end an app's startup and shutdown.
_NO_LIMIT = 10.0**6
_BACKLOG = 2048
_LAST_REQUESTS = 0.2  # seconds
_ACCESS_LINE = '%(h)s "%(r)s" %(s)s'


class Duty:
    """What a server serves, from its start to its end.

    Args:
        app: the site.
        config: of the server.
        sockets: that it accepts from.
        on_ready: called once, when it takes requests.
        on_cut: called when requests in flight have no more time.

    Attributes:
        stopped: accept no more; requests in flight have `seconds`.
        cut: they have had them.
        failure: what the app said when its startup failed.
    """

    def __init__(
        self,
        app: ASGI3Application,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
        on_ready: Callable[[], None],
        on_cut: Callable[[], None],
    ) -> None:
        self.app = app
        self.config = config
        self.sockets = sockets
        self.on_ready = on_ready
        self._on_cut = on_cut
        self.stopped: asyncio.Event = asyncio.Event()
        self.cut: asyncio.Event = asyncio.Event()
        self.seconds: float = config.grace
        self.failure: str = ""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The site, as the server calls it."""
        if scope["type"] == "lifespan":
            return self._live(scope, receive, send)
        return self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_noted(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self.failure = str(message.get("message") or "") or "it gave no reason."
            await send(message)
            if message["type"] == "lifespan.startup.complete" and self.config.server == "granian":
                self.on_ready()

        await self.app(scope, receive, send_noted)

    def stop(self, seconds: float) -> None:
        """Accept no more, and end once all requests have, or after so many seconds."""
        self.seconds = seconds
        self.stopped.set()
        asyncio.get_running_loop().call_later(seconds, self._end)

    async def last_requests(self) -> None:
        """Wait a moment after the last connection was accepted: servers close those without a
        request, and the last ones may be about to send it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.cut.wait(), _LAST_REQUESTS)

    def _end(self) -> None:
        if not self.cut.is_set():
            self.cut.set()
            self._on_cut()

    def failed(self, reason: object) -> WorkerError:
        """The error if the server has ended by itself."""
        return WorkerError(self.failure or str(reason), FAILED)


async def serve_uvicorn(duty: Duty) -> None:
    """Raises:
    WorkerError: it did not start.
    """
    server = quiet_uvicorn(_uvicorn_config(duty), duty.on_ready)

    async def end() -> None:
        await duty.stopped.wait()
        # uvicorn takes 0 for no limit at all.
        server.config.timeout_graceful_shutdown = max(duty.seconds, 0.01)  # type: ignore[assignment]
        for one in server.servers:
            one.close()
        await duty.last_requests()
        server.should_exit = True
        await duty.cut.wait()  # sooner than that, if the site has ended meanwhile
        for task in [*server.server_state.tasks]:
            task.cancel()
        for connection in [*server.server_state.connections]:
            connection.transport.abort()

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets=[*duty.sockets])
    except SystemExit as exc:  # the app's startup has failed
        raise duty.failed("The server has ended.") from exc
    finally:
        ending.cancel()


def quiet_uvicorn(config: uvicorn.Config, on_ready: Callable[[], None]) -> uvicorn.Server:
    """A server that leaves signals alone."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            on_ready()

    return Server(config)


def _uvicorn_config(duty: Duty) -> uvicorn.Config:
    import uvicorn

    config = duty.config
    tls = config.tls
    found = uvicorn.Config(
        duty,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=config.log.access,
        proxy_headers=False,
        root_path=config.root_path,
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
        backlog=_BACKLOG,
    )
    try:
        found.load()
    except OSError as exc:  # ssl.SSLError is one
        raise _no_tls(config, exc) from exc
    return found


def _no_tls(config: ServerConfig, exc: OSError) -> WorkerError:
    tls = config.tls
    files = f"{tls.cert!r} and {tls.key!r}" if tls else "of the server"
    return WorkerError(f"Certificate and key {files} cannot be used: {exc}.")


async def serve_hypercorn(duty: Duty) -> None:
    """Raises:
    WorkerError: it did not start.
    """
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    accepting = [one.detach() for one in duty.sockets]
    config.bind = [f"fd://{one}" for one in accepting]
    config.backlog = _BACKLOG
    config.root_path = duty.config.root_path
    config.startup_timeout = config.shutdown_timeout = _NO_LIMIT
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = logging.getLogger("hypercorn.access") if duty.config.log.access else None
    config.access_log_format = _ACCESS_LINE
    if duty.config.tls:
        config.certfile, config.keyfile = duty.config.tls.cert, duty.config.tls.key

    async def serving() -> None:
        duty.on_ready()
        await duty.stopped.wait()
        config.graceful_timeout = duty.seconds
        for one in accepting:
            asyncio.get_running_loop().remove_reader(one)
        await duty.last_requests()

    try:
        await serve(duty, config, shutdown_trigger=serving, mode="asgi")  # type: ignore[arg-type]
    except OSError as exc:
        raise _no_tls(duty.config, exc) from exc
    except Exception as exc:
        raise duty.failed(exc) from exc


async def serve_granian(duty: Duty) -> None:
    """Raises:
    WorkerError: it did not start.
    """
    try:
        server = _granian(duty)
    except OSError as exc:
        raise _no_tls(duty.config, exc) from exc

    async def end() -> None:
        await duty.stopped.wait()
        server.stop()

    ending = asyncio.create_task(end())
    # Whether it raises when the startup has failed is a matter of luck.
    errors = await asyncio.gather(server.serve(), return_exceptions=True)
    ending.cancel()
    if not duty.stopped.is_set():
        raise duty.failed(errors[0] or "The server has ended.")


def _granian(duty: Duty) -> Any:
    """granian, embedded, with the socket of the parent, as its own workers have it
    (`granian/server/mp.py`): several that share a port lose what waits for one that ends."""
    from granian._granian import SocketHolder
    from granian.constants import Interfaces, SSLProtocols
    from granian.server.embed import Server

    [accepting] = duty.sockets
    holder: Any = SocketHolder  # its stub knows no arguments

    class Shared(Server):
        def _init_shared_socket(self) -> None:
            is_unix = accepting.family.name == "AF_UNIX"
            self._shd: Any = holder(accepting.detach(), is_unix, _BACKLOG)

    tls = duty.config.tls
    return Shared(
        duty,
        interface=Interfaces.ASGI,
        url_path_prefix=duty.config.root_path or None,
        log_dictconfig={"incremental": True, "handlers": {}, "loggers": {}},
        log_access=duty.config.log.access,
        log_access_format='%(addr)s "%(method)s %(path)s %(protocol)s" %(status)d',
        ssl_cert=Path(tls.cert) if tls else None,
        ssl_key=Path(tls.key) if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
    )


SERVERS: dict[str, Callable[[Duty], Awaitable[None]]] = {
    "uvicorn": serve_uvicorn,
    "hypercorn": serve_hypercorn,
    "granian": serve_granian,
}


def check_server(config: ServerConfig, sockets: int) -> None:
    """Raise if the server is not installed, or cannot serve what is asked.

    Args:
        sockets: how many it would accept from.

    Raises:
        ServeError: with what to install or to write.
    """
    name = config.server
    try:
        import_module(name)
    except ImportError as exc:
        package = "mountkit[serve]" if name == "uvicorn" else name
        raise ServeError(
            f"Server {name!r} is not installed ({exc.name}); run pip install '{package}'.", MISUSED
        ) from exc
    if name == "granian" and sockets > 1:
        raise ServeError(
            "granian listens on one address, and the host has several; write one of them as host."
        )


def loop_factory(config: ServerConfig) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where uvicorn would take it."""
    if config.server == "uvicorn":
        with suppress(ImportError):
            return import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    return None
