from __future__ import annotations

from typing import Any

import sanic

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    app = sanic.Sanic("site", configure_logging=False)
    site = sanic.Blueprint("pages", url_prefix=prefix or None)

    @site.get("/")
    async def index(request: sanic.Request) -> sanic.HTTPResponse:
        return sanic.text(f"index {request.app.url_for('pages.item', id=7)}")

    @site.get("/item/<id:int>")
    async def item(request: sanic.Request, id: int) -> sanic.HTTPResponse:
        return sanic.text(f"item {id}")

    @site.get("/go")
    async def go(request: sanic.Request) -> sanic.HTTPResponse:
        return sanic.redirect(request.app.url_for("pages.item", id=7))

    @site.get("/link")
    async def link(request: sanic.Request) -> sanic.HTTPResponse:
        return sanic.text(common.link(request))

    @site.get("/stream")
    async def stream(request: sanic.Request) -> None:
        response = await request.respond()
        async for chunk in common.async_chunks():
            await response.send(chunk)

    @site.websocket("/echo")
    async def echo(request: sanic.Request, websocket: sanic.Websocket) -> None:
        await websocket.send(await websocket.recv())

    site.static("/static", common.STATIC, name="static")
    app.blueprint(site)
    app.before_server_start(common.lifespan_started)
    app.after_server_stop(common.lifespan_stopped)
    return app


def options(prefix: str) -> dict[str, Any]:
    """The routes carry the prefix: Sanic never looks at `root_path`."""
    return {"convention": "whole"}
