"""A shop behind a proxy that has it at `/outer`: the header `x-shape` says how it was told so."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Dispatcher, ForwardedMiddleware, Mount


async def item(request: Request) -> JSONResponse:
    return JSONResponse(str(request.url_for("item", id=request.path_params["id"])))


async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str(websocket.url_for("live")))
    await websocket.close()


shop = Starlette(
    routes=[Route("/item/{id}", item, name="item"), WebSocketRoute("/live", live, name="live")]
)
shapes: dict[str, ASGIApp] = {
    # By the server's own option.
    "flag": Dispatcher([Mount("/shop", shop)]),
    "of-the-same-name": Dispatcher([Mount("/outer", shop)]),
    "of-the-same-name-stripped": Dispatcher([Mount("/outer", shop)], path_has_root=False),
    # By its place.
    "mounted": Dispatcher({"/outer": Dispatcher([Mount("/shop", shop)])}),
    # By the proxy.
    "header": ForwardedMiddleware(Dispatcher([Mount("/shop", shop)]), trusted=["127.0.0.1"]),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    names = [value.decode() for name, value in scope["headers"] if name == b"x-shape"]
    await shapes["".join(names) or "flag"](scope, receive, send)
