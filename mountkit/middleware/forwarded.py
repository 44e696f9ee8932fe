"""What a proxy says about the request that it has received: host, scheme, prefix, client."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import PatternError
from mountkit.matching.hosts import parse_host

logger: logging.Logger = logging.getLogger("mountkit")

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss"), "ws": ("http", "ws")}
_SCHEMES["wss"] = _SCHEMES["https"]
# Frameworks would apply these once more: NiceGUI doubles a prefix, Bottle and Gradio make URLs from
# any host in them. Proxies pass `Script-Name` on from their clients.
_APPLIED = {b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto", b"forwarded"}
_APPLIED |= {b"script-name", b"x-script-name"}
_UNTRUSTED = _APPLIED | {b"x-forwarded-for", b"x-forwarded-port"}
# RFC 7239, section 4, and the white space that many proxies write around ";".
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TEXT = r"[^\x00-\x08\x0a-\x1f\x7f]"
_QUOTED = rf'"(?:(?!["\\]){_TEXT}|\\{_TEXT})*"'
_PAIR = re.compile(rf"[ \t]*+(?:({_TOKEN})=({_TOKEN}|{_QUOTED}))?[ \t]*+([;,]|\Z)")
# RFC 7239, section 6: an address (in brackets if it has colons), or a name that hides it; a port.
_NODE = re.compile(
    r"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\]|unknown|_[A-Za-z0-9._-]+)"
    r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?",
    re.IGNORECASE,
)


@dataclass
class _Said:
    """What proxies say about a request; `None` where they say nothing, and `client=""` if they do
    not know the client or hide it."""

    host: str | None = None
    scheme: str | None = None
    client: str | None = None

    def agrees_with(self, other: _Said) -> bool:
        """Whether `other` says all that is said here."""
        if self.host is not None and parse_host(self.host) != parse_host(other.host or ""):
            return False
        return self.scheme in (None, other.scheme) and self.client in (None, other.client)


class _Improper(Exception):
    """A header has a value that a proxy does not send."""


class ForwardedMiddleware:
    """Applies what trusted proxies say about a request: its host, scheme, prefix and client.

        app = ForwardedMiddleware(dispatcher, trusted=["10.0.0.0/8"])

    It stands in front of a dispatcher, so that mounts are chosen by the outer host and prefix. The
    app sees none of these headers: neither those that were applied, because some frameworks would
    apply them again, nor any from an untrusted peer.

    A trusted proxy has to send one value of each, a valid host, `http` or `https`, and a prefix of
    plain segments. Anything else gets 400, because a client has sent it through the proxy. In
    `X-Forwarded-For`, a list, the last address that is not a trusted proxy is the client. Do not
    trust a proxy that passes these headers on from its clients: it has to set or remove them. The
    prefix, from `X-Forwarded-Prefix`, goes before the `root_path`, whether the proxy strips it from
    the path or not.

    Turn the server's own handling of these headers off (`uvicorn --no-proxy-headers`): it replaces
    the address of the proxy, which is then not trusted.

    Args:
        app: any ASGI app.
        trusted: addresses and networks of proxies.
        forwarded: your proxies send `Forwarded` (RFC 7239), so that host, scheme and client are
            those that the outermost trusted proxy says there, and an `X-Forwarded-Host`, `-Proto`
            or `-For` that differs gets 400. By default `Forwarded` has no effect.

    Raises:
        PatternError: one of `trusted` is not an address or a network.
    """

    def __init__(self, app: ASGIApp, *, trusted: Iterable[str], forwarded: bool = False) -> None:
        self.app = app
        self.trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(map(_network, trusted))
        self.forwarded = forwarded
        self._has_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            address, port = scope.get("client") or ("", 0)
            is_trusted = self._trusts(address)
            if is_trusted and port == 0:
                self._warn(address)
                is_trusted = False
            if is_trusted:
                try:
                    self._apply(scope)
                except _Improper:
                    await answer(400, scope, receive, send)
                    return
            removed = _APPLIED if is_trusted else _UNTRUSTED
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in removed]
        await self.app(scope, receive, send)

    def _warn(self, address: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "ForwardedMiddleware does not trust %s: it has no port, so the server has replaced "
                "the peer's address. Turn its own handling of proxy headers off, for example with "
                "uvicorn --no-proxy-headers.",
                address,
            )

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        # An IPv4 peer of a dual-stack socket is ::ffff:10.0.0.1 (RFC 4291, section 2.5.5.2).
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self.trusted)

    def _apply(self, scope: Scope) -> None:
        """Change the scope; leave it as it is if `_Improper` is raised."""
        values: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            if name == b"forwarded" or name.startswith(b"x-forwarded-"):
                values.setdefault(name, []).append(value.decode("latin-1").strip())
        said = self._said_by_x_forwarded(values)
        if self.forwarded:
            found = self._said_by_forwarded(values.get(b"forwarded", []))
            if not said.agrees_with(found):
                raise _Improper
            said = found
        prefix = (_only(values, b"x-forwarded-prefix") or "").rstrip("/")
        if prefix and not _PREFIX.fullmatch(prefix):
            raise _Improper
        if said.host is not None:
            headers = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope["headers"] = [(b"host", said.host.encode("latin-1")), *headers]
        if said.scheme is not None:
            scope["scheme"] = _SCHEMES[said.scheme][scope["type"] == "websocket"]
        if prefix:
            scope["root_path"] = prefix + scope.get("root_path", "")
        if said.client is not None:
            scope["client"] = (said.client, 0) if said.client else None

    def _said_by_x_forwarded(self, values: dict[bytes, list[str]]) -> _Said:
        addresses = values.get(b"x-forwarded-for")
        return _Said(
            _proper_host(_only(values, b"x-forwarded-host")),
            _proper_scheme(_only(values, b"x-forwarded-proto")),
            None if addresses is None else self._client(", ".join(addresses).split(",")),
        )

    def _client(self, addresses: list[str]) -> str:
        """The last address that is not a trusted proxy; the first if all are."""
        for address in reversed(addresses):
            if not self._trusts(address.strip()):
                return _proper_address(address.strip())
        return _proper_address(addresses[0].strip())

    def _said_by_forwarded(self, values: list[str]) -> _Said:
        """What the outermost trusted proxy says. Each adds an element at the end, with the address
        of its peer; what it does not say is taken from the next proxy."""
        said = _Said()
        for element in reversed([element for value in values for element in _elements(value)]):
            said.host = _proper_host(element.get("host")) or said.host
            said.scheme = _proper_scheme(element.get("proto")) or said.scheme
            node = element.get("for")
            if node is None:
                break
            said.client = _proper_node(node)
            if not self._trusts(said.client):
                break
        return said


def _elements(value: str) -> Iterator[dict[str, str]]:
    """The elements of a `Forwarded` header, with parameter names in lower case."""
    element: dict[str, str] = {}
    position = 0
    while True:
        match = _PAIR.match(value, position)
        if match is None:
            raise _Improper
        name, text, end = match.groups()
        if name is not None:
            if name.lower() in element:
                raise _Improper
            is_quoted = text[0] == '"'
            element[name.lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if is_quoted else text
        if end != ";":
            yield element
            element = {}
        if not end:
            return
        position = match.end()


def _only(values: dict[bytes, list[str]], name: bytes) -> str | None:
    """The one value of a header."""
    found = values.get(name)
    if found is None:
        return None
    if len(found) > 1:  # one of them may be the client's
        raise _Improper
    return found[0]


def _proper_host(host: str | None) -> str | None:
    if host is not None and parse_host(host) is None:
        raise _Improper
    return host


def _proper_scheme(scheme: str | None) -> str | None:
    if scheme is not None and scheme.lower() not in _SCHEMES:
        raise _Improper
    return scheme and scheme.lower()


def _proper_address(address: str) -> str:
    try:
        return str(ip_address(address))
    except ValueError:
        raise _Improper from None


def _proper_node(node: str) -> str:
    """The address of a node; `""` if it is unknown or hidden."""
    match = _NODE.fullmatch(node)
    if match is None:
        raise _Improper
    address: str | None = match["v4"] or match["v6"]
    return "" if address is None else _proper_address(address)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as exc:
        raise PatternError(
            f"Trusted proxy {text!r} is not an address or a network: {exc}; write '10.0.0.0/8'."
        ) from exc
