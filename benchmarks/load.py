"""An open loop: so many requests a second, whether the earlier ones were answered or not.

100 mounts and 10,000 hosts, each with an app of its own, behind uvicorn; half of the requests go
to mounts and half to hosts, at random. Each answer is checked for the mark of its app. A latency
is counted from when its request was due, so that a server that stalls is not excused from the
requests that came meanwhile. The bare app gets the same before, for a shorter time.

    scripts/bench load
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.measuring import DOCS, quote, table, write
from benchmarks.wsgi import served
from mountkit import Dispatcher, Mount

MOUNTS = 100
HOSTS = 10_000
#: Requests a second, and for how many seconds.
RATE = 2_000
SECONDS = 60
SECONDS_OF_BARE = 10
#: Connections that are open at most; a request that finds none waits, and its time counts.
CONNECTIONS = 200
PAGE_OF_DOCS = DOCS / "speed.md"


def marked(mark: str) -> ASGIApp:
    """An app that answers with its mark. It is no app for lifespans, and says so as such do."""
    body = mark.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def bare() -> ASGIApp:
    return marked("bare")


def dispatcher(hosts: int) -> Dispatcher:
    return Dispatcher(
        [
            *(Mount(f"/m{n}", marked(f"m{n}")) for n in range(MOUNTS)),
            *(Mount("", marked(f"t{n}"), host=f"t{n}.example.com") for n in range(hosts)),
        ]
    )


def many() -> Dispatcher:
    """What `uvicorn --factory` calls."""
    return dispatcher(HOSTS)


def request(hosts: int) -> tuple[bytes, bytes]:
    """A request, and the mark that has to answer it."""
    if random.random() < 0.5:
        mark = f"m{random.randrange(MOUNTS)}"
        path, host = f"/{mark}/x", "a.com"
    else:
        mark = f"t{random.randrange(hosts)}"
        path, host = "/x", f"{mark}.example.com"
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"
    return head.encode(), mark.encode()


@dataclass
class Load:
    """What came of the requests.

    Attributes:
        is_bare: the app is the bare one, and not `dispatcher(hosts)`.
        latencies: in seconds, from when a request was due.
        errors: how often each came.
    """

    port: int
    is_bare: bool = False
    hosts: int = HOSTS
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    @asynccontextmanager
    async def _connection(
        self, places: asyncio.Semaphore
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with places:
            if self._idle:
                connection = self._idle.pop()
            else:
                connection = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                yield connection
            except BaseException:
                connection[1].close()
                raise
            self._idle.append(connection)

    async def _ask(self, due: float, places: asyncio.Semaphore) -> None:
        head, mark = request(self.hosts)
        try:
            async with asyncio.timeout(30), self._connection(places) as (reader, writer):
                writer.write(head)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise ValueError(answer.split(b"\r\n")[0])
                if body != (b"bare" if self.is_bare else mark):
                    raise ValueError(f"{body!r} answered in the place of {mark!r}")
        except Exception as exc:
            self.errors[repr(exc)] += 1
        else:
            self.latencies.append(time.perf_counter() - due)

    async def run(self, seconds: float, rate: int = RATE) -> None:
        """Send requests as they are due."""
        places = asyncio.Semaphore(CONNECTIONS)
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(seconds * rate)):
                due = start + number / rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                tasks.create_task(self._ask(due, places))
        for _, writer in self._idle:
            writer.close()

    def figures(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.latencies, n=1_000)
        return {
            "requests": len(self.latencies),
            "errors": self.errors.total(),
            **{f"ms, {name}": cuts[at] * 1e3 for name, at in (("median", 499), ("99 %", 989))},
        }


async def loaded(name: str, seconds: float) -> dict[str, float]:
    """One app under load, through uvicorn."""
    # A connection that the server closes while a request is on its way to it is no error of either.
    kept = ["--timeout-keep-alive", f"{2 * SECONDS}"]
    command = ["uvicorn", "--factory", f"benchmarks.load:{name}", "--no-access-log", *kept]
    async with served(command) as port:
        await Load(port, name == "bare").run(1)  # what is only done once
        load = Load(port, name == "bare")
        await load.run(seconds)
    for error, times in load.errors.most_common(5):
        print(f"{times} × {error}")
    return load.figures()


async def measured() -> dict[str, dict[str, float]]:
    return {
        "the bare app": await loaded("bare", SECONDS_OF_BARE),
        "100 mounts and 10,000 hosts": await loaded("many", SECONDS),
    }


def main() -> None:
    figures = asyncio.run(measured())
    write("load", figures)
    text = tables(figures)
    quote(PAGE_OF_DOCS, "load", text)
    print(text)
    if any(row["errors"] for row in figures.values()):
        raise SystemExit("There were errors.")


def tables(figures: dict[str, dict[str, float]]) -> str:
    """The figures as the documentation shows them."""
    return table(f"{RATE:,} requests a second, open loop", figures)


if __name__ == "__main__":
    main()
