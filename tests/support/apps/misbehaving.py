"""Apps that do what no app should, each by its name: `/bad/NAME`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import sniffio
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Message, Receive, Scope, Send

from mountkit import Mount, TimeoutMiddleware

Fault: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[Any]]

OK = [(b"content-length", b"2")]
START: Message = {"type": "http.response.start", "status": 200, "headers": OK}
BODY: Message = {"type": "http.response.body", "body": b"ok"}
PART: Message = {"type": "http.response.body", "body": b"o", "more_body": True}
ACCEPT: Message = {"type": "websocket.accept"}
CLOSE: Message = {"type": "websocket.close", "code": 1000}
TEXT: Message = {"type": "websocket.send", "text": "ok"}


class Unspeakable(Exception):
    """It cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class OwnBase(BaseException):
    """Not an `Exception`."""


def sends(*messages: Any) -> Fault:
    """One that sends these."""

    async def fault(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return fault


def raises(make: Callable[[], BaseException], *messages: Message) -> Fault:
    """One that sends these and raises then."""

    async def fault(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise make()

    return fault


def starts(**changes: Any) -> Fault:
    """One that begins its answer like this."""
    return sends({**START, **changes}, BODY)


def with_header(*headers: Any) -> Fault:
    return starts(headers=[*OK, *headers])


async def concurrently(scope: Scope, receive: Receive, send: Send) -> None:
    """Several tasks answer at once."""

    async def answer() -> None:
        await send(START)
        await send(BODY)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(answer)


async def ends_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Two tasks end one answer, and neither cancels the other."""

    async def end() -> None:
        with suppress(Exception):
            await send(BODY)

    await send(START)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(end)


async def runs_on(scope: Scope, receive: Receive, send: Send) -> None:
    """Leaves a task behind that answers once more."""

    async def answer() -> None:
        for message in (BODY, START, BODY):
            await anyio.lowlevel.checkpoint()
            with suppress(Exception):
                await send(message)

    await send(START)
    await send(BODY)
    if sniffio.current_async_library() == "asyncio":
        left_behind.append(asyncio.create_task(answer()))


async def swallowing(scope: Scope, receive: Receive, send: Send) -> None:
    """Goes on after what `send` has raised, and answers anew."""
    for message in (
        BODY,
        {**START, "status": 204, "headers": [(b"x", b"a\r\nb: c")]},
        START,
        START,
        BODY,
        BODY,
    ):
        try:
            await send(message)
        except Exception:
            continue


async def changing_afterwards(scope: Scope, receive: Receive, send: Send) -> None:
    """Changes what it has sent."""
    headers = [*OK]
    await send({**START, "headers": headers})
    headers.append((b"x-injected", b"1"))
    await send(BODY)


async def receiving_on(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads on and on."""
    await send(START)
    await send(BODY)
    for _ in range(5):
        await receive()


async def returning_something(scope: Scope, receive: Receive, send: Send) -> Any:
    await send(START)
    await send(BODY)
    return "something"


async def leaking(scope: Scope, receive: Receive, send: Send) -> None:
    """Leaves a task behind that fails."""
    if sniffio.current_async_library() == "asyncio":

        async def fail() -> None:
            raise RuntimeError("boom")

        left_behind.append(asyncio.create_task(fail()))
    await send(START)
    await send(BODY)


left_behind: list[Any] = []


async def blocking(scope: Scope, receive: Receive, send: Send) -> None:
    """Holds up the loop: nobody can take it from there, but it ends."""
    time.sleep(0.2)  # noqa: ASYNC251
    await send(START)
    await send(BODY)


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    await anyio.sleep_forever()


async def never_ends(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "headers": []})
    await send(PART)
    await anyio.sleep_forever()


async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    """Does not heed its cancellation the first time, and answers late."""
    try:
        await anyio.sleep_forever()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await send(START)
            await send(BODY)


def cancelled() -> BaseException:
    return asyncio.CancelledError()


def deep() -> BaseException:
    def dig() -> None:
        dig()

    try:
        dig()
    except RecursionError as exc:
        return exc
    raise AssertionError


async def not_async_inside(scope: Scope, receive: Receive, send: Send) -> None:
    await (lambda: None)()  # type: ignore[misc]


SPLIT = b"a\r\nset-cookie: injected=1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"

HTTP: dict[str, Fault] = {
    # Raises.
    "raise": raises(lambda: RuntimeError("boom")),
    "raise-after-start": raises(lambda: RuntimeError("boom"), START),
    "raise-after-part": raises(lambda: RuntimeError("boom"), {**START, "headers": []}, PART),
    "raise-after-end": raises(lambda: RuntimeError("boom"), START, BODY),
    "exit": raises(lambda: SystemExit(3)),
    "exit-after-start": raises(lambda: SystemExit(3), START),
    "exit-after-end": raises(lambda: SystemExit(3), START, BODY),
    "ctrl-c": raises(KeyboardInterrupt),
    "ctrl-c-after-start": raises(KeyboardInterrupt, START),
    "generator-exit": raises(GeneratorExit),
    "generator-exit-after-start": raises(GeneratorExit, START),
    "cancelled": raises(cancelled),
    "cancelled-after-start": raises(cancelled, START),
    "group": raises(lambda: BaseExceptionGroup("several", [SystemExit(3), KeyboardInterrupt()])),
    "group-of-errors": raises(lambda: ExceptionGroup("several", [RuntimeError("boom")])),
    "base": raises(lambda: OwnBase("boom")),
    "recursion": raises(deep),
    "memory": raises(MemoryError),
    "stop-async": raises(StopAsyncIteration),
    "unspeakable": raises(Unspeakable),
    "unspeakable-after-start": raises(Unspeakable, START),
    "http-exception": raises(lambda: HTTPException(418, "teapot")),
    "http-exception-injects": raises(
        lambda: HTTPException(400, "x", headers={"x-a": SPLIT.decode()})
    ),
    "not-awaitable": not_async_inside,
    # Says nothing, too much, or the wrong thing.
    "silent": sends(),
    "no-end": sends({**START, "headers": []}, PART),
    "start-only": sends(START),
    "body-only": sends(BODY),
    "body-first": sends(BODY, START, BODY),
    "start-twice": sends(START, {**START, "status": 201}, BODY),
    "start-between": sends({**START, "headers": []}, PART, START, BODY),
    "answers-twice": sends(START, BODY, START, BODY),
    "body-after-end": sends(START, BODY, BODY),
    "unknown-type": sends({"type": "http.response.nonsense"}),
    "unknown-type-after-start": sends(START, {"type": "http.response.nonsense"}, BODY),
    "no-type": sends({"status": 200}),
    "no-message": sends(None),
    "websocket-messages": sends(ACCEPT, TEXT, CLOSE),
    "websocket-close": sends(CLOSE),
    "concurrent": concurrently,
    "ends-at-once": ends_at_once,
    "runs-on": runs_on,
    "swallowing": swallowing,
    "trailers-unasked": sends(START, BODY, {"type": "http.response.trailers", "headers": []}),
    # Status.
    "status-missing": sends({"type": "http.response.start", "headers": OK}, BODY),
    "status-text": starts(status="200"),
    "status-none": starts(status=None),
    "status-0": starts(status=0),
    "status-42": starts(status=42),
    "status-1000": starts(status=1000),
    "status-negative": starts(status=-1),
    "status-float": starts(status=200.0),
    "status-true": starts(status=True),
    "status-101": starts(status=101),
    "status-100": starts(status=100),
    "status-799": starts(status=799),
    "status-204-body": starts(status=204),
    "status-304-body": starts(status=304),
    # Headers.
    "header-value-crlf": with_header((b"x-a", SPLIT)),
    "header-value-lf": with_header((b"x-a", b"a\nset-cookie: injected=1")),
    "header-value-cr": with_header((b"x-a", b"a\rset-cookie: injected=1")),
    "header-value-nul": with_header((b"x-a", b"a\0b")),
    "header-value-control": with_header((b"x-a", b"a\x01b")),
    "header-value-obs-fold": with_header((b"x-a", b"a\r\n b")),
    "header-value-ends": with_header((b"x-a", b"a\n")),
    "header-name-crlf": with_header((b"x-a: b\r\nset-cookie", b"injected=1")),
    "header-name-colon": with_header((b"set-cookie: injected", b"1")),
    "header-name-space": with_header((b"x a", b"1")),
    "header-name-ends": with_header((b"x-a ", b"1")),
    "header-name-empty": with_header((b"", b"1")),
    "header-name-nul": with_header((b"x\0a", b"1")),
    "header-name-latin": with_header((b"x-\xe9", b"1")),
    "header-text": with_header(("x-a", "1")),
    "header-value-text": with_header((b"x-a", "1")),
    "header-value-none": with_header((b"x-a", None)),
    "header-value-number": with_header((b"x-a", 1)),
    "header-single": with_header((b"x-a",)),
    "header-triple": with_header((b"x-a", b"1", b"2")),
    "header-none": with_header(None),
    "headers-none": starts(headers=None),
    "headers-mapping": starts(headers={b"content-length": b"2"}),
    "headers-text": starts(headers="content-length: 2"),
    "headers-number": starts(headers=2),
    "headers-huge": with_header((b"x-a", b"a" * 300_000)),
    "changes-afterwards": changing_afterwards,
    # Length.
    "length-too-long": starts(headers=[(b"content-length", b"5")]),
    "length-too-short": starts(headers=[(b"content-length", b"1")]),
    "length-text": starts(headers=[(b"content-length", b"two")]),
    "length-negative": starts(headers=[(b"content-length", b"-2")]),
    "length-plus": starts(headers=[(b"content-length", b"+2")]),
    "length-list": starts(headers=[(b"content-length", b"2, 2")]),
    "length-twice": starts(headers=[*OK, (b"content-length", b"100")]),
    "length-twice-alike": starts(headers=[*OK, *OK]),
    "length-and-chunked": starts(headers=[*OK, (b"transfer-encoding", b"chunked")]),
    "chunked": starts(headers=[(b"transfer-encoding", b"chunked")]),
    "coding-unknown": starts(headers=[(b"transfer-encoding", b"gzip")]),
    # Body.
    "body-text": sends(START, {**BODY, "body": "ok"}),
    "body-none": sends(START, {**BODY, "body": None}),
    "body-number": sends(START, {**BODY, "body": 2}),
    "body-missing": sends({**START, "headers": []}, {"type": "http.response.body"}),
    # Afterwards.
    "receives-on": receiving_on,
    "returns-something": returning_something,
    "leaks-a-task": leaking,
    "blocks": blocking,
}

WEBSOCKET: dict[str, Fault] = {
    "raise": raises(lambda: RuntimeError("boom")),
    "exit": raises(lambda: SystemExit(3)),
    "ctrl-c": raises(KeyboardInterrupt),
    "generator-exit": raises(GeneratorExit),
    "cancelled": raises(cancelled),
    "unspeakable": raises(Unspeakable),
    "silent": sends(),
    "close": sends(CLOSE),
    "http-answer": sends(START, BODY),
    "http-body": sends(BODY),
    "text-first": sends(TEXT, ACCEPT, TEXT),
    "unknown-type": sends({"type": "websocket.nonsense"}),
    "accept-header-crlf": sends({**ACCEPT, "headers": [(b"x-a", SPLIT)]}, TEXT),
    "accept-header-text": sends({**ACCEPT, "headers": [("x-a", "1")]}, TEXT),
    "accept-subprotocol-crlf": sends({**ACCEPT, "subprotocol": SPLIT.decode()}, TEXT),
    "denial-body-first": sends({"type": "websocket.http.response.body", "body": b"no"}),
    "denial-start-only": sends(
        {"type": "websocket.http.response.start", "status": 403, "headers": []}
    ),
    "denial-crlf": sends(
        {"type": "websocket.http.response.start", "status": 403, "headers": [(b"x-a", SPLIT)]},
        {"type": "websocket.http.response.body", "body": b"no"},
    ),
    "denial-status-text": sends(
        {"type": "websocket.http.response.start", "status": "403", "headers": []},
        {"type": "websocket.http.response.body", "body": b"no"},
    ),
    "denial-then-accept": sends(
        {"type": "websocket.http.response.start", "status": 403, "headers": OK},
        {"type": "websocket.http.response.body", "body": b"no"},
        ACCEPT,
        TEXT,
    ),
    "raise-after-accept": raises(lambda: RuntimeError("boom"), ACCEPT),
    "exit-after-accept": raises(lambda: SystemExit(3), ACCEPT),
    "ctrl-c-after-accept": raises(KeyboardInterrupt, ACCEPT),
    "cancelled-after-accept": raises(cancelled, ACCEPT),
    "unspeakable-after-accept": raises(Unspeakable, ACCEPT),
    "silent-after-accept": sends(ACCEPT),
    "silent-after-text": sends(ACCEPT, TEXT),
    "accept-twice": sends(ACCEPT, ACCEPT),
    "denial-after-accept": sends(
        ACCEPT,
        {"type": "websocket.http.response.start", "status": 403, "headers": OK},
        {"type": "websocket.http.response.body", "body": b"no"},
    ),
    "http-after-accept": sends(ACCEPT, START, BODY),
    "unknown-type-after-accept": sends(ACCEPT, {"type": "websocket.nonsense"}),
    "send-nothing": sends(ACCEPT, {"type": "websocket.send"}),
    "send-number": sends(ACCEPT, {"type": "websocket.send", "text": 2}),
    "send-both": sends(ACCEPT, {"type": "websocket.send", "text": "ok", "bytes": b"ok"}),
    "close-twice": sends(ACCEPT, CLOSE, CLOSE),
    "send-after-close": sends(ACCEPT, CLOSE, TEXT),
    "raise-after-close": raises(lambda: RuntimeError("boom"), ACCEPT, CLOSE),
    "close-code-bad": sends(ACCEPT, {**CLOSE, "code": 999_999}),
    "close-code-text": sends(ACCEPT, {**CLOSE, "code": "1000"}),
    "close-code-1005": sends(ACCEPT, {**CLOSE, "code": 1005}),
    "close-reason-long": sends(ACCEPT, {**CLOSE, "reason": "a" * 500}),
    "huge": sends(ACCEPT, {**TEXT, "text": "a" * 2_000_000}, CLOSE),
}


async def misbehaving(scope: Scope, receive: Receive, send: Send) -> None:
    """The app that `/bad/NAME` names."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    name = scope["path"].rpartition("/")[2]
    if scope["type"] == "websocket":
        await receive()
        await WEBSOCKET[name](scope, receive, send)
    else:
        result = await HTTP[name](scope, receive, send)
        if result is not None:
            return result  # type: ignore[no-any-return]
    return None


def limited() -> list[Mount]:
    """Mounts that have to be held in their bounds."""
    return [
        Mount("/never", never, middleware=[Middleware(TimeoutMiddleware, response=0.2)]),
        Mount("/never-ends", never_ends, middleware=[Middleware(TimeoutMiddleware, total=1)]),
        Mount("/stubborn", stubborn, middleware=[Middleware(TimeoutMiddleware, response=0.2)]),
    ]
