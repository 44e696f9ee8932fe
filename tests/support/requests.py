"""Requests to an app in the same process, without a client."""

from __future__ import annotations

import anyio
import anyio.abc
from starlette.types import ASGIApp, Message, Scope

from tests.support.lifespans import Running


class Asked:
    """One request that is under way."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.error: BaseException | None = None
        self.ended = anyio.Event()

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]


def ask(tasks: anyio.abc.TaskGroup, app: ASGIApp, scope: Scope) -> Asked:
    """Send a request, and do not wait for its answer."""
    asked = Asked()

    async def receive() -> Message:
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        asked.sent.append(message)

    async def run() -> None:
        try:
            await app(scope, receive, send)
        except Exception as exc:
            asked.error = exc
        asked.ended.set()

    tasks.start_soon(run)
    return asked


async def asked(app: ASGIApp, scope: Scope) -> tuple[list[Message], BaseException | None]:
    """What an app sends, and what it raises."""
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, app, scope)
        with anyio.fail_after(60):
            await request.ended.wait()
    return request.sent, request.error


async def status_of(server: Running, path: str) -> int:
    return (await server.ask(path))[0]


def by_hand(app: ASGIApp, scope: Scope) -> tuple[list[Message], str | None]:
    """What an app sends, and what it raises, without an event loop."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        app(scope, receive, send).send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return sent, None
    except BaseException as exc:
        return sent, f"{exc!r} {getattr(exc, '__notes__', ())}"
    raise AssertionError("It waits.")
