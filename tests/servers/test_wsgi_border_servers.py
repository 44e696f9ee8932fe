"""What HTTP allows at the border to WSGI, over sockets: framing, slow and absent clients."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import http, raw
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

APP = "tests.support.apps.wsgi_border:app"
CHUNKED = ("Transfer-Encoding", "chunked")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    with serve(name, APP) as running:
        yield running


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def post(server: Server, target: str, body: bytes, *headers: tuple[str, str]) -> raw.Response:
    response = raw.ask(server.port, target, method="POST", headers=headers, body=body)
    assert response is not None
    return response


def get(server: Server, path: str) -> httpx.Response:
    return http.get(server.url + path, timeout=20)


@contextmanager
def sending(server: Server, data: bytes) -> Iterator[socket.socket]:
    """A connection on which `data` was sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(data)
        yield connection


def upload(path: str, length: int, sent: int) -> bytes:
    """The beginning of an upload."""
    headers = [("Content-Length", str(length))]
    return raw.request(path, method="POST", headers=headers, body=b"x" * sent)


@pytest.mark.parametrize("path", ["/sized", "/django/echo", "/flask/echo", "/bottle/echo"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([CHUNKED], id="chunked"),
        pytest.param([("Content-Length", "4"), CHUNKED], id="length-first"),
        pytest.param([CHUNKED, ("Content-Length", "4")], id="length-last"),
    ],
)
def test_a_chunked_body(server: Server, path: str, headers: list[tuple[str, str]]) -> None:
    """Reaches every app whole, with its own length, or is refused by the server (RFC 9112, 6.3)."""
    response = post(server, path, chunked(b"hello ", b"world"), *headers)
    if len(headers) == 1 or response.status == 200:
        assert (response.status, response.body.removeprefix(b"11:")) == (200, b"hello world")
    else:
        assert response.status == 400


@pytest.mark.parametrize("path", ["/django/echo", "/flask/echo", "/bottle/echo"])
def test_a_chunked_form(server: Server, path: str) -> None:
    """Is a form to Django, Flask and Bottle."""
    assert post(server, path, chunked(b"name=", b"Ada"), CHUNKED, FORM).body == b"Ada"


def test_an_empty_chunked_body(server: Server) -> None:
    """Has the length 0."""
    assert post(server, "/sized", chunked(), CHUNKED).body == b"0:"


def test_no_body(server: Server) -> None:
    """Has no length, and is not waited for."""
    assert post(server, "/sized", b"").body == b":"


def test_a_body_without_a_length_that_is_too_long(server: Server) -> None:
    """Is a 411, and the log says why; an app that reads to the end gets it."""
    response = post(server, "/short", chunked(b"x" * 2000), CHUNKED)
    assert response.status == 411
    wait_until(lambda: "raise WSGIBridge(spool=)" in server.output)
    assert post(server, "/short", chunked(b"x" * 1000), CHUNKED).body == b"1000:" + b"x" * 1000


@pytest.mark.parametrize("path", ["/sized", "/django/echo", "/flask/echo", "/bottle/echo"])
def test_http_2(server: Server, name: str, path: str) -> None:
    """Has bodies without a length, whatever the method."""
    if name.startswith("uvicorn"):
        pytest.skip("uvicorn has no HTTP/2")
    for method in ("POST", "GET") if path != "/bottle/echo" else ("POST",):
        headers = [(":method", method), (":path", path), (":scheme", "http")]
        response = raw.ask_h2(server.port, [*headers, (":authority", "a")], b"hello world")
        assert response is not None
        assert (response.status, response.body.removeprefix(b"11:")) == (200, b"hello world")


@pytest.mark.parametrize("path", ["/limited", "/limited-flask/read", "/limited-catching"])
@pytest.mark.parametrize("headers", [[], [("Expect", "100-continue")]], ids=["plain", "expect"])
def test_a_body_over_the_limit(server: Server, path: str, headers: list[tuple[str, str]]) -> None:
    """Is a 413, whether its length is known or not, and whatever the app makes of it."""
    framings = [
        (("Content-Length", "2000"), b"x" * 2000),
        (CHUNKED, chunked(b"x" * 900, b"x" * 900)),
    ]
    for framing, body in framings:
        data = raw.request(path, method="POST", headers=[*headers, framing], body=body)
        received = raw.exchange(server.port, data)
        *interim, status = re.findall(rb"HTTP/1.1 (\d+)", received)
        assert (set(interim) <= {b"100"}, status) == (True, b"413")


@pytest.mark.parametrize("path", ["/204", "/304"])
def test_answers_without_content(server: Server, path: str) -> None:
    """Have neither a body nor its length, and the connection goes on."""
    data = raw.request(path, keep_alive=True) + raw.request("/well")
    first, second = raw.responses(raw.exchange(server.port, data))
    assert (first.status, first.body) == (int(path[1:]), b"")
    assert "5" not in first.values("content-length")
    assert second.json() == "well"


@pytest.mark.parametrize("path", ["/shorter", "/worded", "/listed", "/twofold", "/repeated"])
def test_a_length_that_is_wrong(server: Server, path: str) -> None:
    """Never makes one answer a part of another: it is a 500, or the connection is broken off."""
    data = raw.request(path, keep_alive=True) + raw.request("/well")
    first, *others = raw.responses(raw.exchange(server.port, data))
    if path == "/shorter":
        assert (first.is_whole, others) == (False, [])
    else:
        assert first.status == (200 if path == "/repeated" else 500)
        assert [other.json() for other in others] in (["well"], [])


def test_reset_content(server: Server) -> None:
    """Has no content either (RFC 9110, section 15.3.6)."""
    response = get(server, "/205")
    assert (response.status_code, response.content) == (205, b"")


@pytest.mark.parametrize("path", ["/euro", "/name", "/status"])
def test_no_latin_1(server: Server, path: str) -> None:
    """Is a 500, and never another URL (PEP 3333, "Unicode Issues")."""
    assert get(server, path).status_code == 500


@pytest.mark.parametrize("path", ["/600", "/100"])
def test_no_status_of_a_response(server: Server, path: str) -> None:
    """Is a 500 (RFC 9110, section 15), where servers would drop the connection."""
    assert get(server, path).status_code == 500


@pytest.mark.parametrize("path", ["/replayed", "/replayed-on", "/torrent"])
def test_a_receive_and_a_send_that_never_suspend(name: str, path: str) -> None:
    """Hold up neither other apps nor the end of the server."""
    with serve(name, APP) as server, sending(server, raw.request(path)):
        for _ in range(10):
            started = time.monotonic()
            assert get(server, "/well").json() == "well"
            assert time.monotonic() - started < 2
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)


def test_clients_that_leave_the_queue(server: Server) -> None:
    """Give their places back at once, though the only thread of the mount is taken."""
    with sending(server, raw.request("/holds/hold")):
        wait_until(lambda: get(server, "/pending").json() == 1)
        for _ in range(3):
            with ExitStack() as clients:
                for _ in range(3):
                    clients.enter_context(sending(server, raw.request("/holds/x")))
                wait_until(lambda: get(server, "/pending").json() == 4)
                assert get(server, "/holds/x").status_code == 503
            wait_until(lambda: get(server, "/pending").json() == 1, seconds=5)
        with sending(server, raw.request("/holds/x")) as waits:
            wait_until(lambda: get(server, "/pending").json() == 2)
            assert http.post(f"{server.url}/let-go").status_code == 200
            assert waits.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("path", ["/one", "/two"])
@pytest.mark.parametrize("length", [400_000, 2_000_000])
def test_slow_uploads(server: Server, path: str, length: int) -> None:
    """Take no thread from the others of their mount; each comes to its end."""
    with ExitStack() as clients:
        slow = [
            clients.enter_context(sending(server, upload(path, length, length - 1)))
            for _ in range(6)
        ]
        for _ in range(3):
            response = http.post(f"{server.url}{path}/x", content=b"hello", timeout=10)
            assert response.text == "5"
        for client in slow:
            client.sendall(b"x")
        for client in slow:
            received = b""
            while chunk := client.recv(65_536):
                received += chunk
            assert raw.responses(received)[0].body == str(length).encode()


def test_uploads_that_nobody_reads(server: Server) -> None:
    """Hold no thread once the app has answered, though `send` may never return then."""
    for _ in range(6):
        with sending(server, upload("/picky/not", 700_000, 700_000)):
            pass
    length = 20 * 1024 * 1024
    body = b"x" * length
    assert post(server, "/picky/read", body, ("Content-Length", str(length))).body == b"20971520"


def test_the_memory_of_slow_uploads() -> None:
    """Is 256 KiB each at most, and what the server buffers; the rest is in files."""
    with serve("uvicorn-httptools", APP) as server, ExitStack() as clients:
        assert http.post(f"{server.url}/one/x", content=b"hello").text == "5"
        before = memory(server)
        for _ in range(20):
            clients.enter_context(sending(server, upload("/one", 6_000_000, 5_000_000)))
        assert http.post(f"{server.url}/one/x", content=b"hello", timeout=20).text == "5"
        assert memory(server) - before < 25 * 1024


def memory(server: Server) -> int:
    """The most that the process has used, in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s*(\d+)", status)[0])


def test_an_upload_that_is_cut_off(name: str) -> None:
    """Is nobody's fault: Flask logs nothing."""
    with serve(name, APP) as server:
        for headers, body in (
            ([("Content-Length", "2000000")], b"x" * 1_000_000),
            ([CHUNKED], b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"),
            ([CHUNKED, ("Expect", "100-continue")], b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"),
        ):
            data = raw.request("/flask/read", method="POST", headers=headers, body=body)
            with sending(server, data):
                wait_until(lambda: get(server, "/in-flight").json()["/flask"] == 1)
            wait_until(lambda: get(server, "/in-flight").json()["/flask"] == 0)
        assert http.post(f"{server.url}/flask/read", content=b"x").text == "1"
        assert "Traceback" not in server.output


def test_an_app_that_wants_no_slash(server: Server) -> None:
    """Gets none if the mount says so; else the loop is told."""
    navigates = {"sec-fetch-mode": "navigate"}
    response = http.get(f"{server.url}/bare/", headers=navigates, follow_redirects=True)
    assert (response.url.path, response.text) == ("/bare", "''")
    with pytest.raises(httpx.TooManyRedirects):
        http.get(f"{server.url}/loops/", headers=navigates, follow_redirects=True)
    assert server.output.count("redirects '/loops/' to '/loops'") == 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_gevent(loop: str) -> None:
    """May patch the standard library when the mount is there: threads stay threads."""
    pytest.importorskip("gevent", reason="needs gevent")
    target = "tests.support.apps.gevent_late:app"
    with serve("uvicorn-h11", target, options=["--loop", loop]) as server:
        for body in (b"", b"hello", b"x" * 600_000):
            response = http.post(f"{server.url}/slow", content=body, timeout=20)
            assert response.text == str(len(body))
