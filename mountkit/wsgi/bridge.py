"""`WSGIBridge`: an ASGI app around a WSGI one (PEP 3333)."""

from __future__ import annotations

import weakref

import anyio
from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import shown
from mountkit.frameworks import cut_off_of
from mountkit.logs import wsgi as logger
from mountkit.wsgi.bodies import BUFFER, RequestBody
from mountkit.wsgi.exchanges import Exchange, WSGIApp
from mountkit.wsgi.threads import ThreadPool

# Seconds between looks whether a large body may go on to a thread.
_PAUSE = 0.1


class WSGIBridge:
    """An ASGI app around a WSGI one. `Mount` puts it around every WSGI app:

        Mount("/legacy", flask_app, bridge=partial(WSGIBridge, threads=4, queue=20))

    It refuses websockets. `SystemExit` and the like of the app are raised as an `InterfaceError`.

    Args:
        app: the WSGI application.
        threads: how many requests run at a time. Each bridge has its own threads, so an app that
            hangs does not block others.
        queue: how many more requests wait for a thread; any more get 503. There are at most as many
            bodies in temporary files as `threads` and `queue` together.
        spool: how many bytes of a body may be received before the app is called, beyond 256 KiB in
            a temporary file: of a body without `Content-Length`, which most apps cannot read (411
            if there is more), and of others while uploads hold half of the threads.
    """

    def __init__(
        self, app: WSGIApp, *, threads: int = 10, queue: int = 100, spool: int = 16 * 1024 * 1024
    ) -> None:
        self.app: WSGIApp = app
        self.queue: int = queue
        self.spool: int = spool
        self._uploads: set[RequestBody] = set()  # those that the app was called for before the end
        self._spooled: set[RequestBody] = set()  # those beyond `BUFFER` before the app was called
        self._cut_off = cut_off_of(app)
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
        exchange = Exchange(self.app, scope, self.spool, self._cut_off)
        body = exchange.body
        try:
            status = 0 if body.is_ended else await self._gather(exchange, receive)
            if exchange.meeting.is_abandoned:
                return
            if status == 411:
                logger.warning(
                    "%r cannot read more than %d bytes without Content-Length, so the client got "
                    "411; raise WSGIBridge(spool=).",
                    self.app,
                    self.spool,
                )
            if status or self._pool.pending >= self._places:
                await answer(status or 503, scope, receive, send)
            else:
                await self._run(exchange, receive, send)
        finally:
            self._uploads.discard(body)
            self._spooled.discard(body)
            body.close()

    @property
    def _places(self) -> int:
        return self._pool.limit + self.queue

    async def _run(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Have a thread run the app, in its turn, and send the answer."""
        job = exchange.run
        self._pool.submit(job)
        try:
            is_queued = self._pool.pending > self._pool.limit
            await exchange.respond(receive, send, is_queued=is_queued)
        finally:
            if not exchange.body.is_taken:
                self._pool.withdraw(job)

    async def _gather(self, exchange: Exchange, receive: Receive) -> int:
        """Receive a body that fits the buffer or has no length, so that a slow client holds no
        thread; a long one, if uploads hold half of the threads. If the client waits for `100
        Continue`, it is received when the app reads.

        Returns:
            0 if the app can be given the body, or the status of the answer.
        """
        body = exchange.body
        can_stream = body.length is not None or self._cut_off is not None
        while not (body.is_ended or exchange.meeting.is_abandoned):
            is_full = body.size > self.spool
            is_worth = is_full or body.is_expected or (body.length or body.size) > BUFFER
            if is_worth and can_stream:
                going = sum(not (one.is_ended or one.is_left) for one in self._uploads)
                if going < max(self._pool.limit // 2, int(is_full)):
                    self._uploads.add(body)
                    break
            if body.size > BUFFER and body not in self._spooled:
                if len(self._spooled) >= self._places:
                    return 503
                self._spooled.add(body)
            if not is_full:
                await body.receive(receive)
            elif can_stream:
                await anyio.sleep(_PAUSE)
            else:
                break
        return 0 if can_stream or body.size <= self.spool else 411

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    @property
    def pool(self) -> ThreadPool:
        """Its threads, for those who watch them."""
        return self._pool

    def close(self) -> None:
        """End the threads, each after its current request. A bridge that is called again starts new
        ones; one that is garbage collected is closed."""
        self._pool.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.app)})"
