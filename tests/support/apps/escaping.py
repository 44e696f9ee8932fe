"""Apps that do not know their prefix, served with a real server."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Mount


async def board(scope: Scope, receive: Receive, send: Send) -> None:
    is_index = scope["path"] == "/board/"
    answer = RedirectResponse("/dashboard") if is_index else PlainTextResponse("", 404)
    await answer(scope, receive, send)


async def ready(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("ready")(scope, receive, send)


app = Dispatcher([Mount("/board", board, lifespan="off"), Mount("", ready, exact=True)])
