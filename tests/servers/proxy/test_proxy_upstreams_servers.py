"""Several upstreams, their health, and what a proxy is connected by."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from starlette.types import Message, Receive, Scope, Send

from mountkit import Dispatcher, Mount, MountkitError, Proxy, running
from mountkit.proxy import upstreams
from mountkit.proxy.connections import READ, connect, default_context
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.targets import Target
from tests.support.raw import Response, ask, ask_h2, handshake, request
from tests.support.scopes import scope_of
from tests.support.upstreams import Front, Peer, answering, answering_once, client, front, upstream
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.anyio


def got(server: Front, target: str = "/x", **how: Any) -> Response:
    found = ask(server.port, target, **how)
    assert found is not None
    return found


def waiting(peer: Peer) -> None:
    peer.head()
    peer.rest()


def test_least_in_flight(uvicorn: Front) -> None:
    """A new request goes where the fewest are; they take turns where as many are."""
    with upstream(answering(b"a")) as a, upstream(answering(b"b")) as b:
        uvicorn.app = Proxy([a.url, b.url])
        assert sorted(got(uvicorn).body for _ in range(4)) == [b"a", b"a", b"b", b"b"]
    with upstream(waiting) as a, upstream(answering(b"b")) as b:
        uvicorn.app = Proxy([a.url, b.url])
        with client(uvicorn.port, request("/x")):
            wait_until(lambda: a.requests == 1)
            assert [got(uvicorn).body for _ in range(3)] == [b"b"] * 3


def test_one_that_cannot_be_reached(uvicorn: Front) -> None:
    """The next is tried, also for what may not be sent twice: nothing was sent."""
    with upstream(answering()) as gone:
        pass
    with upstream(answering(b"b")) as up:
        uvicorn.app = proxy = Proxy([gone.url, up.url])
        for _ in range(3):
            found = got(uvicorn, method="POST", headers=[("Content-Length", "1")], body=b"x")
            assert found.body == b"b"
        assert [one.is_up for one in proxy.upstreams] == [False, True]
        assert [one.in_flight for one in proxy.upstreams] == [0, 0]


def test_none_can_be_reached(uvicorn: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 at once, until the pause is over."""
    with upstream(answering()) as gone:
        pass
    monkeypatch.setattr(upstreams, "PAUSE", 1000.0)
    uvicorn.app = proxy = Proxy(gone.url)
    assert got(uvicorn).values("retry-after") in (["999"], ["1000"])
    found = got(uvicorn)
    assert (found.status, found.values("retry-after")) in ((503, ["999"]), (503, ["1000"]))
    assert not proxy.upstreams[0].is_up


def test_it_is_tried_again(uvicorn: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After the pause."""
    monkeypatch.setattr(upstreams, "PAUSE", 0.01)
    uvicorn.app = Proxy(f"unix:{tmp_path / 'socket'}")
    assert got(uvicorn).status == 503
    with upstream(answering(), path=tmp_path / "socket"):
        wait_until(lambda: got(uvicorn).status == 200)


@pytest.mark.parametrize("is_alone", [False, True], ids=["of-two", "alone"])
def test_one_that_fails(uvicorn: Front, is_alone: bool) -> None:
    """Three times in a row: one of several is left alone, so that the others serve its requests."""
    with upstream(lambda peer: peer.head() and None) as bad, upstream(answering(b"b")) as good:
        urls = [bad.url] if is_alone else [bad.url, good.url]
        uvicorn.app = proxy = Proxy(urls)
        found = [got(uvicorn).status for _ in range(6)]
        assert found == [502] * 6 if is_alone else [502, 200, 502, 200, 502, 200]
        assert proxy.upstreams[0].is_up is is_alone


def test_probes(uvicorn: Front, tmp_path: Path) -> None:
    """Decide who gets requests, as long as the app's lifespan runs; they have no say after it."""
    is_well, targets = threading.Event(), []
    path = tmp_path / "socket"

    def script(peer: Peer) -> None:
        while True:
            head = peer.head()
            targets.append(head.split(b"\r\n")[:2])
            peer.answer(status=b"200 x" if is_well.is_set() or b"/x" in head else b"500 x")

    async def run(app: Any) -> None:
        async with running(app):
            [sick] = proxy.upstreams
            await until(lambda: not sick.is_up)
            assert (await asyncio.to_thread(got, uvicorn)).status == 503
            is_well.set()
            await until(lambda: sick.is_up)
            assert (await asyncio.to_thread(got, uvicorn)).status == 200

    with upstream(script, path=path):
        proxy = Proxy(f"unix:{path}", health="/health?x", health_interval=0.01)
        uvicorn.app = app = Dispatcher([Mount("", proxy)])
        asyncio.run(run(app))
    assert [b"GET /health?x HTTP/1.1", b"host: localhost"] in targets


@pytest.mark.parametrize(
    "answer",
    [
        *(b"", b"HTTP/1.1 2", b"x\r\n\r\n"),
        b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 500 x\r\n\r\n",
    ],
    ids=["none", "half", "bad", "error-after-an-interim-response"],
)
def test_a_probe_without_an_answer(answer: bytes) -> None:
    """And one that gets another `Host`."""
    heads = []

    def script(peer: Peer) -> None:
        heads.append(peer.head())
        peer.send(answer)

    async def run() -> None:
        async with running(Dispatcher([Mount("", proxy)])):
            await until(lambda: not proxy.upstreams[0].is_up)

    with upstream(script) as up:
        proxy = Proxy(up.url, health="/", health_interval=0.01, host="a.com")
        asyncio.run(run())
    assert b"host: a.com\r\n" in heads[0]


@pytest.mark.parametrize(
    ("third", "is_up"),
    [
        pytest.param(None, False, id="given-up"),
        pytest.param(False, True, id="answered"),
    ],
)
def test_three_in_a_row(third: bool | None, is_up: bool) -> None:
    """Requests that the client gave up do not count."""
    one, _ = Proxy(["http://127.0.0.1:1", "http://127.0.0.1:2"]).upstreams
    for has_failed in (True, True, third, True):
        one.note(has_failed=has_failed, is_alone=False)
    assert one.is_up is is_up


@pytest.mark.parametrize("data", [request("/x"), handshake("/x")], ids=["request", "websocket"])
def test_clients_that_leave(uvicorn: Front, data: bytes) -> None:
    """Say nothing of the upstream that they have asked."""
    with upstream(waiting) as up:
        uvicorn.app = proxy = Proxy([up.url, up.url])
        for count in range(1, 7):
            with client(uvicorn.port, data):
                wait_until(lambda count=count: up.requests == count)
            uvicorn.ended(count)
        assert [one.is_up for one in proxy.upstreams] == [True, True]


async def test_a_lifespan_that_is_cancelled() -> None:
    """Leaves no probe behind."""
    started = asyncio.Event()

    async def receive() -> Message:
        if started.is_set():
            await asyncio.Event().wait()
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        started.set()

    with upstream(answering()) as up:
        proxy = Proxy(up.url, health="/", health_interval=1000)
        task = asyncio.ensure_future(proxy({"type": "lifespan"}, receive, send))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
        assert not [one for one in asyncio.all_tasks() if "_probe" in repr(one)]


def test_other_upstreams(uvicorn: Front) -> None:
    """What is on its way ends where it is; its connection is not kept."""
    go, closed = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b"one")
        peer.head()
        assert go.wait(30)
        peer.answer(b"before")
        peer.rest()
        closed.set()

    with upstream(script) as before, upstream(answering(b"after")) as after:
        uvicorn.app = proxy = Proxy(before.url, keep_alive=1000)
        assert got(uvicorn).body == b"one"
        with client(uvicorn.port, request("/x")) as peer:
            wait_until(lambda: before.requests == 2)
            assert uvicorn.loop is not None
            uvicorn.loop.call_soon_threadsafe(proxy.switch, [after.url])
            wait_until(lambda: proxy.upstreams[0].target.url == after.url)
            assert got(uvicorn).body == b"after"
            go.set()
            peer.until(b"before")
        assert closed.wait(30)


def test_a_lifespan_closes_what_is_kept() -> None:
    """And the app can be started again."""
    ends = []

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer()
        ends.append(peer.rest())

    async def run(app: Any) -> None:
        for count in (1, 2):
            async with running(app):
                assert await call(app) == (200, b"ok")
            await until(lambda count=count: len(ends) == count)

    with upstream(script) as up:
        asyncio.run(run(Dispatcher([Mount("", Proxy(up.url, keep_alive=1000))])))


async def call(app: Any, **more: Any) -> tuple[int, bytes]:
    """Status and body of a GET."""
    scope = {**scope_of("/x", host="a.com"), "raw_path": b"/x", **more}
    messages: list[Message] = []
    is_first, never = True, asyncio.Event()

    async def receive() -> Message:
        nonlocal is_first
        if is_first:
            is_first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await never.wait()
        raise AssertionError

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages[0]["status"], b"".join(one.get("body", b"") for one in messages)


# The loop has ended, and with it the means to close them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_another_event_loop() -> None:
    """A connection of one that has ended is not used."""
    with upstream(answering()) as up:
        proxy = Proxy(up.url)
        for _ in range(2):
            assert asyncio.run(call(proxy)) == (200, b"ok")
        assert len(up.peers) == 2
        proxy.switch(up.url)
        gc.collect()


def test_another_thread(uvicorn: Front) -> None:
    """Closes what is kept in the thread of its event loop, although nothing else happens there."""
    done = threading.Event()
    with upstream(answering_once(done)) as up:
        uvicorn.app = proxy = Proxy(up.url, keep_alive=1000)
        assert got(uvicorn).body == b"ok"
        wait_until(lambda: len(uvicorn.calls) == 1)
        proxy.switch(up.url)
        assert done.wait(30)


def test_trio() -> None:
    """Is refused, with what to do."""
    with pytest.raises(MountkitError, match=r"^Proxy needs asyncio; run the server on asyncio"):
        trio.run(call, Proxy("http://127.0.0.1:1"))


def test_a_body_without_a_length(uvicorn: Front) -> None:
    """HTTP/2 has such."""
    bodies = []

    def script(peer: Peer) -> None:
        while True:
            head = peer.head()
            bodies.append(peer.until(b"0\r\n\r\n") if b"chunked" in head else b"")
            peer.answer()

    with front("hypercorn") as server, upstream(script) as up:
        server.app = Proxy(up.url)
        pseudo = [(":scheme", "http"), (":authority", "a.com"), (":path", "/x")]
        found = ask_h2(server.port, [(":method", "POST"), *pseudo], b"body")
        assert found is not None
        assert found.status == 200
        found = ask_h2(server.port, [(":method", "GET"), *pseudo])
        assert found is not None
        assert found.status == 200
        assert bodies == [b"4\r\nbody\r\n0\r\n\r\n", b""]
        assert b"host: a.com\r\n" in up.peers[0].received


def test_trailers_and_early_hints() -> None:
    """Go through a server that takes them, as hypercorn does over HTTP/2."""
    heads = []

    def script(peer: Peer) -> None:
        while True:
            heads.append(peer.head())
            peer.send(b"HTTP/1.1 102 x\r\n\r\nHTTP/1.1 103 x\r\nLink: </a>\r\nX: y\r\n\r\n")
            peer.send(b"HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.send(b"2\r\nok\r\n0\r\nX: 1\r\n\r\n")

    hint = [(":status", "103"), ("link", "</a>")]
    with front("hypercorn") as server, upstream(script) as up:
        server.app = Proxy(up.url)
        pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/x")]
        for te, more in ([("te", "trailers")], [hint, [("x", "1")]]), ([], [hint]):
            found = ask_h2(server.port, [*pseudo, *te])
            assert found is not None
            assert (found.status, found.body) == (200, b"ok")
            assert [pairs[:2] for pairs in found.more] == more
    assert [b"te: trailers" in head for head in heads] == [True, False]


async def test_a_client_that_has_gone_before_its_body() -> None:
    """Without a length, the first message tells whether there is a body: nothing is sent before."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError

    scope = {**scope_of("/x", host="a", method="POST"), "raw_path": b"/x", "http_version": "2"}
    with upstream(answering()) as up:
        await Proxy(up.url)(scope, receive, send)
        assert up.peers == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of `localhost`, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("a", encoding="ascii") as file:
        file.write(Path(f"{path}.crt").read_text("ascii"))
    return path


@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "not-trusted"])
def test_an_encrypted_upstream(uvicorn: Front, certificate: Path, is_trusted: bool) -> None:
    """Its certificate is checked."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)

    def script(peer: Peer) -> None:
        with contextlib.suppress(ssl.SSLError):
            peer.socket = server.wrap_socket(peer.socket, server_side=True)
            answering()(peer)

    with upstream(script) as up:
        url = up.url.replace("http://127.0.0.1", "https://localhost")
        context = ssl.create_default_context(cafile=str(certificate)) if is_trusted else None
        uvicorn.app = Proxy(url, ssl_context=context)
        assert got(uvicorn).status == (200 if is_trusted else 503)


def test_a_client_that_is_gone_while_it_is_sent_again(uvicorn: Front, certificate: Path) -> None:
    """Nothing more is sent."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    is_again, has_left, rest = threading.Event(), threading.Event(), []

    async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
        async def leave() -> Message:
            await asyncio.to_thread(is_again.wait)
            asyncio.get_running_loop().call_soon(has_left.set)
            return {"type": "http.disconnect"}

        await proxy(scope, leave if scope["path"] == "/leave" else receive, send)

    def first(peer: Peer) -> None:
        peer.socket = server.wrap_socket(peer.socket, server_side=True)
        peer.head()
        peer.answer()
        peer.head()

    def second(peer: Peer) -> None:
        is_again.set()
        assert has_left.wait(30)
        data = b""
        # It may be closed in the handshake.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            peer.socket = server.wrap_socket(peer.socket, server_side=True)
            data = peer.rest()
        rest.append(data)

    with upstream(first, second) as up:
        url = up.url.replace("http://127.0.0.1", "https://localhost")
        context = ssl.create_default_context(cafile=str(certificate))
        proxy = Proxy(url, ssl_context=context)
        uvicorn.app = leaving
        assert got(uvicorn).status == 200
        with client(uvicorn.port, request("/leave")):
            assert uvicorn.ended(2) is None
        wait_until(lambda: bool(rest))
        assert rest == [b""]


async def test_a_connection_that_is_closed_takes_nothing() -> None:
    with upstream(waiting) as up:
        connection = await connect(Target.parse(up.url), 5, None)
        connection.close()
        with pytest.raises(ProxyError, match="has closed the connection"):
            await connection.write(b"x")


async def test_a_deadline_that_was_moved() -> None:
    """The last one counts."""
    with upstream(waiting) as up:
        connection = await connect(Target.parse(up.url), 5, None)
        connection.allow(READ, 0.01)
        connection.allow(READ, 0.1)
        start = asyncio.get_running_loop().time()
        with pytest.raises(ProxyError, match="took too long"):
            await connection.read()
        assert asyncio.get_running_loop().time() - start > 0.05


def test_certificates_are_read_once() -> None:
    assert default_context() is default_context()


async def test_a_connection_that_is_given_up() -> None:
    """Does not count as in flight."""
    with upstream(waiting) as up:
        proxy = Proxy(up.url.replace("http:", "https:"))
        task = asyncio.create_task(call(proxy))
        await until(lambda: bool(up.peers))
        task.cancel()
        await asyncio.wait([task])
        assert proxy.upstreams[0].in_flight == 0


async def test_an_upstream_that_takes_no_more_of_a_body() -> None:
    """What it has answered is sent on all the same."""
    asked, parts = asyncio.Event(), []

    def script(peer: Peer) -> None:
        peer.until(b"body")
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")

    async def receive() -> Message:
        if parts:
            await asyncio.sleep(0)
            asked.set()
        elif asked.is_set():
            raise AssertionError
        else:
            parts.append(b"")
            return {"type": "http.request", "body": b"body", "more_body": True}
        await until(lambda: len(parts) > 1)
        parts.append(b"")
        if len(parts) > 4:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"more", "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            parts.append(message["body"])
            await until(lambda: len(parts) > 4)

    headers = [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
    scope = {**scope_of("/x", method="POST"), "raw_path": b"/x", "headers": headers}
    with upstream(script) as up, pytest.raises(ProxyError, match="before the body"):
        await Proxy(up.url)(scope, receive, send)
    assert b"hello" in parts


async def test_a_probe_that_says_the_same() -> None:
    with upstream(answering()) as up:
        [one] = Proxy(up.url).upstreams
        for _ in range(2):
            await one.check("/", "a.com")
            assert one.is_up


async def test_a_head_before_its_body() -> None:
    """Is sent on at once."""
    has_head, types = threading.Event(), []

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        assert has_head.wait(30)
        peer.send(b"ok")

    async def send(message: Message) -> None:
        types.append(message["type"])
        has_head.set()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    scope = {**scope_of("/x", host="a.com"), "raw_path": b"/x"}
    with upstream(script) as up:
        await Proxy(up.url)(scope, receive, send)
    assert types == ["http.response.start", "http.response.body"]
