"""Health of the mounts, as the process and as its probes see it."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LifespanMiddleware,
    Liveness,
    Mount,
    Readiness,
)
from tests.support.actors import Flaky, Slow, actor
from tests.support.clients import ClientFactory
from tests.support.lifespans import running
from tests.support.requests import ask
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


def test_liveness(client: ClientFactory) -> None:
    """Alive is whoever answers."""
    response = client(Dispatcher([Mount("/livez", Liveness(), exact=True)])).get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})
    assert response.headers["cache-control"] == "no-store"


def dispatcher(*mounts: Mount) -> ASGIApp:
    return Dispatcher([Mount("/readyz", Readiness(), exact=True), *mounts])


def middleware(*mounts: Mount) -> ASGIApp:
    app = Starlette(routes=[Mount("/readyz", Readiness())])
    app.add_middleware(DispatchMiddleware, mounts=list(mounts))
    return app


def routes(*mounts: Mount) -> ASGIApp:
    app = Starlette(routes=[Mount("/readyz", Readiness()), *mounts])
    app.add_middleware(LifespanMiddleware)
    return app


def nested(*mounts: Mount) -> ASGIApp:
    return Dispatcher({"/readyz": Readiness(), "/inner": Dispatcher(mounts)})


@pytest.mark.parametrize("make", [dispatcher, middleware, routes, nested])
def test_readiness(client: ClientFactory, make: Any) -> None:
    """Ready if no mount has failed; the others are named, wherever they are mounted."""
    with client(make(Mount("/well", actor("well", [])))) as session:
        response = session.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"status": "ready"})
    failing = Mount("/bad", actor("bad", [], "fails"), lifespan=Lifespan(on_failure="isolate"))
    with client(make(Mount("/well", actor("well", [])), failing)) as session:
        response = session.get("/readyz")
        assert response.status_code == 503
        assert response.json() == {"status": "not ready", "not serving": {"/bad": "failed"}}


def test_readiness_with_details(client: ClientFactory) -> None:
    """The whole health of each mount."""
    before = time.time()
    bad = Mount("/bad", actor("bad", [], "fails"), lifespan=Lifespan(on_failure="isolate"))
    app = Dispatcher([Mount("/readyz", Readiness(details=True)), bad])
    with client(app) as session:
        session.get("/bad")
        ready, failed = session.get("/readyz").json()["mounts"]
    assert (ready["mount"], ready["status"], ready["in_flight"]) == ("/readyz", "serving", 1)
    assert failed["status"] == "failed"
    assert failed["answered"] == {"5xx": 1}
    assert failed["error"].endswith("failed to start: bad cannot")
    assert before <= failed["since"] <= time.time()


def test_readiness_without_a_lifespan(client: ClientFactory) -> None:
    """Nothing has started the apps: not ready. After the server's shutdown too."""
    app = dispatcher()
    for _ in range(2):
        response = client(app).get("/readyz")
        assert response.status_code == 503
        assert response.json()["reason"] == "No lifespan runs the mounts."
        with client(app):
            pass


@pytest.mark.parametrize("probe", [Liveness(), Readiness()], ids=["liveness", "readiness"])
async def test_probes_have_no_websocket(probe: ASGIApp) -> None:
    """They do not take it."""
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, Dispatcher([Mount("/p", probe)]), scope_of("/p", type="websocket"))
        await request.ended.wait()
    assert [message["type"] for message in request.sent] == ["websocket.close"]


async def test_a_mount_that_drains_is_named_and_no_failure() -> None:
    """A change is not a reason to take the process out of service."""
    slow = Slow([])
    mount = Mount("/slow", slow)
    app = Dispatcher([Mount("/readyz", Readiness()), mount])
    async with running(app) as server, anyio.create_task_group() as tasks:
        ask(tasks, app, scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        tasks.start_soon(app.remove, mount)
        await until(lambda: len(app.routes) == 1)
        status, _, body = await server.ask("/readyz")
        assert (status, body) == (200, b'{"status":"ready","not serving":{"/slow":"draining"}}')
        slow.go.set()


async def test_an_app_that_dies_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its health follows it."""
    monkeypatch.setattr("mountkit.lifespans.supervisors._FIRST_DELAY", 0.05)
    flaky = Flaky(0)
    mount = Mount("/flaky", flaky, lifespan=Lifespan(on_failure="isolate"))
    assert mount.health.status == "starting"
    async with running(Dispatcher([mount])):
        assert mount.health.status == "serving"
        since = mount.health.since
        flaky.dies.set()
        await until(lambda: mount.health.status == "failed")
        assert "RuntimeError('died')" in (mount.health.error or "")
        assert mount.health.since >= since
        await until(lambda: mount.health.status == "serving")
        assert mount.health.error is None


async def test_an_app_that_dies_and_is_not_isolated() -> None:
    """It is served on, and has failed: the process is not ready any more, as it would not have
    started either."""
    flaky = Flaky(0)
    mount = Mount("/flaky", flaky)
    app = Dispatcher([mount, Mount("/readyz", Readiness()), Mount("/livez", Liveness())])
    async with running(app) as server:
        assert (await server.ask("/readyz"))[0] == 200
        flaky.dies.set()
        await until(lambda: mount.health.status == "failed")
        assert "died" in (mount.health.error or "")
        assert (await server.ask("/flaky"))[0] == 200
        status, _, body = await server.ask("/readyz")
        assert (status, body) == (503, b'{"status":"not ready","not serving":{"/flaky":"failed"}}')
        assert (await server.ask("/livez"))[0] == 200


async def test_the_health_of_apps_that_were_stopped() -> None:
    """They are not up."""
    mount = Mount("/a", actor("a", []))
    app = Dispatcher([mount])
    async with running(app):
        assert [health.status for health in app.health] == ["serving"]
    assert [health.status for health in app.health] == ["starting"]


async def test_an_app_without_lifespan_serves() -> None:
    """WSGI apps, and routes."""

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    async def unsupported(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    mounts = [Mount("/w", wsgi), Mount("/r", routes=[]), Mount("/u", unsupported)]
    async with running(Dispatcher(mounts)):
        assert [mount.health.status for mount in mounts] == ["serving"] * 3
