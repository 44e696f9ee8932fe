"""Bodies of requests to WSGI apps: with and without a length, long, slow, and without an end."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import flask
import pytest
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import Message, Receive
from werkzeug.middleware.proxy_fix import ProxyFix

from mountkit import WSGIBridge
from mountkit.wsgi.threads import ThreadPool
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

KIB = 1024


class Answer(list[Message]):
    """What was sent."""

    async def send(self, message: Message) -> None:
        self.append(message)

    @property
    def status(self) -> int:
        return int(self[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self[1:])


def receiving(chunks: Iterable[bytes], *, then: Callable[[], Awaitable[Message]]) -> Receive:
    """A `receive` that never suspends before its last message."""
    rest = iter([*chunks])

    async def receive() -> Message:
        for chunk in rest:
            return {"type": "http.request", "body": chunk, "more_body": True}
        return await then()

    return receive


async def end() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def gone() -> Message:
    return {"type": "http.disconnect"}


async def ask(
    app: Any,
    chunks: Iterable[bytes] = (),
    *headers: tuple[str, str],
    then: Callable[[], Awaitable[Message]] = end,
    **options: Any,
) -> Answer:
    """One `POST`; the headers have no length but that which is given."""
    found = Answer()
    scope = scope_of("/x", headers=headers, **{"method": "POST", **options})
    with anyio.fail_after(60):
        await app(scope, receiving(chunks, then=then), found.send)
    return found


def sized(environ: dict[str, Any], start_response: Any) -> Any:
    """Answers with what CONTENT_LENGTH says, and with as much of the body."""
    length = environ.get("CONTENT_LENGTH", "")
    body = environ["wsgi.input"].read(int(length or 0))
    start_response("200 OK", [])
    return [length.encode() + b":", body]


def whole(environ: dict[str, Any], start_response: Any) -> Any:
    """Answers with the length of the body, read to its end."""
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]


flasks = flask.Flask("flasks")


@flasks.post("/x")
def flask_view() -> str:
    return str(len(flask.request.get_data()))


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "3"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="nothing"),
        pytest.param([("transfer-encoding", "chunked")], id="chunked"),
        pytest.param([("transfer-encoding", "chunked"), ("content-length", "4")], id="both"),
        pytest.param([("content-length", "4")], id="too-short"),
        pytest.param([("content-length", "4"), ("content-length", "x")], id="no-number"),
        pytest.param([("content-length", "9" * 5000)], id="huge"),
    ],
)
async def test_the_length(version: str, headers: list[tuple[str, str]]) -> None:
    """Is that of what came, whatever the headers say."""
    answer = await ask(WSGIBridge(sized), [b"hello ", b"world"], *headers, http_version=version)
    assert answer.body == b"11:hello world"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], b":", id="nothing"),
        pytest.param([("transfer-encoding", "chunked")], b"0:", id="chunked"),
        pytest.param([("content-length", "0")], b"0:", id="length"),
    ],
)
async def test_an_empty_body(headers: list[tuple[str, str]], expected: bytes) -> None:
    """Has a length if the client sent one (RFC 3875, section 4.1.2)."""
    assert (await ask(WSGIBridge(sized), [], *headers)).body == expected


@pytest.mark.parametrize("size", [255, 257, 1000, 5000])
async def test_a_long_body_without_a_length(size: int) -> None:
    """Arrives as it was sent, by way of a file."""
    chunks = [bytes([n % 251]) * KIB for n in range(size)]
    answer = await ask(WSGIBridge(sized), chunks)
    assert answer.body == f"{size * KIB}:".encode() + b"".join(chunks)


@pytest.mark.parametrize(
    ("size", "status"), [(1000, 200), (1001, 411)], ids=["at-the-bound", "beyond"]
)
async def test_the_bound(size: int, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of a body without a length: 411, a log record, and the app is not called."""
    answer = await ask(WSGIBridge(sized, spool=1000), [b"x" * 500, b"x" * (size - 500)])
    assert answer.status == status
    said = [
        r.getMessage()
        for r in caplog.records
        if "cannot read more than 1000 bytes" in r.getMessage()
    ]
    assert len(said) == (status == 411)


@pytest.mark.parametrize(
    "app",
    [flasks, ProxyFix(flasks.wsgi_app)],
    ids=["flask", "wrapped"],  # type: ignore[arg-type]
)
async def test_an_app_that_reads_to_the_end(app: Any) -> None:
    """Gets what is beyond the bound, and no length."""
    answer = await ask(WSGIBridge(app, spool=1000), [b"x" * 500] * 4000)
    assert (answer.status, answer.body) == (200, b"2000000")


@pytest.mark.parametrize(
    "headers",
    [[], [("content-length", "3000000")], [("expect", "100-continue")]],
    ids=["no-length", "length", "expect"],
)
async def test_a_body_that_is_cut_off(
    headers: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Is nobody's fault: neither Flask nor the bridge logs anything."""
    bridge = WSGIBridge(flasks, spool=1000)
    answer = await ask(bridge, [b"x" * 500] * 4000, *headers, then=gone)
    await until(lambda: bridge._pool.pending == 0)
    assert (answer, caplog.records) == ([], [])


async def test_a_long_upload_without_half_of_the_threads() -> None:
    """With one thread, no upload that still comes has it, up to the bound; then it has."""
    bridge, goes_on = WSGIBridge(whole, threads=1, spool=600 * KIB), anyio.Event()
    waits = anyio.Event()

    async def wait() -> Message:
        waits.set()
        await goes_on.wait()
        return {"type": "http.request", "body": b"x", "more_body": False}

    long, longer, again = Answer(), Answer(), Answer()

    async def upload(answer: Answer, size: int) -> None:
        scope = scope_of("/x", method="POST", headers=[("content-length", str(size + 1))])
        await bridge(scope, receiving([b"x" * KIB] * (size // KIB), then=wait), answer.send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload, long, 500 * KIB)
        await waits.wait()
        assert (await ask(bridge, [b"short"])).body == b"5"
        tasks.start_soon(upload, longer, 700 * KIB)
        tasks.start_soon(upload, again, 700 * KIB)  # one of the two has the thread, one waits
        await until(lambda: bridge._pool.pending == 1)
        await anyio.sleep(0.2)
        goes_on.set()
    assert [answer.body for answer in (long, longer, again)] == [b"512001", b"716801", b"716801"]


async def test_uploads_hold_half_of_the_threads() -> None:
    """And the other half answers."""
    bridge, goes_on = WSGIBridge(whole, threads=2), anyio.Event()

    async def wait() -> Message:
        await goes_on.wait()
        return await end()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            length = ("content-length", "1000000")
            tasks.start_soon(partial(ask, bridge, [b"x" * KIB] * 900, length, then=wait))
        await until(lambda: bridge._pool.pending == 1)
        for _ in range(3):
            assert (await ask(bridge, [b"short"])).body == b"5"
        goes_on.set()


@pytest.mark.parametrize("fails", [False, True], ids=["drained", "fails"])
async def test_what_an_app_leaves_is_received(fails: bool) -> None:
    """And dropped: hypercorn's `send` waits until its queue of messages has room. What `receive`
    raises then comes after the answer."""
    chunks, drained, found = iter([b"x" * KIB] * 600), anyio.Event(), Answer()

    async def receive() -> Message:
        for chunk in chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        drained.set()
        if fails:
            raise RuntimeError("over a limit")
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        await drained.wait()
        await found.send(message)

    def early(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return [b"x"]

    scope = scope_of("/x", method="POST", headers=[("content-length", "1000000")])
    with anyio.fail_after(20):
        await WSGIBridge(early)(scope, receive, send)
    assert (found.status, found.body) == (200, b"x")


async def test_temporary_files_are_bounded() -> None:
    """There are as many as threads and places in the queue; what is beyond them is refused."""
    bridge, goes_on = WSGIBridge(whole, threads=1, queue=1), anyio.Event()
    waiting = 0

    async def wait() -> Message:
        nonlocal waiting
        waiting += 1
        await goes_on.wait()
        return await end()

    long = [b"x" * KIB] * 300
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(partial(ask, bridge, long, then=wait))
        await until(lambda: waiting == 2)
        assert (await ask(bridge, long)).status == 503
        assert (await ask(bridge, [b"short"])).body == b"5"
        goes_on.set()
    assert (await ask(bridge, long)).body == b"307200"


@pytest.mark.slow
@pytest.mark.parametrize("more", [True, False], ids=["no-end", "end"])
@pytest.mark.parametrize("length", ["1", "1000000"])
async def test_a_receive_that_never_suspends(more: bool, length: str) -> None:
    """Lets other tasks run, and the request be cancelled."""
    release = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        release.wait(20)
        start_response("200 OK", [])
        return [b"x"]

    async def replay() -> Message:
        return {"type": "http.request", "body": b"", "more_body": more}

    bridge = WSGIBridge(app, threads=4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(ask, bridge, [], ("content-length", length), then=replay))
        with anyio.fail_after(30):
            await anyio.sleep(1.2)  # the client is watched after a second
        tasks.cancel_scope.cancel()
    release.set()


async def test_a_send_that_never_suspends() -> None:
    """Lets other tasks run."""
    turns = 0

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        while turns < 100:
            yield b"x" * 300_000

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await ask(WSGIBridge(app))
        tasks.cancel_scope.cancel()


def catching(environ: dict[str, Any], start_response: Any) -> Any:
    """Answers whatever a read raises."""
    with suppress(OSError):
        environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"caught"]


@pytest.mark.parametrize("app", [catching, whole, flasks], ids=["catches", "raises", "flask"])
@pytest.mark.parametrize(
    "headers",
    [[], [("content-length", "1000000")], [("expect", "100-continue")]],
    ids=["no-length", "length", "expect"],
)
async def test_a_body_over_max_body_size(app: Any, headers: list[tuple[str, str]]) -> None:
    """Is a 413, before the app is called or while it reads, whatever it makes of that."""
    spool = 1000 if app is flasks else 1_000_000
    limited = RequestBodyLimitMiddleware(WSGIBridge(app, spool=spool), 500_000)
    assert (await ask(limited, [b"x" * 1000] * 1000, *headers)).status == 413


async def test_an_app_that_catches_the_error_of_a_read() -> None:
    """Does not get its answer out."""
    limited = RequestBodyLimitMiddleware(WSGIBridge(catching), 500_000)
    headers = [("content-length", "9"), ("expect", "100-continue")]  # it is called at once
    assert (await ask(limited, [b"x" * 1000] * 1000, *headers)).status == 413


async def test_a_client_that_leaves_a_file() -> None:
    """Behind: it is closed, and the app is not called."""
    assert await ask(WSGIBridge(sized), [b"x" * KIB] * 300, then=gone) == []


async def test_an_error_of_receive() -> None:
    """Goes up as it is."""

    class Broken(Exception):
        pass

    async def fail() -> Message:
        raise Broken

    for length in ("5", "1000000"):
        with pytest.raises(Broken):
            await ask(WSGIBridge(whole), [], ("content-length", length), then=fail)


async def test_clients_that_leave_the_queue() -> None:
    """Give their places back at once, and keep those of the others."""
    begun, release = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        begun.set()
        release.wait(20)
        start_response("200 OK", [])
        return [b"x"]

    bridge = WSGIBridge(app, threads=1, queue=2)
    first, stays = Answer(), Answer()

    async def stay() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def hold(answer: Answer) -> None:
        await bridge(scope_of("/x"), stay, answer.send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, first)
        await until(begun.is_set)
        tasks.start_soon(hold, stays)
        await until(lambda: bridge._pool.pending == 2)
        with anyio.fail_after(9):  # a client whose app works is watched after a second
            for _ in range(10):
                assert await ask(bridge, then=gone, method="GET") == []
                assert bridge._pool.pending == 2
        release.set()
    assert (first.body, stays.body) == (b"x", b"x")


def test_a_pool_where_threads_were_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """By gevent or the like, after the import: its threads are still those of the system."""
    monkeypatch.setattr(_thread, "start_new_thread", lambda *args: pytest.fail("is called"))
    pool, done = ThreadPool(1, "pool"), threading.Event()
    pool.submit(done.set)
    assert done.wait(20)
    pool.close()
