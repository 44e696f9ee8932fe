"""`WSGIBridge`: an ASGI app around a WSGI one (PEP 3333)."""

from __future__ import annotations

import logging
import weakref

from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import shown
from mountkit.wsgi.exchanges import Exchange, WSGIApp
from mountkit.wsgi.threads import ThreadPool

logger: logging.Logger = logging.getLogger("mountkit.wsgi")


class WSGIBridge:
    """An ASGI app around a WSGI one. `Mount` puts it around every WSGI app:

        Mount("/legacy", flask_app, bridge=partial(WSGIBridge, threads=4, queue=20))

    It refuses websockets. `SystemExit` and the like of the app are raised as an `InterfaceError`.

    Args:
        app: the WSGI application.
        threads: how many requests it works on at a time. Each bridge has threads of its own, so an
            app that hangs does not hold up others.
        queue: how many more requests wait for a thread; beyond that the answer is 503.
    """

    def __init__(self, app: WSGIApp, *, threads: int = 10, queue: int = 100) -> None:
        self.app: WSGIApp = app
        self.queue: int = queue
        self._pool = ThreadPool(threads, f"mountkit {shown(app)}")
        weakref.finalize(self, self._pool.close).atexit = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            logger.debug("404: %s has no websockets.", shown(self.app))
            await answer(404, scope, receive, send)
            return
        if scope["type"] == "lifespan":  # only without a mount, which runs no lifespan for WSGI
            await self._lifespan(receive, send)
            return
        exchange = Exchange(self.app, scope)
        if not await exchange.receive_small_body(receive):
            return
        if self._pool.pending >= self._pool.limit + self.queue:
            await answer(503, scope, receive, send)
        else:
            self._pool.submit(exchange.run)
            await exchange.respond(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    def close(self) -> None:
        """End the threads, each after its current request. A bridge that is called again starts new
        ones; one that is garbage collected is closed."""
        self._pool.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.app)})"
