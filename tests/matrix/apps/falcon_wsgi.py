from __future__ import annotations

from typing import Any

import falcon

from tests.matrix.apps import common


class Index:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = f"index {req.prefix}/item/7"


class Item:
    def on_get(self, req: falcon.Request, resp: falcon.Response, id: int) -> None:
        resp.text = f"item {id}"


class Go:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise falcon.HTTPFound(falcon.uri.encode(f"{req.prefix}/item/7"))


class Link:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = common.link(req)


class Stream:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.stream = common.chunks()


def make(prefix: str) -> Any:
    app = falcon.App()
    app.add_route("/", Index())
    app.add_route("/item/{id:int}", Item())
    app.add_route("/go", Go())
    app.add_route("/link", Link())
    app.add_route("/stream", Stream())
    app.add_static_route("/static", common.STATIC)
    return app
