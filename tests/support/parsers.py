"""What must be true of every parser, whatever it is given: `scripts/fuzz parsers` has atheris look
for bytes for which it is not, and `test_parsers.py` Hypothesis.

Each function here takes bytes that anybody may send or write. It fails if the parser raises what it
does not promise to, or answers what cannot be.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import h11
from starlette.types import Message, Receive, Scope, Send

from mountkit import (
    Accept,
    Cookie,
    CookiePathMiddleware,
    ForwardedMiddleware,
    Mount,
    PatternError,
    Query,
    RedirectMiddleware,
    Table,
)
from mountkit.exceptions import ImproperResponseError
from mountkit.locations import (
    ascii_location,
    cut_raw_path,
    encode_path,
    slash_location,
)
from mountkit.matching.hosts import HostPattern, host_of_value, parse_host, plain_name
from mountkit.matching.paths import PathPattern
from mountkit.matching.tables import Refusal
from mountkit.middleware.headers import checked_accept, checked_start
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.responses import Body, read_head
from mountkit.wsgi.environs import environ_of
from tests.support.scopes import scope_of

CONTROLS = frozenset((*range(0x20), 0x7F)) - {0x09}


def host_header(data: bytes) -> None:
    """A host has one normal form, and the quick way reads what the careful one does."""
    text = data.decode("latin-1")
    parsed = parse_host(text)
    quick = plain_name(data)
    if quick is not None:
        assert parsed == (quick, None)
    if parsed is None:
        return
    host, port = parsed
    assert host == host.lower()
    assert host.isascii()
    assert not set(host) & set(" /?#@\\%,")
    assert port is None or 0 <= port <= 65535
    assert parse_host(host) == (host, None), "The normal form is not normal."
    again = host_of_value(data, {"scheme": "https"})
    assert again == (host, 443 if port is None else port)


def host_pattern(data: bytes) -> None:
    """What can be written is matched without an error; one without placeholders matches itself."""
    written, _, asked = data.decode("utf-8", "replace").partition("\n")
    try:
        pattern = HostPattern(written)
    except PatternError:
        return
    request = parse_host(asked)
    params = pattern.match(request)
    assert params is None or set(params) == set(pattern.names)
    if pattern.host is not None:
        own = parse_host(str(pattern.format({})))
        assert own == (pattern.host, pattern.port)
        assert pattern.match(own) == {}
    elif params is not None and request is not None and not pattern.star:
        assert pattern.match(parse_host(str(pattern.format(params)))) is not None


def path_pattern(data: bytes) -> None:
    """What is taken is a prefix of the path, up to the boundary of a segment."""
    written, _, asked = data.decode("utf-8", "replace").partition("\n")
    for exact in (False, True):
        try:
            pattern = PathPattern(written, exact=exact)
        except PatternError:
            return
        rest = "/" + asked
        found = pattern.match(rest)
        if found is None:
            continue
        prefix, params = found
        assert rest.startswith(prefix)
        assert not prefix.endswith("/")
        assert rest[len(prefix) :][:1] in ("", "/")
        assert set(params) == set(pattern.convertors)
        assert not exact or not rest[len(prefix) :].strip("/")


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that is never asked."""


_TABLE: Table[Mount] = Table(
    [
        Mount("/a", _nobody),
        Mount("/a/b", _nobody),
        Mount("/a/{x}/c", _nobody),
        Mount("/é", _nobody),
        Mount("/%2F", _nobody),
        Mount("/p/{rest:path}/end", _nobody),
        Mount("/a", _nobody, host="{tenant}.a.com", headers={"v": "1"}),
    ]
)


def target(data: bytes) -> None:
    """A target gets one mount, for all who may read it, or is refused."""
    raw_path, _, more = data.partition(b"?")
    query_string, _, host = more.partition(b"?")
    try:
        raw_path.decode()
    except UnicodeDecodeError:  # servers refuse it
        return
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    hosts = [(b"host", host), (b"v", b"1")]
    scope = scope_of(path, raw_path=raw_path, query_string=query_string) | {"headers": hosts}
    found = _TABLE.decide(scope)
    if found is None or isinstance(found, Refusal):
        return
    mount, root_path, prefix, rest = found.mount, found.root_path, found.prefix, found.rest
    assert root_path + prefix + rest == path
    assert not set(path.encode("utf-8", "surrogatepass")) & (CONTROLS | {0x09})
    child, _ = mount.preview(found, scope)
    assert child["path"].startswith(child["root_path"])
    cut = cut_raw_path(raw_path, root_path + prefix, rest)
    spelled = unquote_to_bytes(cut).decode("utf-8", "replace")
    assert spelled in (rest, unquote(encode_path(rest)))
    assert b"#" not in raw_path


def location(data: bytes) -> None:
    """A redirect to the same path with a slash stays where it is."""
    raw_path, _, query_string = data.partition(b"?")
    path = "/" + unquote(raw_path.decode("latin-1"))
    there = urlsplit(slash_location(path, query_string))
    assert (there.scheme, there.netloc) == ("", "")
    encoded = ascii_location(data)
    assert encoded.isascii()
    assert CONTROLS.intersection(encoded) <= CONTROLS.intersection(data)


async def _receive() -> Message:
    return {"type": "http.request"}


def _driven(app: Any, scope: Scope, send: Send) -> None:
    """Call an app that waits for nothing."""
    call = app(scope, _receive, send)
    try:
        call.send(None)
    except StopIteration:
        return
    raise AssertionError("It waits.")


def forwarded(data: bytes) -> None:
    """What a trusted proxy says is a proper host, scheme, prefix and address, or a 400."""
    names = (b"forwarded", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix")
    lines = data.split(b"\n")
    headers = list(zip((*names, b"x-forwarded-for", b"forwarded"), lines, strict=False))
    for believes_forwarded in (False, True):
        seen: list[Scope] = []
        sent: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send, seen: list[Scope] = seen) -> None:
            seen.append(scope)

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        middleware = ForwardedMiddleware(app, trusted=["192.0.2.1"], forwarded=believes_forwarded)
        scope = scope_of("/x") | {"headers": [(b"host", b"a.com"), *headers]}
        _driven(middleware, scope, send)
        if not seen:
            assert sent[0]["status"] == 400
            continue
        [scope] = seen
        assert not {name for name, _ in scope["headers"]} & set(names)
        [host] = [value for name, value in scope["headers"] if name == b"host"]
        assert parse_host(host.decode("latin-1")) is not None
        assert scope["scheme"] in ("http", "https")
        root_path = scope["root_path"]
        assert not root_path or (root_path[0] == "/" and root_path[1:2] not in ("", "/"))
        assert not {".", "..", ""} & set(root_path.split("/")[1:])


_ACCEPT = Accept("application/json", "text/html;level=1", wildcard=True)


def conditions(data: bytes) -> None:
    """What a condition reads of a request holds or does not; nothing else comes of it."""
    scope = scope_of("/", query_string=data) | {"headers": [(b"accept", data), (b"cookie", data)]}
    assert 0 <= _ACCEPT.quality(scope) <= 1
    for name in ("a", "c"):
        for condition in (Cookie(name), Query(name)):
            assert condition.matches(scope) == bool(condition.values(scope))
            for value in condition.values(scope):
                exact = type(condition)(name, value)
                assert exact.matches(scope) == (set(condition.values(scope)) == {value})


def response(data: bytes) -> None:
    """What goes out holds nothing that begins another header or response."""
    pairs = [tuple(line.split(b":", 1)) for line in data.split(b"\n\n")]
    message: Message = {"type": "http.response.start", "status": 200, "headers": pairs}

    def start() -> Message:
        return checked_start(message)[0]

    def accept() -> Message:
        return checked_accept(message)

    for check in (start, accept):
        try:
            checked = check()
        except ImproperResponseError:
            continue
        lengths = []
        for name, value in checked["headers"]:
            assert name
            assert not set(name) & (CONTROLS | set(b" :\t"))
            assert not CONTROLS.intersection(value)
            if name.lower() == b"content-length":
                assert value.isdigit()
                lengths.append(value)
        # A handshake that is accepted has no body that a length could divide.
        assert check is accept or len(lengths) <= 1


def mended(data: bytes) -> None:
    """A redirect and a cookie that are mended lead below the prefix, or where they led before."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"location", data), (b"set-cookie", data)]
        await send({"type": "http.response.start", "status": 302, "headers": headers})

    async def send(message: Message) -> None:
        sent.append(message)

    scope = scope_of("/sub/x", host="a.com", root_path="/sub")
    _driven(RedirectMiddleware(CookiePathMiddleware(app)), scope, send)
    (_, new_location), (_, cookie) = sent[0]["headers"]
    assert new_location == data or b"/sub" in new_location
    assert cookie.split(b";")[0] == data.split(b";")[0]


def environ(data: bytes) -> None:
    """A WSGI app gets texts of latin-1, and no variable of a header that it cannot tell apart."""
    raw_path, _, more = data.partition(b"?")
    query_string, _, lines = more.partition(b"?")
    headers = [
        (name.lower(), value) for name, _, value in (x.partition(b":") for x in lines.split(b"\n"))
    ]
    scope = scope_of(
        "/sub/" + unquote(raw_path.decode("latin-1")), root_path="/sub", query_string=query_string
    ) | {"headers": headers}
    found = environ_of(scope, io.BytesIO())
    for name, value in found.items():
        if name.startswith("HTTP_") or name in ("PATH_INFO", "SCRIPT_NAME", "QUERY_STRING"):
            value.encode("latin-1")
    assert found["SCRIPT_NAME"] == "/sub"
    assert "HTTP_PROXY" not in found


# What bytes of 0x80 and above stand for: a fuzzer does not come upon it by itself.
_WORDS = (
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 x\r\n\r\n",
        b"HTTP/1.1 204 x\r\n",
        b"\r\n",
        b"\r\n\r\n",
    ),
    *(b"content-length: 3\r\n", b"content-length: ", b"transfer-encoding: chunked\r\n", b"\xe9"),
    *(
        b"connection: close\r\n",
        b"trailer: x\r\n",
        b"x: y\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"abc",
    ),
)


def upstream(data: bytes) -> None:
    """What a proxy takes for a response, a reader of another make takes for the same; and however
    the bytes are cut, it is the same."""
    first = data[0] if data else 0
    method = "HEAD" if first % 2 else "GET"
    parts = [_WORDS[one % len(_WORDS)] if one >= 0x80 else bytes([one]) for one in data[1:]]
    data = b"HTTP/1.1 %d x\r\n" % (200, 103, 204, 304)[first // 2 % 4] + b"".join(parts)
    whole, cut = _read(data, method, len(data)), _read(data, method, 1)
    if whole is None:
        # What comes together with a head that has no body is seen at once.
        assert cut is None or cut[2]
        return
    assert whole == cut
    status, body, rest = whole
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    peer.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data)
    if not rest:
        peer.receive_data(b"")
    read = b""
    while type(event := peer.next_event()) is not h11.EndOfMessage:
        if isinstance(event, h11.Response):
            assert event.status_code == status
        elif isinstance(event, h11.Data):
            read += event.data
    assert (read, peer.trailing_data[0]) == (body, rest)


def _read(data: bytes, method: str, step: int) -> tuple[int, bytes, bytes] | None:
    """The status, the body and what is left; `None` if that is no response, or not all of one."""
    pending, body = b"", None
    read = b""
    try:
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            pending += piece
            while body is None and (found := read_head(pending, method)) is not None:
                head, pending = found
                if head.status == 101:
                    return None
                if head.status >= 200:
                    body = Body(head.framing)
                    status = head.status
            if body is not None and pending:
                if body.is_ended:
                    body.rest += pending
                else:
                    read += body.feed(pending)
                pending = b""
        if body is None:
            return None
        if not body.is_ended:
            body.end()
    except ProxyError:
        return None
    return status, read, body.rest


PARSERS: dict[str, Callable[[bytes], None]] = {
    check.__name__: check
    for check in (
        *(host_header, host_pattern, path_pattern, target, location, forwarded, conditions),
        *(response, mended, environ, upstream),
    )
}
