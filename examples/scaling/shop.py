"""FastAPI: pages, a stream and a websocket, with URLs that it makes itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import RedirectResponse, Response, StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.sold = asyncio.Event()
    yield


app = FastAPI(title="Shop", lifespan=lifespan)


@app.get("/items/{name:path}")
async def item(request: Request, name: str) -> dict[str, str | None]:
    return {
        "name": name,
        "url": str(request.url_for("item", name=name)),
        "asked": str(request.url),
        "root_path": request.scope["root_path"],
        "client": request.client and request.client.host,
    }


@app.get("/basket")
async def basket(request: Request) -> Response:
    response = RedirectResponse(request.url_for("item", name="anvil"), 303)
    response.set_cookie("basket", "1", path=request.scope["root_path"])
    response.set_cookie("seen", "anvil", path=request.scope["root_path"])
    return response


@app.post("/upload")
async def upload(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@app.get("/sales")
async def sales() -> StreamingResponse:
    """The second event comes when something is sold."""

    async def events() -> AsyncIterator[str]:
        app.state.sold.clear()
        yield "data: open\n\n"
        await app.state.sold.wait()
        yield "data: sold\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/sell")
async def sell() -> None:
    app.state.sold.set()


@app.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)
    await websocket.send_text(str(websocket.url_for("chat")))
    await websocket.send_bytes(await websocket.receive_bytes())
    await websocket.close(4001, "closed")
