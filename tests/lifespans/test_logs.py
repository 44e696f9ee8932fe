"""What the log tells of apps that start and fail: a line for each, and a traceback once."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    Lifespan,
    LifespanError,
    LifespanMiddleware,
    Mount,
)
from mountkit.exceptions import measured
from tests.support.actors import Log, actor
from tests.support.lifespans import Server, running
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
ISOLATED = Lifespan(on_failure="isolate")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told, without the lines of the mounts and what the starts took."""
    texts = [one.getMessage() for one in caplog.records if one.name == "mountkit.lifespan"]
    texts = [re.sub(r" ?\([^(]*\.py:\d+\)", "", text) for text in texts]
    return [re.sub(r"\d+ ms", "… ms", text) for text in texts]


async def lines(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.INFO, "mountkit"):
        await Server(Log()).run(app)
    return told(caplog)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


class _Hidden(Starlette):
    """Its base is what is public."""


async def test_a_line_for_each_mount(caplog: pytest.LogCaptureFixture) -> None:
    """With what its own start took, if it has a lifespan."""
    shared = Starlette()
    mounts = [
        Mount("/a", shared),
        Mount("/b", shared, host="*.com"),
        Mount("/wsgi", wsgi),
        Mount("/off", Starlette(), lifespan="off"),
        Mount("/none", actor("a", Log(), "unsupported")),
        Mount("/partial", functools.partial(wsgi), interface="wsgi"),
        Mount("/hidden", _Hidden()),
    ]
    assert await lines(Dispatcher(mounts, default=Starlette()), caplog) == [
        "mounted default → Starlette, started in … ms",
        "mounted /a → Starlette, started in … ms",
        "mounted *.com/b → Starlette",
        "mounted /wsgi → wsgi()",
        "mounted /off → Starlette",
        "mounted /none → app()",
        "mounted /partial → wsgi()",
        "mounted /hidden → Starlette, started in … ms",
    ]


async def test_the_line_of_a_mount_says_where_it_is_written(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    """As seen from the current directory."""
    monkeypatch.chdir(request.path.parent)
    mount = Mount("/a", PlainTextResponse("a"), lifespan="off")
    with caplog.at_level(logging.INFO, "mountkit"):
        await Server(Log()).run(Dispatcher([mount]))
    line = mount.rule.where.rpartition(":")[2]
    assert caplog.messages[-1] == f"mounted /a → PlainTextResponse (test_logs.py:{line})"


async def test_mounts_among_routes(caplog: pytest.LogCaptureFixture) -> None:
    """Those of Starlette's own that start apps too. What is wrapped is no mount."""
    app = Starlette(routes=[Mount("/a", Starlette())])
    app.mount("/b", Dispatcher({}))
    app.add_middleware(LifespanMiddleware)
    assert await lines(app, caplog) == [
        "mounted /a → Starlette, started in … ms",
        "mounted /b → Dispatcher, started in … ms",
    ]


async def test_a_mount_that_comes_later(caplog: pytest.LogCaptureFixture) -> None:
    """It is told like the others."""
    app = Dispatcher({})
    async with running(app):
        with caplog.at_level(logging.INFO, "mountkit"):
            await app.add(Mount("/a", Starlette()))
    assert told(caplog) == ["mounted /a → Starlette, started in … ms"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0001, "1 ms"), (0.0124, "12 ms"), (1.04, "1 second"), (1.26, "1.3 seconds")],
)
def test_what_a_start_took(seconds: float, text: str) -> None:
    """In words."""
    assert measured(seconds) == text


def failing(message: str = "no\ndatabase") -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError(message)
        yield

    return Starlette(lifespan=lifespan)


def around(app: Starlette) -> Starlette:
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/a", Starlette())])
    return app


@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param(
            Dispatcher({"/a": failing()}),
            "The app mounted at '/a' failed to start: RuntimeError: no database",
            id="mount",
        ),
        pytest.param(
            Dispatcher({"/n": Dispatcher({"/a": failing()})}),
            "The app mounted at '/n' failed to start: "
            "The app mounted at '/a' failed to start: RuntimeError: no database",
            id="nested",
        ),
        pytest.param(
            around(failing()), "The wrapped app failed to start: RuntimeError: no database", id="on"
        ),
    ],
)
async def test_a_failed_start(app: ASGIApp, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """The server gets the one line, the log has the one traceback."""
    server = Server(Log())
    with pytest.raises(RuntimeError):
        await server.run(app)
    [answer] = server.messages
    assert re.sub(r" \([^)]*\)", "", answer["message"]) == message
    [record] = caplog.records
    assert record.getMessage() == (
        "An app has failed to start, and the server does not start either:"
    )
    assert caplog.text.count("Traceback (most recent call last)") == 1


async def test_a_failed_start_without_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    """The server gets all that there is."""
    with pytest.raises(LifespanError, match=r"a cannot$"):
        await Server(Log()).run(Dispatcher({"/a": actor("a", Log(), "fails")}))
    assert caplog.records == []


class Restless:
    """An app that fails in one way after the other, each of them twice, and comes up in between."""

    def __init__(self) -> None:
        self.starts = 0
        self.dies = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.starts += 1
        if self.starts in (1, 2):
            raise RuntimeError(f"start {self.starts}")
        if self.starts == 3:
            raise RuntimeError("elsewhere")
        if self.starts in (4, 5):
            text = "Traceback of old\nValueError: 3"
            await send({"type": "lifespan.startup.failed", "message": text})
            return
        await send({"type": "lifespan.startup.complete"})
        if self.starts == 6:
            await self.dies.wait()
            raise RuntimeError("died")
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def test_further_attempts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each; a traceback only if it is another than the last one."""
    monkeypatch.setattr("mountkit.lifespans.supervisors._FIRST_DELAY", 0.01)
    monkeypatch.setattr("mountkit.lifespans.supervisors._LONGEST_DELAY", 0.01)
    app = Restless()
    async with running(Dispatcher([Mount("/a", app, lifespan=ISOLATED)])):
        await until(lambda: caplog.messages[-1].endswith("up again."))
        app.dies.set()
        await until(lambda: app.starts == 7 and caplog.messages[-1].endswith("up again."))
    prefix = "The app mounted at '/a' is not up and answers 503; it is started again in "
    found = [text.removeprefix(prefix + "0.01 seconds. ") for text in told(caplog)]
    assert found == [
        "It raised while it started: RuntimeError('start 1')",
        "It raised while it started: RuntimeError('start 2')",
        "It raised while it started: RuntimeError('elsewhere')",
        "It failed to start: Traceback of old\nValueError: 3",
        "ValueError: 3",
        "The app mounted at '/a' is up again.",
        "It ended its lifespan while it was serving: RuntimeError('died')",
        "The app mounted at '/a' is up again.",
    ]
    has_traceback = [bool(record.exc_info) for record in caplog.records]
    assert has_traceback == [True, False, True, False, False, False, True, False]


async def test_a_delay_of_one_second(caplog: pytest.LogCaptureFixture) -> None:
    """In words."""
    async with running(Dispatcher([Mount("/a", failing(), lifespan=ISOLATED)])):
        assert told(caplog) == [
            "The app mounted at '/a' is not up and answers 503; it is started again in 1 second. "
            "It failed to start: RuntimeError: no database"
        ]
