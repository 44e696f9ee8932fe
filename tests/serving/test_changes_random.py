"""Random lives: apps of every sort that come and go, at random, under requests, while the server
starts, serves and stops or is cancelled."""

from __future__ import annotations

import random

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Lifespan, LifespanError, Mount, MountkitError
from tests.support.lifespans import Running

pytestmark = pytest.mark.anyio

PATHS = [f"/{number}" for number in range(6)]
STARTUPS = ["ok"] * 6 + ["slow", "raises", "fails", "hangs", "unsupported", "dies"]
SHUTDOWNS = ["ok"] * 5 + ["raises", "fails", "hangs", "returns"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for anything."""
    monkeypatch.setattr("mountkit.lifespans.supervisors._FIRST_DELAY", 0.003)
    monkeypatch.setattr("mountkit.lifespans.supervisors._LONGEST_DELAY", 0.01)


class Actor:
    """An app that behaves at random, and complains if others do.

    Args:
        wrong: gets what ought not to happen.
    """

    def __init__(self, rng: random.Random, name: str, wrong: list[str]) -> None:
        self.rng = rng
        self.name = name
        self.wrong = wrong
        self.startup = rng.choice(STARTUPS)
        self.shutdown = rng.choice(SHUTDOWNS)
        self.is_up = False
        self.runs = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.answer(send)
        elif self.startup == "unsupported":
            raise ValueError("no lifespan")
        else:
            self.runs += 1
            if self.runs > 1:
                self.wrong.append(f"{self.name} runs twice")
            try:
                await self.live(receive, send)
            finally:
                self.is_up = False
                self.runs -= 1

    async def answer(self, send: Send) -> None:
        has_to_be_up = self.startup not in ("unsupported", "dies")
        if has_to_be_up and not self.is_up:
            self.wrong.append(f"{self.name} was asked before it was up, or after")
        await anyio.sleep(self.rng.random() * 0.01)
        if has_to_be_up and not self.is_up:
            self.wrong.append(f"{self.name} was stopped under a request")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(0.02 if self.startup == "slow" else self.rng.random() * 0.005)
        await self.act("startup", self.startup, send)
        if self.startup == "dies":
            await anyio.sleep(self.rng.random() * 0.01)
            raise RuntimeError("died")
        await receive()
        self.is_up = False
        await self.act("shutdown", self.shutdown, send)

    async def act(self, kind: str, how: str, send: Send) -> None:
        if how == "returns":
            return
        if how == "raises":
            raise RuntimeError("raises")
        if how == "hangs":
            await anyio.sleep_forever()
        if how == "fails":
            await send({"type": f"lifespan.{kind}.failed"})
            raise RuntimeError("failed")
        self.is_up = kind == "startup"
        await send({"type": f"lifespan.{kind}.complete"})


class Life:
    """One random life of one server."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.wrong: list[str] = []
        self.actors: list[Actor] = []
        self.inner: list[Dispatcher] = []
        self.is_quiet = False  # the server takes no requests any more
        self.is_over = False
        self.asking = 0
        mounts = [self.mount(path) for path in self.rng.sample(PATHS, self.rng.randint(0, 3))]
        self.app = Dispatcher(
            mounts,
            startup_timeout=0.05,
            shutdown_timeout=0.05,
            total_startup_timeout=self.rng.choice([None, 0.1]),
        )
        self.server = Running(self.app)

    def actor(self) -> Actor:
        if self.actors and self.rng.random() < 0.3:
            return self.rng.choice(self.actors)
        actor = Actor(self.rng, str(len(self.actors)), self.wrong)
        self.actors.append(actor)
        return actor

    def mount(self, path: str) -> Mount:
        on_failure, independent = self.rng.choice(["fail", "isolate"]), self.rng.random() < 0.4
        app: Actor | Dispatcher = self.actor()
        if self.rng.random() < 0.15:
            app = Dispatcher(
                {"/x": app, "/y": self.actor()}, startup_timeout=0.05, shutdown_timeout=0.05
            )
            self.inner.append(app)
        return Mount(path, app, lifespan=Lifespan(on_failure=on_failure, independent=independent))  # type: ignore[arg-type]

    async def change(self) -> None:
        while not self.is_over:
            deadline = self.rng.choice([None, None, None, self.rng.random() * 0.02])
            try:
                with anyio.move_on_after(deadline):
                    await self.change_once(self.rng.choice([0, 0.003, 0.05]))
            except MountkitError:  # refused, or an app did not start
                pass
            await anyio.sleep(self.rng.random() * 0.003)

    async def change_once(self, drain_timeout: float) -> None:
        there = self.app.table.declared
        app = self.rng.choice([self.app, self.app, self.app, *self.inner])
        old = [self.rng.choice(there)] if there and app is self.app else []
        how = self.rng.choice(["add", "remove", "replace"])
        if how == "replace":
            pairs = [(mount, self.mount(mount.path)) for mount in old]
            await app.change(replace=pairs, drain_timeout=drain_timeout)
        else:
            add = [self.mount(self.rng.choice(PATHS))] if how == "add" else []
            remove = old if how == "remove" or self.rng.random() < 0.3 else []
            await app.change(add=add, remove=remove, drain_timeout=drain_timeout)

    async def ask(self) -> None:
        while not self.is_over:
            if self.server.answered == ["startup.complete"] and not self.is_quiet:
                self.asking += 1
                path = self.rng.choice(PATHS) + self.rng.choice(["", "/x"])
                status, _, _ = await self.server.ask(path)
                if status not in (200, 404, 503):
                    self.wrong.append(f"{path}: {status}")
                self.asking -= 1
            await anyio.sleep(self.rng.random() * 0.002)

    async def serve(self) -> None:
        scope = {"type": "lifespan", "state": self.server.state}
        try:
            await self.app(scope, self.server.receive, self.server.send)
        except LifespanError:  # told the server so
            if not self.server.answered[-1].endswith(".failed"):
                self.wrong.append("an error that the server was not told of")

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            for work in (self.change, self.change, self.change, self.ask, self.ask, self.ask):
                tasks.start_soon(work)
            async with anyio.create_task_group() as server_tasks:
                server_tasks.start_soon(self.serve)
                await anyio.sleep(self.rng.random() * 0.12)
                self.is_quiet = True
                while self.asking:  # noqa: ASYNC110
                    await anyio.sleep(0.001)
                if self.rng.random() < 0.2:
                    server_tasks.cancel_scope.cancel()
                self.server.stopping.set()
            self.is_over = True


@pytest.mark.parametrize("seed", range(25))
async def test_a_random_life(seed: int) -> None:
    """No app is asked while it is not up, stopped under a request, run twice at a time or left
    running; and all of it comes to its end."""
    life = Life(seed)
    with anyio.fail_after(60):
        await life.run()
    assert life.wrong == []
    assert [actor.name for actor in life.actors if actor.runs or actor.is_up] == []
    assert [health.in_flight for health in life.app.health if health.in_flight] == []
    assert list(life.app._changes.mounts) == []
