from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi

from tests.matrix.apps import common


class Index:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        # Falcon has no names for routes; this is what it knows of its own place.
        resp.text = f"index {req.prefix}/item/7"


class Item:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, id: int) -> None:
        resp.text = f"item {id}"


class Go:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        raise falcon.HTTPFound(falcon.uri.encode(f"{req.prefix}/item/7"))


class Link:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.text = common.link(req)


class Stream:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.stream = common.async_chunks()


class Echo:
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket) -> None:
        await ws.accept()
        await ws.send_text(await ws.receive_text())


class Lifespan:
    async def process_startup(self, scope: Any, event: Any) -> None:
        common.started()

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        common.stopped()


def make(prefix: str) -> Any:
    app = falcon.asgi.App(middleware=[Lifespan()])
    app.add_route("/", Index())
    app.add_route("/item/{id:int}", Item())
    app.add_route("/go", Go())
    app.add_route("/link", Link())
    app.add_route("/stream", Stream())
    app.add_route("/echo", Echo())
    app.add_static_route("/static", common.STATIC)
    return app
