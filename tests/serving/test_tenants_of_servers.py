"""Tenants' apps below a dispatcher that several servers run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Mount, TenantApps, TenantResolver
from tests.support.lifespans import Running, running

pytestmark = pytest.mark.anyio


async def find(host: str) -> str:
    return host.partition(".")[0]


class Made:
    """Makes apps that say which one they are; each has a number, and a lifespan of its own."""

    def __init__(self) -> None:
        self.count = 0
        self.up: list[str] = []

    async def make(self, tenant: str) -> Any:
        self.count += 1
        name = f"{tenant} {self.count}"

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                state = scope["state"]
                seen = {"app": name, "state": state["name"], "tenant": state["tenant"]}
                await JSONResponse(seen)(scope, receive, send)
                return
            await receive()
            scope["state"]["name"] = name
            self.up.append(name)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.up.remove(name)
            await send({"type": "lifespan.shutdown.complete"})

        return app


async def app_of(server: Running, tenant: str) -> str:
    """The app that answers a tenant on a server."""
    status, _, body = await server.ask("/shop/x", host=f"{tenant}.example.com")
    assert status == 200
    seen = json.loads(body)
    assert seen == {"app": seen["app"], "state": seen["app"], "tenant": tenant}
    return str(seen["app"])


@pytest.mark.parametrize("depth", [1, 2], ids=["flat", "nested"])
async def test_each_server_has_its_own_tenants(depth: int) -> None:
    """Apps and states of its own, which go with it."""
    made = Made()
    tenants = TenantApps(TenantResolver(find), made.make)
    app = Dispatcher([Mount("/shop", tenants)])
    if depth == 2:
        app = Dispatcher([Mount("/", app)])
    async with running(app) as one:
        assert await app_of(one, "acme") == "acme 1"
        async with running(app) as two:
            assert await app_of(two, "acme") == "acme 2"
            assert await app_of(two, "globex") == "globex 3"
            assert await app_of(one, "acme") == "acme 1"
            assert await app_of(one, "globex") == "globex 4"
            assert made.up == ["acme 1", "acme 2", "globex 3", "globex 4"]
        assert made.up == ["acme 1", "globex 4"]
        assert await app_of(one, "acme") == "acme 1"
        await tenants.evict("acme")
        assert made.up == ["globex 4"]
        assert await app_of(one, "acme") == "acme 5"
    assert made.up == []


async def test_a_tenant_is_evicted_on_every_server() -> None:
    """What its app was made from has changed for all."""
    made = Made()
    tenants = TenantApps(TenantResolver(find), made.make)
    app = Dispatcher([Mount("/shop", tenants)])
    async with running(app) as one, running(app) as two:
        assert [await app_of(server, "acme") for server in (one, two)] == ["acme 1", "acme 2"]
        await tenants.evict("acme")
        assert made.up == []
        assert [await app_of(server, "acme") for server in (two, one)] == ["acme 3", "acme 4"]
