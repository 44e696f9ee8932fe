"""Apps for what is logged of them: in every kind of place, and such as do not start."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mountkit import Dispatcher, DispatchMiddleware, Lifespan, Mount, TenantApps, TenantResolver

if os.environ.get("TEST_LOGGING"):
    logging.basicConfig(level="INFO")


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"x"]


def make() -> Starlette:
    return Starlette(routes=[Route("/", index), WebSocketRoute("/ws", greet)])


async def find(host: str) -> str | None:
    return host.partition(".")[0] if host.endswith(".example.com") else None


async def make_for(tenant: str) -> Starlette:
    return make()


class Passing(BaseHTTPMiddleware):
    """Its own task sends what the apps below answer."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def site() -> Starlette:
    inner = Dispatcher([Mount("/b", make())], default=make())
    mounts = [
        Mount("/a", inner),
        Mount("/wsgi", wsgi),
        Mount("/t/{tenant}", make()),
        Mount("/apps", TenantApps(TenantResolver(find), make_for)),
    ]
    app = Starlette(routes=[Route("/own", index), Mount("/routed", make())])
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    app.add_middleware(Passing)
    return app


def connect() -> None:
    raise RuntimeError("no database")


@asynccontextmanager
async def broken(app: Starlette) -> AsyncIterator[None]:
    connect()
    yield


well = Mount("/well", make())
app = site()
alone = Dispatcher([well])
failing = Dispatcher([well, Mount("/bad", Starlette(lifespan=broken))])
isolated = Dispatcher(
    [well, Mount("/bad", Starlette(lifespan=broken), lifespan=Lifespan(on_failure="isolate"))]
)
below = Starlette()
below.add_middleware(DispatchMiddleware, mounts=[Mount("/bad", Starlette(lifespan=broken))])
above = Starlette(lifespan=broken)
above.add_middleware(DispatchMiddleware, mounts=[well])
nested = Dispatcher({"/outer": failing})
