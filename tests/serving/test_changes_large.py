"""Changes of very many mounts: the loop is never held for long, and all of them are one step."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.responses import PlainTextResponse

from mountkit import ConflictError, Dispatcher, Header, Lifespan, Mount, PatternError, Readiness
from mountkit.matching.entries import dropped
from mountkit.matching.tables import Table
from mountkit.tasks import STRIDE
from tests.support.lifespans import running
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

MANY = 5_000
child = PlainTextResponse("ok")


@pytest.fixture(autouse=True)
def without_collections() -> Iterator[None]:
    """The garbage collector has steps of its own."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def made(prefix: str, number: int = MANY) -> list[Mount]:
    return [Mount(f"/{prefix}{n}", child, lifespan="off") for n in range(number)]


class Steps:
    """The processor's time of each turn of the event loop."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def watch(self) -> None:
        while True:
            before = time.thread_time()
            await checkpoint()
            self.taken.append(time.thread_time() - before)


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """A block in which no step takes more than a small share of all of it."""
    steps = Steps()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steps.watch)
        await checkpoint()
        yield
        tasks.cancel_scope.cancel()
    assert max(steps.taken) < 0.25 * sum(steps.taken), max(steps.taken)


def paths(app: Dispatcher) -> list[str]:
    return [mount.path for mount in app.table.declared]


@pytest.mark.slow
async def test_no_step_is_long() -> None:
    """Whatever comes, goes and is replaced, among as many."""
    app = Dispatcher(made("a"))
    async with running(app):
        coming, instead = made("b"), made("c")
        for change in (
            {"add": coming},
            {"replace": [*zip(coming, instead, strict=True)]},
            {"remove": instead},
        ):
            async with watched():
                await app.change(**change)  # type: ignore[arg-type]
        assert paths(app) == [f"/a{n}" for n in range(MANY)]


@pytest.mark.slow
async def test_a_probe_has_no_long_step() -> None:
    """With all details."""
    app = Dispatcher([Mount("/ready", Readiness(details=True)), *made("a")])
    async with running(app) as server, watched():
        status, _, body = await server.ask("/ready")
    assert (status, body.count(b'"serving"')) == (200, MANY + 1)


async def test_requests_see_all_of_it_or_nothing() -> None:
    """Of a large change that is being made, and each mount is where it was declared."""
    first, second = made("a", 1000), made("b", 1000)
    app = Dispatcher([*first, Mount("/last", child)])
    seen: list[tuple[bool, bool, bool]] = []

    def look() -> None:
        found = [app.table.decide(scope_of(path)) for path in ("/a0", "/b0", "/b999")]
        seen.append((found[0] is not None, found[1] is not None, found[2] is not None))

    async def watch() -> None:
        while True:
            look()
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await app.change(replace=[*zip(first, second, strict=True)])
        look()
        tasks.cancel_scope.cancel()
    assert set(seen) == {(True, False, False), (False, True, True)}
    assert seen == sorted(seen, reverse=True)
    assert paths(app) == [*(mount.path for mount in second), "/last"]


async def test_small_changes_meanwhile() -> None:
    """The large one is made again, and nothing is lost of either."""
    app = Dispatcher(made("a", 1000))
    is_done = False

    async def small() -> int:
        number = 0
        while not is_done:
            await app.add(Mount(f"/s{number}", child, lifespan="off"))
            number += 1
        return number

    added: list[int] = []

    async def count() -> None:
        added.append(await small())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await until(lambda: len(app.routes) > 1005)
        await app.change(add=made("b", 1000))
        is_done = True
    assert sorted(paths(app)) == sorted(
        [f"/{name}{n}" for name in "ab" for n in range(1000)] + [f"/s{n}" for n in range(added[0])]
    )


async def test_one_that_conflicts_with_what_came_meanwhile() -> None:
    """It is refused, as it would be afterwards."""
    app = Dispatcher()
    coming = made("b", 1000)
    async with anyio.create_task_group() as tasks:

        async def add() -> None:
            with pytest.raises(ConflictError):
                await app.change(add=coming)

        tasks.start_soon(add)
        await checkpoint()
        await app.add(Mount("/b999", child))
    assert paths(app) == ["/b999"]


async def test_one_that_is_cancelled() -> None:
    """Nothing has changed, and the mounts can come again."""
    app = Dispatcher()
    coming = made("b", 1000)
    async with running(app):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(app.change)

            async def add() -> None:
                await app.change(add=coming)

            tasks.start_soon(add)
            for _ in range(10):
                await checkpoint()
            tasks.cancel_scope.cancel()
        assert paths(app) == []
        assert app.health == []
        await app.change(add=coming)
        assert len(paths(app)) == 1000


async def test_many_that_start_at_the_same_time() -> None:
    """Others run meanwhile."""
    how = Lifespan(independent=True)
    app = Dispatcher([Mount(f"/a{n}", PlainTextResponse("ok"), lifespan=how) for n in range(600)])
    async with running(app) as server:
        assert (await server.ask("/a599"))[0] == 200
    assert server.answered == ["startup.complete", "shutdown.complete"]


def test_each_fault_is_found_however_many_there_are() -> None:
    """As in a small change."""
    mounts = made("a", 1000)
    table = Table(mounts)
    with pytest.raises(PatternError, match="is to leave twice"):
        table.apply(remove=[*mounts, mounts[500]])
    with pytest.raises(ConflictError):
        table.apply(add=[*made("b", 1000), Mount("/a7", child)])
    assert len(table.declared) == 1000


def test_gaps_are_closed_later_if_another_change_is_quicker() -> None:
    """A table that is compacted in steps may change meanwhile."""
    mounts = made("a", 1000)
    table = Table(mounts)
    for mount in mounts[:700]:
        list(table.gradually(remove=[mount]))
    assert len(table._mounts) == 1000
    compacting = table.compact()
    next(compacting)
    list(table.gradually(remove=[mounts[700]]))
    assert [*compacting] == []
    assert len(table._mounts) == 1000
    assert [*table.compact()] != []
    assert len(table._mounts) == len(table.declared) == 299
    assert table.decide(scope_of("/a999")) is not None


SHAPES = {
    "flat": lambda n: Mount(f"/f{n}", child, lifespan="off"),
    "deep": lambda n: Mount(f"/d{n}/x", child, lifespan="off"),
    "placeholders": lambda n: Mount(f"/p{n}/{{x}}", child, lifespan="off"),
    "several segments": lambda n: Mount(f"/m{n}/{{x:path}}", child, lifespan="off"),
    "hosts": lambda n: Mount("/", child, host=f"h{n}.example", lifespan="off"),
    "paths of hosts": lambda n: Mount("/x", child, host=f"p{n}.example", lifespan="off"),
    "wildcards": lambda n: Mount("/x", child, host=f"*.w{n}.example", lifespan="off"),
    "a header": lambda n: Mount("/h", child, when=Header("x-t", f"{n}"), lifespan="off"),
    "headers": lambda n: Mount("/n", child, when=Header(f"x-{n}"), lifespan="off"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_over_is_freed_in_steps(shape: str) -> None:
    """A table that was replaced is taken apart, its trees included, and the new one is not."""
    mounts = [SHAPES[shape](n) for n in range(2 * STRIDE)]
    table = Table([*mounts, Mount("/last", child)])
    for host in ("h1.example", "p1.example", "a.w1.example"):
        table.decide(scope_of("/x", host=host))
    old = [table._any_host, table._hosts]
    list(table.gradually(remove=mounts[: STRIDE + 1]))
    assert not all(tree.is_empty() for tree in old)
    steps = [*table.compact()]
    assert len(steps) >= 2
    assert all(tree.is_empty() for tree in old)
    assert table.declared == (*mounts[STRIDE + 1 :], *table.declared[-1:])
    for mount in mounts[STRIDE + 1 :]:
        list(table.gradually(remove=[mount]))
    assert table.decide(scope_of("/last")) is not None


def test_a_step_frees_a_bounded_number() -> None:
    """Whatever holds them."""
    things = [{n: n for n in range(1000)}, [(n, n) for n in range(1000)], set(range(1000))]
    before = sum(map(len, things))
    for _ in dropped([*things]):
        left = sum(map(len, things))
        assert before - left <= STRIDE
        before = left
    assert things == [{}, [], set()]


def test_mounts_with_a_header_are_found_by_it() -> None:
    """One more, or one less, does not visit all that differ from it in a value only."""
    table = Table([SHAPES["a header"](n) for n in range(1000)])
    beside = table._numbers_beside
    assert len(beside(table.declared[7].rule)) == 1
    assert len(beside(SHAPES["a header"](1000).rule)) == 0
    assert len(beside(Mount("/h", child, when=Header("x-other", "7")).rule)) == 0
    assert len(beside(Mount("/h", child).rule)) == 0
    assert len(beside(Mount("/h", child, when=Header("x-t")).rule)) == 1000
    table.apply(add=[Mount("/h", child, when=Header("x-t"))])
    assert len(beside(table.declared[7].rule)) == 1001
    with pytest.raises(ConflictError):
        table.apply(add=[SHAPES["a header"](7)])


def test_a_large_change_that_is_made_again() -> None:
    """What was made too soon is freed, and the change sees what came meanwhile."""
    first, second = made("a", 1000), made("b", 1000)
    table = Table(first)
    steps = table.gradually(add=second)
    for _ in range(6):
        next(steps)
    table.apply(add=[Mount("/c", child)])
    assert [*steps]
    assert [*table.compact()]
    assert table._old == []
    assert [mount.path for mount in table.declared[-1001:-999]] == ["/c", "/b0"]


def test_health_is_made_when_it_is_read() -> None:
    """Of the mounts of the moment, without a list of all."""
    mounts = made("a", 3)
    app = Dispatcher(mounts, default=child)
    health = app.health
    reading = iter(health)
    next(reading)
    mounts[1].traffic.count(200)
    assert next(reading).answered == {"2xx": 1}
    app.table.apply(remove=[mounts[0]])
    assert (len(health), len(app.health)) == (4, 3)
    assert health[-1].mount == "default"
    assert [one.mount for one in health[1:3]] == ["/a1", "/a2"]
    assert health == [*health] == list(health[:])
    assert health != "other"
    assert health != []
    assert repr(health) == repr([*health])
    assert bool(health)
    assert not Dispatcher().health


async def test_a_probe_sends_much_in_parts() -> None:
    """Each of a bounded number of mounts, with the length of all of it."""
    app = Dispatcher([Mount("/ready", Readiness(details=True)), *made("a", 2000)])
    for mount in app.routes[1:]:
        mount.traffic.draining_since = 1.0  # type: ignore[attr-defined]
    parts: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            parts.append(message["body"])

    async with running(app) as server:
        await app(scope_of("/ready", state=dict(server.state)), anyio.sleep_forever, send)
        status, headers, body = await server.ask("/ready")
    told = json.loads(b"".join(parts))
    assert (status, headers["content-length"]) == (200, str(len(body)))
    assert len(told["mounts"]) == 2001
    assert told["not serving"] == {f"/a{n}": "draining" for n in range(2000)}
    assert max(part.count(b'"mount"') for part in parts) <= STRIDE
