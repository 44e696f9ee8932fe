"""Several servers over one dispatcher, in one event loop and in several."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LifespanError,
    LifespanMiddleware,
    Mount,
    MountkitError,
    Readiness,
    Split,
)
from mountkit.lifespans.registers import MARK
from tests.support.actors import Flaky, Log, Slow, actor
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running, Server, running
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


class Counted:
    """An app that numbers its lifespans and answers with the number that a request sees."""

    def __init__(self) -> None:
        self.starts = 0
        self.up: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await JSONResponse(scope["state"])(scope, receive, send)
            return
        await receive()
        self.starts += 1
        scope["state"]["run"] = run = self.starts
        self.up.append(run)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.up.remove(run)
        await send({"type": "lifespan.shutdown.complete"})


def among_routes(app: ASGIApp) -> ASGIApp:
    site = Starlette(routes=[Mount("/a", app)])
    site.add_middleware(LifespanMiddleware)
    return site


def in_front(app: ASGIApp) -> ASGIApp:
    site = Starlette()
    site.add_middleware(DispatchMiddleware, mounts=[Mount("/a", app)])
    return site


#: Ways to hold an app, which is asked at `/a`.
SHAPES: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "dispatcher": lambda app: Dispatcher({"/a": app}),
    "nested": lambda app: Dispatcher({"/": Dispatcher({"/a": app})}),
    "split": lambda app: Dispatcher({"/a": Split({"only": (app, 1)})}),
    "shared": lambda app: Dispatcher([Mount("/a", app, lifespan=Lifespan(share=["db"]))]),
    "routes": among_routes,
    "middleware": in_front,
    "default": lambda app: Dispatcher({"/b": Counted()}, default=app),
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Callable[[ASGIApp], ASGIApp]:
    """Each of them."""
    return SHAPES[request.param]


async def run_seen(server: Running) -> int:
    """Which lifespan of the app a request sees."""
    status, _, body = await server.ask("/a")
    assert status == 200
    return int(body.partition(b'"run":')[2].partition(b",")[0].rstrip(b"}"))


async def start(app: ASGIApp, tasks: anyio.abc.TaskGroup) -> tuple[Running, Callable[[], Any]]:
    """A server that runs, and a function that stops it and waits for its end."""
    server, ended = Running(app), anyio.Event()

    async def run() -> None:
        await app({"type": "lifespan", "state": server.state}, server.receive, server.send)
        ended.set()

    async def stop() -> None:
        server.stopping.set()
        await ended.wait()

    tasks.start_soon(run)
    await until(lambda: bool(server.messages))
    return server, stop


async def test_each_server_has_a_run_of_its_own(shape: Callable[[ASGIApp], ASGIApp]) -> None:
    """Each request sees the state of its server, whichever starts and stops meanwhile."""
    counted = Counted()
    app = shape(counted)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            one, stop_one = await start(app, tasks)
            two, stop_two = await start(app, tasks)
            assert [await run_seen(one), await run_seen(two)] == [1, 2]
            await stop_one()
            assert counted.up == [2]
            assert await run_seen(two) == 2
            three, stop_three = await start(app, tasks)
            assert [await run_seen(two), await run_seen(three)] == [2, 3]
            await stop_three()
            assert counted.up == [2]
            assert await run_seen(two) == 2
            await stop_two()
            assert counted.up == []
    assert two.answered == ["startup.complete", "shutdown.complete"]


async def test_one_server_leaves_no_key(shape: Callable[[ASGIApp], ASGIApp]) -> None:
    """Users find nothing of mountkit's in `request.state`, of two sites in one process either."""
    sites = [(counted, shape(counted)) for counted in (Counted(), Counted())]
    async with running(sites[0][1]) as one, running(sites[1][1]) as two:
        for server in (one, two):
            assert await run_seen(server) == 1
            assert MARK.encode() not in (await server.ask("/a"))[2]
            assert MARK not in server.state


async def test_an_app_below_two_dispatchers_of_two_servers() -> None:
    """The inner dispatcher tells them apart, though neither of the outer ones runs twice."""
    counted = Counted()
    inner = Dispatcher({"/a": counted})
    async with running(Dispatcher({"/": inner})) as one, running(Dispatcher({"/": inner})) as two:
        assert [await run_seen(one), await run_seen(two)] == [1, 2]


async def test_a_server_without_state_sees_the_usual_run() -> None:
    """It cannot mark its requests."""
    counted = Counted()
    app = Dispatcher({"/a": counted})
    async with running(app) as usual:
        server = Server([], on_complete=lambda: seen.append(counted.starts))
        seen: list[int] = []
        with anyio.fail_after(60):
            await app({"type": "lifespan"}, server.receive, server.send)
        assert seen == [2]
        assert await run_seen(usual) == 1


async def test_a_mount_that_another_server_runs_too() -> None:
    """It was added to a second dispatcher while connections were open that have no mark: they see
    the run of their own server, and so do those of a server that supports no state."""
    counted = Counted()
    mount = Mount("/a", counted)
    one, two = Dispatcher([mount]), Dispatcher([Mount("/b", Counted())])
    async with running(one) as first, running(two) as second:
        await two.add(mount)
        assert counted.up == [1, 2]
        assert [await run_seen(second), await run_seen(first)] == [2, 1]
        second.state.clear()
        assert [await run_seen(second), await run_seen(first)] == [2, 1]


async def test_a_split_that_another_server_runs_too() -> None:
    """Likewise."""
    counted = Counted()
    splits = [Split({"only": (counted, 1)}) for _ in range(2)]
    async with running(splits[0]) as first, running(splits[1]) as second:
        assert [await run_seen(second), await run_seen(first)] == [2, 1]
        second.state.clear()
        assert await run_seen(second) == 2


async def test_an_app_that_starts_only_once() -> None:
    """As the session manager of MCP: the second server does not start, and hears why."""
    counted = Counted()

    async def once(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            if counted.starts > 1:
                raise RuntimeError("run() can only be called once per instance")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

    app = Dispatcher({"/a": counted, "/mcp": once})
    async with running(app) as server:
        second = Server([])
        with pytest.raises(LifespanError, match=r"'/mcp'.*can only be called once"):
            await second.run(app)
        [message] = second.messages
        assert message["type"] == "lifespan.startup.failed"
        assert "The app mounted at '/mcp' (" in message["message"]
        assert counted.up == [1]
        assert await run_seen(server) == 1
    assert server.answered == ["startup.complete", "shutdown.complete"]


async def test_an_isolated_app_fails_for_one_server() -> None:
    """The other goes on."""
    flaky = Flaky(0)
    app = Dispatcher([Mount("/a", flaky, lifespan=Lifespan(on_failure="isolate"))])
    async with running(app) as one:
        flaky.failures = 10**6
        async with running(app) as two:
            assert [(await server.ask("/a"))[0] for server in (one, two)] == [200, 503]


async def test_changes_reach_every_server() -> None:
    """What comes is started in each, what goes is stopped in each."""
    counted = Counted()
    app = Dispatcher()
    mount = Mount("/a", counted)
    async with running(app) as one, running(app) as two:
        await app.add(mount)
        assert sorted([await run_seen(one), await run_seen(two)]) == [1, 2]
        assert counted.up == [1, 2]
        await app.remove(mount)
        assert counted.up == []


async def test_a_change_that_fails_in_one_server_is_undone_in_the_other() -> None:
    """All of it or nothing."""
    counted, starts = Counted(), 0

    async def once(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal starts
        starts += 1
        await actor("once", [], "ok" if starts == 1 else "raises")(scope, receive, send)

    app = Dispatcher()
    async with running(app), running(app):
        with pytest.raises(LifespanError, match="once raises"):
            await app.change(add=[Mount("/a", counted), Mount("/once", once)])
        assert counted.up == []
        assert app.routes == []


async def test_a_server_that_starts_during_a_change_has_what_comes() -> None:
    """It is started there too, before requests can reach it."""
    counted, slow = Counted(), anyio.Event()
    ready = anyio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        ready.set()
        await slow.wait()
        await counted(scope, receive, send)

    app = Dispatcher()
    async with running(app) as one, anyio.create_task_group() as tasks:
        tasks.start_soon(app.add, Mount("/a", waits))
        await ready.wait()
        async with running(app) as two:
            slow.set()
            await until(lambda: len(app.routes) == 1)
            assert [await run_seen(one), await run_seen(two)] == [1, 2]


@pytest.mark.parametrize("first_to_stop", [0, 1])
async def test_a_server_that_stops_while_a_mount_drains(first_to_stop: int) -> None:
    """The other goes on, and stops the app once it has drained, whoever waits for that."""
    log: Log = []
    slow = Slow(log)
    mount = Mount("/a", slow)
    app = Dispatcher([mount])
    async with anyio.create_task_group() as tasks:
        servers = [await start(app, tasks) for _ in range(2)]
        (_, stop_one), (other, stop_other) = servers[first_to_stop], servers[1 - first_to_stop]
        tasks.start_soon(other.ask, "/a")
        await until(lambda: slow.entered == 1)
        with anyio.move_on_after(0.02):
            await app.remove(mount)
        await stop_one()
        assert log == ["slow up", "slow up", "slow down"]
        slow.go.set()
        await until(lambda: log.count("slow down") == 2)
        assert other.answered == ["startup.complete"]
        await stop_other()


def test_nested_clients(client: ClientFactory, shape: Callable[[ASGIApp], ASGIApp]) -> None:
    """Each test client has a thread and an event loop of its own."""
    counted = Counted()
    app = shape(counted)
    with client(app) as outer:
        with client(app) as inner:
            assert [c.get("/a").json()["run"] for c in (outer, inner, outer)] == [1, 2, 1]
        assert counted.up == [1]
        assert outer.get("/a").json()["run"] == 1
    assert counted.up == []


def test_a_change_across_event_loops_is_refused(client: ClientFactory) -> None:
    """It says what to do, and nothing has changed."""
    here = Mount("/here", Counted())
    app = Dispatcher([here])
    changes = [(app.add, Mount("/a", Counted())), (app.remove, here)]
    with client(app) as outer, client(app):
        for change, mount in changes:
            with pytest.raises(MountkitError, match="Run all servers of these mounts in one event"):
                outer.portal.call(change, mount)  # type: ignore[union-attr]
    assert [mount.path for mount in app.table.declared] == ["/here"]


async def test_each_server_reads_its_own_readiness() -> None:
    """One probe, two servers: it follows the one that asks."""
    probe = Readiness()
    flaky = Flaky(10**6)
    mounts = [Mount("/ready", probe), Mount("/bad", flaky, lifespan=Lifespan(on_failure="isolate"))]
    async with running(Dispatcher(mounts)) as bad:
        async with running(Dispatcher([Mount("/ready", probe)])) as well:
            assert [(await server.ask("/ready"))[0] for server in (bad, well)] == [503, 200]
        assert (await bad.ask("/ready"))[0] == 503


async def test_health_shows_a_server_that_still_runs() -> None:
    """When the first has stopped, its mounts are not said to be starting."""
    mount = Mount("/a", Counted())
    app = Dispatcher([mount])
    async with anyio.create_task_group() as tasks:
        _, stop_one = await start(app, tasks)
        _, stop_two = await start(app, tasks)
        await stop_one()
        assert mount.health.status == "serving"
        await stop_two()
        assert mount.health.status == "starting"


class Quiet(uvicorn.Server):
    """A server without handlers of signals."""

    def install_signal_handlers(self) -> None: ...


@asynccontextmanager
async def on_a_port(app: ASGIApp) -> AsyncIterator[tuple[Quiet, str]]:
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    server = Quiet(config)
    served = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await served


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("first_to_stop", [0, 1])
async def test_two_ports_in_one_process(
    anyio_backend: str, shape: Callable[[ASGIApp], ASGIApp], first_to_stop: int
) -> None:
    """uvicorn twice in one event loop; either may stop first."""
    counted = Counted()
    app = shape(counted)
    async with httpx2.AsyncClient() as http, AsyncExitStack() as stack:
        stacks = [await stack.enter_async_context(AsyncExitStack()) for _ in range(2)]
        urls = [(await one.enter_async_context(on_a_port(app)))[1] for one in stacks]

        async def seen(which: int) -> int:
            return int((await http.get(f"{urls[which]}/a")).json()["run"])

        assert [await seen(0), await seen(1), await seen(0)] == [1, 2, 1]
        await stacks[first_to_stop].aclose()
        left = 1 - first_to_stop
        assert counted.up == [left + 1]
        assert await seen(left) == left + 1
    assert counted.up == []


def test_two_event_loops_at_a_time(anyio_backend: str) -> None:
    """Servers that start and stop in threads at the same time stay apart."""
    counted = Counted()
    app = Dispatcher([Mount("/a", counted)])
    seen: list[tuple[int, int]] = []
    barrier = threading.Barrier(4, timeout=60)

    async def serve() -> None:
        async with running(app) as server:
            await anyio.to_thread.run_sync(barrier.wait)
            first = await run_seen(server)
            seen.append((first, await run_seen(server)))
            await anyio.to_thread.run_sync(barrier.wait)

    threads = [
        threading.Thread(target=anyio.run, args=(serve,), kwargs={"backend": anyio_backend})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len({first for first, _ in seen}) == 4
    assert all(first == second for first, second in seen)
    assert counted.up == []


def test_servers_one_after_the_other(anyio_backend: str) -> None:
    """In event loops of their own: none needs a mark, and nothing is left of those before."""
    counted = Counted()
    app = Dispatcher({"/a": counted})

    async def serve() -> None:
        async with running(app) as server:
            assert await run_seen(server) == counted.starts
            assert MARK not in server.state

    for _ in range(3):
        anyio.run(serve, backend=anyio_backend)
    assert app.routes[0].child.others == {}  # type: ignore[attr-defined]
