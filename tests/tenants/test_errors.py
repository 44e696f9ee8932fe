"""What a tenant's function raises ends neither the server nor a neighbour."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mountkit import (
    Dispatcher,
    LifespanError,
    Mount,
    ResolutionError,
    TenantApps,
    TenantMiddleware,
    TenantResolver,
)
from tests.support.actors import pressed
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running, running
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


def handles_itself(signum: int, frame: Any) -> None:
    """What uvicorn, hypercorn and granian install: it raises nothing."""


@pytest.fixture
def of_a_server() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handles_itself)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def of_python() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def await_a_cancelled_task(anyio_backend_name: str) -> None:
    """Raises the cancellation of another task, which asyncio alone allows."""
    if anyio_backend_name != "asyncio":
        raise asyncio.CancelledError
    other = asyncio.ensure_future(asyncio.sleep(60))
    other.cancel()
    await other


def raises(exc: BaseException) -> Callable[[str], Awaitable[None]]:
    async def fail(anyio_backend_name: str) -> None:
        raise exc

    return fail


FAULTS = [
    pytest.param(raises(SystemExit(3)), "SystemExit: 3", id="exit"),
    pytest.param(raises(KeyboardInterrupt()), "KeyboardInterrupt", id="ctrl-c"),
    pytest.param(raises(GeneratorExit()), "GeneratorExit", id="generator-exit"),
    pytest.param(await_a_cancelled_task, "CancelledError", id="cancelled"),
    pytest.param(
        raises(BaseExceptionGroup("several", [SystemExit(3), ValueError()])),
        "BaseExceptionGroup: several (2 sub-exceptions)",
        id="group",
    ),
]
every_fault = pytest.mark.parametrize(("fault", "reason"), FAULTS)


async def find_label(host: str) -> str | None:
    return host.partition(".")[0]


async def make_app(tenant: str) -> ASGIApp:
    return PlainTextResponse(tenant)


async def status_of(server: Running, tenant: str) -> int:
    return (await server.ask("/", host=f"{tenant}.localhost"))[0]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


@every_fault
@pytest.mark.usefixtures("of_a_server")
@pytest.mark.parametrize("kind", ["one-app", "apps"])
async def test_a_look_up(
    fault: Any,
    reason: str,
    kind: str,
    anyio_backend_name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503 for its tenant, logged once; requests that wait for it get 503 too."""
    gate = anyio.Event()

    async def find(host: str) -> str | None:
        if host == "bad.localhost":
            await gate.wait()
            await fault(anyio_backend_name)
        return await find_label(host)

    resolver = TenantResolver(find)
    app: ASGIApp = TenantApps(resolver, make_app)
    if kind == "one-app":
        app = TenantMiddleware(PlainTextResponse("well"), resolver)
    statuses: list[int] = []

    async def ask(server: Running) -> None:
        statuses.append(await status_of(server, "bad"))

    async with running(Dispatcher([Mount("/", app)])) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask, server)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert statuses == [503] * 3
        assert await status_of(server, "well") == 200
        assert len(server.messages) == 1
    [message] = errors(caplog)
    assert message.startswith("The tenant of 'bad.localhost' could not be looked up: ")
    assert f"raised {reason}" in message


@every_fault
@pytest.mark.usefixtures("of_a_server")
async def test_a_factory(
    fault: Any, reason: str, anyio_backend_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its app did not start; the others are served."""

    async def make(tenant: str) -> ASGIApp:
        if tenant == "bad":
            await fault(anyio_backend_name)
        return await make_app(tenant)

    async with running(TenantApps(TenantResolver(find_label), make, max_apps=1)) as server:
        for tenant, status in (("well", 200), ("bad", 503), ("bad", 503), ("well", 200)):
            assert await status_of(server, tenant) == status
        assert len(server.messages) == 1
    [message] = errors(caplog)
    assert message.startswith("The app of tenant 'bad' did not start: ")
    assert f"raised {reason}" in message


@pytest.mark.usefixtures("of_a_server")
@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), ValueError("no id")], ids=repr)
async def test_a_key(exc: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """503 for its tenant, also while apps are warmed up; methods raise an error."""

    def key(tenant: str) -> str:
        if tenant == "bad":
            raise exc
        return tenant

    async def busiest() -> list[str]:
        return ["bad", "well"]

    app = TenantApps(TenantResolver(find_label), make_app, key=key, warm_up=busiest)
    async with running(app) as server:
        assert [health.mount for health in app.health] == ["tenant 'well'"]
        status, headers, _ = await server.ask("/", host="bad.localhost")
        assert (status, headers["retry-after"]) == (503, "1")
        assert await status_of(server, "well") == 200
        with pytest.raises(ResolutionError, match="The key of tenant 'bad' could not be found"):
            await app.evict("bad")
    assert len(errors(caplog)) == 3


@every_fault
@pytest.mark.usefixtures("of_a_server")
async def test_a_warm_up(fault: Any, reason: str, anyio_backend_name: str) -> None:
    """The server does not start, and says why; a mount that is isolated leaves it running."""

    async def busiest() -> list[str]:
        await fault(anyio_backend_name)
        raise AssertionError("not reached")

    apps = TenantApps(TenantResolver(find_label), make_app, warm_up=busiest)
    server = Running(apps)
    with pytest.raises(LifespanError) as caught:
        await apps({"type": "lifespan"}, server.receive, server.send)
    assert str(caught.value).startswith("warm_up raised ")
    assert f"raised {reason}" in str(caught.value)
    assert server.answered == ["startup.failed"]


@pytest.mark.usefixtures("of_python")
async def test_ctrl_c_in_a_look_up_goes_through() -> None:
    """A signal may have raised it."""

    async def find(host: str) -> str:
        raise pressed()

    with pytest.raises(KeyboardInterrupt):
        await TenantResolver(find).resolve("a.com")


@pytest.mark.usefixtures("of_python")
@pytest.mark.parametrize("place", ["factory", "key", "warm_up"])
def test_ctrl_c_elsewhere_goes_through(place: str, anyio_backend: str) -> None:
    """And ends the server."""

    def interrupt(*_: Any) -> Any:
        raise pressed()

    async def make(tenant: str) -> ASGIApp:
        if place == "factory":
            interrupt()
        return await make_app(tenant)

    options = {} if place == "factory" else {place: interrupt}
    app = TenantApps[str](TenantResolver(find_label), make, **options)

    async def serve() -> None:
        async with running(app) as server:
            await status_of(server, "acme")

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        anyio.run(serve, backend=anyio_backend)
    found = caught.value
    assert isinstance(found, KeyboardInterrupt) or found.subgroup(KeyboardInterrupt)


# Several servers over the same apps.


async def test_two_servers_of_one_loop(caplog: pytest.LogCaptureFixture) -> None:
    """When one stops, its apps do; the other goes on, with apps of its own."""
    made: list[str] = []

    async def make(tenant: str) -> ASGIApp:
        made.append(tenant)
        return await make_app(tenant)

    app = TenantApps(TenantResolver(find_label), make)
    async with running(app) as first:
        assert await status_of(first, "acme") == 200
        async with running(app) as second:
            assert await status_of(second, "acme") == 200
            assert [health.mount for health in app.health] == ["tenant 'acme'"] * 2
            await app.evict("acme")
            assert app.health == []
            assert await status_of(second, "acme") == 200
        await until(lambda: app.health == [])
        assert await status_of(first, "acme") == 200
    assert made == ["acme"] * 4
    assert errors(caplog) == []


@pytest.mark.parametrize("below", [False, True], ids=["alone", "below-a-dispatcher"])
async def test_two_servers_keep_their_apps_apart(below: bool) -> None:
    """A request is served by the app of its own server, and finds that app's state, whichever
    server has started the tenant's app first."""
    count = itertools.count(1)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
        yield {"number": next(count)}

    async def show(request: Request) -> Response:
        return PlainTextResponse(f"{request.state.tenant} {request.state.number}")

    async def make(tenant: str) -> ASGIApp:
        return Starlette(routes=[Route("/", show)], lifespan=lifespan)

    tenants = TenantApps(TenantResolver(find_label), make)
    app = Dispatcher([Mount("/", tenants)]) if below else tenants

    async def bodies(*servers: Running) -> list[str]:
        asked = [await server.ask("/", host="acme.localhost") for server in servers]
        return [body.decode() for _, _, body in asked]

    async with running(app) as first, running(app) as second:
        assert await bodies(second, first, second, first) == ["acme 1", "acme 2"] * 2
        async with running(app) as third:
            assert await bodies(third, first, second) == ["acme 3", "acme 2", "acme 1"]
        await until(lambda: len(tenants.health) == 2)
        assert await bodies(first, second) == ["acme 2", "acme 1"]


@pytest.mark.parametrize("shared", ["tenants", "mount"])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["first-first", "second-first"])
async def test_a_mount_that_the_factory_returns_twice(shared: str, order: list[int]) -> None:
    """Each request, the one that starts the app included, sees the run of its own server."""
    count = itertools.count(1)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
        yield {"number": next(count)}

    async def show(request: Request) -> Response:
        return PlainTextResponse(f"{request.state.tenant} {request.state.number}")

    mount = Mount("", Starlette(routes=[Route("/", show)], lifespan=lifespan))

    async def make(tenant: str) -> Mount:
        return mount

    apps = [TenantApps(TenantResolver(find_label), make) for _ in range(2)]
    if shared == "tenants":
        apps[1] = apps[0]
    async with running(apps[0]) as first, running(apps[1]) as second:
        servers = [first, second]
        seen = [(await servers[n].ask("/", host="acme.localhost"))[2] for n in order * 3]
        assert seen == [b"acme 1", b"acme 2"] * 3


async def test_each_server_warms_up_its_own_apps() -> None:
    """Also if another server starts meanwhile."""
    gates = [anyio.Event(), anyio.Event()]
    asked: list[int] = []

    async def busiest() -> list[str]:
        asked.append(len(asked))
        await gates[asked[-1]].wait()
        return ["acme"]

    app = TenantApps(TenantResolver(find_label), make_app, warm_up=busiest)
    servers = [Running(app), Running(app)]
    async with anyio.create_task_group() as tasks:
        for number, server in enumerate(servers):
            scope = {"type": "lifespan", "state": server.state}
            tasks.start_soon(app, scope, server.receive, server.send)
            await until(lambda number=number: len(asked) > number)  # type: ignore[misc]
        gates[0].set()
        await until(lambda: bool(servers[0].messages))
        gates[1].set()
        await until(lambda: bool(servers[1].messages))
        assert [health.mount for health in app.health] == ["tenant 'acme'"] * 2
        for server in servers:
            server.stopping.set()


def test_two_event_loops(client: ClientFactory) -> None:
    """Each request is served by the apps of its own loop."""
    app = TenantApps(TenantResolver(find_label), make_app)
    with client(app, base_url="http://acme.localhost") as first:
        assert first.get("/").text == "acme"
        with client(app, base_url="http://acme.localhost") as second:
            assert [first.get("/").text, second.get("/").text] == ["acme", "acme"]
        assert first.get("/").text == "acme"


@pytest.mark.parametrize("exc", [SystemExit(3), ValueError("detached")], ids=repr)
async def test_a_key_that_cannot_be_shown(
    exc: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """As objects of an ORM that have left their session; its app serves, or fails by itself."""

    @dataclass(frozen=True)
    class Key:
        name: str

        def __repr__(self) -> str:
            raise exc

    async def make(tenant: str) -> ASGIApp:
        if tenant == "bad":
            raise RuntimeError("boom")
        return await make_app(tenant)

    app = TenantApps(TenantResolver(find_label), make, key=Key)
    async with running(app) as server:
        assert [await status_of(server, name) for name in ("bad", "acme")] == [503, 200]
        assert "Key object>" in app.health[0].mount
    assert server.answered == ["startup.complete", "shutdown.complete"]
    assert "did not start: RuntimeError: boom" in caplog.text


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.usefixtures("of_a_server")
def test_a_key_outside_an_event_loop(exc: BaseException) -> None:
    """Its error is told as inside."""

    def key(tenant: str) -> str:
        raise exc

    with pytest.raises(ResolutionError, match="The key of tenant 'acme' could not be found"):
        TenantApps(TenantResolver(find_label), make_app, key=key).pin("acme")
