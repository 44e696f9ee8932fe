"""`ContainMiddleware`: an app that raises answers 500, and the app above goes on."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.exceptions import ImproperResponseError, MountkitError
from mountkit.middleware.checks import CheckMiddleware
from mountkit.middleware.errors import ContainMiddleware
from mountkit.middleware.timeouts import TimeoutMiddleware
from tests.support.actors import Slow, pressed, raising
from tests.support.apps.misbehaving import (
    ACCEPT,
    BODY,
    CLOSE,
    PART,
    START,
    WEBSOCKET,
    Unspeakable,
    raises,
    sends,
)
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


class OfMount:
    where = "The app mounted at '/bad' (main.py:1)"
    error: str | None = None


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(RuntimeError("boom"), id="exception"),
        pytest.param(SystemExit(3), id="exit"),
        pytest.param(GeneratorExit(), id="generator-exit"),
        pytest.param(BaseExceptionGroup("several", [SystemExit(3)]), id="group"),
        pytest.param(
            BaseExceptionGroup("several", [ValueError(), GeneratorExit()]), id="group-of-both"
        ),
    ],
)
async def test_an_error_before_the_answer(
    exc: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Becomes a 500, and one log record."""
    mount = OfMount()
    scope = scope_of("/bad", **{"mountkit.mount": mount})
    sent, error = await asked(ContainMiddleware(raising(exc)), scope)
    assert (sent[0]["status"], sent[1]["body"], error) == (500, b"Internal Server Error", None)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"{mount.where} raised and answers 500."
    assert record.exc_info is not None
    assert record.exc_info[1] is exc
    assert mount.error is not None
    assert mount.error.startswith(type(exc).__name__)


async def test_without_a_mount_the_prefix_names_the_app(caplog: pytest.LogCaptureFixture) -> None:
    """The `root_path`."""
    app = ContainMiddleware(raising(RuntimeError("boom")))
    await asked(app, scope_of("/shop/x", root_path="/shop"))
    assert caplog.records[0].getMessage() == "The app at '/shop' raised and answers 500."


@pytest.mark.parametrize("layer", ["contain", "check", "timeout"])
async def test_the_prefix_is_that_of_the_layer(
    layer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Routers of Starlette write the prefix of an inner mount into the scope."""
    layers: dict[str, Any] = {
        "contain": (Middleware(ContainMiddleware), raising(RuntimeError("boom"))),
        "check": (Middleware(CheckMiddleware), sends()),
        "timeout": (Middleware(TimeoutMiddleware, response=0.01), Slow([])),
    }
    middleware, app = layers[layer]
    site = Starlette(routes=[Mount("/inner", app)], middleware=[middleware])
    await asked(site, scope_of("/shop/inner/x", root_path="/shop"))
    [record] = caplog.records
    assert record.getMessage().startswith("The app at '/shop' ")


async def test_an_exception_without_a_text() -> None:
    """Its class is enough."""
    mount = OfMount()
    app = ContainMiddleware(raises(Unspeakable))
    sent, error = await asked(app, scope_of("/", **{"mountkit.mount": mount}))
    assert (sent[0]["status"], error, mount.error) == (500, None, "Unspeakable")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("is_group", [False, True], ids=["alone", "group"])
async def test_a_cancellation_of_the_apps_own(anyio_backend: str, is_group: bool) -> None:
    """The request was not cancelled, so this is an error like any other."""
    exc: BaseException = asyncio.CancelledError()
    if is_group:
        exc = BaseExceptionGroup("several", [exc])
    sent, error = await asked(ContainMiddleware(raising(exc)), scope_of("/bad"))
    assert (sent[0]["status"], error) == (500, None)


@pytest.mark.parametrize(
    "exc", [HTTPException(409), WebSocketException(4000), MultiPartException("no")], ids=repr
)
async def test_an_exception_that_is_an_answer(
    exc: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is for the app above."""
    sent, error = await asked(ContainMiddleware(raising(exc)), scope_of("/"))
    assert (sent, error, caplog.records) == ([], exc, [])


@pytest.fixture
def sigint() -> Iterator[None]:
    """Python's own handler, which a process lacks that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("is_group", [False, True], ids=["alone", "group"])
async def test_ctrl_c_goes_on(is_group: bool) -> None:
    """It is the server's, as long as a signal raises it."""
    exc: BaseException = pressed()
    if is_group:
        exc = BaseExceptionGroup("", [ValueError(), exc])
    app = ContainMiddleware(raising(exc))
    server = Running(app)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await app(scope_of("/bad"), server.receive, server.send)
    assert caught.value is exc
    assert server.messages == []


def handles_itself(signum: int, frame: Any) -> None:
    """What uvicorn, hypercorn and granian install."""


@pytest.mark.parametrize("thread", ["main", "other"])
def test_an_app_that_raises_ctrl_c(anyio_backend: str, thread: str) -> None:
    """No signal raises it where the server handles the signal, or in another thread."""
    app = ContainMiddleware(raising(KeyboardInterrupt()))
    found: list[Any] = []

    def run() -> None:
        found.append(anyio.run(asked, app, scope_of("/bad"), backend=anyio_backend))

    before = signal.getsignal(signal.SIGINT)
    try:
        if thread == "main":
            signal.signal(signal.SIGINT, handles_itself)
            run()
        else:
            other = threading.Thread(target=run)
            other.start()
            other.join()
    finally:
        signal.signal(signal.SIGINT, before)
    [(sent, error)] = found
    assert (sent[0]["status"], error) == (500, None)


def test_a_coroutine_that_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Is not answered: it is not awaited any more."""
    server = Running(Starlette())

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().create_future()

    async def begin() -> Any:
        call: Any = ContainMiddleware(waits)(scope_of("/slow"), server.receive, server.send)
        call.send(None)
        return call

    asyncio.run(begin()).close()
    assert (server.messages, caplog.records) == ([], [])


async def test_a_cancelled_request_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """The server has given it up."""
    slow = Slow([])
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, ContainMiddleware(slow), scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        tasks.cancel_scope.cancel()
    assert (request.sent, request.error, caplog.records) == ([], None, [])


@pytest.mark.parametrize(
    "after", [[START], [START, PART], [START, BODY]], ids=["start", "part", "end"]
)
async def test_an_error_after_the_start(
    after: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    """Goes up, so that the server breaks the connection; the server logs it."""
    exc = RuntimeError("boom")
    sent, error = await asked(ContainMiddleware(raising(exc, after=after)), scope_of("/bad"))
    assert (sent, error, caplog.records) == (after, exc, [])


async def test_an_exit_after_the_start() -> None:
    """Does not end the server."""
    app = ContainMiddleware(raising(SystemExit(3), after=[START]))
    sent, error = await asked(app, scope_of("/bad"))
    assert sent == [START]
    assert isinstance(error, MountkitError)
    assert str(error) == "The app at '/' was ended by SystemExit: 3."
    assert isinstance(error.__cause__, SystemExit)


async def test_an_error_after_an_early_hint() -> None:
    """The answer has not started."""
    hint = {"type": "http.response.early_hint", "links": []}
    app = ContainMiddleware(raising(RuntimeError("boom"), after=[hint]))
    sent, _ = await asked(app, scope_of("/"))
    assert sent[1]["status"] == 500


async def test_an_error_of_a_handshake() -> None:
    """Denies the websocket."""
    app = ContainMiddleware(raising(RuntimeError("boom")))
    scope = scope_of("/bad", type="websocket", extensions={"websocket.http.response": {}})
    sent, error = await asked(app, scope)
    assert (sent[0]["status"], error) == (500, None)


@pytest.mark.parametrize("fault", ["raise-after-accept", "exit-after-accept"])
async def test_a_websocket_that_is_left_open(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is closed with code 1011, and the error is logged."""
    app = ContainMiddleware(WEBSOCKET[fault])
    sent, error = await asked(app, scope_of("/", type="websocket"))
    assert error is None
    assert sent == [ACCEPT, {**CLOSE, "code": 1011, "reason": ""}]
    [record] = caplog.records
    assert record.getMessage() == "The app at '/' raised and is closed with 1011."


async def test_an_error_after_a_websocket_was_closed() -> None:
    """Goes up: nothing is left to be sent."""
    app = ContainMiddleware(WEBSOCKET["raise-after-close"])
    sent, error = await asked(app, scope_of("/", type="websocket"))
    assert sent == [ACCEPT, CLOSE]
    assert isinstance(error, RuntimeError)


async def test_a_denial_without_an_end() -> None:
    """Its end is sent: servers wait for it."""
    start = {**START, "type": "websocket.http.response.start", "status": 403}
    app = ContainMiddleware(raises(lambda: KeyError(""), start))
    sent, error = await asked(app, scope_of("/", type="websocket"))
    assert error is None
    assert sent == [start, {"type": "websocket.http.response.body", "body": b""}]


async def test_an_answer_that_a_check_above_refuses() -> None:
    """Has not started."""
    app = CheckMiddleware(ContainMiddleware(sends({**START, "status": 99})))
    sent, error = await asked(app, scope_of("/"))
    assert (sent[0]["status"], error) == (500, None)


async def test_an_answer_that_a_check_below_refuses(caplog: pytest.LogCaptureFixture) -> None:
    """Is an exception of the app."""
    app = ContainMiddleware(CheckMiddleware(sends({**START, "status": 99})))
    sent, error = await asked(app, scope_of("/"))
    assert (sent[0]["status"], error) == (500, None)
    [record] = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ImproperResponseError)


async def test_a_start_that_fails_may_be_out() -> None:
    """So there is no second one."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        raise OSError("gone")

    app = ContainMiddleware(sends(START, BODY))
    with pytest.raises(OSError, match="gone"):
        await app(scope_of("/"), Running(app).receive, send)
    assert sent == [START]


def contained(app: ASGIApp) -> Starlette:
    """An app with a neighbour, both mounted by Starlette."""
    return Starlette(
        routes=[
            Mount("/bad", app, middleware=[Middleware(ContainMiddleware)]),
            Route("/well", PlainTextResponse("well")),
        ]
    )


def test_below_middleware_of_starlette(
    client: ClientFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The neighbours serve on, and the test client sees no exception."""
    with client(contained(raising(SystemExit(3)))) as session:
        assert session.get("/bad").status_code == 500
        assert session.get("/well").text == "well"
    messages = [
        record.getMessage() for record in caplog.records if record.name.startswith("mountkit")
    ]
    assert messages == ["The app at '/bad' raised and answers 500."]


def test_an_answer_for_the_app_above(client: ClientFactory) -> None:
    """Starlette's own apps raise it, such as `StaticFiles` its 404."""
    with client(contained(raising(HTTPException(409, "no")))) as session:
        response = session.get("/bad")
    assert (response.status_code, response.text) == (409, "no")


def test_the_lifespan_goes_through(client: ClientFactory) -> None:
    """An app that does not start is not contained: the server has to know."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("boom")

    with client(ContainMiddleware(Starlette())):
        pass
    with pytest.raises(RuntimeError, match="boom"), client(ContainMiddleware(app)):
        pass
