from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from tests.matrix.apps import common


async def index(request: Request) -> Response:
    return PlainTextResponse(f"index {request.url_for('item', id=7)}")


async def item(request: Request) -> Response:
    return PlainTextResponse(f"item {request.path_params['id']}")


async def go(request: Request) -> Response:
    return RedirectResponse(request.url_for("item", id=7))


async def link(request: Request) -> Response:
    return PlainTextResponse(common.link(request))


async def stream(request: Request) -> Response:
    return StreamingResponse(common.async_chunks())


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def make(prefix: str) -> Any:
    return Starlette(
        routes=[
            Route("/", index),
            Route("/item/{id:int}", item, name="item"),
            Route("/things/", index),
            Route("/go", go),
            Route("/link", link),
            Route("/stream", stream),
            WebSocketRoute("/echo", echo),
            Mount("/static", StaticFiles(directory=common.STATIC), name="static"),
        ],
        lifespan=common.lifespan,
    )
