"""An app for each tenant, at `{tenant}.localhost`, and one at `control.localhost` that tells on them.

Environment variables: `DRAIN_TIMEOUT`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mountkit import Dispatcher, Mount, TenantApps, TenantResolver

log: list[str] = []
gates: dict[str, anyio.Event] = {}


def note(line: str) -> None:
    log.append(line)
    print(line, flush=True)


async def find(host: str) -> str | None:
    if host.startswith("broken."):
        raise OSError("no route to the database")
    tenant, _, rest = host.partition(".")
    return tenant if rest == "localhost" and tenant != "nobody" else None


async def make(tenant: str) -> Starlette:
    gates[tenant] = anyio.Event()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        note(f"{tenant} up")
        yield {"mark": tenant}
        note(f"{tenant} down")

    async def index(request: Request) -> Response:
        return PlainTextResponse(f"{tenant} {request.state.mark} {request.state.tenant}")

    async def stream(request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            yield f"{tenant} begins\n"
            await gates[tenant].wait()
            note(f"{tenant} streamed")
            yield f"{tenant} ends\n"

        return StreamingResponse(parts())

    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"{tenant}: {text}")

    routes = [Route("/", index), Route("/stream", stream), WebSocketRoute("/ws", ws)]
    return Starlette(routes=routes, lifespan=lifespan)


resolver = TenantResolver(find)
tenants = TenantApps(resolver, make, drain_timeout=float(os.environ.get("DRAIN_TIMEOUT", "30")))


async def evict(request: Request) -> Response:
    await tenants.evict(request.query_params["tenant"])
    return JSONResponse(log)


async def release(request: Request) -> Response:
    gates[request.query_params["tenant"]].set()
    return JSONResponse(log)


async def health(request: Request) -> Response:
    return JSONResponse({health.mount: health.status for health in tenants.health})


control = Starlette(
    routes=[Route("/evict", evict), Route("/release", release), Route("/health", health)]
)
app = Dispatcher([Mount("/", control, host="control.localhost"), Mount("/", tenants)])
