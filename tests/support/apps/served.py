"""One of each kind behind one dispatcher, as a server would import it."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import flask
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Dispatcher, Mount
from tests.support.apps.records import recorded_lifespan


async def starlette_item(request: Request) -> Response:
    return JSONResponse(
        {
            "owner": request.state.owner,
            "url": str(request.url_for("item", id=request.path_params["id"])),
            "asked": str(request.url),
        }
    )


async def starlette_go(request: Request) -> Response:
    return RedirectResponse(request.url_for("item", id="3"))


# A stream sends its first line and waits for one of these before it sends the second.
released: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)
flask_released: defaultdict[str, threading.Event] = defaultdict(threading.Event)


async def starlette_stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await released[request.path_params["id"]].wait()
        yield "second\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def starlette_release(request: Request) -> Response:
    released[request.path_params["id"]].set()
    return Response()


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_json(
            {
                "text": text,
                "url": str(websocket.url_for("echo")),
                "owner": websocket.state.owner,
            }
        )


starlette_app = Starlette(
    routes=[
        Route("/item/{id}", starlette_item, name="item"),
        Route("/go", starlette_go),
        Route("/stream/{id}", starlette_stream),
        Route("/release/{id}", starlette_release, methods=["POST"]),
        WebSocketRoute("/echo", echo, name="echo"),
    ],
    lifespan=recorded_lifespan("starlette"),
)

fastapi_app = FastAPI(lifespan=recorded_lifespan("fastapi"))


@fastapi_app.get("/item/{id}", name="item")
async def fastapi_item(request: FastAPIRequest, id: int) -> dict[str, Any]:
    return {
        "owner": request.state.owner,
        "url": str(request.url_for("item", id=id)),
        "asked": str(request.url),
    }


async def raw_app(scope: Scope, receive: Receive, send: Send) -> None:
    """No framework and no lifespan: answers with what it was handed."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    seen = {
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("ascii"),
        "root_path": scope["root_path"],
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


flask_app = flask.Flask(__name__)


@flask_app.get("/item/<id>")
def flask_item(id: str) -> Any:
    return {"url": flask.url_for("flask_item", id=id, _external=True), "asked": flask.request.url}


@flask_app.get("/stream/<id>")
def flask_stream(id: str) -> Any:
    def lines() -> Iterator[str]:
        yield "first\n"
        flask_released[id].wait()
        yield "second\n"

    return lines(), {"content-type": "text/plain"}


@flask_app.post("/release/<id>")
def flask_release(id: str) -> str:
    flask_released[id].set()
    return ""


@flask_app.post("/upload")
def flask_upload() -> Any:
    return {"text": flask.request.get_data(as_text=True), "name": flask.request.path}


app = Dispatcher(
    [
        Mount("/starlette", starlette_app),
        Mount("/fastapi", fastapi_app),
        Mount("/raw", raw_app),
        Mount("/flask", flask_app),
    ]
)
