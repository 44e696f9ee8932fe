from __future__ import annotations

from typing import Any

import socketio

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")

    @server.event
    async def shout(sid: str, text: str) -> None:
        await server.emit("echo", text.upper(), to=sid)

    return socketio.ASGIApp(
        server,
        static_files={
            "/": {"content_type": "text/plain", "filename": str(common.STATIC / "style.css")},
            "/static": str(common.STATIC),
        },
        on_startup=common.lifespan_started,
        on_shutdown=common.lifespan_stopped,
    )
