"""What parent and workers say to each other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mountkit.exceptions import MountkitError
from mountkit.server.channels import Channel, ChannelClosed, ChannelRefused


@pytest.fixture
def anyio_backend() -> str:
    """The parent and its workers run on asyncio."""
    return "asyncio"


pytestmark = pytest.mark.anyio


class Other:
    """Answers what it is asked."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.has_heard = asyncio.Event()

    async def __call__(self, kind: str, values: dict[str, Any]) -> Any:
        self.heard.append((kind, values))
        self.has_heard.set()
        if kind == "refuse":
            raise MountkitError("No.")
        if kind == "fail":
            raise ZeroDivisionError("oh")
        if kind == "wait":
            await asyncio.sleep(values["seconds"])
        return values


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Channel, Other, socket.socket]]:
    """A channel, who answers at its other end, and that end."""
    one, two = socket.socketpair()
    other = Other()
    near, far = Channel(Other()), Channel(other)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(near.run(await near.open(one))),
            tasks.create_task(far.run(await far.open(two))),
        ]
        try:
            yield near, other, two
        finally:
            for task in running:
                task.cancel()


async def test_questions_are_answered() -> None:
    """Several at a time, each when it is ready."""
    async with pair() as (channel, _, _):
        slow = asyncio.create_task(channel.ask("wait", seconds=0.2))
        assert await channel.ask("echo", text="é" * 100_000) == {"text": "é" * 100_000}
        assert not slow.done()
        assert await slow == {"seconds": 0.2}


async def test_what_is_told_needs_no_answer() -> None:
    """It is heard."""
    async with pair() as (channel, other, _):
        channel.tell("refuse", reason="none")
        await channel.flush()
        await other.has_heard.wait()
        assert other.heard == [("refuse", {"reason": "none"})]


@pytest.mark.parametrize(("kind", "text"), [("refuse", "No."), ("fail", "ZeroDivisionError('oh')")])
async def test_a_refusal(kind: str, text: str) -> None:
    """Its message comes back, of whatever kind it is."""
    async with pair() as (channel, _, _):
        with pytest.raises(ChannelRefused) as caught:
            await channel.ask(kind)
        assert str(caught.value) == text


async def test_an_answer_that_comes_too_late() -> None:
    """Nobody waits for it any more."""
    async with pair() as (channel, _, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await channel.ask("wait", seconds=0.2)
        assert await channel.ask("wait", seconds=0.3) == {"seconds": 0.3}


async def test_the_other_side_goes() -> None:
    """Questions that are open end, and so do later ones."""
    async with pair() as (channel, other, end):
        asking = asyncio.create_task(channel.ask("wait", seconds=60))
        await other.has_heard.wait()
        end.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ChannelClosed):
            await asking
        with pytest.raises(ChannelClosed):
            await channel.ask("echo")
        channel.tell("echo")
        await channel.flush()


async def test_the_other_side_is_killed() -> None:
    """What it has not read is lost."""
    near, far = socket.socketpair()
    channel = Channel(Other())
    running = asyncio.create_task(channel.run(await channel.open(near, b"first")))
    await channel.flush()
    far.close()  # with something that it has not read, which is a reset
    await running
    with pytest.raises(ChannelClosed):
        await channel.ask("echo")
