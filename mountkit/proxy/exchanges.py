"""One request's way to an upstream, and its answer's way back, both at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from starlette.types import Message, Receive, Send

from mountkit.proxy.connections import READ, WRITE, Connection, read_final_head
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.requests import SAFE, UNKNOWN, Request
from mountkit.proxy.responses import CHUNKED, Body, Head, Headers
from mountkit.proxy.upstreams import Pool
from mountkit.tasks import current_task

# Seconds between looks at a `receive` that has more after the end of the body, as middleware has
# that replays a body for ever.
_PAUSE = 1.0


class Exchange:
    """One request.

    A task of its own receives what the client sends: the parts of the body, which it passes on, and
    that the client has gone, upon which it closes the connection, or ends the wait for one. The
    task that calls `run` sends the answer.

    Args:
        pool: of the upstreams.
        host: see `Proxy`.
        change: makes the headers that the client gets of those that came.

    Attributes:
        has_started: the client has got a part of the answer.
    """

    def __init__(
        self,
        pool: Pool,
        request: Request,
        host: str,
        change: Callable[[Headers], Headers],
        receive: Receive,
        send: Send,
    ) -> None:
        self._pool = pool
        self._request = request
        self._host = host
        self._change = change
        self._receive = receive
        self._send = send
        self._first: Message | None = None
        self._is_open = asyncio.Event()  # there is a connection
        self._is_sent = request.length == 0  # all of it
        self._has_left = self._is_given_up = False
        self._body: Body | None = None
        self._raised: Exception | None = None  # by `receive`
        self.has_started: bool = False

    async def run(self) -> None:
        """Send the request, and its answer.

        Raises:
            ProxyError: there was no answer, or it broke off.
        """
        if self._request.length == UNKNOWN:
            self._first = await self._receive()
            if self._first["type"] == "http.disconnect":
                return
            has_body = self._first.get("body") or self._first.get("more_body", False)
            self._request.length = CHUNKED if has_body else 0
            self._is_sent = not has_body
        main = cast("asyncio.Task[object]", current_task())
        inbound = main.get_loop().create_task(self._forward(main))
        try:
            if not await self._is_answered(is_fresh=False):
                self._is_open.clear()
                await self._is_answered(is_fresh=True)
        except (ProxyError, asyncio.CancelledError) as exc:
            is_outside = isinstance(exc, asyncio.CancelledError) and not self._is_given_up
            if is_outside or (self._is_given_up and main.uncancel()):
                raise
            if self._raised is not None:
                raise self._raised from None
            if not self._has_left:
                raise
        finally:
            inbound.cancel()

    async def _is_answered(self, *, is_fresh: bool) -> bool:
        """Send the request once, and its answer; or tell that it is to be sent again."""
        upstream, connection = await self._pool.open(is_fresh=is_fresh)
        is_kept, has_failed = False, None
        try:
            head = self._request.head(upstream.target, self._host)
            is_kept = await self._exchange(connection, head)
            has_failed = False
        except ProxyError as exc:
            # The upstream may have closed a connection while the request was on its way there.
            if connection.requests and connection.is_silent and self._is_repeatable(exc):
                return False
            if not (self._has_left or self._raised):
                has_failed = True
            raise
        finally:
            self._pool.release(upstream, connection, is_kept=is_kept, has_failed=has_failed)
        return True

    def _is_repeatable(self, exc: ProxyError) -> bool:
        request = self._request
        is_lost = exc.status == 502 and not (self._has_left or self._raised)
        return self._pool.retry and is_lost and request.length == 0 and request.method in SAFE

    async def _exchange(self, connection: Connection, head: bytes) -> bool:
        """Send the request and its answer on this connection; whether it can be used again."""
        # While it sends its body, the client may take its time.
        connection.allow(READ, self._pool.limits.head if self._is_sent else None)
        self._connection = connection
        self._is_open.set()
        await connection.write(head)
        request = self._request
        hint = self._hint if request.takes_hints else None
        found, rest = await read_final_head(connection, request.method, hint=hint)
        connection.allow(READ, None)
        found.kept = self._change(found.kept)
        self._body = Body(found.framing)
        part = self._body.feed(rest) if rest else b""
        self.has_started = True
        found.has_trailers &= request.takes_trailers
        await relay(connection, found, self._body, part, self._send, self._pool.limits.idle)
        return found.is_kept and self._is_sent and not self._body.rest

    async def _hint(self, head: Head) -> None:
        links = [value for name, value in head.kept if name == b"link"]
        if head.status == 103 and links:
            await self._send({"type": "http.response.early_hint", "links": links})

    async def _forward(self, main: asyncio.Task[object]) -> None:
        """Receive until the client has gone."""
        try:
            is_there, is_repeated = await self._upload() if self._request.length else True, False
            while is_there and (await self._receive())["type"] != "http.disconnect":
                if is_repeated:
                    await asyncio.sleep(_PAUSE)
                is_repeated = True
            self._has_left = True
        except Exception as exc:
            self._raised = exc
        if not self._is_open.is_set():
            self._is_given_up = True
            main.cancel()
        elif self._body is None or not self._body.is_ended:
            self._connection.close()

    async def _upload(self) -> bool:
        """Pass the body on; whether the client is still there. If the upstream takes no more of it,
        its answer may have come before."""
        left = self._request.length
        is_chunked, more, is_taken = left == CHUNKED, True, True
        while more:
            message = self._first or await self._receive()
            self._first = None
            if message["type"] == "http.disconnect":
                return False
            await self._is_open.wait()
            data, more = message.get("body", b""), message.get("more_body", False)
            if is_chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
                data = data if more else data + b"0\r\n\r\n"
            else:
                left -= len(data)
                if left < 0 or (left and not more):
                    raise ProxyError(400, "The body of the request is not as long as it says.")
            if data and is_taken:
                is_taken = await self._is_written(data)
        self._is_sent = is_taken
        if is_taken and self._body is None:
            self._connection.allow(READ, self._pool.limits.head)
        return True

    async def _is_written(self, data: bytes) -> bool:
        self._connection.allow(WRITE, self._pool.limits.idle)
        try:
            await self._connection.write(data)
        except ProxyError:
            return False
        self._connection.allow(WRITE, None)
        return True


async def relay(
    connection: Connection,
    head: Head,
    body: Body,
    part: bytes,
    send: Send,
    idle: float | None,
    kind: str = "http.response",
) -> None:
    """Send a response.

    Args:
        body: as far as it was read.
        part: of the body, that was read of it.
        idle: seconds in which something has to come.
        kind: the first part of the types of its messages.

    Raises:
        ProxyError: it broke off.
    """
    start = {"type": f"{kind}.start", "status": head.status, "headers": head.kept}
    await send({**start, "trailers": True} if head.has_trailers else start)
    while not body.is_ended:
        if part:
            await send({"type": f"{kind}.body", "body": part, "more_body": True})
        connection.allow(READ, idle)
        data = await connection.read()
        connection.allow(READ, None)
        if data:
            part = body.feed(data)
        else:
            part = b""
            body.end()
    await send({"type": f"{kind}.body", "body": part})
    if head.has_trailers:
        await send({"type": f"{kind}.trailers", "headers": body.trailers})
