"""Apps whose clients leave before they have an answer, each plain, contained and checked.

`/STYLE/APP` is an app, `/health` what has become of its requests. Those that do not listen go on
once `/go` was asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import CheckMiddleware, ContainMiddleware, Dispatcher, Mount

#: Not empty once the clients have gone.
gone: list[bool] = []


async def pause() -> None:
    await anyio.sleep(0.02)


async def upload(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def listen(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.receive_text()


async def talk(websocket: WebSocket) -> None:
    """Is told in `send`, on uvicorn; elsewhere it is not told, and ends some time."""
    await websocket.accept()
    while not gone:
        await pause()
        await websocket.send_text("x")


async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    """Listens, and returns without an answer: as Quart, and Django do it."""
    while not (await receive())["type"].endswith(".disconnect"):
        pass


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes its time, and returns without an answer."""
    while not gone:
        await pause()


async def answers_again(scope: Scope, receive: Receive, send: Send) -> None:
    """A stream that ends when the client has gone, and another response: the SSE handler of MCP."""
    await StreamingResponse(events())(scope, receive, send)
    await Response()(scope, receive, send)


async def starts_again(scope: Scope, receive: Receive, send: Send) -> None:
    """The same, of an app that does not listen."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    async for part in events():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send(start)
    await send({"type": "http.response.body", "body": b""})


async def events() -> AsyncIterator[bytes]:
    while not gone:
        yield b"x"
        await pause()


FRAMED = Starlette(
    routes=[
        Route("/upload", upload, methods=["POST"]),
        WebSocketRoute("/listen", listen),
        WebSocketRoute("/talk", talk),
    ]
)
APPS: dict[str, Any] = {
    "framed": FRAMED,
    "gives-up": gives_up,
    "silent": silent,
    "answers-again": answers_again,
    "starts-again": starts_again,
}
STYLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "contained": {"errors": "contain"},
    "layer": {"middleware": [Middleware(ContainMiddleware)]},
    "checked": {"middleware": [Middleware(CheckMiddleware)]},
}


async def go(scope: Scope, receive: Receive, send: Send) -> None:
    gone.append(True)
    await Response()(scope, receive, send)


async def health(scope: Scope, receive: Receive, send: Send) -> None:
    found = {one.mount: [one.in_flight, one.answered, one.error] for one in app.health}
    await JSONResponse(found)(scope, receive, send)


app = Dispatcher(
    [
        *(
            Mount(f"/{style}/{name}", child, lifespan="off", **options)
            for style, options in STYLES.items()
            for name, child in APPS.items()
        ),
        Mount("/health", health, lifespan="off"),
        Mount("/go", go, lifespan="off"),
    ]
)
