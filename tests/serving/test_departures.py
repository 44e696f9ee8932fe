"""Apps whose client has gone: nobody's fault, and counted as `client_gone`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest
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
BODY: Message = {"type": "http.request", "body": b"a", "more_body": True}


class ClientDisconnected(OSError):
    """As uvicorn's."""


class WebSocketDisconnected(ConnectionError):
    """As Falcon's."""


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


def wrapped() -> BaseException:
    """As Starlette wraps what uvicorn raises."""
    exc = WebSocketDisconnect(1006)
    exc.__context__ = told()
    return exc


def group() -> BaseException:
    return ExceptionGroup("several", [ClientDisconnect(), WebSocketDisconnected()])


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


@every_style
@pytest.mark.parametrize("after", [[], [START], [ACCEPT]], ids=["before", "started", "accepted"])
@pytest.mark.parametrize("make", [ClientDisconnect, told, wrapped, group])
async def test_an_exception_that_says_it(
    make: Any, after: list[Message], style: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends at the outermost mount, whatever the answer was so far, and no one is told."""
    kind = "websocket" if after == [ACCEPT] else "http"
    exc = make()
    app, mount = placed(raising(exc, after=after), style)
    sent, error = await served(app, [{"type": "websocket.connect"}], type=kind)
    assert (sent, error, logged(caplog)) == (after, None, [])
    assert (mount.health.answered, mount.health.error) == ({"client_gone": 1}, None)
    assert not getattr(exc, "__notes__", None)


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
            raise FileNotFoundError("it")

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


@pytest.mark.parametrize("make", [ClientDisconnect, group])
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
