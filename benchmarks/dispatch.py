"""What a decision costs, over the number of mounts and hosts, beside peers.

Everything is a ratio to **U**: an `async def` that copies the scope, sets `root_path` and awaits a
trivial child. Every timed call gets a scope, path and header values of its own, so that nothing is
hashed before; the garbage collector is off; coroutines are driven by hand, inside a running loop;
the works of a table take turns.

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
from typing import Any

import matchit
import pymatchit
from hypercorn.middleware import DispatcherMiddleware
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.measuring import DOCS, quote, table, write
from mountkit import Dispatcher, Mount, Table

PAGE_OF_DOCS = DOCS / "speed.md"
PLOT = DOCS / "speed.svg"
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
#: Peers that try their routes one by one are not waited for beyond this size.
LINEAR = 1_000
CALLS = 300

#: One piece of work for one scope.
Work = Callable[[Scope], Any]
Times = dict[str, dict[str, float]]


async def child(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind every mount."""


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

    def work(scope: Scope) -> None:
        try:
            app(scope, receive, send).send(None)  # type: ignore[attr-defined]
        except StopIteration:
            return

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
                calls = CALLS if statistics.median(found[name] or [0]) < 1e-4 else 10
                scopes = [make() for _ in range(calls)]
                start = time.perf_counter()
                for scope in scopes:
                    work(scope)
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
    first, second = pymatchit.PyRouter(), matchit.Router()
    for path in paths:
        first.insert(path + "/{*rest}", child)
        second.insert(path + "/{*rest}", child)
    works: dict[str, Work] = {
        "U": calling(floor),
        "mountkit": calling(ours),
        "mountkit, the decision alone": ours.table.find,
        "pymatchit": calling(Compiled(lambda path: first.at(path)[0])),
        "python-matchit": calling(Compiled(lambda path: second.at(path).value)),
    }
    if size <= LINEAR:
        apps = dict.fromkeys(paths, child)
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
    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "U": (calling(floor), lambda: scope_of("/m0/x")),
        "two segments": (calling(deep), lambda: scope_of("/a/m999/x")),
        "three segments": (calling(deeper), lambda: scope_of("/a/b/m999/x")),
        "a placeholder": (calling(placeholder), lambda: scope_of("/t/acme/x")),
        "below a root_path": (
            calling(flat),
            lambda: {**scope_of("/outer/m999/x"), "root_path": "/outer"},
        ),
        "the decision alone: a miss": (flat.table.find, lambda: scope_of("/none/x")),
        "the decision alone: 2,000 slashes": (flat.table.find, lambda: scope_of("/" * 2_000)),
        "Starlette: a miss": (
            lambda scope: [route.matches(scope) for route in routes.routes],
            lambda: scope_of("/none/x"),
        ),
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


def by_host(rounds: int) -> dict[str, dict[str, float]]:
    """The decision by host, over the scan."""
    rows = {}
    for size in (1, 1_000, 100_000):
        found = over(measure(with_hosts(size), rounds), "scan")
        rows[f"{size:,} hosts"] = {name: ratio["median"] for name, ratio in found.items()}
    return rows


def with_hosts(size: int) -> dict[str, tuple[Work, Callable[[], Scope]]]:
    """All who can be asked for the last of so many hosts."""
    hosts = Table([Mount("", child, host=f"t{n}.example.com") for n in range(size)])
    name = f"t{size - 1}.example.com"
    unknown = itertools.count()
    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "scan": (scan, lambda: scope_of("/x", name)),
        "exact": (hosts.find, lambda: scope_of("/x", name)),
        "other case and a port": (hosts.find, lambda: scope_of("/x", name.upper() + ":8000")),
        "always another, unknown": (
            hosts.find,
            lambda: scope_of("/x", f"u{next(unknown)}.example.org"),
        ),
    }
    if size <= LINEAR:
        routes = [StarletteHost(f"t{n}.example.com", child) for n in range(size)]
        works["Starlette, the last"] = (
            lambda scope: [route.matches(scope) for route in routes],
            lambda: scope_of("/x", name),
        )
    return works


def by_header(rounds: int) -> dict[str, dict[str, float]]:
    """A decision by header, over a scan of the headers."""
    exact = Table([Mount("/api", child, headers={"x-version": str(n)}) for n in range(10)])
    regex = Table([Mount("/api", child, headers={"x-version": re.compile("[0-9]+")})])
    make = lambda: scope_of("/api/x", more=(b"x-version", b"7"))  # noqa: E731
    works: dict[str, tuple[Work, Callable[[], Scope]]] = {
        "scan": (scan, make),
        "one of ten values": (exact.find, make),
        "a regular expression": (regex.find, make),
    }
    return over(measure(works, rounds), "scan")


def building() -> dict[str, dict[str, float]]:
    """Time and memory of a table, beside the mounts that it is made of."""
    size = 100_000
    rows: dict[str, dict[str, float]] = {}
    mounts = [Mount(f"/m{n}", child) for n in range(size)]
    hosts = [Mount("", child, host=f"t{n}.example.com") for n in range(size)]
    start = time.perf_counter()
    routes = [StarletteMount(f"/m{n}", child) for n in range(10_000)]
    starlette = (time.perf_counter() - start) / len(routes)
    for name, given in (("mounts", mounts), ("hosts", hosts)):
        start = time.perf_counter()
        made = Table(given)
        taken = (time.perf_counter() - start) / size
        del made
        gc.collect()
        tracemalloc.start()
        made = Table(given)
        used = tracemalloc.get_traced_memory()[0] / size
        tracemalloc.stop()
        del made
        rows[f"a table of 100,000 {name}"] = {
            "Starlette's time for a Mount ÷ ours": starlette / taken,
            "bytes for each": used,
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


TITLES = {
    "number": "mounts",
    "shapes": "1,000 mounts, in U",
    "hosts": "over a scan of the headers",
    "headers": "over a scan of the headers",
    "building": "building",
    "changing": "one change",
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
    return {
        "number": by_number(rounds),
        "shapes": shapes(rounds),
        "hosts": by_host(rounds),
        "headers": by_header(rounds),
        "building": building(),
        "changing": changing(rounds),
        "importing": importing(),
    }


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
