"""A dispatcher whose mounts come and go while it is asked.

`/control/change?count=N` adds, replaces and removes that many mounts, one after the other; the
apps below `/tenant/N`, and the one at `/passing` that comes and goes, say whether they were up when
a request reached them.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Dispatcher, Mount

#: Mounts that are there at all times; each is replaced again and again.
STEADY = 4

#: How often apps have started and stopped.
counts = {"starts": 0, "stops": 0}


class Tenant:
    """An app that knows whether it is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_up = False
        self.app = Starlette(
            routes=[
                Route("/", self.index),
                Route("/stream", self.stream),
                WebSocketRoute("/ws", self.ws),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        await receive()
        await anyio.sleep(0.001)
        self.is_up = True
        counts["starts"] += 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.is_up = False
        counts["stops"] += 1
        await send({"type": "lifespan.shutdown.complete"})

    @property
    def mark(self) -> str:
        return f"{self.name}:{'up' if self.is_up else 'down'};"

    async def index(self, request: Request) -> JSONResponse:
        return JSONResponse(self.mark)

    async def stream(self, request: Request) -> StreamingResponse:
        async def parts() -> Any:
            for _ in range(5):
                yield self.mark
                await anyio.sleep(0.002)
            yield "end"

        return StreamingResponse(parts())

    async def ws(self, websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await websocket.send_text(self.mark)


current = {number: Mount(f"/tenant/{number}", Tenant(f"t{number}")) for number in range(STEADY)}


async def change(request: Request) -> JSONResponse:
    """Each step adds a mount, replaces a steady one, and removes the one that was added."""
    for step in range(int(request.query_params["count"])):
        number = step % STEADY
        passing = Mount("/passing", Tenant("passing"))
        new = Mount(f"/tenant/{number}", Tenant(f"t{number}"))
        await app.change(add=[passing], replace=[(current[number], new)], drain_timeout=10)
        current[number] = new
        await anyio.sleep(0.002)
        await app.remove(passing, drain_timeout=10)
    return JSONResponse({**counts, "mounts": len(app.routes)})


async def memory(request: Request) -> JSONResponse:
    """Bytes that Python objects take, tasks, and what is in flight."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    for _ in range(3):
        gc.collect()
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:
        tasks = 0
    in_flight = sum(health.in_flight for health in app.health)
    size = tracemalloc.get_traced_memory()[0]
    return JSONResponse({"bytes": size, "tasks": tasks, "in_flight": in_flight})


control = Starlette(routes=[Route("/change", change), Route("/memory", memory)])
app = Dispatcher([Mount("/control", control), *current.values()])
