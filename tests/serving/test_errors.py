"""Exceptions of mounted apps: they go up, with a note, unless a mount or a dispatcher contains them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import (
    ContextMiddleware,
    Dispatcher,
    DispatchMiddleware,
    Mount,
    MountkitError,
    PatternError,
    Split,
)
from mountkit.tasks import is_outside
from tests.support.actors import Slow, pressed, raising
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.logs import logged
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
PART: Message = {"type": "http.response.body", "body": b"x", "more_body": True}
ACCEPT: Message = {"type": "websocket.accept"}


def in_front(*mounts: Mount, **options: Any) -> Starlette:
    app = Starlette(**options)
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    return app


def watched(app: ASGIApp) -> Mount:
    """A mount with a layer that comes between the app and the end of its request."""
    return Mount("/bad", app, middleware=[Middleware(ContextMiddleware)])


#: Every way to an app at `/bad`.
PLACES: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "dispatcher": lambda app: Dispatcher([Mount("/bad", app)]),
    "routes": lambda app: Starlette(routes=[Mount("/bad", app)]),
    "in-front": lambda app: in_front(Mount("/bad", app)),
    "default": lambda app: Dispatcher([Mount("/well", Starlette())], default=app),
    "split": lambda app: Dispatcher([Mount("/bad", Split({"a": (app, 1)}))]),
    "exposed": lambda app: Dispatcher([Mount("/own", app, expose=["/bad"])]),
    "nested": lambda app: Dispatcher([Mount("/", Dispatcher([Mount("/bad", app)]))]),
    "below-routes": lambda app: Dispatcher([Mount("/bad", routes=[StarletteMount("/", app)])]),
    "layered": lambda app: Dispatcher([watched(app)]),
}
every_place = pytest.mark.parametrize("place", PLACES)

#: What the note calls the app, where that is not its mount.
NAMES = {
    "default": "the default app (",
    "split": "the app 'a' of the split (",
    "exposed": "the app mounted at '/own' (",
}


def notes_of(error: BaseException | None) -> list[str]:
    return getattr(error, "__notes__", [])


@every_place
async def test_an_exception_goes_up_with_one_note(place: str) -> None:
    """It is the app's own, and the note says whose it is: the innermost mount's."""
    exc = RuntimeError("boom")
    app = PLACES[place](raising(exc))
    for _ in range(2):
        _, error = await asked(app, scope_of("/bad"))
        assert error is exc
    [note] = notes_of(exc)
    name = NAMES.get(place, "the app mounted at '/bad' (")
    assert note.startswith(f"mountkit: raised by {name}")
    assert note.endswith(").")
    assert f"{__file__}:" in note


async def test_an_exception_that_two_apps_raise() -> None:
    """The note is that of the request, and other notes stay."""
    exc = RuntimeError("boom")
    exc.add_note("the app's own")
    split = Split({"c": (raising(exc), 1)})
    app = Dispatcher([Mount("/a", raising(exc)), Mount("/b", raising(exc, after=[START]))])
    for path, name in (("/a", "'/a'"), ("/b", "'/b'"), ("/a", "'/a'")):
        await asked(app, scope_of(path))
        own, note = notes_of(exc)
        assert (own, f"raised by the app mounted at {name} (" in note) == ("the app's own", True)
        assert ("which had started" in note) == (path == "/b")
    for _ in range(2):
        await asked(split, scope_of("/"))
        assert "raised by the app 'c' of the split (" in notes_of(exc)[1]
    assert len(notes_of(exc)) == 2
    assert notes_of(pickle.loads(pickle.dumps(exc))) == notes_of(exc)


@pytest.mark.parametrize("place", ["dispatcher", "default", "split", "exposed", "nested"])
async def test_a_dispatcher_answers_nothing_in_its_place(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does it log: the server does both."""
    sent, error = await asked(PLACES[place](raising(RuntimeError("boom"))), scope_of("/bad"))
    assert (sent, logged(caplog)) == ([], [])
    assert isinstance(error, RuntimeError)


async def test_the_health_of_the_mount_has_the_error() -> None:
    """And no answer was counted."""
    mount = Mount("/bad", raising(RuntimeError("boom")))
    await asked(Dispatcher([mount]), scope_of("/bad"))
    health = mount.health
    assert (health.error, health.answered, health.in_flight) == (
        "RuntimeError: boom",
        {"none": 1},
        0,
    )


@every_place
def test_the_test_client_raises_it(place: str, client: ClientFactory) -> None:
    """A test of the whole sees what went wrong."""
    app = PLACES[place](raising(KeyError("boom")))
    with pytest.raises(KeyError, match="boom"):
        client(app).get("/bad")
    assert client(app, raise_server_exceptions=False).get("/bad").status_code == 500


@pytest.mark.parametrize("after", [[START], [START, PART]], ids=["start", "part"])
@every_place
async def test_an_error_after_the_start(place: str, after: list[Message]) -> None:
    """Goes up, so that the server breaks the connection."""
    exc = RuntimeError("boom")
    sent, error = await asked(PLACES[place](raising(exc, after=after)), scope_of("/bad"))
    assert (sent, error) == (after, exc)
    [note] = notes_of(exc)
    assert note.endswith("), which had started to answer.")


@every_place
async def test_an_error_of_a_websocket(place: str) -> None:
    """Goes up, accepted or not."""
    for after in ([], [ACCEPT]):
        exc = RuntimeError("boom")
        app = PLACES[place](raising(exc, after=after))
        sent, error = await asked(app, scope_of("/bad", type="websocket"))
        assert (sent, error) == (after, exc)
        assert len(notes_of(exc)) == 1


# What would end the server.


def exit_() -> BaseException:
    return SystemExit(3)


def interrupt() -> BaseException:
    return KeyboardInterrupt()


def end_of_a_generator() -> BaseException:
    return GeneratorExit()


def cancellation() -> BaseException:
    return asyncio.CancelledError()


def group() -> BaseException:
    return BaseExceptionGroup("several", [SystemExit(3), ValueError()])


def group_of_cancellations() -> BaseException:
    return BaseExceptionGroup("several", [asyncio.CancelledError()])


@pytest.fixture(
    params=[exit_, interrupt, end_of_a_generator, group, cancellation, group_of_cancellations]
)
def fatal(request: pytest.FixtureRequest, anyio_backend_name: str) -> Iterator[BaseException]:
    """What ends a task, an event loop or a process, on a server that handles signals itself."""
    if "cancellation" in request.param.__name__ and anyio_backend_name == "trio":
        pytest.skip("trio lets no app make a cancellation")
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    yield request.param()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("after", [[], [START]], ids=["before", "after"])
@every_place
async def test_what_would_end_the_server_is_the_cause_of_an_error(
    place: str, after: list[Message], fatal: BaseException
) -> None:
    """The error names the app that has raised it, once."""
    _, error = await asked(PLACES[place](raising(fatal, after=after)), scope_of("/bad"))
    assert isinstance(error, MountkitError)
    assert error.__cause__ is fatal
    name = NAMES.get(place, "the app mounted at '/bad' (")
    assert str(error).startswith(f"T{name[1:]}")
    assert f") was ended by {type(fatal).__name__}" in str(error)
    [note] = notes_of(error)
    assert note.startswith(f"mountkit: raised by {name}")


@pytest.mark.parametrize("of", ["mount", "dispatcher"])
async def test_what_would_end_the_server_after_the_start_of_a_contained_app(
    of: str, fatal: BaseException
) -> None:
    """It cannot be contained, and goes up with the note as well."""
    options: Any = ({"errors": "contain"}, {}) if of == "mount" else ({}, {"errors": "contain"})
    app = Dispatcher([Mount("/bad", raising(fatal, after=[START]), **options[0])], **options[1])
    sent, error = await asked(app, scope_of("/bad"))
    assert sent == [START]
    assert isinstance(error, MountkitError)
    assert error.__cause__ is fatal
    [note] = notes_of(error)
    assert note.startswith("mountkit: raised by the app mounted at '/bad' (")
    assert note.endswith("), which had started to answer.")


async def test_the_neighbours_serve_on(fatal: BaseException) -> None:
    """Requests at the same time are not touched."""
    slow = Slow([])
    app = Dispatcher([Mount("/slow", slow), Mount("/bad", raising(fatal))])
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, app, scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        await asked(app, scope_of("/bad"))
        slow.go.set()
        await request.ended.wait()
    assert request.status == 200


@pytest.mark.parametrize("thread", ["main", "runner", "other"])
def test_ctrl_c_that_no_signal_has_raised(anyio_backend: str, thread: str) -> None:
    """Where the server handles the signal, or another handler than Python's would have raised it,
    or in another thread: an app has raised it."""
    app = Dispatcher([Mount("/bad", raising(KeyboardInterrupt()))])
    found: list[Any] = []

    def run() -> None:
        found.append(anyio.run(asked, app, scope_of("/bad"), backend=anyio_backend))

    before = signal.getsignal(signal.SIGINT)
    try:
        if thread == "main":
            signal.signal(signal.SIGINT, lambda number, frame: None)
            run()
        elif thread == "runner":
            signal.signal(signal.SIGINT, signal.default_int_handler)
            run()
        else:
            other = threading.Thread(target=run)
            other.start()
            other.join()
    finally:
        signal.signal(signal.SIGINT, before)
    [(_, error)] = found
    assert isinstance(error, MountkitError)


# What comes from outside.

CONTAINED = pytest.mark.parametrize("errors", ["raise", "contain"])


@pytest.fixture
def sigint() -> Iterator[None]:
    """Python's own handler, which a process lacks that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@CONTAINED
@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("place", ["dispatcher", "default", "split", "nested"])
@pytest.mark.parametrize("is_group", [False, True], ids=["alone", "group"])
async def test_ctrl_c_goes_on(place: str, is_group: bool, errors: Any) -> None:
    """It is the server's, as long as a signal raises it."""
    exc: BaseException = pressed()
    if is_group:
        exc = BaseExceptionGroup("", [ValueError(), exc])
    app = Dispatcher([Mount("/", PLACES[place](raising(exc)))], errors=errors)
    server = Running(app)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await app(scope_of("/bad"), server.receive, server.send)
    assert caught.value is exc
    assert (server.messages, notes_of(exc)) == ([], [])


@CONTAINED
@pytest.mark.usefixtures("sigint")
def test_ctrl_c_of_a_runner_goes_on(anyio_backend: str, errors: Any) -> None:
    """The handlers that asyncio and trio install raise it."""

    async def presses(scope: Scope, receive: Receive, send: Send) -> None:
        raise pressed()

    app = Dispatcher([Mount("/bad", presses, errors=errors)])
    server = Running(app)
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        anyio.run(app, scope_of("/bad"), server.receive, server.send, backend=anyio_backend)
    assert server.messages == []


@CONTAINED
def test_a_coroutine_that_is_closed(errors: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Is not answered: it is not awaited any more."""
    server = Running(Dispatcher([]))

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().create_future()

    async def begin() -> Any:
        app = Dispatcher([Mount("/slow", waits, errors=errors)])
        call = app(scope_of("/slow"), server.receive, server.send)
        call.send(None)
        return call

    asyncio.run(begin()).close()
    assert (server.messages, logged(caplog)) == ([], [])
    assert is_outside(GeneratorExit())


@CONTAINED
async def test_a_cancelled_request_is_not_an_error(
    errors: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The server has given it up."""
    slow = Slow([])
    mount = Mount("/slow", slow, errors=errors)
    async with anyio.create_task_group() as tasks:
        request = ask(tasks, Dispatcher([mount]), scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        tasks.cancel_scope.cancel()
    assert (request.sent, request.error, logged(caplog)) == ([], None, [])
    health = mount.health
    assert (health.answered, health.in_flight, health.error) == ({"none": 1}, 0, None)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_request_whose_task_is_cancelled(anyio_backend: str) -> None:
    """As `asyncio.timeout` does it: the cancellation goes on."""
    slow = Slow([])
    server = Running(Dispatcher([Mount("/slow", slow)]))
    task = asyncio.create_task(server.app(scope_of("/slow"), server.receive, server.send))  # type: ignore[arg-type]
    await until(lambda: slow.entered == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (server.messages, slow.log) == ([], ["slow cancelled"])


# Handlers of the parent.


class Known(Exception):
    """One that the parent has a handler for."""


async def handle(request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"handled": str(exc)}, 418)


def among_routes(*mounts: Mount, **options: Any) -> Starlette:
    return Starlette(routes=mounts, **options)


every_parent = pytest.mark.parametrize(
    "parent", [among_routes, in_front], ids=["routes", "in-front"]
)


@every_parent
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_a_handler_of_the_parent_answers(parent: Any, nested: bool, client: ClientFactory) -> None:
    """As it does for the parent's own routes."""
    mount = Mount("/bad", raising(Known("it")))
    if nested:
        mount = Mount("/bad", Dispatcher([Mount("/", raising(Known("it")))]))
    response = client(parent(mount, exception_handlers={Known: handle})).get("/bad")
    assert (response.status_code, response.json()) == (418, {"handled": "it"})
    assert mount.health.error == "Known: it"


@pytest.mark.parametrize(("exc", "status"), [(Known("it"), 418), (HTTPException(404), 404)])
def test_a_handler_of_the_parent_below_another_app(
    exc: Exception, status: int, client: ClientFactory
) -> None:
    """The handlers in the scope are the outer app's: they are not asked in its place."""
    app = in_front(Mount("/bad", raising(exc)), exception_handlers={Known: handle})  # type: ignore[dict-item]
    outer = Starlette(routes=[StarletteMount("/sub", app)])
    assert client(outer).get("/sub/bad").status_code == status


@every_parent
@pytest.mark.parametrize("key", [500, Exception], ids=["status", "class"])
def test_the_parents_handler_for_what_is_left(parent: Any, key: Any, client: ClientFactory) -> None:
    """It answers, and the exception goes on to the server, as in Starlette."""
    app = parent(Mount("/bad", raising(Known("it"))), exception_handlers={key: handle})
    with pytest.raises(Known):
        client(app).get("/bad")
    assert client(app, raise_server_exceptions=False).get("/bad").status_code == 418


@every_parent
def test_a_contained_error_does_not_reach_the_parent(parent: Any, client: ClientFactory) -> None:
    """Whatever handlers it has."""
    mount = Mount("/bad", raising(Known("it")), errors="contain")
    response = client(parent(mount, exception_handlers={Known: handle})).get("/bad")
    assert (response.status_code, response.text) == (500, "Internal Server Error")


@every_parent
@pytest.mark.parametrize("errors", ["raise", "contain"])
def test_an_http_exception_is_an_answer(parent: Any, errors: Any, client: ClientFactory) -> None:
    """Starlette's own apps raise it for the app above, such as `StaticFiles` its 404."""
    exc = HTTPException(409, "no", {"x": "1"})
    mount = Mount("/bad", raising(exc), errors=errors)
    response = client(parent(mount)).get("/bad")
    assert (response.status_code, response.text, response.headers["x"]) == (409, "no", "1")
    assert mount.health.error is None


@every_parent
@pytest.mark.parametrize("key", [409, HTTPException], ids=["status", "class"])
def test_the_parents_handler_for_an_http_exception(
    parent: Any, key: Any, client: ClientFactory
) -> None:
    """Makes the answer."""
    app = parent(Mount("/bad", raising(HTTPException(409))), exception_handlers={key: handle})
    assert client(app).get("/bad").status_code == 418


def test_errors_of_routes_are_the_parents(client: ClientFactory) -> None:
    """They are a part of it."""

    async def fail(request: Request) -> None:
        raise Known("it")

    mount = Mount("/team", routes=[Route("/x", fail)])
    app = Starlette(routes=[mount], exception_handlers={Known: handle})  # type: ignore[dict-item]
    assert client(app).get("/team/x").status_code == 418


def test_the_handlers_of_the_mounted_app_come_first(client: ClientFactory) -> None:
    """What it answers itself does not go up."""

    async def fail(request: Request) -> None:
        raise Known("it")

    async def own(request: Request, exc: Exception) -> PlainTextResponse:
        return PlainTextResponse("own", 400)

    child = Starlette(routes=[Route("/x", fail)], exception_handlers={Known: own})
    app = Starlette(routes=[Mount("/a", child)], exception_handlers={Known: handle})  # type: ignore[dict-item]
    assert client(app).get("/a/x").text == "own"


def test_an_error_that_a_starlette_app_has_answered(client: ClientFactory) -> None:
    """It answers 500 itself and raises for the server; that is not hidden."""

    async def fail(request: Request) -> None:
        raise Known("it")

    app = Dispatcher([Mount("/a", Starlette(routes=[Route("/x", fail)]))])
    with pytest.raises(Known):
        client(app).get("/a/x")
    assert client(app, raise_server_exceptions=False).get("/a/x").status_code == 500


# Exceptions that are answers, without an app above.


@pytest.mark.parametrize("place", ["default", "mounted"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/files/gone", 404), ("POST", "/files/a.txt", 405), ("GET", "/files/a.txt", 200)],
)
def test_bare_static_files(
    place: str, method: str, path: str, status: int, client: ClientFactory, tmp_path: Any
) -> None:
    """They raise their 404 and 405, and a dispatcher answers them as Starlette's routers do."""
    folder = tmp_path / "files" if place == "default" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("a")
    files = StaticFiles(directory=tmp_path)
    app = Dispatcher(default=files) if place == "default" else Dispatcher({"/files": files})
    assert client(app).request(method, path).status_code == status
    answered = {"2xx": 1} if status == 200 else {"4xx": 1}
    assert (app.health[-1].answered, app.health[-1].error) == (answered, None)


@pytest.mark.parametrize("place", ["dispatcher", "default", "exposed", "nested", "split"])
async def test_an_http_exception_without_an_app_above(place: str) -> None:
    """Is answered where no router is above."""
    app = PLACES[place](raising(HTTPException(409, "no", {"x": "1"})))
    sent, error = await asked(app, scope_of("/bad"))
    assert (sent[0]["status"], sent[1]["body"], error) == (409, b"no", None)
    assert (b"x", b"1") in sent[0]["headers"]


async def _accepts(scope: Scope, receive: Receive, send: Send) -> None:
    await send(ACCEPT)
    raise WebSocketException(4000, "no")


@every_parent
def test_an_http_exception_in_a_nested_dispatcher(parent: Any, client: ClientFactory) -> None:
    """Becomes its status there, whatever handlers the app further up has."""
    mount = Mount("/d", Dispatcher([Mount("/m", raising(HTTPException(404)))]))
    app = parent(mount, exception_handlers={HTTPException: handle})
    assert client(app).get("/d/m").status_code == 404


@pytest.mark.parametrize("errors", ["raise", "contain"])
@every_parent
def test_a_websocket_exception_of_an_open_websocket(
    parent: Any, errors: Any, client: ClientFactory
) -> None:
    """Closes it with its code, as in Starlette."""
    app = parent(Mount("/bad", _accepts, errors=errors))
    with client(app).websocket_connect("/bad") as websocket:
        assert websocket.receive() == {"type": "websocket.close", "code": 4000, "reason": "no"}


async def test_an_http_exception_of_an_open_websocket_goes_up() -> None:
    """Nothing can answer it any more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise HTTPException(404)

    sent, error = await asked(Dispatcher({"/bad": app}), scope_of("/bad", type="websocket"))
    assert sent == [ACCEPT]
    assert isinstance(error, HTTPException)


async def test_a_websocket_exception_without_an_app_above() -> None:
    """Closes the websocket with its code."""
    app = Dispatcher([Mount("/bad", raising(WebSocketException(4000, "no"), after=[ACCEPT]))])
    sent, error = await asked(
        Dispatcher([Mount("/bad", raising(WebSocketException(4000, "no")))]),
        scope_of("/bad", type="websocket"),
    )
    assert (sent, error) == ([{"type": "websocket.close", "code": 4000, "reason": "no"}], None)
    sent, error = await asked(app, scope_of("/bad", type="websocket"))
    assert sent[0] == ACCEPT


async def test_an_http_exception_after_the_start() -> None:
    """Comes too late for an answer: it is an error like any other."""
    exc = HTTPException(409)
    mount = Mount("/bad", raising(exc, after=[START]))
    sent, error = await asked(Dispatcher([mount]), scope_of("/bad"))
    assert (sent, error) == ([START], exc)
    assert mount.health.answered == {"2xx": 1}
    assert mount.health.error is not None


# Containment.


def by_mount(app: ASGIApp, errors: Any) -> Dispatcher:
    return Dispatcher([Mount("/bad", app, errors=errors)])


def by_dispatcher(app: ASGIApp, errors: Any) -> Dispatcher:
    return Dispatcher([Mount("/bad", app)], errors=errors)


def by_dispatcher_over_a_default(app: ASGIApp, errors: Any) -> Dispatcher:
    return Dispatcher(default=app, errors=errors)


def by_dispatcher_over_an_exposure(app: ASGIApp, errors: Any) -> Dispatcher:
    return Dispatcher([Mount("/own", app, expose=["/bad"])], errors=errors)


def by_middleware(app: ASGIApp, errors: Any) -> DispatchMiddleware:
    return DispatchMiddleware(Starlette(), [Mount("/bad", app)], errors=errors)


every_containment = pytest.mark.parametrize(
    "contain",
    [
        by_mount,
        by_dispatcher,
        by_dispatcher_over_a_default,
        by_dispatcher_over_an_exposure,
        by_middleware,
    ],
    ids=lambda function: function.__name__.replace("_", "-"),
)


@every_containment
async def test_contained(
    contain: Any, fatal: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """A 500, one log record, and nothing for the server."""
    for exc in (RuntimeError("boom"), fatal):
        caplog.clear()
        app = contain(raising(exc), "contain")
        sent, error = await asked(app, scope_of("/bad"))
        assert (sent[0]["status"], sent[1]["body"], error) == (500, b"Internal Server Error", None)
        [record] = logged(caplog)
        assert (record.levelno, record.name) == (logging.ERROR, "mountkit.errors")
        assert record.getMessage().endswith(") raised and answers 500.")
        assert record.exc_info is not None
        assert record.exc_info[1] is exc
        [health] = app.health
        assert health.answered == {"5xx": 1}
        assert (health.error or "").startswith(type(exc).__name__)


@every_containment
@pytest.mark.parametrize(
    ("after", "extensions", "sent"),
    [
        pytest.param([], {}, {"type": "websocket.close", "code": 1000}, id="handshake"),
        pytest.param(
            [],
            {"websocket.http.response": {}},
            {"type": "websocket.http.response.start", "status": 500},
            id="denial",
        ),
        pytest.param([ACCEPT], {}, {"type": "websocket.close", "code": 1011}, id="accepted"),
    ],
)
async def test_a_contained_websocket(
    contain: Any, after: list[Message], extensions: Any, sent: Message
) -> None:
    """Is refused, or closed with code 1011 (IANA: internal error)."""
    app = contain(raising(RuntimeError("boom"), after=after), "contain")
    scope = scope_of("/bad", type="websocket", extensions=extensions)
    found, error = await asked(app, scope)
    assert error is None
    assert found[len(after)].items() >= sent.items()


@every_containment
async def test_a_contained_error_after_the_start(contain: Any) -> None:
    """Goes up all the same: only the server can break the connection."""
    for exc in (RuntimeError("boom"), SystemExit(3)):
        sent, error = await asked(contain(raising(exc, after=[START]), "contain"), scope_of("/bad"))
        assert sent == [START]
        assert isinstance(error, RuntimeError if isinstance(exc, RuntimeError) else MountkitError)


async def test_a_mount_that_contains_has_neighbours_that_do_not() -> None:
    """Each mount says so for itself."""
    exc = RuntimeError("boom")
    app = Dispatcher(
        [Mount("/a", raising(exc), errors="contain"), Mount("/b", raising(exc), errors="raise")]
    )
    assert (await asked(app, scope_of("/a")))[0][0]["status"] == 500
    assert (await asked(app, scope_of("/b")))[1] is exc


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Mount("/x", Starlette(), errors="hide"), id="mount"),  # type: ignore[arg-type]
        pytest.param(lambda: Dispatcher(errors="hide"), id="dispatcher"),  # type: ignore[arg-type]
        pytest.param(
            lambda: DispatchMiddleware(Starlette(), errors="hide"),  # type: ignore[arg-type]
            id="middleware",
        ),
    ],
)
def test_a_choice_that_is_not_known(make: Callable[[], Any]) -> None:
    """The message says which there are."""
    with pytest.raises(PatternError) as caught:
        make()
    assert str(caught.value) == "errors='hide' is not known; write one of 'raise', 'contain'."
