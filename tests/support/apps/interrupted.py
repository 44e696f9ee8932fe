"""Apps of several kinds, one of which is slow to start or hangs when it stops, as the environment
says."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Dispatcher, Lifespan, Mount
from tests.support.apps.records import record

PHASE = os.environ.get("TEST_PHASE", "")


@asynccontextmanager
async def slow_lifespan(app: Starlette) -> AsyncIterator[None]:
    record("slow starts")
    if PHASE == "raises":
        raise KeyboardInterrupt
    if PHASE == "startup":
        await anyio.sleep(1)
    yield
    if PHASE == "shutdown":
        await anyio.sleep_forever()
    record("slow down")


async def stream(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"part"
            await anyio.sleep(0.05)

    return StreamingResponse(parts())


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """An app of no framework, which says nothing when it is cancelled."""
    if scope["type"] != "lifespan":
        await PlainTextResponse("raw")(scope, receive, send)
        return
    await receive()
    record("raw up")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    record("raw down")
    await send({"type": "lifespan.shutdown.complete"})


async def interrupts(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that raises what Ctrl-C raises."""
    if scope["type"] == "lifespan":
        await receive()
    if PHASE == "raises-raw":
        raise KeyboardInterrupt


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"wsgi"]


slow = Starlette(
    routes=[Route("/stream", stream), WebSocketRoute("/echo", echo)], lifespan=slow_lifespan
)
app = Dispatcher(
    [
        Mount("/raw", raw),
        Mount("/wsgi", wsgi),
        Mount("/interrupts", interrupts),
        Mount(
            "/slow", slow, lifespan=Lifespan(shutdown_timeout=0.3 if PHASE == "shutdown" else None)
        ),
    ]
)
