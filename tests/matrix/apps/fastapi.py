from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    app = FastAPI(lifespan=common.lifespan)
    app.mount("/static", StaticFiles(directory=common.STATIC), name="static")

    @app.get("/")
    @app.get("/things/")
    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"index {request.url_for('item', id=7)}")

    @app.get("/item/{id}")
    async def item(id: int) -> PlainTextResponse:
        return PlainTextResponse(f"item {id}")

    @app.get("/go")
    async def go(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("item", id=7))

    @app.get("/link")
    async def link(request: Request) -> PlainTextResponse:
        return PlainTextResponse(common.link(request))

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(common.async_chunks())

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app
