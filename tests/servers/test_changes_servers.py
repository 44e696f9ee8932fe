"""Mounts that come and go on real servers, under traffic: nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import anyio
import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support import http
from tests.support.apps.changing import STEADY
from tests.support.servers import Server, serve

#: Steps of a round; each is three changes: one added, one replaced, one removed.
WARM, STEPS, MORE = 10, 60, 20
#: Answers of each kind that have to be seen; while there are fewer, rounds go on.
ENOUGH = 20
KINDS = ("http", "stream", "websocket", "passing")


class Traffic:
    """Clients that ask without a pause, and what they have seen."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.is_over = False

    @property
    def has_enough(self) -> bool:
        return all(self.seen[kind] >= ENOUGH for kind in KINDS)

    def take_down(self, kind: str, name: str, text: str, *, marks: int) -> None:
        """Every answer is whole, comes from the app that was asked, and from one that is up."""
        expected = f"{name}:up;"
        if text.replace(expected, "") or text.count(expected) != marks:
            self.wrong.append(f"{kind} {name}: {text!r}")
        self.seen[kind] += 1

    async def keep(self, ask: Callable[[int], Awaitable[None]], first: int) -> None:
        number = first
        while not self.is_over:
            try:
                await ask(number % STEADY)
            except Exception as exc:
                self.wrong.append(f"{ask.__name__} {number % STEADY}: {exc!r}")
            number += 1

    async def run(self, client: httpx.AsyncClient, steps: int) -> dict[str, int]:
        """Traffic of all three kinds, for as long as the server changes its mounts."""

        async def index(number: int) -> None:
            response = await client.get(f"/tenant/{number}/")
            if response.status_code != 200:
                self.wrong.append(f"index {number}: {response.status_code}")
            self.take_down("http", f"t{number}", response.text.strip('"'), marks=1)

        async def stream(number: int) -> None:
            response = await client.get(f"/tenant/{number}/stream")
            text, end = response.text[:-3], response.text[-3:]
            self.take_down("stream", f"t{number}", text if end == "end" else "cut", marks=5)

        async def websocket(number: int) -> None:
            async with connect(f"{self.server.ws_url}/tenant/{number}/ws") as ws:
                for _ in range(5):
                    await ws.send("?")
                    self.take_down("websocket", f"t{number}", str(await ws.recv()), marks=1)

        async def passing(number: int) -> None:
            """It is there or not, and never half."""
            response = await client.get("/passing/stream")
            if response.status_code == 404:
                self.seen["not there"] += 1
                return
            text, end = response.text[:-3], response.text[-3:]
            self.take_down("passing", "passing", text if end == "end" else "cut", marks=5)

        asks = (index, index, stream, stream, websocket, websocket, passing)
        self.is_over = False
        async with anyio.create_task_group() as tasks:
            for first, ask in enumerate(asks):
                tasks.start_soon(self.keep, ask, first)
            response = await client.get(f"/control/change?count={steps}", timeout=120)
            self.is_over = True
        result: dict[str, int] = response.json()
        return result


@pytest.fixture(params=["uvicorn-httptools", "hypercorn-asyncio", "hypercorn-trio"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A process for each test, whose memory is its own."""
    with serve(request.param, "tests.support.apps.changing:app") as running:
        yield running


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_hundreds_of_changes_under_traffic(server: Server, anyio_backend: str) -> None:
    """No request is lost, none reaches an app that is not up, every app that has gone was stopped,
    and memory does not grow. One mount is added and removed, others are replaced."""
    traffic = Traffic(server)
    async with http.AsyncClient(base_url=server.url, timeout=30) as client:
        await traffic.run(client, WARM)
        before = (await client.get("/control/memory")).json()  # begins to trace
        before = (await client.get("/control/memory")).json()
        result = await traffic.run(client, STEPS)
        total = WARM + STEPS
        with anyio.fail_after(120):  # a slow machine needs more rounds
            while not (traffic.has_enough or traffic.wrong):
                result = await traffic.run(client, MORE)
                total += MORE
        await anyio.sleep(0.1)
        after = (await client.get("/control/memory")).json()
    assert traffic.wrong == []
    assert result["mounts"] == STEADY + 1
    assert result["starts"] == STEADY + 2 * total
    assert result["stops"] == 2 * total
    assert after["in_flight"] == 1
    assert after["tasks"] <= before["tasks"] + 5
    # What one app takes is some 20 KB: 120 of them would be 2.4 MB.
    assert after["bytes"] - before["bytes"] < 1_000_000, (before, after)
