"""The same little site in several frameworks.

`/` names the URLs of an item and of a static file and the one that was asked for, `/item/3`
is the item, `/dir` is known with a slash only, `/go` redirects to the item by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import litestar
import quart
from fastapi import FastAPI
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.static_files import create_static_files_router
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

STATIC = Path(__file__).parent / "static"


async def _index(request: Request) -> Response:
    return JSONResponse(
        {
            "item": str(request.url_for("item", id=3)),
            "static": str(request.url_for("static", path="style.css")),
            "asked": str(request.url),
        }
    )


async def _item(request: Request) -> Response:
    return PlainTextResponse(f"item {request.path_params['id']}")


async def _go(request: Request) -> Response:
    return RedirectResponse(request.url_for("item", id=3))


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def _routes() -> list[BaseRoute]:
    return [
        Route("/", _index),
        Route("/item/{id:int}", _item, name="item"),
        Route("/dir/", _index),
        Route("/go", _go),
        WebSocketRoute("/echo", _echo),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]


def starlette_site() -> Any:
    return Starlette(routes=_routes())


def fastapi_site() -> Any:
    return FastAPI(routes=_routes())


def flask_site() -> Any:
    app = flask.Flask("site", static_folder=STATIC)

    @app.get("/")
    @app.get("/dir/")
    def index() -> Any:
        links = {"item": flask.url_for("item", id=3)}
        return {
            **links,
            "static": flask.url_for("static", filename="style.css"),
            "asked": flask.request.url,
        }

    @app.get("/item/<int:id>")
    def item(id: int) -> str:
        return f"item {id}"

    @app.get("/go")
    def go() -> Any:
        return flask.redirect(flask.url_for("item", id=3))

    return app


def quart_site() -> Any:
    app = quart.Quart("site", static_folder=str(STATIC))

    @app.get("/")
    @app.get("/dir/")
    async def index() -> Any:
        links = {"item": quart.url_for("item", id=3)}
        return {
            **links,
            "static": quart.url_for("static", filename="style.css"),
            "asked": quart.request.url,
        }

    @app.get("/item/<int:id>")
    async def item(id: int) -> str:
        return f"item {id}"

    @app.get("/go")
    async def go() -> Any:
        return quart.redirect(quart.url_for("item", id=3))

    @app.websocket("/echo")
    async def echo() -> None:
        await quart.websocket.send(await quart.websocket.receive())

    return app


def litestar_site() -> Any:
    @litestar.get("/")
    async def index(request: litestar.Request) -> dict[str, str]:
        links = {"item": request.url_for("item", id=3)}
        return {
            **links,
            "static": request.url_for("static", file_path="style.css"),
            "asked": str(request.url),
        }

    @litestar.get("/item/{id:int}", name="item", media_type="text/plain")
    async def item(id: FromPath[int]) -> str:
        return f"item {id}"

    @litestar.get("/go")
    async def go(request: litestar.Request) -> Redirect:
        return Redirect(request.url_for("item", id=3))

    @litestar.websocket("/echo")
    async def echo(socket: litestar.WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    files = create_static_files_router("/static", directories=[STATIC], name="static")
    return litestar.Litestar(
        [index, item, go, echo, files], openapi_config=None, logging_config=None
    )
