"""Turning a websocket away before it is accepted."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send


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
