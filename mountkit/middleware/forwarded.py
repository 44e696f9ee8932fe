"""What a proxy says about the request that it has received: host, scheme, prefix, client."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import PatternError
from mountkit.logs import forwarded as logger
from mountkit.matching.hosts import parse_host

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*/*")
_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
# Frameworks would apply these once more: NiceGUI doubles a prefix, Bottle and Gradio make URLs from
# any host in them. Proxies pass `Script-Name` on from their clients.
_APPLIED = {"x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "forwarded"}
_APPLIED |= {"script-name", "x-script-name"}
# What proxies say in all kinds of words: nginx, IIS, Cloudflare, Akamai, Envoy, WebLogic, …
_FAMILY = re.compile(
    r"(?:x-)?(?:forwarded(?:-.+)?|script-name)|x-original-.+|x-rewrite-url|x-(?:url-)?scheme|x-host"
    r"|(?:[a-z]+-)*(?:client|connecting|originating|real|remote|socket|(?:proxy)?user)"
    r"-?(?:ip|ipv6|addr|address)|x-envoy-(?:external-address|original-path)|x-http-host-override"
    r"|x-(?:external|ingress)-path|cf-visitor|front-end-https|x-arr-ssl|wl-proxy-ssl"
)
# RFC 7239, section 4, and the white space that many proxies write around ";".
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TEXT = r"[^\x00-\x08\x0a-\x1f\x7f]"
_QUOTED = rf'"(?:(?!["\\]){_TEXT}|\\{_TEXT})*"'
_PAIR = re.compile(rf"[ \t]*+(?:({_TOKEN})=({_TOKEN}|{_QUOTED}))?[ \t]*+([;,]|\Z)")
# RFC 7239, section 6: an address (in brackets if it has colons), or a name that hides it; a port.
_NODE = re.compile(
    r"(?:([0-9.]+)|\[([0-9a-f:.]+)\]|unknown|_[a-z0-9._-]+)(?::(?:[0-9]{1,5}|_[a-z0-9._-]+))?", re.I
)

_UNIX = {"unix", "unix:"}
_REPLACED = (
    "does not trust %s: it %s, so the server has replaced the peer's address. Turn its own "
    "handling of proxy headers off, for example with uvicorn --no-proxy-headers."
)


class ForwardedMiddleware:
    """Applies what trusted proxies say about a request: its host, scheme, prefix and client.

        app = ForwardedMiddleware(dispatcher, trusted=["10.0.0.0/8"])

    Put it in front of a dispatcher, so that the outer host and prefix choose the mount. The app
    sees none of these headers but a proxy's `X-Forwarded-For`: frameworks would apply them again,
    and other peers make them up.

    A trusted proxy has to send one value of each, a valid host, `http` or `https`, and a prefix of
    plain segments; anything else gets 400, because a client has sent it through the proxy. In
    `X-Forwarded-For`, a list, the last address that is not a trusted proxy is the client. The
    prefix, from `X-Forwarded-Prefix`, goes before the `root_path` unless the two are equal, whether
    the proxy strips it from the path or not.

    From other peers, every header in which proxies say such things is removed: all of
    `X-Forwarded-*`, `Forwarded`, `X-Real-IP`, `X-Script-Name`, `X-Original-URL`, `X-Rewrite-URL`,
    `Front-End-Https` and the like.

    Do not trust a proxy that passes these headers on from its clients: it has to set or remove
    them. Turn the server's own handling of them off (`uvicorn --no-proxy-headers`): it replaces the
    address of the proxy, which is then not trusted.

    Args:
        app: any ASGI app.
        trusted: addresses and networks of proxies, and `"unix"` for all peers without an address,
            as on a unix socket.
        forwarded: your proxies send `Forwarded` (RFC 7239), so that host, scheme and client are
            those that the outermost trusted proxy says there, and an `X-Forwarded-Host`, `-Proto`
            or `-For` that differs gets 400. By default `Forwarded` has no effect.

    Raises:
        PatternError: one of `trusted` is not an address or a network.
    """

    def __init__(self, app: ASGIApp, *, trusted: Iterable[str], forwarded: bool = False) -> None:
        if isinstance(trusted, str) or not isinstance(trusted, Iterable):
            fixed = [trusted] if isinstance(trusted, str) else ["10.0.0.0/8"]
            raise PatternError(f"trusted={trusted!r} is not a list; write trusted={fixed}.")
        self.app = app
        peers = list(trusted)
        self.trusts_unix: bool = not _UNIX.isdisjoint(peers)
        self.trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(
            _network(peer) for peer in peers if peer not in _UNIX
        )
        self.forwarded = forwarded
        self._warned: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            if "mountkit.site" in scope:
                self._warn(
                    "comes too late: the mount was chosen; put it in front of the dispatcher."
                )
            if any(_kind(name) for name, _ in scope["headers"]):
                least = 1
                if self._is_from_proxy(scope):
                    least = 2
                    try:
                        said = self._said(scope)
                    except ValueError as exc:
                        logger.debug("400: a proxy does not say %s.", exc)
                        await answer(400, scope, receive, send)
                        return
                    _apply(said, scope)
                scope["headers"] = [pair for pair in scope["headers"] if _kind(pair[0]) < least]
        await self.app(scope, receive, send)

    def _is_from_proxy(self, scope: Scope) -> bool:
        client: tuple[Any, ...] = tuple(scope.get("client") or ())
        address, port = str(client[0] or "") if client else "", client[1] if client[1:] else ""
        # uvicorn and hypercorn have no client then, granian has ("", "0"). In ("unix:", 0), as any
        # text with 0, uvicorn has put a header.
        if not address or (address.startswith("unix:") and not isinstance(port, int)):
            if not self.trusts_unix:
                self._warn(
                    "does not trust a peer without an address, as on a unix socket; write "
                    "trusted=['unix'] if only proxies can connect to it."
                )
            return self.trusts_unix
        reason = _replaced(address, str(port), scope)
        if reason:
            self._warn(_REPLACED, address, reason)
        return not reason and self._trusts(address.partition("%")[0])

    def _warn(self, text: str, *values: str) -> None:
        if text not in self._warned:  # each once
            self._warned.add(text)
            logger.warning(f"ForwardedMiddleware {text}", *values)

    def _trusts(self, text: str) -> bool:
        try:
            address = ip_address(_address(text))
        except ValueError:
            return False
        return any(address in network for network in self.trusted)

    def _said(self, scope: Scope) -> dict[str, str]:
        """What proxies say, by the names of RFC 7239 and "prefix"; see `_read`.

        Raises:
            ValueError: a header has a value that a proxy does not send.
        """
        values = Headers(scope=scope).getlist
        said: dict[str, str] = {}
        for name in ("host", "proto", "prefix"):
            if found := values(f"x-forwarded-{name}"):
                [text] = found  # of two, one may be the client's
                said[name] = _read(name, text.strip())
        if found := values("x-forwarded-for"):
            hops = [hop.strip() for hop in ",".join(found).split(",")]
            if self.trusts_unix:  # so nginx calls a peer without an address
                hops = [hop for hop in hops if hop != "unix:"]
            strangers = (hop for hop in reversed(hops) if not self._trusts(hop))
            said["for"] = _address(next(strangers, hops[0])) if hops else ""
        if self.forwarded:
            other = self._said_by_forwarded(values("forwarded"))
            if not _comparable(said) <= _comparable(other):
                raise ValueError(said, other)
            said |= other
        return said

    def _said_by_forwarded(self, values: list[str]) -> dict[str, str]:
        """What the outermost trusted proxy says. Each adds an element at the end, with the address
        of its peer; what it does not say is taken from the next proxy."""
        said: dict[str, str] = {}
        for element in reversed([element for value in values for element in _elements(value)]):
            known = element.keys() & {"host", "proto", "for"}
            said |= {name: _read(name, element[name]) for name in known}
            if "for" not in known or not self._trusts(said["for"]):
                break
        return said


def _apply(said: dict[str, str], scope: Scope) -> None:
    if "host" in said:
        headers = [pair for pair in scope["headers"] if pair[0] != b"host"]
        scope["headers"] = [(b"host", said["host"].encode("latin-1")), *headers]
    if "proto" in said:
        kind = "ws" if scope["type"] == "websocket" else "http"
        scope["scheme"] = said["proto"].replace("http", kind)
    root_path = scope.get("root_path", "")
    if said.get("prefix", root_path) != root_path:  # else the server was told the same
        scope["root_path"] = said["prefix"] + root_path
    if "for" in said:
        scope["client"] = (said["for"], 0) if said["for"] else None


def _comparable(said: dict[str, str]) -> set[object]:
    """What both families of headers can say."""
    pairs = [(name, text) for name, text in said.items() if name != "prefix"]
    return {(name, parse_host(text) if name == "host" else text) for name, text in pairs}


def _elements(value: str) -> Iterator[dict[str, str]]:
    """The elements of a `Forwarded` header, with parameter names in lower case."""
    element: dict[str, str] = {}
    position, end = 0, ","
    while end:
        match = _PAIR.match(value, position)
        if match is None:
            raise ValueError(value)
        name, text, end = match.groups()
        if name is not None:
            if name.lower() in element:
                raise ValueError(value)
            is_quoted = text[0] == '"'
            element[name.lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if is_quoted else text
        if end != ";":
            yield element
            element = {}
        position = match.end()


def _read(name: str, text: str) -> str:
    """What a proxy says, in one form; empty if it hides its client.

    Raises:
        ValueError: a proxy does not say this.
    """
    if name == "host" and parse_host(text):
        return text
    if name == "proto" and text.lower() in _SCHEMES:
        return _SCHEMES[text.lower()]
    if name == "prefix" and _PREFIX.fullmatch(text):
        return text.rstrip("/")
    if name == "for" and (node := _NODE.fullmatch(text)):
        return _address(text) if node[1] or node[2] else ""
    raise ValueError(text)


def _address(text: str) -> str:
    """An address without its port, if it has one.

    Raises:
        ValueError: it is none, or has a zone, which means something to one machine alone.
    """
    node = _NODE.fullmatch(text)
    address = ip_address((node[1] or node[2] or text) if node else text)
    if "%" in text:
        raise ValueError(text)
    # An IPv4 peer of a dual-stack socket is ::ffff:10.0.0.1 (RFC 4291, section 2.5.5.2).
    return str(getattr(address, "ipv4_mapped", None) or address)


def _replaced(address: str, port: str, scope: Scope) -> str:
    """How one sees that the server has put a header's address in the place of its peer's; uvicorn
    takes the port along. Empty if it has not."""
    hops = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")
    for host, _, text in (hop.strip().rpartition(":") for hop in hops):
        with suppress(ValueError):
            if host.strip("[]") == address and str(int(text)) == port:
                return "stands in a header"
    return "has no port" if port == "0" else ""


def is_of_proxies(name: bytes) -> bool:
    """Whether only a proxy may say this, in a header of this name."""
    return _kind(name) > 0


@lru_cache(1000)
def _kind(name: bytes) -> int:
    """0 for most headers, 1 for those that proxies send, 2 if frameworks would apply them again.
    CGI, and WSGI with it, do not tell "_" from "-"."""
    text = name.decode("latin-1").lower().replace("_", "-")
    if text in _APPLIED:
        return 2
    return 1 if _FAMILY.fullmatch(text) else 0


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError as exc:
        raise PatternError(
            f"Trusted proxy {text!r} is not an address or a network: {exc}; write '10.0.0.0/8'."
        ) from exc
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))
