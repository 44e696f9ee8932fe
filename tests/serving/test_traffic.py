"""Limits, timeouts and errors of one mount: what its neighbours and its clients see of them."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    LimitMiddleware,
    Mount,
    MountkitError,
    PatternError,
    TimeoutMiddleware,
)
from mountkit.tasks import is_outside
from tests.support.actors import Slow, raising
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


START: Message = {"type": "http.response.start", "status": 200, "headers": []}
PART: Message = {"type": "http.response.body", "body": b"x", "more_body": True}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_concurrency", 0),
        ("max_concurrency", "many"),
        ("response_timeout", -1),
        ("total_timeout", 0),
    ],
)
def test_a_limit_is_a_number_above_0(option: str, value: Any) -> None:
    """Anything else is refused when the mount is made."""
    with pytest.raises(PatternError, match=f"^{option}={value!r} is no number above 0; write"):
        Mount("/x", Starlette(), **{option: value})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"when_full": 500}, "when_full=500 is not known; write one of 503, 429, 'wait'."),
        ({"errors": "hide"}, "errors='hide' is not known; write one of 'contain', 'raise'."),
    ],
    ids=["when_full", "errors"],
)
def test_options_that_are_not_known(option: Any, message: str) -> None:
    """The message says which there are."""
    with pytest.raises(PatternError) as caught:
        Mount("/x", Starlette(), **option)
    assert str(caught.value) == message


@pytest.mark.parametrize("status", [503, 429])
async def test_a_full_mount_refuses(status: Any) -> None:
    """With the status that was chosen; its neighbours serve."""
    slow = Slow([])
    mount = Mount(
        "/slow", slow, middleware=[Middleware(LimitMiddleware, max_concurrency=2, when_full=status)]
    )
    app = Dispatcher([mount, Mount("/well", PlainTextResponse("well"))])
    async with anyio.create_task_group() as tasks:
        first = [ask(tasks, app, scope_of("/slow")) for _ in range(2)]
        await until(lambda: slow.entered == 2)
        sent, _ = await asked(app, scope_of("/slow"))
        assert sent[0]["status"] == status
        assert (b"retry-after", b"1") in sent[0]["headers"]
        sent, _ = await asked(app, scope_of("/slow", type="websocket"))
        assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]
        assert (await asked(app, scope_of("/well")))[0][0]["status"] == 200
        slow.go.set()
        await until(lambda: all(request.ended.is_set() for request in first))
        assert (await asked(app, scope_of("/slow")))[0][0]["status"] == 200
    assert mount.health.answered == {"2xx": 3, "4xx": 1, f"{status // 100}xx": 1} or (
        status == 429 and mount.health.answered == {"2xx": 3, "4xx": 2}
    )


async def test_a_full_mount_lets_wait() -> None:
    """Each gets its turn, in order."""
    log: list[int] = []
    gates = [anyio.Event() for _ in range(3)]

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        number = int(scope["path"][-1])
        log.append(number)
        await gates[number].wait()
        await PlainTextResponse("x")(scope, receive, send)

    app = Dispatcher(
        [
            Mount(
                "/w",
                child,
                middleware=[Middleware(LimitMiddleware, max_concurrency=1, when_full="wait")],
            )
        ]
    )
    async with anyio.create_task_group() as tasks:
        requests = []
        for number in range(3):
            requests.append(ask(tasks, app, scope_of(f"/w/{number}")))
            await until(lambda: len(app.routes[0].traffic.flights) == len(requests))  # type: ignore[attr-defined]
            await anyio.sleep(0.005)
        assert log == [0]
        for number, gate in enumerate(gates):
            gate.set()
            await requests[number].ended.wait()
    assert log == [0, 1, 2]
    assert [request.status for request in requests] == [200] * 3


async def test_whoever_waits_too_long_is_refused() -> None:
    """503, as it never had a place; the place goes on to the next."""
    slow = Slow([])
    mount = Mount(
        "/w",
        slow,
        middleware=[
            Middleware(TimeoutMiddleware, response=0.05),
            Middleware(LimitMiddleware, max_concurrency=1, when_full="wait"),
        ],
    )
    app = Dispatcher([mount])
    async with anyio.create_task_group() as tasks:
        slow.answers_first = True
        first = ask(tasks, app, scope_of("/w"))
        await until(lambda: slow.entered == 1)
        sent, _ = await asked(app, scope_of("/w"))
        assert sent[0]["status"] == 503
        slow.go.set()
        await first.ended.wait()
        assert (await asked(app, scope_of("/w")))[0][0]["status"] == 200


@pytest.mark.parametrize("option", ["response_timeout", "total_timeout"])
async def test_no_answer_in_time(option: str, caplog: pytest.LogCaptureFixture) -> None:
    """504, and the app is cancelled."""
    log: list[str] = []
    mount = Mount("/slow", Slow(log), **{option: 0.02})  # type: ignore[arg-type]
    sent, error = await asked(Dispatcher([mount]), scope_of("/slow"))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (sent[0]["status"], error, log) == (504, None, ["slow cancelled"])
    assert mount.health.error == "It did not answer within 0.02 seconds."
    [record] = caplog.records
    assert record.getMessage().startswith("The app mounted at '/slow' (")
    assert record.getMessage().endswith("answers 504: It did not answer within 0.02 seconds.")


async def test_the_response_timeout_ends_with_its_start() -> None:
    """A stream may take as long as it likes."""

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await anyio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"x"})

    app = Dispatcher(
        [Mount("/s", child, middleware=[Middleware(TimeoutMiddleware, response=0.05)])]
    )
    sent, error = await asked(app, scope_of("/s"))
    assert (len(sent), error) == (2, None)


async def test_a_stream_beyond_the_total_timeout() -> None:
    """The connection is broken: nothing is sent that would look like the end."""
    slow = Slow([], answers_first=True)
    app = Dispatcher(
        [Mount("/s", slow, middleware=[Middleware(TimeoutMiddleware, response=5, total=0.02)])]
    )
    sent, error = await asked(app, scope_of("/s"))
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert isinstance(error, MountkitError)
    assert "was broken off: It did not end within 0.02 seconds." in str(error)


@pytest.mark.parametrize("accepted", [False, True], ids=["handshake", "accepted"])
async def test_a_websocket_beyond_its_time(accepted: bool) -> None:
    """Is turned away, or closed with code 1011."""
    app = Dispatcher(
        [
            Mount(
                "/s",
                Slow([], answers_first=accepted),
                middleware=[Middleware(TimeoutMiddleware, total=0.02)],
            )
        ]
    )
    sent, error = await asked(app, scope_of("/s", type="websocket"))
    assert error is None
    assert sent[-1]["type"] == "websocket.close"
    assert sent[-1]["code"] == (1011 if accepted else 1000)


async def test_a_websocket_is_turned_away_with_a_status_where_that_can_be_said() -> None:
    """ASGI's extension `websocket.http.response`."""
    app = Dispatcher(
        [Mount("/s", Slow([]), middleware=[Middleware(TimeoutMiddleware, response=0.02)])]
    )
    scope = scope_of("/s", type="websocket", extensions={"websocket.http.response": {}})
    sent, _ = await asked(app, scope)
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
    sent, error = await asked(
        Dispatcher([Mount("/s", child, middleware=[Middleware(TimeoutMiddleware, total=0.02)])]),
        scope_of("/s"),
    )
    assert (sent[0]["status"], len(sent), error, cancelled) == (200, 2, None, True)


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(RuntimeError("boom"), id="exception"),
        pytest.param(SystemExit(3), id="exit"),
        pytest.param(BaseExceptionGroup("several", [SystemExit(3)]), id="group"),
    ],
)
async def test_an_error_before_the_answer(
    exc: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Becomes the mount's 500, and one log record with its name."""
    mount = Mount("/bad", raising(exc))
    sent, error = await asked(Dispatcher([mount]), scope_of("/bad"))
    assert (sent[0]["status"], sent[1]["body"], error) == (500, b"Internal Server Error", None)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("The app mounted at '/bad' (")
    assert record.exc_info is not None
    assert record.exc_info[1] is exc
    assert mount.health.error == f"{type(exc).__name__}: {exc}"
    assert mount.health.answered == {"5xx": 1}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_of_the_apps_own(anyio_backend: str) -> None:
    """Nobody has cancelled the request: an error like any other."""
    app = Dispatcher([Mount("/bad", raising(asyncio.CancelledError()))])
    sent, error = await asked(app, scope_of("/bad"))
    assert (sent[0]["status"], error) == (500, None)


@pytest.fixture
def sigint() -> Iterator[None]:
    """Python's own handler, which a process that a shell has put into the background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize(
    "exc",
    [KeyboardInterrupt(), BaseExceptionGroup("", [ValueError(), KeyboardInterrupt()])],
    ids=["alone", "group"],
)
async def test_ctrl_c_goes_on(exc: BaseException) -> None:
    """It is the server's, as long as a signal raises it."""
    app = Dispatcher([Mount("/bad", raising(exc))])
    server = Running(app)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await app(scope_of("/bad"), server.receive, server.send)
    assert caught.value is exc
    assert server.messages == []


@pytest.mark.usefixtures("sigint")
def test_ctrl_c_of_a_runner_goes_on(anyio_backend: str) -> None:
    """The handlers that asyncio and trio install raise it."""
    app = Dispatcher([Mount("/bad", raising(KeyboardInterrupt()))])
    server = Running(app)
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        anyio.run(app, scope_of("/bad"), server.receive, server.send, backend=anyio_backend)
    assert server.messages == []


def handles_itself(signum: int, frame: Any) -> None:
    """What uvicorn, hypercorn and granian install."""


@pytest.mark.parametrize("thread", ["main", "other"])
def test_an_app_that_raises_ctrl_c(
    anyio_backend: str, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No signal raises where the server handles it, or in another thread: it is an
    error of the app."""
    app = Dispatcher([Mount("/bad", raising(KeyboardInterrupt()))])
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


@pytest.mark.parametrize("options", [{}, {"total_timeout": 5}], ids=["plain", "limited"])
async def test_an_app_that_raises_the_end_of_a_generator(options: Any) -> None:
    """Nobody has closed its coroutine."""
    app = Dispatcher([Mount("/bad", raising(GeneratorExit()), **options)])
    sent, error = await asked(app, scope_of("/bad"))
    assert (sent[0]["status"], error) == (500, None)


def test_a_coroutine_that_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Is not answered for: nobody awaits it any more."""
    server = Running(Dispatcher([]))

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().create_future()

    async def begin() -> Any:
        app = Dispatcher([Mount("/slow", waits)])
        call = app(scope_of("/slow"), server.receive, server.send)
        call.send(None)
        return call

    asyncio.run(begin()).close()
    assert (server.messages, caplog.records) == ([], [])
    assert is_outside(GeneratorExit())


async def test_a_cancelled_request_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The server has given it up."""
    slow = Slow([])
    mount = Mount("/slow", slow)
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, Dispatcher([mount]), scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        tasks.cancel_scope.cancel()
    assert (request.sent, request.error, caplog.records) == ([], None, [])
    assert mount.health.answered == {"none": 1}
    assert mount.health.in_flight == 0


@pytest.mark.parametrize("after", [[START], [START, PART]], ids=["start", "part"])
async def test_an_error_after_the_start(after: list[Message]) -> None:
    """Goes up, so that the server breaks the connection; it says whose it is."""
    app = Dispatcher([Mount("/bad", raising(RuntimeError("boom"), after=after))])
    sent, error = await asked(app, scope_of("/bad"))
    assert sent == after
    assert isinstance(error, RuntimeError)
    [note] = error.__notes__
    assert note.startswith("The app mounted at '/bad' (")


async def test_an_exit_after_the_start() -> None:
    """Does not end the server."""
    app = Dispatcher([Mount("/bad", raising(SystemExit(3), after=[START]))])
    sent, error = await asked(app, scope_of("/bad"))
    assert sent == [START]
    assert isinstance(error, MountkitError)
    assert isinstance(error.__cause__, SystemExit)


async def test_an_error_of_a_websocket() -> None:
    """Turned away before it is accepted."""
    app = Dispatcher([Mount("/bad", raising(RuntimeError("boom")))])
    scope = scope_of("/bad", type="websocket", extensions={"websocket.http.response": {}})
    sent, error = await asked(app, scope)
    assert (sent[0]["status"], error) == (500, None)


class Known(Exception):
    """One that the parent has a handler for."""


async def handle(request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"handled": str(exc)}, 418)


def parents(mount: Callable[[], Mount]) -> list[Any]:
    """A parent that has a handler, with the mount among its routes and in front of it."""
    handlers: Any = {Known: handle}
    in_front = Starlette(exception_handlers=handlers)
    in_front.add_middleware(DispatchMiddleware, mounts=[mount()])
    return [
        pytest.param(Starlette(routes=[mount()], exception_handlers=handlers), id="route"),
        pytest.param(in_front, id="middleware"),
    ]


@pytest.mark.parametrize(
    "app", parents(lambda: Mount("/bad", raising(Known("it")), errors="raise"))
)
def test_errors_go_up_by_choice(app: Starlette, client: ClientFactory) -> None:
    """To the parent's handlers."""
    response = client(app).get("/bad")
    assert (response.status_code, response.json()) == (418, {"handled": "it"})


@pytest.mark.parametrize("app", parents(lambda: Mount("/bad", raising(Known("it")))))
def test_errors_stay_by_default(app: Starlette, client: ClientFactory) -> None:
    """Whatever handlers the parent has: the app is another's."""
    assert client(app).get("/bad").status_code == 500


@pytest.mark.parametrize("app", parents(lambda: Mount("/bad", raising(HTTPException(409, "no")))))
def test_an_http_exception_is_an_answer(app: Starlette, client: ClientFactory) -> None:
    """Starlette's own apps raise it for whoever is above, such as `StaticFiles` its 404."""
    response = client(app).get("/bad")
    assert (response.status_code, response.text) == (409, "no")


def test_errors_of_routes_are_the_parents(client: ClientFactory) -> None:
    """They are a part of it."""

    async def fail(request: Request) -> None:
        raise Known("it")

    mount = Mount("/team", routes=[Route("/x", fail)])
    app = Starlette(routes=[mount], exception_handlers={Known: handle})  # type: ignore[dict-item]
    assert client(app).get("/team/x").status_code == 418


def test_an_error_of_a_starlette_app_reaches_the_test_client(client: ClientFactory) -> None:
    """It answers 500 itself and raises for whoever watches; that is not hidden."""

    async def fail(request: Request) -> None:
        raise Known("it")

    app = Dispatcher([Mount("/a", Starlette(routes=[Route("/x", fail)]))])
    with pytest.raises(Known):
        client(app).get("/a/x")
    assert client(app, raise_server_exceptions=False).get("/a/x").status_code == 500


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/a/ok", {"2xx": 1}),
        ("/a/gone", {"4xx": 1}),
        ("/a/stream", {"2xx": 1}),
    ],
)
def test_answers_are_counted(client: ClientFactory, path: str, answered: dict[str, int]) -> None:
    """By the class of their status."""

    async def ok(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b"]))

    mount = Mount("/a", Starlette(routes=[Route("/ok", ok), Route("/stream", stream)]))
    client(Dispatcher([mount])).get(path)
    assert mount.health.answered == answered
    assert mount.health.in_flight == 0


def test_a_redirect_is_counted(client: ClientFactory) -> None:
    """It is the mount's answer, not the app's."""
    mount = Mount("/a", Starlette(), redirect_slashes=True)
    client(Dispatcher([mount])).get("/a", follow_redirects=False)
    assert mount.health.answered == {"3xx": 1}


async def test_an_accepted_websocket_is_counted() -> None:
    """As what its handshake answers: 101."""
    slow = Slow([], answers_first=True)
    slow.go.set()
    mount = Mount("/a", slow)
    await asked(Dispatcher([mount]), scope_of("/a", type="websocket"))
    assert mount.health.answered == {"1xx": 1}
