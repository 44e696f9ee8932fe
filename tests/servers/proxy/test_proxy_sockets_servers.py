"""Websockets through a proxy behind a server, and an upstream that does what it should not."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import struct
import sys
import threading
from typing import Any

import pytest
from websockets.frames import Frame

from mountkit import Dispatcher, Mount, Proxy
from mountkit.proxy import sockets
from tests.support import raw
from tests.support.raw import handshake, websocket
from tests.support.scopes import scope_of
from tests.support.upstreams import Front, Peer, Script, answering, client, upstream
from tests.support.waiting import until, wait_until

SERVERS = ["uvicorn", "hypercorn", "granian"]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


pytestmark = pytest.mark.anyio


def accept(peer: Peer, *headers: bytes) -> bytes:
    """Accept a websocket; the head of its request."""
    head = peer.head()
    [key] = [line[19:] for line in head.split(b"\r\n") if line.startswith(b"sec-websocket-key: ")]
    digest = base64.b64encode(hashlib.sha1(key + GUID).digest())
    lines = [b"HTTP/1.1 101 x", b"Upgrade: websocket", b"Connection: keep-alive, Upgrade"]
    peer.send(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + digest, *headers, b"", b""]))
    return head


def frame(opcode: int, data: bytes, *, fin: bool = True, masked: bool = False) -> bytes:
    first = opcode | (0x80 if fin else 0)
    mask = 0x80 if masked else 0
    if len(data) < 126:
        head = bytes([first, mask | len(data)])
    elif len(data) < 65_536:
        head = struct.pack("!BBH", first, mask | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


def closing(code: int | None, reason: bytes = b"") -> bytes:
    return frame(8, b"" if code is None else struct.pack("!H", code) + reason)


def accepting(*data: bytes) -> Script:
    """Accepts a websocket, sends this and waits for the end."""

    def script(peer: Peer) -> None:
        accept(peer)
        for one in data:
            peer.send(one)
        peer.rest()

    return script


def serve(server: Front, url: str, **how: Any) -> None:
    server.app = Proxy(url, **how)


def client_frame(peer: Peer) -> tuple[int, bytes]:
    """The next frame that a client gets."""
    first, length = peer.exactly(2)
    if length == 126:
        length = int.from_bytes(peer.exactly(2))
    elif length == 127:
        length = int.from_bytes(peer.exactly(8))
    return first & 15, peer.exactly(length)


def opened(peer: Peer) -> bytes:
    head = peer.head()
    assert head.startswith(b"HTTP/1.1 101 "), head
    return head.lower()


def test_messages_both_ways(every: Front) -> None:
    """Text and bytes, and those that come in several frames."""

    def script(peer: Peer) -> None:
        accept(peer, b"Set-Cookie: a=1", b"Set-Cookie: b=2")
        peer.send(frame(1, b"h", fin=False) + frame(0, "é".encode()[:1], fin=False))
        peer.send(frame(9, b"ping") + frame(0, "é".encode()[1:]) + frame(2, b"\xff"))
        assert peer.frame() == (0x8A, b"ping")
        assert peer.frame() == (0x81, b"text")
        assert peer.frame() == (0x82, b"\xfe")
        peer.send(closing(4001, b"bye"))
        assert peer.frame() == (0x88, struct.pack("!H", 4001) + b"bye")

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x")) as peer:
            head = opened(peer)
            # granian sends no headers.
            assert head.count(b"set-cookie:") == 2 or b"server:" not in head
            assert client_frame(peer) == (1, "hé".encode())
            assert client_frame(peer) == (2, b"\xff")
            peer.send(frame(1, b"text", masked=True) + frame(2, b"\xfe", masked=True))
            assert client_frame(peer) == (8, struct.pack("!H", 4001) + b"bye")
        assert every.ended() is None


def test_a_subprotocol(every: Front) -> None:
    heads = []

    def script(peer: Peer) -> None:
        heads.append(accept(peer, b"Sec-WebSocket-Protocol: b"))
        peer.rest()

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x", [("Sec-WebSocket-Protocol", "a, b")])) as peer:
            assert b"sec-websocket-protocol: b\r\n" in opened(peer)
            wait_until(lambda: bool(heads))
        assert b"sec-websocket-protocol: a, b\r\n" in heads[0]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([b"Sec-WebSocket-Protocol: c"], id="subprotocol"),
        pytest.param([b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: b"], id="two"),
        pytest.param([b"Sec-WebSocket-Extensions: permessage-deflate"], id="extension"),
        pytest.param([b"Sec-WebSocket-Accept: x"], id="two-keys"),
        pytest.param([b"Upgrade: h2c"], id="two-protocols"),
    ],
)
def test_what_was_not_offered(uvicorn: Front, headers: list[bytes]) -> None:
    """RFC 6455, section 4.1: the connection fails."""
    with upstream(lambda peer: accept(peer, *headers) and peer.rest() and None) as up:
        serve(uvicorn, up.url)
        found = websocket(uvicorn.port, "/x", [("Sec-WebSocket-Protocol", "a, b")])
        assert found.status == 502


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 101 x\r\n\r\n", id="nothing"),
        pytest.param(
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", id="key"
        ),
        pytest.param(b"HTTP/1.1 101\nx\r\n\r\n", id="no-head"),
        pytest.param(b"", id="no-answer"),
    ],
)
def test_an_improper_handshake(every: Front, head: bytes) -> None:
    with upstream(lambda peer: peer.head() and peer.send(head)) as up:
        serve(every, up.url)
        assert websocket(every.port, "/x").status == 502


def test_a_refusal(every: Front) -> None:
    """Is the client's answer, with its headers and its body."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b"log in", b"www-authenticate: Basic", b"set-cookie: a=1", status=b"401 x")

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x")) as peer:
            [found] = raw.responses(peer.until(b"log in"))
        assert (found.status, found.values("www-authenticate")) == (401, ["Basic"])


def test_a_redirect_is_not_followed(uvicorn: Front) -> None:
    """Credentials would go to whatever host it names."""
    with upstream(answering()) as other:

        def script(peer: Peer) -> None:
            peer.head()
            peer.answer(b"", b"location: " + other.url.encode(), status=b"302 x")

        with upstream(script) as up:
            serve(uvicorn, up.url)
            assert websocket(uvicorn.port, "/x", [("Authorization", "x")]).status == 302
        assert other.peers == []


def test_a_redirect_and_its_cookies_are_mended(every: Front) -> None:
    """As those of a request."""

    def script(peer: Peer) -> None:
        peer.head()
        location = b"location: %b/login" % up.url.encode()
        peer.answer(b"", location, b"set-cookie: a=b; Path=/", status=b"302 x")

    with upstream(script) as up:
        proxy = Proxy(up.url, strip_prefix=True, mend_redirects=True, own_cookie_paths=True)
        every.app = Dispatcher([Mount("/old", proxy)])
        [found] = raw.responses(websocket(every.port, "/old/x").head + b"\r\n\r\n")
        assert found.values("location") == ["/old/login"]
        assert found.values("set-cookie") == ["a=b; Path=/old"]


@pytest.mark.parametrize("every", ["uvicorn", "hypercorn"], indirect=True)
@pytest.mark.parametrize("scheme", ["http", "https"], ids=["head", "connection"])
def test_a_client_that_does_not_wait_for_the_handshake(every: Front, scheme: str) -> None:
    """The upstream's connection is closed at once. granian does not report that it has gone."""
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.rest()
        done.set()

    with upstream(script) as up:
        every.app = Proxy(up.url.replace("http", scheme), head_timeout=1000, connect_timeout=1000)
        with client(every.port, handshake("/x")):
            wait_until(lambda: bool(up.peers) and bool(up.peers[0].received))
        assert done.wait(30)
        # uvicorn says so when the app closes the websocket.
        assert isinstance(every.ended(), (OSError, type(None)))


async def test_a_client_that_has_gone_is_told_all_the_same() -> None:
    """uvicorn logs an error if an app returns without a word."""
    messages, sent = [{"type": "websocket.disconnect"}, {"type": "websocket.connect"}], []

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {**scope_of("/x", host="a.com", type="websocket"), "raw_path": b"/x"}
    with upstream(lambda peer: peer.rest() and None) as up:
        await Proxy(up.url)(scope, receive, send)
    assert sent == ["websocket.close"]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["raised", "cancelled"])
def test_what_ends_the_handshake(uvicorn: Front, is_cancelled: bool) -> None:
    """What `receive` raises, as a layer does, and a cancellation go up."""
    calls, tasks = [], []

    async def ending(scope: Any, receive: Any, send: Any) -> None:
        async def end() -> Any:
            calls.append(1)
            if len(calls) == 1:
                return await receive()
            await until(lambda: bool(up.peers))
            if is_cancelled:
                asyncio.get_running_loop().call_soon(tasks[0].cancel)
            raise LookupError

        tasks.append(asyncio.ensure_future(proxy(scope, end, send)))
        await asyncio.wait(tasks)
        await send({"type": "websocket.close", "code": 1000})

    with upstream(lambda peer: peer.rest() and None) as up:
        proxy = Proxy(up.url)
        uvicorn.app = ending
        assert websocket(uvicorn.port, "/x").status == 403
        assert uvicorn.ended() is None
        assert tasks[0].cancelled() if is_cancelled else tasks[0].exception()
        assert proxy.upstreams[0].in_flight == 0


def test_a_server_that_cannot_refuse_with_an_answer(uvicorn: Front) -> None:
    """The websocket is closed before it is accepted."""

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await proxy({**scope, "extensions": {}}, receive, send)

    with upstream(answering()) as up:
        proxy = Proxy(up.url)
        uvicorn.app = plain
        assert websocket(uvicorn.port, "/x").status == 403


@pytest.mark.parametrize("every", ["hypercorn", "granian"], indirect=True)
def test_a_handshake_with_a_body(every: Front) -> None:
    """Is refused: the body could be another request. uvicorn itself does not answer it."""
    with upstream(answering()) as up:
        serve(every, up.url)
        data = handshake("/x", [("Content-Length", "26")]) + b"GET /evil HTTP/1.1\r\nA: b\r\n\r\n"
        with client(every.port, data) as peer:
            assert peer.head().startswith(b"HTTP/1.1 400 ")
        assert up.peers == []


def test_no_upstream(every: Front) -> None:
    with upstream(answering()) as up:
        pass
    serve(every, up.url)
    assert websocket(every.port, "/x").status == 503


def test_a_head_that_does_not_come(uvicorn: Front) -> None:
    with upstream(lambda peer: peer.rest() and None) as up:
        serve(uvicorn, up.url, head_timeout=0.05)
        assert websocket(uvicorn.port, "/x").status == 504


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(closing(None), 1000, id="none"),
        *(
            pytest.param(closing(code), code, id=str(code))
            for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
        ),
        *(
            pytest.param(closing(code), 1011, id=f"{code}-is-none")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)
        ),
        pytest.param(frame(8, b"\x03"), 1011, id="half-a-code"),
        pytest.param(closing(1000, b"\xff"), 1011, id="reason-is-no-text"),
        pytest.param(frame(1, b"\xff"), 1011, id="text-is-none"),
        pytest.param(b"\xc1\x01a", 1011, id="rsv1"),
        pytest.param(frame(1, b"a", masked=True), 1011, id="masked"),
        pytest.param(frame(0, b"a"), 1011, id="continues-nothing"),
    ],
)  # fmt: skip
def test_how_the_upstream_ends_it(uvicorn: Front, data: bytes, code: int) -> None:
    """A code that may be on the wire is passed on; all else is an error of the upstream."""
    with upstream(accepting(data)) as up:
        serve(uvicorn, up.url)
        assert websocket(uvicorn.port, "/x").code == code
        assert uvicorn.ended() is None


@pytest.mark.parametrize("end", ["close", "rst"])
def test_an_upstream_that_is_gone(every: Front, end: str) -> None:
    """Without a close frame, which is an error of its."""

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(1, b"x"))
        peer.frame()
        if end == "rst":
            peer.reset()

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x")) as peer:
            opened(peer)
            assert client_frame(peer) == (1, b"x")
            peer.send(frame(1, b"x", masked=True))
            assert client_frame(peer) == (8, struct.pack("!H", 1011))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            frame(8, struct.pack("!H", 4002) + b"bye", masked=True), (4002, b"bye"), id="4002"
        ),
        pytest.param(frame(8, b"", masked=True), (1000, b""), id="none"),
        pytest.param(
            frame(8, struct.pack("!H", 1001) + "é".encode() * 61, masked=True),
            (1001, "é".encode() * 61),
            id="longest-reason",
        ),
    ],
)
def test_how_the_client_ends_it(every: Front, data: bytes, expected: tuple[int, bytes]) -> None:
    """The upstream gets the code and the reason, and answers."""
    frames, done = [], threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        found = peer.frame()
        frames.append(found)
        peer.send(frame(8, found[1]))
        peer.rest()
        done.set()

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x")) as peer:
            opened(peer)
            peer.send(data)
            assert done.wait(30)
        code, reason = struct.unpack("!H", frames[0][1][:2])[0], frames[0][1][2:]
        # hypercorn says 1006 of all.
        assert code in (expected[0], 1011)
        assert reason in (expected[1], b"")


def test_a_client_that_is_gone(every: Front) -> None:
    """Servers tell that with different codes: those that may not be sent are not."""
    frames, done = [], threading.Event()

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(1, b"x"))
        frames.append(peer.frame())
        done.set()

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x")) as peer:
            opened(peer)
            client_frame(peer)
            peer.reset()
        assert done.wait(30)
        assert frames[0][0] == 0x88
        assert struct.unpack("!H", frames[0][1][:2])[0] in (1000, 1001, 1011)
        assert every.ended() is None


def test_an_upstream_that_does_not_answer_the_end(
    uvicorn: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is waited for, but not for long."""
    monkeypatch.setattr(sockets, "CLOSE_TIMEOUT", 0.05)
    with upstream(accepting()) as up:
        serve(uvicorn, up.url)
        with client(uvicorn.port, handshake("/x")) as peer:
            opened(peer)
            peer.send(frame(8, b"", masked=True))
            assert uvicorn.ended() is None


def test_what_comes_after_the_client_has_closed(uvicorn: Front) -> None:
    """Is dropped."""

    def script(peer: Peer) -> None:
        accept(peer)
        peer.frame()
        peer.send(frame(1, b"late") + closing(1000))

    with upstream(script) as up:
        serve(uvicorn, up.url)
        with client(uvicorn.port, handshake("/x")) as peer:
            opened(peer)
            peer.send(frame(8, b"", masked=True))
            assert uvicorn.ended() is None


def test_large_messages(every: Front) -> None:
    """8 MiB each way."""
    size = 8 * 1024 * 1024

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(2, b"x" * size))
        peer.exactly(14)
        count = 0
        for _ in range(size // 65_536):
            count += len(peer.exactly(65_536))
        peer.send(closing(1000, b"%d" % count))
        peer.rest()

    with upstream(script) as up:
        serve(every, up.url)
        with client(every.port, handshake("/x")) as peer:
            opened(peer)
            sending = threading.Thread(target=peer.send, args=(frame(2, b"y" * size, masked=True),))
            sending.start()
            received = 0
            while received < size:
                opcode, data = client_frame(peer)
                assert opcode in (0, 2)
                received += len(data)
            sending.join(60)
            assert client_frame(peer)[1][2:] in (b"%d" % size, b"")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(2, b"x" * 1001), id="one-frame"),
        pytest.param(frame(2, b"x" * 600, fin=False) + frame(0, b"x" * 600), id="two-frames"),
    ],
)
def test_a_message_that_is_too_large(uvicorn: Front, data: bytes) -> None:
    """Both sides are told so."""
    frames = []

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(data)
        frames.append(peer.frame())

    with upstream(script) as up:
        serve(uvicorn, up.url, max_message_size=1000)
        assert websocket(uvicorn.port, "/x").code == 1009
        wait_until(lambda: bool(frames))
        assert frames[0][1][:2] == struct.pack("!H", 1009)


def test_very_many_frames_of_nothing(uvicorn: Front) -> None:
    """None is kept: they make no message larger."""
    kept: list[Any] = []

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(1, b"a", fin=False) + frame(0, b"", fin=False) * 2000)
        for _ in range(2):  # the second is read when all before the first has been
            peer.send(frame(9, b""))
            peer.frame()
        lists = [one for one in gc.get_objects() if type(one) is list and len(one) >= 2000]
        kept.extend(one for one in lists if {*map(type, one)} <= {bytes, Frame})
        peer.send(frame(0, b"b") + closing(1000))
        peer.rest()

    with upstream(script) as up:
        serve(uvicorn, up.url)
        assert websocket(uvicorn.port, "/x").frames[0] == (1, b"ab")
    assert not kept


def test_a_client_that_does_not_read(uvicorn: Front) -> None:
    """The upstream is made to wait: what it has sent is not kept in memory."""
    counts: list[int] = []

    def script(peer: Peer) -> None:
        accept(peer)
        counts.append(peer.fill(frame(2, b"x" * 65_536)))

    with upstream(script) as up:
        serve(uvicorn, up.url)
        with client(uvicorn.port, handshake("/x")) as peer:
            opened(peer)
            wait_until(lambda: bool(counts))
    assert counts[0] < 64 * 1024 * 1024


def test_an_upstream_that_does_not_read(uvicorn: Front) -> None:
    """The client is made to wait."""
    done = threading.Event()
    with upstream(lambda peer: accept(peer) and done.wait(60) and None) as up:
        serve(uvicorn, up.url)
        with client(uvicorn.port, handshake("/x")) as peer:
            opened(peer)
            assert peer.fill(frame(2, b"x" * 65_536, masked=True)) < 64 * 1024 * 1024
        done.set()


def test_nothing_happens(uvicorn: Front) -> None:
    """A ping is no message: both sides are closed."""
    frames = []

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(9, b""))
        peer.frame()
        frames.append(peer.rest())

    with upstream(script) as up:
        serve(uvicorn, up.url, idle_timeout=0.1)
        assert websocket(uvicorn.port, "/x").code == 1001


def test_an_app_that_is_cancelled(uvicorn: Front) -> None:
    """As when its mount leaves: the upstream is told, and no task is left."""
    frames, tasks = [], []

    async def cancelling(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.ensure_future(proxy(scope, receive, send))
        await until(lambda: bool(frames))
        task.cancel()
        await asyncio.wait([task])
        tasks.extend(one for one in asyncio.all_tasks() if "_upwards" in repr(one))
        await send({"type": "websocket.close", "code": 1012})

    def script(peer: Peer) -> None:
        accept(peer)
        peer.send(frame(1, b"x"))
        frames.append(None)
        frames.append(peer.frame())  # type: ignore[arg-type]

    with upstream(script) as up:
        proxy = Proxy(up.url)
        uvicorn.app = cancelling
        assert websocket(uvicorn.port, "/x").code == 1012
        wait_until(lambda: len(frames) == 2)
        assert frames[1] == (0x88, struct.pack("!H", 1001))
        assert tasks == []


def test_what_receive_raises_goes_up(uvicorn: Front) -> None:
    calls, sent = [], []

    async def raising(scope: Any, receive: Any, send: Any) -> None:
        async def failing() -> Any:
            calls.append(1)
            if len(calls) == 1:
                return await receive()
            await until(lambda: bool(sent))
            raise LookupError

        async def noting(message: Any) -> None:
            await send(message)
            sent.append(message)

        await proxy(scope, failing, noting)

    with upstream(accepting()) as up:
        proxy = Proxy(up.url)
        uvicorn.app = raising
        websocket(uvicorn.port, "/x")
        assert isinstance(uvicorn.ended(), LookupError)


def test_without_the_extra(uvicorn: Front, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Requests are served; a websocket is refused, and the log says what to install."""
    monkeypatch.delitem(sys.modules, "mountkit.proxy.sockets")
    monkeypatch.setitem(sys.modules, "websockets.protocol", None)
    with upstream(answering()) as up:
        serve(uvicorn, up.url)
        assert websocket(uvicorn.port, "/x").status == 500
        assert "pip install 'mountkit[proxy]'" in caplog.text
        found = raw.ask(uvicorn.port, "/x")
        assert found is not None
        assert found.body == b"ok"


async def test_a_message_after_the_upstream_has_closed() -> None:
    """Is dropped: the client is being told."""
    sent, is_late = [], asyncio.Event()

    async def receive() -> Any:
        if not sent:
            sent.append({"type": "connecting"})
            return {"type": "websocket.connect"}
        await until(lambda: len(sent) > 2)
        asyncio.get_running_loop().call_later(0.01, is_late.set)
        return {"type": "websocket.receive", "text": "late"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "websocket.send":
            await is_late.wait()

    scope = {**scope_of("/x", host="a.com", type="websocket"), "raw_path": b"/x"}
    with upstream(accepting(frame(1, b"x") + closing(4001))) as up:
        await Proxy(up.url)(scope, receive, send)
    assert sent[2:] == [
        {"type": "websocket.send", "text": "x"},
        {"type": "websocket.close", "code": 4001, "reason": ""},
    ]
