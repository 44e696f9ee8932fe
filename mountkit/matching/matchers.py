"""Conditions on a request, read from its scope alone.

They compose: `Cookie("beta") & ~Method("DELETE")`. For a condition of your own, subclass `Matcher`.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.foreign import check_method
from mountkit.matching.hosts import HostPattern, request_host
from mountkit.matching.readings import MAX_HEADERS, parse_cookies, parse_query

#: What a header, cookie or query parameter must be: this text; a text that the regular
#: expression matches as a whole; present (`True`); absent (`False` or `None`).
Wanted: TypeAlias = "str | re.Pattern[str] | bool | None"

#: Characters of a value that a regular expression is matched with; a longer one does not match.
MAX_VALUE_LENGTH = 1000

# RFC 9110, section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Specificity(NamedTuple):
    """How specific a matcher makes a mount; see `mountkit.matching.rules.Rule.rank`."""

    methods: int = 0
    headers: int = 0
    queries: int = 0

    @classmethod
    def sum(cls, parts: Iterable[Specificity]) -> Specificity:
        """That of conditions which must all hold."""
        methods, headers, queries = zip(cls(), *parts, strict=True)
        return cls(max(methods), sum(headers), sum(queries))


class Matcher(ABC):
    """One condition. Subclass it and write `matches`; `&`, `|` and `~` come with it.

    A matcher is asked on every request for its mount's path: it must be quick, must not block and
    must not change the scope.
    """

    #: A matcher of your own counts as one header condition.
    specificity: Specificity = Specificity(headers=1)

    @abstractmethod
    def matches(self, scope: Scope) -> bool:
        """Whether the request that `scope` describes (`http` or `websocket`) is taken."""

    def __and__(self, other: Matcher) -> Matcher:
        return And(self, other) if isinstance(other, Matcher) else NotImplemented

    def __or__(self, other: Matcher) -> Matcher:
        return Or(self, other) if isinstance(other, Matcher) else NotImplemented

    def __invert__(self) -> Matcher:
        return Not(self)

    def __bool__(self) -> bool:
        raise PatternError(f"{self!r} has no truth value; write & for and, | for or, ~ for not.")

    def conjuncts(self) -> Iterator[Matcher]:
        """The conditions that must all hold: the matcher itself, or the parts of an `&`."""
        yield self

    def negated_specificity(self) -> Specificity:
        """The specificity of `~self`: to exclude a value is as specific as to ask for it."""
        return self.specificity


def identity(matcher: Matcher) -> Hashable:
    """Equal for matchers that say the same. A matcher that is not hashable, as a dataclass that is
    not frozen, equals nothing but itself."""
    try:
        hash(matcher)
    except TypeError:
        return ("not hashable", id(matcher))
    return matcher


class Valued(Matcher):
    """A matcher that equals those of its class with the same arguments."""

    @abstractmethod
    def _key(self) -> tuple[object, ...]:
        """What two equal matchers have in common."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._key()))})"


class _Composite(Valued):
    sign: str

    def __init__(self, *parts: Matcher) -> None:
        self.parts: tuple[Matcher, ...] = tuple(p for part in parts for p in self._flattened(part))

    def _flattened(self, part: Matcher) -> tuple[Matcher, ...]:
        return part.parts if isinstance(part, type(self)) else (part,)

    def _key(self) -> tuple[object, ...]:
        return (frozenset(map(identity, self.parts)),)

    def __repr__(self) -> str:
        return f"({f' {self.sign} '.join(map(repr, self.parts))})"


class And(_Composite):
    """All of them. Its specificity is the sum of its parts'."""

    sign = "&"

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return Specificity.sum(part.specificity for part in self.parts)

    def matches(self, scope: Scope) -> bool:
        return all(part.matches(scope) for part in self.parts)

    def conjuncts(self) -> Iterator[Matcher]:
        for part in self.parts:
            yield from part.conjuncts()

    def negated_specificity(self) -> Specificity:
        return min(part.negated_specificity() for part in self.parts)  # ~(a & b) is ~a | ~b


class Or(_Composite):
    """Any of them. It is as specific as its least specific part, which may be all that holds."""

    sign = "|"

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return min(part.specificity for part in self.parts)

    def matches(self, scope: Scope) -> bool:
        return any(part.matches(scope) for part in self.parts)

    def negated_specificity(self) -> Specificity:
        return Specificity.sum(
            part.negated_specificity() for part in self.parts
        )  # ~(a | b) is ~a & ~b


class Not(Valued):
    """What the other matcher does not take."""

    def __init__(self, part: Matcher) -> None:
        self.part = part

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return self.part.negated_specificity()

    def matches(self, scope: Scope) -> bool:
        return not self.part.matches(scope)

    def negated_specificity(self) -> Specificity:
        return self.part.specificity

    def _key(self) -> tuple[object, ...]:
        return (identity(self.part),)

    def __repr__(self) -> str:
        return f"~{self.part!r}"


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
        wanted = self.wanted
        if values is None:
            return False
        if isinstance(wanted, bool):
            return bool(values) is wanted
        if not values or any(value != values[0] for value in values):
            return False
        if isinstance(wanted, str):
            return values[0] == wanted
        # A pattern of the user's own may take long for a long value, and blocks everything else.
        return len(values[0]) <= MAX_VALUE_LENGTH and wanted.fullmatch(values[0]) is not None

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
        if wanted.__class__ is re.Pattern or len(headers) > MAX_HEADERS:
            return super().matches(scope)
        is_there = False
        for given, value in headers:
            if given == name:
                if wanted.__class__ is bool:
                    return wanted is True
                if value != self.raw_wanted:
                    return False
                is_there = True
        return is_there or wanted is False

    def values(self, scope: Scope) -> list[str] | None:
        if len(scope["headers"]) > MAX_HEADERS:
            return None
        wanted = self.raw_name
        return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


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
                raise PatternError("Method '*' is none; to take all of them leave methods out.")
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
