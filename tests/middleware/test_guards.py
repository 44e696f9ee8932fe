"""What an app may send, and what becomes of it if it may not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from mountkit import Dispatcher, Mount
from mountkit.exceptions import ImproperResponseError
from mountkit.middleware import checks as guards
from mountkit.middleware.contexts import is_current, restore, send_in
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
    misbehaving,
    raises,
    sends,
)
from tests.support.lifespans import Running
from tests.support.requests import asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

DENIAL: Any = {"websocket.http.response": {}}


def lone(app: Any) -> Dispatcher:
    """The app at `/bad`, with its lifespan left out."""
    return Dispatcher([Mount("/bad", app)])


async def told(
    app: Any, caplog: pytest.LogCaptureFixture, **scope: Any
) -> tuple[list[Message], str]:
    """What is sent in the place of an app that may not send what it does, and why."""
    sent, error = await asked(lone(app), scope_of("/bad", **scope))
    assert error is None
    [record] = [one for one in caplog.records if one.levelno >= logging.WARNING]
    exc = record.exc_info and record.exc_info[1]
    assert isinstance(exc, ImproperResponseError)
    return sent, str(exc)


async def test_send_passes_for_a_coroutine_function() -> None:
    """asgiref, and Channels with it, warns of one that is none."""
    seen: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(iscoroutinefunction(send))
        answer = partial(async_to_sync(send), {**START, "headers": []})
        await anyio.to_thread.run_sync(answer)
        await send(BODY)

    sent, error = await asked(lone(app), scope_of("/bad"))
    assert seen == [True]
    assert ([message["type"] for message in sent], error) == ([START["type"], BODY["type"]], None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("body-only", "'http.response.body' was sent before its start; send"),
        ("unknown-type", "'http.response.nonsense' was sent before the start"),
        ("websocket-messages", "'websocket.accept' was sent for a request; that is a websocket's."),
        ("status-missing", "The status None is none of a response; send a number from 200 to 599."),
        ("status-text", "The status '200' is none"),
        ("status-float", "The status 200.0 is none"),
        ("status-true", "The status True is none"),
        ("status-101", "The status 101 is none"),
        ("status-799", "The status 799 is none"),
        ("header-value-crlf", "has a control character in it; remove it"),
        ("header-value-nul", "The header value b'a\\x00b' has a control character"),
        ("header-value-ends", "The header value b'a\\n' has a control character"),
        ("header-name-space", "The header name b'x a' is none; send bytes such as b'x-name'."),
        ("header-name-empty", "The header name b'' is none"),
        ("header-name-latin", "The header name b'x-\\xe9' is none"),
        ("header-text", "The header name 'x-a' is none"),
        ("header-value-text", "is no pair of bytes; encode both, as latin-1."),
        ("header-value-none", "is no pair of bytes"),
        ("header-single", "The header (b'x-a',) is no pair of bytes"),
        ("header-triple", "The header (b'x-a', b'1', b'2') is no pair of bytes"),
        ("header-none", "The header None is no pair of bytes"),
        ("headers-none", "The headers None are none; send a list of pairs of bytes."),
        ("headers-mapping", "The header b'content-length' is no pair of bytes"),
        ("length-text", "The Content-Length b'two' is none, or a second one; leave it"),
        ("length-twice", "The Content-Length b'100' is none, or a second one"),
        ("length-and-chunked", "has a Content-Length and a Transfer-Encoding; leave both"),
        ("coding-unknown", "The Transfer-Encoding b'gzip' is the server's to say; leave it out."),
    ],
)
async def test_no_response(fault: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of it goes out; the client gets a 500, the log the value, the reason and the fix."""
    sent, message = await told(HTTP[fault], caplog)
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 500
    assert reason in message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("start-twice", "'http.response.start' was sent a second time; a request has one"),
        ("start-between", "'http.response.start' was sent a second time"),
        ("answers-twice", "'http.response.start' was sent a second time"),
        ("body-after-end", "'http.response.body' was sent after its end; send"),
        ("length-too-long", "The body is shorter than the Content-Length that was sent, by 3"),
        ("length-too-short", "The body is longer than the Content-Length that was sent, by 1"),
        ("body-text", "The body 'ok' is no bytes; encode it."),
        ("body-none", "The body None is no bytes"),
    ],
)
async def test_no_response_after_its_start(fault: str, reason: str) -> None:
    """The app gets an exception, and the server, which breaks the connection."""
    sent, error = await asked(lone(HTTP[fault]), scope_of("/bad"))
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
    sent, error = await asked(lone(sends(*messages)), scope_of("/bad"))
    assert error is None
    assert len(sent) == len(messages)
    assert all(one is other for one, other in zip(sent, messages, strict=True))


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_a_file_comes_after_the_start(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """As any body."""
    sent, reason = await told(sends({"type": kind, "path": "/x", "file": 3}, START), caplog)
    assert sent[0]["status"] == 500
    assert reason.startswith(f"{kind!r} was sent before its start; send 'http.response.start' once")


async def test_headers_that_can_be_read_once() -> None:
    """ASGI allows any iterable."""
    start = {**START, "headers": iter([(b"x", b"y")])}
    sent, _ = await asked(lone(sends(start, BODY)), scope_of("/bad"))
    assert sent[0]["headers"] == [(b"x", b"y")]


async def test_a_length_that_is_said_twice() -> None:
    """Is said once; what else there is stays."""
    headers = [(b"content-length", b"2"), (b"x", b"y"), (b"Content-Length", b"2")]
    sent, error = await asked(lone(sends({**START, "headers": headers}, BODY)), scope_of("/bad"))
    assert error is None
    assert sent[0]["headers"] == [(b"x", b"y"), (b"content-length", b"2")]


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body(status: int) -> None:
    """None goes out: a client would take it for the next response."""
    app = sends({**START, "status": status}, PART, {**BODY, "body": b""})
    sent, error = await asked(lone(app), scope_of("/bad"))
    assert error is None
    assert [one.get("body") for one in sent] == [None, b"", b""]


async def test_the_length_of_head() -> None:
    """It is that of the body which GET would have."""
    start = {**START, "headers": [(b"content-length", b"500")]}
    for body in (b"", b"x" * 500):
        app = sends(start, {**BODY, "body": body})
        _, error = await asked(lone(app), scope_of("/bad", method="HEAD"))
        assert error is None


async def test_the_app_may_try_again() -> None:
    """What was refused has not begun the response."""
    sent, error = await asked(lone(HTTP["swallowing"]), scope_of("/bad"))
    assert error is None
    assert sent == [START, BODY]


async def test_headers_of_an_exception_that_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """They are checked as well."""
    sent, message = await told(HTTP["http-exception-injects"], caplog)
    assert sent[0]["status"] == 500
    assert "has a control character in it" in message


@pytest.mark.parametrize(
    "scope",
    [scope_of("/bad"), scope_of("/bad", type="websocket", extensions=DENIAL)],
    ids=["http", "websocket"],
)
async def test_an_app_without_an_answer(scope: Scope, caplog: pytest.LogCaptureFixture) -> None:
    """Is answered for, and named once, by its mount."""
    app = lone(sends())
    for _ in range(2):
        sent, error = await asked(app, dict(scope))
        assert (sent[0]["status"], error) == (500, None)
        assert not sent[-1].get("more_body")
    [record] = caplog.records
    assert record.getMessage().startswith("The app mounted at '/bad' (")
    assert record.getMessage().endswith(" returned without an answer and answers 500.")


async def test_a_client_that_has_gone_is_not_answered() -> None:
    """To send may raise then; nobody is to see that."""

    async def send(message: Message) -> None:
        raise OSError

    app = lone(sends())
    await app(scope_of("/bad"), Running(app).receive, send)


@pytest.mark.parametrize("extensions", [DENIAL, {}], ids=["denial", "plain"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("text-first", "'websocket.send' was sent before 'websocket.accept'."),
        ("unknown-type", "'websocket.nonsense' was sent for a websocket, which knows no such one."),
        ("http-body", "'http.response.body' was sent for a websocket; accept or close it."),
        ("accept-header-crlf", "has a control character in it"),
        ("accept-header-text", "The header name 'x-a' is none"),
        ("accept-subprotocol-crlf", "is none; send one of those that were offered."),
        ("denial-body-first", "'websocket.http.response.body' was sent before its start."),
        ("denial-crlf", "has a control character in it"),
        ("denial-status-text", "The status '403' is none"),
    ],
)
async def test_no_handshake(
    fault: str, reason: str, extensions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is turned away."""
    sent, message = await told(WEBSOCKET[fault], caplog, type="websocket", extensions=extensions)
    if extensions:
        assert sent[0]["type"] == "websocket.http.response.start"
        assert sent[0]["status"] == 500
    else:
        assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]
    assert reason in message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("accept-twice", "'websocket.accept' was sent after the handshake was answered."),
        ("denial-after-accept", "'websocket.http.response.start' was sent after the handshake"),
        ("http-after-accept", "'http.response.start' was sent for a websocket, which knows no"),
        ("send-nothing", "A message of text=None, bytes=None is none; send one of them."),
        ("send-number", "A message of text=2, bytes=None is none"),
        ("close-code-bad", "The close code 999999 is none; send 1000, or a number from 3000"),
        ("close-code-text", "The close code '1000' is none"),
        ("close-code-1005", "The close code 1005 is none"),
        ("close-reason-long", "is no text of up to 123 bytes; shorten it."),
    ],
)
async def test_no_websocket(fault: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is closed with code 1011."""
    sent, message = await told(WEBSOCKET[fault], caplog, type="websocket")
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == 1011
    assert reason in message


@pytest.mark.parametrize("fault", ["close-twice", "send-after-close"])
async def test_a_websocket_that_is_closed(fault: str) -> None:
    """Nothing more goes out."""
    sent, error = await asked(lone(WEBSOCKET[fault]), scope_of("/bad", type="websocket"))
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.close"]
    assert isinstance(error, ImproperResponseError)
    assert "was sent after the end of the websocket." in str(error)


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
    sent, error = await asked(lone(sends(*messages)), scope)
    assert error is None
    expected = [{**one, "headers": one.get("headers") or []} for one in messages]
    assert [{**one, "headers": one.get("headers") or []} for one in sent] == expected


async def test_a_handshake_that_is_answered_like_a_request() -> None:
    """Sanic and Socket.IO do it: it is turned away, with the status where that can be said."""
    app = sends({**START, "status": 404}, {**BODY, "more_body": True}, {**BODY, "body": b""})
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(lone(app), scope)
    assert error is None
    assert [one["type"].removeprefix("websocket.http.response.") for one in sent] == [
        "start",
        "body",
        "body",
    ]
    assert (sent[0]["status"], sent[1]["body"]) == (404, b"ok")
    sent, error = await asked(lone(app), scope_of("/bad", type="websocket"))
    assert error is None
    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


@pytest.mark.parametrize(
    "fault",
    ["raise-after-accept", "exit-after-accept", "unspeakable-after-accept", "silent-after-accept"],
)
async def test_a_websocket_that_is_left_open(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is closed with code 1011, and an error is logged with the name of the mount."""
    mount = Mount("/bad", misbehaving)
    sent, error = await asked(Dispatcher([mount]), scope_of(f"/bad/{fault}", type="websocket"))
    assert error is None
    assert sent == [ACCEPT | {"headers": []}, {**CLOSE, "code": 1011, "reason": ""}]
    if fault == "silent-after-accept":
        assert caplog.records == []
        return
    [record] = caplog.records
    assert record.getMessage().startswith("The app mounted at '/bad' (")
    assert record.getMessage().endswith(" raised and is closed with 1011.")
    assert mount.health.error is not None


async def test_an_error_of_a_websocket_goes_up_by_choice() -> None:
    """The handlers of the parent may say another code."""
    app = Dispatcher([Mount("/bad", raises(lambda: KeyError("x"), ACCEPT), errors="raise")])
    sent, error = await asked(app, scope_of("/bad", type="websocket"))
    assert len(sent) == 1
    assert isinstance(error, KeyError)


async def test_a_websocket_whose_client_has_gone() -> None:
    """To close it may raise then."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if sent:
            raise OSError
        sent.append(message)

    app = lone(sends(ACCEPT))
    await app(scope_of("/bad", type="websocket"), Running(app).receive, send)
    assert len(sent) == 1


@pytest.mark.parametrize("fault", ["denial-start-only", "denial-raises"])
async def test_a_handshake_that_is_turned_away_by_half(fault: str) -> None:
    """Its end is sent: servers wait for it."""
    start = {**START, "type": "websocket.http.response.start", "status": 403, "headers": []}
    app = sends(start) if fault == "denial-start-only" else raises(lambda: KeyError(""), start)
    scope = scope_of("/bad", type="websocket", extensions=DENIAL)
    sent, error = await asked(lone(app), scope)
    assert error is None
    assert sent == [start, {"type": "websocket.http.response.body", "body": b""}]


async def test_an_exception_without_a_text(caplog: pytest.LogCaptureFixture) -> None:
    """`str` of it raises: its class is enough."""
    mount = Mount("/bad", misbehaving)
    sent, error = await asked(Dispatcher([mount]), scope_of("/bad/unspeakable"))
    assert (sent[0]["status"], error) == (500, None)
    assert mount.health.error == "Unspeakable"


async def test_values_without_a_text(caplog: pytest.LogCaptureFixture) -> None:
    """Those of a message neither."""

    class Unshown:
        __qualname__ = "Unshown"  # the message has no room for where it is

        def __repr__(self) -> str:
            raise RuntimeError

    _, message = await told(sends({**START, "status": Unshown()}), caplog)
    assert ".Unshown object> is none of a response" in message


async def test_an_exception_that_is_raised_again_and_again() -> None:
    """Some are made once: its notes do not grow."""
    exc = RuntimeError("boom")
    app = lone(raises(lambda: exc, START))
    for _ in range(3):
        await asked(app, scope_of("/bad"))
    assert len(exc.__notes__) == 1


async def test_routes_are_guarded_too() -> None:
    """They are a part of the parent, and their errors are its own."""

    async def injects(request: Any) -> Any:
        raise HTTPException(400, headers={"x": "a\r\nb: c"})

    app = Dispatcher([Mount("/bad", routes=[Route("/", injects)])])
    sent, error = await asked(app, scope_of("/bad/"))
    assert sent == []
    assert isinstance(error, ImproperResponseError)


def test_names_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps may make them up."""
    monkeypatch.setattr(guards, "_MAX_NAMES", 3)
    for number in range(20):
        guards.checked_start({**START, "headers": [(b"x-%d" % number, b"")]})
        assert len(guards._names) <= max(3, 1)


names = st.binary(min_size=0, max_size=6)
values = st.binary(max_size=12)


@given(st.lists(st.tuples(names, values), max_size=4))
def test_whatever_the_headers_are(headers: list[tuple[bytes, bytes]]) -> None:
    """Those that pass are as many lines in the head as there are headers."""
    try:
        message, _ = guards.checked_start({**START, "headers": headers})
    except ImproperResponseError:
        return
    head = b"".join(b"%s: %s\r\n" % pair for pair in message["headers"])
    lines = head.splitlines()
    assert len(lines) == len(message["headers"]) or b"\x85" in head
    assert all(b"\0" not in line and line[:1] not in b": \t" for line in lines)


# Context variables.

mark: ContextVar[str] = ContextVar("mark", default="nobody's")
other: ContextVar[str] = ContextVar("other")


async def marks(scope: Scope, receive: Receive, send: Send) -> None:
    """Sets context variables and answers."""
    mark.set("the app's")
    other.set("the app's")
    await send(START)
    await send(BODY)


@pytest.mark.parametrize("value", [None, "the server's"])
async def test_what_an_app_sets_is_not_the_next_requests(value: str | None) -> None:
    """uvicorn starts the next request while the end of the answer before is sent."""
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

        app = lone(marks)
        await app(scope_of("/bad"), Running(app).receive, send)
        await ended.wait()
        assert seen == [(value or "nobody's", None)]
        # Those above find what they have set, if they have.
        assert mark.get() == (value or "the app's")


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

    await lone(app)(scope_of("/bad"), Running(lone(app)).receive, send)
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
        app = lone(marks)
        tasks.start_soon(app, scope_of("/bad"), Running(app).receive, send)
        await until(lambda: bool(log))
        tasks.cancel_scope.cancel()
    assert log == ["nobody's", "cancelled"]


async def test_a_send_that_is_no_coroutine() -> None:
    """granian's is none: it has `__next__` alone."""

    class Awaitable:
        def __await__(self) -> Iterator[None]:
            return iter(())

    def send(message: Message) -> Any:
        return Awaitable()

    await send_in(copy_context(), send, BODY)


async def test_values_that_cannot_be_compared() -> None:
    """Count as others."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError

        __hash__ = None  # type: ignore[assignment]

    odd: ContextVar[Any] = ContextVar("odd")
    odd.set(Odd())
    context = copy_context()
    assert is_current(context)
    odd.set(Odd())
    assert not is_current(context)
    restore(context)
    assert is_current(context)
