from __future__ import annotations

from typing import Any

import bottle

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    app = bottle.Bottle()

    @app.get("/")
    def index() -> str:
        return f"index {app.get_url('item', id=7)}"

    @app.get("/item/<id:int>", name="item")
    def item(id: int) -> str:
        return f"item {id}"

    @app.get("/go")
    def go() -> None:
        bottle.redirect(app.get_url("item", id=7))

    @app.get("/link")
    def link() -> str:
        return common.link(bottle.request)

    @app.get("/stream")
    def stream() -> Any:
        return common.chunks()

    @app.get("/static/<path:path>")
    def static(path: str) -> Any:
        return bottle.static_file(path, root=str(common.STATIC))

    return app
