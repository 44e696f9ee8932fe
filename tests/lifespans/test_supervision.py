"""Apps that start together, fail, die and come back: what a supervisor does about them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
import pytest
import trio
import trio.lowlevel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import WebSocketDenialResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import Dispatcher, DispatchMiddleware, Lifespan, LifespanError, Mount, PatternError
from tests.support.actors import Flaky, Log, actor
from tests.support.clients import ClientFactory
from tests.support.lifespans import Server, running
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolated apps come back at once."""
    monkeypatch.setattr("mountkit.lifespans.supervisors._FIRST_DELAY", 0.01)
    monkeypatch.setattr("mountkit.lifespans.supervisors._LONGEST_DELAY", 0.03)


async def test_an_isolated_app_that_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    """The others serve, it answers 503, and it is started again until it is up."""
    flaky, log = Flaky(3), Log()
    app = Dispatcher(
        [
            Mount("/flaky", flaky, lifespan=Lifespan(on_failure="isolate")),
            Mount("/well", actor("well", log)),
        ]
    )
    async with running(app) as server:
        assert server.answered == ["startup.complete"]
        assert (await server.ask("/well"))[0] == 200
        status, headers, _ = await server.ask("/flaky")
        assert (status, headers["retry-after"], headers["cache-control"]) == (503, "1", "no-store")
        await until(lambda: flaky.starts == 4)
        await until(lambda: app.routes[0].child.run.error is None)  # type: ignore[attr-defined]
        assert (await server.ask("/flaky"))[::2] == (200, b'{"start":4}')
    assert flaky.stops == 1
    assert server.answered == ["startup.complete", "shutdown.complete"]
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("mountkit")]
    assert len(lines) == 4
    assert lines[0].startswith("The app mounted at '/flaky'")
    assert "answers 503; it is started again in 0.01 seconds. " in lines[0]
    assert "start 1" in lines[0]
    assert lines[-1].endswith("is up again.")


async def test_an_isolated_app_that_dies(caplog: pytest.LogCaptureFixture) -> None:
    """Is logged once, answers 503, comes back with a state of its own, and is stopped once."""
    flaky = Flaky(0)
    app = Dispatcher([Mount("/flaky", flaky, lifespan=Lifespan(on_failure="isolate"))])
    async with running(app) as server:
        flaky.dies.set()
        await until(lambda: app.routes[0].child.run.error is not None)  # type: ignore[attr-defined]
        assert (await server.ask("/flaky"))[0] == 503
        await until(lambda: app.routes[0].child.run.error is None)  # type: ignore[attr-defined]
        assert (await server.ask("/flaky"))[::2] == (200, b'{"start":2}')
    assert flaky.stops == 1
    error, up_again = [record for record in caplog.records if record.name.startswith("mountkit")]
    assert error.getMessage().startswith("The app mounted at '/flaky' (")
    assert "is started again in 0.01 seconds. It ended its lifespan while it was serving: " in (
        error.getMessage()
    )
    assert error.exc_info is not None
    assert up_again.getMessage().endswith("is up again.")


async def test_an_app_that_dies_and_is_not_isolated(caplog: pytest.LogCaptureFixture) -> None:
    """Is logged once, and served on: whether it needs its lifespan is not known."""
    flaky = Flaky(0)
    app = Dispatcher({"/flaky": flaky})
    async with running(app) as server:
        flaky.dies.set()
        child = app.routes[0].child  # type: ignore[attr-defined]
        await until(lambda: child.run.error is not None)
        assert "died" in child.run.error
        assert (await server.ask("/flaky"))[0] == 200
    assert server.answered == ["startup.complete", "shutdown.complete"]
    assert flaky.starts == 1
    [record] = [record for record in caplog.records if record.name.startswith("mountkit")]
    assert record.getMessage().startswith("The app mounted at '/flaky' (")
    assert "has failed, and is still served. It ended its lifespan" in record.getMessage()


async def answers_and_dies(scope: Scope, receive: Receive, send: Send) -> None:
    """Dies before anybody could have seen that it is up."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    raise RuntimeError("at once")


@pytest.mark.parametrize("on_failure", ["fail", "isolate"])
async def test_an_app_that_dies_as_soon_as_it_is_up(on_failure: Any) -> None:
    """Has failed, and does not count as up."""
    mount = Mount("/a", answers_and_dies, lifespan=Lifespan(on_failure=on_failure))
    async with running(Dispatcher([mount])) as server:
        assert server.answered == ["startup.complete"]
        assert mount.health.status == "failed"
        assert "RuntimeError('at once')" in (mount.health.error or "")
    assert server.answered == ["startup.complete", "shutdown.complete"]


async def test_an_isolated_app_that_is_mounted_twice() -> None:
    """Both of its mounts answer 503, and both come back."""
    flaky = Flaky(2)
    app = Dispatcher(
        [Mount(path, flaky, lifespan=Lifespan(on_failure="isolate")) for path in ("/a", "/b")]
    )
    async with running(app) as server:
        assert [(await server.ask(path))[0] for path in ("/a", "/b")] == [503, 503]
        await until(lambda: flaky.starts == 3)
        await until(lambda: app.routes[0].child.run.error is None)  # type: ignore[attr-defined]
        assert [(await server.ask(path))[0] for path in ("/a", "/b")] == [200, 200]


async def test_a_stop_while_an_app_is_being_started_again() -> None:
    """Ends the attempts; nothing is left running."""
    hangs = actor("hangs", log := Log(), "hangs")
    tries = itertools.count()

    async def fails_then_hangs(scope: Scope, receive: Receive, send: Send) -> None:
        if next(tries) == 0:
            await receive()
            raise RuntimeError("first")
        await hangs(scope, receive, send)

    app = Dispatcher([Mount("/a", fails_then_hangs, lifespan=Lifespan(on_failure="isolate"))])
    async with running(app) as server:
        await until(lambda: log == ["hangs hangs"])
    assert server.answered == ["startup.complete", "shutdown.complete"]
    assert log == ["hangs hangs", "hangs down"]


def test_a_websocket_of_an_app_that_is_not_up(client: ClientFactory) -> None:
    """Is refused with 503."""
    app = Dispatcher([Mount("/a", Flaky(10**6), lifespan=Lifespan(on_failure="isolate"))])
    with (
        client(app) as running_app,
        pytest.raises(WebSocketDenialResponse) as caught,
        running_app.websocket_connect("/a"),
    ):
        """Is refused."""
    assert caught.value.status_code == 503


def test_on_failure_is_checked() -> None:
    """Value, reason, fix."""
    with pytest.raises(PatternError, match="on_failure='ignore' is not known; write one of 'fail'"):
        Mount("/a", Flaky(0), lifespan=Lifespan(on_failure="ignore"))  # type: ignore[arg-type]


# Together.


async def test_independent_apps_start_together() -> None:
    """Each waits for the other; they stop in the reverse of their order, not of their starts."""
    log: Log = []
    events = {"a": anyio.Event(), "b": anyio.Event()}

    def waits(name: str, other: str) -> ASGIApp:
        inner = actor(name, log)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            events[name].set()
            await events[other].wait()
            if name == "a":
                await anyio.sleep(0.01)  # is up after b
            await inner(scope, receive, send)

        return app

    app = Dispatcher(
        [
            Mount("/first", actor("first", log)),
            Mount("/a", waits("a", "b"), lifespan=Lifespan(independent=True)),
            Mount("/b", waits("b", "a"), lifespan=Lifespan(independent=True)),
            Mount("/last", actor("last", log)),
        ]
    )
    await Server(log).run(app)
    assert log == [
        *("first up", "b up", "a up", "last up", "startup.complete"),
        *("last down", "b down", "a down", "first down", "shutdown.complete"),
    ]


async def test_independent_apps_of_which_one_fails() -> None:
    """Those that are up are stopped again; what comes after them is not started."""
    log: Log = []
    app = Dispatcher(
        [
            Mount("/a", actor("a", log), lifespan=Lifespan(independent=True)),
            Mount("/b", actor("b", log, "raises"), lifespan=Lifespan(independent=True)),
            Mount("/c", actor("c", log)),
        ]
    )
    with pytest.raises(LifespanError, match=r"'/b'.* raised while it started"):
        await Server(log).run(app)
    assert sorted(log) == ["a down", "a up", "b down", "startup.failed"]


async def test_a_failure_ends_the_starts_beside_it() -> None:
    """The server hears of it at once, whatever the others still do."""
    log: Log = []
    app = Dispatcher(
        [
            Mount("/a", actor("a", log, "hangs"), lifespan=Lifespan(independent=True)),
            Mount("/b", actor("b", log, "fails"), lifespan=Lifespan(independent=True)),
        ],
        startup_timeout=None,
    )
    with pytest.raises(LifespanError, match=r"'/b'.* failed to start: b cannot$"):
        await Server(log).run(app)
    assert sorted(log) == ["a down", "a hangs", "b down", "startup.failed"]


async def test_starts_that_fail_together_are_all_reported() -> None:
    """In one message, a line for each."""
    mounts = [
        Mount(f"/{name}", actor(name, Log(), "raises"), lifespan=Lifespan(independent=True))
        for name in "ab"
    ]
    with pytest.raises(LifespanError) as caught:
        await Server(Log()).run(Dispatcher(mounts))
    lines = sorted(str(caught.value).split("\n"))
    assert [line.partition(" (")[0] for line in lines] == [
        "The app mounted at '/a'",
        "The app mounted at '/b'",
    ]
    assert isinstance(caught.value.__cause__, ExceptionGroup)


@pytest.mark.parametrize("depth", ["beside", "below"])
@pytest.mark.parametrize("how", ["ok", "raises"])
async def test_an_app_of_two_independent_mounts_starts_once(depth: str, how: str) -> None:
    """Whether it comes up or not."""
    starts = 0
    inner = actor("shared", Log(), how)

    async def shared(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal starts
        starts += 1
        await anyio.sleep(0.01)
        await inner(scope, receive, send)

    apps = [shared, shared] if depth == "beside" else [Dispatcher({"/x": shared}) for _ in "ab"]
    app = Dispatcher(
        [Mount(f"/{n}", app, lifespan=Lifespan(independent=True)) for n, app in enumerate(apps)]
    )
    if how == "ok":
        await Server(Log()).run(app)
    else:
        with pytest.raises(LifespanError, match="shared raises"):
            await Server(Log()).run(app)
    assert starts == 1


async def test_an_isolated_mount_tries_again_what_has_failed_elsewhere() -> None:
    """A mount that waited for another's start of its app has a rule of its own."""
    flaky = Flaky(1)
    started = anyio.Event()

    async def slow_flaky(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await anyio.sleep(0.01)
        await flaky(scope, receive, send)

    app = Dispatcher()
    async with running(app), anyio.create_task_group() as tasks:

        async def add_one_that_fails() -> None:
            with pytest.raises(LifespanError, match="start 1"):
                await app.add(Mount("/fails", slow_flaky))

        tasks.start_soon(add_one_that_fails)
        await started.wait()
        await app.add(Mount("/isolated", slow_flaky, lifespan=Lifespan(on_failure="isolate")))
        assert flaky.starts == 2
        assert [(health.mount, health.status) for health in app.health] == [
            ("/isolated", "serving")
        ]


# Timeouts.


@pytest.mark.parametrize("value", [0, -1, "5", True])
@pytest.mark.parametrize(
    ("make", "option"),
    [
        (Lifespan, "startup_timeout"),
        (Lifespan, "shutdown_timeout"),
        (Dispatcher, "startup_timeout"),
        (Dispatcher, "shutdown_timeout"),
        (Dispatcher, "total_startup_timeout"),
        (Dispatcher, "total_shutdown_timeout"),
    ],
)
def test_a_timeout_is_a_number_above_0(make: Any, option: str, value: Any) -> None:
    """Anything else is refused when it is written, not when the server starts."""
    with pytest.raises(
        PatternError, match=f"^{option}={value!r} is not a number of seconds above 0;"
    ):
        make(**{option: value})


@pytest.mark.parametrize("value", [-1, "5"])
async def test_a_drain_timeout_is_a_number_from_0(value: Any) -> None:
    """0 cuts at once."""
    mount = Mount("/a", Flaky(0))
    app = Dispatcher([mount])
    with pytest.raises(PatternError, match=f"^drain_timeout={value!r} is not a number of seconds"):
        await app.remove(mount, drain_timeout=value)
    await app.remove(mount, drain_timeout=0)
    assert app.routes == []


@pytest.mark.parametrize("which", ["startup", "shutdown"])
async def test_timeout_of_a_mount(which: str) -> None:
    """Goes before the dispatcher's."""
    log: Log = []
    hangs = actor("a", log, **{which: "hangs"})
    mount = Mount("/a", hangs, lifespan=Lifespan(**{f"{which}_timeout": 0.02}))  # type: ignore[arg-type]
    with pytest.raises(LifespanError, match=r"did not (start|stop) within 0\.02 seconds"):
        await Server(log).run(Dispatcher([mount], startup_timeout=60, shutdown_timeout=60))
    assert log[-2:] == ["a down", f"{which}.failed"]


def slow(log: Log, name: str) -> ASGIApp:
    inner = actor(name, log)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(0.05)
        await inner(scope, receive, send)

    return app


@pytest.mark.parametrize("as_middleware", [False, True], ids=["dispatcher", "middleware"])
async def test_timeout_of_all_starts(as_middleware: bool) -> None:
    """Each is in time, and all together are not."""
    log: Log = []
    mounts = {f"/{name}": slow(log, name) for name in "abcdef"}
    app: ASGIApp = Dispatcher(mounts, total_startup_timeout=0.12)
    if as_middleware:
        app = DispatchMiddleware(actor("site", log), mounts, total_startup_timeout=0.12)
    with pytest.raises(LifespanError, match=r"The apps did not start within 0\.12 seconds in all"):
        await Server(log).run(app)
    assert "a up" in log
    assert "f up" not in log
    assert sorted(line[0] for line in log if line.endswith(" up")) == sorted(
        line[0] for line in log if line.endswith(" down")
    )
    assert log[-1] == "startup.failed"


async def test_timeout_of_all_stops() -> None:
    """What is left of it is what the next app gets."""
    log: Log = []
    mounts = {f"/{name}": actor(name, log, shutdown="hangs") for name in "abc"}
    app = Dispatcher(mounts, total_shutdown_timeout=0.05, shutdown_timeout=None)
    with pytest.raises(LifespanError) as caught:
        await Server(log).run(app)
    assert str(caught.value).count("did not stop within") == 3
    assert [line for line in log if line.endswith("down")] == ["c down", "b down", "a down"]


# State.


def showing_state(lifespan_state: dict[str, Any], seen: list[Any]) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield lifespan_state

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(request.state._state)

    return Starlette(routes=[Route("/", show)], lifespan=lifespan)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param((), {"own": 1}, id="nothing"),
        pytest.param(["db"], {"own": 1, "db": "pool"}, id="one"),
        pytest.param(["db", "no"], {"own": 1, "db": "pool"}, id="missing"),
        pytest.param(["db", "user"], {"own": 1, "db": "pool", "user": "ada"}, id="of-the-request"),
        pytest.param(["own"], {"own": "parent's"}, id="the-parents-goes-before"),
    ],
)
def test_share(client: ClientFactory, share: list[str], expected: dict[str, Any]) -> None:
    """Named keys of the parent's state are handed down; nothing else is."""
    parent = showing_state({"db": "pool", "own": "parent's", "secret": 1}, [])

    class User:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["user"] = "ada"
            await self.app(scope, receive, send)

    mount = Mount("/a", showing_state({"own": 1}, []), lifespan=Lifespan(share=share))
    parent.add_middleware(DispatchMiddleware, mounts=[mount])
    parent.add_middleware(User)
    with client(parent) as up:
        assert up.get("/a/").json() == expected


def test_shared_state_at_the_start(client: ClientFactory) -> None:
    """An app's lifespan finds it too."""
    found = []

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        found.append(dict(scope["state"]))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    parent = showing_state({"db": "pool", "secret": 1}, [])
    mounts = [Mount("/a", child, lifespan=Lifespan(share=["db", "no"]))]
    parent.add_middleware(DispatchMiddleware, mounts=mounts)
    with client(parent):
        assert found == [{"db": "pool"}]


# The grid.

STARTUPS = ["ok", "raises", "fails", "hangs", "exits", "unsupported", "returns", "returns late"]
SHUTDOWNS = ["ok", "raises", "fails", "hangs", "exits", "returns"]
#: How the message of a failure ends.
REASONS = {
    ("startup", "raises"): "raised while it started: RuntimeError('x raises')",
    ("startup", "exits"): "raised while it started: SystemExit(3)",
    ("startup", "fails"): "failed to start: x cannot",
    ("startup", "hangs"): "did not start within 0.02 seconds.",
    ("shutdown", "raises"): "failed to stop: RuntimeError('x raises')",
    ("shutdown", "exits"): "failed to stop: SystemExit(3)",
    ("shutdown", "fails"): "failed to stop: x cannot",
    ("shutdown", "hangs"): "did not stop within 0.02 seconds.",
}


@dataclass
class Shape:
    """Mounts, one of which (or two) is of the app in question."""

    mounts: list[Mount]
    before: list[str]
    after: list[str]
    at: Mount
    around: Mount | None = None

    def message(self, phase: str, how: str) -> str:
        """What the server hears of a failure."""
        message = f"The app mounted at '/x' ({self.at.rule.where}) {REASONS[phase, how]}"
        if self.around is not None:
            verb = "start" if phase == "startup" else "stop"
            where = self.around.rule.where
            message = f"The app mounted at '/n' ({where}) failed to {verb}: {message}"
        return message


def one(x: Mount, log: Log) -> Shape:
    return Shape([x], [], [], x)


def several(x: Mount, log: Log) -> Shape:
    return Shape([Mount("/a", actor("a", log)), x, Mount("/b", actor("b", log))], ["a"], ["b"], x)


def nested(x: Mount, log: Log) -> Shape:
    inner = Mount("/n", Dispatcher([Mount("/b", actor("b", log)), x]))
    return Shape([Mount("/a", actor("a", log)), inner], ["a", "b"], [], x, inner)


def twice(x: Mount, log: Log) -> Shape:
    assert x.child is not None
    return Shape([Mount("/a", actor("a", log)), x, Mount("/y", x.child.app)], ["a"], [], x)


@pytest.mark.parametrize("shape", [one, several, nested, twice])
@pytest.mark.parametrize("shutdown", SHUTDOWNS)
@pytest.mark.parametrize("startup", STARTUPS)
async def test_grid(
    startup: str, shutdown: str, shape: Callable[[Mount, Log], Shape], anyio_backend_name: str
) -> None:
    """Whatever an app does: the server hears the truth, once; who came up goes down, once; in
    reverse; and nothing is left."""
    log: Log = []
    x = Mount(
        "/x",
        actor("x", log, startup, shutdown),
        lifespan=Lifespan(
            startup_timeout=0.02 if startup == "hangs" else 60,
            shutdown_timeout=0.02 if shutdown == "hangs" else 60,
        ),
    )
    found = shape(x, log)
    server = Server(log)
    tasks = count_tasks(anyio_backend_name)
    error = None
    try:
        await server.run(Dispatcher(found.mounts))
    except LifespanError as exc:
        error = str(exc)
    assert count_tasks(anyio_backend_name) == tasks

    up = [f"{name} up" for name in found.before]
    down = [f"{name} down" for name in reversed(found.before)]
    later_up = [f"{name} up" for name in found.after]
    later_down = [f"{name} down" for name in reversed(found.after)]
    hangs = ["x hangs"]
    complete: Message = {"type": "lifespan.startup.complete"}
    stopped: Message = {"type": "lifespan.shutdown.complete"}
    if ("startup", startup) in REASONS:
        message = found.message("startup", startup)
        expected = [*up, *(hangs if startup == "hangs" else []), "x down", *down]
        assert log == [*expected, "startup.failed"]
        assert server.messages == [{"type": "lifespan.startup.failed", "message": message}]
        assert error == message
    elif startup == "ok":
        answer = "shutdown.complete"
        if ("shutdown", shutdown) in REASONS:
            answer = "shutdown.failed"
            error_expected = found.message("shutdown", shutdown)
            stopped = {"type": "lifespan.shutdown.failed", "message": error_expected}
            assert error == error_expected
        else:
            assert error is None
        assert log == [
            *(*up, "x up", *later_up, "startup.complete", *later_down),
            *(*(hangs if shutdown == "hangs" else []), "x down", *down, answer),
        ]
        assert server.messages == [complete, stopped]
    else:
        own = ["x down"] if startup == "returns late" else []
        assert log == [
            *(*up, *own, *later_up, "startup.complete"),
            *(*later_down, *down, "shutdown.complete"),
        ]
        assert server.messages == [complete, stopped]
        assert error is None


def count_tasks(backend: str) -> int:
    """How many tasks there are."""
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living
