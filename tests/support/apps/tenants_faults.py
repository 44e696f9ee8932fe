"""Tenants whose functions raise what would end a server: `{function}-{fault}.localhost`; every other
tenant is well. `FAULTS` names them. Each lifespan leaves a record."""

from __future__ import annotations

import asyncio

import sniffio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mountkit import Dispatcher, Mount, TenantApps, TenantMiddleware, TenantResolver
from tests.support.apps.records import recorded_lifespan

FAULTS = [
    f"{function}-{fault}"
    for function in ("find", "make", "key")
    for fault in ("exit", "interrupt", "cancelled", "group")
    if (function, fault) != ("key", "cancelled")  # it is not async
]


def fail(tenant: str, function: str) -> None:
    if tenant == f"{function}-exit":
        raise SystemExit(3)
    if tenant == f"{function}-interrupt":
        raise KeyboardInterrupt
    if tenant == f"{function}-group":
        raise BaseExceptionGroup("several", [SystemExit(3), KeyboardInterrupt()])


async def fail_later(tenant: str, function: str) -> None:
    fail(tenant, function)
    if tenant == f"{function}-cancelled":
        if sniffio.current_async_library() != "asyncio":
            raise asyncio.CancelledError
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other


async def find(host: str) -> str:
    tenant = host.partition(".")[0]
    await fail_later(tenant, "find")
    return tenant


def key_of(tenant: str) -> str:
    fail(tenant, "key")
    return tenant


async def index(request: Request) -> Response:
    return PlainTextResponse(request.state.tenant)


async def make(tenant: str) -> Starlette:
    await fail_later(tenant, "make")
    return Starlette(routes=[Route("/", index)], lifespan=recorded_lifespan(tenant))


resolver = TenantResolver(find)
one = TenantMiddleware(
    Starlette(routes=[Route("/", index)], lifespan=recorded_lifespan("one")), resolver
)
app = Dispatcher([Mount("/one", one), Mount("/", TenantApps(resolver, make, key=key_of))])
