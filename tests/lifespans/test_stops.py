"""Stops that are under way when something else happens."""

from __future__ import annotations

import asyncio

import anyio
import anyio.abc
import pytest
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, LifespanError, Mount
from mountkit.lifespans.children import Child
from mountkit.lifespans.registers import MARK, Register
from mountkit.lifespans.runs import Run
from tests.support.actors import Log, actor
from tests.support.lifespans import Server, running
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


class SlowToStop:
    """An app that stops when it is let go."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.go = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.log.append("slow stops")
        await self.go.wait()
        self.log.append("slow down")
        await send({"type": "lifespan.shutdown.complete"})


async def test_a_shutdown_waits_for_a_change_that_is_undone() -> None:
    """The app that the change had started has its time to stop; those before it stop after it."""
    log: Log = []
    slow = SlowToStop(log)
    app = Dispatcher({"/a": actor("a", log)})
    async with running(app) as server:
        mounts = [Mount("/slow", slow), Mount("/b", actor("b", log, "hangs"))]
        async with anyio.create_task_group() as change:

            async def add() -> None:
                await app.change(add=mounts)

            change.start_soon(add)
            await until(lambda: "b hangs" in log)
            change.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await until(lambda: "slow stops" in log)
                server.stopping.set()
                await until(lambda: not app._lifespans.supervisors)
                await anyio.wait_all_tasks_blocked()
                assert "a down" not in log
                slow.go.set()
    assert log[-2:] == ["slow down", "a down"]
    assert server.answered == ["startup.complete", "shutdown.complete"]


async def test_the_order_holds_if_an_app_is_being_stopped_already() -> None:
    """Those before it wait for it, whoever stops it."""
    log: Log = []
    slow = SlowToStop(log)
    slow_mount = Mount("/slow", slow)
    async with anyio.create_task_group() as tasks:

        async def stops_slow(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            assert slow_mount.child is not None
            tasks.start_soon(supervisor.stop, slow_mount.child)
            await until(lambda: "slow stops" in log)
            await send({"type": "lifespan.shutdown.complete"})

        last = Mount("/last", stops_slow)
        app = Dispatcher([Mount("/a", actor("a", log)), slow_mount, last])
        async with running(app) as server:
            [supervisor] = app._lifespans.supervisors
            server.stopping.set()
            await until(lambda: last.health.status == "starting")
            await anyio.wait_all_tasks_blocked()
            assert "a down" not in log
            slow.go.set()
    assert log == ["a up", "slow stops", "slow down", "a down"]


async def test_apps_below_a_dispatcher_that_was_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They have their own time to stop; the server hears when all have."""
    monkeypatch.setattr("mountkit.lifespans.protocol._EXIT_GRACE", 0.02)
    log: Log = []
    slow = SlowToStop(log)
    app = Dispatcher({"/": Dispatcher({"/slow": slow})}, shutdown_timeout=0.02)

    async def serve() -> None:
        with pytest.raises(LifespanError, match=r"did not stop within 0\.02 seconds"):
            await Server(log).run(app)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await until(lambda: "its task is left behind" in caplog.text)
        await anyio.wait_all_tasks_blocked()
        slow.go.set()
    assert log[-3:] == ["slow stops", "slow down", "shutdown.failed"]


async def test_an_app_that_comes_back_while_it_stops() -> None:
    """It starts anew when it is down, and stops first, as the last that has started."""
    log: Log = []
    slow = SlowToStop(log)
    mount = Mount("/slow", slow)
    app = Dispatcher([mount, Mount("/a", actor("a", log))])
    assert mount.child is not None
    async with running(app) as server:
        [supervisor] = app._lifespans.supervisors
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.stop, mount.child)
            await until(lambda: "slow stops" in log)
            tasks.start_soon(supervisor.start, mount.child)
            await anyio.wait_all_tasks_blocked()
            assert mount.health.status == "starting"
            slow.go.set()
        assert mount.health.status == "serving"
        server.stopping.set()
    assert log == ["a up", *("slow stops", "slow down") * 2, "a down"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_app_that_is_cut_off_while_it_stops(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By an event loop that is being closed: that is not a failure of the app."""
    log: Log = []
    async with running(Dispatcher({"/a": actor("a", log, shutdown="hangs")})) as server:
        server.stopping.set()
        await until(lambda: "a hangs" in log)
        [task] = [task for task in asyncio.all_tasks() if "lifespan of" in task.get_name()]
        task.cancel()
    assert server.answered == ["startup.complete", "shutdown.complete"]
    assert caplog.records == []


async def test_a_run_that_was_followed_by_another_is_not_let_go_of_twice() -> None:
    """A mount that comes back while it leaves is held by what came."""
    async with anyio.create_task_group() as tasks:
        here, other = Register(tasks, {}), Register(tasks, {"state": {}})
        child = Child("app", actor("a", []), "The app")
        before, after, elsewhere = Run("app"), Run("app"), Run("app")
        child.hold(before, here)
        child.hold(after, here)
        child.release(before, here)
        child.hold(elsewhere, other)
        assert child.run is after
        assert child.run_for({"state": {MARK: other.mark}}) is elsewhere


async def test_the_order_holds_if_a_change_has_failed_just_before() -> None:
    """What it had started, and is stopping, stops before what was there first."""
    log: Log = []
    slow = SlowToStop(log)
    app = Dispatcher({"/a": actor("a", log)})

    async def change() -> None:
        with pytest.raises(LifespanError):
            await app.change(add=[Mount("/slow", slow), Mount("/b", actor("b", log, "fails"))])

    async with anyio.create_task_group() as tasks, running(app) as server:
        tasks.start_soon(change)
        await until(lambda: "slow stops" in log)
        server.stopping.set()
        await anyio.wait_all_tasks_blocked()
        slow.go.set()
    assert log == ["a up", "b down", "slow stops", "slow down", "a down"]
