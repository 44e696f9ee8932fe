"""Answers given in an app's place: it is not up, or the request is refused.

May import `locations`, the standard library and Starlette.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from time import monotonic

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from mountkit.locations import slash_location


async def answer(
    status: int, scope: Scope, receive: Receive, send: Send, *, was_called: bool = False
) -> None:
    """Answer with a status and its phrase; a websocket's handshake is refused.

    Args:
        was_called: the app may have received "websocket.connect" already.
    """
    if scope["type"] == "websocket":
        await refuse_websocket(scope, None if was_called else receive, send, status)
        return
    headers = {"cache-control": "no-store"}
    if status in (429, 503):
        headers["retry-after"] = "1"
    await PlainTextResponse(HTTPStatus(status).phrase, status, headers)(scope, receive, send)


async def answer_unavailable(retry_at: float, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503, and when to try again (RFC 9110, section 15.6.4).

    Args:
        retry_at: on the clock of `time.monotonic`, in seconds.
    """
    if scope["type"] == "websocket":
        await refuse_websocket(scope, receive, send, 503)
        return
    seconds = max(1, math.ceil(retry_at - monotonic()))
    headers = {"retry-after": str(seconds), "cache-control": "no-store"}
    await PlainTextResponse("Service Unavailable", 503, headers)(scope, receive, send)


async def refuse_websocket(
    scope: Scope, receive: Receive | None, send: Send, status: int = 404
) -> None:
    """Refuse a handshake with an HTTP status if the server can send one, else close it.

    The status needs ASGI's extension `websocket.http.response`; a close before the accept makes
    the server answer 403. Servers do not take `http.response.start` here.

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


async def redirected(
    when: bool | str, path: str, scope: Scope, receive: Receive, send: Send
) -> bool:
    """Redirect a request for the bare prefix of a mount to the same with a slash (307), which
    nothing may keep, as it depends on the headers; or do nothing.

    Args:
        when: see `Mount(redirect_slashes=)`.
        path: the prefix, with all that comes before it.

    Returns:
        Whether it was redirected.
    """
    location = redirect_location(when, path, scope)
    if location is None:
        return False
    response = RedirectResponse(location, 307, {"cache-control": "no-store"})
    await response(scope, receive, send)
    return True


def redirect_location(when: bool | str, path: str, scope: Scope) -> str | None:
    """Where `redirected` redirects to; `None` if it does nothing."""
    if scope["type"] != "http" or when not in (True, "navigate"):
        return None
    # Fetch Metadata (W3C), section 2.3: sent by browsers, and not by the scripts in them.
    is_navigation = scope["method"] == "GET" and any(
        name == b"sec-fetch-mode" and value == b"navigate" for name, value in scope["headers"]
    )
    if when is not True and not is_navigation:
        return None
    return slash_location(path, scope.get("query_string", b""))
