"""`Collector` and `LocalSource`: all mounts of an app, and how they are doing."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    ContainMiddleware,
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LimitMiddleware,
    Mount,
    MountkitError,
    TenantApps,
    TenantResolver,
    WSGIBridge,
)
from mountkit.middleware.meters import Meter, MeterMiddleware
from mountkit.serving.sites import SITE
from mountkit.status import collecting
from mountkit.status.collecting import Collector, mountkit_version
from mountkit.status.snapshots import MountStatus, Snapshot
from mountkit.status.sources import LocalSource, SiteSource, source_of
from tests.support.actors import Flaky, Slow, raising
from tests.support.lifespans import running
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
APP = PlainTextResponse("x")


def take_snapshot(app: Any) -> Snapshot:
    """The app at this moment, in one go."""
    steps = Collector(app).steps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def by_name(snapshot: Snapshot) -> dict[str, MountStatus]:
    return {mount.name: mount for mount in snapshot.mounts}


def starlette(*routes: Any, **options: Any) -> Starlette:
    return Starlette(routes=[*routes], **options)


def in_router() -> ASGIApp:
    router = APIRouter(routes=[Mount("/inner", APP)])
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    return app


def below(*mounts: Mount) -> Dispatcher:
    return Dispatcher([*mounts])


WALKS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "names and labels": (
        below(Mount("/a", APP, name="first"), Mount("/", APP, host="a.com")),
        [("first", "/a"), ("a.com/", "a.com/")],
    ),
    "nested": (
        below(Mount("/a", below(Mount("/b", APP, name="inner")), name="outer")),
        [("outer", "/a"), ("outer:inner", "/a/b")],
    ),
    "nested by host": (
        below(Mount("/a", below(Mount("/b", APP, host="b.com")))),
        [("/a", "/a"), ("/a:b.com/b", "/a b.com/b")],
    ),
    "the app underneath": (
        Dispatcher([Mount("/a", APP)], default=below(Mount("/b", APP))),
        [("/a", "/a"), ("default", "default"), ("/b", "/b")],
    ),
    "among routes": (starlette(Mount("/a", APP)), [("/a", "/a")]),
    "routes of a mount": (
        starlette(Mount("/a", routes=[Mount("/b", APP), Mount("/c", APP)])),
        [("/a", "/a"), ("/a:/b", "/a/b"), ("/a:/c", "/a/c")],
    ),
    "below Starlette's own": (
        starlette(
            StarletteMount("/x", below(Mount("/b", APP)), name="x"),
            StarletteHost("h.com", below(Mount("/c", APP))),
        ),
        [("x:/b", "/x/b"), ("h.com:/c", "h.com/c")],
    ),
    "an included router": (in_router(), [("/v1/inner", "/v1/inner")]),
    "in a middleware": (
        starlette(middleware=[Middleware(DispatchMiddleware, mounts=[Mount("/a", APP)])]),
        [("/a", "/a")],
    ),
    "the same path twice": (
        below(Mount("/a", APP), Mount("/a", APP, headers={"v": "2"}), Mount("/a", APP, exact=True)),
        [("/a", "/a"), ("/a (header v is '2')", "/a"), ("/a (this very path)", "/a")],
    ),
    "no mounts": (starlette(), []),
}


@pytest.mark.parametrize(("app", "found"), WALKS.values(), ids=WALKS)
def test_all_mounts_are_found(app: Any, found: list[tuple[str, str]]) -> None:
    """At any depth, with names that tell them apart."""
    assert [(one.name, one.label) for one in take_snapshot(app).mounts] == found


def test_an_app_that_is_mounted_in_itself_ends() -> None:
    """After some levels."""
    app = Starlette()
    app.router.routes.append(Mount("/a", app))
    assert len(take_snapshot(app).mounts) == 11


async def test_how_a_mount_is_doing() -> None:
    """Its app, its line, its layers, its requests."""
    slow = Slow([])
    layers = [
        Middleware(MeterMiddleware),
        Middleware(LimitMiddleware, max_concurrency=7),
        Middleware(ContainMiddleware),
    ]
    site = Dispatcher([Mount("/slow", slow, middleware=layers, headers={"v": "2"})])
    async with running(site) as server, anyio.create_task_group() as tasks:
        before = time.time()
        scope = scope_of("/slow", headers=[("v", "2")], state=dict(server.state))
        request = ask(tasks, site, scope)
        await until(lambda: slow.entered == 1)
        [mount] = take_snapshot(site).mounts
        assert (mount.app, mount.conditions, mount.limit) == ("Slow", "header v is '2'", 7)
        assert mount.where.rpartition(":")[0].endswith("test_collecting.py")
        assert (mount.status, mount.in_flight, mount.answered) == ("serving", 1, {})
        assert mount.since <= before
        assert (mount.latency, mount.error, mount.restarts) == (None, None, 0)
        assert (mount.waiting, mount.threads) == (None, None)
        slow.go.set()
        await request.ended.wait()
        [mount] = take_snapshot(site).mounts
        assert (mount.in_flight, mount.answered) == (0, {"2xx": 1})
        assert mount.meter is not None
        assert mount.latency is not None
        assert mount.meter["requests"][0][:3] == ["GET", 200, ""]


def test_this_process() -> None:
    """Is the one worker; the time is told in seconds since the epoch."""
    before = time.time()
    found = take_snapshot(Dispatcher([Mount("/a", APP)]))
    assert [(one.pid, one.state, one.generation) for one in found.workers] == [
        (os.getpid(), "serving", 0)
    ]
    assert before <= found.started <= found.taken <= time.time()
    assert (found.version, found.reload, found.findings) == (mountkit_version(), None, None)


def test_a_release_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no version."""
    monkeypatch.syspath_prepend("/nowhere")
    mountkit_version.cache_clear()
    monkeypatch.setattr("importlib.metadata.Distribution.discover", lambda **_: iter(()))
    try:
        assert mountkit_version() == ""
    finally:
        mountkit_version.cache_clear()


async def test_the_last_error() -> None:
    """And when it was."""
    site = Dispatcher([Mount("/a", raising(ValueError("x")))])
    before = time.time()
    await asked(site, scope_of("/a"))
    [mount] = take_snapshot(site).mounts
    assert mount.error == "ValueError: x"
    assert mount.error_at is not None
    assert before <= mount.error_at <= time.time()


async def test_an_app_that_does_not_start() -> None:
    """Tells why, without the name of its mount, and how often it was tried."""
    flaky = Flaky(1)
    site = Dispatcher([Mount("/a", flaky, lifespan=Lifespan(on_failure="isolate"))])
    async with running(site):
        [mount] = take_snapshot(site).mounts
        assert mount.status == "failed"
        assert mount.error == "It raised while it started: RuntimeError('start 1')"
        assert (mount.error_at, mount.restarts) == (mount.since, 0)
        await until(lambda: take_snapshot(site).mounts[0].status == "serving")
        [mount] = take_snapshot(site).mounts
        assert (mount.restarts, mount.error) == (1, None)


def wait(go: threading.Event, environ: Any, start_response: Any) -> list[bytes]:
    go.wait()
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"x"]


async def test_threads_of_wsgi_apps() -> None:
    """How many there are, and how many requests wait for one."""
    go = threading.Event()
    bridge = partial(WSGIBridge, threads=1)
    mount = Mount("/a", partial(wait, go), interface="wsgi", bridge=bridge)
    site = Dispatcher([mount])
    async with anyio.create_task_group() as tasks:
        requests = [ask(tasks, site, scope_of("/a")) for _ in range(3)]
        await until(lambda: take_snapshot(site).mounts[0].waiting == 2)
        assert take_snapshot(site).mounts[0].threads == 1
        go.set()
        for request in requests:
            await request.ended.wait()


async def test_a_mount_that_leaves() -> None:
    """Is shown until it has; a meter that it shares with its successor counts once."""
    slow, meter = Slow([]), Meter()
    layers = [Middleware(MeterMiddleware, meter=meter)]
    old = Mount("/a", slow, name="a", middleware=layers)
    site = Dispatcher([old])
    async with running(site) as server, anyio.create_task_group() as tasks:
        request = ask(tasks, site, scope_of("/a", state=dict(server.state)))
        await until(lambda: slow.entered == 1)
        new = Mount("/a", APP, name="a", middleware=layers)
        tasks.start_soon(site.replace, old, new)
        await until(lambda: old.traffic.draining_since is not None)
        serving, draining = take_snapshot(site).mounts
        assert (serving.status, draining.status, draining.in_flight) == ("serving", "draining", 1)
        assert (serving.name, draining.name) == ("a", "a")
        assert serving.meter is not None
        assert draining.meter is None
        slow.go.set()
        await request.ended.wait()


async def test_tenants() -> None:
    """Those whose apps run."""

    async def find(host: str) -> str:
        return host.partition(".")[0]

    async def make(tenant: str) -> ASGIApp:
        return PlainTextResponse(tenant)

    apps = TenantApps(TenantResolver(find), make)
    site = Dispatcher([Mount("/", apps, name="tenants", host="*.a.com")])
    async with running(site) as server:
        await server.ask("/", host="acme.a.com")
        [tenant] = take_snapshot(site).tenants
        assert (tenant.mount, tenant.tenant, tenant.status) == ("tenants", "acme", "serving")
        assert (tenant.answered, tenant.in_flight, tenant.error) == ({"2xx": 1}, 0, None)


async def test_what_does_not_change_is_remembered() -> None:
    """And what changes is seen."""
    inner = Dispatcher([Mount("/b", APP)])
    site = Dispatcher([Mount("/a", inner)])
    source = LocalSource(site)
    assert [*by_name(await source.snapshot())] == ["/a", "/a:/b"]
    await inner.add(Mount("/c", APP))
    assert [*by_name(await source.snapshot())] == ["/a", "/a:/b", "/a:/c"]
    mount = site.routes[0]
    mount.path = "/moved"  # type: ignore[attr-defined]
    assert "/moved:/c" in by_name(await source.snapshot())


async def test_middleware_that_is_made_later_is_seen() -> None:
    """Starlette makes it with the first request."""
    app = starlette(middleware=[Middleware(DispatchMiddleware, mounts=[Mount("/b", APP)])])
    site = Dispatcher([Mount("/a", app)])
    source = LocalSource(site)
    await source.snapshot()
    await asked(site, scope_of("/a/b"))
    assert by_name(await source.snapshot())["/a:/b"].answered == {"2xx": 1}


async def test_other_tasks_run_meanwhile() -> None:
    """However many mounts there are."""
    site = Dispatcher([Mount(f"/m{number}", APP) for number in range(500)])
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turn)
        await LocalSource(site).snapshot()
        tasks.cancel_scope.cancel()
    assert turns >= 9


async def checked() -> None:
    """Once no check is under way."""
    await until(lambda: all(one.name != "mountkit check" for one in threading.enumerate()))


async def test_what_check_finds() -> None:
    """Comes with a later snapshot, since a thread looks for it; once for the same mounts."""
    site = Dispatcher([Mount("/a/", APP)])
    source = LocalSource(site)
    assert (await source.snapshot()).findings is None
    await checked()
    found = (await source.snapshot()).findings
    assert found is not None
    assert [one.code for one in found] == ["trailing-slash"]
    await site.change(add=[Mount("/b/", APP)])
    assert (await source.snapshot()).findings == found
    await checked()
    assert len((await source.snapshot()).findings or ()) == 2


async def test_very_many_mounts_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take a thread for seconds."""
    monkeypatch.setattr(collecting, "_MOST_CHECKED", 1)
    source = LocalSource(Dispatcher([Mount("/a", APP), Mount("/b", APP)]))
    await source.snapshot()
    await checked()
    assert (await source.snapshot()).findings is None


async def test_a_check_that_fails_is_tried_again() -> None:
    """As of an app that changes meanwhile."""

    class Broken(Dispatcher):
        is_broken = True

        @property
        def routes(self) -> Any:
            if self.is_broken:
                raise RuntimeError("dictionary changed size during iteration")
            return super().routes

    site = Broken([Mount("/a", APP)])
    collector = Collector(site)

    assert await findings_of(collector) is None
    site.is_broken = False
    assert await findings_of(collector) == ()


async def findings_of(collector: Collector) -> Any:
    for _ in range(2):
        for _ in collector.steps():
            pass
        collector.check()
        await checked()
    return collector._findings


async def test_explanations_of_this_process() -> None:
    """In words."""
    source = LocalSource(Dispatcher([Mount("/a", APP, headers={"v": "2"})]))
    found = await source.explain("POST", "/a", {"v": "2"})
    assert found["text"].startswith("POST /a\nis taken by /a, header v is '2'")


async def no_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Has no mounts."""


def test_the_site_that_an_app_is_mounted_in() -> None:
    """Is found in the scope: the app, or the dispatcher if there is none; it is made once."""
    site, other = Dispatcher(), Starlette()
    source = source_of(None, {SITE: (site, None, "")}, no_app, 5.0)
    assert isinstance(source, SiteSource)
    assert source.app is site
    assert source_of(source, {SITE: (site, None, "")}, no_app) is source
    assert source_of(source, {SITE: (site, other, "")}, no_app).app is other  # type: ignore[attr-defined]
    local = LocalSource(site)
    assert source_of(local, {}, no_app) is local


def test_an_app_that_is_not_mounted() -> None:
    """Says how to mount it."""
    with pytest.raises(MountkitError) as caught:
        source_of(None, {}, Meter())
    assert str(caught.value) == (
        "Meter() is not mounted, so it has no site to show; write Mount('/_meter', Meter()), or "
        "Meter(LocalSource(app))."
    )
