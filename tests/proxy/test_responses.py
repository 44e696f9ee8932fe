"""What an upstream answers, read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountkit.proxy.errors import ProxyError
from mountkit.proxy.responses import CHUNKED, MAX_HEAD, UNTIL_END, Body, Head, read_head
from tests.support.parsers import upstream


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", b""])


def read(data: bytes, method: str = "GET") -> Head:
    found = read_head(data, method)
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("data", "framing"),
    [
        pytest.param(head(b"Content-Length: 5"), 5, id="length"),
        pytest.param(head(b"content-length:5"), 5, id="no-space"),
        pytest.param(head(b"Transfer-Encoding: Chunked"), CHUNKED, id="chunked"),
        pytest.param(head(), UNTIL_END, id="neither"),
        pytest.param(head(status=b"HTTP/1.1 200"), UNTIL_END, id="no-reason"),
        pytest.param(head(status=b"HTTP/1.0 200 \xe9"), UNTIL_END, id="old"),
        pytest.param(head(status=b"HTTP/1.1 204 No Content"), 0, id="204"),
        pytest.param(head(b"Content-Length: 0", status=b"HTTP/1.1 204 x"), 0, id="204-length-0"),
        pytest.param(head(b"Content-Length: 5", status=b"HTTP/1.1 304 x"), 0, id="304"),
        pytest.param(head(status=b"HTTP/1.1 599 x"), UNTIL_END, id="599"),
        pytest.param(head(b"X: " + b"a" * 65_536, b"Content-Length: 1"), 1, id="64-kb-field"),
        pytest.param(head(*[b"X: 1"] * 1000, b"Content-Length: 1"), 1, id="1000-fields"),
    ],
)
def test_framing(data: bytes, framing: int) -> None:
    """RFC 9112, section 6.3."""
    assert read(data).framing == framing


def test_a_response_to_head_has_no_body() -> None:
    """But the length that it would have."""
    found = read(head(b"Content-Length: 5"), "HEAD")
    assert (found.framing, found.kept) == (0, [(b"content-length", b"5")])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head(b"Content-Length: 5", b"Content-Length: 5"), id="length-twice"),
        pytest.param(head(b"Content-Length: 5, 5"), id="length-list"),
        pytest.param(head(b"Content-Length: 5", b"Transfer-Encoding: chunked"), id="both"),
        pytest.param(head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), id="codings"),
        pytest.param(head(b"Transfer-Encoding: gzip, chunked"), id="gzip-chunked"),
        pytest.param(head(b"Transfer-Encoding: xchunked"), id="xchunked"),
        pytest.param(
            head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 x"), id="old-chunked"
        ),
        pytest.param(head(b"Content-Length: -5"), id="length-negative"),
        pytest.param(head(b"Content-Length: +5"), id="length-signed"),
        pytest.param(head(b"Content-Length: 5_0"), id="length-underscore"),
        pytest.param(head(b"Content-Length: " + b"9" * 19), id="length-huge"),
        pytest.param(head(b"Content-Length:"), id="length-empty"),
        pytest.param(head(b"Content-Length : 5"), id="space-before-colon"),
        pytest.param(head(b"X: a\nY: b"), id="bare-lf"),
        pytest.param(head(b"X: a\rY: b"), id="bare-cr"),
        pytest.param(head(b"X: a", b" b"), id="folded"),
        pytest.param(head(b"X: \x01"), id="control"),
        pytest.param(head(b"X: \x00"), id="nul"),
        pytest.param(head(b"X"), id="no-colon"),
        pytest.param(head(b": a"), id="no-name"),
        pytest.param(head(b"X\xe9: a"), id="name-not-ascii"),
        pytest.param(head(status=b"HTTP/2.0 200 OK"), id="http-2.0"),
        pytest.param(head(status=b"HTTP/1.1 099 x"), id="099"),
        pytest.param(head(status=b"HTTP/1.1 99 x"), id="99"),
        pytest.param(head(status=b"HTTP/1.1 600 x"), id="600"),
        pytest.param(head(status=b"HTTP/1.1  200 x"), id="two-spaces"),
        pytest.param(head(status=b"ICY 200 OK"), id="other-protocol"),
        pytest.param(head(b"Content-Length: 5", status=b"HTTP/1.1 204 x"), id="204-length"),
        pytest.param(
            head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 204 x"), id="204-chunked"
        ),
        pytest.param(head(status=b"HTTP/1.1 204 x") + b"x", id="204-body"),
        pytest.param(head(status=b"HTTP/1.1 304 x") + b"x", id="304-body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD, id="too-long"),
    ],
)
def test_what_is_no_response(data: bytes) -> None:
    """Or may be read in several ways, is refused as a whole."""
    with pytest.raises(ProxyError) as raised:
        read_head(data, "GET")
    assert raised.value.status == 502


@pytest.mark.parametrize("status", [b"204 x", b"304 x"], ids=bytes.decode)
def test_the_length_of_a_body_that_does_not_come(status: bytes) -> None:
    """Is not passed on: servers would wait for it."""
    found = read(head(b"Content-Length: 0", b"ETag: a", status=b"HTTP/1.1 " + status))
    assert found.kept == [(b"etag", b"a")]


def test_an_interim_response_to_head() -> None:
    """What comes after it is no body, but the next response."""
    found = read_head(head(status=b"HTTP/1.1 103 x") + head(), "HEAD")
    assert found is not None
    assert (found[0].status, found[1]) == (103, head())


def test_a_response_to_head_with_a_body() -> None:
    """Could be the beginning of the next response."""
    with pytest.raises(ProxyError, match="has a body that it must not have"):
        read_head(head(b"Content-Length: 5") + b"hello", "HEAD")


def test_a_part_of_a_head() -> None:
    """Is waited for; what comes after it is given back."""
    data = head(b"Content-Length: 5") + b"hel"
    assert all(read_head(data[:n], "GET") is None for n in range(len(data) - 3))
    found = read_head(data, "GET")
    assert found is not None
    assert found[1] == b"hel"


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        pytest.param([b"Content-Length: 5"], True, id="kept"),
        pytest.param([b"Content-Length: 5", b"Connection: x, Close"], False, id="close"),
        pytest.param([], False, id="until-the-end"),
    ],
)
def test_which_connection_is_kept(lines: list[bytes], is_kept: bool) -> None:
    assert read(head(*lines)).is_kept is is_kept


def test_an_old_connection_is_not_kept() -> None:
    assert not read(head(b"Content-Length: 5", status=b"HTTP/1.0 200 OK")).is_kept


def test_headers_of_the_connection_are_not_passed_on() -> None:
    """RFC 9110, section 7.6.1: those that `Connection` names included, in all of its lines."""
    lines = [b"Connection: ", b"X-A: 1", b"Connection: x-a , X-B", b"X-b: 2", b"Keep-Alive: 3"]
    lines += [b"Upgrade: h2c", b"Trailer: X", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-C: \t3 "]
    assert read(head(*lines)).kept == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-c", b"3"),
    ]


CHUNKS = b"5\r\nhello\r\n1;a=b\r\n \r\n0005 \r\nworld\r\n0\r\nX: 1\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000], ids="{} at once".format)
def test_chunks(step: int) -> None:
    """However they are cut."""
    body, found = Body(CHUNKED), b""
    data = CHUNKS + b"next"
    for start in range(0, len(data), step):
        if not body.is_ended:
            found += body.feed(data[start : start + step])
    assert found == b"hello world"
    assert body.is_ended
    assert b"next".startswith(body.rest)


def test_trailers() -> None:
    """But for those of the connection."""
    body = Body(CHUNKED)
    body.feed(b"0\r\nX-A: 1\r\nTE: x\r\nx-a:2\r\n\r\n")
    assert body.trailers == [(b"x-a", b"1"), (b"x-a", b"2")]


@pytest.mark.parametrize(
    ("lines", "has_trailers"),
    [
        pytest.param([b"Trailer: X", b"Transfer-Encoding: chunked"], True, id="announced"),
        pytest.param([b"Transfer-Encoding: chunked"], False, id="not-announced"),
        pytest.param([b"Trailer: X", b"Content-Length: 5"], False, id="length"),
    ],
)
def test_whether_trailers_are_to_come(lines: list[bytes], has_trailers: bool) -> None:
    assert read(head(*lines)).has_trailers is has_trailers


def test_within_a_chunk() -> None:
    """A part of one is passed on as it came."""
    body = Body(CHUNKED)
    assert body.feed(b"64\r\n") == b""
    part = b"x" * 50
    assert body.feed(part) is part
    assert body.feed(b"x" * 50 + b"\r\n0\r\n\r\n") == b"x" * 50
    assert body.is_ended


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"x\r\n", id="no-number"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"0x5\r\n", id="prefixed"),
        pytest.param(b"5\n", id="bare-lf"),
        pytest.param(b"5;a\n\r\n", id="lf-in-extension"),
        pytest.param(b"5\r\nhelloX", id="too-long"),
        pytest.param(b"5\r\nhello\n", id="bare-lf-after"),
        pytest.param(b"F" * 16 + b"\r\n", id="huge"),
        pytest.param(b"5;" + b"a" * 5000, id="endless-extension"),
        pytest.param(b"0\r\nX : 1\r\n\r\n", id="trailer-with-space"),
        pytest.param(b"0\r\nContent-Length: 0\r\n\r\n", id="trailer-with-length"),
        pytest.param(b"0\r\nX: \x01\r\n\r\n", id="trailer-with-control"),
        pytest.param(b"0\r\n" + b"X: 1\r\n" * 30_000, id="endless-trailers"),
    ],
)
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(ProxyError):
        Body(CHUNKED).feed(data)


def test_a_length() -> None:
    """What comes after it belongs to nobody."""
    body = Body(5)
    assert body.feed(b"he") == b"he"
    assert not body.is_ended
    assert body.feed(b"llo, world") == b"llo"
    assert (body.is_ended, body.rest) == (True, b", world")


def test_until_the_end() -> None:
    body = Body(UNTIL_END)
    assert body.feed(b"x") == b"x"
    body.end()
    assert body.is_ended


@pytest.mark.parametrize("framing", [5, CHUNKED], ids=["length", "chunked"])
def test_an_end_before_the_end(framing: int) -> None:
    with pytest.raises(ProxyError, match="ended before the body"):
        Body(framing).end()


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"content-length: ",
        b"transfer-encoding: chunked",
        b"\r\n",
        b"\n",
        b"\r",
        b"3",
        b"5",
        b"0",
        b"x: y",
        b":",
        b" ",
        b"\x00",
        b"abc",
        b"a",
        b";",
        b"connection: close",
        b"trailer: x",
        b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 204 x\r\n",
    ]
)


@given(st.integers(0, 7), st.lists(PIECES, max_size=14).map(b"".join))
def test_what_is_read_is_what_h11_reads(first: int, pieces: bytes) -> None:
    """Whatever is taken for a response, a reader of another make takes for the same."""
    upstream(bytes([first]) + pieces)
