"""`ContextMiddleware`: what an app sets in context variables stays its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit.middleware.contexts import ContextMiddleware, is_current, send_in
from tests.support.apps.misbehaving import BODY, START
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.requests import asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

mark: ContextVar[str] = ContextVar("mark", default="unset")
other: ContextVar[str] = ContextVar("other")


async def marks(scope: Scope, receive: Receive, send: Send) -> None:
    """Sets context variables and answers."""
    mark.set("the app's")
    other.set("the app's")
    await send(START)
    await send(BODY)


@pytest.mark.parametrize("value", [None, "the server's"])
async def test_what_an_app_sets_does_not_reach_the_next_request(value: str | None) -> None:
    """uvicorn starts it while the end of the answer before is sent."""
    if value is not None:
        mark.set(value)
    seen: list[tuple[str, str | None]] = []
    ended = anyio.Event()

    async def following() -> None:
        seen.append((mark.get(), other.get(None)))
        ended.set()

    async with anyio.create_task_group() as tasks:

        async def send(message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            if message["type"] == "http.response.body":
                tasks.start_soon(following)

        app = ContextMiddleware(marks)
        await app(scope_of("/bad"), Running(app).receive, send)
        await ended.wait()
    assert seen == [(value or "unset", None)]
    # A variable that had no value keeps the app's.
    assert mark.get() == (value or "the app's")


@pytest.mark.parametrize("error", [None, RuntimeError("boom")], ids=["returns", "raises"])
async def test_variables_are_restored(error: Exception | None) -> None:
    """Also if the app has sent nothing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mark.set("the app's")
        if error is not None:
            raise error

    mark.set("the server's")
    raised = None
    try:
        await ContextMiddleware(app)(scope_of("/"), Running(app).receive, Running(app).send)
    except RuntimeError as exc:
        raised = exc
    assert raised is error
    assert mark.get() == "the server's"


async def test_messages_before_the_end_are_sent_in_the_context_of_the_app() -> None:
    """Only the end may start another request."""
    seen: list[str] = []

    async def send(message: Message) -> None:
        seen.append(mark.get())

    mark.set("the server's")
    app = ContextMiddleware(marks)
    await app(scope_of("/"), Running(app).receive, send)
    assert seen == ["the app's", "the server's"]


async def test_a_send_in_another_context_that_raises() -> None:
    """The app gets the exception, and may go on."""
    caught: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mark.set("the app's")
        await send(START)
        try:
            await send(BODY)
        except OSError as exc:
            caught.append(exc)

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.body":
            raise OSError

    await ContextMiddleware(app)(scope_of("/bad"), Running(app).receive, send)
    assert len(caught) == 1


async def test_a_send_in_another_context_that_is_cancelled() -> None:
    """It ends where it waits."""
    log: list[str] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            log.append(mark.get())
            try:
                await anyio.sleep_forever()
            finally:
                log.append("cancelled")

    async with anyio.create_task_group() as tasks:
        app = ContextMiddleware(marks)
        tasks.start_soon(app, scope_of("/bad"), Running(app).receive, send)
        await until(lambda: bool(log))
        tasks.cancel_scope.cancel()
    assert log == ["unset", "cancelled"]


async def test_a_send_that_is_not_a_coroutine_function() -> None:
    """granian's returns what has `__next__` alone."""

    class Awaitable:
        def __await__(self) -> Iterator[None]:
            return iter(())

    def send(message: Message) -> Any:
        return Awaitable()

    await send_in(copy_context(), send, BODY)


async def test_values_that_cannot_be_compared() -> None:
    """Count as different."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError

        __hash__ = None  # type: ignore[assignment]

    odd: ContextVar[Any] = ContextVar("odd")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        odd.set(Odd())

    before = Odd()
    odd.set(before)
    context = copy_context()
    assert is_current(context)
    await ContextMiddleware(app)(scope_of("/"), Running(app).receive, Running(app).send)
    assert is_current(context)
    assert odd.get() is before


async def test_an_app_that_sets_nothing() -> None:
    """Its messages go out as they are."""
    app = ContextMiddleware(PlainTextResponse("x"))
    sent, error = await asked(app, scope_of("/"))
    assert (sent[0]["status"], sent[1]["body"], error) == (200, b"x", None)


def test_below_middleware_of_starlette(client: ClientFactory) -> None:
    """Lifespans go through."""

    async def endpoint(request: Request) -> PlainTextResponse:
        mark.set("the app's")
        return PlainTextResponse(mark.get())

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(ContextMiddleware)])
    with client(app) as session:
        assert session.get("/").text == "the app's"
