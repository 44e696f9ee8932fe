"""What a dispatch costs, over the number of mounts and hosts, beside peers.

Everything in one process is a ratio to **U**, measured as `benchmarks.driving` says. The works of
one table take turns; so do the apps of one table through servers, which all run at the same time,
on another core than the client. Servers are started anew a few times, as two processes of the same
app differ by some percent.

    scripts/bench dispatch
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import re
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import korvex
import matchit
import pymatchit
from hypercorn.middleware import DispatcherMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.driving import (
    Work,
    Works,
    asking,
    calling,
    child,
    floor,
    over,
    scope_of,
    timed,
)
from benchmarks.measuring import DOCS, interleaved, quote, table, write
from benchmarks.served import HOST, PATHS, TARGETS
from benchmarks.wsgi import served
from mountkit import Dispatcher, DispatchMiddleware, Mount, Table
from mountkit.serving.flights import Flight
from mountkit.serving.scopes import spec_scope

PAGE_OF_DOCS = DOCS / "speed.md"
PLOT = DOCS / "speed.svg"
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
#: Peers that try their routes one by one are not waited for beyond this size.
LINEAR = 1_000
OURS, MIDDLEWARE = "Dispatcher", "DispatchMiddleware"
THEIRS = "a Mount of Starlette"
UVICORN = "uvicorn"

Rows = dict[str, dict[str, float]]


class Sixteen:
    """What people paste: the first prefix that fits."""

    def __init__(self, mounts: Mapping[str, ASGIApp]) -> None:
        self.mounts = mounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        for prefix, app in self.mounts.items():
            if path.startswith(prefix + "/"):
                scope = dict(scope)
                scope["root_path"] += prefix
                return await app(scope, receive, send)
        raise LookupError(path)


class Compiled:
    """A router of another language, in the shortest dispatcher that uses it."""

    def __init__(self, at: Callable[[str], ASGIApp]) -> None:
        self.at = at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.at(scope["path"])
        scope = dict(scope)
        scope["root_path"] += "/m0"
        await app(scope, receive, send)


async def by_number(rounds: int) -> Rows:
    """The last of so many mounts, for us and for peers, in medians."""
    rows = {}
    for size in SIZES:
        found = over(await timed(with_mounts(size), rounds), "U")
        rows[f"{size:,}"] = {name: ratio["median"] for name, ratio in found.items()}
    return rows


def with_mounts(size: int) -> Works:
    """All that can be asked for the last of so many mounts."""
    paths = [f"/m{number:06}" for number in range(size)]  # none begins like another
    mounts = [Mount(path, child) for path in paths]
    ours = Dispatcher(mounts)
    app = Starlette()
    first, second, third = pymatchit.PyRouter(), matchit.Router(), korvex.Router()
    for path in paths:
        third.get(path + "/*rest", path)
        first.insert(path + "/{*rest}", child)
        second.insert(path + "/{*rest}", child)
    apps = dict.fromkeys(paths, child)
    works: dict[str, Work] = {
        "U": calling(floor),
        OURS: calling(ours),
        "the decision alone": asking(ours.table.decide),
        "pymatchit": calling(Compiled(lambda path: first.at(path)[0])),
        "python-matchit": calling(Compiled(lambda path: second.at(path).value)),
        "korvex": calling(Compiled(lambda path: apps[third.match_route(path, "GET")[0]])),
    }
    if size <= LINEAR:
        works["16 lines"] = calling(Sixteen(apps))
        works["hypercorn"] = calling(DispatcherMiddleware(apps))
        works["Starlette"] = calling(Router([StarletteMount(path, child) for path in paths]))

    def make() -> Scope:
        return scope_of(f"{paths[-1]}/x")

    return {
        **{name: (work, make) for name, work in works.items()},
        # Starlette puts itself into the scope, and then calls its middleware.
        MIDDLEWARE: (calling(DispatchMiddleware(app, mounts)), lambda: {**make(), "app": app}),
    }


async def shapes(rounds: int) -> Rows:
    """Other tables and requests than one segment, hit."""
    flat = Dispatcher([Mount(f"/m{n}", child) for n in range(1_000)])
    deep = Dispatcher([Mount(f"/a/m{n}", child) for n in range(1_000)])
    deeper = Dispatcher([Mount(f"/a/b/m{n}", child) for n in range(1_000)])
    placeholder = Dispatcher(
        [Mount("/t/{tenant}", child), *(Mount(f"/m{n}", child) for n in range(999))]
    )
    routes = Router([StarletteMount(f"/m{n}", child) for n in range(1_000)])

    def missed() -> Scope:
        return scope_of("/none/x")

    works: Works = {
        "U": (calling(floor), lambda: scope_of("/m0/x")),
        "two segments": (calling(deep), lambda: scope_of("/a/m999/x")),
        "three segments": (calling(deeper), lambda: scope_of("/a/b/m999/x")),
        "a placeholder": (calling(placeholder), lambda: scope_of("/t/acme/x")),
        "below a root_path": (
            calling(flat),
            lambda: {**scope_of("/outer/m999/x"), "root_path": "/outer"},
        ),
        "a miss, to the app behind DispatchMiddleware": (
            calling(DispatchMiddleware(child, flat.table.mounts)),
            missed,
        ),
        "a miss, to the default app": (
            calling(Dispatcher(flat.table.mounts, default=child)),
            missed,
        ),
        "the decision alone: a miss": (asking(flat.table.decide), missed),
        "the decision alone: 2,000 segments": (
            asking(flat.table.decide),
            lambda: scope_of("/x" * 2_000),
        ),
        "the decision alone: 2,000 slashes": (
            asking(flat.table.decide),
            lambda: scope_of("/" * 2_000),
        ),
        "Starlette: a miss": (
            asking(lambda scope: [route.matches(scope) for route in routes.routes]),
            missed,
        ),
    }
    return over(await timed(works, rounds), "U")


async def apps_with_one(rounds: int) -> Rows:
    """One mount in an application, in the ways there are; whole apps, called from outside."""
    ways = {
        "Starlette, with one Mount of Starlette": Starlette(routes=[StarletteMount("/m0", child)]),
        "Starlette, with DispatchMiddleware": Starlette(),
        "Starlette, with one Mount of mountkit": Starlette(
            routes=[Mount("/m0", child, lifespan="off")]
        ),
    }
    app = ways["Starlette, with DispatchMiddleware"]
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/m0", child)])
    works: Works = {
        "U": (calling(floor), lambda: scope_of("/m0/x")),
        **{name: (calling(way), lambda: scope_of("/m0/x")) for name, way in ways.items()},
    }
    return over(await timed(works, rounds), "U")


async def framework(request: Request) -> Response:
    return PlainTextResponse("hello")


async def parts(rounds: int) -> Rows:
    """What a dispatch is made of, each part measured alone."""
    flat = Dispatcher([Mount(f"/m{n}", child) for n in range(1_000)])
    alone = Starlette(routes=[Route("/m0/x", framework)])
    mounted = Starlette(routes=[Route("/x", framework)])
    mounts = Dispatcher([Mount(f"/m{n}", mounted) for n in range(1_000)])
    found: Any = flat.table.decide(scope_of("/m0/x"))

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        await child(scope, receive, Flight(send).send)

    def make() -> Scope:
        return scope_of("/m0/x")

    works: Works = {
        "U": (calling(floor), make),
        "all of a dispatch": (calling(flat), make),
        "the app alone": (calling(child), make),
        "the app, and a look at what it sends": (calling(watched), make),
        "the decision": (asking(flat.table.decide), make),
        "the scope of the app": (
            asking(lambda scope: spec_scope(found.mount, found, scope, {}, flat)),
            make,
        ),
        "a Starlette app alone": (calling(alone), make),
        "the same mounted": (calling(mounts), make),
    }
    return over(await timed(works, rounds), "U")


def scan(scope: Scope) -> bytes | None:
    """The floor of every decision by host: read the header, and see that there is one only."""
    found = None
    for name, value in scope["headers"]:
        if name == b"host":
            if found is not None:
                return None
            found = value
    return found


async def beside_scan(works: Works, rounds: int) -> Rows:
    """What a condition adds to a decision, over a scan of the headers; and the whole decision."""
    times = await timed(works, rounds)
    rows = over(times, "scan")
    plain, unit = times["no condition"]["median"], times["scan"]["median"]
    for name, row in rows.items():
        row["added"] = (times[name]["median"] - plain) / unit
    return rows


async def by_host(rounds: int) -> Rows:
    """What hosts add to a decision."""
    rows = {}
    for size in (1, 1_000, 100_000):
        for name, row in (await beside_scan(with_hosts(size), rounds)).items():
            if name != "no condition":
                rows[f"{size:,} hosts, {name}"] = row
    return rows


def with_hosts(size: int) -> Works:
    """All that can be asked for the last of so many hosts."""
    hosts = Table([Mount("", child, host=f"t{n}.example.com") for n in range(size)])
    name = f"t{size - 1}.example.com"
    unknown = itertools.count()
    decision = asking(hosts.decide)
    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "scan": (asking(scan), lambda: scope_of("/x", name)),
        "no condition": (asking(Table([Mount("", child)]).decide), lambda: scope_of("/x", name)),
        "exact": (decision, lambda: scope_of("/x", name)),
        "other case and a port": (decision, lambda: scope_of("/x", name.upper() + ":8000")),
        "always unknown": (decision, lambda: scope_of("/x", f"u{next(unknown)}.example.org")),
    }
    if size <= LINEAR:
        routes = [StarletteHost(f"t{n}.example.com", child) for n in range(size)]
        works["the last in Starlette"] = (
            asking(lambda scope: [route.matches(scope) for route in routes]),
            lambda: scope_of("/x", name),
        )
    return works


async def by_header(rounds: int) -> Rows:
    """What a condition on a header adds to a decision."""

    def make() -> Scope:
        return scope_of("/api/x", more=(b"x-version", b"7"))

    def decision(*wanted: Any) -> tuple[Work, Callable[[], Scope]]:
        mounts = [Mount("/api", child, headers={"x-version": one}) for one in wanted]
        return asking(Table(mounts).decide), make

    found = await beside_scan(
        {
            "scan": (asking(scan), make),
            "no condition": (asking(Table([Mount("/api", child)]).decide), make),
            "present": decision(True),
            "one value": decision("7"),
            "one of 1,000 values": decision(*map(str, range(1_000))),
            "a regular expression": decision(re.compile("[0-9]+")),
        },
        rounds,
    )
    return {name: row for name, row in found.items() if name != "no condition"}


def best_of(makes: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds for each, of the best of five; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in makes}
    for _ in range(5):
        for name, make in makes.items():
            gc.collect()
            gc.disable()
            start = time.perf_counter()
            made = make()
            taken[name].append(time.perf_counter() - start)
            gc.enable()
            del made
    return {name: min(seconds) for name, seconds in taken.items()}


def bytes_of(make: Callable[[], Any]) -> int:
    """What it takes that is made."""
    gc.collect()
    tracemalloc.start()
    made = make()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del made
    return used


def building() -> Rows:
    """Time and memory of mounts and of a table, for each mount, over Starlette's `Mount`."""
    few, size = 10_000, 100_000
    paths = [Mount(f"/m{n}", child) for n in range(size)]
    hosts = [Mount("", child, host=f"t{n}.example.com") for n in range(size)]
    makes: dict[str, tuple[Callable[[], Any], int]] = {
        THEIRS: (lambda: [StarletteMount(f"/m{n}", child) for n in range(few)], few),
        "a Mount of mountkit": (lambda: [Mount(f"/m{n}", child) for n in range(few)], few),
        "its place in a table of 100,000, a mount": (partial(Table, paths), size),
        "its place in a table of 100,000, a host": (partial(Table, hosts), size),
    }
    times = best_of({name: make for name, (make, _) in makes.items()})
    used = {name: bytes_of(make) for name, (make, _) in makes.items()}
    rows = {
        name: {"time": times[name] / number, "bytes": used[name] / number}
        for name, (_, number) in makes.items()
    }
    unit = rows[THEIRS]
    return {
        name: {"time": row["time"] / unit["time"], "memory": row["bytes"] / unit["bytes"]}
        | {"bytes": row["bytes"]}
        for name, row in rows.items()
    }


def changing(rounds: int) -> Rows:
    """One mount more and one less, in tables of all sizes, over the smallest."""
    tables = {
        f"{size:,} mounts": Table([Mount(f"/m{n}", child) for n in range(size)])
        for size in (10, 1_000, 100_000)
    }
    new = [Mount(f"/new{n}", child) for n in range(100)]
    taken: dict[str, list[float]] = {name: [] for name in tables}
    for _ in range(rounds):
        for name, changed in tables.items():
            start = time.perf_counter()
            for mount in new:
                changed.apply(add=[mount])
                changed.apply(remove=[mount])
            taken[name].append(time.perf_counter() - start)
    found = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return {name: {"over that of 10": t / found["10 mounts"]} for name, t in found.items()}


def importing() -> Rows:
    """What `import mountkit` costs over `import starlette.routing`; both compiled, as pip leaves
    them."""
    modules = ("mountkit", "starlette.routing")
    taken: dict[str, list[float]] = {module: [] for module in modules}
    with TemporaryDirectory() as cache:
        compiled = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(15):
            for module in modules:
                code = f"import time; t = time.perf_counter(); import {module}; "
                run = [sys.executable, "-c", code + "print(time.perf_counter() - t)"]
                taken[module].append(float(subprocess.check_output(run, env=compiled)))
    ours, theirs = (min(taken[module]) for module in modules)
    return {"import mountkit": {"over import starlette.routing": ours / theirs}}


# Through servers.

SERVERS = {
    UVICORN: [
        *("uvicorn", "--no-access-log", "--lifespan", "off"),
        *("--http", "httptools", "--loop", "uvloop"),
    ],
    "granian": ["granian", "--interface", "asgi"],
}
#: Requests that are sent at once, so that the client has less to do than the server.
PIPELINED = 20
CONNECTIONS = 4
#: How often the servers are started anew.
STARTS = 3


async def load(port: int, path: str, n: int) -> None:
    """So many times some requests, over some connections."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n".encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head)
        await reader.readexactly(5)
        for _ in range(n):
            writer.write(request * PIPELINED)
            await reader.readexactly((len(head) + 5) * PIPELINED)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


async def through_servers(rounds: int) -> Rows:
    """Requests per second, over those of the bare app."""
    rows: Rows = {app: {} for app in TARGETS[1:]}
    with Cores() as cores:
        for server, (module, *options) in SERVERS.items():
            taken: dict[str, list[float]] = {app: [] for app in TARGETS}
            for _ in range(STARTS):
                async with AsyncExitStack() as stack:
                    works = {}
                    for app in TARGETS:
                        command = [module, f"benchmarks.served:{app}", *options]
                        port = await stack.enter_async_context(served(command, cores.servers))
                        works[app] = partial(load, port, PATHS.get(app, PATHS["mounts"]))
                    for app, times in (
                        await interleaved(works, rounds=rounds, seconds=0.2)
                    ).items():
                        taken[app].append(times["median"])
            unit = statistics.median(taken[TARGETS[0]])
            for app, row in rows.items():
                row[server] = unit / statistics.median(taken[app])
    return rows


class Cores:
    """One core for this process and another for the servers, where there are two or more."""

    def __init__(self) -> None:
        affinity = getattr(os, "sched_getaffinity", None)  # Linux
        self._all: set[int] = set() if affinity is None else affinity(0)
        self.servers: set[int] = {max(self._all)} if len(self._all) > 1 else set()

    def __enter__(self) -> Cores:
        if self.servers:
            os.sched_setaffinity(0, self._all - self.servers)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.servers:
            os.sched_setaffinity(0, self._all)


# What comes of it.


def goals(figures: Mapping[str, Any]) -> Rows:
    """The worst of what was reached, beside what was aimed at; "÷" at least, others at most."""
    rows: dict[str, tuple[float, float | None]] = {
        **_goals_of_dispatch(figures),
        **_goals_of_conditions(figures["hosts"], figures["headers"]),
        **_goals_of_building(figures),
        **_goals_of_servers(figures["servers"]),
    }
    return {
        name: {"reached": reached} | ({} if goal is None else {"goal": goal})
        for name, (reached, goal) in rows.items()
    }


def _goals_of_dispatch(figures: Mapping[str, Any]) -> dict[str, tuple[float, float | None]]:
    number, shape, apps = figures["number"], figures["shapes"], figures["apps"]
    ours = {size: row[OURS] for size, row in number.items()}
    compiled = [
        (row[peer] / row[OURS], row[peer] / row["the decision alone"])
        for row in number.values()
        for peer in ("pymatchit", "python-matchit", "korvex")
    ]

    def times_ours(size: str) -> float:
        return number[size]["Starlette"] / ours[size]

    starlette, middleware, _ = (row["median"] for row in apps.values())
    kinds = ("two segments", "three segments", "a placeholder", "below a root_path")
    misses = [name for name in shape if name.startswith("a miss")]
    return {
        "U: Dispatcher, 1 to 100,000 mounts": (max(ours.values()), 4.0),
        "U: DispatchMiddleware, 1 to 100,000 mounts": (
            max(row[MIDDLEWARE] for row in number.values()),
            4.4,
        ),
        "100,000 mounts over 10": (ours["100,000"] / ours["10"], 1.1),
        "Starlette's Router ÷ Dispatcher, 1 mount": (times_ours("1"), 1.05),
        "the same, 10 mounts": (times_ours("10"), 3.0),
        "the same, 1,000 mounts": (times_ours("1,000"), 200.0),
        "a Starlette app with one Mount ÷ with DispatchMiddleware": (starlette / middleware, 1.1),
        **{f"U: {kind}": (shape[kind]["median"], 5.0) for kind in kinds},
        **{f"U: {miss}": (shape[miss]["median"], 2.7) for miss in misses},
        "U: the decision on 2,000 slashes": (
            shape["the decision alone: 2,000 slashes"]["median"],
            3.2,
        ),
        "U: the decision alone": (max(row["the decision alone"] for row in number.values()), None),
        "compiled routers ÷ the decision alone": (min(alone for _, alone in compiled), None),
        "compiled routers ÷ Dispatcher": (min(whole for whole, _ in compiled), None),
    }


def _goals_of_conditions(hosts: Rows, headers: Rows) -> dict[str, tuple[float, float | None]]:
    def added(kind: str) -> float:
        return max(row["added"] for name, row in hosts.items() if name.endswith(kind))

    return {
        "scans: an exact host": (added("exact"), 1.2),
        "scans: a host in another case and with a port": (added("port"), 1.45),
        "scans: always an unknown host": (added("unknown"), 6.0),
        "scans: a header of one value": (headers["one of 1,000 values"]["added"], 1.2),
        "scans: a header by a regular expression": (
            headers["a regular expression"]["added"],
            1.8,
        ),
    }


def _goals_of_building(figures: Mapping[str, Any]) -> dict[str, tuple[float, float | None]]:
    built, changed = figures["building"], figures["changing"]
    mount = built["a Mount of mountkit"]
    imported = figures["importing"]["import mountkit"]["over import starlette.routing"]
    return {
        "building a Mount, over Starlette's: time": (mount["time"], 2.0),
        "building a Mount, over Starlette's: memory": (mount["memory"], 1.8),
        "its place in a table, over Starlette's Mount: time": (
            built["its place in a table of 100,000, a mount"]["time"],
            0.05,
        ),
        "its place in a table: bytes for a mount": (
            built["its place in a table of 100,000, a mount"]["bytes"],
            300.0,
        ),
        "its place in a table: bytes for a host": (
            built["its place in a table of 100,000, a host"]["bytes"],
            110.0,
        ),
        "one change among 100,000 over one among 10": (
            changed["100,000 mounts"]["over that of 10"],
            10.0,
        ),
        "import mountkit over import starlette.routing": (imported, 1.5),
    }


def _goals_of_servers(servers: Rows) -> dict[str, tuple[float, float | None]]:
    rows: dict[str, tuple[float, float | None]] = {}
    for server in SERVERS:
        is_goal = server == UVICORN
        rates = {app: row[server] for app, row in servers.items()}
        rows |= {
            f"{server}: Dispatcher ÷ the bare app": (rates["one"], 0.92 if is_goal else None),
            f"{server}: Dispatcher ÷ Starlette's Router": (
                rates["one"] / rates["starlette_one"],
                1.0 if is_goal else None,
            ),
            f"{server}: a second bare app ÷ the bare app": (rates["bare_again"], None),
            f"{server}: 1,000 mounts ÷ Starlette's": (
                rates["mounts"] / rates["starlette_mounts"],
                8.0,
            ),
            f"{server}: 1,000 hosts ÷ Starlette's": (
                rates["hosts"] / rates["starlette_hosts"],
                30.0,
            ),
        }
    return rows


TITLES = {
    "goals": "in this run",
    "number": "mounts",
    "shapes": "1,000 mounts, in U",
    "apps": "whole apps, in U",
    "parts": "of a dispatch, in U",
    "hosts": "over a scan of the headers",
    "headers": "over a scan of the headers",
    "building": "over Starlette's Mount",
    "changing": "one change",
    "servers": "requests per second over those of the bare app",
    "importing": "importing",
}


def tables(figures: Mapping[str, Any]) -> str:
    """The figures as the documentation shows them."""
    return "\n\n".join(table(TITLES[name], rows) for name, rows in figures.items())


def draw(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Time over the number of mounts, log-log."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mountkit"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        sizes = [int(size.replace(",", "")) for size, row in rows.items() if name in row]
        ratios = [row[name] for row in rows.values() if name in row]
        axes.loglog(sizes, ratios, marker="o", label=name, linewidth=3 if name == OURS else 1)
    axes.set_xlabel("mounts; the last one is asked for")
    axes.set_ylabel("time of a dispatch, in U")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


async def measured(rounds: int) -> dict[str, Any]:
    figures = {
        "number": await by_number(rounds),
        "shapes": await shapes(rounds),
        "apps": await apps_with_one(rounds),
        "parts": await parts(rounds),
        "hosts": await by_host(rounds),
        "headers": await by_header(rounds),
        "building": building(),
        "changing": changing(25),
        "servers": await through_servers(7),
        "importing": importing(),
    }
    return {"goals": goals(figures), **figures}


def main(rounds: int = 200) -> None:
    started = time.monotonic()
    figures = asyncio.run(measured(rounds))
    write("dispatch", figures)
    draw(figures["number"])
    text = tables(figures)
    quote(PAGE_OF_DOCS, "figures", text)
    print(text)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
