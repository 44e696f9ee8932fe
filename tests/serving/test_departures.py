"""Apps whose client has gone: nobody's fault, and counted as `client_gone`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import anyio
import pytest
import starlette.websockets
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from mountkit import (
    CheckMiddleware,
    ContainMiddleware,
    Dispatcher,
    DispatchMiddleware,
    Mount,
    Split,
)
from tests.support.actors import raising
from tests.support.apps.misbehaving import ACCEPT, START, sends
from tests.support.logs import logged
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}
CONNECT: Message = {"type": "websocket.connect"}
BODY: Message = {"type": "http.request", "body": b"a", "more_body": True}


class ClientDisconnected(OSError):
    """As uvicorn's."""

    __module__ = "uvicorn.protocols.utils"


class WebSocketDisconnected(ConnectionError):
    """As Falcon's."""

    __module__ = "falcon.errors"


class OfAClient(Exception):
    """As that of httpx2, for websockets of which the app is the client."""

    __module__ = "httpx2.websockets"
    __qualname__ = __name__ = "WebSocketDisconnect"


async def served(
    app: ASGIApp, messages: Iterable[Message], **options: Any
) -> tuple[list[Message], BaseException | None]:
    """What an app sends to a server that has these messages to tell, and what it raises."""
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope_of("/a", **options), receive, send)
    except Exception as exc:
        return sent, exc
    return sent, None


def told() -> BaseException:
    exc = ClientDisconnected()
    exc.__context__ = RuntimeError("of the library")
    return exc


def wrapped(make: Any = WebSocketDisconnect) -> BaseException:
    """As Starlette wraps what uvicorn raises."""
    exc: BaseException = make()
    exc.__context__ = told()
    return exc


def group(*makes: Any) -> BaseException:
    return ExceptionGroup("several", [make() for make in makes])


every_style = pytest.mark.parametrize(
    "style", ["raise", "contain", "layer", "split", "nested", "in-front"]
)


def placed(app: ASGIApp, style: str) -> tuple[ASGIApp, Mount]:
    layers = [Middleware(ContainMiddleware)] if style == "layer" else []
    if style == "split":
        app = Split({"b": (app, 1)})
    elif style == "nested":
        app = Dispatcher([Mount("/", app, redirect_slashes=False)])
    errors: Any = "contain" if style == "contain" else "raise"
    mount = Mount("/a", app, errors=errors, middleware=layers, lifespan="off")
    if style == "in-front":
        parent = Starlette()
        parent.add_middleware(DispatchMiddleware, mounts=[mount])
        return parent, mount
    return Dispatcher([mount]), mount


# By the kind of the scope, and whether only `send` can have raised it.
SAYING: dict[str, tuple[str, bool, Any]] = {
    "http": ("http", False, ClientDisconnect),
    "websocket": ("websocket", False, WebSocketDisconnect),
    "told": ("websocket", True, told),
    "wrapped": ("websocket", True, wrapped),
    "of-a-stream": ("http", True, partial(wrapped, ClientDisconnect)),
    "group": ("websocket", False, partial(group, WebSocketDisconnect, WebSocketDisconnected)),
    "group-of-http": ("http", False, partial(group, ClientDisconnect, ClientDisconnect)),
}


@every_style
@pytest.mark.parametrize("is_answered", [False, True], ids=["before", "started"])
@pytest.mark.parametrize("name", SAYING)
async def test_an_exception_that_says_it(
    name: str, is_answered: bool, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends at the outermost mount, whatever the answer was so far, and no one is told."""
    kind, is_asked, make = SAYING[name]
    after = [ACCEPT if kind == "websocket" else START] if is_answered else []
    exc = make()
    app, mount = placed(raising(exc, after=after), style)
    messages: list[Message] = [{"type": f"{kind}.disconnect"}] * (2 if is_asked else 0)
    if kind == "websocket":
        messages = [CONNECT, *messages]
    sent, error = await served(app, messages, type=kind)
    assert (sent, error, logged(caplog)) == (after, None, [])
    assert (mount.health.answered, mount.health.error) == ({"client_gone": 1}, None)
    assert not getattr(exc, "__notes__", None)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("http", WebSocketDisconnect),
        ("http", partial(starlette.websockets.WebSocketDisconnected, 'Need to call "accept".')),
        ("http", wrapped),
        ("http", OfAClient),
        ("websocket", told),
        ("websocket", wrapped),
        ("websocket", OfAClient),
        ("websocket", partial(starlette.websockets.WebSocketDisconnected, "once a close")),
    ],
)
async def test_an_exception_that_is_not_of_this_client(kind: str, make: Any) -> None:
    """A chat that sends to a websocket whose client has gone, a proxy whose upstream has, and a
    websocket that is used wrongly: errors, as the client is there."""
    exc = make()
    app, mount = placed(raising(exc), "raise")
    _, error = await served(app, [CONNECT] if kind == "websocket" else [], type=kind)
    assert error is exc
    assert mount.health.answered == {"none": 1}
    assert mount.health.error is not None


@pytest.mark.parametrize("make", [TimeoutError, ConnectionRefusedError, FileNotFoundError])
async def test_an_error_that_is_not_of_send(make: Any) -> None:
    """A database that is down, for whose answer the client has not waited."""
    exc = make("it")
    app, mount = placed(raising(exc), "raise")
    _, error = await served(app, [GONE])
    assert error is exc
    assert mount.health.answered == {"none": 1}


@every_style
@pytest.mark.parametrize("messages", [[GONE], [BODY] * 3 + [GONE]], ids=["alone", "after-a-body"])
async def test_an_app_that_returns(style: str, messages: list[Message]) -> None:
    """Without an answer, where the server has it to tell."""
    app, mount = placed(sends(), style)
    if style == "nested":  # what is told once is told to the innermost
        messages = [*messages, GONE]
    assert await served(app, messages) == ([], None)
    assert mount.health.answered == {"client_gone": 1}


@pytest.mark.parametrize(
    "messages", [[], [BODY], [BODY] * 30 + [GONE]], ids=["none", "body", "flood"]
)
async def test_an_app_that_returns_while_its_client_waits(messages: list[Message]) -> None:
    """This is left to the server, as ever."""
    app, mount = placed(sends(), "raise")
    assert await served(app, messages) == ([], None)
    assert mount.health.answered == {"none": 1}


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "there"])
async def test_an_error_of_the_operating_system(is_gone: bool) -> None:
    """It may come of `send`, or of anything: the server is asked."""
    app, mount = placed(raising(ConnectionResetError("it")), "raise")
    _, error = await served(app, [GONE] if is_gone else [])
    assert (error is None) == is_gone
    assert mount.health.answered == ({"client_gone": 1} if is_gone else {"none": 1})


async def test_an_error_of_the_operating_system_after_the_answer() -> None:
    """As in a background task: then every server says that the client has gone."""
    app, mount = placed(raising(FileNotFoundError("it"), after=[START]), "raise")
    _, error = await served(app, [GONE])
    assert isinstance(error, FileNotFoundError)
    assert mount.health.answered == {"2xx": 1}


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "there"])
async def test_a_stream_that_fails(is_gone: bool) -> None:
    """Starlette says of any `OSError` in a stream that the client has gone (ASGI 2.4)."""

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        scope["asgi"] = {"spec_version": "2.4"}

        async def parts() -> Any:
            yield b"a"
            raise ConnectionResetError("it")

        await StreamingResponse(parts())(scope, receive, send)

    app, mount = placed(stream, "raise")
    _, error = await served(app, [GONE] if is_gone else [])
    assert (error is None) == is_gone
    assert mount.health.answered == ({"client_gone": 1} if is_gone else {"2xx": 1})


async def test_a_group_with_another_error() -> None:
    """Is the app's."""
    exc = ExceptionGroup("several", [ClientDisconnect(), ValueError()])
    app, mount = placed(raising(exc), "raise")
    _, error = await served(app, [GONE])
    assert error is exc
    assert mount.health.answered == {"none": 1}


class Stream:
    """The `send` of servers that know it: hypercorn's, and uvicorn's of websockets."""

    def __init__(self, name: str) -> None:
        setattr(self, name, True)

    async def send(self, message: Message) -> None:
        raise AssertionError


@pytest.mark.parametrize("name", ["closed", "disconnected"])
@pytest.mark.parametrize("style", ["raise", "nested"])
async def test_a_server_that_has_told_it_before(name: str, style: str) -> None:
    """Some tell it once, to the app."""
    app, mount = placed(sends(), style)

    async def receive() -> Message:
        raise AssertionError("asked again")

    await app(scope_of("/a"), receive, Stream(name).send)
    assert mount.health.answered == {"client_gone": 1}


# The layers by themselves.


@pytest.mark.parametrize("make", [ClientDisconnect, partial(group, ClientDisconnect)])
async def test_containment_without_a_mount(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is answered."""
    assert await served(ContainMiddleware(raising(make())), []) == ([], None)
    assert logged(caplog) == []


@pytest.mark.parametrize("listens", [True, False], ids=["told", "asked"])
async def test_a_check_of_an_app_that_returns(
    listens: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No 500, and no warning."""

    async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
        if listens:
            await receive()

    assert await served(CheckMiddleware(gives_up), [GONE]) == ([], None)
    assert logged(caplog) == []


@pytest.mark.parametrize("listens", [True, False], ids=["told", "asked"])
async def test_a_check_of_an_app_that_starts_again(listens: bool) -> None:
    """A bare app may do so, and nothing of it goes out; what it has not received it still can."""
    got: list[Message] = []

    async def again(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        if listens:
            await receive()
            await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"more than it says"})
        await send({"type": "http.response.body", "body": b""})
        got.extend([] if listens else [await receive(), await receive()])

    assert await served(CheckMiddleware(again), [BODY, GONE]) == ([START], None)
    assert got == ([] if listens else [BODY, GONE])
