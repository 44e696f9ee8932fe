from __future__ import annotations

from typing import Any

import litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Server
from litestar.params import FromPath
from litestar.response import Redirect, Stream
from litestar.static_files import create_static_files_router

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    @litestar.get(["/", "/things"], media_type="text/plain")
    async def index(request: litestar.Request) -> str:
        return f"index {request.url_for('item', id=7)}"

    @litestar.get("/item/{id:int}", name="item", media_type="text/plain")
    async def item(id: FromPath[int]) -> str:
        return f"item {id}"

    @litestar.get("/go")
    async def go(request: litestar.Request) -> Redirect:
        return Redirect(request.url_for("item", id=7))

    @litestar.get("/link", media_type="text/plain")
    async def link(request: litestar.Request) -> str:
        return common.link(request)

    @litestar.get("/stream")
    async def stream() -> Stream:
        return Stream(common.async_chunks())

    @litestar.websocket("/echo")
    async def echo(socket: litestar.WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    files = create_static_files_router("/static", directories=[common.STATIC], name="static")
    return litestar.Litestar(
        [index, item, go, link, stream, echo, files],
        lifespan=[common.lifespan],
        openapi_config=OpenAPIConfig("site", "1", servers=[Server(url=prefix or "/")]),
    )
