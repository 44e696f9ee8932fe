"""Calls driven by hand, inside a running loop, and their cost in **U**.

U is an `async def` that copies the scope, sets `root_path` and awaits a child that answers and does
nothing else. What makes the figures fair:

- Every call gets a scope of its own, of new objects all through: nothing has been hashed before.
- A scope is dropped when its call ends, as a server does it. Were those of a whole batch kept, each
  call would be charged for memory that no request needs, and the more the larger its scope is.
- The works take turns, in another order each round, so that what else the machine does meets all
  alike; medians over the rounds.
- Each batch begins with some calls that are not timed. Otherwise a work would pay for the caches
  that the one before it has left cold.
- The garbage collector is off while a batch runs.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CALLS = 50
WARM_UP = 10
#: Calls in a batch of a work that takes longer than `SLOW` seconds.
CALLS_OF_SLOW = 5
SLOW = 1e-4

#: One piece of work for each of some scopes, which it takes from the list.
Work = Callable[[list[Scope]], None]
#: Works by name, each with what makes its scopes.
Works = Mapping[str, tuple[Work, Callable[[], Scope]]]
Times = dict[str, dict[str, float]]


async def child(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind every mount: it answers, and does nothing else."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def floor(scope: Scope, receive: Receive, send: Send) -> None:
    """U."""
    scope = scope.copy()
    scope["root_path"] = "/m0"
    await child(scope, receive, send)


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
        while scopes:
            try:
                app(scopes.pop(), receive, send).send(None)  # type: ignore[attr-defined]
            except StopIteration:
                continue
            raise RuntimeError(f"{app} waits for something.")

    return work


def asking(function: Callable[[Scope], Any]) -> Work:
    """Call a function."""

    def work(scopes: list[Scope]) -> None:
        while scopes:
            function(scopes.pop())

    return work


async def timed(works: Works, rounds: int) -> Times:
    """Seconds for a call, by name: minimum and median over the rounds."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    order, calls = list(works), dict.fromkeys(works, CALLS)
    turns = random.Random(15)
    gc.collect()
    for _ in range(rounds):
        turns.shuffle(order)
        for name in order:
            seconds = _batch(*works[name], calls[name])
            taken[name].append(seconds)
            if seconds > SLOW:
                calls[name] = CALLS_OF_SLOW
        await asyncio.sleep(0)  # the loop drops the timers that were cancelled
    return {n: {"min": min(t), "median": statistics.median(t)} for n, t in taken.items()}


def _batch(work: Work, make: Callable[[], Scope], calls: int) -> float:
    """Seconds for a call of one batch."""
    gc.disable()
    try:
        work([make() for _ in range(min(WARM_UP, calls))])
        scopes = [make() for _ in range(calls)]
        start = time.perf_counter()
        work(scopes)
        return (time.perf_counter() - start) / calls
    finally:
        gc.enable()


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
