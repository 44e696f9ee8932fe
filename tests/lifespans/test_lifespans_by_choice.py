"""Lifespans that a mount does not run to their end, or not at all."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette

from mountkit import Dispatcher, Lifespan, LifespanError, Mount, PatternError
from tests.support.actors import Log, actor
from tests.support.lifespans import Server, running

pytestmark = pytest.mark.anyio


async def test_an_app_that_is_not_told_to_stop() -> None:
    """Its task is ended last, when all others have stopped."""
    log: Log = []
    kept = Mount("/kept", actor("kept", log), lifespan=Lifespan(shutdown=False))
    inner = Dispatcher([Mount("/in", actor("in", log), lifespan=Lifespan(shutdown=False))])
    await Server(log).run(Dispatcher([kept, Mount("/b", actor("b", log)), Mount("/c", inner)]))
    assert log == [
        *("kept up", "b up", "in up", "startup.complete"),
        *("b down", "in down", "kept down", "shutdown.complete"),
    ]


@pytest.mark.parametrize("startup", ["unsupported", "fails"])
async def test_one_that_was_not_started_is_not_kept(startup: str) -> None:
    """There is nothing to end."""
    log: Log = []
    app = Dispatcher(
        [
            Mount("/kept", actor("kept", log), lifespan=Lifespan(shutdown=False)),
            Mount(
                "/b",
                actor("b", log, startup),
                lifespan=Lifespan(on_failure="isolate", shutdown=False),
            ),
        ]
    )
    await Server(log).run(app)
    assert [line for line in log if line.startswith("kept")] == ["kept up", "kept down"]


async def test_one_that_is_kept_when_another_fails() -> None:
    """It is ended all the same."""
    log: Log = []
    app = Dispatcher(
        [
            Mount("/kept", actor("kept", log), lifespan=Lifespan(shutdown=False)),
            Mount("/b", actor("b", log, "fails")),
        ]
    )
    with pytest.raises(LifespanError, match="b cannot"):
        await Server(log).run(app)
    assert log == ["kept up", "b down", "kept down", "startup.failed"]


async def test_one_that_is_kept_leaves_and_comes() -> None:
    """While the server runs it is not started a second time."""
    log: Log = []
    one = actor("kept", log)
    app = Dispatcher()
    async with running(app):
        for _ in range(2):
            mount = Mount("/kept", one, lifespan=Lifespan(shutdown=False))
            await app.add(mount)
            await app.remove(mount)
        assert log == ["kept up"]
    assert log == ["kept up", "kept down"]


async def test_a_lifespan_that_is_somebody_elses(caplog: pytest.LogCaptureFixture) -> None:
    """The app is served without, and nobody warns."""
    log: Log = []
    mount = Mount("/a", actor("a", log), lifespan="off")
    await Server(log).run(Dispatcher([mount]))
    assert log == ["startup.complete", "shutdown.complete"]
    async with running(Starlette(routes=[mount])) as server:
        assert (await server.ask("/a/"))[0] == 200
    assert mount.health.status == "serving"
    assert caplog.records == []


def test_a_lifespan_that_is_not_known() -> None:
    """The message has the choice."""
    message = r"^lifespan='maybe' is not known; write one of 'on', 'off'\.$"
    with pytest.raises(PatternError, match=message):
        Mount("/a", Starlette(), lifespan="maybe")  # type: ignore[arg-type]
