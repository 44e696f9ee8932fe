"""Tenants beside plainly mounted apps: `scripts/bench tenants`.

100,000 known tenants, 1,000 live apps. Every timed call gets a fresh scope; the requests go over
the tenants at random, so that caches are as cold as they are with many tenants.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count, cycle
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.measuring import DOCS, Work, interleaved, quote, table, write
from mountkit import Dispatcher, Mount, TenantApps, TenantMiddleware, TenantResolver

KNOWN = 100_000
LIVE = 1_000
PAGE_OF_DOCS = DOCS / "tenants.md"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def make_app() -> ASGIApp:
    """One of its own for each tenant, with a lifespan."""

    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return own


async def find(host: str) -> str:
    return host.partition(".")[0]


async def factory(tenant: str) -> ASGIApp:
    return make_app()


def host(number: int) -> bytes:
    return b"t%d.example.com" % number


async def receive() -> Message:
    return {"type": "http.request"}


async def send(message: Message) -> None:
    pass


def scope_of(host: bytes) -> Scope:
    """As uvicorn makes it of a browser's request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": "/x",
        "raw_path": b"/x",
        "query_string": b"",
        "headers": [
            (b"host", bytes(bytearray(host))),
            (b"user-agent", b"bench"),
            (b"accept", b"*/*"),
            (b"accept-encoding", b"gzip"),
            (b"connection", b"keep-alive"),
            (b"cookie", b"session=1"),
        ],
        "state": {},
    }


def requests(app: ASGIApp, hosts: list[bytes]) -> Work:
    """One request after the other, each for another host."""
    order = cycle(random.Random(8).sample(hosts, len(hosts)))

    async def work(n: int) -> None:
        for _ in range(n):
            await app(scope_of(next(order)), receive, send)

    return work


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[None]:
    """`app`, as a server runs it."""
    up, stopping, down = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        if not up.is_set():
            return {"type": "lifespan.startup"}
        await stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        (down if up.is_set() else up).set()

    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, receive, send))
    await up.wait()
    yield
    stopping.set()
    await down.wait()
    await task


async def bytes_of(build: Callable[[], Any], number: int) -> float:
    """Memory for each of a number of things, which are kept by what `build` returns."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = await build()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    del kept
    return size / number


async def dispatch(rounds: int) -> dict[str, dict[str, float]]:
    """The cost of a request, over that of a mount at a host in a table of as many."""
    hosts = [host(number) for number in range(KNOWN)]
    live = hosts[:LIVE]
    plain = Dispatcher([Mount("/", app, host=name.decode()) for name in live])
    shared = TenantMiddleware(app, TenantResolver(find, ttl=3600))
    shared_mount = Dispatcher([Mount("/", TenantMiddleware(app, TenantResolver(find, ttl=3600)))])
    apps = TenantApps(TenantResolver(find, ttl=3600), factory, max_apps=LIVE)
    async with running(apps):
        works: dict[str, Work] = {
            "a mount at each of 1,000 hosts": requests(plain, live),
            "the bare app": requests(app, live),
            "TenantMiddleware, 1,000 tenants": requests(shared, live),
            "TenantMiddleware, 100,000 tenants": requests(shared, hosts),
            "the same as a mount": requests(shared_mount, hosts),
            "TenantApps, 1,000 live": requests(apps, live),
        }
        for work in works.values():
            await work(KNOWN)  # all of them are known
        found = await interleaved(works, rounds=rounds, seconds=0.2)
    of = found["a mount at each of 1,000 hosts"]
    return {
        name: {"median": times["median"] / of["median"], "minimum": times["min"] / of["min"]}
        for name, times in found.items()
    }


async def memory() -> dict[str, dict[str, float]]:
    """Bytes for each tenant that is known, and for each app that is up, without its own."""

    async def known() -> Any:
        resolver = TenantResolver(find, ttl=3600)
        for number in range(KNOWN):
            await resolver.resolve(host(number).decode())
        return resolver

    async def mounted() -> Any:
        mounts = [Mount("/", make_app(), host=host(n).decode()) for n in range(LIVE)]
        dispatcher = Dispatcher(mounts)
        server = running(dispatcher)
        await server.__aenter__()
        servers.append(server)
        return dispatcher

    async def live() -> Any:
        apps = TenantApps(TenantResolver(find, ttl=3600), factory, max_apps=LIVE)
        server = running(apps)
        await server.__aenter__()
        servers.append(server)
        for number in range(LIVE):
            await apps(scope_of(host(number)), receive, send)
        return apps

    servers: list[Any] = []
    sizes = {
        "a known tenant": await bytes_of(known, KNOWN),
        "a mounted app, up": await bytes_of(mounted, LIVE),
        "a tenant's app, up": await bytes_of(live, LIVE),
    }
    for server in servers:
        await server.__aexit__(None, None, None)
    of = sizes["a mounted app, up"]
    return {name: {"bytes": size, "ratio": size / of} for name, size in sizes.items()}


async def cold(rounds: int) -> dict[str, dict[str, float]]:
    """The first answer of a tenant whose app has to be made and started, over that of a mount that
    is there, and over adding a mount to a dispatcher that runs."""
    numbers = count()
    apps = TenantApps(TenantResolver(find), factory, max_apps=10**9)
    full = TenantApps(TenantResolver(find), factory, max_apps=LIVE)
    dispatcher = Dispatcher([Mount("/", app, host=host(n).decode()) for n in range(LIVE)])

    async def first(apps: ASGIApp, n: int) -> None:
        for _ in range(n):
            await apps(scope_of(host(next(numbers))), receive, send)

    async def add(n: int) -> None:
        for _ in range(n):
            name = host(next(numbers))
            await dispatcher.add(Mount("/", make_app(), host=name.decode()))
            await dispatcher(scope_of(name), receive, send)

    async with running(apps), running(full), running(dispatcher):
        await first(full, LIVE)
        works: dict[str, Work] = {
            "a mount that is there": requests(dispatcher, [host(n) for n in range(LIVE)]),
            "a mount that is added": add,
            "a cold tenant": partial(first, apps),
            "a cold tenant, and another app leaves": partial(first, full),
        }
        found = await interleaved(works, rounds=rounds, seconds=0.1)
    of = found["a mount that is there"]
    return {
        name: {"median": times["median"] / of["median"], "minimum": times["min"] / of["min"]}
        for name, times in found.items()
    }


def tables(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as the documentation shows them."""
    return "\n\n".join(table(name, rows) for name, rows in figures.items())


async def measure(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    return {
        "a request": await dispatch(rounds),
        "the first answer": await cold(rounds),
        "memory": await memory(),
    }


def main(rounds: int = 11) -> None:
    started = time.monotonic()
    figures = asyncio.run(measure(rounds))
    write("tenants", figures)
    text = tables(figures)
    quote(PAGE_OF_DOCS, "figures", text)
    print(text)
    print(f"Times over those of the first row of each table. {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
