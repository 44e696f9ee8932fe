"""Behind `ForwardedMiddleware`: `/shop` says what it sees, and what the server has said of it."""

from __future__ import annotations

import json
import os
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, ForwardedMiddleware


async def shop(request: Request) -> Response:
    return JSONResponse(
        {
            "url": str(request.url),
            "client": request.client and request.client.host,
            "peer": request.scope["peer"],
            "headers": sorted(name for name in request.headers if "forwarded" in name),
        }
    )


middleware = ForwardedMiddleware(
    Dispatcher({"/shop": Starlette(routes=[Route("/", shop)])}),
    trusted=json.loads(os.environ["TRUSTED"]),
)


async def app(scope: Any, receive: Receive, send: Send) -> None:
    seen: Scope = {**scope, "peer": scope.get("client")}
    await middleware(seen, receive, send)
