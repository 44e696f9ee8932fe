"""A site with a status page: what tests look at in a browser, and through servers."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mountkit import (
    Dispatcher,
    Lifespan,
    LimitMiddleware,
    MeterMiddleware,
    Metrics,
    Mount,
    Status,
)


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


async def fail(request: Request) -> None:
    raise ValueError("<script>document.title = 'taken over'</script>")


async def slow(request: Request) -> PlainTextResponse:
    await asyncio.sleep(5)
    return PlainTextResponse("slow")


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        raise RuntimeError("the database of the reports does not answer")


LAYERS = [Middleware(MeterMiddleware), Middleware(LimitMiddleware, max_concurrency=50)]
shop = Starlette(routes=[Route("/", index), Route("/fail", fail), Route("/slow", slow)])
api = Starlette(routes=[Route("/", index)])
app = Dispatcher(
    [
        Mount("/shop", shop, name="shop", middleware=LAYERS),
        Mount("/api", api, name="<img src=x onerror=alert(1)>", headers={"x-version": "2"}),
        Mount("/reports", broken, lifespan=Lifespan(on_failure="isolate")),
        Mount("/a/very/long/path/" + "that-goes-on-" * 12, api),
        Mount("/_status", Status(), name="status"),
        Mount("/metrics", Metrics(), exact=True),
    ],
    errors="contain",
)
