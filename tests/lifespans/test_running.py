"""`running`: an app's lifespan without a server."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    LifespanError,
    LifespanMiddleware,
    Mount,
    running,
)
from tests.support.actors import Log

pytestmark = pytest.mark.anyio


def make(name: str, log: Log, *, fails_in: str = "") -> Starlette:
    """An app that answers with its state."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        if fails_in == "startup":
            raise RuntimeError("no database")
        log.append(f"{name} starts")
        yield {"name": name}
        if fails_in == "shutdown":
            raise RuntimeError("no disk")
        log.append(f"{name} stops")

    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.name)

    return Starlette(routes=[Route("/", index)], lifespan=lifespan)


async def get(site: ASGIApp, path: str) -> str:
    transport = httpx.ASGITransport(site)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get(path)).text


def plain(log: Log) -> Any:
    return make("site", log)


def dispatcher(log: Log) -> Any:
    return Dispatcher({"/shop": make("shop", log)}, default=make("site", log))


def in_front(log: Log) -> Any:
    app = make("site", log)
    app.add_middleware(DispatchMiddleware, mounts={"/shop": make("shop", log)})
    return app


def among_routes(log: Log) -> Any:
    app = make("site", log)
    app.router.routes.append(Mount("/shop", make("shop", log)))
    app.add_middleware(LifespanMiddleware)
    return app


@pytest.mark.parametrize("kind", [plain, dispatcher, in_front, among_routes])
async def test_every_app_is_up_and_has_its_state(kind: Any) -> None:
    """The outermost too, whose state a server would give to each request."""
    log = Log()
    names = ["site"] if kind is plain else ["site", "shop"]
    async with running(kind(log)) as site:
        assert log == [f"{name} starts" for name in names]
        for name in names:
            assert await get(site, "/" if name == "site" else "/shop/") == name
    assert log[len(names) :] == [f"{name} stops" for name in names[::-1]]


async def test_requests_do_not_share_a_state() -> None:
    """Each has a copy, as from a server."""

    async def index(request: Request) -> str:
        request.state.count = getattr(request.state, "count", 0) + 1
        return str(request.state.count)

    app = FastAPI()
    app.get("/")(index)
    async with running(app) as site:
        assert [await get(site, "/") for _ in range(2)] == ['"1"', '"1"']


@pytest.mark.parametrize(
    ("fails_in", "reason"),
    [
        pytest.param("startup", "The Starlette app failed to start", id="startup"),
        pytest.param("shutdown", "The Starlette app failed to stop", id="shutdown"),
    ],
)
async def test_an_app_that_fails(fails_in: str, reason: str) -> None:
    """Its own exception is the cause."""
    with pytest.raises(LifespanError, match=reason) as caught:
        async with running(make("site", Log(), fails_in=fails_in)):
            pass
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_mount_that_fails() -> None:
    """Is named; its exception can be seen."""
    with pytest.raises(LifespanError, match="The app mounted at '/shop'") as caught:
        async with running(Dispatcher({"/shop": make("shop", Log(), fails_in="startup")})):
            pass
    assert "RuntimeError: no database" in "".join(traceback.format_exception(caught.value))


async def test_an_exception_in_the_block() -> None:
    """Comes out as it is, and the app is stopped."""
    log = Log()
    with pytest.raises(KeyError, match="mine"):
        async with running(make("site", log)):
            raise KeyError("mine")
    assert log == ["site starts", "site stops"]


async def test_a_block_that_is_cancelled() -> None:
    """The app is stopped all the same."""
    log = Log()
    with anyio.CancelScope() as cancel_scope:
        async with running(make("site", log)):
            cancel_scope.cancel()
            await anyio.sleep_forever()
    assert log == ["site starts", "site stops"]


async def test_an_app_without_lifespans() -> None:
    """Is just served."""
    async with running(PlainTextResponse("x")) as site:
        assert await get(site, "/") == "x"


async def test_context_variables_of_the_block_are_seen() -> None:
    """As an app sees those that are set before its server starts."""
    variable: ContextVar[str] = ContextVar("variable")
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(variable.get())

    variable.set("set")
    async with running(app):
        pass
    assert found == ["set"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_it_may_end_in_another_task() -> None:
    """As the two halves of pytest-asyncio's fixtures do."""
    log = Log()
    block = running(dispatcher(log))
    site = await asyncio.create_task(block.__aenter__())  # type: ignore[arg-type]
    assert await get(site, "/shop/") == "shop"
    await asyncio.create_task(block.__aexit__(None, None, None))  # type: ignore[arg-type]
    assert log == ["site starts", "shop starts", "shop stops", "site stops"]
