from __future__ import annotations

from typing import Any

import quart

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    app = quart.Quart("site", static_folder=str(common.STATIC))
    app.before_serving(common.started)
    app.after_serving(common.stopped)

    @app.get("/")
    @app.get("/things/")
    async def index() -> str:
        return f"index {quart.url_for('item', id=7)}"

    @app.get("/item/<int:id>")
    async def item(id: int) -> str:
        return f"item {id}"

    @app.get("/go")
    async def go() -> Any:
        return quart.redirect(quart.url_for("item", id=7))

    @app.get("/link")
    async def link() -> str:
        return common.link(quart.request)

    @app.get("/stream")
    async def stream() -> Any:
        return common.async_chunks(), 200

    @app.websocket("/echo")
    async def echo() -> None:
        await quart.websocket.send(await quart.websocket.receive())

    return app
