"""The status page and metrics on a listener of their own, served by the parent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from mountkit.config.models import SiteConfig
from mountkit.server.failures import MISUSED, ServeError
from mountkit.server.servers import quiet_uvicorn
from mountkit.server.sockets import Listener, close
from mountkit.status.app import Status
from mountkit.status.metrics import Metrics
from mountkit.status.sources import Source

_METRICS = "/metrics"
#: A page elsewhere that makes a name of its own lead here (DNS rebinding) asks for that name.
_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class Page:
    """Serves until it is stopped.

    Args:
        listeners: its sockets, which are its own from now on.

    Raises:
        ServeError: uvicorn is not installed.
    """

    def __init__(self, config: SiteConfig, source: Source, listeners: Sequence[Listener]) -> None:
        try:
            import uvicorn
        except ImportError as exc:
            close(listeners)
            raise ServeError(
                "The status listener needs uvicorn, which is not installed; run pip install "
                "'mountkit[serve]'.",
                MISUSED,
            ) from exc
        self._listeners = listeners
        self._source = source
        self._hosts = None if any(one.is_unix for one in listeners) else _HOSTS
        self._status = Status(source, hosts=self._hosts)
        self._metrics: Metrics | None = None
        self.configure(config)
        options = uvicorn.Config(
            self,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = quiet_uvicorn(options, lambda: None)
        sockets = [one.socket for one in listeners]
        self._task = asyncio.create_task(self._server.serve(sockets=sockets))

    def configure(self, config: SiteConfig) -> None:
        """Serve metrics if the site has `[metrics]`."""
        is_asked = config.metrics is not None
        self._metrics = Metrics(self._source, hosts=self._hosts) if is_asked else None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The page; metrics at their usual path, if the file has `[metrics]`."""
        if self._metrics is not None and scope["path"] == _METRICS:
            return self._metrics(scope, receive, send)
        return self._status(scope, receive, send)

    async def stop(self) -> None:
        """Close it; those that watch the page are cut off."""
        self._status.close()
        self._server.should_exit = True
        with suppress(asyncio.CancelledError):
            await self._task
        close(self._listeners)
