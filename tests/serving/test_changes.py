"""Mounts that come and go while requests are served."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit import (
    ConflictError,
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LifespanError,
    Mount,
    MountkitError,
    PatternError,
    Split,
    WSGIBridge,
)
from tests.support.actors import Log, Slow, actor
from tests.support.lifespans import Running, running
from tests.support.requests import ask, status_of
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

#: How many come and go. With 10,000 it takes much longer, and holds as well.
TENANTS = 3_000

of_request: ContextVar[str] = ContextVar("of_request")


async def test_added_after_its_startup() -> None:
    """The first request that reaches an app finds it up."""
    log: Log = []
    app = Dispatcher({"/a": actor("a", log)})
    async with running(app) as server:
        assert await status_of(server, "/b") == 404
        await app.add(Mount("/b", actor("b", log)))
        assert log == ["a up", "b up"]
        assert await status_of(server, "/b") == 200
    assert log == ["a up", "b up", "b down", "a down"]


async def test_an_added_app_does_not_see_the_context_of_who_added_it() -> None:
    """A request may add a mount; its context variables are none of that app's."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(of_request.get("nothing"))
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    dispatcher = Dispatcher()
    async with running(dispatcher):
        of_request.set("a request's")
        await dispatcher.add(Mount("/b", app))
    assert seen == ["nothing"]


async def test_no_request_before_startup_ends() -> None:
    """While an app starts, its mount takes nothing."""
    ready = anyio.Event()

    async def starting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await ready.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    app = Dispatcher()
    async with running(app) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(app.add, Mount("/b", starting))
        await until(lambda: bool(app.health))
        assert [(health.mount, health.status) for health in app.health] == [("/b", "starting")]
        assert await status_of(server, "/b") == 404
        ready.set()
        await until(lambda: len(app.routes) == 1)
        assert [health.status for health in app.health] == ["serving"]


async def test_a_prepared_change_is_seen_once_it_is_committed() -> None:
    """Until then the new app is up, and the old one serves."""
    log: Log = []
    old, new = Mount("/x", actor("old", log)), Mount("/x", actor("new", log))
    app = Dispatcher([old])
    async with running(app) as server:
        change = await app.prepare(replace=[(old, new)])
        assert log == ["old up", "new up"]
        assert (await server.ask("/x"))[2] == b'{"app":"old"}'
        assert [health.status for health in app.health] == ["serving", "serving"]
        await change.commit()
        assert log == ["old up", "new up", "old down"]
        assert (await server.ask("/x"))[2] == b'{"app":"new"}'


async def test_an_aborted_change_leaves_nothing() -> None:
    """Its new app is stopped, and may come again."""
    log: Log = []
    b = Mount("/b", actor("b", log))
    app = Dispatcher([Mount("/a", actor("a", log))])
    async with running(app) as server:
        await (await app.prepare(add=[b])).abort()
        assert log == ["a up", "b up", "b down"]
        assert [health.mount for health in app.health] == ["/a"]
        await app.add(b)
        assert await status_of(server, "/b") == 200


async def test_a_mount_of_a_prepared_change_is_in_no_other() -> None:
    b = Mount("/b", actor("b", []))
    app = Dispatcher()
    async with running(app):
        await app.prepare(add=[b])
        with pytest.raises(PatternError, match="still starting or draining"):
            await app.add(b)


async def test_a_prepared_change_that_another_has_overtaken() -> None:
    """It is refused, and its app is stopped."""
    log: Log = []
    app = Dispatcher()
    async with running(app):
        change = await app.prepare(add=[Mount("/b", actor("late", log))])
        await app.add(Mount("/b", actor("b", log)))
        with pytest.raises(ConflictError):
            await change.commit()
        assert log == ["late up", "b up", "late down"]


@pytest.mark.parametrize("second", ["commit", "abort"])
@pytest.mark.parametrize("first", ["commit", "abort"])
async def test_a_prepared_change_ends_once(first: str, second: str) -> None:
    app = Dispatcher()
    change = await app.prepare(add=[Mount("/b", actor("b", []))])
    await getattr(change, first)()
    with pytest.raises(MountkitError, match=r"committed or aborted before; prepare another"):
        await getattr(change, second)()


async def test_a_server_stops_the_apps_of_a_change_that_nobody_ended() -> None:
    log: Log = []
    app = Dispatcher()
    async with running(app):
        await app.prepare(add=[Mount("/b", actor("b", log))])
    assert log == ["b up", "b down"]


async def test_removed_and_shut_down() -> None:
    """An app with nothing in flight is stopped at once."""
    log: Log = []
    b = Mount("/b", actor("b", log))
    app = Dispatcher([Mount("/a", actor("a", log)), b])
    async with running(app) as server:
        await app.remove(b)
        assert log == ["a up", "b up", "b down"]
        assert await status_of(server, "/b") == 404
        assert app.routes == [app.table.mounts[0]]
        assert [health.mount for health in app.health] == ["/a"]


async def test_replaced_in_its_place() -> None:
    """The new app is up before the old one goes, and stands where it stood."""
    log: Log = []
    old, new = Mount("/x", actor("old", log)), Mount("/x", actor("new", log))
    app = Dispatcher([old, Mount("/y", actor("y", log))])
    async with running(app) as server:
        await app.replace(old, new)
        assert log == ["old up", "y up", "new up", "old down"]
        assert (await server.ask("/x"))[2] == b'{"app":"new"}'
        assert app.routes[0] is new


async def test_a_replacement_with_the_same_app_does_not_restart_it() -> None:
    """Only the conditions change."""
    log: Log = []
    a = actor("a", log)
    old, new = Mount("/x", a), Mount("/z", a)
    app = Dispatcher([old])
    async with running(app) as server:
        await app.replace(old, new)
        assert log == ["a up"]
        assert [await status_of(server, path) for path in ("/x", "/z")] == [404, 200]


async def test_several_changes_are_one() -> None:
    """All of it, in one step."""
    log: Log = []
    a, b = Mount("/a", actor("a", log)), Mount("/b", actor("b", log))
    app = Dispatcher([a, b])
    async with running(app) as server:
        await app.change(
            add=[Mount("/c", actor("c", log))],
            remove=[a],
            replace=[(b, Mount("/b", actor("b2", log)))],
        )
        found = [await status_of(server, path) for path in ("/a", "/b", "/c")]
        assert found == [404, 200, 200]
        assert log == ["a up", "b up", "c up", "b2 up", "b down", "a down"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(
            {"add": [Mount("/n", actor("n", [])), Mount("/a", actor("x", []))]},
            ConflictError,
            id="conflict",
        ),
        pytest.param({"remove": [Mount("/q", actor("x", []))]}, PatternError, id="unknown"),
        pytest.param({"add": [actor("x", [])]}, PatternError, id="no-mount"),
        pytest.param(
            {"replace": [(Mount("/q", actor("x", [])), Mount("/r", actor("x", [])))]},
            PatternError,
            id="replaces-unknown",
        ),
        pytest.param(
            {"add": [Mount("/n", actor("n", [])), Mount("/m", actor("m", [], "fails"))]},
            LifespanError,
            id="startup-fails",
        ),
    ],
)
async def test_a_refused_change_changes_nothing(change: Any, error: type[Exception]) -> None:
    """Neither the table nor what runs."""
    log: Log = []
    a = Mount("/a", actor("a", log))
    app = Dispatcher([a])
    async with running(app) as server:
        with pytest.raises(error):
            await app.change(**change)
        assert app.routes == [a]
        assert log == ["a up"]
        assert [health.mount for health in app.health] == ["/a"]
        assert [await status_of(server, path) for path in ("/a", "/n")] == [200, 404]


async def test_a_mount_cannot_leave_and_come_in_one_change() -> None:
    """Its place would be a question of taste."""
    mount = Mount("/a", actor("a", []))
    app = Dispatcher([mount])
    async with running(app):
        with pytest.raises(PatternError, match="leaves and comes in one change"):
            await app.replace(mount, mount)
        assert app.routes == [mount]


def named_twice(a: Mount, b: Mount) -> list[Any]:
    """Changes that name one mount twice, of a dispatcher that has `a` and `b`."""
    new = Mount("/new", actor("new", []))
    return [
        {"add": [new, new]},
        {"add": [a]},
        {"remove": [a, a]},
        {"replace": [(a, new), (a, Mount("/other", actor("other", [])))]},
        {"remove": [a], "replace": [(a, new)]},
        {"replace": [(a, new), (b, new)]},
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("is_running", [True, False], ids=["running", "not-running"])
async def test_a_mount_that_is_named_twice(number: int, is_running: bool) -> None:
    """Is refused: it would be in the table twice, or leave and stay."""
    log: Log = []
    a, b = Mount("/a", actor("a", log)), Mount("/b", actor("b", log))
    app = Dispatcher([a, b])
    change = named_twice(a, b)[number]
    if is_running:
        async with running(app):
            with pytest.raises((ConflictError, PatternError)):
                await app.change(**change)
            assert log == ["a up", "b up"]
    else:
        with pytest.raises((ConflictError, PatternError)):
            await app.change(**change)
    assert app.routes == [a, b]


@pytest.mark.parametrize("what", ["/a", ("/a", "/b"), ("/a",)], ids=["path", "paths", "one"])
async def test_replace_takes_pairs_of_mounts(what: Any) -> None:
    """Anything else is refused, with what to write."""
    with pytest.raises(PatternError, match="; write "):
        await Dispatcher().change(replace=[what])


async def test_a_mount_that_went_can_come_back() -> None:
    """The same `Mount` object, once it is out; its app starts anew, and WSGI threads too."""
    log: Log = []

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"w"]

    a, w = Mount("/a", actor("a", log)), Mount("/w", wsgi)
    app = Dispatcher()
    async with running(app) as server:
        for _ in range(2):
            await app.change(add=[a, w])
            assert [await status_of(server, path) for path in ("/a", "/w")] == [200, 200]
            assert {health.status for health in app.health} == {"serving"}
            await app.change(remove=[a, w])
    assert log == ["a up", "a down"] * 2


async def test_dispatchers_that_mount_each_other() -> None:
    """An app that is starting does not wait for itself."""
    log: Log = []
    inner = Dispatcher({"/a": actor("a", log)})
    outer = Dispatcher({"/inner": inner})
    await inner.add(Mount("/outer", outer))
    async with running(outer) as server:
        assert await status_of(server, "/inner/outer/inner/a") == 200
    assert log == ["a up", "a down"]


async def test_a_drain_that_begins_after_the_shutdown() -> None:
    """The change was under way when the server went: the table changes, nothing is stopped twice."""
    log: Log = []
    a = Mount("/a", actor("a", log))
    app = Dispatcher([a])
    async with running(app):
        [supervisor] = app._lifespans.supervisors
    app._lifespans.supervisors.append(supervisor)
    await app.remove(a)
    assert log == ["a up", "a down"]
    assert app.routes == []


async def test_apps_that_came_up_before_one_that_failed_go_down_again() -> None:
    """In reverse order."""
    log: Log = []
    app = Dispatcher()
    async with running(app):
        with pytest.raises(LifespanError, match="'/c'"):
            await app.change(
                add=[
                    Mount("/a", actor("a", log)),
                    Mount("/b", actor("b", log)),
                    Mount("/c", actor("c", log, "raises")),
                ]
            )
        assert log == ["a up", "b up", "c down", "b down", "a down"]


async def test_of_two_changes_that_exclude_each_other_one_is_refused() -> None:
    """Both were valid when they began."""
    log: Log = []
    old = Mount("/x", actor("old", log))
    app = Dispatcher([old])
    errors: list[Exception] = []

    async def replace(name: str) -> None:
        try:
            await app.replace(old, Mount("/x", actor(name, log)))
        except PatternError as exc:
            errors.append(exc)

    async with running(app):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(replace, "one")
            tasks.start_soon(replace, "two")
        assert len(errors) == 1
        assert sorted(log) in (
            ["old down", "old up", "one down", "one up", "two up"],
            ["old down", "old up", "one up", "two down", "two up"],
        )
        assert len(app.routes) == 1


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("answers_first", [False, True], ids=["unanswered", "stream"])
async def test_what_is_in_flight_ends_before_the_app(kind: str, answers_first: bool) -> None:
    """And the mount takes nothing new in the meantime."""
    log: Log = []
    slow = Slow(log, answers_first=answers_first)
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    async with running(app) as server, anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of("/slow/x", type=kind))
        await until(lambda: slow.entered == 1)
        tasks.start_soon(app.remove, mount)
        await until(lambda: not app.routes)
        [health] = app.health
        assert (health.status, health.in_flight) == ("draining", 1)
        assert await status_of(server, "/slow") == 404
        assert log == ["slow up"]
        slow.go.set()
        await until(lambda: log[-1] == "slow down")
        assert asked.error is None
        assert asked.types[-1] in ("http.response.body", "websocket.close")
        await until(lambda: not app.health)


@pytest.mark.parametrize(
    ("kind", "answers_first", "types"),
    [
        ("http", False, ["http.response.start", "http.response.body"]),
        ("http", True, ["http.response.start"]),
        ("websocket", False, ["websocket.close"]),
        ("websocket", True, ["websocket.accept", "websocket.close"]),
    ],
)
async def test_the_drain_timeout_cuts(kind: str, answers_first: bool, types: list[str]) -> None:
    """A request without an answer gets 503, a connection is broken, a websocket gets 1012."""
    log: Log = []
    slow = Slow(log, answers_first=answers_first)
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    async with running(app), anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of("/slow/x", type=kind))
        await until(lambda: slow.entered == 1)
        await app.remove(mount, drain_timeout=0.02)
        await asked.ended.wait()
        assert log == ["slow up", "slow cancelled", "slow down"]
        assert asked.types == types
        if types == ["http.response.start", "http.response.body"]:
            assert asked.status == 503
            assert (b"retry-after", b"1") in asked.sent[0]["headers"]
        if types == ["http.response.start"]:
            assert isinstance(asked.error, MountkitError)
        else:
            assert asked.error is None
        if kind == "websocket" and answers_first:
            assert asked.sent[-1]["code"] == 1012


async def test_a_request_that_does_not_heed_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and the app stops all the same."""
    monkeypatch.setattr("mountkit.serving.flights._CUT_GRACE", 0.01)
    log: Log = []
    slow = Slow(log, heeds=False)
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    async with running(app), anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of("/slow/x"))
        await until(lambda: slow.entered == 1)
        await app.remove(mount, drain_timeout=0)
        assert log[-1] == "slow down"
        assert not asked.ended.is_set()
        slow.go.set()
        await asked.ended.wait()
        assert asked.status in (200, 503)
        assert asked.error is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cut_does_not_hide_a_cancellation_from_outside(anyio_backend: str) -> None:
    """A server that gives a request up at the same moment sees that it has ended so."""
    slow = Slow([])
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    task = asyncio.create_task(app(scope_of("/slow/x"), Running(app).receive, Running(app).send))
    await until(lambda: slow.entered == 1)
    for flight in mount.traffic.flights:
        flight.cut()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_left_of_a_cut() -> None:
    """The task that a request ran in can go on to other things."""
    slow = Slow([])
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    went_on = anyio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def connection() -> None:
        await app(scope_of("/slow/x"), receive, send)
        with anyio.move_on_after(5):
            await anyio.sleep(0.01)
            went_on.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection)
        await until(lambda: slow.entered == 1)
        await app.remove(mount, drain_timeout=0)
        await until(went_on.is_set)
    assert sent[0]["status"] == 503


async def test_a_cancelled_caller_does_not_stop_the_change() -> None:
    """Once the table has changed, the old app is seen out."""
    log: Log = []
    slow = Slow(log)
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    async with running(app), anyio.create_task_group() as tasks:
        asked = ask(tasks, app, scope_of("/slow/x"))
        await until(lambda: slow.entered == 1)
        with anyio.move_on_after(0.02):
            await app.remove(mount)
        assert not app.routes
        assert log == ["slow up"]
        slow.go.set()
        await until(lambda: log[-1] == "slow down")
        await asked.ended.wait()
        assert asked.status == 200


async def test_a_caller_that_is_cancelled_while_apps_start() -> None:
    """Nothing has changed, and they are stopped."""
    log: Log = []
    app = Dispatcher()
    async with running(app):
        with anyio.move_on_after(0.05):
            await app.change(
                add=[Mount("/a", actor("a", log)), Mount("/b", actor("b", log, "hangs"))]
            )
        assert not app.routes
        assert log == ["a up", "b hangs", "b down", "a down"]


async def test_a_shutdown_does_not_wait_for_a_drain() -> None:
    """The server has ended its connections by then, or will not."""
    log: Log = []
    slow = Slow(log)
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    async with anyio.create_task_group() as tasks:
        async with running(app):
            asked = ask(tasks, app, scope_of("/slow/x"))
            await until(lambda: slow.entered == 1)
            tasks.start_soon(app.remove, mount)
            await until(lambda: not app.routes)
        assert log == ["slow up", "slow down"]
        slow.go.set()
        await asked.ended.wait()


class Starting:
    """An app whose startup goes on until it is let go."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.go = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.log.append("starting")
        try:
            await self.go.wait()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        finally:
            self.log.append("down")


async def test_a_shutdown_while_an_app_is_added() -> None:
    """Its start is given up, whoever adds it hears of that, and the server ends."""
    log: Log = []
    errors: list[LifespanError] = []
    app = Dispatcher({"/a": actor("a", log)})

    async def add() -> None:
        mounts = [Mount("/b", actor("b", log)), Mount("/s", Starting(log))]
        try:
            await app.change(add=mounts)
        except LifespanError as exc:
            errors.append(exc)

    async with anyio.create_task_group() as tasks:
        async with running(app) as server:
            tasks.start_soon(add)
            await until(lambda: log[-1] == "starting")
        assert server.answered == ["startup.complete", "shutdown.complete"]
    assert log == ["a up", "b up", "starting", "down", "b down", "a down"]
    [error] = errors
    assert "'/s'" in str(error)
    assert "was not started: the server is shutting down" in str(error)
    assert len(app.routes) == 1
    assert [health.status for health in app.health] == ["starting"]


async def test_a_shutdown_while_two_mounts_of_an_app_are_added() -> None:
    """The one that waits for the other's start gives up too."""
    log: Log = []
    starting = Starting(log)
    errors: list[str] = []
    app = Dispatcher()

    async def add(path: str) -> None:
        try:
            await app.add(Mount(path, starting, lifespan=Lifespan(on_failure="isolate")))
        except LifespanError as exc:
            errors.append(str(exc))

    async with anyio.create_task_group() as tasks, running(app):
        for path in ("/1", "/2"):
            tasks.start_soon(add, path)
        await until(lambda: len(app.health) == 2 and log == ["starting"])
        await anyio.sleep(0.01)
        assert [health.status for health in app.health] == ["starting"] * 2
    assert log == ["starting", "down"]
    assert len(errors) == 2


@pytest.mark.parametrize("independent", [True, False])
async def test_a_mount_goes_while_it_starts(independent: bool) -> None:
    """In the server's startup; its start is given up, and the others come up."""
    log: Log = []
    mount = Mount("/s", Starting(log), lifespan=Lifespan(independent=independent))
    last = Mount("/last", actor("last", log), lifespan=Lifespan(independent=independent))
    app = Dispatcher([mount, last])
    async with anyio.create_task_group() as tasks:

        async def remove() -> None:
            await until(lambda: "starting" in log)
            await app.remove(mount)

        tasks.start_soon(remove)
        async with running(app):
            assert app.routes == [last]
            await until(lambda: not [h for h in app.health if h.mount == "/s"])
            assert sorted(log) == ["down", "last up", "starting"]
    assert sorted(log) == ["down", "last down", "last up", "starting"]


async def test_a_refused_change_whose_caller_is_cancelled() -> None:
    """What it has started is stopped all the same."""
    log: Log = []
    old = Mount("/x", actor("old", log))
    app = Dispatcher([old])
    cancel_scope = anyio.CancelScope()

    async def slow_to_stop(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await app.replace(old, Mount("/x", actor("quicker", log)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        cancel_scope.cancel()
        await anyio.lowlevel.checkpoint()
        log.append("down")
        await send({"type": "lifespan.shutdown.complete"})

    async with running(app):
        with cancel_scope, pytest.raises(PatternError, match="is not in the table"):
            await app.replace(old, Mount("/x", slow_to_stop))
        assert log == ["old up", "quicker up", "old down", "down"]
        assert len(app.routes) == len(app.health) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_cost_of_a_change_does_not_grow_with_the_table(anyio_backend: str) -> None:
    """Counted in calls, of Python's functions and of C's: as many in a table of 2000 mounts as
    in one of 20."""
    calls = []
    for count in (20, 2000):
        child = actor("steady", [])
        mounts = [Mount(f"/{number}", child) for number in range(count)]
        hosts = [Mount("/", child, host=f"{number}.example.com") for number in range(count)]
        app = Dispatcher([*mounts, *hosts])
        counted = 0

        def count_call(frame: Any, event: str, argument: Any) -> None:
            nonlocal counted
            counted += 1

        async with running(app):
            news = [Mount("/new", actor("new", [])), Mount("/", actor("h", []), host="h.org")]
            for is_warm in (False, True):
                counted = 0
                sys.setprofile(count_call if is_warm else None)
                try:
                    await app.change(add=news)
                    middle = Mount("/10", actor("middle", []))
                    await app.replace(mounts[10], middle)
                    await app.change(remove=news, replace=[(middle, mounts[10])])
                finally:
                    sys.setprofile(None)
        calls.append(counted)
    few, many = calls
    assert many < 1.2 * few


async def test_no_app_is_added_during_the_shutdown() -> None:
    """It would never be stopped."""
    log: Log = []
    errors: list[str] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        supervisor.append(True)
        try:
            await start()
        except LifespanError as exc:
            errors.append(str(exc))
        await send({"type": "lifespan.shutdown.complete"})

    supervisor: list[bool] = []
    app = Dispatcher({"/late": late})

    async def start() -> None:
        await held[0].start_all([new.child])  # type: ignore[list-item]

    new = Mount("/new", actor("new", log))
    async with running(app):
        held = list(app._lifespans.supervisors)
    assert log == []
    assert len(errors) == 1
    assert "'/new'" in errors[0]
    assert "shutting down" in errors[0]


async def test_an_app_that_two_dispatchers_hold_stops_with_the_last() -> None:
    """Removing one mount of it is not the end."""
    log: Log = []
    shared = actor("shared", log)
    inner_mount = Mount("/b", shared)
    inner = Dispatcher([inner_mount])
    outer_mount = Mount("/a", shared)
    inner_at = Mount("/inner", inner)
    app = Dispatcher([inner_at, outer_mount])
    async with running(app) as server:
        assert log == ["shared up"]
        await app.remove(inner_at)
        assert log == ["shared up"]
        assert await status_of(server, "/a") == 200
        await app.remove(outer_mount)
        assert log == ["shared up", "shared down"]
        await app.add(Mount("/a", shared))
        assert log == ["shared up", "shared down", "shared up"]


async def test_an_app_is_not_started_before_it_has_stopped() -> None:
    """One that comes back while it is on its way out waits until it is out."""
    log: Log = []
    leave = anyio.Event()

    async def slow_to_stop(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        log.append("up")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await leave.wait()
        log.append("down")
        await send({"type": "lifespan.shutdown.complete"})

    first = Mount("/x", slow_to_stop)
    app = Dispatcher([first])
    async with running(app), anyio.create_task_group() as tasks:
        tasks.start_soon(app.remove, first)
        await until(lambda: first.child is not None and first.child.run.phase == "stopping")
        tasks.start_soon(app.add, Mount("/x", slow_to_stop))
        await anyio.sleep(0.02)
        assert log == ["up"]
        leave.set()
        await until(lambda: len(app.routes) == 1)
        assert log == ["up", "down", "up"]


async def test_two_mounts_of_an_app_that_is_starting() -> None:
    """The second waits for the start that is under way."""
    log: Log = []
    slow = Slow(log)
    starting = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def delayed() -> Message:
            await starting.wait()
            return await receive()

        await slow(scope, delayed, send)

    dispatcher = Dispatcher()
    async with running(dispatcher), anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.add, Mount("/a", app))
        tasks.start_soon(dispatcher.add, Mount("/b", app))
        await until(lambda: len(dispatcher.health) == 2)
        await anyio.sleep(0.01)
        assert not dispatcher.routes
        starting.set()
        await until(lambda: len(dispatcher.routes) == 2)
        assert log == ["slow up"]


async def test_a_mount_that_drains_cannot_come_back_yet() -> None:
    """It can once it is out."""
    slow = Slow([])
    mount = Mount("/slow", slow)
    app = Dispatcher([mount])
    async with running(app) as server, anyio.create_task_group() as tasks:
        ask(tasks, app, scope_of("/slow/x"))
        await until(lambda: slow.entered == 1)
        tasks.start_soon(app.remove, mount)
        await until(lambda: not app.routes)
        with pytest.raises(PatternError, match="still starting or draining; wait"):
            await app.add(mount)
        slow.go.set()
        await until(lambda: not app.health)
        await app.add(mount)
        assert [health.status for health in app.health] == ["serving"]
        assert await status_of(server, "/slow") == 200


async def test_before_a_server_runs_it_the_table_alone_changes() -> None:
    """The server's start starts what is there by then."""
    log: Log = []
    a, b = Mount("/a", actor("a", log)), Mount("/b", actor("b", log))
    app = Dispatcher([a])
    await app.change(add=[b], remove=[a])
    assert log == []
    async with running(app):
        assert log == ["b up"]


@asynccontextmanager
async def changing_lifespan(app: Any) -> AsyncIterator[None]:
    await app.state.change()
    yield


async def test_a_change_from_the_startup_of_the_default_app() -> None:
    """Plugins add themselves when the site starts; each is started once."""
    log: Log = []
    gone, stays = Mount("/gone", actor("gone", log)), Mount("/stays", actor("stays", log))
    site = Starlette(lifespan=changing_lifespan)
    app = Dispatcher([gone, stays], default=site)

    async def change() -> None:
        await app.change(add=[Mount("/plugin", actor("plugin", log))], remove=[gone])

    site.state.change = change
    async with running(app):
        assert log == ["plugin up", "stays up"]
    assert log == ["plugin up", "stays up", "stays down", "plugin down"]


async def test_a_change_from_the_startup_of_a_mounted_app() -> None:
    """One that was to be started later is not."""
    log: Log = []
    gone = Mount("/gone", actor("gone", log))
    child = Starlette(lifespan=changing_lifespan)
    app = Dispatcher([Mount("/child", child), gone])
    child.state.change = lambda: app.remove(gone)
    async with running(app):
        assert log == []


async def test_a_mount_that_is_up_goes_in_the_startup_of_another() -> None:
    """Those that are to be started later are."""
    log: Log = []
    first = Mount("/first", actor("first", log))
    child = Starlette(lifespan=changing_lifespan)
    app = Dispatcher([first, Mount("/child", child), Mount("/last", actor("last", log))])
    child.state.change = lambda: app.remove(first)
    async with running(app):
        assert log == ["first up", "first down", "last up"]


async def test_routes_that_hold_mounts() -> None:
    """The apps below are started and stopped with them."""
    log: Log = []
    team = Mount("/team", routes=[Mount("/a", actor("a", log)), Mount("/b", actor("b", log))])
    app = Dispatcher()
    async with running(app) as server:
        await app.add(team)
        assert await status_of(server, "/team/a") == 200
        await app.remove(team)
    assert log == ["a up", "b up", "b down", "a down"]


async def test_an_app_that_fails_to_stop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The change is made all the same."""
    log: Log = []
    mount = Mount("/a", actor("a", log, shutdown="raises"))
    app = Dispatcher([mount])
    async with running(app):
        await app.remove(mount)
        assert "'/a'" in caplog.text
        assert "failed to stop" in caplog.text
    assert not app.routes


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "not-running"])
async def test_the_threads_of_a_removed_wsgi_app_end(is_running: bool) -> None:
    """With its mount."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x"]

    mount = Mount("/w", wsgi)
    app = Dispatcher([mount])
    before = set(threading.enumerate())
    if is_running:
        async with running(app) as server:
            assert await status_of(server, "/w") == 200
            await app.remove(mount)
    else:
        assert await status_of(Running(app), "/w") == 200
        [_] = set(threading.enumerate()) - before
        await app.remove(mount)
    await until(lambda: set(threading.enumerate()) <= before)


async def test_a_wsgi_mount_that_comes_back_has_threads_of_its_own() -> None:
    """Those that hung when it went take nothing from it."""
    hangs = threading.Event()
    calls: list[int] = []

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        calls.append(1)
        if len(calls) == 1:
            hangs.wait(30)
        start_response("200 OK", [])
        return [b"w"]

    mount = Mount("/w", wsgi, bridge=partial(WSGIBridge, threads=1))
    app = Dispatcher([mount])
    try:
        async with running(app) as server, anyio.create_task_group() as tasks:
            asked = ask(tasks, app, scope_of("/w"))
            await until(lambda: len(calls) == 1)
            await app.remove(mount, drain_timeout=0)
            await asked.ended.wait()
            assert asked.status == 503
            await app.add(mount)
            assert await status_of(server, "/w") == 200
    finally:
        hangs.set()


async def test_nothing_keeps_a_removed_app_alive() -> None:
    """Memory is flat, however often mounts come and go."""
    app = Dispatcher()
    gone: list[weakref.ref[Any]] = []

    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    async with running(app) as server:
        for _ in range(3):
            child = Starlette(routes=[Route("/", index)])
            mount = Mount("/x", child)
            await app.add(mount)
            assert await status_of(server, "/x/") == 200
            await app.remove(mount)
            gone += [weakref.ref(child), weakref.ref(mount)]
            del child, mount
        await anyio.sleep(0.01)
        gc.collect()
        assert [ref() for ref in gone] == [None] * 6


@pytest.mark.slow
async def test_thousands_of_tenants_come_and_go() -> None:
    """While requests are served, each gets the tenant's own answer, or 404 if it is not there; and
    the memory is given back."""
    app = Dispatcher([Mount("/", PlainTextResponse("site"), host="example.com")])
    wrong: list[Any] = []
    counts: Counter[int] = Counter()
    is_over = False

    def tenant(number: int) -> Mount:
        return Mount("/", PlainTextResponse(str(number)), host=f"t{number}.example.com")

    async def keep_asking(server: Running, first: int) -> None:
        number = first
        while not is_over:
            number = (number * 1103515245 + 12345) % TENANTS
            status, _, body = await server.ask("/x", host=f"t{number}.example.com")
            counts[status] += 1
            if status not in (200, 404) or (status == 200 and body != b"%d" % number):
                wrong.append((number, status, body))
            await anyio.sleep(0.002)  # the changes are to come to their turn

    async with running(app) as server, anyio.create_task_group() as tasks:
        for first in range(3):
            tasks.start_soon(keep_asking, server, first)
        for start in range(0, TENANTS, 500):
            mounts = [tenant(number) for number in range(start, start + 500)]
            await app.change(add=mounts)
            for mount in mounts[::50]:
                host = mount.rule.host.pattern if mount.rule.host else ""
                assert await server.ask("/", host=host) == (
                    *(
                        200,
                        {
                            "content-length": f"{len(host) - 13}",
                            "content-type": "text/plain; charset=utf-8",
                        },
                    ),
                    host.removesuffix(".example.com")[1:].encode(),
                )
        assert len(app.routes) == TENANTS + 1
        refs = [weakref.ref(mount) for mount in app.routes[1:]]
        for _ in range(TENANTS // 500):
            await app.change(remove=app.routes[1:501])
        is_over = True
    del mounts, mount
    gc.collect()
    assert wrong == []
    assert counts[200]
    assert counts[404]
    assert len(app.routes) == 1
    assert not any(ref() for ref in refs)


async def test_a_dispatcher_below_a_dispatcher_changes() -> None:
    """Its apps run with the server's, under the dispatcher that has added them."""
    log: Log = []
    inner = Dispatcher()
    outer = Dispatcher({"/inner": inner})
    async with running(outer) as server:
        await inner.add(Mount("/x", actor("x", log)))
        assert await status_of(server, "/inner/x") == 200
    assert log == ["x up", "x down"]


async def test_middleware_changes() -> None:
    """`DispatchMiddleware` is a dispatcher too."""
    log: Log = []
    app = DispatchMiddleware(Starlette())
    async with running(app) as server:
        await app.add(Mount("/x", actor("x", log)))
        assert await status_of(server, "/x") == 200
    assert log == ["x up", "x down"]


async def test_a_split_is_replaced_with_other_weights() -> None:
    """The way to move a canary on: what both splits serve is neither stopped nor started."""
    log: Log = []
    stable, canary = actor("stable", log), actor("canary", log)
    old = Mount("/api", Split({"stable": (stable, 1), "canary": (canary, 0)}))
    new = Mount("/api", Split({"stable": (stable, 0), "canary": (canary, 1)}))
    app = Dispatcher([old])
    async with running(app) as server:
        assert (await server.ask("/api"))[2] == b'{"app":"stable"}'
        await app.replace(old, new)
        assert (await server.ask("/api"))[2] == b'{"app":"canary"}'
        assert log == ["stable up", "canary up"]
