"""All layers at once, in any order."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit.middleware.checks import CheckMiddleware
from mountkit.middleware.contexts import ContextMiddleware
from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.middleware.errors import ContainMiddleware
from mountkit.middleware.limits import LimitMiddleware
from mountkit.middleware.meters import MeterMiddleware
from mountkit.middleware.redirects import LocationMiddleware, RedirectMiddleware
from mountkit.middleware.timeouts import TimeoutMiddleware
from tests.support.actors import Slow
from tests.support.apps.misbehaving import HTTP, WEBSOCKET
from tests.support.clients import ClientFactory
from tests.support.requests import asked
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio

LAYERS = [
    Middleware(ContainMiddleware),
    Middleware(CheckMiddleware),
    Middleware(ContextMiddleware),
    Middleware(LimitMiddleware, max_concurrency=1, when_full="wait"),
    Middleware(TimeoutMiddleware, response=20, total=30),
    Middleware(RedirectMiddleware),
    Middleware(CookiePathMiddleware),
    Middleware(LocationMiddleware),
    Middleware(MeterMiddleware, routes=True),
]
#: Each layer is the outermost of one of them, and the innermost of another.
STACKS = [LAYERS[start:] + LAYERS[:start] for start in range(len(LAYERS))]
STACKS += [stack[::-1] for stack in STACKS]
stacks = pytest.mark.parametrize("layers", STACKS, ids=lambda layers: layers[0].cls.__name__)


def stacked(layers: list[Middleware], app: Any) -> Any:
    for layer in reversed(layers):
        app = layer.cls(app, **layer.kwargs)
    return app


async def stream(request: Request) -> StreamingResponse:
    response = StreamingResponse(iter([b"a", b"b"]))
    response.set_cookie("a", "b")
    return response


async def redirect(request: Request) -> RedirectResponse:
    return RedirectResponse("/other")


async def fail(request: Request) -> None:
    raise SystemExit


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close(4000)


@stacks
def test_a_mounted_app(layers: list[Middleware], client: ClientFactory) -> None:
    """Each layer does its part."""
    routes = [
        Route("/stream", stream),
        Route("/go", redirect),
        Route("/fail", fail),
        WebSocketRoute("/ws", echo),
    ]
    app = Starlette(routes=[Mount("/sub", Starlette(routes=routes), middleware=layers)])
    with client(app, follow_redirects=False) as session:
        response = session.get("/sub/stream")
        assert response.text == "ab"
        assert response.headers["set-cookie"] == "a=b; SameSite=lax; Path=/sub"
        assert session.get("/sub/go").headers["location"] == "/sub/other"
        assert session.get("/sub/fail").status_code == 500
        with session.websocket_connect("/sub/ws") as websocket:
            websocket.send_text("hello")
            assert websocket.receive_text() == "hello"
            assert websocket.receive()["code"] == 4000


@stacks
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_an_app_that_misbehaves(layers: list[Middleware], kind: str) -> None:
    """Never has more than one answer; nothing but an exception for the server goes up."""
    faults = HTTP if kind == "http" else WEBSOCKET
    skipped = {"leaks-a-task", "blocks", "huge", "ctrl-c", "ctrl-c-after-start", "ctrl-c-after-accept", "cancelled", "cancelled-after-start", "cancelled-after-accept", "group"}  # fmt: skip
    extensions: Any = {"websocket.http.response": {}}
    app: Any
    for name, fault in faults.items():
        if name in skipped:
            continue
        app = stacked(layers, fault)
        scope = scope_of("/sub/x", type=kind, root_path="/sub", extensions=extensions)
        sent, error = await asked(app, scope)
        assert error is None or isinstance(error, Exception), name
        starts = ("http.response.start", "websocket.accept", "websocket.http.response.start")
        assert [message["type"] in starts for message in sent].count(True) <= 1, name
        closes = [message["type"] for message in sent].count("websocket.close")
        assert closes <= 1, name
        if kind == "websocket" and error is None:
            denials = [message["type"] for message in sent].count("websocket.http.response.body")
            assert closes + denials == 1, name


@stacks
async def test_an_app_that_is_too_slow(layers: list[Middleware]) -> None:
    """Is answered once."""
    quick = [
        Middleware(TimeoutMiddleware, total=0.02) if layer.cls is TimeoutMiddleware else layer
        for layer in layers
    ]
    sent, error = await asked(stacked(quick, Slow([])), scope_of("/sub/x", root_path="/sub"))
    assert ([message.get("status") for message in sent], error) == ([504, None], None)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.cls.__name__)
@pytest.mark.parametrize("type", ["http", "websocket"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_send_is_a_coroutine_function(
    layer: Middleware, type: str, anyio_backend: str
) -> None:
    """asgiref warns of another, and Channels with it."""
    seen: list[bool] = []
    message: Message = {"type": "websocket.close", "code": 1000}
    if type == "http":
        message = {"type": "http.response.start", "status": 200, "headers": []}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(iscoroutinefunction(send))
        await anyio.to_thread.run_sync(partial(async_to_sync(send), message))
        if type == "http":
            await send({"type": "http.response.body", "body": b""})

    scope = scope_of("/sub/x", type=type, root_path="/sub")
    sent, error = await asked(stacked([layer], app), scope)
    assert (seen, sent[0]["type"], error) == ([True], message["type"], None)


def test_the_stacks_are_different() -> None:
    """Of two layers, each stands above the other somewhere."""
    for one, other in itertools.permutations(LAYERS, 2):
        assert any(stack.index(one) < stack.index(other) for stack in STACKS)
