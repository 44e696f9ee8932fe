from __future__ import annotations

from typing import Any

import blacksheep
from blacksheep.server.openapi.v3 import OpenAPIHandler
from blacksheep.server.routing import Router, URLResolver
from openapidocs.v3 import Info

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    app = blacksheep.Application(router=Router())
    app.on_start += common.lifespan_started
    app.on_stop += common.lifespan_stopped
    OpenAPIHandler(info=Info("site", "1")).bind_app(app)

    @app.router.get("/")
    async def index(urls: URLResolver) -> blacksheep.Response:
        return blacksheep.text(f"index {urls.url_for('item', id=7)}")

    @app.router.get("/item/{int:id}", name="item")
    async def item(id: int) -> blacksheep.Response:
        return blacksheep.text(f"item {id}")

    @app.router.get("/go")
    async def go(urls: URLResolver) -> blacksheep.Response:
        return blacksheep.redirect(urls.url_for("item", id=7))

    @app.router.get("/link")
    async def link(request: blacksheep.Request) -> blacksheep.Response:
        return blacksheep.text(common.link(request))

    @app.router.get("/stream")
    async def stream() -> blacksheep.Response:
        return blacksheep.Response(
            200, content=blacksheep.StreamedContent(b"text/plain", common.async_chunks)
        )

    @app.router.ws("/echo")
    async def echo(websocket: blacksheep.WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    app.serve_files(common.STATIC, root_path="static")
    return app
