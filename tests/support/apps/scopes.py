"""Apps that answer with what they are called with, as JSON. Imports nothing of the project, as other
environments run it."""

from __future__ import annotations

import json
import os


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


_KEYS = (
    *("type", "method", "path", "raw_path", "root_path", "query_string", "scheme", "client"),
    *("server", "http_version", "headers", "path_params", "subprotocols"),
)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    body = json.dumps({key: _plain(scope[key]) for key in _KEYS if key in scope})
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None})
        await send({"type": "websocket.send", "text": body})
        await send({"type": "websocket.close", "code": 4000})
        return
    content = body.encode()
    headers = [(b"content-length", str(len(content)).encode()), (b"x-pid", b"%d" % os.getpid())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _live(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup" and os.environ.get("FAILS"):
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            print("stopped well", flush=True)
            return


def make():
    return app


def wsgi(environ, start_response):
    content = json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()
    start_response("200 OK", [("content-length", str(len(content)))])
    return [content]
