"""Server-sent events (WHATWG HTML, section 9.2): a page that follows what it shows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
from starlette.types import Receive, Send

from mountkit.status.guards import HEADERS
from mountkit.status.rates import View

# Seconds after which a stream ends by itself, and the browser asks anew: no server that stops
# gracefully, and waits for its responses, waits longer.
_LONGEST = 5.0
# Milliseconds that browsers wait before that.
_RETRY = 500
# Seconds between looks whether the server stops.
_STEP = 0.25


class Stream:
    """One stream.

    Args:
        look: makes what is sent.
        view: says how often.
        is_closed: whether the server stops.
    """

    def __init__(
        self, look: Callable[[], Awaitable[str]], view: View, is_closed: Callable[[], bool]
    ) -> None:
        self._look = look
        self._view = view
        self._is_closed = is_closed

    async def serve(self, receive: Receive, send: Send) -> None:
        """Send until the client goes, the server stops, or it was long enough."""
        headers = {**HEADERS, "content-type": "text/event-stream", "x-accel-buffering": "no"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(listen)
            await self._follow(receive, send)
            tasks.cancel_scope.cancel()

    async def _follow(self, receive: Receive, send: Send) -> None:
        deadline = time.monotonic() + _LONGEST
        is_stopping = stop_of(receive)
        last = ""
        first = f"retry: {_RETRY}\n"
        while True:
            text = await self._look()
            # A comment shows a server, and proxies, that a client is still there.
            data = _event(text) if text != last else ": nothing new\n\n"
            body = (first + data).encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
            last, first = text, ""
            due = time.monotonic() + self._view.pause
            while (now := time.monotonic()) < due:
                if now >= deadline or self._is_closed() or is_stopping():
                    await send({"type": "http.response.body", "body": b""})
                    return
                await anyio.sleep(min(_STEP, due - now))


def stop_of(receive: Receive) -> Callable[[], bool]:
    """Tells whether uvicorn has begun to stop: it then takes `keep_alive` from the requests that
    are in flight, and waits for them. Of other servers it says no."""
    cycle = getattr(receive, "__self__", None)
    was_kept = getattr(cycle, "keep_alive", False) is True
    return lambda: was_kept and not getattr(cycle, "keep_alive", True)


def _event(text: str) -> str:
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
