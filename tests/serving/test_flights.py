"""Requests in flight: how they end, how they are counted, and how they are cut."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit import Dispatcher, LimitMiddleware, Mount, TimeoutMiddleware
from tests.support.actors import Child, Slow
from tests.support.clients import ClientFactory
from tests.support.requests import ask, asked, by_hand
from tests.support.scopes import scope_of, served_scope
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

START: Message = {"type": "http.response.start", "status": 201, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b"x"}


async def ok(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


async def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(iter([b"a", b"b"]))


@pytest.mark.parametrize(
    ("path", "answered"),
    [("/a/ok", {"2xx": 1}), ("/a/gone", {"4xx": 1}), ("/a/stream", {"2xx": 1})],
)
def test_answers_are_counted(client: ClientFactory, path: str, answered: dict[str, int]) -> None:
    """By the class of their status."""
    mount = Mount("/a", Starlette(routes=[Route("/ok", ok), Route("/stream", stream)]))
    client(Dispatcher([mount])).get(path)
    assert (mount.health.answered, mount.health.in_flight) == (answered, 0)


def test_a_redirect_is_counted(client: ClientFactory) -> None:
    """It is the mount's answer, not the app's."""
    mount = Mount("/a", Starlette(), redirect_slashes=True)
    client(Dispatcher([mount])).get("/a", follow_redirects=False)
    assert mount.health.answered == {"3xx": 1}


@pytest.mark.parametrize(
    ("messages", "answered"),
    [
        pytest.param([{"type": "websocket.accept"}], {"1xx": 1}, id="accepted"),
        pytest.param([{"type": "websocket.close", "code": 1000}], {"4xx": 1}, id="refused"),
        pytest.param(
            [{**START, "type": "websocket.http.response.start", "status": 503}],
            {"5xx": 1},
            id="denied",
        ),
        pytest.param([], {"none": 1}, id="left"),
    ],
)
async def test_websockets_are_counted(messages: list[Message], answered: dict[str, int]) -> None:
    """By what their handshake answers: 101, 403, or what the app says."""
    mount = Mount("/a", Child(messages, None))
    await asked(Dispatcher([mount]), scope_of("/a", type="websocket"))
    assert mount.health.answered == answered


@pytest.mark.parametrize("status", ["200", None, 6000, -100])
async def test_a_status_that_is_not_one(status: Any) -> None:
    """An app may send it; it does not break the counting."""
    mount = Mount("/a", Child([{**START, "status": status}], None))
    sent, error = await asked(Dispatcher([mount]), scope_of("/a"))
    assert (sent[0]["status"], error) == (status, None)
    assert mount.health.answered == {"5xx": 1}


async def test_an_app_that_does_not_answer() -> None:
    """Is left to the server, which knows what to do."""
    mount = Mount("/a", Child([], None))
    assert await asked(Dispatcher([mount]), scope_of("/a")) == ([], None)
    assert (mount.health.answered, mount.health.error) == ({"none": 1}, None)


async def test_what_an_app_sends_is_handed_on() -> None:
    """As it is, and all of it: the server checks it, or `CheckMiddleware`."""
    messages = [START, START, BODY, BODY, {"type": "x"}]
    mount = Mount("/a", Child(messages, None))
    sent, error = await asked(Dispatcher([mount]), scope_of("/a"))
    assert error is None
    assert all(one is other for one, other in zip(sent, messages, strict=True))


async def test_answers_of_layers_are_the_mounts() -> None:
    """They are counted with the app's, and neighbours serve on."""
    slow = Slow([])
    mount = Mount("/slow", slow, middleware=[Middleware(LimitMiddleware, max_concurrency=1)])
    app = Dispatcher([mount, Mount("/well", PlainTextResponse("well"))])
    async with anyio.create_task_group() as tasks:
        first = ask(tasks, app, scope_of("/slow"))
        await until(lambda: slow.entered == 1)
        assert mount.health.in_flight == 1
        assert (await asked(app, scope_of("/slow")))[0][0]["status"] == 503
        assert (await asked(app, scope_of("/well")))[0][0]["status"] == 200
        slow.go.set()
        await first.ended.wait()
    assert mount.health.answered == {"2xx": 1, "5xx": 1}


async def test_errors_of_layers_are_the_mounts() -> None:
    """Its health has what a layer says when it answers in the app's place."""
    mount = Mount("/slow", Slow([]), middleware=[Middleware(TimeoutMiddleware, total=0.02)])
    sent, error = await asked(Dispatcher([mount]), scope_of("/slow"))
    assert (sent[0]["status"], error) == (504, None)
    assert mount.health.error == "It did not answer within 0.02 seconds."


def test_outside_any_event_loop() -> None:
    """Nothing here needs one: the app may be called by hand."""
    mount = Mount("/a", Child([START, BODY], None))
    assert by_hand(Dispatcher([mount]), served_scope("/a/x")) == ([START, BODY], None)
    assert (mount.health.answered, mount.health.in_flight) == ({"2xx": 1}, 0)


async def test_a_cut_request_that_ends_well_all_the_same(anyio_backend_name: str) -> None:
    """It has its own answer, where the event loop lets it, and is not cancelled afterwards; its
    neighbour gets 503."""
    entered = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal entered
        entered += 1
        try:
            await anyio.sleep_forever()
        except BaseException:
            # trio has no way to go on after a cancellation.
            if not scope["path"].endswith("stubborn") or anyio_backend_name == "trio":
                raise
        await send(START)
        await send(BODY)

    mount = Mount("/a", app)
    dispatcher = Dispatcher([mount])
    statuses: dict[str, int] = {}
    went_on: list[str] = []

    async def connection(path: str) -> None:
        sent, error = await asked(dispatcher, served_scope(path))
        assert error is None
        statuses[path] = sent[0]["status"]
        await anyio.lowlevel.checkpoint()
        went_on.append(path)

    async with anyio.create_task_group() as tasks:
        for path in ("/a/x", "/a/stubborn"):
            tasks.start_soon(connection, path)
        await until(lambda: entered == 2)
        await dispatcher.remove(mount, drain_timeout=0)
    stubborn = 201 if anyio_backend_name == "asyncio" else 503
    assert statuses == {"/a/x": 503, "/a/stubborn": stubborn}
    assert sorted(went_on) == ["/a/stubborn", "/a/x"]
    assert mount.health.answered == (
        {"2xx": 1, "5xx": 1} if anyio_backend_name == "asyncio" else {"5xx": 2}
    )
