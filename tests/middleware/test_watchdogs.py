"""`Watchdog`: which mounted app blocks the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Mount, PatternError, Watchdog
from tests.support.actors import Log, actor
from tests.support.lifespans import Server, running
from tests.support.requests import asked
from tests.support.scopes import scope_of, served_scope
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


def block(is_enough: Callable[[], bool]) -> None:
    """Block the loop; another thread may log meanwhile."""
    deadline = time.monotonic() + 2
    while not is_enough() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("short", [False, True], ids=["long way", "short way"])
async def test_a_mount_that_blocks(short: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is named, with the place, once for each time."""

    def found() -> list[str]:
        return [text for text in warnings(caplog) if "/blocks" in text]

    async def blocks(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        before = len(found())
        block(lambda: len(found()) > before)
        await PlainTextResponse("well")(scope, receive, send)

    inner = Dispatcher([Mount("/blocks", blocks), Mount("/well", PlainTextResponse(""))])
    scope = scope_of("/in/blocks")
    app = Watchdog(Dispatcher([Mount("/in", inner)]), seconds=0.02)
    if short:
        scope = served_scope("/blocks/x")
        await asked(inner, served_scope("/well/x"))
        app = Watchdog(inner, seconds=0.02)
    asked_for = 0
    async with running(app):
        # A machine that stands still just before has had its report.
        while not found() and asked_for < 4:
            asked_for += 1
            assert (await asked(app, dict(scope)))[0][0]["status"] == 200
    [text] = found()
    assert text.startswith("The app mounted at '/blocks' (")
    assert "has blocked the event loop for " in text
    assert " in block\n" in text


async def test_something_else_that_blocks(caplog: pytest.LogCaptureFixture) -> None:
    """No mount is blamed for it."""
    app = Watchdog(Dispatcher([Mount("/x", PlainTextResponse("x"))]), seconds=0.02)
    async with running(app):
        block(lambda: bool(warnings(caplog)))
    assert warnings(caplog)[0].startswith("Something outside the mounts has blocked")


async def test_a_loop_that_runs_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """To wait does not block it; the thread ends with the lifespan."""
    app = Watchdog(Dispatcher([Mount("/x", PlainTextResponse("x"))]), seconds=30)
    async with running(app):
        await anyio.sleep(0.01)
        assert [one.name for one in threading.enumerate()].count("mountkit watchdog") == 1
    await until(lambda: "mountkit watchdog" not in [one.name for one in threading.enumerate()])
    assert warnings(caplog) == []


async def test_the_lifespan_goes_through() -> None:
    """With its failures."""
    log: Log = []
    await Server(log).run(Watchdog(Dispatcher({"/a": actor("a", log)}), seconds=30))
    assert log == ["a up", "startup.complete", "a down", "shutdown.complete"]
    with pytest.raises(ValueError, match="unknown scope type"):
        await Server(log).run(Watchdog(actor("a", log, "unsupported"), seconds=30))


@pytest.mark.parametrize("seconds", [0, -1, "1", None])
def test_seconds_are_a_number(seconds: Any) -> None:
    """The message says what to write."""
    with pytest.raises(PatternError, match=r"is not a number above 0; write e\.g\. 0\.5\."):
        Watchdog(Dispatcher([]), seconds=seconds)
