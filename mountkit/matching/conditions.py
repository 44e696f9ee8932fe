"""The conditions on a request that `Mount` knows: header, cookie, query, method, host and others.

To add one, write it here, as a subclass of `matchers.Valued`.
"""

from __future__ import annotations

import ipaddress
import re
from abc import abstractmethod
from typing import Literal, TypeAlias

from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.foreign import check_method
from mountkit.matching.hosts import HostPattern, request_host
from mountkit.matching.matchers import Specificity, Valued
from mountkit.matching.readings import MAX_HEADERS, parse_cookies, parse_query

#: What a header, cookie or query parameter must be: this text; a text that the regular
#: expression matches as a whole; present (`True`); absent (`False` or `None`).
Wanted: TypeAlias = "str | re.Pattern[str] | bool | None"

#: Characters of a value that a regular expression is matched with; a longer one does not match.
MAX_VALUE_LENGTH = 1000

# RFC 9110, section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class _Value(Valued):
    """A named value, which a request may have any number of times.

    Two different values never satisfy a condition on the value: a client that smuggles in a second
    one does not choose the mount.
    """

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        is_bytes = isinstance(wanted, re.Pattern) and isinstance(wanted.pattern, bytes)
        if is_bytes or not isinstance(wanted, (str, re.Pattern, bool, type(None))):
            own = f"{type(self).__name__}({name!r}"
            fix = "a text, a compiled regular expression, True (present) or False (absent)"
            if isinstance(wanted, (list, tuple, set)):
                fix = " | ".join(f"{own}, {one!r})" for one in wanted) + " in when="
            raise PatternError(f"{own}) wants {wanted!r}; write {fix}.")
        self.name = name
        self.wanted: str | re.Pattern[str] | bool = False if wanted is None else wanted

    @abstractmethod
    def values(self, scope: Scope) -> list[str] | None:
        """Every value that the request has under this name; `None` if it has too much to be read
        (`mountkit.matching.readings`)."""

    def matches(self, scope: Scope) -> bool:
        values = self.values(scope)
        if values is None:
            return False
        if isinstance(self.wanted, bool):
            return bool(values) is self.wanted
        return len({*values}) == 1 and self._fits(values[0])

    def _fits(self, value: str) -> bool:
        wanted = self.wanted
        if not isinstance(wanted, re.Pattern):
            return value == wanted
        # A pattern of the user's own may take long for a long value, and blocks everything else.
        return len(value) <= MAX_VALUE_LENGTH and wanted.fullmatch(value) is not None

    def _key(self) -> tuple[object, ...]:
        return (self.name,) if self.wanted is True else (self.name, self.wanted)


class Header(_Value):
    """A header. Its name is case-insensitive, its value is not.

    Args:
        name: `x-api-version`.
        wanted: the whole value; a regular expression, matched by `fullmatch`; `True` if it
            must be present (the default), `False` or `None` if it must be absent.
    """

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise PatternError(
                f"Header name {name!r} is not valid; write it without the colon, as in "
                "'x-version', and a value after it: Header('x-version', '2')."
            )
        super().__init__(name.lower(), wanted)
        #: As a request has them; no value if the condition is not on a text, or can never hold.
        self.raw_name: bytes = self.name.encode("ascii")
        self.raw_wanted: bytes | None = None
        if isinstance(self.wanted, str) and max(self.wanted, default="") <= "\xff":
            self.raw_wanted = self.wanted.encode("latin-1")

    def matches(self, scope: Scope) -> bool:
        # As for every value, but in one loop and without lists: headers decide often.
        name, wanted, headers = self.raw_name, self.wanted, scope["headers"]
        if len(headers) > MAX_HEADERS:
            return False
        found = None
        for given, value in headers:
            if given == name:
                if found is not None and value != found:
                    return wanted is True
                found = value
        if found is None or wanted.__class__ is bool:
            return (found is not None) is wanted
        return self._fits(found.decode("latin-1"))

    def values(self, scope: Scope) -> list[str] | None:
        wanted, headers = self.raw_name, scope["headers"]
        is_read = len(headers) <= MAX_HEADERS
        return [v.decode("latin-1") for k, v in headers if k == wanted] if is_read else None


class Cookie(_Value):
    """A cookie, by name (case-sensitive) and perhaps value; `wanted` as for `Header`."""

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise PatternError(
                f"Cookie name {name!r} is not valid; write the name alone, as in Cookie('beta'), "
                "and a value after it: Cookie('beta', '1')."
            )
        super().__init__(name, wanted)

    def values(self, scope: Scope) -> list[str] | None:
        if len(scope["headers"]) > MAX_HEADERS:
            return None
        # HTTP/2 may split the header (RFC 9113, section 8.2.3).
        header = b";".join([value for name, value in scope["headers"] if name == b"cookie"])
        found = parse_cookies(header)
        return None if found is None else found.get(self.name, [])


class Query(_Value):
    """A query parameter, by name and perhaps value, decoded; `wanted` as for `Header`."""

    specificity: Specificity = Specificity(queries=1)

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        if not isinstance(name, str):
            raise PatternError(f"Query name {name!r} is not a text; write e.g. Query('version').")
        super().__init__(name, wanted)

    def values(self, scope: Scope) -> list[str] | None:
        found = parse_query(scope.get("query_string") or b"")
        return None if found is None else found.get(self.name, [])


class Method(Valued):
    """One of these HTTP methods, exactly: `Method("GET")` does not take `HEAD` (Gateway API).

    A websocket has no method, so that `Method` refuses it and `~Method` takes it.
    """

    specificity: Specificity = Specificity(methods=1)

    def __init__(self, *methods: str) -> None:
        if not methods:
            raise PatternError("Method() names no method; write e.g. Method('GET').")
        for method in methods:
            if not isinstance(method, str) or not TOKEN.fullmatch(method):
                raise PatternError(f"Method {method!r} is not valid; write e.g. 'GET'.")
            if method == "*":
                raise PatternError(
                    "Method '*' is not a method; to take all methods, leave methods out."
                )
            check_method(method.upper())
        self.methods: frozenset[str] = frozenset(method.upper() for method in methods)

    def matches(self, scope: Scope) -> bool:
        return scope.get("method") in self.methods

    def _key(self) -> tuple[object, ...]:
        return tuple(sorted(self.methods))


class Scheme(Valued):
    """`http` or `https`; a websocket's `ws` and `wss` count as these."""

    def __init__(self, scheme: Literal["http", "https"]) -> None:
        if scheme not in ("http", "https"):
            raise PatternError(
                f"Scheme {scheme!r} is not known; write 'http' or 'https' (a websocket's 'ws' and "
                "'wss' count as these)."
            )
        self.scheme = scheme

    def matches(self, scope: Scope) -> bool:
        scheme = scope.get("scheme", "http")
        return {"ws": "http", "wss": "https"}.get(scheme, scheme) == self.scheme

    def _key(self) -> tuple[object, ...]:
        return (self.scheme,)


class ScopeType(Valued):
    """ASGI's `type`: `http` or `websocket`."""

    def __init__(self, type: Literal["http", "websocket"]) -> None:
        if type not in ("http", "websocket"):
            raise PatternError(f"Scope type {type!r} is not known; write 'http' or 'websocket'.")
        self.type = type

    def matches(self, scope: Scope) -> bool:
        return bool(scope["type"] == self.type)

    def _key(self) -> tuple[object, ...]:
        return (self.type,)


class Client(Valued):
    """The peer's address lies in one of these networks: `Client("10.0.0.0/8", "::1")`.

    The peer is the one that the server puts into the scope: behind a proxy that is the proxy,
    unless the server trusts its headers. A peer without an address (a unix socket) is in none.
    """

    def __init__(self, *networks: str) -> None:
        if not networks:
            raise PatternError("Client() names no network; write e.g. Client('10.0.0.0/8').")
        self.networks: tuple[_Network, ...] = tuple(map(_parse_network, networks))

    def matches(self, scope: Scope) -> bool:
        client = scope.get("client")
        if not client:
            return False
        try:
            address = ipaddress.ip_address(client[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)  # "::ffff:10.0.0.1", a dual-stack socket
        address = mapped or address
        return any(address in network for network in self.networks)

    def _key(self) -> tuple[object, ...]:
        return tuple(map(str, self.networks))


_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def _parse_network(text: str) -> _Network:
    if not isinstance(text, str):  # an int would be read as an address
        raise PatternError(f"Client network {text!r} is not a text; write e.g. '10.0.0.0/8'.")
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise PatternError(f"Client network is not valid: {exc}.") from exc
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:  # "::ffff:10.0.0.0/104"
        return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


class Host(Valued):
    """A host, for use inside `|` and `~`, where its placeholders match and capture nothing.

    Takes what `Mount(host=…)` takes. As the whole of `when=`, or as a part of its `&`, it stands
    for `host=`, if that is not given, and ranks, is indexed and captures like it.
    """

    specificity: Specificity = Specificity()

    def __init__(self, pattern: str) -> None:
        self.pattern: HostPattern = HostPattern(pattern)

    def matches(self, scope: Scope) -> bool:
        is_read = len(scope["headers"]) <= MAX_HEADERS
        return is_read and self.pattern.match(request_host(scope)) is not None

    def _key(self) -> tuple[object, ...]:
        return self.pattern.key

    def __repr__(self) -> str:
        return f"Host({self.pattern.pattern!r})"
