"""A proxy behind a server, and an upstream that does what it should not: connections and bodies."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Mount, Proxy
from mountkit.proxy.errors import ProxyError
from tests.support import raw
from tests.support.raw import Response, ask, request
from tests.support.upstreams import (
    Front,
    Peer,
    Script,
    answering,
    answering_once,
    client,
    upstream,
)
from tests.support.waiting import until, wait_until


def mounted(server: Front, url: Any, **how: Any) -> Proxy:
    proxy = Proxy(url, **how)
    server.app = Dispatcher([Mount("/old", proxy)])
    return proxy


def got(server: Front, target: str = "/old/x", **how: Any) -> Response:
    found = ask(server.port, target, **how)
    assert found is not None
    return found


# Connections that are kept.


def test_a_connection_is_used_again(every: Front) -> None:
    with upstream(answering()) as up:
        mounted(every, up.url)
        assert [got(every).body for _ in range(3)] == [b"ok"] * 3
        assert (len(up.peers), up.requests) == (1, 3)


def test_connections_that_are_not_trusted_are_not_used_again(uvicorn: Front) -> None:
    """keep_alive=0"""
    with upstream(answering()) as up:
        mounted(uvicorn, up.url, keep_alive=0)
        assert [got(uvicorn).body for _ in range(2)] == [b"ok"] * 2
        assert len(up.peers) == 2


def test_a_connection_that_is_not_used_is_closed(uvicorn: Front) -> None:
    """After `keep_alive` seconds."""
    done = threading.Event()
    with upstream(answering_once(done)) as up:
        mounted(uvicorn, up.url, keep_alive=0.05)
        got(uvicorn)
        assert done.wait(30)


PUSHED = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"


@pytest.mark.parametrize("is_unix", [False, True], ids=["tcp", "unix"])
def test_a_second_answer_after_the_first(uvicorn: Front, tmp_path: Path, is_unix: bool) -> None:
    """Whoever asks next does not get it."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none" + PUSHED)
        peer.rest()

    with upstream(script, answering(b"two"), path=tmp_path / "s" if is_unix else None) as up:
        mounted(uvicorn, up.url)
        assert [got(uvicorn).body for _ in range(2)] == [b"one", b"two"]


@pytest.mark.parametrize("is_unix", [False, True], ids=["tcp", "unix"])
def test_an_answer_that_nobody_asked_for(uvicorn: Front, tmp_path: Path, is_unix: bool) -> None:
    """Closes a connection that waits for the next request."""
    push, closed = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b"one")
        assert push.wait(30)
        peer.send(PUSHED)
        peer.rest()
        closed.set()

    with upstream(script, answering(b"two"), path=tmp_path / "s" if is_unix else None) as up:
        mounted(uvicorn, up.url, keep_alive=1000)
        assert got(uvicorn).body == b"one"
        push.set()
        assert closed.wait(30)
        assert got(uvicorn).body == b"two"


def dying(peer: Peer) -> None:
    """Answers one request, and closes the connection when it has read the next."""
    peer.head()
    peer.answer(b"one")
    peer.head()


@pytest.mark.parametrize(
    ("how", "is_repeated"),
    [
        *((pytest.param({"method": one}, True, id=one)) for one in ("GET", "OPTIONS", "TRACE")),
        *(
            pytest.param({"method": one}, False, id=one)
            for one in ("POST", "PUT", "DELETE", "PATCH", "PURGE")
        ),
        pytest.param(
            {"body": b"x", "headers": [("Content-Length", "1")]}, False, id="GET-with-a-body"
        ),
    ],
)
def test_a_kept_connection_that_ends_unanswered(
    uvicorn: Front, how: Any, is_repeated: bool
) -> None:
    """Only what is safe and has no body is sent again, once."""
    with upstream(dying, answering(b"two")) as up:
        mounted(uvicorn, up.url)
        assert got(uvicorn).body == b"one"
        found = got(uvicorn, **how)
        assert found.status == (200 if is_repeated else 502)
        assert up.requests == (3 if is_repeated else 2)


def test_nothing_is_sent_again_without_retry(uvicorn: Front) -> None:
    with upstream(dying, answering(b"two")) as up:
        mounted(uvicorn, up.url, retry=False)
        assert got(uvicorn).body == b"one"
        assert (got(uvicorn).status, up.requests) == (502, 2)


def test_nothing_is_sent_a_third_time(uvicorn: Front) -> None:
    with upstream(dying, lambda peer: peer.head() and None) as up:
        mounted(uvicorn, up.url)
        assert got(uvicorn).body == b"one"
        assert (got(uvicorn).status, up.requests) == (502, 3)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_new_connection_that_ends_unanswered(uvicorn: Front, method: str) -> None:
    """Nothing is sent again: the upstream may have done it."""
    with upstream(lambda peer: peer.head() and None) as up:
        mounted(uvicorn, up.url)
        assert (got(uvicorn, method=method).status, up.requests) == (502, 1)


def test_an_answer_that_has_begun(uvicorn: Front) -> None:
    """One byte of it is enough: nothing is sent again."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b"one")
        peer.head()
        peer.send(b"H")

    with upstream(script, answering(b"two")) as up:
        mounted(uvicorn, up.url)
        assert got(uvicorn).body == b"one"
        assert (got(uvicorn).status, up.requests) == (502, 2)


def test_all_connections_are_in_use(uvicorn: Front) -> None:
    """503 at once, and not a place in a queue that may never move; websockets count too."""
    with upstream(lambda peer: peer.rest() and None) as up:
        mounted(uvicorn, up.url, max_connections=1)
        with client(uvicorn.port, request("/old/x")):
            wait_until(lambda: up.requests == 1)
            found = got(uvicorn)
            assert (found.status, found.values("retry-after")) == (503, ["1"])
        uvicorn.ended(2)


# Early answers, and uploads that end early.


def chunked(target: str = "/old/x") -> bytes:
    """The head of an upload."""
    head = [("Transfer-Encoding", "chunked")]
    return request(target, method="POST", headers=head, keep_alive=True)


def early(status: bytes, end: str) -> Script:
    def script(peer: Peer) -> None:
        peer.until(b"4\r\nbody\r\n")
        peer.answer(b"no", status=status)
        if end == "rst":
            peer.socket.recv(1)  # the client goes on when it has the answer
            peer.reset()
        elif end == "open":
            peer.rest()

    return script


@pytest.mark.parametrize("end", ["close", "rst", "open"])
@pytest.mark.parametrize("status", [b"413 x", b"417 x"], ids=["413", "417"])
def test_an_answer_before_the_end_of_the_body(every: Front, status: bytes, end: str) -> None:
    """Is the client's answer; the connection is not used again."""
    with upstream(early(status, end), answering(b"two")) as up:
        mounted(every, up.url)
        with client(every.port, chunked() + b"4\r\nbody\r\n") as peer:
            assert b"HTTP/1.1 " + status[:3] in peer.head()
            assert peer.exactly(2) == b"no"
            peer.send(b"4\r\nmore\r\n")
        assert got(every).body == b"two"
        assert len(up.peers) == 2


def test_both_ways_at_once(every: Front) -> None:
    """Each part of the body is answered before the next is sent."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while (size := int(peer.until(b"\r\n"), 16)) > 0:
            data = peer.exactly(size)
            peer.exactly(2)
            peer.send(b"%x\r\n%b\r\n" % (size, data.upper()))
        peer.exactly(2)
        peer.send(b"0\r\n\r\n")

    with upstream(script) as up:
        mounted(every, up.url)
        with client(every.port, chunked()) as peer:
            for part in (b"one", b"two", b"three"):
                peer.send(b"%x\r\n%b\r\n" % (len(part), part))
                peer.until(part.upper())
            peer.send(b"0\r\n\r\n")
            peer.until(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(chunked() + b"4\r\nbody\r\n", id="chunked"),
        pytest.param(
            request("/old/x", method="POST", headers=[("Content-Length", "9")]) + b"body",
            id="length",
        ),
    ],
)
def test_a_client_that_dies_in_an_upload(every: Front, head: bytes) -> None:
    """The upstream gets an end, and not one that looks whole."""
    rest, done = [], threading.Event()

    def script(peer: Peer) -> None:
        peer.until(b"body")
        rest.append(peer.rest())
        done.set()

    with upstream(script) as up:
        mounted(every, up.url)
        with client(every.port, head) as peer:
            wait_until(lambda: bool(up.peers) and b"body" in up.peers[0].received)
            peer.reset()
        assert done.wait(30)
        assert b"0\r\n" not in rest[0]
        assert every.ended() is None


def test_a_client_that_is_gone(every: Front) -> None:
    """No server's `send` says so: the upstream's connection is closed at once."""
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        peer.rest()
        done.set()

    with upstream(script) as up:
        mounted(every, up.url)
        with client(every.port, request("/old/x", keep_alive=True)) as peer:
            peer.until(b"data: 1\n\n")
        assert done.wait(30)
        assert every.ended() is None


def test_a_client_that_does_not_wait_for_the_head(every: Front) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.rest()
        done.set()

    with upstream(script) as up:
        mounted(every, up.url)
        with client(every.port, request("/old/x", keep_alive=True)):
            wait_until(lambda: up.requests == 1)
        assert done.wait(30)


UPLOAD = request("/x", method="POST", headers=[("Content-Length", "9")], keep_alive=True) + b"body"


def connecting(url: str) -> Proxy:
    """The upstream does not answer the handshake of TLS."""
    return Proxy(url.replace("http:", "https:"), connect_timeout=1000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request("/x", keep_alive=True), id="GET"),
        pytest.param(request("/x", method="POST", headers=[("Content-Length", "9")]), id="upload"),
    ],
)
def test_a_client_that_does_not_wait_for_a_connection(every: Front, data: bytes) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.rest()
        done.set()

    with upstream(script) as up:
        every.app = proxy = connecting(up.url)
        with client(every.port, data):
            wait_until(lambda: bool(up.peers))
        assert done.wait(30)
        assert every.ended() is None
        assert proxy.upstreams[0].in_flight == 0


def test_what_receive_raises_before_there_is_a_connection(uvicorn: Front) -> None:
    """Ends the wait for one."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse() -> Any:
            await until(lambda: bool(up.peers))
            raise LookupError("too large")

        await proxy(scope, refuse, send)

    with upstream(lambda peer: peer.rest() and None) as up:
        proxy = connecting(up.url)
        uvicorn.app = refusing
        raw.exchange(uvicorn.port, request("/x"))
        assert isinstance(uvicorn.ended(), LookupError)


def test_a_body_that_comes_before_there_is_a_connection(uvicorn: Front) -> None:
    """Waits for it: nothing goes before the head."""
    got_first = threading.Event()

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell() -> Any:
            message = await receive()
            got_first.set()
            return message

        await proxy(scope, tell, send)

    def first(peer: Peer) -> None:
        assert got_first.wait(30)

    def second(peer: Peer) -> None:
        peer.until(b"body text")
        peer.answer()

    with upstream(first) as slow, upstream(second) as up:
        proxy = Proxy([slow.url.replace("http:", "https:"), up.url])
        uvicorn.app = telling
        with client(uvicorn.port, UPLOAD + b" text") as peer:
            assert peer.head().startswith(b"HTTP/1.1 200 ")
        assert up.peers[0].received.endswith(b"\r\n\r\nbody text")


def test_an_app_that_is_cancelled_while_it_connects(uvicorn: Front) -> None:
    """Although the client goes at the same time."""
    tasks: list[asyncio.Task[None]] = []

    async def cancelling(scope: Scope, receive: Receive, send: Send) -> None:
        async def leave() -> Any:
            await until(lambda: bool(up.peers))
            asyncio.get_running_loop().call_soon(tasks[0].cancel)
            return {"type": "http.disconnect"}

        async def run() -> None:
            await proxy(scope, leave, send)

        tasks.append(asyncio.create_task(run()))
        await asyncio.wait(tasks)

    with upstream(lambda peer: peer.rest() and None) as up:
        proxy = connecting(up.url)
        uvicorn.app = cancelling
        raw.exchange(uvicorn.port, request("/x"))
        assert tasks[0].cancelled()


def test_a_body_that_is_not_as_long_as_it_says(uvicorn: Front) -> None:
    """A layer above has cut it: the upstream does not get a whole request."""
    rest = []

    async def cutting(scope: Scope, receive: Receive, send: Send) -> None:
        async def cut() -> Any:
            return {"type": "http.request", "body": b"bo", "more_body": False}

        await proxy(scope, cut, send)

    with upstream(lambda peer: rest.append(peer.rest())) as up:
        proxy = Proxy(up.url)
        uvicorn.app = cutting
        found = got(uvicorn, "/x", method="POST", headers=[("Content-Length", "4")], body=b"body")
        assert found.status == 400
        wait_until(lambda: bool(rest))
        assert rest[0].endswith(b"\r\n\r\n")


def test_what_receive_raises_goes_up(uvicorn: Front) -> None:
    """As a layer has it that limits bodies."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse() -> Any:
            raise LookupError("too large")

        await proxy(scope, refuse, send)

    with upstream(lambda peer: peer.rest() and None) as up:
        proxy = Proxy(up.url)
        uvicorn.app = refusing
        got(uvicorn, "/x", method="POST", headers=[("Content-Length", "4")], body=b"body")
        assert isinstance(uvicorn.ended(), LookupError)


def test_a_receive_that_repeats_itself(uvicorn: Front) -> None:
    """As middleware has it that replays a body for ever: it does not keep the proxy busy."""
    count = 0

    async def repeating(scope: Scope, receive: Receive, send: Send) -> None:
        async def repeat() -> Any:
            nonlocal count
            count += 1
            return {"type": "http.request", "body": b"", "more_body": False}

        await proxy(scope, repeat, send)

    with upstream(answering()) as up:
        proxy = Proxy(up.url)
        uvicorn.app = repeating
        assert got(uvicorn, "/x").body == b"ok"
        assert count <= 2


# What the upstream gets.


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST"])
@pytest.mark.parametrize(
    ("headers", "body", "sent"),
    [
        pytest.param([("Content-Length", "3")], b"abc", b"abc", id="length"),
        pytest.param(
            [("Transfer-Encoding", "chunked")],
            b"3\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
def test_a_body_of_any_method_is_passed_on(
    uvicorn: Front, method: str, headers: Any, body: bytes, sent: bytes
) -> None:
    """Framing without its body would make the next request a part of this one."""
    rest = []

    def script(peer: Peer) -> None:
        peer.head()
        rest.append(peer.exactly(len(sent)))
        peer.answer(b"" if method == "HEAD" else b"ok")
        answering()(peer)

    with upstream(script) as up:
        mounted(uvicorn, up.url)
        exchanged = raw.exchange(
            uvicorn.port, request("/old/x", method=method, headers=headers, body=body)
        )
        assert exchanged.startswith(b"HTTP/1.1 200 ")
        assert rest == [sent]
        assert got(uvicorn, "/old/y").body == b"ok"
        assert len(up.peers) == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], id="both"),
        pytest.param([("Content-Length", "5"), ("Content-Length", "5")], id="twice"),
        pytest.param([("Content-Length", "5"), ("Content-Length", "6")], id="differ"),
        pytest.param([("Host", "b.com")], id="two-hosts"),
        pytest.param([("X A", "1")], id="name"),
    ],
)
def test_a_request_that_may_be_read_in_two_ways(every: Front, headers: Any) -> None:
    """Is refused, by the server or by the proxy, or is sent on in one way only."""
    with upstream(answering()) as up:
        mounted(every, up.url)
        body = b"0\r\n\r\n"
        data = request("/old/x", method="POST", headers=headers, body=body)
        answer = raw.exchange(every.port, data)
        if up.peers:  # the server has made one of it
            head = up.peers[0].received.lower()
            assert head.count(b"content-length:") + head.count(b"transfer-encoding:") == 1
            assert head.count(b"host:") == 2  # with x-forwarded-host
            assert b"x a" not in head
        else:
            assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0], answer


def test_a_target_that_names_another_host(every: Front) -> None:
    """Nobody is dialled for it, not even with an upstream that has a path."""
    with upstream(answering(b"up")) as up, upstream(answering(b"evil")) as other:
        every.app = Proxy(up.url + "/base")
        authority = other.url.removeprefix("http://")
        for target in (f"@{authority}/x", f"{other.url}/x", f"//{authority}/x"):
            raw.exchange(every.port, request(target))
        assert other.peers == []


def test_what_is_expected_is_not_passed_on(every: Front) -> None:
    """The server itself says `100 Continue`: an upstream that does not would hold the body back."""

    def script(peer: Peer) -> None:
        assert b"expect" not in peer.head().lower()
        peer.exactly(4)
        peer.answer()

    with upstream(script) as up:
        mounted(every, up.url)
        head = [("Expect", "100-continue"), ("Content-Length", "4")]
        data = request("/old/x", method="POST", headers=head)
        with client(every.port, data) as peer:
            assert peer.head().startswith(b"HTTP/1.1 100 ")
            peer.send(b"body")
            assert peer.head().startswith(b"HTTP/1.1 200 ")


def test_bytes_that_are_no_text(uvicorn: Front) -> None:
    with upstream(answering()) as up:
        mounted(uvicorn, up.url)
        got(uvicorn, headers=[(b"X-A", b"\xe9"), (b"x-a", b"\xc3\xa9")])
        assert b"x-a: \xe9\r\nx-a: \xc3\xa9\r\n" in up.peers[0].received


def test_the_target_as_it_came(every: Front) -> None:
    with upstream(answering()) as up:
        every.app = Dispatcher([Mount("", Proxy(up.url))])
        got(every, "/a%2Fb/./c;d?e=%20&f")
        assert up.peers[0].received.startswith(b"GET /a%2Fb/./c;d?e=%20&f HTTP/1.1\r\n")


def test_an_empty_query(every: Front) -> None:
    """No server tells it from none."""
    with upstream(answering()) as up:
        every.app = Proxy(up.url)
        got(every, "/x?")
        assert up.peers[0].received.startswith(b"GET /x HTTP/1.1\r\n")


def test_the_environment_is_not_asked(uvicorn: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a file of passwords."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with upstream(answering()) as up:
        mounted(uvicorn, up.url)
        assert got(uvicorn).body == b"ok"


# What the client gets.


def answer_with(data: bytes, end: str = "close") -> Script:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(data)
        if end == "rst":
            peer.reset()
        elif end == "wait":
            peer.rest()

    return script


CUT = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in-a-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhello",
    "bad-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
}


@pytest.mark.parametrize("name", CUT)
def test_an_answer_that_is_cut(every: Front, name: str) -> None:
    """Breaks the client's connection too, without a text in the body."""
    with upstream(answer_with(CUT[name])) as up:
        mounted(every, up.url)
        found = raw.responses(raw.exchange(every.port, request("/old/x")))
        if name == "bad-chunk" and found[0].status == 502:
            return  # it came at once with the head
        assert all(not one.is_whole and b"hello".startswith(one.body) for one in found)
        assert isinstance(every.ended(), ProxyError)


def test_an_answer_until_the_end_that_is_reset(every: Front) -> None:
    """It looked whole if the connection were closed in order."""
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        assert go.wait(30)
        peer.reset()

    with upstream(script) as up:
        mounted(every, up.url)
        with client(every.port, request("/old/x", keep_alive=True)) as peer:
            peer.until(b"hello")
            go.set()
            assert not peer.rest().endswith(b"0\r\n\r\n")
        assert isinstance(every.ended(), ProxyError)


def test_an_answer_until_the_end(every: Front) -> None:
    with upstream(answer_with(b"HTTP/1.1 200 OK\r\n\r\nhello")) as up:
        mounted(every, up.url)
        assert got(every).body == b"hello"
        assert got(every).body == b"hello"
        assert len(up.peers) == 2


IMPROPER = {
    "length-twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "first-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n",
    "bare-cr": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space-in-name": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "control": b"HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 2\r\n\r\nok",
    "http-2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "099": b"HTTP/1.1 099 x\r\nContent-Length: 2\r\n\r\nok",
    "99": b"HTTP/1.1 99 x\r\nContent-Length: 2\r\n\r\nok",
    "600": b"HTTP/1.1 600 x\r\nContent-Length: 2\r\n\r\nok",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "gzip-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "xchunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok",
    "204-body": b"HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\nok",
    "204-rest": b"HTTP/1.1 204 x\r\n\r\nok",
    "304-body": b"HTTP/1.1 304 x\r\n\r\nok",
    "nothing": b"",
    "half-a-head": b"HTTP/1.1 200 OK\r\nX: y\r\n",
    "no-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "long": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000,
}


@pytest.mark.parametrize("name", IMPROPER)
def test_an_improper_answer(every: Front, name: str) -> None:
    """502; the server goes on, and the connection is not used again."""
    with upstream(answer_with(IMPROPER[name]), answering(b"two")) as up:
        mounted(every, up.url)
        found = raw.exchange(every.port, request("/old/x"))
        if name == "first-chunk":  # the head was right
            assert b"ok" not in found.partition(b"\r\n\r\n")[2]
        else:
            assert found.startswith(b"HTTP/1.1 502 ")
        assert got(every).body == b"two"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 2\r\n\r\nok" % (b"a" * 65_536), id="64-kb"),
        pytest.param(b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % (b"X: 1\r\n" * 150), id="150-fields"),
        pytest.param(b"HTTP/1.1 102 x\r\n\r\nHTTP/1.1 103 x\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", id="interim"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n", id="trailers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: X-A\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok", id="of-the-connection"),
    ],
)  # fmt: skip
def test_a_proper_answer(every: Front, data: bytes) -> None:
    """Interim responses and trailers are dropped: no server can send them."""
    with upstream(answer_with(data)) as up:
        mounted(every, up.url)
        found = got(every)
        assert (found.status, found.body) == (200, b"ok")
        assert [found.values(name) for name in ("trailer", "link", "x-a")] == [[], [], []]


@pytest.mark.parametrize(
    ("method", "head"),
    [
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", id="HEAD"),
        pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="HEAD-chunked"),
        pytest.param("GET", b"HTTP/1.1 204 x\r\nX-A: 1\r\n\r\n", id="204"),
        pytest.param("GET", b"HTTP/1.1 304 x\r\nETag: a\r\n\r\n", id="304"),
        pytest.param("GET", b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", id="304-length"),
    ],
)  # fmt: skip
def test_an_answer_without_a_body(every: Front, method: str, head: bytes) -> None:
    """None is waited for, and none is sent."""

    def script(peer: Peer) -> None:
        while True:
            peer.head()
            peer.send(head)

    with upstream(script) as up:
        mounted(every, up.url)
        for _ in range(2):
            found = raw.exchange(every.port, request("/old/x", method=method))
            assert found.startswith(head[:12])
            assert found.endswith(b"\r\n\r\n")
        assert len(up.peers) == 1
        assert [every.ended(1), every.ended(2)] == [None, None]


def test_an_interim_response_to_head(uvicorn: Front) -> None:
    """Together with the final one."""
    data = b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    with upstream(answer_with(data)) as up:
        mounted(uvicorn, up.url)
        found = raw.exchange(uvicorn.port, request("/old/x", method="HEAD"))
        assert found.startswith(b"HTTP/1.1 200 ")


def test_very_many_interim_responses(uvicorn: Front) -> None:
    """Do not keep the event loop busy until the time is up."""
    with upstream(answer_with(b"HTTP/1.1 103 x\r\n\r\n" * 101, "wait")) as up:
        mounted(uvicorn, up.url)
        assert got(uvicorn).status == 502


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_body_where_there_is_none(every: Front, method: str) -> None:
    """Could be the answer to the next request."""
    status = b"200 OK" if method == "HEAD" else b"304 x"
    data = b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nbody"
    with upstream(answer_with(data, "wait")) as up:
        mounted(every, up.url)
        assert raw.exchange(every.port, request("/old/x", method=method)).startswith(
            b"HTTP/1.1 502"
        )


def test_cookies_are_not_merged_or_kept(every: Front) -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.head()
            peer.answer(
                b"ok", b"set-cookie: a=1; expires=Wed, 01 Jan 2031 00:00:00 GMT", b"set-cookie: b=2"
            )

    with upstream(script) as up:
        mounted(every, up.url)
        for _ in range(2):
            assert len(got(every).values("set-cookie")) == 2
        assert b"cookie:" not in up.peers[0].received


def test_a_redirect_is_not_followed(uvicorn: Front) -> None:
    with upstream(answering()) as other:
        answer = answer_with(
            b"HTTP/1.1 302 x\r\nlocation: %b/\r\ncontent-length: 0\r\n\r\n" % other.url.encode()
        )
        with upstream(answer) as up:
            mounted(uvicorn, up.url)
            found = got(uvicorn)
            assert (found.status, found.values("location")) == (302, [f"{other.url}/"])
        assert other.peers == []


def test_redirects_and_cookies_are_mended(uvicorn: Front) -> None:
    def script(peer: Peer) -> None:
        while True:
            target = peer.head().split(b" ")[1]
            location = b"/x" if target == b"/relative" else up.url.encode() + b"/x?y"
            peer.answer(b"", b"location: " + location, b"set-cookie: a=b; Path=/", status=b"302 x")

    with upstream(script) as up:
        options: Any = {"mend_redirects": True, "own_cookie_paths": True}
        mounted(uvicorn, up.url, strip_prefix=True, host="replace", **options)
        found = got(uvicorn)
        assert found.values("location") == ["/old/x?y"]
        assert found.values("set-cookie") == ["a=b; Path=/old"]
        assert got(uvicorn, "/old/relative").values("location") == ["/old/x"]
        assert f"host: {up.url.removeprefix('http://')}".encode() in up.peers[0].received


# Time.


@pytest.mark.parametrize("body", [b"", b"x"], ids=["no-body", "body"])
def test_a_head_that_does_not_come(uvicorn: Front, body: bytes) -> None:
    with upstream(lambda peer: peer.rest() and None) as up:
        mounted(uvicorn, up.url, head_timeout=0.05)
        head = [("Content-Length", str(len(body)))]
        assert got(uvicorn, method="POST", headers=head, body=body).status == 504


def endless(piece: bytes, pause: float) -> Script:
    def script(peer: Peer) -> None:
        peer.head()
        stop = threading.Event()
        while True:
            peer.send(piece)
            stop.wait(pause)

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(endless(b"HTTP/1.1 103 x\r\n\r\n", 0.01), id="interim-responses"),
        pytest.param(endless(b"H", 0.01), id="a-byte-at-a-time"),
    ],
)
def test_a_head_that_does_not_end(uvicorn: Front, script: Script) -> None:
    """Each piece comes in time, and all together do not."""
    with upstream(script) as up:
        mounted(uvicorn, up.url, head_timeout=0.2)
        assert got(uvicorn).status == 504


def test_a_body_that_stops(every: Front) -> None:
    with upstream(answer_with(CUT["length"], "wait")) as up:
        mounted(every, up.url, idle_timeout=0.05)
        raw.exchange(every.port, request("/old/x"))
        raised = every.ended()
        assert isinstance(raised, ProxyError)
        assert raised.status == 504


def test_a_body_that_is_not_read(uvicorn: Front) -> None:
    """The upstream takes no more of it."""
    stop = threading.Event()
    with upstream(lambda peer: peer.head() and stop.wait(30) and None) as up:
        mounted(uvicorn, up.url, idle_timeout=0.2)
        size = 64 * 1024 * 1024
        head = request("/old/x", method="POST", headers=[("Content-Length", str(size))])
        with client(uvicorn.port, head) as peer:
            sender = threading.Thread(target=_send_all, args=(peer, size))
            sender.start()
            assert peer.head().startswith(b"HTTP/1.1 504 ")
        sender.join(30)
        stop.set()


def _send_all(peer: Peer, size: int) -> None:
    try:
        for _ in range(size // 65_536):
            peer.send(b"x" * 65_536)
    except OSError:
        return


def test_a_client_that_does_not_read(every: Front) -> None:
    """The upstream is made to wait: what it has sent is not kept in memory."""
    counts: list[int] = []

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        counts.append(peer.fill(b"x" * 65_536))

    with upstream(script) as up:
        mounted(every, up.url)
        with client(every.port, request("/old/x", keep_alive=True)):
            wait_until(lambda: bool(counts))
    assert counts[0] < 32 * 1024 * 1024


def test_an_upstream_that_does_not_read(every: Front) -> None:
    """The client is made to wait."""
    done = threading.Event()
    with upstream(lambda peer: peer.head() and done.wait(60) and None) as up:
        mounted(every, up.url)
        head = request("/old/x", method="POST", headers=[("Content-Length", str(1 << 30))])
        with client(every.port, head) as peer:
            assert peer.fill(b"x" * 65_536) < 32 * 1024 * 1024
        done.set()


def test_a_client_may_take_its_time(uvicorn: Front) -> None:
    """The time until the head runs from the end of the body."""

    def script(peer: Peer) -> None:
        peer.until(b"more")
        peer.answer()

    with upstream(script) as up:
        mounted(uvicorn, up.url, head_timeout=0.3)
        head = request("/old/x", method="POST", headers=[("Content-Length", "8")])
        with client(uvicorn.port, head + b"body") as peer:
            wait_until(lambda: bool(up.peers) and b"body" in up.peers[0].received)
            threading.Event().wait(0.6)
            peer.send(b"more")
            assert peer.head().startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_cannot_be_opened(every: Front) -> None:
    """503: nothing was sent, and it may be tried again."""
    with upstream(answering()) as up:
        pass
    mounted(every, up.url)
    found = got(every)
    assert (found.status, found.values("retry-after")) == (503, ["1"])


def test_a_name_that_has_no_address(uvicorn: Front) -> None:
    mounted(uvicorn, "http://no.such.name.invalid")
    assert got(uvicorn).status == 503


def test_a_connection_that_takes_too_long_to_open(uvicorn: Front) -> None:
    """As to a server that does not answer the handshake of TLS."""
    with upstream(lambda peer: peer.rest() and None) as up:
        mounted(uvicorn, up.url.replace("http:", "https:"), connect_timeout=0.1)
        assert got(uvicorn).status == 503
