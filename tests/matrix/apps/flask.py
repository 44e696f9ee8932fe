from __future__ import annotations

from typing import Any

import flask

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    app = flask.Flask("site", static_folder=common.STATIC)

    @app.get("/")
    @app.get("/things/")
    def index() -> str:
        return f"index {flask.url_for('item', id=7)}"

    @app.get("/item/<int:id>")
    def item(id: int) -> str:
        return f"item {id}"

    @app.get("/go")
    def go() -> Any:
        return flask.redirect(flask.url_for("item", id=7))

    @app.get("/link")
    def link() -> str:
        return common.link(flask.request)

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(common.chunks())

    return app
