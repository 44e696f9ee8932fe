"""What each layer costs: the time of a request through it, less that of the bare child, in U.

**U** is an `async def` that copies the scope, sets `root_path` and awaits the child; see
`benchmarks.dispatch`. Coroutines are driven by hand, inside a running loop.

    scripts/bench layers
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.measuring import table
from mountkit.middleware.checks import CheckMiddleware
from mountkit.middleware.contexts import ContextMiddleware
from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.middleware.errors import ContainMiddleware
from mountkit.middleware.limits import LimitMiddleware
from mountkit.middleware.redirects import LocationMiddleware, RedirectMiddleware
from mountkit.middleware.timeouts import TimeoutMiddleware

ROUNDS = 2_000
CALLS = 50


async def child(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind every layer: it answers, and does nothing else."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def floor(scope: Scope, receive: Receive, send: Send) -> None:
    scope = scope.copy()
    scope["root_path"] = "/m0"
    await child(scope, receive, send)


async def receive() -> Message:
    return {"type": "http.request"}


async def send(message: Message) -> None:
    return None


def scope_of() -> Scope:
    """As uvicorn makes it; of new objects for each request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "/m0",
        "path": "/m0/x",
        "raw_path": b"/m0/x",
        "query_string": b"",
        "headers": [(b"host", b"example.com"), (b"accept", b"text/html")],
        "state": {},
    }


LAYERS: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "limit": lambda app: LimitMiddleware(app, max_concurrency=100),
    "timeout, total": lambda app: TimeoutMiddleware(app, total=30),
    "timeout, both": lambda app: TimeoutMiddleware(app, response=10, total=30),
    "check": CheckMiddleware,
    "context": ContextMiddleware,
    "contain": ContainMiddleware,
    "redirect": RedirectMiddleware,
    "cookie path": CookiePathMiddleware,
    "location": LocationMiddleware,
}


async def by_layer(rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """The cost of each layer over the bare child, in U: medians of interleaved rounds."""
    apps = {"U": floor, "child": child, **{name: make(child) for name, make in LAYERS.items()}}
    times: dict[str, list[float]] = {name: [] for name in apps}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, app in apps.items():
                times[name].append(_seconds(app))
            gc.collect(0)
            await asyncio.sleep(0)  # the loop drops the timers that were cancelled
    finally:
        gc.enable()
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        name: {"over the child": (medians[name] - medians["child"]) / medians["U"]}
        for name in LAYERS
    }


def _seconds(app: ASGIApp) -> float:
    """For one call, over some."""
    scopes = [scope_of() for _ in range(CALLS)]
    start = time.perf_counter()
    for scope in scopes:
        try:
            app(scope, receive, send).send(None)  # type: ignore[attr-defined]
        except StopIteration:
            continue
    return (time.perf_counter() - start) / CALLS


def main() -> None:
    print(table("a layer", asyncio.run(by_layer())))


if __name__ == "__main__":
    main()
