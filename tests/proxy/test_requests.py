"""What is sent to an upstream."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Scope

from mountkit.proxy.errors import ProxyError
from mountkit.proxy.requests import UNKNOWN, Rules, request_of
from mountkit.proxy.responses import CHUNKED
from mountkit.proxy.targets import Target
from tests.support.scopes import scope_of

KEEP = Rules("keep", False, None)
TARGET = Target.parse("http://10.0.0.7:9000")
BASED = Target.parse("http://10.0.0.7:9000/base/")

Pairs = list[tuple[bytes, bytes]]


def scope(raw_path: bytes = b"/x", headers: Pairs | None = None, **how: Any) -> Scope:
    found = scope_of(**{"path": "/x", "host": "a.com", **how})
    found["raw_path"] = raw_path
    found["headers"] += headers or []
    return found


def sent(scope: Scope, rules: Rules = KEEP, target: Target = TARGET) -> list[bytes]:
    """The lines of the head."""
    return request_of(scope, rules).head(target, rules.host).split(b"\r\n")[:-2]


def refused(scope: Scope, rules: Rules = KEEP) -> int:
    with pytest.raises(ProxyError) as raised:
        request_of(scope, rules)
    return raised.value.status


@pytest.mark.parametrize(
    "target",
    [
        b"/a%2Fb",
        b"/a/../b",
        b"//a",
        b"/a/./",
        b"/a%00",
        b"/%c3%a4",
        b"/%ff",
        b"/a;b=c",
        b'/"<>|{}`^\\',
    ],
    ids=lambda target: target.decode(),
)
def test_the_target_is_that_of_the_client(target: bytes) -> None:
    """To the byte, whatever the decoded path may be."""
    assert sent(scope(target))[0] == b"GET " + target + b" HTTP/1.1"


def test_the_query_too() -> None:
    found = scope()
    found["query_string"] = b"a=%2f&b=;c"
    assert sent(found)[0] == b"GET /x?a=%2f&b=;c HTTP/1.1"


def test_a_raw_path_with_the_query() -> None:
    """As some servers have it."""
    found = scope(b"/x?a")
    found["query_string"] = b"a"
    assert sent(found)[0] == b"GET /x?a HTTP/1.1"


@pytest.mark.parametrize(
    "target",
    [
        *(b"", b"x", b"@127.0.0.1:1/x", b"http://a.com/x", b"*", b"/x#f", b"/a b", b"/a\tb"),
        *(b"/a\r\nX: y", b"/a\x00", b"/a\x7f", b"/\xc3\xa4"),
    ],
    ids=repr,
)
def test_what_is_no_target(target: bytes) -> None:
    """It is not mended: another reader might mend it in another way."""
    assert refused(scope(target)) == 400


def test_a_scope_without_a_raw_path() -> None:
    """What the client has sent cannot be told."""
    found = scope()
    del found["raw_path"]
    assert refused(found) == 400


@pytest.mark.parametrize("query", [b"a b", b"a#f", b"a\r\nX: y", b"\xe4"], ids=repr)
def test_what_is_no_query(query: bytes) -> None:
    found = scope()
    found["query_string"] = query
    assert refused(found) == 400


STRIP = Rules("keep", True, "x-forwarded")


@pytest.mark.parametrize(
    ("raw_path", "path", "target"),
    [
        pytest.param(b"/old/x", "/old/x", b"/x", id="plain"),
        pytest.param(b"/old", "/old", b"/", id="bare"),
        pytest.param(b"/old/", "/old/", b"/", id="slash"),
        pytest.param(b"/o%6Cd/a%2Fb", "/old/a/b", b"/a%2Fb", id="encoded-prefix"),
        pytest.param(b"/old//x", "/old//x", b"//x", id="empty-segment"),
        pytest.param(b"/old/../x", "/old/../x", b"/../x", id="dots"),
    ],
)
def test_a_prefix_is_cut_off(raw_path: bytes, path: str, target: bytes) -> None:
    """The rest stays as the client has sent it; the upstream is told of the prefix."""
    lines = sent(scope(raw_path, path=path, root_path="/old"), STRIP)
    assert lines[0] == b"GET " + target + b" HTTP/1.1"
    assert b"x-forwarded-prefix: /old" in lines


def test_a_prefix_that_cannot_be_cut_off() -> None:
    """A slash of it was encoded; what is made anew could lack what the client has encoded."""
    assert refused(scope(b"/a%2Fb/x%2Fy", path="/a/b/x/y", root_path="/a/b"), STRIP) == 400


def test_no_prefix() -> None:
    """There is none to be told of."""
    assert not [line for line in sent(scope(), STRIP) if b"prefix" in line]


def test_the_upstreams_own_path_goes_before() -> None:
    assert sent(scope(b"//x"), target=BASED)[0] == b"GET /base//x HTTP/1.1"


@pytest.mark.parametrize(
    ("rule", "line"),
    [("keep", b"a.com"), ("replace", b"10.0.0.7:9000"), ("b.com:1", b"b.com:1")],
)
def test_host(rule: str, line: bytes) -> None:
    found = sent(scope(), Rules(rule, False, None))
    assert [one for one in found if one.startswith(b"host:")] == [b"host: " + line]


def test_a_request_without_a_host() -> None:
    """As HTTP/1.0 has it, gets the upstream's."""
    assert b"host: 10.0.0.7:9000" in sent(scope(host=None))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"host", b"b.com")], id="two-hosts"),
        pytest.param([(b"x a", b"1")], id="space-in-name"),
        pytest.param([(b"x:a", b"1")], id="colon-in-name"),
        pytest.param([(b"", b"1")], id="no-name"),
        pytest.param([(b"X-A", b"1")], id="upper-case"),
        pytest.param([(b"x", b"1\r\ny: 2")], id="crlf"),
        pytest.param([(b"x", b"1\ny: 2")], id="lf"),
        pytest.param([(b"x", b"1\x00")], id="nul"),
        pytest.param([(b"content-length", b"5"), (b"content-length", b"5")], id="length-twice"),
        pytest.param(
            [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], id="length-and-coding"
        ),
        pytest.param([(b"content-length", b"5, 5")], id="length-list"),
        pytest.param([(b"content-length", b"+5")], id="length-signed"),
    ],
)
def test_headers_that_may_be_read_in_two_ways(headers: Pairs) -> None:
    assert refused(scope(headers=headers, method="POST")) == 400


def test_a_host_with_a_control_character() -> None:
    found = scope()
    found["headers"][0] = (b"host", b"a.com\r\nx: y")
    assert refused(found) == 400


@pytest.mark.parametrize(
    ("method", "status"), [("CONNECT", 501), ("G ET", 400), ("GET\r\nX: y", 400), ("", 400)]
)
def test_methods_that_are_not_passed_on(method: str, status: int) -> None:
    assert refused(scope(method=method)) == status


def test_a_coding_that_is_not_known() -> None:
    """RFC 9112, section 6.1."""
    assert refused(scope(headers=[(b"transfer-encoding", b"gzip, chunked")])) == 501


@pytest.mark.parametrize(
    ("headers", "length", "line"),
    [
        pytest.param([(b"content-length", b"5")], 5, b"content-length: 5", id="length"),
        pytest.param(
            [(b"transfer-encoding", b"Chunked")],
            CHUNKED,
            b"transfer-encoding: chunked",
            id="chunked",
        ),
        pytest.param([], 0, b"content-length: 0", id="none"),
    ],
)
def test_the_body(headers: Pairs, length: int, line: bytes) -> None:
    """Its framing is written anew."""
    found = request_of(scope(headers=headers, method="POST"), KEEP)
    assert found.length == length
    assert found.head(TARGET, "keep").split(b"\r\n").count(line) == 1


def test_a_get_without_a_body() -> None:
    """Says nothing of one."""
    assert not [line for line in sent(scope()) if b"length" in line or b"transfer" in line]


def test_http_2_without_a_length() -> None:
    """Only the first message tells."""
    assert request_of(scope(http_version="2", method="POST"), KEEP).length == UNKNOWN


def test_headers_pass_as_they_are() -> None:
    """Several of one name in their order, and bytes that are no ASCII."""
    headers = [(b"x-a", b"1"), (b"x-b", b"\xe9\xc3\xa9"), (b"x-a", b"2"), (b"cookie", b"a=b; c=d")]
    lines = [b"%b: %b" % pair for pair in headers]
    assert sent(scope(headers=headers))[2:] == lines


def test_several_cookies() -> None:
    """As in HTTP/2, become one (RFC 9113, section 8.2.3): a WSGI app would join them by commas."""
    cookies = [(b"cookie", b"a=b"), (b"x-a", b"1"), (b"cookie", b"c=d; e=f")]
    assert sent(scope(headers=cookies))[2:] == [b"x-a: 1", b"cookie: a=b; c=d; e=f"]


@pytest.mark.parametrize(
    ("te", "offered", "is_asked_for"),
    [
        (b"trailers", ["http.response.trailers"], True),
        (b"trailers", ["http.response.early_hint"], False),
        (b"gzip", ["http.response.trailers"], False),
    ],
    ids=["both-take-them", "the-server-does-not", "the-client-does-not"],
)
def test_trailers_are_asked_for(te: bytes, offered: list[str], is_asked_for: bool) -> None:
    found = scope(headers=[(b"te", te)], extensions={name: {} for name in offered})
    assert sent(found)[2:] == ([b"connection: te", b"te: trailers"] if is_asked_for else [])


def test_headers_that_are_not_passed_on() -> None:
    """Those of the connection, which `Connection` names in several lines; what a proxy alone may
    say, also spelled with "_"; and `Expect`, which would hold the body back."""
    headers = [
        *((b"connection", b""), (b"connection", b"x-auth-user, Upgrade"), (b"connection", b" X-B")),
        *((b"connection", b"cookie, host"), (b"cookie", b"a=b")),
        *(
            (b"x-auth-user", b"ada"),
            (b"x-b", b"1"),
            (b"upgrade", b"h2c"),
            (b"http2-settings", b"x"),
        ),
        *(
            (b"keep-alive", b"1"),
            (b"te", b"trailers"),
            (b"trailer", b"x"),
            (b"expect", b"100-continue"),
        ),
        *((b"proxy-connection", b"x"), (b"proxy-authorization", b"x")),
        *(
            (b"x-forwarded-for", b"1.2.3.4"),
            (b"x-forwarded-host", b"b.com"),
            (b"forwarded", b"for=1"),
        ),
        *((b"x_forwarded_for", b"1.2.3.4"), (b"x-real-ip", b"1.2.3.4"), (b"remote_user", b"ada")),
        (b"x-c", b"2"),
    ]
    assert sent(scope(headers=headers))[2:] == [b"x-c: 2"]


@pytest.mark.parametrize(
    ("rule", "how", "lines"),
    [
        pytest.param(
            "x-forwarded",
            {},
            [b"x-forwarded-proto: http", b"x-forwarded-for: 192.0.2.1", b"x-forwarded-host: a.com"],
            id="x-forwarded",
        ),
        pytest.param(
            "x-forwarded",
            {"host": None, "client": None, "scheme": "https"},
            [b"x-forwarded-proto: https"],
            id="x-forwarded-unknown",
        ),
        pytest.param(
            "forwarded", {}, [b'forwarded: for=192.0.2.1;proto=http;host="a.com"'], id="forwarded"
        ),
        pytest.param(
            "forwarded",
            {"client": ("2001:db8::1", 1), "scheme": "https", "host": 'a"b'},
            [b'forwarded: for="[2001:db8::1]";proto=https;host="a\\"b"'],
            id="forwarded-quoted",
        ),
        pytest.param(
            "forwarded",
            {"client": None, "host": None},
            [b"forwarded: for=unknown;proto=http"],
            id="forwarded-unknown",
        ),
        pytest.param(None, {}, [], id="nothing"),
    ],
)
def test_what_is_said_of_the_client(rule: Any, how: Any, lines: list[bytes]) -> None:
    """Once, and nothing of what it has said of itself; nor can it have that taken away."""
    headers = [(b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6")]
    headers.append((b"connection", b"forwarded, x-forwarded-for, x-forwarded-proto"))
    assert sent(scope(headers=headers, **how), Rules("keep", False, rule))[2:] == lines


def test_the_handshake_of_a_websocket() -> None:
    """Is a new one: extensions are those of one connection."""
    headers = [
        *((b"upgrade", b"websocket"), (b"sec-websocket-key", b"x")),
        (b"connection", b"Upgrade, host, sec-websocket-protocol"),
        *((b"sec-websocket-version", b"13"), (b"sec-websocket-extensions", b"permessage-deflate")),
        *((b"sec-websocket-protocol", b"a, b"), (b"origin", b"http://a.com"), (b"cookie", b"a=b")),
    ]
    found = request_of(scope(headers=headers, type="websocket", subprotocols=["a", "b"]), KEEP)
    assert found.head(TARGET, "keep").split(b"\r\n")[2:-2] == [
        *(b"origin: http://a.com", b"cookie: a=b", b"connection: Upgrade", b"upgrade: websocket"),
        b"sec-websocket-version: 13",
        b"sec-websocket-key: " + found.key,
        b"sec-websocket-protocol: a, b",
    ]


@pytest.mark.parametrize(
    "header",
    [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
    ids=["length", "chunked"],
)
def test_a_handshake_with_a_body(header: tuple[bytes, bytes]) -> None:
    """Could be another request."""
    assert refused(scope(headers=[header], type="websocket")) == 400
