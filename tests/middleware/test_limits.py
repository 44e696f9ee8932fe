"""`LimitMiddleware`: how many requests an app serves at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mountkit.exceptions import PatternError
from mountkit.middleware.limits import LimitMiddleware
from mountkit.middleware.timeouts import TimeoutMiddleware
from tests.support.actors import Slow, raising
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("value", [0, -1, "many", 1.5, None])
def test_a_limit_is_a_whole_number_above_0(value: Any) -> None:
    """The message says what to write."""
    with pytest.raises(PatternError) as caught:
        LimitMiddleware(Starlette(), max_concurrency=value)
    assert str(caught.value) == (
        f"max_concurrency={value!r} is not a whole number above 0; write e.g. 10."
    )


def test_when_full_is_known() -> None:
    """The message says which there are."""
    with pytest.raises(PatternError) as caught:
        LimitMiddleware(Starlette(), max_concurrency=1, when_full=500)  # type: ignore[arg-type]
    assert str(caught.value) == "when_full=500 is not known; write one of 503, 429, 'wait'."


class OfMount:
    where = "The app mounted at '/slow' (main.py:1)"
    error: str | None = None


@pytest.mark.parametrize("status", [503, 429])
async def test_a_full_app_refuses(status: Any, caplog: pytest.LogCaptureFixture) -> None:
    """With the status that was chosen, and serves again once there is a place."""
    caplog.set_level(logging.INFO)
    slow = Slow([])
    app = LimitMiddleware(slow, max_concurrency=2, when_full=status)
    mount = OfMount()
    async with anyio.create_task_group() as tasks:
        first = [ask(tasks, app, scope_of("/slow")) for _ in range(2)]
        await until(lambda: slow.entered == 2)
        sent, _ = await asked(app, scope_of("/slow", **{"mountkit.mount": mount}))
        assert sent[0]["status"] == status
        assert (b"retry-after", b"1") in sent[0]["headers"]
        slow.go.set()
        await until(lambda: all(request.ended.is_set() for request in first))
        assert (await asked(app, scope_of("/slow")))[0][0]["status"] == 200
    assert mount.error == "It is full: it serves 2 at a time."
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == f"{mount.where} answers {status}: {mount.error}"


@pytest.mark.parametrize(
    "extensions", [{}, {"websocket.http.response": {}}], ids=["close", "status"]
)
async def test_a_full_app_refuses_a_websocket(extensions: Any) -> None:
    """With the status where the server can send it."""
    slow = Slow([])
    app = LimitMiddleware(slow, max_concurrency=1)
    scope = scope_of("/slow", type="websocket", extensions=extensions)
    async with anyio.create_task_group() as tasks:
        ask(tasks, app, scope)
        await until(lambda: slow.entered == 1)
        sent, _ = await asked(app, scope)
        slow.go.set()
    if extensions:
        assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 503)
    else:
        assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


class Gated:
    """Each request waits for its own gate: `/0`, `/1`, …"""

    def __init__(self, number: int) -> None:
        self.log: list[int] = []
        self.gates = [anyio.Event() for _ in range(number)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        number = int(scope["path"][-1])
        self.log.append(number)
        await self.gates[number].wait()
        await PlainTextResponse("x")(scope, receive, send)


def waiting(app: LimitMiddleware, number: int) -> Callable[[], bool]:
    return lambda: len(app._waiting) == number


async def test_a_full_app_lets_requests_wait() -> None:
    """Each gets its turn, first come first served."""
    gated = Gated(4)
    app = LimitMiddleware(gated, max_concurrency=1, when_full="wait")
    async with anyio.create_task_group() as tasks:
        requests = []
        for number in range(4):
            requests.append(ask(tasks, app, scope_of(f"/{number}")))
            await until(waiting(app, number) if number else lambda: gated.log == [0])
        for number, gate in enumerate(gated.gates):
            gate.set()
            await requests[number].ended.wait()
    assert gated.log == [0, 1, 2, 3]
    assert [request.status for request in requests] == [200] * 4
    assert (await asked(app, scope_of("/0")))[0][0]["status"] == 200


async def test_a_request_that_is_cancelled_while_it_waits() -> None:
    """Leaves the queue; the next one gets the place."""
    gated = Gated(3)
    app = LimitMiddleware(gated, max_concurrency=1, when_full="wait")
    async with anyio.create_task_group() as tasks:
        ask(tasks, app, scope_of("/0"))
        await until(lambda: gated.log == [0])
        async with anyio.create_task_group() as leaving:
            ask(leaving, app, scope_of("/1"))
            await until(waiting(app, 1))
            last = ask(tasks, app, scope_of("/2"))
            await until(waiting(app, 2))
            leaving.cancel_scope.cancel()
        assert waiting(app, 1)()
        gated.gates[0].set()
        gated.gates[2].set()
        await last.ended.wait()
    assert gated.log == [0, 2]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_request_that_is_cancelled_as_its_turn_comes(anyio_backend: str) -> None:
    """Passes its place on; trio and anyio do not cancel a task that is about to go on."""
    gated = Gated(3)
    app = LimitMiddleware(gated, max_concurrency=1, when_full="wait")
    server = Running(app)

    def call(path: str) -> asyncio.Task[None]:
        return asyncio.ensure_future(app(scope_of(path), server.receive, server.send))  # type: ignore[arg-type]

    calls = [call(f"/{number}") for number in range(3)]
    await until(waiting(app, 2))
    [turn, _] = app._waiting
    gated.gates[0].set()
    gated.gates[2].set()
    while not turn.is_set():  # noqa: ASYNC110 # in the step of the loop in which the first one ends
        await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert gated.log == [0, 2]
    assert app._free == 1


async def test_a_request_that_waits_too_long() -> None:
    """Counts against the timeouts above, and leaves its place to the next."""
    slow = Slow([], answers_first=True)
    limited = LimitMiddleware(slow, max_concurrency=1, when_full="wait")
    app = TimeoutMiddleware(limited, response=0.05)
    async with anyio.create_task_group() as tasks:
        first = ask(tasks, app, scope_of("/w"))
        await until(lambda: slow.entered == 1)
        sent, _ = await asked(app, scope_of("/w"))
        assert sent[0]["status"] == 504
        slow.go.set()
        await first.ended.wait()
        assert (await asked(app, scope_of("/w")))[0][0]["status"] == 200


async def test_an_app_that_raises_gives_its_place_back() -> None:
    """As any other."""
    app = LimitMiddleware(raising(RuntimeError("boom")), max_concurrency=1)
    for _ in range(2):
        assert isinstance((await asked(app, scope_of("/")))[1], RuntimeError)


def test_below_middleware_of_starlette(client: ClientFactory) -> None:
    """Lifespans take no place, and one app serves on several event loops after each other."""
    limit = Middleware(LimitMiddleware, max_concurrency=1, when_full="wait")
    app = Starlette(routes=[Route("/", PlainTextResponse("x"))], middleware=[limit])
    for _ in range(2):
        with client(app) as session:
            assert [session.get("/").text for _ in range(2)] == ["x", "x"]
