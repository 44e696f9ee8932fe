"""`TimeoutMiddleware`: how long an app may take."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit.exceptions import MountkitError, PatternError
from mountkit.middleware.errors import ContainMiddleware
from mountkit.middleware.timeouts import TimeoutMiddleware
from tests.support.actors import Slow
from tests.support.apps.misbehaving import START
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

END: Message = {"type": "http.response.body", "body": b"x"}


@pytest.mark.parametrize("option", ["response", "total"])
@pytest.mark.parametrize("value", [0, -1, "1", math.nan])
def test_a_timeout_is_a_number_above_0(option: str, value: Any) -> None:
    """The message says what to write."""
    with pytest.raises(PatternError) as caught:
        TimeoutMiddleware(Starlette(), **{option: value})
    assert str(caught.value) == f"{option}={value!r} is not a number above 0; write e.g. 10."


class OfMount:
    where = "The app mounted at '/slow' (main.py:1)"
    error: str | None = None


@pytest.mark.parametrize(
    "options", [{"response": 0.02}, {"total": 0.02}, {"response": 9, "total": 0.02}], ids=repr
)
async def test_no_answer_in_time(options: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 504, and the app is cancelled."""
    log: list[str] = []
    mount = OfMount()
    scope = scope_of("/slow", **{"mountkit.mount": mount})
    sent, error = await asked(TimeoutMiddleware(Slow(log), **options), scope)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (sent[0]["status"], error, log) == (504, None, ["slow cancelled"])
    assert mount.error == "It did not answer within 0.02 seconds."
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"{mount.where} answers 504: {mount.error}"


@pytest.mark.parametrize("options", [{"response": 0.02}, {"response": 0.02, "total": 30}], ids=repr)
async def test_the_response_timeout_ends_with_the_start(options: Any) -> None:
    """A stream may take longer."""

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await anyio.sleep(0.08)
        await send(END)

    sent, error = await asked(TimeoutMiddleware(child, **options), scope_of("/s"))
    assert (len(sent), error) == (2, None)


@pytest.mark.parametrize("response", [None, 0.01], ids=["total", "both"])
async def test_a_stream_beyond_the_total_timeout(response: float | None) -> None:
    """The connection is broken: nothing is sent that would look like the end."""
    slow = Slow([], answers_first=True)
    app = TimeoutMiddleware(slow, response=response, total=0.03)
    sent, error = await asked(app, scope_of("/s", root_path="/shop"))
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert isinstance(error, MountkitError)
    assert str(error) == "The app at '/shop' was broken off: It did not end within 0.03 seconds."


@pytest.mark.parametrize("accepted", [False, True], ids=["handshake", "accepted"])
async def test_a_websocket_beyond_its_time(accepted: bool) -> None:
    """Is denied, or closed with code 1011."""
    app = TimeoutMiddleware(Slow([], answers_first=accepted), total=0.02)
    sent, error = await asked(app, scope_of("/s", type="websocket"))
    assert error is None
    assert sent[-1]["type"] == "websocket.close"
    assert sent[-1]["code"] == (1011 if accepted else 1000)


async def test_a_websocket_is_denied_with_a_status_where_the_server_can_do_so() -> None:
    """ASGI's extension `websocket.http.response`."""
    scope = scope_of("/s", type="websocket", extensions={"websocket.http.response": {}})
    sent, _ = await asked(TimeoutMiddleware(Slow([]), response=0.02), scope)
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 504)


async def test_a_background_task_beyond_the_total_timeout() -> None:
    """Is cancelled; the answer was out already."""
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        finally:
            cancelled = True

    child = PlainTextResponse("x", background=BackgroundTask(work))
    sent, error = await asked(TimeoutMiddleware(child, total=0.02), scope_of("/s"))
    assert (sent[0]["status"], len(sent), error, cancelled) == (200, 2, None, True)


async def test_a_background_task_has_no_response_timeout() -> None:
    """The response has started."""
    child = PlainTextResponse("x", background=BackgroundTask(anyio.sleep, 0.06))
    sent, error = await asked(TimeoutMiddleware(child, response=0.01), scope_of("/s"))
    assert (len(sent), error) == (2, None)


async def test_a_cancellation_from_outside_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Before the time has run out, it is not the layer's."""
    slow = Slow([])
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, TimeoutMiddleware(slow, total=30), scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        tasks.cancel_scope.cancel()
    assert (request.sent, request.error, caplog.records) == ([], None, [])


class Stubborn:
    """An app that catches its first cancellation and goes on until it is let go."""

    def __init__(self, *, answers: bool = True, error: Exception | None = None) -> None:
        self.answers = answers
        self.error = error
        self.cancelled = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if self.answers:
            await send(START)
            await send(END)


on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
async def test_an_app_that_catches_its_cancellation(anyio_backend: str) -> None:
    """Its late answer counts, it is not cancelled again, and the task stays usable."""
    app = Stubborn()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def serve() -> int:
        layer = TimeoutMiddleware(app, response=0.01, total=0.02)
        await layer(scope_of("/"), Running(app).receive, send)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    serving = asyncio.create_task(serve())
    await app.cancelled.wait()
    await asyncio.sleep(0.05)
    app.go.set()
    assert await serving == 0
    assert sent == [START, END]


@on_asyncio
async def test_an_app_that_catches_its_cancellation_and_is_silent(anyio_backend: str) -> None:
    """Nothing was answered in time: 504."""
    app = Stubborn(answers=False)
    app.go.set()
    sent, error = await asked(TimeoutMiddleware(app, total=0.01), scope_of("/"))
    assert (sent[0]["status"], error) == (504, None)


@on_asyncio
async def test_an_app_that_raises_another_exception_when_it_is_cancelled(
    anyio_backend: str,
) -> None:
    """It goes up."""
    app = Stubborn(error=RuntimeError("boom"))
    app.go.set()
    sent, error = await asked(TimeoutMiddleware(app, total=0.01), scope_of("/"))
    assert (sent, error) == ([], app.error)


@on_asyncio
async def test_a_cancellation_from_outside_wins(anyio_backend: str) -> None:
    """Also while the app is cancelled by the layer; asyncio counts both."""
    app = Stubborn()
    layer = TimeoutMiddleware(app, total=0.01)
    running = Running(app)
    serving = asyncio.create_task(layer(scope_of("/"), running.receive, running.send))  # type: ignore[arg-type]
    await app.cancelled.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert running.messages == []


@on_asyncio
async def test_within_a_timeout_of_asyncio(anyio_backend: str) -> None:
    """Each has its own cancellation: the outer one raises `TimeoutError`."""
    layer = TimeoutMiddleware(Slow([]), total=30)
    running = Running(layer)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await layer(scope_of("/"), running.receive, running.send)
    async with asyncio.timeout(30):
        await TimeoutMiddleware(Slow([]), total=0.01)(scope_of("/"), running.receive, running.send)
    assert running.messages[0]["status"] == 504


@on_asyncio
@pytest.mark.parametrize(
    "options", [{"response": 60}, {"total": 60}, {"response": 60, "total": 90}], ids=repr
)
@pytest.mark.parametrize("app", [PlainTextResponse("x"), Starlette()], ids=["answers", "404"])
async def test_no_timer_outlives_its_request(anyio_backend: str, options: Any, app: Any) -> None:
    """Nothing is left in the event loop but what was cancelled."""
    await asked(TimeoutMiddleware(app, **options), scope_of("/"))
    loop: Any = asyncio.get_running_loop()
    assert [
        timer
        for timer in loop._scheduled
        if not timer.cancelled() and timer.when() > loop.time() + 61
    ] == []
    pending = [timer for timer in loop._scheduled if not timer.cancelled()]
    assert not any("_Timer" in repr(timer) for timer in pending)


@pytest.mark.parametrize("started", [False, True], ids=["504", "broken"])
async def test_above_containment(started: bool) -> None:
    """The cancellation goes through it."""
    app = TimeoutMiddleware(ContainMiddleware(Slow([], answers_first=started)), total=0.02)
    sent, error = await asked(app, scope_of("/"))
    assert sent[0]["status"] == (200 if started else 504)
    assert isinstance(error, MountkitError) is started


async def test_below_containment() -> None:
    """A broken connection is not answered a second time."""
    app = ContainMiddleware(TimeoutMiddleware(Slow([], answers_first=True), total=0.02))
    sent, error = await asked(app, scope_of("/"))
    assert len(sent) == 1
    assert isinstance(error, MountkitError)


@pytest.mark.parametrize("options", [{"response": 0.02}, {}], ids=["timeout", "none"])
def test_below_middleware_of_starlette(options: Any, client: ClientFactory) -> None:
    """Lifespans have no timeout, and neither has an app without options."""

    async def wait(request: Request) -> PlainTextResponse:
        await anyio.sleep(60 if options else 0)
        return PlainTextResponse("x")

    app = Starlette(
        routes=[Route("/", wait)], middleware=[Middleware(TimeoutMiddleware, **options)]
    )
    with client(app) as session:
        assert session.get("/").status_code == (504 if options else 200)
