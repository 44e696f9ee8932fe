"""`WSGIBridge`: PEP 3333 on threads, streams in bounded memory, nothing stuck."""

from __future__ import annotations

import contextvars
import gc
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any
from wsgiref.validate import validator

import a2wsgi
import anyio
import anyio.lowlevel
import pytest
from starlette.types import Message, Scope

from mountkit import Dispatcher, InterfaceError, Mount
from mountkit.wsgi.bridge import WSGIBridge
from mountkit.wsgi.environs import environ_of
from mountkit.wsgi.threads import loop_caller
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio

OK = "200 OK"
TEXT = [("content-type", "text/plain")]


class Client:
    """A client in this process: sends `chunks`, keeps what comes back, and may go away.

    Args:
        chunks: of the request's body.
        gone_after: the number of messages after which the client is gone.
        fails: raise from `send()` then, as ASGI 2.4 has it, instead of ignoring it.
    """

    def __init__(
        self, chunks: Iterable[bytes] = (), *, gone_after: int | None = None, fails: bool = False
    ) -> None:
        self.chunks = list(chunks)
        self.gone_after = gone_after
        self.fails = fails
        self.sent: list[Message] = []
        self.received = 0
        self.gone = anyio.Event()

    async def receive(self) -> Message:
        self.received += 1
        await anyio.lowlevel.checkpoint()
        if self.received <= max(1, len(self.chunks)):
            body = self.chunks[self.received - 1] if self.chunks else b""
            more = self.received < len(self.chunks)
            return {"type": "http.request", "body": body, "more_body": more}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        if self.gone_after is not None and len(self.sent) >= self.gone_after:
            self.gone.set()
            if self.fails:
                raise OSError("The client is gone.")
            return
        self.sent.append(message)

    async def ask(self, app: Any, **options: Any) -> Client:
        headers = list(options.pop("headers", ()))
        if self.chunks:
            headers.append(("content-length", str(sum(map(len, self.chunks)))))
        with anyio.fail_after(60):
            await app(scope_of("/x", headers=headers, **options), self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode("latin-1") for k, v in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def shape(self) -> list[tuple[bytes, bool]]:
        return [(message["body"], message["more_body"]) for message in self.sent[1:]]


async def ask(app: Any, chunks: Iterable[bytes] = (), **options: Any) -> Client:
    """One request to a WSGI app behind the bridge."""
    return await Client(chunks).ask(WSGIBridge(app), **options)


async def eventually(is_true: Callable[[], bool]) -> None:
    """Wait for what a thread is about to do."""
    with anyio.fail_after(60):
        while not is_true():  # noqa: ASYNC110
            await anyio.sleep(0.005)


class Body:
    """An iterable that remembers how far it came and whether it was closed."""

    def __init__(self, chunks: Iterable[Any], pause: float = 0) -> None:
        self.chunks = iter(chunks)
        self.pause = pause
        self.given = 0
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        for chunk in self.chunks:
            self.given += 1
            yield chunk
            time.sleep(self.pause)

    def close(self) -> None:
        self.closed += 1


def answering(body: Any, headers: Any = TEXT, status: Any = OK) -> Any:
    """An app that answers with one body."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, headers)
        return body

    return app


# The answer.


@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param([b"hello"], "5", id="one-chunk"),
        pytest.param((b"hello",), "5", id="tuple"),
        pytest.param([b"he", b"llo"], None, id="two-chunks"),
        pytest.param([b"", b"hello", b""], None, id="empty-chunks"),
        pytest.param({b"hello": 1}.keys(), None, id="iterable"),
    ],
)
async def test_body(body: Any, length: str | None) -> None:
    """All of it; a body of one chunk gets a length (PEP 3333, "Handling the Content-Length")."""
    client = await ask(answering(body))
    assert (client.status, client.body) == (200, b"hello")
    assert client.headers.get("content-length") == length
    assert [more for _, more in client.shape].count(False) == 1
    assert client.shape[-1][1] is False


@pytest.mark.parametrize("body", [[], [b""], iter([])], ids=["list", "empty-chunk", "iterator"])
async def test_empty_body(body: Any) -> None:
    """Is an answer."""
    client = await ask(answering(body))
    assert (client.status, client.shape) == (200, [(b"", False)])


@pytest.mark.parametrize("length", [0, 5])
async def test_declared_length(length: int) -> None:
    """Stays as it is, and ends the answer when it is reached."""
    headers = [("Content-Length", str(length))]
    client = await ask(answering(iter([b"x" * length]), headers))
    assert client.headers == {"content-length": str(length)}
    assert client.shape == [(b"x" * length, False)]


@pytest.mark.parametrize(
    "lengths",
    [("one",), ("",), ("-1",), ("+1",), ("1, 1",), ("1" * 19,), ("1", "2")],
    ids=["word", "empty", "minus", "plus", "list", "long", "two"],
)
async def test_a_length_that_is_not_one_number(lengths: tuple[str, ...]) -> None:
    """Is an error: servers send it as it is, and the client takes the next answer for its rest."""
    with pytest.raises(InterfaceError, match=r"with the Content-Length '.*'; declare one number"):
        await ask(answering([b"x"], [("content-length", length) for length in lengths]))


async def test_a_length_that_is_declared_twice() -> None:
    """Is sent once."""
    headers = [("Content-Length", "1"), ("ETag", "a"), ("content-length", "1")]
    client = await ask(answering([b"x"], headers))
    [start, *_] = client.sent
    assert start["headers"] == [(b"etag", b"a"), (b"content-length", b"1")]


@pytest.mark.parametrize("body", [[], [b"x"], iter([b"x"])], ids=["nothing", "chunk", "iterator"])
async def test_less_than_declared(body: Any) -> None:
    """Is an error: the client would take the next answer for the rest."""
    with pytest.raises(InterfaceError, match=r"with [01] bytes, after a Content-Length of 2"):
        await ask(answering(body, [("content-length", "2")]))


async def test_more_than_declared() -> None:
    """Is an error: two answers in one would be next."""
    with pytest.raises(InterfaceError, match="with 3 bytes, after a Content-Length of 2"):
        await ask(answering([b"xx", b"x"], [("content-length", "2")]))


async def test_a_whole_answer_is_sent_before_the_app_returns() -> None:
    """What the app does in `close()` holds back no client, but the request lasts until then."""
    client = Client()
    seen: list[int] = []

    class Slow(Body):
        def close(self) -> None:
            for _ in range(1000):
                if len(client.sent) == 2:
                    break
                time.sleep(0.005)
            seen.append(len(client.sent))

    await client.ask(WSGIBridge(answering(Slow([b"hello"]), [("content-length", "5")])))
    assert seen == [2]


async def test_each_chunk_is_sent_at_once() -> None:
    """Before the app is asked for the next one (PEP 3333, "Buffering and Streaming")."""
    client = Client()

    def body() -> Iterator[bytes]:
        for n in range(3):
            yield b"%d" % n
            for _ in range(1000):
                if client.body == b"012"[: n + 1]:
                    break
                time.sleep(0.005)
            yield b"" if client.body == b"012"[: n + 1] else b"!"

    await client.ask(WSGIBridge(answering(body())))
    assert client.body == b"012"


async def test_small_chunks_are_joined() -> None:
    """Thousands of them are not thousands of messages."""
    client = await ask(answering(iter([b"x" * 100] * 10_000)))
    assert client.body == b"x" * 1_000_000
    assert len(client.sent) < 2_000


async def test_large_chunks_are_not_copied() -> None:
    """They go on as they are."""
    chunk = b"x" * 100_000
    client = await ask(answering([chunk, chunk]))
    assert all(message["body"] in (chunk, b"") for message in client.sent[1:])
    assert client.body == chunk * 2


async def test_write() -> None:
    """What `start_response` returns sends before what is returned."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response(OK, TEXT)
        write(b"a")
        write(b"b")
        return [b"c"]

    client = await ask(app)
    assert client.body == b"abc"
    assert "content-length" not in client.headers


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("HEAD", OK),
        ("GET", "204 No Content"),
        ("GET", "205 Reset Content"),
        ("GET", "304 Not Modified"),
    ],
)
async def test_answers_without_a_body(method: str, status: str) -> None:
    """Nothing is sent, the iteration ends early, and `close()` is called."""
    body = Body([b"x"] * 10)
    client = await ask(answering(body, status=status), method=method)
    assert (client.status, client.shape) == (int(status[:3]), [(b"", False)])
    assert (body.given, body.closed) == (1, 1)


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
async def test_the_length_of_no_content(status: str) -> None:
    """Goes with the content; other headers stay."""
    client = await ask(answering([b"hello"], [("Content-Length", "5"), ("ETag", "a")], status))
    assert (client.headers, client.shape) == ({"etag": "a"}, [(b"", False)])


async def test_the_length_of_an_answer_to_head() -> None:
    """Stays."""
    client = await ask(answering([], [("Content-Length", "5")]), method="HEAD")
    assert (client.headers, client.shape) == ({"content-length": "5"}, [(b"", False)])


async def test_head_with_a_list() -> None:
    """Gets no length that is made up: the body may have been left out already."""
    assert "content-length" not in (await ask(answering([b"hello"]), method="HEAD")).headers


@pytest.mark.parametrize("missing", ["scheme", "query_string", "http_version", "client", "server"])
@pytest.mark.parametrize("place", ["bare", "default"])
async def test_a_scope_without(missing: str, place: str) -> None:
    """What servers may leave out, or adapters of hand-made requests do."""
    app: Any = answering([b"hello"])
    served = WSGIBridge(app) if place == "bare" else Dispatcher(default=app)
    scope = scope_of("/x")
    del scope[missing]
    client = Client()
    with anyio.fail_after(60):
        await served(scope, client.receive, client.send)
    assert (client.status, client.body) == (200, b"hello")


async def test_headers() -> None:
    """Lower case, in order, twice where given twice; the server's own are left out."""
    given = [("X-A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("X-E", " é\t")]
    client = await ask(answering([], [*given, ("Connection", "close")]))
    assert client.sent[0]["headers"] == [
        (b"x-a", b"1"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"x-e", b"\xe9"),
    ]


async def test_validator() -> None:
    """`wsgiref.validate` has nothing to say about either side."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(10)
        start_response(OK, TEXT)
        return [body]

    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        for path, root_path in (("/sub/x", "/sub"), ("/sub/", "/sub"), ("/", ""), ("*", "")):
            client = Client([b"hello"])
            scope = scope_of(
                path, method=method, root_path=root_path, headers=[("content-length", "5")]
            )
            await WSGIBridge(validator(app))(scope, client.receive, client.send)
            assert client.body == (b"" if method == "HEAD" else b"hello")


# The request's body.


def reading(read: Callable[[Any], Any]) -> Any:
    """An app that answers with what it read."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        found = repr(read(environ["wsgi.input"])).encode()
        start_response(OK, TEXT)
        return [found]

    return app


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        pytest.param(lambda body: body.read(), b"one\ntwo\nthree", id="read"),
        pytest.param(lambda body: body.read(None), b"one\ntwo\nthree", id="read-none"),
        pytest.param(lambda body: body.read(5), b"one\nt", id="read-some"),
        pytest.param(lambda body: body.read(100), b"one\ntwo\nthree", id="read-more"),
        pytest.param(
            lambda body: (body.read(), body.read()), (b"one\ntwo\nthree", b""), id="twice"
        ),
        pytest.param(lambda body: body.read(0), b"", id="read-nothing"),
        pytest.param(lambda body: body.readline(), b"one\n", id="readline"),
        pytest.param(lambda body: body.readline(2), b"on", id="readline-some"),
        pytest.param(lambda body: body.readlines(), [b"one\n", b"two\n", b"three"], id="readlines"),
        pytest.param(lambda body: body.readlines(5), [b"one\n", b"two\n"], id="readlines-hint"),
        pytest.param(list, [b"one\n", b"two\n", b"three"], id="iterate"),
    ],
)
@pytest.mark.parametrize(
    "chunks",
    [[b"one\ntwo\nthree"], [b"on", b"e\nt", b"", b"wo\nthree"]],
    ids=["one-chunk", "chunks"],
)
async def test_input(read: Any, expected: Any, chunks: list[bytes]) -> None:
    """`wsgi.input` is a binary file."""
    assert (await ask(reading(read), chunks)).body == repr(expected).encode()


async def test_no_input() -> None:
    """A request without a body has an empty one, and the client is not asked for it."""
    client = await ask(reading(lambda body: (body.read(), body.readline(), list(body))))
    assert client.body == repr((b"", b"", [])).encode()
    assert client.received == 0


@pytest.mark.parametrize(
    ("headers", "http_version", "method", "asked"),
    [
        pytest.param([("content-length", "0")], "1.1", "POST", False, id="zero"),
        pytest.param([("transfer-encoding", "chunked")], "1.1", "POST", True, id="chunked"),
        pytest.param([], "1.1", "POST", True, id="none"),
        pytest.param([], "1.1", "GET", False, id="none-get"),
        pytest.param([("content-type", "a/b")], "1.1", "GET", True, id="type-get"),
        pytest.param([], "2", "POST", True, id="http-2"),
        pytest.param([], "2", "GET", True, id="http-2-get"),
    ],
)
async def test_whether_there_is_a_body(
    headers: list[tuple[str, str]], http_version: str, method: str, asked: bool
) -> None:
    """It is looked for, but where nothing speaks of one in a request that hardly has one."""
    app = reading(lambda body: body.read())
    client = await ask(app, headers=headers, http_version=http_version, method=method)
    assert (client.received > 0) is asked


async def test_input_that_is_not_read() -> None:
    """Is not asked for: who is asked sends `100 Continue` (RFC 9110, section 10.1.1)."""
    client = await ask(answering([b"no"]), [b"x"] * 3, headers=[("expect", "100-continue")])
    assert (client.body, client.received) == (b"no", 0)


async def test_a_small_body_waits_for_no_thread() -> None:
    """It is there before the app is: a slow client holds up nobody."""
    bridge = WSGIBridge(reading(lambda body: body.read()), threads=1, queue=0)
    slow, quick, arrived = Client([b"slow"]), Client([b"quick"]), anyio.Event()
    receive = slow.receive

    async def wait() -> Message:
        await arrived.wait()
        return await receive()

    slow.receive = wait  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.ask, bridge)
        assert (await quick.ask(bridge)).body == repr(b"quick").encode()
        await eventually(lambda: bridge._pool.pending == 0)
        arrived.set()
    assert slow.body == repr(b"slow").encode()


async def test_input_in_bulk() -> None:
    """Four MiB in, in pieces of every size, and the same out."""
    chunks = [bytes([n % 251]) * (1 + n * 37 % 60_000) for n in range(200)]

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(OK, TEXT)
        return iter(partial(environ["wsgi.input"].read, 10_000), b"")

    assert (await ask(app, chunks)).body == b"".join(chunks)


async def test_reading_while_answering() -> None:
    """An answer goes out while the request still comes in."""
    client = Client([b"a", b"b"])
    first = client.receive

    async def receive() -> Message:
        if client.received == 1:
            await eventually(lambda: len(client.sent) > 1)
        return await first()

    client.receive = receive  # type: ignore[method-assign]

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(OK, TEXT)
        yield environ["wsgi.input"].read(1)
        yield environ["wsgi.input"].read(1)

    await client.ask(WSGIBridge(app), headers=[("expect", "100-continue")])
    assert client.body == b"ab"


async def test_a_sender_is_held_back() -> None:
    """No more of a body is taken in than fits the buffers while the app is busy."""
    client = Client([b"x" * 65_536] * 64)
    release = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"].read(1)
        release.wait(10)
        start_response(OK, TEXT)
        return [str(1 + len(environ["wsgi.input"].read())).encode()]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.ask, WSGIBridge(app))
        await eventually(lambda: client.received > 3)
        await anyio.sleep(0.1)
        assert client.received <= 12
        release.set()
    assert client.body == str(64 * 65_536).encode()


async def test_an_app_is_held_back() -> None:
    """No more of an answer is made than fits the buffer while the client does not read."""
    body = Body([b"x" * 65_536] * 64)
    client, release, send = Client(), anyio.Event(), Client.send

    async def slow(message: Message) -> None:
        await release.wait()
        await send(client, message)

    client.send = slow  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.ask, WSGIBridge(answering(body)))
        await anyio.sleep(0.1)
        assert body.given <= 9
        release.set()
    assert len(client.body) == 64 * 65_536
    assert body.closed == 1


# Errors.


class Broken(Exception):
    """An error of the app's own."""


def raising(exc: BaseException) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        raise exc

    return app


def failing_late(exc: BaseException, chunks: list[bytes]) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(OK, TEXT)
        yield from chunks
        raise exc

    return app


@pytest.mark.parametrize(
    ("app", "sent"),
    [
        pytest.param(raising(Broken()), 0, id="at-once"),
        pytest.param(failing_late(Broken(), []), 0, id="before-the-body"),
        pytest.param(failing_late(Broken(), [b"", b""]), 0, id="after-empty-chunks"),
        pytest.param(failing_late(Broken(), [b"x"]), 2, id="in-the-body"),
    ],
)
async def test_an_error_of_the_app(app: Any, sent: int) -> None:
    """Is raised, with nothing sent before the first chunk that is not empty."""
    client = Client()
    with pytest.raises(Broken):
        await client.ask(WSGIBridge(app))
    assert len(client.sent) == sent
    assert all(message.get("more_body", True) for message in client.sent)


@pytest.mark.parametrize(
    "exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=lambda exc: type(exc).__name__
)
async def test_an_exit_of_the_app(exc: BaseException) -> None:
    """Ends neither the thread nor the server."""
    bridge = WSGIBridge(raising(exc))
    for _ in range(3):
        with pytest.raises(InterfaceError, match=type(exc).__name__):
            await Client().ask(bridge)


async def test_an_error_in_close() -> None:
    """Is raised once the answer is out."""

    class Bad(Body):
        def close(self) -> None:
            raise Broken

    client = Client()
    with pytest.raises(Broken):
        await client.ask(WSGIBridge(answering(Bad([b"x"]))))
    assert client.body == b"x"


async def test_close_after_an_error() -> None:
    """Is called."""

    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise Broken

    body = Body(chunks())
    with pytest.raises(Broken):
        await ask(answering(body))
    assert body.closed == 1


@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param(answering(["x"]), "answered with 'x', a str; a WSGI", id="text"),
        pytest.param(
            answering([b"x"], status="OK"), "the status 'OK'; write it like '200 OK'", id="status"
        ),
        pytest.param(
            answering([b"x"], status=200), "the status 200; write it like '200 OK'", id="number"
        ),
        pytest.param(answering([b"x"], status="100 Go"), "the status '100 Go'", id="interim"),
        pytest.param(
            answering([b"x"], [("a", "b\r\nc: d")]), "which HTTP does not allow", id="line-break"
        ),
        pytest.param(answering([b"x"], [("a\0", "b")]), "which HTTP does not allow", id="nul"),
        pytest.param(answering([b"x"], [("a", 1)]), "which HTTP does not allow", id="not-text"),
        pytest.param(
            answering([], [("location", "/€5")]), "'/€5', which HTTP does not allow", id="euro"
        ),
        pytest.param(answering([], [("a", "\udce9")]), "HTTP does not allow", id="surrogate"),
        pytest.param(answering([], [("é", "a")]), "HTTP does not allow", id="name"),
        pytest.param(answering([], status="200 Ōk"), "the status '200 Ōk'", id="reason"),
        pytest.param(
            lambda environ, start_response: [b"x"], "before it called start_response", id="body"
        ),
        pytest.param(
            lambda environ, start_response: [], "before it called start_response", id="nothing"
        ),
    ],
)
async def test_what_is_no_answer(app: Any, message: str) -> None:
    """Is an error that says so, with nothing sent."""
    client = Client()
    with pytest.raises(InterfaceError, match=message):
        await client.ask(WSGIBridge(app))
    assert client.sent == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_start_response_with_exc_info(when: str) -> None:
    """Replaces an answer that has not begun, and raises the error if it has."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response(OK, TEXT)
        if when == "after":
            write(b"x")
        try:
            raise Broken
        except Broken:
            start_response("500 Oh", [("x-error", "1")], sys.exc_info())
        return [b"error"]

    client = Client()
    if when == "before":
        await client.ask(WSGIBridge(app))
        assert (client.status, client.body) == (500, b"error")
        assert client.headers == {"x-error": "1", "content-length": "5"}
    else:
        with pytest.raises(Broken):
            await client.ask(WSGIBridge(app))
        assert client.body == b"x"


async def test_start_response_twice() -> None:
    """Without exc_info it is an error."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(OK, TEXT)
        start_response(OK, TEXT)
        return []

    with pytest.raises(InterfaceError, match="called start_response a second time"):
        await ask(app)


# Clients that go.


@pytest.mark.parametrize("fails", [True, False], ids=["send-raises", "send-ignores"])
async def test_a_client_that_goes(fails: bool) -> None:
    """Ends the iteration, calls `close()`, and frees the thread."""
    body = Body([b"x" * 1000] * 5_000, pause=0.001)
    bridge = WSGIBridge(answering(body), threads=1)
    client = await Client(gone_after=3, fails=fails).ask(bridge)
    await eventually(lambda: body.closed == 1)
    assert body.given < 1_000
    await eventually(lambda: bridge._pool.pending == 0)
    assert client.body


async def test_a_client_that_goes_before_the_answer() -> None:
    """Is noticed, though the app says nothing: the request ends, the thread when the app does."""
    release = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        release.wait(20)
        start_response(OK, TEXT)
        return [b"late"]

    bridge = WSGIBridge(app)
    client = Client()
    client.gone.set()
    await client.ask(bridge)
    assert client.sent == []
    assert bridge._pool.pending == 1
    release.set()
    await eventually(lambda: bridge._pool.pending == 0)


async def test_a_client_that_goes_while_it_sends_little() -> None:
    """Never reaches the app."""
    client = Client([b"x", b"y"])

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    client.receive = receive  # type: ignore[method-assign]
    await client.ask(WSGIBridge(raising(Broken())))
    assert client.sent == []


async def test_a_client_that_goes_while_it_sends() -> None:
    """What reads from it gets an `OSError`, as it would from a socket."""
    errors: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            environ["wsgi.input"].read()
        except OSError as exc:
            errors.append(exc)
            raise
        return []

    client = Client([b"x" * 100_000] * 3)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    client.receive = receive  # type: ignore[method-assign]
    bridge = WSGIBridge(app)
    await client.ask(bridge)
    await eventually(lambda: bridge._pool.pending == 0)
    (error,) = errors
    assert isinstance(error, ConnectionAbortedError)
    assert client.sent == []


@pytest.mark.slow
async def test_cancelled_requests_give_their_thread_back() -> None:
    """Thousands of them, through one thread."""
    closed: list[int] = []

    class Served(Client):
        """Says when the answer has begun: to ask in a loop would keep the thread from running."""

        def __init__(self) -> None:
            super().__init__()
            self.begun = anyio.Event()

        async def send(self, message: Message) -> None:
            await super().send(message)
            if len(self.sent) == 2:
                self.begun.set()

    class Counted(Body):
        def close(self) -> None:
            closed.append(1)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(OK, TEXT)
        return Counted([b"x"] * 100_000, pause=0.0005)

    bridge = WSGIBridge(app, threads=1, queue=1000)
    for _ in range(2_000):
        client = Served()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.ask, bridge)
            await client.begun.wait()
            tasks.cancel_scope.cancel()
    await eventually(lambda: bridge._pool.pending == 0)
    assert len(closed) == 2_000


async def test_a_request_that_is_cancelled_before_its_turn() -> None:
    """Never reaches the app."""
    calls: list[str] = []
    release = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        calls.append(environ["PATH_INFO"])
        release.wait(10)
        start_response(OK, TEXT)
        return [b"x"]

    bridge = WSGIBridge(app, threads=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Client().ask, bridge)
        await eventually(lambda: len(calls) == 1)
        with anyio.move_on_after(0.05):
            await Client().ask(bridge)
        release.set()
    await eventually(lambda: bridge._pool.pending == 0)
    assert len(calls) == 1


async def test_an_error_after_the_client_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else hears of it: it is logged."""

    class Bad(Body):
        def close(self) -> None:
            raise Broken

    bridge = WSGIBridge(answering(Bad([b"x"] * 1000, pause=0.001)))
    await Client(gone_after=2).ask(bridge)
    await eventually(lambda: bridge._pool.pending == 0)
    (record,) = (r for r in caplog.records if r.name.startswith("mountkit"))
    assert record.levelno == logging.ERROR
    assert "failed after its client had gone" in record.getMessage()


async def test_an_error_of_send() -> None:
    """That is no lost client goes up, and the app is stopped."""
    body = Body([b"x"] * 1000, pause=0.001)

    async def send(message: Message) -> None:
        raise RuntimeError("Response content longer than Content-Length")

    client = Client()
    client.send = send  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="Response content longer"):
        await client.ask(WSGIBridge(answering(body)))
    await eventually(lambda: body.closed == 1)


# Threads.


async def test_an_app_that_hangs_has_its_own_threads() -> None:
    """Its neighbours answer; it answers 503 once its queue is full."""
    release = threading.Event()

    def hangs(environ: dict[str, Any], start_response: Any) -> Any:
        release.wait(20)
        start_response(OK, TEXT)
        return [b"late"]

    app = Dispatcher(
        [
            Mount("/hangs", hangs, bridge=partial(WSGIBridge, threads=2, queue=1)),
            Mount("/well", answering([b"well"])),
        ]
    )
    clients = [Client() for _ in range(4)]

    async def ask_at(client: Client, path: str) -> None:
        await app(scope_of(path), client.receive, client.send)

    async with anyio.create_task_group() as tasks:
        for client in clients[:3]:
            tasks.start_soon(ask_at, client, "/hangs/x")
        await anyio.sleep(0.05)
        await ask_at(clients[3], "/hangs/x")
        well = Client()
        await ask_at(well, "/well/x")
        release.set()
    assert well.body == b"well"
    assert [client.status for client in clients] == [200, 200, 200, 503]
    assert (clients[3].headers["retry-after"], clients[3].headers["cache-control"]) == (
        "1",
        "no-store",
    )


def names(prefix: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]


async def test_threads_are_reused_and_ended() -> None:
    """As many as are needed at a time; none after `close()`."""
    app = answering([b"x"])
    bridge = WSGIBridge(app)
    prefix = f"mountkit {app!r}"
    for _ in range(5):
        await Client().ask(bridge)
    assert 1 <= len(names(prefix)) <= 2  # the first may not be back when the next is asked
    bridge.close()
    await eventually(lambda: not names(prefix))
    assert (await Client().ask(bridge)).body == b"x"  # a server may start again
    bridge.close()
    await eventually(lambda: not names(prefix))


async def test_threads_of_a_bridge_that_is_dropped() -> None:
    """End with it."""
    app = answering([b"x"])
    prefix = f"mountkit {app!r}"
    await ask(app)
    gc.collect()
    await eventually(lambda: not names(prefix))


def test_a_call_into_a_loop_that_has_ended(anyio_backend: str) -> None:
    """Does nothing."""

    async def main() -> Callable[[Callable[[], Any]], None]:
        return loop_caller()

    call = anyio.run(main, backend=anyio_backend)
    call(lambda: pytest.fail("is called"))


MARK: contextvars.ContextVar[str] = contextvars.ContextVar("MARK", default="none")


async def test_context_variables() -> None:
    """The app sees those of the request, its changes stay its own, the body is of the same."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(OK, TEXT)
        yield MARK.get().encode()
        MARK.set("changed")
        yield MARK.get().encode()

    MARK.set("request")
    assert (await ask(app)).body == b"requestchanged"
    assert MARK.get() == "request"


def exchanges() -> int:
    gc.collect()
    return sum(type(found).__name__ == "Exchange" for found in gc.get_objects())


async def test_nothing_is_kept() -> None:
    """When the answer is out, the request is gone; no idle thread holds it."""
    bridge = WSGIBridge(reading(lambda body: body.read()))
    before = exchanges()
    for _ in range(5):
        await Client([b"x"] * 3).ask(bridge)
    await eventually(lambda: exchanges() <= before)


# Another bridge.


async def test_bridge_of_ones_choice(anyio_backend_name: str) -> None:
    """Anything that makes an ASGI app of a WSGI one."""
    made: list[Any] = []

    def bridge(app: Any) -> Callable[..., Awaitable[None]]:
        made.append(app)
        return a2wsgi.WSGIMiddleware(app)  # type: ignore[return-value]

    app = answering([b"x"])
    dispatch = Dispatcher([Mount("/x", app, bridge=bridge)])
    assert made == [app]
    if anyio_backend_name == "asyncio":  # a2wsgi knows no other
        assert (await Client().ask(dispatch)).body == b"x"


async def test_websocket() -> None:
    """Is refused; no thread is taken."""
    scope: Scope = scope_of("/x", type="websocket")
    client = Client()
    bridge = WSGIBridge(answering([b"x"]))
    await bridge(scope, client.receive, client.send)
    assert [message["type"] for message in client.sent] == ["websocket.close"]
    assert bridge._pool.pending == 0


# The environ, where `test_wsgi.py` has no server of its kind.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"client": None}, {"REMOTE_ADDR": None, "REMOTE_PORT": None}, id="no-peer"),
        pytest.param(
            {"server": None}, {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}, id="no-server"
        ),
        pytest.param(
            {"server": ("/run/socket", None), "scheme": "https"},
            {"SERVER_NAME": "/run/socket", "SERVER_PORT": "443", "HTTPS": "on"},
            id="unix-socket",
        ),
        pytest.param({"http_version": "2"}, {"SERVER_PROTOCOL": "HTTP/2"}, id="http-2"),
        pytest.param({"path": "*"}, {"SCRIPT_NAME": "", "PATH_INFO": "/"}, id="asterisk"),
        pytest.param(
            {"headers": [("accept", "a"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2")]},
            {"HTTP_ACCEPT": "a,b", "HTTP_COOKIE": "a=1; b=2"},
            id="several",
        ),
        pytest.param(
            {"headers": [("x_auth", "1"), ("proxy", "2"), ("content-type", "a/b")]},
            {"HTTP_X_AUTH": None, "HTTP_PROXY": None, "CONTENT_TYPE": "a/b"},
            id="left-out",
        ),
    ],
)
async def test_environ(changes: dict[str, Any], expected: dict[str, str | None]) -> None:
    """What a request has, in the words of PEP 3333."""
    options = {"path": "/x", **changes}
    environ = environ_of(scope_of(options.pop("path"), **options), None)
    assert {key: environ.get(key) for key in expected} == expected
