"""A chat that sends to whoever has joined, gone or not, and a websocket that is used wrongly."""

from __future__ import annotations

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Dispatcher, Mount

joined: list[WebSocket] = []
ends: list[anyio.Event] = []


async def join(websocket: WebSocket) -> None:
    await websocket.accept()
    joined.append(websocket)
    ends.append(anyio.Event())
    await ends[-1].wait()


async def say(request: Request) -> Response:
    for websocket in joined:
        try:
            await websocket.send_text("hello")
        except Exception:
            for event in ends:
                event.set()
            raise
    return PlainTextResponse(str(len(joined)))


async def forget(websocket: WebSocket) -> None:
    """Does not accept it."""
    await websocket.receive_text()


async def health(scope: Scope, receive: Receive, send: Send) -> None:
    found = {one.mount: [one.answered, one.error] for one in app.health}
    await JSONResponse(found)(scope, receive, send)


ROUTES = [
    WebSocketRoute("/join", join),
    WebSocketRoute("/forget", forget),
    Route("/say", say),
]
app = Dispatcher(
    [Mount("/chat", Starlette(routes=ROUTES)), Mount("/health", health, lifespan="off")],
    shutdown_timeout=1,
)
