"""The stream of the page: what it sends, and when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message

from mountkit import Dispatcher, Mount, Status
from mountkit.status import rates, streams
from mountkit.status.sources import LocalSource
from mountkit.status.streams import stop_of
from tests.support.requests import asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
APP = PlainTextResponse("x")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams look again soon."""
    monkeypatch.setattr(rates, "_FRESH", 0.02)
    monkeypatch.setattr(streams, "_STEP", 0.01)


class Following:
    """A client of a stream."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.goes = anyio.Event()
        self.ended = anyio.Event()
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.goes.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def events(self) -> list[str]:
        """What comes between empty lines."""
        text = b"".join(message.get("body", b"") for message in self.sent[1:]).decode()
        return text.split("\n\n")[:-1]


@asynccontextmanager
async def following(app: ASGIApp, path: str = "/events", **how: Any) -> AsyncIterator[Following]:
    """A client that looks, and goes at the end."""
    client = Following()

    async def run() -> None:
        await app(scope_of(path, **how), client.receive, client.send)
        client.ended.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await until(lambda: len(client.sent) > 1)
            yield client
            client.goes.set()
            await client.ended.wait()


def site(page: Status) -> Dispatcher:
    return Dispatcher([Mount("/a", APP, name="first"), Mount("/_status", page)])


async def test_the_stream_has_what_changes() -> None:
    """First all of it, then what is new, and comments in between that show who is still there."""
    app = site(Status())
    async with following(app, "/_status/events") as client:
        start = client.sent[0]
        assert start["status"] == 200
        headers = dict(start["headers"])
        assert headers[b"content-type"] == b"text/event-stream"
        assert headers[b"cache-control"] == b"no-store"
        assert client.events[0].startswith("retry: 500\ndata: <section")
        assert all(line.startswith("data: ") for line in client.events[0].splitlines()[1:])
        assert "2xx" not in client.events[0]
        await asked(app, scope_of("/a"))
        await until(lambda: any("2xx 1" in event for event in client.events))
        await until(lambda: ": nothing new" in client.events)


async def test_the_stream_of_a_filter() -> None:
    """Has what the page has."""
    app = site(Status())
    async with following(app, "/_status/events", query="q=first") as client:
        assert "1 of 2 mounts" in client.events[0]
        assert "<code>/a</code>" in client.events[0]
        assert "<code>/_status</code>" not in client.events[0]


async def test_nothing_runs_once_nobody_looks() -> None:
    """The stream ends with its client."""
    taken = 0

    class Counting:
        async def snapshot(self) -> Any:
            nonlocal taken
            taken += 1
            return await source.snapshot()

        async def explain(self, *_: Any) -> dict[str, Any]:
            return {}

    source = LocalSource(Dispatcher([Mount("/a", APP)]))
    async with following(Status(Counting())):
        await until(lambda: taken > 1)
    before = taken
    await anyio.sleep(0.05)
    assert taken == before


def is_ended(client: Following) -> bool:
    return client.ended.is_set() and client.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_a_server_that_stops_closes_it() -> None:
    """Within a moment."""
    page = Status()
    async with following(site(page), "/_status/events") as client:
        page.close()
        await until(lambda: is_ended(client))


async def test_a_stream_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser asks anew; so no server waits long for it."""
    monkeypatch.setattr(streams, "_LONGEST", 0.1)
    async with following(site(Status()), "/_status/events") as client:
        await until(lambda: is_ended(client))


class Cycle:
    """A request as uvicorn has it."""

    def __init__(self, keep_alive: Any) -> None:
        self.keep_alive = keep_alive

    async def receive(self) -> Message:
        return {"type": "http.disconnect"}


async def test_uvicorn_is_known_to_stop() -> None:
    """By what it does to the requests in flight; a connection that was not kept anyway, and other
    servers, tell nothing."""
    cycle, closing = Cycle(True), Cycle(False)
    is_stopping, is_not_told = stop_of(cycle.receive), stop_of(closing.receive)
    assert not is_stopping()
    cycle.keep_alive = False
    assert is_stopping()
    assert not is_not_told()
    assert not stop_of(Following().receive)()

    async def receive() -> Message:
        return await cycle.receive()

    assert not stop_of(receive)()
