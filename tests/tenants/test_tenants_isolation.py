"""A thousand tenants at a time, whose apps come, fail and go: nothing of one reaches another."""

from __future__ import annotations

import random
from collections import Counter
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import Dispatcher, Mount, TenantApps, TenantResolver
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio

TENANTS = 1000
REQUESTS = 3000
AT_A_TIME = 200
MAX_APPS = 60

of_tenant: ContextVar[str] = ContextVar("of_tenant", default="nobody")


class Fleet:
    """The apps of all tenants. Each leaves its mark wherever it can, and looks for those of others.

    Attributes:
        leaks: what was found of another tenant.
        up: how many are up; `most`: how many ever were, made and not yet down.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.leaks: list[str] = []
        self.happened: Counter[str] = Counter()
        self.up: set[str] = set()
        self.most = 0

    async def find(self, host: str) -> str:
        await anyio.lowlevel.checkpoint()
        if self.chance.random() < 0.02:
            raise OSError(f"{host} is not known for the moment")
        return host.partition(".")[0]

    async def make(self, tenant: str) -> ASGIApp:
        self._look(tenant, "factory", {"context": of_tenant.get()})
        of_tenant.set(tenant)
        await anyio.lowlevel.checkpoint()
        how = self.chance.random()
        if how < 0.05:
            self.happened["factory failed"] += 1
            raise RuntimeError(f"{tenant} has no database")
        return self._app(tenant, fails=how < 0.1)

    def _app(self, tenant: str, *, fails: bool) -> ASGIApp:
        async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
            self._look(tenant, "lifespan", {**scope["state"], "context": of_tenant.get()})
            await receive()
            if fails:
                self.happened["lifespan failed"] += 1
                raise RuntimeError(f"{tenant} cannot migrate")
            if tenant in self.up:
                self.leaks.append(f"{tenant} is up twice")
            self.up.add(tenant)
            self.most = max(self.most, len(self.up))
            scope["state"]["mark"] = tenant
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await anyio.lowlevel.checkpoint()
            self.up.discard(tenant)
            self.happened["down"] += 1
            await send({"type": "lifespan.shutdown.complete"})

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await lifespan(scope, receive, send)
                return
            if tenant not in self.up:
                self.leaks.append(f"{tenant} got a request and is not up")
            found = {**scope["state"], "context": of_tenant.get()}
            found |= {name.decode(): value.decode() for name, value in scope["headers"]}
            found |= scope.setdefault("extensions", {})
            self._look(tenant, "request", found)
            # Leave marks everywhere.
            of_tenant.set(tenant)
            scope["state"]["left"] = scope["extensions"]["left"] = tenant
            scope["headers"].append((b"x-left", tenant.encode()))
            scope["mark"] = scope["root_path"] = tenant
            number = scope["query_string"].decode()
            await anyio.lowlevel.checkpoint()
            if number.endswith("7"):
                raise RuntimeError(f"{tenant} has a secret")
            body = f"{tenant} {found['mark']} {found['tenant']} {number}".encode()
            await answer(scope, send, body)

        return app

    def _look(self, tenant: str, where: str, found: dict[str, Any]) -> None:
        for key, value in found.items():
            known = {tenant, f"{tenant}.localhost"}
            if key in ("context", "left", "x-left"):
                known = {"nobody"} if where != "lifespan" else {"nobody", tenant}
            if value not in known:
                self.leaks.append(f"{where} of {tenant} has {key}={value!r}")


async def answer(scope: Scope, send: Send, body: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": body})
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    middle = len(body) // 2
    await send({"type": "http.response.body", "body": body[:middle], "more_body": True})
    await anyio.lowlevel.checkpoint()
    await send({"type": "http.response.body", "body": body[middle:]})


class Client:
    """Asks for random tenants, and checks each answer for its tenant's mark."""

    def __init__(self, app: ASGIApp, fleet: Fleet) -> None:
        self.app = app
        self.fleet = fleet
        self.wrong: list[str] = []
        self.answers: Counter[str] = Counter()

    async def ask(self, number: int, places: anyio.Semaphore) -> None:
        tenant = f"t{self.fleet.chance.randrange(TENANTS)}"
        kind = "websocket" if number % 5 == 0 else "http"
        sent: list[Message] = []

        async def receive() -> Message:
            return (
                {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}
            )

        async def send(message: Message) -> None:
            sent.append(message)
            await anyio.lowlevel.checkpoint()

        scope = scope_of(host=f"{tenant}.localhost", type=kind, query=str(number))
        try:
            await self.app({**scope, "state": {}}, receive, send)
        finally:
            places.release()
        self.check(tenant, number, sent)

    def check(self, tenant: str, number: int, sent: list[Message]) -> None:
        body = b"".join(message.get("body", b"") + message.get("bytes", b"") for message in sent)
        text = body.decode()
        first = sent[0]
        status = {"websocket.accept": 200, "websocket.close": 503}.get(first["type"])
        status = first["status"] if status is None else status
        self.answers[f"{status}"] += 1
        if status == 200:
            is_right = text == f"{tenant} {tenant} {tenant} {number}"
        elif number % 10 == 7:
            is_right = text in ("Internal Server Error", "Service Unavailable", "")
        else:
            is_right = status == 503 and text in ("Service Unavailable", "")
        if not is_right:
            self.wrong.append(f"{tenant} {number}: {status} {text}")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has failed is tried again soon."""
    monkeypatch.setattr("mountkit.tenants.fleets.FIRST_DELAY", 0.01)
    monkeypatch.setattr("mountkit.tenants.fleets.LONGEST_DELAY", 0.02)


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
async def test_a_thousand_tenants(caplog: pytest.LogCaptureFixture) -> None:
    """Under random evictions and failures of look-ups, factories, lifespans and requests, each
    answer has the mark of its tenant, and no app finds anything of another."""
    caplog.set_level("CRITICAL")
    chance = random.Random(8)
    fleet = Fleet(chance)
    resolver = TenantResolver(fleet.find, ttl=0.2, stale_ttl=0.1, failure_ttl=0.01, max_size=500)
    tenants = TenantApps(resolver, fleet.make, max_apps=MAX_APPS, idle_timeout=0.1, drain_timeout=5)
    tenants.pin("t1")
    app = Dispatcher([Mount("/", tenants, errors="contain")])
    client = Client(app, fleet)
    up, stopping = anyio.Event(), anyio.Event()
    answers: list[str] = []

    async def receive() -> Message:
        if not up.is_set():
            up.set()
            return {"type": "lifespan.startup"}
        await stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        answers.append(message["type"])

    async def evict() -> None:
        while not stopping.is_set():
            await tenants.evict(f"t{chance.randrange(TENANTS)}")
            resolver.invalidate(f"t{chance.randrange(TENANTS)}.localhost")
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(300):
        async with anyio.create_task_group() as server:
            server.start_soon(app, {"type": "lifespan"}, receive, send)
            await up.wait()
            server.start_soon(evict)
            places = anyio.Semaphore(AT_A_TIME)
            async with anyio.create_task_group() as requests:
                for number in range(REQUESTS):
                    await places.acquire()
                    requests.start_soon(client.ask, number, places)
            stopping.set()
    assert client.wrong == []
    assert fleet.leaks == []
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (fleet.up, tenants.health) == (set(), [])
    # And all of it has happened.
    assert MAX_APPS / 2 < fleet.most <= MAX_APPS
    assert client.answers["200"] > REQUESTS / 2
    assert min(client.answers["500"], client.answers["503"]) > 10
    assert fleet.happened["down"] > TENANTS
    assert min(fleet.happened["factory failed"], fleet.happened["lifespan failed"]) > 10
