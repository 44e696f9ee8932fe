"""What one app or function raises ends neither its neighbours nor the server; and cancellations
from outside stop what was started."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount as StarletteMount
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LifespanError,
    LifespanMiddleware,
    Matcher,
    Mount,
    Split,
    TenantApps,
    TenantMiddleware,
    TenantResolver,
)
from mountkit.lifespans.children import Child
from mountkit.lifespans.runners import LifespanRunner
from mountkit.lifespans.supervisors import Supervisor
from mountkit.tasks import guarded
from tests.support.actors import Log, actor, pressed
from tests.support.lifespans import Server, running
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def as_on_a_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers handle signals themselves, so that Ctrl-C raises nothing; and isolated apps come
    back at once."""
    monkeypatch.setattr("mountkit.lifespans.supervisors._FIRST_DELAY", 0.01)
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    yield
    signal.signal(signal.SIGINT, before)


def exit_() -> BaseException:
    return SystemExit(3)


def interrupt() -> BaseException:
    return KeyboardInterrupt()


def group() -> BaseException:
    return BaseExceptionGroup("several", [SystemExit(3), KeyboardInterrupt()])


def cancellation() -> BaseException:
    return asyncio.CancelledError()


@pytest.fixture(params=[exit_, interrupt, group, cancellation])
def make(request: pytest.FixtureRequest, anyio_backend_name: str) -> Callable[[], BaseException]:
    """Makes what ends a task, a loop or a process if nothing holds it up."""
    if request.param is cancellation and anyio_backend_name == "trio":
        pytest.skip("trio lets no app make a cancellation")
    made: Callable[[], BaseException] = request.param
    return made


def raising(make: Callable[[], BaseException], phase: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if phase == "call":
            raise make()
        await receive()
        if phase == "startup":
            raise make()
        await send({"type": "lifespan.startup.complete"})
        if phase == "serving":
            await anyio.lowlevel.checkpoint()
            raise make()
        await receive()
        raise make()

    return app


@pytest.mark.parametrize("phase", ["call", "startup", "shutdown"])
async def test_in_an_app(make: Callable[[], BaseException], phase: str) -> None:
    """The neighbours are stopped in order, and the server hears which app it was."""
    log: Log = []
    server = Server(log)
    mounts = {"/a": actor("a", log), "/b": raising(make, phase)}
    with pytest.raises(LifespanError, match="'/b'"):
        await server.run(Dispatcher(mounts))
    assert log[-2] == "a down"
    assert server.messages[-1]["type"].endswith(".failed")


@pytest.mark.parametrize("phase", ["call", "startup", "shutdown"])
@pytest.mark.parametrize("kind", [DispatchMiddleware, LifespanMiddleware])
async def test_in_a_wrapped_app(make: Callable[[], BaseException], phase: str, kind: Any) -> None:
    """The server hears of it as of any failure, and is not ended."""
    server = Server([])
    with pytest.raises(LifespanError, match="The wrapped app"):
        await server.run(kind(raising(make, phase)))
    assert server.messages[-1]["type"].endswith(".failed")


@pytest.mark.parametrize("on_failure", ["fail", "isolate"])
async def test_while_it_serves(make: Callable[[], BaseException], on_failure: Any) -> None:
    """The app has failed; the others are served."""
    log: Log = []
    bad = Mount("/b", raising(make, "serving"), lifespan=Lifespan(on_failure=on_failure))
    app = Dispatcher([Mount("/a", actor("a", log)), bad])
    async with running(app) as server:
        await until(lambda: bad.health.status == "failed")
        assert (await server.ask("/a"))[0] == 200
    assert server.answered == ["startup.complete", "shutdown.complete"]


async def test_in_a_retry(make: Callable[[], BaseException]) -> None:
    """It is tried again."""
    tries = itertools.count(1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        phase = "startup" if next(tries) < 4 else ""
        await (raising(make, phase) if phase else actor("b", []))(scope, receive, send)

    mount = Mount("/b", app, lifespan=Lifespan(on_failure="isolate"))
    async with running(Dispatcher([mount])) as server:
        assert mount.health.status == "failed"
        await until(lambda: mount.health.status == "serving")
    assert server.answered == ["startup.complete", "shutdown.complete"]


async def test_in_a_preparation(make: Callable[[], BaseException]) -> None:
    """The server is not started; what was, is stopped."""

    async def prepare(supervisor: Supervisor) -> None:
        raise make()

    with pytest.raises(RuntimeError, match=r"prepare raised .*, which would end the server"):
        await Server([]).run(LifespanRunner(lambda scope: (), prepare=prepare))


async def test_in_a_condition(make: Callable[[], BaseException]) -> None:
    """Of a dispatcher and among routes, whichever way the table takes."""

    class Raises(Matcher):
        def matches(self, scope: Scope) -> bool:
            raise make()

    mounts = [Mount("/a", actor("a", []), when=Raises()), Mount("/{b}/c/d", actor("b", []))]
    for table in (mounts[:1], mounts):
        for app in (Dispatcher(table), Starlette(routes=table)):
            for path in ("/a", "/a//b"):
                with pytest.raises(RuntimeError, match="A condition of a mount raised "):
                    await app(scope_of(path), Server([]).receive, Server([]).send)


async def test_in_the_choice_of_a_split(make: Callable[[], BaseException]) -> None:
    """A subclass may choose as it likes."""

    class Chooses(Split):
        def choose(self, scope: Scope) -> str:
            raise make()

    with pytest.raises(RuntimeError, match=r"Chooses\.choose raised "):
        await Chooses({"a": (actor("a", []), 1)})(
            scope_of("/"), Server([]).receive, Server([]).send
        )


async def test_in_the_app_of_unknown_tenants(make: Callable[[], BaseException]) -> None:
    """It is the last app of a server, as the default of a dispatcher."""

    async def find(host: str) -> None:
        return None

    async def unknown(scope: Scope, receive: Receive, send: Send) -> None:
        raise make()

    app = TenantMiddleware(actor("a", []), TenantResolver(find), unknown=unknown)
    with pytest.raises(RuntimeError, match="unknown raised "):
        await app(scope_of("/", host="a.com"), Server([]).receive, Server([]).send)


async def test_in_the_end_of_a_bridge(
    make: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The others are stopped, and the log has it."""
    log: Log = []

    class Bridge:
        def __init__(self, app: Any) -> None: ...

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

        def close(self) -> None:
            raise make()

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        return []

    mounts = [Mount("/a", actor("a", log)), Mount("/b", wsgi, bridge=Bridge)]
    app = Dispatcher(mounts)
    async with running(app) as server:
        await app.remove(mounts[1])
        await app.add(mounts[1])
    assert (server.answered, log) == (
        ["startup.complete", "shutdown.complete"],
        ["a up", "a down"],
    )
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "The app mounted at '/b'"
    ] * 2
    await app.remove(mounts[1])
    assert "did not close: " in caplog.records[-1].getMessage()


def test_ctrl_c_in_the_end_of_a_bridge() -> None:
    """Goes on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def close() -> None:
        raise pressed()

    with pytest.raises(KeyboardInterrupt):
        Child("app", actor("a", []), "The app", close=close).end()


async def test_in_a_task_of_mountkit(
    make: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it was: the server goes on, and the log has it."""
    app = Dispatcher({"/a": actor("a", [])})

    async def work() -> None:
        raise make()

    async with running(app) as server:
        await app._lifespans.finish(work)
        assert (await server.ask("/a"))[0] == 200
    assert server.answered == ["startup.complete", "shutdown.complete"]
    [record] = caplog.records
    assert record.getMessage().startswith("A task of mountkit has failed: RuntimeError: ")


# `guarded`.


async def test_guarded(make: Callable[[], BaseException]) -> None:
    """What would end the task is an ordinary exception then, and names the function."""
    exc = make()

    async def find(host: str) -> None:
        raise exc

    with pytest.raises(RuntimeError, match="find raised ") as caught:
        await guarded(partial(find, "a.example.com"))
    assert caught.value.__cause__ is exc


async def test_guarded_returns_and_raises() -> None:
    """Everything else is as it was."""

    class Find:
        async def __call__(self) -> int:
            return 5

    async def fail() -> None:
        raise ValueError("no")

    assert await guarded(Find()) == 5
    with pytest.raises(ValueError, match=r"^no$"):
        await guarded(fail)


async def test_guarded_lets_a_cancellation_through() -> None:
    """One that comes from outside."""
    with anyio.move_on_after(0) as scope:
        await guarded(anyio.sleep_forever)
    assert scope.cancelled_caught


def test_guarded_lets_ctrl_c_through(anyio_backend: str) -> None:
    """Where it may have been that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    async def press() -> None:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        anyio.run(guarded, press, backend=anyio_backend)


async def test_an_app_that_answers_before_it_asks() -> None:
    """It is up, and then still gets its two events in order."""
    log: Log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})
        log.append((await receive())["type"])
        log.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    await Server(log).run(Dispatcher({"/a": app}))
    assert log == [
        *("lifespan.startup", "startup.complete", "lifespan.shutdown", "shutdown.complete")
    ]


async def test_a_nested_middleware_over_an_app_without_lifespan() -> None:
    """It is transparent to servers only: the dispatcher above starts."""
    log: Log = []
    inner = DispatchMiddleware(
        actor("site", log, "unsupported"), {"/a": actor("a", log, "returns")}
    )
    await Server(log).run(Dispatcher({"/x": inner, "/b": actor("b", log)}))
    assert log == ["b up", "startup.complete", "b down", "shutdown.complete"]


# Cancellations that anyio knows nothing of.


def waits(name: str, log: Log, phase: str, until_: Callable[[], Awaitable[Any]]) -> ASGIApp:
    """An app that takes a while."""
    inner = actor(name, log)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow_send(message: Any) -> None:
            if message["type"].startswith(f"lifespan.{phase}"):
                log.append(f"{name} waits")
                await until_()
            await send(message)

        await inner(scope, receive, slow_send)

    return app


def in_routes(first: ASGIApp, second: ASGIApp) -> ASGIApp:
    site = Starlette(routes=[Mount("/a", first), Mount("/b", second)])
    site.add_middleware(LifespanMiddleware)
    return site


def tenants(first: ASGIApp, second: ASGIApp) -> ASGIApp:
    """The second tenant's app comes up after the first's."""
    apps = {"a": first, "b": second}

    async def find(host: str) -> str:
        return host.partition(".")[0]

    async def make(tenant: str) -> ASGIApp:
        if tenant == "b":
            await until(lambda: any(one.status == "serving" for one in made.health))
        return apps[tenant]

    async def warm_up() -> list[str]:
        return ["a", "b"]

    made = TenantApps(TenantResolver(find), make, warm_up=warm_up)
    return made


HOLDERS: dict[str, Callable[[ASGIApp, ASGIApp], ASGIApp]] = {
    "dispatcher": lambda a, b: Dispatcher({"/a": a, "/b": b}),
    "dispatchers": lambda a, b: Dispatcher(
        {"/": Dispatcher({"/a": a, "/b": b}), "/c": actor("c", [])}
    ),
    "routes": in_routes,
    "middleware": lambda a, b: DispatchMiddleware(actor("c", []), {"/a": a, "/b": b}),
    "split": lambda a, b: Split({"a": (a, 1), "b": (b, 1)}),
    "tenants": tenants,
    "mounted": lambda a, b: LifespanMiddleware(
        Starlette(routes=[StarletteMount("/x", Dispatcher({"/a": a, "/b": b}))])
    ),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("holder", HOLDERS)
async def test_whatever_holds_the_apps_that_stop(
    anyio_backend: str, times: int, holder: str
) -> None:
    """Cancelled as `asyncio.timeout` does it: each app is told to stop, then that goes on."""
    log: Log = []
    go = anyio.Event()
    app = HOLDERS[holder](actor("a", log), waits("b", log, "shutdown", go.wait))
    task = asyncio.create_task(Server(log).run(app))
    await until(lambda: "b waits" in log)
    for _ in range(times):
        task.cancel()
        await anyio.sleep(0.01)
    assert "a down" not in log
    go.set()
    with anyio.fail_after(60), pytest.raises(asyncio.CancelledError):
        await task
    assert log[-2:] == ["b down", "a down"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_app_that_hangs_in_such_a_stop_has_its_timeout(anyio_backend: str) -> None:
    """And the others are told all the same."""
    log: Log = []
    mounts = {"/a": actor("a", log), "/b": actor("b", log, shutdown="hangs")}
    with anyio.fail_after(60), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Server(log).run(Dispatcher(mounts, shutdown_timeout=0.2))
    assert log[-2:] == ["b down", "a down"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_task_that_is_cancelled_while_apps_start(anyio_backend: str, times: int) -> None:
    """What is up is told to stop; what is not is cancelled; however often it is said."""
    log: Log = []
    go = anyio.Event()
    mounts = {"/a": waits("a", log, "shutdown", go.wait), "/b": actor("b", log, "hangs")}
    task = asyncio.create_task(Server(log).run(Dispatcher(mounts, startup_timeout=None)))
    await until(lambda: "b hangs" in log)
    for _ in range(times):
        task.cancel()
        await anyio.sleep(0.01)
    go.set()
    with anyio.fail_after(60), pytest.raises(asyncio.CancelledError):
        await task
    assert log[-3:] == ["b down", "a waits", "a down"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_twice_just_as_an_app_comes_up(anyio_backend: str) -> None:
    """It is up, and so it is told to stop."""
    log: Log = []
    inner = actor("a", log)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def last_send(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                task.cancel()
            else:
                task.cancel()
                await anyio.sleep(0.01)
            await send(message)

        await inner(scope, receive, last_send)

    task = asyncio.create_task(Server(log).run(Dispatcher({"/a": app})))
    with anyio.fail_after(60), pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["a up", "a down"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_change_whose_task_is_cancelled_twice(anyio_backend: str) -> None:
    """What it had started is stopped."""
    log: Log = []
    go = anyio.Event()
    app = Dispatcher()
    mounts = [
        Mount("/a", waits("a", log, "shutdown", go.wait)),
        Mount("/b", actor("b", log, "hangs")),
    ]
    async with running(app):
        task = asyncio.create_task(app.change(add=mounts))
        await until(lambda: "b hangs" in log)
        for _ in range(2):
            task.cancel()
            await anyio.sleep(0.01)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["a up", "b hangs", "b down", "a waits", "a down"]
        assert app.health == []


@pytest.mark.parametrize("holder", HOLDERS)
async def test_whatever_holds_the_apps_that_start(holder: str) -> None:
    """A cancel scope around all: what is up is told to stop, what is not is cancelled."""
    log: Log = []
    app = HOLDERS[holder](actor("a", log), actor("b", log, "hangs"))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Server(log).run, app)
            await until(lambda: "b hangs" in log)
            tasks.cancel_scope.cancel()
    assert log == ["a up", "b hangs", "b down", "a down"]
