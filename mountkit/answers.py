"""Answers in place of an app: it is not up, or the request is refused."""

from __future__ import annotations

import math
from http import HTTPStatus
from time import monotonic

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send


async def answer(
    status: int, scope: Scope, receive: Receive, send: Send, *, was_called: bool = False
) -> None:
    """A short answer in the place of the app's.

    Args:
        was_called: the app may have received the start of a websocket's handshake.
    """
    if scope["type"] == "websocket":
        await refuse_websocket(scope, None if was_called else receive, send, status)
        return
    headers = {"cache-control": "no-store"}
    if status in (429, 503):
        headers["retry-after"] = "1"
    await PlainTextResponse(HTTPStatus(status).phrase, status, headers)(scope, receive, send)


async def answer_unavailable(retry_at: float, scope: Scope, receive: Receive, send: Send) -> None:
    """503 for an app that is not up (RFC 9110, section 15.6.4)."""
    if scope["type"] == "websocket":
        await refuse_websocket(scope, receive, send, 503)
        return
    seconds = max(1, math.ceil(retry_at - monotonic()))
    headers = {"retry-after": str(seconds), "cache-control": "no-store"}
    await PlainTextResponse("Service Unavailable", 503, headers)(scope, receive, send)


async def refuse_websocket(
    scope: Scope, receive: Receive | None, send: Send, status: int = 404
) -> None:
    """Answer a handshake with an HTTP status where the server can do that, else close it.

    `websocket.http.response` is ASGI's extension for it; a close before the accept makes the
    server answer 403. Never `http.response.start`, which no server takes here.

    Args:
        receive: `None` if "websocket.connect" may have been received already.
    """
    if receive is not None:
        await receive()
    if "websocket.http.response" in (scope.get("extensions") or {}):
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
