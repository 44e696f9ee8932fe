"""What is sent to an upstream: the head of a request, made of a scope."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from starlette.types import Scope

from mountkit.locations import cut_raw_path, encode_path
from mountkit.middleware.forwarded import is_of_proxies
from mountkit.proxy.errors import ProxyError
from mountkit.proxy.responses import CHUNKED, HOP_BY_HOP, Headers, named_by_connection
from mountkit.proxy.targets import Target

#: Safe to send twice (RFC 9110, section 9.2.1).
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: The length of a body that only its first message tells, as in HTTP/2 without a length.
UNKNOWN: Final = -3

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[!\"$-~]*")  # what can be printed, but for "#"
_QUERY = re.compile(rb"[!\"$-~]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]+")
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})
# What this module says itself, or what must not be passed on. A body that is held back until the
# upstream says `100 Continue` would be held until its answer.
_OWN = HOP_BY_HOP | {b"host", b"content-length", b"cookie", b"expect", b"http2-settings"}
_OF_HANDSHAKE = frozenset(
    b"sec-websocket-" + name for name in (b"accept", b"extensions", b"key", b"protocol", b"version")
)
# What this module reads.
_READ = (b"host", b"content-length", b"transfer-encoding", b"cookie", b"te")
_PASS, _DROP, _INVALID = range(3)


@dataclass(frozen=True)
class Rules:
    """What is said to upstreams; see `Proxy`."""

    host: str
    strip_prefix: bool
    forwarded: Literal["x-forwarded", "forwarded"] | None


@dataclass(slots=True)
class Request:
    """What is sent.

    Attributes:
        lines: of the head, but for the target, the host and the framing.
        host: that the client has asked; `None` if it named none.
        length: of the body in bytes; `CHUNKED`, or `UNKNOWN` before the first message.
        key: of a websocket's handshake.
        takes_trailers: the client and the server in front do.
        takes_hints: the server in front takes early hints (RFC 8297).
    """

    method: str
    path: bytes
    host: bytes | None
    lines: list[bytes]
    length: int
    key: bytes = b""
    takes_trailers: bool = False
    takes_hints: bool = False

    def head(self, target: Target, host: str) -> bytes:
        """The bytes to send to one of the upstreams.

        Args:
            host: see `Proxy`.
        """
        base, authority = target.base.encode("ascii"), target.authority.encode("ascii")
        if host == "keep":
            authority = authority if self.host is None else self.host
        elif host != "replace":
            authority = host.encode("ascii")
        method = self.method.encode("ascii")
        first = [b"%b %b%b HTTP/1.1" % (method, base, self.path), b"host: " + authority]
        if self.length == CHUNKED:
            first.append(b"transfer-encoding: chunked")
        elif self.length or self.method not in SAFE:
            first.append(b"content-length: %d" % self.length)
        return b"\r\n".join([*first, *self.lines, b"", b""])


def request_of(scope: Scope, rules: Rules) -> Request:
    """What is sent for a request or a websocket.

    Raises:
        ProxyError: with 400 or 501: it can be read in several ways, or cannot be passed on.
    """
    is_socket = scope["type"] == "websocket"
    method = "GET" if is_socket else scope["method"]
    if method == "CONNECT" or not _TOKEN.fullmatch(method.encode("latin-1")):
        raise ProxyError(501 if method == "CONNECT" else 400, f"The method is {method!r}.")
    lines, own = _sorted(scope["headers"], is_socket=is_socket)
    hosts = own[b"host"]
    if len(hosts) > 1:
        raise ProxyError(400, "The request names two hosts.")
    length = _length(own, scope.get("http_version", "1.1"))
    if is_socket and (length > 0 or length == CHUNKED):
        raise ProxyError(400, "A websocket's handshake has no body.")
    path, prefix = _path(scope, rules)
    lines += _forwarded(scope, rules, hosts[0] if hosts else b"", prefix)
    said = b"".join([*lines, *hosts])
    if len(said.translate(None, _CONTROLS)) != len(said):
        raise ProxyError(400, "A header of the request has a control character.")
    request = Request(method, path, hosts[0] if hosts else None, lines, length)
    if is_socket:
        request.length = 0
        _add_handshake(request, scope)
    elif extensions := scope.get("extensions"):
        request.takes_hints = "http.response.early_hint" in extensions
        if "http.response.trailers" in extensions and b"trailers" in own[b"te"]:
            request.takes_trailers = True
            request.lines += [b"connection: te", b"te: trailers"]
    return request


def _sorted(headers: Headers, *, is_socket: bool) -> tuple[list[bytes], dict[bytes, list[bytes]]]:
    """The lines of the headers that are passed on, and the values of those that are read here."""
    named = named_by_connection(headers)
    lines: list[bytes] = []
    own: dict[bytes, list[bytes]] = {name: [] for name in _READ}
    for name, value in headers:
        verdict = _verdict(name)
        if verdict == _PASS:
            if name not in named and not (is_socket and name in _OF_HANDSHAKE):
                lines.append(b"%b: %b" % (name, value))
        elif verdict == _INVALID:
            raise ProxyError(400, f"The header {name!r} has no valid name.")
        elif name in own:
            own[name].append(value)
    if own[b"cookie"] and b"cookie" not in named:  # HTTP/2 has several (RFC 9113, section 8.2.3)
        lines.append(b"cookie: " + b"; ".join(own[b"cookie"]))
    return lines, own


@lru_cache(1000)
def _verdict(name: bytes) -> int:
    """Which headers are passed on.

    Not those with "_", as in nginx: CGI and WSGI apps take them for those with "-", which a layer
    or a proxy may have set after it had removed the client's.
    """
    if not _TOKEN.fullmatch(name) or name != name.lower():
        return _INVALID
    return _DROP if name in _OWN or b"_" in name or is_of_proxies(name) else _PASS


def _length(own: dict[bytes, list[bytes]], version: str) -> int:
    """RFC 9112, section 6.3: what two readers may read in two ways is refused."""
    lengths, codings = own[b"content-length"], own[b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise ProxyError(400, "The request says more than once how long its body is.")
    if codings:
        if codings[0].strip().lower() != b"chunked":
            raise ProxyError(501, f"The transfer coding {codings[0]!r} is not known.")
        return CHUNKED
    if lengths:
        if not _LENGTH.fullmatch(lengths[0]):
            raise ProxyError(400, f"The length of the request is {lengths[0]!r}.")
        return int(lengths[0])
    return 0 if version.startswith("1") else UNKNOWN


def _path(scope: Scope, rules: Rules) -> tuple[bytes, str]:
    """The target as the client has sent it, or its part below the prefix; and the prefix that was
    cut off."""
    raw = (scope.get("raw_path") or b"").partition(b"?")[0]
    prefix = ""
    if rules.strip_prefix and (prefix := scope.get("root_path", "").rstrip("/")):
        rest = scope["path"].removeprefix(prefix)
        cut = cut_raw_path(raw, prefix, rest)
        if not raw.endswith(cut):  # it was made anew, and may lack what the client has encoded
            raise ProxyError(400, f"The prefix {prefix!r} cannot be cut off {raw!r}.")
        raw = cut or b"/"
    if not _TARGET.fullmatch(raw):
        raise ProxyError(400, f"The target {raw!r} is not the path of a URL.")
    query = scope.get("query_string", b"")
    if not query:
        return raw, prefix
    if not _QUERY.fullmatch(query):
        raise ProxyError(400, f"The query {query!r} is not that of a URL.")
    return b"%b?%b" % (raw, query), prefix


def _forwarded(scope: Scope, rules: Rules, host: bytes, prefix: str) -> list[bytes]:
    """What a proxy says of its client. What the client has said of itself was dropped."""
    if rules.forwarded is None:
        return []
    client = (scope.get("client") or ("",))[0] or ""
    client = client if _ADDRESS.fullmatch(client) else ""  # none on a unix socket
    scheme = b"https" if scope.get("scheme") in ("https", "wss") else b"http"
    if rules.forwarded == "forwarded":
        node = f'"[{client}]"' if ":" in client else client or "unknown"
        said = b"forwarded: for=%b;proto=%b" % (node.encode("ascii"), scheme)
        quoted = re.sub(rb'(["\\])', rb"\\\1", host)
        return [said + b';host="%b"' % quoted if host else said]
    lines = [b"x-forwarded-proto: " + scheme]
    if client:
        lines.append(b"x-forwarded-for: " + client.encode("ascii"))
    if host:
        lines.append(b"x-forwarded-host: " + host)
    if prefix:
        lines.append(b"x-forwarded-prefix: " + encode_path(prefix).encode("ascii"))
    return lines


def _add_handshake(request: Request, scope: Scope) -> None:
    """RFC 6455, section 4.1. No extension is offered: each hop has its own."""
    request.key = base64.b64encode(os.urandom(16))
    offered = [*scope.get("subprotocols", ())]
    request.lines += [b"connection: Upgrade", b"upgrade: websocket", b"sec-websocket-version: 13"]
    request.lines.append(b"sec-websocket-key: " + request.key)
    if offered:
        request.lines.append(b"sec-websocket-protocol: " + ", ".join(offered).encode("latin-1"))
