"""What a decision costs, over the number of mounts and hosts, beside peers.

Everything is a ratio to **U**: an `async def` that copies the scope, sets `root_path` and awaits a
child that answers and does nothing else. Every timed call gets a scope, path and header values of
its own, so that nothing is hashed before; the garbage collector is off; coroutines are driven by
hand, inside a running loop; the works of a table take turns. What runs through servers is compared
in the same way.

    scripts/bench dispatch
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import copy_context
from functools import partial
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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.measuring import DOCS, interleaved, quote, ratios, table, write
from benchmarks.served import HOST, PATH, TARGETS
from benchmarks.wsgi import served
from mountkit import Dispatcher, Mount, Table
from mountkit.serving.flights import Flight
from mountkit.serving.scopes import copied_scope

PAGE_OF_DOCS = DOCS / "speed.md"
PLOT = DOCS / "speed.svg"
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
#: Peers that try their routes one by one are not waited for beyond this size.
LINEAR = 1_000
CALLS = 50

#: One piece of work for each of some scopes.
Work = Callable[[list[Scope]], None]
Times = dict[str, dict[str, float]]


async def child(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind every mount: it answers, and does nothing else."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def receive() -> Message:
    return {"type": "http.request"}


async def send(message: Message) -> None:
    return None


def scope_of(
    path: str, host: str = "example.com", more: tuple[bytes, bytes] = (b"x", b"y")
) -> Scope:
    """As uvicorn makes it for a browser; of new objects all through."""
    path = "".join(list(path))
    headers = [
        (b"host", bytes(bytearray(host, "latin-1"))),
        (b"user-agent", b"Mozilla/5.0"),
        (b"accept", b"text/html"),
        (b"accept-language", b"en"),
        (b"accept-encoding", b"gzip"),
        (b"connection", b"keep-alive"),
        (b"cookie", b"a=b"),
        (more[0], bytes(bytearray(more[1]))),
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {},
    }


def calling(app: ASGIApp) -> Work:
    """Call an app to its end, which comes at once."""

    def work(scopes: list[Scope]) -> None:
        for scope in scopes:
            try:
                app(scope, receive, send).send(None)  # type: ignore[attr-defined]
            except StopIteration:
                continue

    return work


def asking(function: Callable[[Scope], Any]) -> Work:
    """Call a function."""

    def work(scopes: list[Scope]) -> None:
        for scope in scopes:
            function(scope)

    return work


async def floor(scope: Scope, receive: Receive, send: Send) -> None:
    scope = scope.copy()
    scope["root_path"] = "/m0"
    await child(scope, receive, send)


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


def measure(works: Mapping[str, tuple[Work, Callable[[], Scope]]], rounds: int) -> Times:
    """Seconds for a call, by name: minimum and median over the rounds."""
    found: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, (work, make) in works.items():
                calls = CALLS if statistics.median(found[name] or [0]) < 1e-4 else 5
                scopes = [make() for _ in range(calls)]
                start = time.perf_counter()
                work(scopes)
                found[name].append((time.perf_counter() - start) / calls)
            gc.collect()
    finally:
        gc.enable()
    return {n: {"min": min(t), "median": statistics.median(t)} for n, t in found.items()}


def over(times: Times, unit: str) -> dict[str, dict[str, float]]:
    """Ratios to one of the works."""
    return {
        name: {
            "median": taken["median"] / times[unit]["median"],
            "minimum": taken["min"] / times[unit]["min"],
        }
        for name, taken in times.items()
        if name != unit
    }


def by_number(rounds: int) -> dict[str, dict[str, float]]:
    """The last of so many mounts, for us and for peers, in medians."""
    rows = {}
    for size in SIZES:
        found = over(measure(with_mounts(size), rounds), "U")
        rows[f"{size:,}"] = {name: ratio["median"] for name, ratio in found.items()}
    return rows


def with_mounts(size: int) -> dict[str, tuple[Work, Callable[[], Scope]]]:
    """All who can be asked for the last of so many mounts."""
    paths = [f"/m{number:06}" for number in range(size)]  # none begins like another
    ours = Dispatcher([Mount(path, child) for path in paths])
    first, second, third = pymatchit.PyRouter(), matchit.Router(), korvex.Router()
    for path in paths:
        third.get(path + "/*rest", path)
        first.insert(path + "/{*rest}", child)
        second.insert(path + "/{*rest}", child)
    apps = dict.fromkeys(paths, child)
    works: dict[str, Work] = {
        "U": calling(floor),
        "mountkit": calling(ours),
        "mountkit, the decision alone": asking(ours.table.decide),
        "pymatchit": calling(Compiled(lambda path: first.at(path)[0])),
        "python-matchit": calling(Compiled(lambda path: second.at(path).value)),
        "korvex": calling(Compiled(lambda path: apps[third.match_route(path, "GET")[0]])),
    }
    if size <= LINEAR:
        works["16 lines"] = calling(Sixteen(apps))
        works["hypercorn"] = calling(DispatcherMiddleware(apps))
        works["Starlette"] = calling(Router([StarletteMount(path, child) for path in paths]))
    return {name: (work, lambda: scope_of(f"{paths[-1]}/x")) for name, work in works.items()}


def shapes(rounds: int) -> dict[str, dict[str, float]]:
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

    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "U": (calling(floor), lambda: scope_of("/m0/x")),
        "two segments": (calling(deep), lambda: scope_of("/a/m999/x")),
        "three segments": (calling(deeper), lambda: scope_of("/a/b/m999/x")),
        "a placeholder": (calling(placeholder), lambda: scope_of("/t/acme/x")),
        "below a root_path": (
            calling(flat),
            lambda: {**scope_of("/outer/m999/x"), "root_path": "/outer"},
        ),
        "a miss": (calling(Dispatcher(flat.table.mounts, default=child)), missed),
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
    return over(measure(works, rounds), "U")


async def framework(request: Request) -> Response:
    return PlainTextResponse("hello")


def parts(rounds: int) -> dict[str, dict[str, float]]:
    """What a dispatch is made of, each part measured alone."""
    flat = Dispatcher([Mount(f"/m{n}", child) for n in range(1_000)])
    alone = Starlette(routes=[Route("/m0/x", framework)])
    mounted = Starlette(routes=[Route("/x", framework)])
    mounts = Dispatcher([Mount(f"/m{n}", mounted) for n in range(1_000)])

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        flight = Flight()
        flight.scope, flight.server_send, flight.context = scope, send, copy_context()
        flight.status, flight.is_complete, flight.on_start = 0, False, None
        await child(scope, receive, flight.send)

    def make() -> Scope:
        return scope_of("/m0/x")

    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "U": (calling(floor), make),
        "all of a dispatch": (calling(flat), make),
        "the app alone": (calling(child), make),
        "the app, and a look at what it sends": (calling(watched), make),
        "the decision": (asking(flat.table.decide), make),
        "the scope of the app": (
            asking(lambda scope: copied_scope(scope, "", "/m0", "/x", {})),
            make,
        ),
        "a Starlette app alone": (calling(alone), make),
        "the same mounted": (calling(mounts), make),
    }
    return over(measure(works, rounds), "U")


def scan(scope: Scope) -> bytes | None:
    """The floor of every decision by host: read the header, and see that there is one only."""
    found = None
    for name, value in scope["headers"]:
        if name == b"host":
            if found is not None:
                return None
            found = value
    return found


def beside_scan(works: Mapping[str, tuple[Work, Callable[[], Scope]]], rounds: int) -> Times:
    """What a condition adds to a decision, over a scan of the headers; and the whole decision."""
    times = measure(works, rounds)
    rows = over(times, "scan")
    plain, unit = times["no condition"]["median"], times["scan"]["median"]
    for name, row in rows.items():
        row["added"] = (times[name]["median"] - plain) / unit
    return rows


def by_host(rounds: int) -> dict[str, dict[str, float]]:
    """What hosts add to a decision."""
    rows = {}
    for size in (1, 1_000, 100_000):
        for name, row in beside_scan(with_hosts(size), rounds).items():
            if name != "no condition":
                rows[f"{size:,} hosts, {name}"] = row
    return rows


def with_hosts(size: int) -> dict[str, tuple[Work, Callable[[], Scope]]]:
    """All who can be asked for the last of so many hosts."""
    hosts = Table([Mount("", child, host=f"t{n}.example.com") for n in range(size)])
    name = f"t{size - 1}.example.com"
    unknown = itertools.count()
    decision = asking(hosts.choose)
    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "scan": (asking(scan), lambda: scope_of("/x", name)),
        "no condition": (asking(Table([Mount("", child)]).choose), lambda: scope_of("/x", name)),
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


def by_header(rounds: int) -> dict[str, dict[str, float]]:
    """What a condition on a header adds to a decision."""

    def make() -> Scope:
        return scope_of("/api/x", more=(b"x-version", b"7"))

    def decision(*wanted: Any) -> tuple[Work, Callable[[], Scope]]:
        mounts = [Mount("/api", child, headers={"x-version": one}) for one in wanted]
        return asking(Table(mounts).choose), make

    found = beside_scan(
        {
            "scan": (asking(scan), make),
            "no condition": (asking(Table([Mount("/api", child)]).choose), make),
            "present": decision(True),
            "one value": decision("7"),
            "one of 1,000 values": decision(*map(str, range(1_000))),
            "a regular expression": decision(re.compile("[0-9]+")),
        },
        rounds,
    )
    return {name: row for name, row in found.items() if name != "no condition"}


def seconds_of(make: Callable[[], Any]) -> float:
    """Of the best of three, with the garbage collector off."""
    taken = []
    for _ in range(3):
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        made = make()
        taken.append(time.perf_counter() - start)
        gc.enable()
        del made
    return min(taken)


def bytes_of(make: Callable[[], Any]) -> int:
    """What it takes that is made."""
    gc.collect()
    tracemalloc.start()
    made = make()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del made
    return used


def building() -> dict[str, dict[str, float]]:
    """Time and memory of a table, beside the mounts that it is made of."""
    few, size = 10_000, 100_000

    def theirs() -> Any:
        return [StarletteMount(f"/m{n}", child) for n in range(few)]

    def ours() -> Any:
        return [Mount(f"/m{n}", child) for n in range(few)]

    starlette = seconds_of(theirs) / few
    rows = {
        "a Mount of Starlette": {"time": 1.0, "bytes": bytes_of(theirs) / few},
        "a Mount of mountkit": {
            "time": seconds_of(ours) / few / starlette,
            "bytes": bytes_of(ours) / few,
        },
    }
    for name, given in (
        ("mount", [Mount(f"/m{n}", child) for n in range(size)]),
        ("host", [Mount("", child, host=f"t{n}.example.com") for n in range(size)]),
    ):
        rows[f"its place in a table of 100,000, a {name}"] = {
            "time": seconds_of(partial(Table, given)) / size / starlette,
            "bytes": bytes_of(partial(Table, given)) / size,
        }
    return rows


def changing(rounds: int) -> dict[str, dict[str, float]]:
    """One mount more and one less, in tables of all sizes, over the smallest."""
    taken: dict[str, float] = {}
    for size in (10, 1_000, 100_000):
        changed = Table([Mount(f"/m{n}", child) for n in range(size)])
        new = [Mount(f"/new{n}", child) for n in range(100)]
        found = []
        for _ in range(rounds):
            start = time.perf_counter()
            for mount in new:
                changed.apply(add=[mount])
                changed.apply(remove=[mount])
            found.append(time.perf_counter() - start)
        taken[f"{size:,} mounts"] = statistics.median(found)
    first = taken["10 mounts"]
    return {name: {"over that of 10": seconds / first} for name, seconds in taken.items()}


def importing() -> dict[str, dict[str, float]]:
    """What `import mountkit` costs over `import starlette.routing`."""

    def seconds(module: str) -> float:
        code = (
            f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
        )
        run = [sys.executable, "-c", code]
        return min(float(subprocess.check_output(run)) for _ in range(10))

    return {
        "import mountkit": {
            "over import starlette.routing": seconds("mountkit") / seconds("starlette.routing")
        }
    }


# Through servers.

SERVERS = {
    "uvicorn": ["uvicorn", "--no-access-log", "--lifespan", "off"],
    "granian": ["granian", "--interface", "asgi"],
}
#: Requests that are sent at once, so that the client has less to do than the server.
PIPELINED = 20


async def load(port: int, n: int) -> None:
    """So many times some requests, over some connections."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n".encode()

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

    await asyncio.gather(*(client() for _ in range(4)))


async def through_servers(rounds: int) -> dict[str, dict[str, float]]:
    """Requests per second, over those of the bare app."""
    rows: dict[str, dict[str, float]] = {app: {} for app in TARGETS[1:]}
    for server, (module, *options) in SERVERS.items():
        async with AsyncExitStack() as stack:
            works = {}
            for app in TARGETS:
                command = [module, f"benchmarks.served:{app}", *options]
                works[app] = partial(load, await stack.enter_async_context(served(command)))
            found = ratios(await interleaved(works, rounds=rounds, seconds=0.4), TARGETS[0])
        for app, row in rows.items():
            row[server] = 1 / found[app]
    return rows


# What comes of it.


def goals(figures: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The worst of what was reached, beside what was aimed at."""
    number, shape, hosts, headers = (figures[k] for k in ("number", "shapes", "hosts", "headers"))
    ours = {size: row["mountkit"] for size, row in number.items()}
    compiled = [
        row[peer] / row["mountkit"]
        for row in number.values()
        for peer in ("pymatchit", "python-matchit", "korvex")
    ]
    decided = [
        row[peer] / row["mountkit, the decision alone"]
        for row in number.values()
        for peer in ("pymatchit", "python-matchit", "korvex")
    ]

    def added(kind: str) -> float:
        return max(1 + row["added"] for name, row in hosts.items() if name.endswith(kind))

    def condition(name: str) -> float:
        found: float = 1 + headers[name]["added"]
        return found

    built, changed, servers = figures["building"], figures["changing"], figures["servers"]
    rows = {
        "U: a static mount, 1 to 100,000, at most": (max(ours.values()), 2.1),
        "the same, the decision alone": (
            max(row["mountkit, the decision alone"] for row in number.values()),
            None,
        ),
        "100,000 mounts over 10, at most": (ours["100,000"] / ours["10"], 1.1),
        "U: two or three segments, at most": (
            max(shape["two segments"]["median"], shape["three segments"]["median"]),
            2.6,
        ),
        "U: a placeholder, at most": (shape["a placeholder"]["median"], 3.8),
        "U: a miss, at most": (shape["a miss"]["median"], 2.7),
        "U: the decision on 2,000 slashes, at most": (
            shape["the decision alone: 2,000 slashes"]["median"],
            3.2,
        ),
        "scans: an exact host, at most": (added("exact") - 1, 1.2),
        "scans: a host in another case and with a port, at most": (added("port") - 1, 1.45),
        "scans: always an unknown host, at most": (added("unknown") - 1, 6.0),
        "scans: a header of one value, at most": (condition("one of 1,000 values") - 1, 1.2),
        "scans: a header by a regular expression, at most": (
            condition("a regular expression") - 1,
            1.8,
        ),
        "Starlette ÷ mountkit, 1 mount, at least": (number["1"]["Starlette"] / ours["1"], 4.0),
        "10 mounts, at least": (number["10"]["Starlette"] / ours["10"], 12.0),
        "1,000 mounts, at least": (number["1,000"]["Starlette"] / ours["1,000"], 1000.0),
        "compiled routers ÷ mountkit, at least": (min(compiled), 1.2),
        "compiled routers ÷ the decision alone": (min(decided), None),
        "building: ÷ Starlette's time, at most": (
            built["its place in a table of 100,000, a mount"]["time"],
            0.05,
        ),
        "bytes for a mount, at most": (
            built["its place in a table of 100,000, a mount"]["bytes"],
            300.0,
        ),
        "bytes for a host, at most": (
            built["its place in a table of 100,000, a host"]["bytes"],
            110.0,
        ),
        "one change among 100,000 over one among 10, at most": (
            changed["100,000 mounts"]["over that of 10"],
            10.0,
        ),
    }
    for server in SERVERS:
        again = servers["bare_again"][server]
        for app, times in (("mounts", 8.0), ("hosts", 30.0)):
            rows[f"{server}: 1,000 {app}, below a second bare app, at most"] = (
                again - servers[app][server],
                0.05,
            )
            rows[f"{server}: 1,000 {app} ÷ Starlette's, at least"] = (
                servers[app][server] / servers[f"starlette_{app}"][server],
                times,
            )
    return {
        name: {"reached": reached} | ({} if goal is None else {"goal": goal})
        for name, (reached, goal) in rows.items()
    }


TITLES = {
    "goals": "in this run",
    "number": "mounts",
    "shapes": "1,000 mounts, in U",
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
        axes.loglog(sizes, ratios, marker="o", label=name, linewidth=3 if name == "mountkit" else 1)
    axes.set_xlabel("mounts; the last one is asked for")
    axes.set_ylabel("time of a dispatch, in U")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


async def measured(rounds: int) -> dict[str, Any]:
    figures = {
        "number": by_number(rounds),
        "shapes": shapes(rounds),
        "parts": parts(rounds),
        "hosts": by_host(rounds),
        "headers": by_header(rounds),
        "building": building(),
        "changing": changing(rounds),
        "servers": await through_servers(9),
        "importing": importing(),
    }
    return {"goals": goals(figures), **figures}


def main(rounds: int = 25) -> None:
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
