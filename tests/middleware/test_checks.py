"""`CheckMiddleware`: what an app may send, and what becomes of it if it may not."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit.exceptions import ImproperResponseError
from mountkit.middleware import headers as checked_headers
from mountkit.middleware.checks import CheckMiddleware
from tests.support.apps.misbehaving import (
    ACCEPT,
    BODY,
    CLOSE,
    HTTP,
    OK,
    PART,
    START,
    TEXT,
    WEBSOCKET,
    raises,
    sends,
)
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running
from tests.support.requests import asked
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio

DENIAL: Any = {"websocket.http.response": {}}


class OfMount:
    """What a layer finds in `scope["mountkit.mount"]`."""

    where = "The app mounted at '/bad' (main.py:1)"
    error: str | None = None


async def told(app: Any, **scope: Any) -> tuple[list[Message], str]:
    """What goes out of an app with a fault, and what the app is told."""
    sent, error = await asked(CheckMiddleware(app), scope_of("/bad", **scope))
    assert isinstance(error, ImproperResponseError)
    return sent, str(error)


async def test_send_is_a_coroutine_function() -> None:
    """asgiref warns of another, and Channels with it."""
    seen: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(iscoroutinefunction(send))
        answer = partial(async_to_sync(send), {**START, "headers": []})
        await anyio.to_thread.run_sync(answer)
        await send(BODY)

    sent, error = await asked(CheckMiddleware(app), scope_of("/bad"))
    assert seen == [True]
    assert ([message["type"] for message in sent], error) == ([START["type"], BODY["type"]], None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            "body-only",
            "'http.response.body' was sent before the start of the response; send 'http.response.start' once, then the body.",
        ),
        ("unknown-type", "'http.response.nonsense' was sent before the start"),
        ("websocket-messages", "'websocket.accept' was sent before the start of the response"),
        ("status-missing", "Status None is not a valid response status; send 200 to 599."),
        ("status-text", "Status '200' is not a valid"),
        ("status-float", "Status 200.0 is not a valid"),
        ("status-true", "Status True is not a valid"),
        ("status-101", "Status 101 is not a valid"),
        ("status-799", "Status 799 is not a valid"),
        ("header-value-crlf", "contains a control character; remove it"),
        ("header-value-nul", "Header value b'a\\x00b' contains a control character"),
        ("header-value-ends", "Header value b'a\\n' contains a control character"),
        ("header-name-space", "Header name b'x a' is not valid; send bytes such as b'x-name'."),
        ("header-name-empty", "Header name b'' is not valid"),
        ("header-name-latin", "Header name b'x-\\xe9' is not valid"),
        ("header-text", "Header name 'x-a' is not valid"),
        ("header-value-text", "is not a pair of bytes; encode name and value as latin-1."),
        ("header-value-none", "is not a pair of bytes"),
        ("header-single", "Header (b'x-a',) is not a pair of bytes"),
        ("header-triple", "Header (b'x-a', b'1', b'2') is not a pair of bytes"),
        ("header-none", "Header None is not a pair of bytes"),
        ("headers-none", "Headers None are not a list; send pairs such as (b'x-name', b'value')."),
        ("headers-mapping", "Header b'content-length' is not a pair of bytes"),
        ("length-text", "Content-Length b'two' is not a length, or another header says"),
        ("length-twice", "Content-Length b'100' is not a length, or another header says"),
        (
            "length-and-chunked",
            "Transfer-Encoding b'chunked' is for the server to choose; leave this header out.",
        ),
        (
            "coding-unknown",
            "Transfer-Encoding b'gzip' is for the server to choose; leave this header out.",
        ),
    ],
)
async def test_an_invalid_response(fault: str, reason: str) -> None:
    """Nothing of it goes out; the app is told the value, the reason and the fix."""
    sent, message = await told(HTTP[fault])
    assert sent == []
    assert reason in message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("start-twice", "'http.response.start' was sent after the start of the response; send"),
        ("start-between", "'http.response.start' was sent after the"),
        ("answers-twice", "'http.response.start' was sent after the"),
        ("body-after-end", "'http.response.body' was sent after the end of the response"),
        ("length-too-long", "The body is 3 bytes shorter than its Content-Length; leave"),
        ("length-too-short", "The body is 1 bytes longer than its Content-Length"),
        ("body-text", "Body 'ok' is not bytes; encode it."),
        ("body-none", "Body None is not bytes"),
    ],
)
async def test_an_invalid_message_after_the_start(fault: str, reason: str) -> None:
    """What came before stands; the exception makes the server break the connection."""
    sent, error = await asked(CheckMiddleware(HTTP[fault]), scope_of("/bad"))
    assert [one["type"] for one in sent].count("http.response.start") == 1
    assert isinstance(error, ImproperResponseError)
    assert reason in str(error)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([START, BODY], id="plain"),
        pytest.param([{"type": "http.response.start", "status": 200}, BODY], id="no-headers"),
        pytest.param([{**START, "headers": (*OK,)}, BODY], id="tuple"),
        pytest.param([{**START, "headers": [[b"content-length", b"2"]]}, BODY], id="lists"),
        pytest.param([START, PART, {**BODY, "body": b"k"}], id="parts"),
        pytest.param([START, {**BODY, "body": memoryview(b"ok")}], id="view"),
        pytest.param([{**START, "headers": [(b"x", b"caf\xe9\t!")]}, BODY], id="latin-1-and-tab"),
        pytest.param([{**START, "headers": [(b"X-Other-Case", b"")]}, BODY], id="empty-value"),
        pytest.param([{**START, "status": 599}, BODY], id="highest"),
        pytest.param([{**START, "headers": [(b"transfer-encoding", b"Chunked")]}, BODY], id="chunked"),
        pytest.param([START, {"type": "http.response.pathsend", "path": "/x"}], id="file"),
        pytest.param([START, {"type": "http.response.zerocopysend", "file": 3}], id="zero-copy"),
        pytest.param([{"type": "http.response.early_hint", "links": []}, START, BODY], id="hint"),
        pytest.param([{"type": "http.response.push", "path": "/"}, START, BODY], id="push"),
        pytest.param([{"type": "http.response.debug", "info": {}}, START, BODY], id="debug"),
        pytest.param([{**START, "trailers": True}, BODY, {"type": "http.response.trailers"}], id="trailers"),
        pytest.param([START, {"type": "http.response.nonsense"}, BODY], id="of-a-later-version"),
    ],
)  # fmt: skip
async def test_what_may_be_sent_goes_out_as_it_is(messages: list[Message]) -> None:
    """The very messages; what a later version of ASGI has is left to the server."""
    sent, error = await asked(CheckMiddleware(sends(*messages)), scope_of("/bad"))
    assert error is None
    assert len(sent) == len(messages)
    assert all(one is other for one, other in zip(sent, messages, strict=True))


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_a_file_comes_after_the_start(kind: str) -> None:
    """As any body."""
    sent, reason = await told(sends({"type": kind, "path": "/x", "file": 3}, START))
    assert sent == []
    assert reason.startswith(f"{kind!r} was sent before the start of the response; send")


async def test_headers_that_can_be_read_once() -> None:
    """ASGI allows any iterable."""
    start = {**START, "headers": iter([(b"x", b"y")])}
    sent, _ = await asked(CheckMiddleware(sends(start, BODY)), scope_of("/bad"))
    assert sent[0]["headers"] == [(b"x", b"y")]


async def test_a_length_that_is_said_twice() -> None:
    """Is said once; what else there is stays."""
    headers = [(b"content-length", b"2"), (b"x", b"y"), (b"Content-Length", b"2")]
    sent, error = await asked(
        CheckMiddleware(sends({**START, "headers": headers}, BODY)), scope_of("/bad")
    )
    assert error is None
    assert sent[0]["headers"] == [(b"x", b"y"), (b"content-length", b"2")]


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize(
    "framing", [OK, [(b"transfer-encoding", b"chunked")], []], ids=["length", "chunked", "none"]
)
async def test_a_status_without_a_body(status: int, framing: Any) -> None:
    """Neither a body goes out nor its headers: a client would take it for the next response."""
    start = {**START, "status": status, "headers": [(b"x", b"y"), *framing]}
    sent, error = await asked(CheckMiddleware(sends(start, PART, BODY)), scope_of("/bad"))
    assert error is None
    assert sent[0]["headers"] == [(b"x", b"y")]
    assert [one.get("body") for one in sent] == [None, b"", b""]


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_a_file_for_a_status_without_a_body(kind: str) -> None:
    """Is an empty body."""
    app = sends({**START, "status": 304}, {"type": kind, "path": "/x", "file": 3})
    sent, error = await asked(CheckMiddleware(app), scope_of("/bad"))
    assert error is None
    assert [(one["type"], one["body"]) for one in sent[1:]] == [("http.response.body", b"")]


async def test_the_length_of_head() -> None:
    """It is that of the body which GET would have."""
    start = {**START, "headers": [(b"content-length", b"500")]}
    for body in (b"", b"x" * 500):
        app = sends(start, {**BODY, "body": body})
        _, error = await asked(CheckMiddleware(app), scope_of("/bad", method="HEAD"))
        assert error is None


async def test_the_app_may_try_again() -> None:
    """What was refused has not begun the response."""
    sent, error = await asked(CheckMiddleware(HTTP["swallowing"]), scope_of("/bad"))
    assert error is None
    assert sent == [START, BODY]


def sends_at_once(*messages: Message) -> Any:
    """An app that sends each of these in a task of its own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            for message in messages:
                tasks.start_soon(send, message)
                await anyio.lowlevel.checkpoint()

    return app


@pytest.mark.parametrize(
    ("first", "twice", "type"),
    [
        pytest.param([START], BODY, "http", id="http"),
        pytest.param([], START, "http", id="start"),
        pytest.param([ACCEPT], CLOSE, "websocket", id="websocket"),
    ],
)
async def test_two_tasks_that_send_the_same(first: Any, twice: Message, type: str) -> None:
    """One of them goes out, also while the server is still sending it."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in first:
            await send(message)
        await sends_at_once(twice, twice)(scope, receive, send)

    async def send(message: Message) -> None:
        sent.append(message)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    with pytest.raises(BaseExceptionGroup) as caught:
        await CheckMiddleware(app)(scope_of("/bad", type=type), Running(app).receive, send)
    assert caught.group_contains(ImproperResponseError)
    assert [message["type"] for message in sent].count(twice["type"]) == 1


@pytest.mark.parametrize(
    "scope",
    [scope_of("/bad"), scope_of("/bad", type="websocket", extensions=DENIAL)],
    ids=["http", "websocket"],
)
async def test_an_app_without_an_answer(scope: Scope, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500; one warning names the app, and its mount is told."""
    app = CheckMiddleware(sends())
    mount = OfMount()
    for _ in range(2):
        sent, error = await asked(app, {**scope, "mountkit.mount": mount})
        assert (sent[0]["status"], error) == (500, None)
        assert not sent[-1].get("more_body")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "The app mounted at '/bad' (main.py:1) returned without an answer and answers 500."
    )
    assert mount.error == "It returned without an answer."


async def test_an_app_without_a_mount_has_its_prefix(caplog: pytest.LogCaptureFixture) -> None:
    """In messages."""
    await asked(CheckMiddleware(sends()), scope_of("/shop/x", root_path="/shop"))
    await asked(CheckMiddleware(sends()), scope_of("/x"))
    texts = [record.getMessage().partition(" returned")[0] for record in caplog.records]
    assert texts == ["The app at '/shop'", "The app at '/'"]


async def test_what_comes_after_the_answer_of_the_layer() -> None:
    """A task that the app has left behind is told that it is too late."""
    kept: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(send)

    await asked(CheckMiddleware(app), scope_of("/bad"))
    with pytest.raises(ImproperResponseError, match="was sent after the end of the response"):
        await kept[0](START)


@pytest.mark.parametrize("is_raising", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize(
    ("first", "late", "type"),
    [
        pytest.param([], START, "http", id="start"),
        pytest.param([{**START, "headers": []}, PART], BODY, "http", id="body"),
        pytest.param([START, BODY], BODY, "http", id="after-the-end"),
        pytest.param([], ACCEPT, "websocket", id="accept"),
        pytest.param([ACCEPT], TEXT, "websocket", id="text"),
        pytest.param([ACCEPT, CLOSE], CLOSE, "websocket", id="close"),
    ],
)
async def test_a_task_that_runs_on(first: Any, late: Message, type: str, is_raising: bool) -> None:
    """What it sends once the app has ended is refused: the server answers in its place then."""
    kept: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(send)
        for message in first:
            await send(message)
        if is_raising:
            raise RuntimeError("boom")

    sent, _ = await asked(CheckMiddleware(app), scope_of("/bad", type=type))
    before = len(sent)
    with pytest.raises(ImproperResponseError, match="was sent after the end of the"):
        await kept[0](late)
    assert len(sent) == before


TRAILERS: Message = {"type": "http.response.trailers", "headers": [(b"x", b"y")]}


@pytest.mark.parametrize(
    "trailers",
    [
        pytest.param([TRAILERS], id="one"),
        pytest.param([{**TRAILERS, "more_trailers": True}, TRAILERS], id="two"),
        pytest.param([{**TRAILERS, "headers": {b"x": b"y"}.items()}], id="view"),
    ],
)
async def test_trailers(trailers: list[Message]) -> None:
    """Go out where the start has announced them."""
    app = sends({**START, "trailers": True}, BODY, *trailers)
    sent, error = await asked(CheckMiddleware(app), scope_of("/bad"))
    assert error is None
    assert [one["headers"] for one in sent[2:]] == [[(b"x", b"y")]] * len(trailers)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([START, BODY, TRAILERS], "'http.response.trailers' was sent after the end"),
        ([START, TRAILERS], "'http.response.trailers' was sent after the start"),
        ([{**START, "trailers": True}, TRAILERS], "'http.response.trailers' was sent after the start"),
        ([{**START, "trailers": True}, BODY, TRAILERS, TRAILERS], "was sent after the end"),
        (
            [{**START, "trailers": True}, BODY, {**TRAILERS, "headers": [(b"content-length", b"2")]}],
            "Trailers [(b'content-length', b'2')] say where the body ends; say it at the start.",
        ),
        (
            [{**START, "trailers": True}, BODY, {**TRAILERS, "headers": [(b"x", b"a\nb")]}],
            "contains a control character",
        ),
        ([START, BODY, {"type": "http.response.early_hint", "links": []}], "was sent after the end"),
        ([START, BODY, {"type": "http.response.push", "path": "/"}], "was sent after the end"),
    ],
    ids=["unasked", "early", "before-the-body", "twice", "length", "injects", "hint", "push"],
)  # fmt: skip
async def test_what_may_not_follow(messages: list[Message], reason: str) -> None:
    """The end of a response."""
    sent, error = await asked(CheckMiddleware(sends(*messages)), scope_of("/bad"))
    assert isinstance(error, ImproperResponseError)
    assert reason in str(error)
    assert len(sent) == len(messages) - 1


@pytest.mark.parametrize(
    ("first", "twice", "type"),
    [
        pytest.param([{**START, "trailers": True}, BODY], TRAILERS, "http", id="trailers"),
        pytest.param([], ACCEPT, "websocket", id="accept"),
    ],
)
async def test_more_that_two_tasks_send(first: Any, twice: Message, type: str) -> None:
    """Once is enough."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in first:
            await send(message)
        with pytest.raises(BaseExceptionGroup):
            await sends_at_once(twice, twice)(scope, receive, send)

    sent, _ = await asked(CheckMiddleware(app), scope_of("/bad", type=type))
    assert [message["type"] for message in sent].count(twice["type"]) == 1


DENIED: Message = {"type": "websocket.http.response.start", "status": 403, "headers": OK}
DENIED_BODY: Message = {"type": "websocket.http.response.body", "body": b"ok"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"body": b"longer"}, "The body is 4 bytes longer than its Content-Length"),
        ({"body": b"o"}, "The body is 1 bytes shorter than its Content-Length"),
        ({"body": "ok"}, "Body 'ok' is not bytes"),
    ],
)
async def test_the_body_of_a_denial(body: dict[str, Any], reason: str) -> None:
    """Is checked like any other."""
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(CheckMiddleware(sends(DENIED, DENIED_BODY | body)), scope)
    assert isinstance(error, ImproperResponseError)
    assert reason in str(error)
    assert sent == [DENIED]


async def test_a_denial_without_a_body() -> None:
    """As its status says."""
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    app = CheckMiddleware(sends({**DENIED, "status": 204}, DENIED_BODY))
    sent, error = await asked(app, scope)
    assert error is None
    assert sent == [{**DENIED, "status": 204, "headers": []}, {**DENIED_BODY, "body": b""}]


async def test_a_response_that_has_started_is_left_to_the_server() -> None:
    """It breaks the connection; an end would look like the whole."""
    start = {**START, "headers": []}
    sent, error = await asked(CheckMiddleware(sends(start, PART)), scope_of("/bad"))
    assert (sent, error) == ([start, PART], None)


async def test_a_client_that_has_gone_is_not_answered() -> None:
    """`send` may raise then, which is not the app's fault."""

    async def send(message: Message) -> None:
        raise OSError

    app = CheckMiddleware(sends())
    await app(scope_of("/bad"), Running(app).receive, send)


@pytest.mark.parametrize("extensions", [DENIAL, {}], ids=["denial", "plain"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("text-first", "'websocket.send' was sent before the start of the websocket; accept or"),
        ("unknown-type", "'websocket.nonsense' was sent before the start of the websocket"),
        ("http-body", "http.response.body' was sent before the start of the websocket"),
        ("accept-header-crlf", "contains a control character"),
        ("accept-header-text", "Header name 'x-a' is not valid"),
        ("accept-subprotocol-crlf", "is not valid; send one that the client has offered."),
        (
            "denial-body-first",
            "'websocket.http.response.body' was sent before the start of the websocket",
        ),
        ("denial-crlf", "contains a control character"),
        ("denial-status-text", "Status '403' is not a valid"),
    ],
)
async def test_an_invalid_answer_to_a_handshake(fault: str, reason: str, extensions: Any) -> None:
    """Nothing goes out."""
    sent, message = await told(WEBSOCKET[fault], type="websocket", extensions=extensions)
    assert sent == []
    assert reason in message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("accept-twice", "'websocket.accept' was sent after the start of the websocket"),
        ("denial-after-accept", "'websocket.http.response.start' was sent after the start"),
        ("http-after-accept", "'http.response.start' was sent after the start of the websocket"),
        ("send-nothing", "A message with text=None and bytes=None has no data; send a str"),
        ("send-number", "A message with text=2 and bytes=None has no data"),
        ("close-code-bad", "Close code 999999 is not valid; send 1000, or a number from 3000"),
        ("close-code-text", "Close code '1000' is not valid"),
        ("close-code-1005", "Close code 1005 is not valid"),
        ("close-reason-long", "is not text of up to 123 bytes; shorten it."),
    ],
)
async def test_an_invalid_message_to_a_websocket(fault: str, reason: str) -> None:
    """The app is told, and nothing of it goes out."""
    sent, message = await told(WEBSOCKET[fault], type="websocket")
    assert [one["type"] for one in sent] == ["websocket.accept"]
    assert reason in message


@pytest.mark.parametrize("fault", ["close-twice", "send-after-close"])
async def test_a_websocket_that_is_closed(fault: str) -> None:
    """Nothing more goes out."""
    sent, error = await asked(CheckMiddleware(WEBSOCKET[fault]), scope_of("/bad", type="websocket"))
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.close"]
    assert isinstance(error, ImproperResponseError)
    assert "was sent after the end of the websocket; accept or close it once" in str(error)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([ACCEPT, TEXT, CLOSE], id="text"),
        pytest.param([ACCEPT, {"type": "websocket.send", "bytes": b"x", "text": None}, CLOSE], id="bytes"),
        pytest.param([{**ACCEPT, "subprotocol": "chat.v1", "headers": [(b"x", b"y")]}, CLOSE], id="protocol"),
        pytest.param([{**ACCEPT, "subprotocol": None, "headers": None}, CLOSE], id="nothing"),
        pytest.param([ACCEPT, {**CLOSE, "code": 4999, "reason": "é" * 61}], id="code-and-reason"),
        pytest.param([ACCEPT, {"type": "websocket.close", "reason": None}], id="no-code"),
        pytest.param([{**CLOSE, "code": 4403}], id="turned-away"),
        pytest.param([{**CLOSE, "code": 0}], id="turned-away-with-any-code"),
        pytest.param([{**START, "type": "websocket.http.response.start"}, {**BODY, "type": "websocket.http.response.body"}], id="denied"),
    ],
)  # fmt: skip
async def test_what_may_be_sent_to_a_websocket(messages: list[Message]) -> None:
    """Goes out."""
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(CheckMiddleware(sends(*messages)), scope)
    assert error is None
    expected = [{**one, "headers": one.get("headers") or []} for one in messages]
    assert [{**one, "headers": one.get("headers") or []} for one in sent] == expected


async def test_a_handshake_that_is_answered_like_a_request() -> None:
    """Sanic and Socket.IO do it: it is turned away, with the status where that can be said."""
    app = sends({**START, "status": 404}, {**BODY, "more_body": True}, {**BODY, "body": b""})
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(CheckMiddleware(app), scope)
    assert error is None
    assert [one["type"].removeprefix("websocket.http.response.") for one in sent] == [
        "start",
        "body",
        "body",
    ]
    assert (sent[0]["status"], sent[1]["body"]) == (404, b"ok")
    sent, error = await asked(CheckMiddleware(app), scope_of("/bad", type="websocket"))
    assert error is None
    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


async def test_an_http_answer_after_a_websocket_was_closed() -> None:
    """Is not taken for what follows a denial."""
    app = sends(ACCEPT, CLOSE, {**START, "status": 404})
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(CheckMiddleware(app), scope)
    assert len(sent) == 2
    assert isinstance(error, ImproperResponseError)


async def test_a_websocket_that_is_left_open(caplog: pytest.LogCaptureFixture) -> None:
    """It is closed with code 1011."""
    app = CheckMiddleware(WEBSOCKET["silent-after-accept"])
    sent, error = await asked(app, scope_of("/bad", type="websocket"))
    assert (error, caplog.records) == (None, [])
    assert sent == [ACCEPT | {"headers": []}, {**CLOSE, "code": 1011, "reason": ""}]


async def test_a_websocket_whose_client_has_gone() -> None:
    """To close it may raise then."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if sent:
            raise OSError
        sent.append(message)

    app = CheckMiddleware(sends(ACCEPT))
    await app(scope_of("/bad", type="websocket"), Running(app).receive, send)
    assert len(sent) == 1


async def test_a_denial_without_an_end() -> None:
    """Its end is sent: servers wait for it."""
    start = {**START, "type": "websocket.http.response.start", "status": 403, "headers": []}
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(CheckMiddleware(sends(start)), scope)
    assert error is None
    assert sent == [start, {"type": "websocket.http.response.body", "body": b""}]


async def test_an_exception_of_the_app_goes_up() -> None:
    """As it is: to answer it is for another layer."""
    exc = RuntimeError("boom")
    sent, error = await asked(CheckMiddleware(raises(lambda: exc)), scope_of("/bad"))
    assert (sent, error) == ([], exc)


async def test_values_without_a_text() -> None:
    """Are shown by their class."""

    class Unshown:
        def __repr__(self) -> str:
            raise RuntimeError

    _, message = await told(sends({**START, "status": Unshown()}))
    assert message.startswith("Status <tests.middleware.test_checks.test_values_without_a_text")


async def test_long_values_are_shortened() -> None:
    """In messages."""
    _, message = await told(sends({**START, "status": "2" * 500}))
    assert message.startswith(f"Status '{'2' * 76}... is not a valid")


def test_below_middleware_of_starlette(client: ClientFactory) -> None:
    """Faults of an endpoint are the app's, whose own handler answers them."""

    async def injects(request: Request) -> PlainTextResponse:
        response = PlainTextResponse("x")
        response.raw_headers.append((b"x", b"a\r\nb: c"))
        return response

    app = Starlette(routes=[Route("/", injects)], middleware=[Middleware(CheckMiddleware)])
    with client(app, raise_server_exceptions=False) as session:
        response = session.get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")


def test_the_lifespan_goes_through(client: ClientFactory) -> None:
    """Its messages are not those of a response."""
    with client(CheckMiddleware(Starlette(routes=[Route("/", PlainTextResponse("x"))]))) as session:
        assert session.get("/").text == "x"


def test_names_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps may make them up."""
    monkeypatch.setattr(checked_headers, "_MAX_NAMES", 3)
    for number in range(20):
        checked_headers.checked_start({**START, "headers": [(b"x-%d" % number, b"")]})
        assert len(checked_headers._names) <= max(3, 1)


names = st.binary(min_size=0, max_size=6)
values = st.binary(max_size=12)


@given(st.lists(st.tuples(names, values), max_size=4))
def test_whatever_the_headers_are(headers: list[tuple[bytes, bytes]]) -> None:
    """Those that pass are as many lines in the head as there are headers."""
    try:
        message, _ = checked_headers.checked_start({**START, "headers": headers})
    except ImproperResponseError:
        return
    head = b"".join(b"%s: %s\r\n" % pair for pair in message["headers"])
    lines = head.splitlines()
    assert len(lines) == len(message["headers"]) or b"\x85" in head
    assert all(b"\0" not in line and line[:1] not in b": \t" for line in lines)
