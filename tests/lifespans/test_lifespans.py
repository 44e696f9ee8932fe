"""Lifespans: what apps, server and dispatcher say to each other, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LifespanError,
    LifespanMiddleware,
    Mount,
)
from mountkit.lifespans.children import Child
from mountkit.lifespans.runners import LifespanRunner
from mountkit.lifespans.supervisors import Supervisor
from tests.support.actors import Log, actor, pressed
from tests.support.clients import ClientFactory
from tests.support.lifespans import Server
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio


async def test_apps_start_in_order_and_stop_in_reverse() -> None:
    """The wrapped app first and last, mounts in between, in the order of their declaration."""
    log: Log = []
    app = Dispatcher({"/a": actor("a", log), "/b": actor("b", log)}, default=actor("site", log))
    await Server(log).run(app)
    assert log == [
        *("site up", "a up", "b up", "startup.complete"),
        *("b down", "a down", "site down", "shutdown.complete"),
    ]


@pytest.mark.parametrize("how", ["unsupported", "returns", "returns late"])
async def test_an_app_without_lifespan_is_served(how: str) -> None:
    """To raise at once, or to return without an answer, is to have no lifespan."""
    log: Log = []
    await Server(log).run(Dispatcher({"/a": actor("a", log), "/b": actor("b", log, how)}))
    assert [line for line in log if not line.startswith("b")] == [
        *("a up", "startup.complete", "a down", "shutdown.complete")
    ]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param("fails", "failed to start: b cannot", id="fails"),
        pytest.param("raises", "raised while it started: RuntimeError('b raises')", id="raises"),
        pytest.param("exits", "raised while it started: SystemExit(3)", id="exits"),
        pytest.param("hangs", "did not start within 0.05 seconds.", id="hangs"),
    ],
)
async def test_a_failing_start_takes_down_what_is_up(how: str, reason: str) -> None:
    """The server is told which mount failed and why; nothing after it starts."""
    log: Log = []
    mounts = [
        Mount("/a", actor("a", log)),
        Mount("/b", actor("b", log, how)),
        Mount("/c", actor("c", log)),
    ]
    where = mounts[1].rule.where
    server = Server(log)
    with pytest.raises(LifespanError) as caught:
        await server.run(Dispatcher(mounts, startup_timeout=0.05))
    message = f"The app mounted at '/b' ({where}) {reason}"
    assert str(caught.value) == message
    assert server.messages == [{"type": "lifespan.startup.failed", "message": message}]
    assert [line for line in log if "hangs" not in line] == [
        *("a up", "b down", "a down", "startup.failed")
    ]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        pytest.param("fails", "failed to stop: b cannot", id="fails"),
        pytest.param("raises", "failed to stop: RuntimeError('b raises')", id="raises"),
        pytest.param("hangs", "did not stop within 0.05 seconds.", id="hangs"),
    ],
)
async def test_a_failing_stop_does_not_keep_the_others_up(how: str, reason: str) -> None:
    """Every app is stopped, then the failure is reported."""
    log: Log = []
    mounts = [
        Mount("/a", actor("a", log)),
        Mount("/b", actor("b", log, shutdown=how)),
        Mount("/c", actor("c", log)),
    ]
    server = Server(log)
    with pytest.raises(LifespanError) as caught:
        await server.run(Dispatcher(mounts, shutdown_timeout=0.05))
    message = f"The app mounted at '/b' ({mounts[1].rule.where}) {reason}"
    assert str(caught.value) == message
    assert server.messages[-1] == {"type": "lifespan.shutdown.failed", "message": message}
    assert [line for line in log if line.endswith("down")] == ["c down", "b down", "a down"]


@pytest.mark.parametrize("is_nested", [False, True], ids=["flat", "nested"])
async def test_every_failing_stop_is_reported(
    is_nested: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Two failures make one message of two lines. The log has them too, once, as there are servers
    that tell nobody."""
    log: Log = []
    mounts = [Mount(f"/{name}", actor(name, log, shutdown="fails")) for name in "ab"]
    if is_nested:
        mounts = [Mount("/n", Dispatcher(mounts))]
    server = Server(log)
    with pytest.raises(LifespanError, match=r"(?s)'/b'.*b cannot\n.*'/a'.*a cannot") as caught:
        await server.run(Dispatcher(mounts))
    assert server.messages[-1]["type"] == "lifespan.shutdown.failed"
    cause = caught.value.__cause__
    if is_nested:
        assert cause is not None
        cause = cause.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert len(cause.exceptions) == 2
    lines = "\n".join(record.getMessage() for record in caplog.records)
    assert (lines.count("a cannot"), lines.count("b cannot")) == (1, 1)


async def test_a_failure_while_unwinding_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The server hears of the first failure, the log of those that follow from it."""
    log: Log = []
    mounts = {"/a": actor("a", log, shutdown="fails"), "/b": actor("b", log, "fails")}
    with pytest.raises(LifespanError, match="'/b'"):
        await Server(log).run(Dispatcher(mounts))
    assert "'/a'" in caplog.text
    assert "failed to stop: a cannot" in caplog.text


async def test_one_app_at_several_mounts_starts_once() -> None:
    """However often it is mounted, in this dispatcher or in one below it."""
    log: Log = []
    app = actor("a", log)
    inner = Dispatcher({"/x": app, "/y": actor("y", log)})
    outer = Dispatcher({"/1": app, "/2": app, "/inner": inner, "/again": inner})
    await Server(log).run(outer)
    assert log == [*("a up", "y up", "startup.complete", "y down", "a down", "shutdown.complete")]


async def test_a_dispatcher_can_be_started_again() -> None:
    """A second lifespan is as good as the first."""
    log: Log = []
    app = Dispatcher({"/a": actor("a", log)})
    for _ in range(2):
        await Server(log).run(app)
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"] * 2


async def test_no_apps_start_at_once() -> None:
    """An empty dispatcher answers the server."""
    log: Log = []
    await Server(log).run(Dispatcher())
    assert log == ["startup.complete", "shutdown.complete"]


async def test_routes_have_no_lifespan_but_the_apps_among_them_do() -> None:
    """Apps are found below `routes=`, however deep."""
    log: Log = []
    deep = Mount("/deep", routes=[Mount("/a", actor("a", log))])
    await Server(log).run(Dispatcher([Mount("/team", routes=[deep, Mount("/b", actor("b", log))])]))
    assert log[:3] == ["a up", "b up", "startup.complete"]


async def test_an_app_that_dies_while_serving_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, with its mount's name; the others go on and stop as ever."""
    log: Log = []

    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("gone")

    with caplog.at_level(logging.ERROR, logger="mountkit"):
        await Server(log).run(Dispatcher({"/dies": dies, "/a": actor("a", log)}))
    (record,) = caplog.records
    assert "'/dies'" in record.getMessage()
    assert "ended its lifespan while it was serving" in record.getMessage()
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"]


async def test_an_app_that_ends_its_lifespan_early(caplog: pytest.LogCaptureFixture) -> None:
    """As if it had raised."""
    log: Log = []

    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    await Server(log).run(Dispatcher({"/leaves": leaves, "/a": actor("a", log)}))
    (record,) = caplog.records
    assert "'/leaves'" in record.getMessage()
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"]


async def test_an_app_that_stops_without_a_word() -> None:
    """The others are stopped; it has ended, and that is what was asked for."""
    log: Log = []

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()

    mounts = {"/a": actor("a", log), "/silent": silent, "/b": actor("b", log)}
    await Server(log).run(Dispatcher(mounts))
    assert log == [*("a up", "b up", "startup.complete", "b down", "a down", "shutdown.complete")]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_app_whose_start_is_cancelled_by_itself(anyio_backend: str) -> None:
    """It has failed to start, and nobody else is cancelled."""
    log: Log = []

    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise asyncio.CancelledError

    with pytest.raises(LifespanError, match="raised while it started: CancelledError"):
        await Server(log).run(Dispatcher({"/a": actor("a", log), "/b": cancelled}))
    assert log == ["a up", "a down", "startup.failed"]


class Unspeakable(Exception):
    """It cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize("serves", [False, True], ids=["start", "serving"])
async def test_an_exception_without_a_text(serves: bool) -> None:
    """Of the same kind: what cannot be printed holds up nobody."""
    log: Log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if serves:
            await send({"type": "lifespan.startup.complete"})
        raise Unspeakable

    dispatcher = Dispatcher({"/a": actor("a", log), "/b": app})
    if serves:
        await Server(log).run(dispatcher)
    else:
        with pytest.raises(LifespanError, match=r"raised while it started: <.*Unspeakable object>"):
            await Server(log).run(dispatcher)
    assert log[-2] == "a down"


def test_a_second_event_loop(anyio_backend: str) -> None:
    """A dispatcher starts in each; one that stands at two places is one."""
    log: Log = []
    inner = Dispatcher({"/a": actor("a", log)})
    app = Dispatcher({"/1": inner, "/2": inner})
    for _ in range(2):
        anyio.run(Server(log).run, app, backend=anyio_backend)
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"] * 2


async def test_a_dispatcher_below_a_middleware() -> None:
    """The lifespan goes through, whatever hides the dispatcher."""
    log: Log = []
    inner = GZipMiddleware(Dispatcher({"/a": actor("a", log)}))
    await Server(log).run(Dispatcher({"/in": CORSMiddleware(inner), "/b": actor("b", log)}))
    assert log == [*("a up", "b up", "startup.complete", "b down", "a down", "shutdown.complete")]


async def test_an_unknown_message_is_refused() -> None:
    """An app that sends what is no lifespan message has failed to start."""

    async def confused(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})

    with pytest.raises(LifespanError, match=r"'http\.response\.start' is not a message"):
        await Server([]).run(Dispatcher({"/a": confused}))


async def test_a_start_that_is_cancelled_stops_what_is_up() -> None:
    """A server that gives up leaves nothing running."""
    log: Log = []
    app = Dispatcher({"/a": actor("a", log), "/b": actor("b", log, "hangs")}, startup_timeout=None)
    with anyio.move_on_after(0.05):
        await app({"type": "lifespan"}, Server(log).receive, Server(log).send)
    assert log == ["a up", "b hangs", "b down", "a down"] or log == [
        *("a up", "b hangs", "a down", "b down")
    ]


async def test_a_start_that_is_cancelled_as_the_app_comes_up() -> None:
    """It is shut down like any other: it has answered, and may have opened things."""
    log: Log = []
    server = Server(log)
    with anyio.CancelScope() as cancel_scope:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            cancel_scope.cancel()
            log.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})

        await server.run(Dispatcher({"/a": app}))
    assert log == ["lifespan.shutdown"]


async def test_a_failed_stop_of_a_cancelled_server_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is nobody to answer to."""
    log: Log = []
    app = Dispatcher({"/a": actor("a", log, shutdown="raises"), "/b": actor("b", log)})
    with anyio.CancelScope() as cancel_scope:
        server = Server(log, on_complete=cancel_scope.cancel)

        async def receive() -> Message:
            await anyio.lowlevel.checkpoint()
            return await server.receive()

        await app({"type": "lifespan"}, receive, server.send)
    assert log == ["a up", "b up", "startup.complete", "b down", "a down"]
    [record] = caplog.records
    assert "failed to stop: RuntimeError('a raises')" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_an_app_that_does_not_heed_its_end(
    phase: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for a thread, say: the others are stopped, and the server hears of it."""
    monkeypatch.setattr("mountkit.lifespans.protocol._EXIT_GRACE", 0.02)
    log: Log = []
    let_go = anyio.Event()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if phase == "shutdown":
            await send({"type": "lifespan.startup.complete"})
            await receive()
        with anyio.CancelScope(shield=True):
            await let_go.wait()
        log.append("stubborn ends")

    class PatientServer(Server):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message["type"].endswith(".failed"):
                let_go.set()

    mounts = [
        Mount("/a", actor("a", log)),
        Mount(
            "/stubborn", stubborn, lifespan=Lifespan(startup_timeout=0.02, shutdown_timeout=0.02)
        ),
    ]
    verb = "start" if phase == "startup" else "stop"
    with pytest.raises(LifespanError, match=rf"did not {verb} within 0\.02 seconds"):
        await PatientServer(log).run(Dispatcher(mounts))
    assert log[-3:] == ["a down", f"{phase}.failed", "stubborn ends"]
    assert "was cancelled and does not end; its task is left behind." in caplog.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("first", ["server", "apps"])
async def test_a_loop_that_is_closed_is_no_failure(
    anyio_backend: str, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers that are forced to end cancel every task: nothing died, and nothing is said."""
    log: Log = []
    ready = anyio.Event()
    server = Server(log, on_complete=ready.set)
    forever = anyio.Event()

    async def receive() -> Message:
        if server.messages:
            await forever.wait()
        return {"type": "lifespan.startup"}

    fails_then = actor("fails", log)

    async def says_it_failed(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await fails_then(scope, receive, send)
        except BaseException:  # as Starlette does it
            await send({"type": "lifespan.shutdown.failed", "message": "cancelled"})
            raise

    app = Dispatcher(
        [
            Mount("/a", actor("a", log)),
            Mount("/b", actor("b", log), lifespan=Lifespan(on_failure="isolate")),
            Mount("/c", says_it_failed),
        ]
    )
    here = asyncio.all_tasks()
    servers = asyncio.create_task(app({"type": "lifespan"}, receive, server.send))
    await ready.wait()
    tasks = asyncio.all_tasks() - here
    for task in sorted(tasks, key=lambda task: (task is servers) is (first == "apps")):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert asyncio.all_tasks() == here
    assert sorted(log[4:]) == ["a down", "b down", "fails down"]
    assert caplog.records == []


async def test_a_timeout_error_of_the_preparation_is_its_own() -> None:
    """It is not the limit that `total_startup_timeout` sets."""

    async def prepare(supervisor: Supervisor) -> None:
        raise TimeoutError("the database")

    server = Server([])
    with pytest.raises(TimeoutError, match="the database"):
        await server.run(LifespanRunner(lambda scope: (), prepare=prepare))


async def test_what_the_server_raises_at_a_failure_comes_out_as_it_is() -> None:
    """Hypercorn ends itself so."""

    class ServerError(Exception):
        pass

    async def send(message: Message) -> None:
        raise ServerError

    app = Dispatcher({"/a": actor("a", [], "fails")})
    with pytest.raises(ServerError):
        await app({"type": "lifespan"}, Server([]).receive, send)


async def test_the_servers_own_error_comes_out_as_it_is() -> None:
    """Not wrapped in a group: servers look for their own classes."""
    log: Log = []

    class ServerError(Exception):
        pass

    def fail() -> None:
        raise ServerError

    with pytest.raises(ServerError):
        await Server(log, on_complete=fail).run(Dispatcher({"/a": actor("a", log)}))
    assert log == ["a up", "startup.complete", "a down"]


async def test_an_app_that_never_returns_does_not_hold_up_the_others() -> None:
    """Having answered its shutdown, an app's task gets a second to end."""
    log: Log = []

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        await receive()  # for ever
        log.append("unreachable")

    await Server(log).run(Dispatcher({"/lingers": lingers, "/a": actor("a", log)}))
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"]


def test_ctrl_c_inside_an_app_is_not_swallowed(anyio_backend: str) -> None:
    """KeyboardInterrupt is the user's, not the app's."""

    async def interrupted(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise pressed()

    app = Dispatcher({"/a": interrupted})
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        anyio.run(Server([]).run, app, backend=anyio_backend)


# The wrapped app: as if nothing stood before it.


async def test_the_wrapped_apps_exception_is_its_own() -> None:
    """What it raises comes out as it is, after the mounts are down and the server knows."""
    log: Log = []
    server = Server(log)
    app = DispatchMiddleware(actor("site", log, "raises"), {"/a": actor("a", log)})
    with pytest.raises(RuntimeError, match=r"^site raises$"):
        await server.run(app)
    assert server.messages[-1]["type"] == "lifespan.startup.failed"


async def test_a_wrapped_app_that_fails_without_raising_raises_nothing() -> None:
    """`startup.failed` is answer enough."""
    log: Log = []
    server = Server(log)
    await server.run(DispatchMiddleware(actor("site", log, "fails"), {"/a": actor("a", log)}))
    assert server.messages == [
        {
            "type": "lifespan.startup.failed",
            "message": "The wrapped app failed to start: site cannot",
        }
    ]


async def test_a_server_sees_that_a_wrapped_app_has_no_lifespan() -> None:
    """If no mount has one either, the exception by which it says so comes out."""
    app = DispatchMiddleware(actor("site", [], "unsupported"), {"/a": actor("a", [], "returns")})
    with pytest.raises(ValueError, match="unknown scope type"):
        await Server([]).run(app)


async def test_mounts_run_under_a_wrapped_app_without_lifespan() -> None:
    """Django underneath keeps no mount from starting."""
    log: Log = []
    await Server(log).run(
        DispatchMiddleware(actor("site", log, "unsupported"), {"/a": actor("a", log)})
    )
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"]


async def test_a_default_app_without_lifespan_is_no_failure() -> None:
    """A dispatcher answers for itself."""
    log: Log = []
    await Server(log).run(Dispatcher(default=actor("site", log, "unsupported")))
    assert log == ["startup.complete", "shutdown.complete"]


# State.


def stateful(name: str, *, lifespan: bool = True) -> Starlette:
    """An app that yields a state and shows what of it a request sees."""

    @asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"db": f"{name}'s", name: "mine"}

    def show(request: Request) -> JSONResponse:
        seen = dict(request.scope["state"])
        request.state.touched = True
        return JSONResponse(seen)

    return Starlette(routes=[Route("/", show)], lifespan=run if lifespan else None)


def test_each_app_sees_its_own_state(client: ClientFactory) -> None:
    """Never the parent's or a sibling's, nor what an earlier request put there."""
    app = Dispatcher({"/a": stateful("a"), "/b": stateful("b")}, default=stateful("site"))
    with client(app) as c:
        for _ in range(2):
            assert c.get("/a/").json() == {"db": "a's", "a": "mine"}
            assert c.get("/b/").json() == {"db": "b's", "b": "mine"}
            assert c.get("/").json() == {"db": "site's", "site": "mine"}


def test_mounts_among_routes_have_their_own_state(client: ClientFactory) -> None:
    """The one line starts them, and each gets what it yielded."""
    app = stateful("parent")
    app.routes.append(Mount("/child", stateful("child")))
    app.add_middleware(LifespanMiddleware)
    with client(app) as c:
        assert c.get("/").json() == {"db": "parent's", "parent": "mine"}
        assert c.get("/child").json() == {"db": "child's", "child": "mine"}


def test_an_app_that_was_never_started_has_an_empty_state(
    client: ClientFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says, once, which line is missing."""
    mount = Mount("/child", stateful("child"))
    app = Starlette(routes=[mount])
    with client(app) as c:
        for _ in range(2):
            assert c.get("/child/").json() == {}
    (record,) = [r for r in caplog.records if r.name.startswith("mountkit")]
    assert record.getMessage() == (
        f"The app mounted at '/child' ({mount.rule.where}) is served, but was never started: "
        "nothing runs the lifespans of mounts among an app's routes. Write "
        "app.add_middleware(mountkit.LifespanMiddleware)."
    )


async def test_a_server_without_state_starts_an_app_that_yields_one() -> None:
    """The state of a mounted app is mountkit's, not the server's."""
    app = Dispatcher({"/a": stateful("a")})
    server = Server([])
    await app({"type": "lifespan"}, server.receive, server.send)
    assert server.messages[0]["type"] == "lifespan.startup.complete"


async def test_a_bare_child_can_be_run_by_itself() -> None:
    """A `LifespanRunner` is all that a dispatcher needs."""
    log: Log = []
    await Server(log).run(LifespanRunner(lambda scope: [Child(1, actor("a", log), "The app")]))
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"]


def test_an_app_mounted_into_itself_is_refused(client: ClientFactory) -> None:
    """It would start itself without end."""
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/again", app)])
    with pytest.raises(LifespanError, match="is mounted into itself"), client(app):
        pytest.fail("started")


async def test_an_app_that_answers_twice() -> None:
    """The second answer to the same event changes nothing."""
    log: Log = []

    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.startup.complete"})
        log.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    server = Server(log)
    await server.run(Dispatcher({"/a": twice}))
    assert log == ["startup.complete", "lifespan.shutdown", "shutdown.complete"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_cancels_once_it_is_answered(anyio_backend: str) -> None:
    """As hypercorn does: that is no error of the app, which has ended all the same."""
    log: Log = []
    app = Dispatcher([Mount("/a", actor("a", log))])
    stopping = asyncio.Event()

    async def receive() -> Message:
        if log:
            await stopping.wait()
            return {"type": "lifespan.shutdown"}
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            stopping.set()
        else:
            task.cancel()

    async def run() -> None:
        await app({"type": "lifespan"}, receive, send)

    task = asyncio.create_task(run())
    await task
    assert log == ["a up", "a down"]


async def test_lifespan_middleware_hands_requests_on() -> None:
    """It is not on their way: the app gets the very scope, `receive` and `send`."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))

    scope, receive, send = scope_of("/x"), Server([]).receive, Server([]).send
    await LifespanMiddleware(app)(scope, receive, send)
    assert all(one is other for one, other in zip(seen, (scope, receive, send), strict=True))
