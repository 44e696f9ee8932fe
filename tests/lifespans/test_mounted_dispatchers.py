"""Dispatchers below an app's own mounts, which Starlette starts no more than any app there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Host, Route
from starlette.routing import Mount as StarletteMount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    LifespanError,
    LifespanMiddleware,
    Mount,
    Readiness,
    Split,
    TenantApps,
    TenantResolver,
)
from tests.support.actors import Log, actor
from tests.support.clients import ClientFactory
from tests.support.lifespans import Server

pytestmark = pytest.mark.anyio


async def state_of(request: Request) -> JSONResponse:
    return JSONResponse(request.state._state)


def stateful(name: str, log: Log, key: str | None = None) -> Starlette:
    """An app that answers with its state, to which its lifespan has added its name."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        log.append(f"{name} up")
        yield {key or name: name}
        log.append(f"{name} down")

    return Starlette(routes=[Route("/", state_of)], lifespan=lifespan)


def parent_of(child: ASGIApp, log: Log, *middleware: Any) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        log.append("parent up")
        yield {"parent": "parent"}
        log.append("parent down")

    parent = FastAPI(lifespan=lifespan)
    parent.add_api_route("/", state_of)
    parent.mount("/x", child)
    for one in middleware or (LifespanMiddleware,):
        parent.add_middleware(one)
    return parent


def in_middleware(log: Log) -> ASGIApp:
    child = stateful("child", log)
    child.add_middleware(DispatchMiddleware, mounts=[Mount("/a", stateful("a", log))])
    return child


def behind_others(log: Log) -> ASGIApp:
    """Between other middleware, and made by a factory."""
    child = stateful("child", log)
    child.add_middleware(GZipMiddleware)
    child.add_middleware(partial(DispatchMiddleware, mounts=[Mount("/a", stateful("a", log))]))
    child.add_middleware(GZipMiddleware)
    return GZipMiddleware(child)


def dispatcher(log: Log) -> ASGIApp:
    return GZipMiddleware(Dispatcher({"/a": stateful("a", log)}, default=stateful("child", log)))


def two_levels(log: Log) -> ASGIApp:
    """Below an app that has nothing of mountkit's."""
    between = Starlette()
    between.mount("/", in_middleware(log))
    return between


def among_its_routes(log: Log) -> ASGIApp:
    child = stateful("child", log)
    child.router.routes.insert(0, Mount("/a", stateful("a", log)))
    child.add_middleware(LifespanMiddleware)
    return child


SHAPES = [in_middleware, behind_others, dispatcher, two_levels, among_its_routes]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [LifespanMiddleware, DispatchMiddleware])
def test_the_parent_starts_it(
    client: ClientFactory, shape: Callable[[Log], ASGIApp], kind: Any, caplog: Any
) -> None:
    """Its own lifespan, and those of its mounts, once each, after the parent's."""
    log: Log = []
    with client(parent_of(shape(log), log, kind)) as session:
        assert log == ["parent up", "child up", "a up"]
        assert session.get("/x/a/").json() == {"a": "a"}
        assert session.get("/").json()["parent"] == "parent"
        seen = session.get("/x/").json()
        # Its requests come through the parent's router, with the parent's state.
        assert seen["child"] == "child"
    assert log[3:] == ["a down", "child down", "parent down"]
    assert caplog.records == []


def test_a_second_parent_in_between(client: ClientFactory) -> None:
    """Each starts those below it."""
    log: Log = []
    outer = parent_of(parent_of(in_middleware(log), log), log)
    with client(outer) as session:
        assert log == ["parent up", "parent up", "child up", "a up"]
        assert session.get("/x/x/").json() == {"parent": "parent", "child": "child"}
        assert session.get("/x/x/a/").json() == {"a": "a"}
    assert log[4:] == ["a down", "child down", "parent down", "parent down"]


def test_two_places(client: ClientFactory) -> None:
    """An app is started once, however it is mounted."""
    log: Log = []
    child = in_middleware(log)
    routes = [StarletteMount("/x", child), Host("a.com", child)]
    parent = Starlette(routes=routes, middleware=[Middleware(LifespanMiddleware)])
    with client(parent) as session:
        assert session.get("/x/a/").json() == {"a": "a"}
        assert session.get("/a/", headers={"host": "a.com"}).json() == {"a": "a"}
    assert log == ["child up", "a up", "a down", "child down"]


def test_other_apps_of_mountkit(client: ClientFactory) -> None:
    """Each that starts apps, and the probe that has to know of them."""
    log: Log = []

    async def find(host: str) -> str:
        return "acme"

    async def make(tenant: str) -> ASGIApp:
        return stateful("app of a tenant", log)

    parent = Starlette(middleware=[Middleware(LifespanMiddleware)])
    parent.mount("/split", Split({"one": (stateful("one", log), 1)}))
    parent.mount("/tenants", TenantApps(TenantResolver(find), make))
    parent.mount("/ready", Readiness())
    with client(parent) as session:
        assert session.get("/split/").json() == {"one": "one"}
        assert session.get("/tenants/").json()["tenant"] == "acme"
        assert session.get("/ready/").status_code == 200
    assert sorted(log) == ["app of a tenant down", "app of a tenant up", "one down", "one up"]


def test_a_name_that_both_have(client: ClientFactory, caplog: pytest.LogCaptureFixture) -> None:
    """The parent keeps its own, and the log says so."""
    log: Log = []
    child = stateful("child", log, "parent")
    child.add_middleware(DispatchMiddleware)
    with client(parent_of(child, log)) as session:
        assert session.get("/").json()["parent"] == "parent"
    [record] = caplog.records
    assert record.getMessage().startswith("The app mounted at '/x' has 'parent' in its lifespan")


async def test_it_fails_to_start() -> None:
    """The server hears which it was."""
    app = Starlette(routes=[StarletteMount("/x", Dispatcher({"/a": actor("a", [], "fails")}))])
    with pytest.raises(LifespanError, match=r"The app mounted at '/x' failed to start: .*'/a'"):
        await Server([]).run(LifespanMiddleware(app))


@pytest.mark.parametrize("place", ["alone", "below", "middleware"])
async def test_a_dispatcher_that_nobody_starts(
    place: str, caplog: pytest.LogCaptureFixture, anyio_backend_name: str
) -> None:
    """Says so once, whatever is asked for; httpx runs no lifespans."""
    mounts = [Mount("/a", actor("a", [])), Mount("/b", actor("b", []))]
    app: Any = Dispatcher(mounts, default=actor("c", []))
    if place == "middleware":
        app = Starlette()
        app.add_middleware(DispatchMiddleware, mounts=mounts)
    if place != "alone":
        inner, app = app, Starlette()
        app.mount("/x", inner)
    prefix = "" if place == "alone" else "/x"
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://a.com") as session:
        for path in ("/a/", "/b/", "/a/"):
            assert (await session.get(f"{prefix}{path}")).status_code == 200
        if place != "middleware":
            assert (await session.get(f"{prefix}/c")).json() == {"app": "c"}
    [record] = caplog.records
    message = record.getMessage()
    assert message.startswith("The app mounted at '/a' (")
    assert ") is served, but was never started: nothing runs the lifespan of what it is " in message
    assert message.endswith("write there app.add_middleware(mountkit.LifespanMiddleware).")


def test_a_split_that_nobody_starts(
    client: ClientFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """Likewise."""
    session = client(Split({"one": (actor("one", []), 1), "two": (actor("two", []), 1)}, seed=1))
    for _ in range(10):
        assert session.get("/").status_code == 200
    [record] = caplog.records
    assert "of the split" in record.getMessage()
    assert "never started" in record.getMessage()


def included() -> FastAPI:
    app = FastAPI()
    app.include_router(APIRouter())
    return app


def with_a_router_to_start() -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield

    app = FastAPI()
    app.include_router(APIRouter(lifespan=lifespan))
    return app


def around_the_default() -> FastAPI:
    app = FastAPI()
    default = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with default(app):
            yield

    app.router.lifespan_context = lifespan
    return app


def with_a_handler() -> FastAPI:
    app = FastAPI()
    app.router.on_startup.append(lambda: None)
    return app


@pytest.mark.parametrize(
    ("make", "is_told"),
    [
        (Starlette, False),
        (FastAPI, False),
        (included, False),
        (lambda: StaticFiles(directory="."), False),
        (with_a_router_to_start, True),
        (around_the_default, True),
        (with_a_handler, True),
        (lambda: Starlette(middleware=[Middleware(LifespanMiddleware)]), True),
        (lambda: ServerErrorMiddleware(Starlette()), True),
    ],
)
@pytest.mark.parametrize("is_among", [False, True], ids=["dispatcher", "routes"])
def test_apps_that_have_nothing_to_start(
    make: Any,
    is_told: bool,
    is_among: bool,
    client: ClientFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tests without a lifespan are usual, and for these as good; what may have something is told
    of."""
    mounts = [Mount("/a", make())]
    client(Starlette(routes=mounts) if is_among else Dispatcher(mounts)).get("/a/none")
    assert [record.name for record in caplog.records] == ["mountkit.lifespan"] * is_told


def test_apps_without_a_lifespan(client: ClientFactory, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to start."""

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"wsgi"]

    mounts = [Mount("/a", wsgi), Mount("/b", actor("b", []), lifespan="off")]
    session = client(Dispatcher(mounts))
    assert [session.get(path).status_code for path in ("/a/", "/b/")] == [200, 200]
    assert caplog.records == []
