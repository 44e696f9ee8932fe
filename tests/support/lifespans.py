"""The server's side of a lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.types import ASGIApp, Message

from tests.support.actors import Log
from tests.support.scopes import scope_of
from tests.support.waiting import until


class Server:
    """The server's side of a lifespan: it asks for a shutdown as soon as all is up."""

    def __init__(self, log: Log, *, on_complete: Callable[[], Any] | None = None) -> None:
        self.log = log
        self.messages: list[Message] = []
        self.on_complete = on_complete
        self.state: dict[str, Any] = {}
        self._events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive(self) -> Message:
        return {"type": next(self._events)}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        self.log.append(message["type"].removeprefix("lifespan."))
        if message["type"] == "lifespan.startup.complete" and self.on_complete:
            self.on_complete()

    async def run(self, app: ASGIApp) -> None:
        with anyio.fail_after(60):
            await app({"type": "lifespan", "state": self.state}, self.receive, self.send)


class Running:
    """A server that serves until it is told to stop."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.messages: list[Message] = []
        self.state: dict[str, Any] = {}
        self.up, self.stopping = anyio.Event(), anyio.Event()

    async def receive(self) -> Message:
        if not self.messages and not self.up.is_set():
            self.up.set()
            return {"type": "lifespan.startup"}
        await self.stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    async def ask(self, path: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
        sent: list[Message] = []
        events: list[Message] = [{"type": "http.request"}]

        async def receive() -> Message:
            if events:
                return events.pop()
            return await anyio.sleep_forever()  # until the client goes, and it does not

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope_of(path, state=dict(self.state), **options), receive, send)
        headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], headers, body

    @property
    def answered(self) -> list[str]:
        return [message["type"].removeprefix("lifespan.") for message in self.messages]


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[Running]:
    """`app`, up."""
    server = Running(app)
    scope = {"type": "lifespan", "state": server.state}
    with anyio.fail_after(300):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app, scope, server.receive, server.send)
            await until(lambda: bool(server.messages))
            yield server
            server.stopping.set()
