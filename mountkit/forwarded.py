"""What a proxy says of the request that it has received: host, scheme, prefix, client.

Nobody is believed who is not named. Stands in front of a dispatcher, so that hosts and prefixes
are those of the outside when a mount is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import PatternError
from mountkit.hosts import parse_host

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss"), "ws": ("http", "ws")}
_SCHEMES["wss"] = _SCHEMES["https"]
# What frameworks would apply once more: NiceGUI doubles a prefix, Bottle and Gradio make their URLs
# of whatever host is said.
_USED_UP = frozenset(
    (
        *(b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto"),
        *(b"script-name", b"x-script-name"),  # a proxy passes them on from anybody
    )
)
_NOT_BELIEVED = _USED_UP | {b"forwarded", b"x-forwarded-for", b"x-forwarded-port"}


class ForwardedMiddleware:
    """Applies `X-Forwarded-Host`, `-Proto`, `-Prefix` and `-For` of proxies that you trust.

        app = ForwardedMiddleware(dispatcher, trusted=["10.0.0.0/8"])

    Headers of anybody else have no effect, on the mounted apps neither: they do not see them. Nor
    do they see those that were applied, as some would apply them again. Those of a proxy that is
    trusted have to be what they claim to be: one value each, a proper host, `http` or `https`, a
    prefix of plain segments; anything else is a 400, as somebody has put it there through the
    proxy. `X-Forwarded-For` may list addresses: the last one that is no trusted proxy is the
    client. A proxy has to set these headers or to remove them; one that passes them on from its
    clients is not to be trusted.

    The prefix goes before the `root_path`, whether the proxy has stripped it from the path or not.
    Do not use a server's own handling of these headers besides.

    Args:
        app: what stands behind it.
        trusted: addresses and networks of proxies.

    Raises:
        PatternError: one of them is none.
    """

    def __init__(self, app: ASGIApp, *, trusted: Iterable[str]) -> None:
        self.app = app
        self.trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(map(_network, trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            is_trusted = client is not None and self._trusts(client[0])
            if is_trusted and not self._apply(scope):
                await answer(400, scope, receive, send)
                return
            gone = _USED_UP if is_trusted else _NOT_BELIEVED
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in gone]
        await self.app(scope, receive, send)

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.trusted)

    def _apply(self, scope: Scope) -> bool:
        """Change the scope; `False` if a header is not what it claims to be."""
        found: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name.startswith(b"x-forwarded-"):
                if name in found and name != b"x-forwarded-for":
                    return False
                text = value.decode("latin-1").strip()
                found[name] = f"{found[name]}, {text}" if name in found else text
        host = found.get(b"x-forwarded-host")
        scheme = found.get(b"x-forwarded-proto")
        prefix = found.get(b"x-forwarded-prefix")
        if host is not None and parse_host(host) is None:
            return False
        if scheme is not None and scheme.lower() not in _SCHEMES:
            return False
        if prefix is not None:
            prefix = prefix.rstrip("/")
            if prefix and not _PREFIX.fullmatch(prefix):
                return False
        client = self._client(found.get(b"x-forwarded-for"))
        if client is not None and not client:
            return False
        if host is not None:
            headers = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1")), *headers]
        if scheme is not None:
            scope["scheme"] = _SCHEMES[scheme.lower()][scope["type"] == "websocket"]
        if prefix:
            scope["root_path"] = prefix + scope.get("root_path", "")
        if client:
            scope["client"] = (client, 0)
        return True

    def _client(self, addresses: str | None) -> str | None:
        """The last that is no proxy; the first if all are; `""` if one that counts is none."""
        if addresses is None:
            return None
        parts = [part.strip() for part in addresses.split(",")]
        for part in reversed(parts):
            if not self._trusts(part):
                try:
                    return str(ip_address(part))
                except ValueError:
                    return ""
        return parts[0]


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as exc:
        raise PatternError(
            f"Trusted proxy {text!r} is no address and no network: {exc}; write '10.0.0.0/8'."
        ) from exc
