"""Conditions on a request, read from its scope alone.

They compose: `Cookie("beta") & ~Method("DELETE")`. A class of your own joins in by
subclassing `Matcher`.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.hosts import HostPattern, request_host

#: What a header, cookie or query parameter must be: this text; a text that the regular
#: expression matches as a whole; there at all (`True`); not there (`False` or `None`).
Wanted: TypeAlias = "str | re.Pattern[str] | bool | None"

#: Characters of a value that a regular expression is held against; a longer one does not match.
MAX_VALUE_LENGTH = 1000

# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, section 8.3.1, without a weight; values may be quoted.
_MEDIA_TYPE = re.compile(
    rf"{_TOKEN.pattern}/{_TOKEN.pattern}"
    rf"""(?:\s*;\s*(?!q=){_TOKEN.pattern}=(?:{_TOKEN.pattern}|"[^"]*"))*""",
    re.IGNORECASE,
)


class Specificity(NamedTuple):
    """How much a matcher narrows a mount down; see `mountkit.matching.rules.Rule.rank`."""

    methods: int = 0
    headers: int = 0
    queries: int = 0

    def plus(self, other: Specificity) -> Specificity:
        methods = max(self.methods, other.methods)
        return Specificity(methods, self.headers + other.headers, self.queries + other.queries)


class Matcher(ABC):
    """One condition. Subclass it and write `matches`; `&`, `|` and `~` come with it.

    A matcher is asked on every request that reaches its mount's path, so that it must be
    quick, must not block and must not change the scope.
    """

    #: A matcher of a class of your own weighs as much as one header condition.
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

    def conjuncts(self) -> Iterator[Matcher]:
        """The conditions that must all hold: the matcher itself, or the parts of an `&`."""
        yield self

    def negated_specificity(self) -> Specificity:
        """The specificity of `~self`: to refuse a value says as much as to demand it."""
        return self.specificity


def identity(matcher: Matcher) -> Hashable:
    """Equal for matchers that say the same; one that is not hashable is the same as itself alone.

    A dataclass, for one, is hashable if it is frozen.
    """
    try:
        hash(matcher)
    except TypeError:
        return ("not hashable", id(matcher))
    return matcher


class _Valued(Matcher):
    """A matcher that is told apart by what it was made of."""

    @abstractmethod
    def _key(self) -> tuple[object, ...]:
        """What two of a kind are equal in."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._key()))})"


class _Composite(_Valued):
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
        return _sum(part.specificity for part in self.parts)

    def matches(self, scope: Scope) -> bool:
        return all(part.matches(scope) for part in self.parts)

    def conjuncts(self) -> Iterator[Matcher]:
        for part in self.parts:
            yield from part.conjuncts()

    def negated_specificity(self) -> Specificity:
        return min(part.negated_specificity() for part in self.parts)  # ~(a & b) is ~a | ~b


class Or(_Composite):
    """Any of them. It is as specific as its least specific part: a request may owe it no more."""

    sign = "|"

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return min(part.specificity for part in self.parts)

    def matches(self, scope: Scope) -> bool:
        return any(part.matches(scope) for part in self.parts)

    def negated_specificity(self) -> Specificity:
        return _sum(part.negated_specificity() for part in self.parts)  # ~(a | b) is ~a & ~b


class Not(_Valued):
    """What the other refuses."""

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


def _sum(parts: Iterable[Specificity]) -> Specificity:
    total = Specificity()
    for part in parts:
        total = total.plus(part)
    return total


class _Value(_Valued):
    """A named value that a request has never, once or several times.

    Two different values never satisfy a condition on one: whoever smuggles a second value
    in does not choose the mount.
    """

    kind: str

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        is_bytes = isinstance(wanted, re.Pattern) and isinstance(wanted.pattern, bytes)
        if is_bytes or not isinstance(wanted, (str, re.Pattern, bool, type(None))):
            raise PatternError(
                f"{type(self).__name__}({name!r}) wants {wanted!r}; write a text, a compiled "
                "regular expression, True (present) or False (absent)."
            )
        self.name = name
        self.wanted: str | re.Pattern[str] | bool = False if wanted is None else wanted

    @abstractmethod
    def values(self, scope: Scope) -> list[str]:
        """Every value that the request has under this name."""

    def matches(self, scope: Scope) -> bool:
        values = self.values(scope)
        wanted = self.wanted
        if isinstance(wanted, bool):
            return bool(values) is wanted
        if isinstance(wanted, str):
            return bool(values) and all(value == wanted for value in values)
        # A pattern of the user's own may take long for a long value, and nothing else runs then.
        return bool(values) and all(
            len(value) <= MAX_VALUE_LENGTH and wanted.fullmatch(value) for value in values
        )

    def _key(self) -> tuple[object, ...]:
        return (self.name,) if self.wanted is True else (self.name, self.wanted)


class Header(_Value):
    """A header. Its name is case-insensitive, its value is not.

    Args:
        name: `x-api-version`.
        wanted: the whole value; a regular expression, matched by `fullmatch`; `True` if it
            must be there (the default), `False` or `None` if it must not.
    """

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise PatternError(
                f"Header name {name!r} is no name; write it without the colon, as in 'x-version'."
            )
        super().__init__(name.lower(), wanted)
        #: As a request has them; no value if the condition is not on one, or can never hold.
        self.raw_name: bytes = self.name.encode("ascii")
        self.raw_wanted: bytes | None = None
        if isinstance(self.wanted, str) and max(self.wanted, default="") <= "\xff":
            self.raw_wanted = self.wanted.encode("latin-1")
        self._fullmatch = self.wanted.fullmatch if isinstance(self.wanted, re.Pattern) else None

    def matches(self, scope: Scope) -> bool:
        # As for every value, in one loop and without lists: headers decide often.
        name, wanted, fullmatch = self.raw_name, self.wanted, self._fullmatch
        is_there = False
        if fullmatch is not None:
            for given, value in scope["headers"]:
                if given == name:
                    if len(value) > MAX_VALUE_LENGTH or fullmatch(str(value, "latin-1")) is None:
                        return False
                    is_there = True
            return is_there
        for given, value in scope["headers"]:
            if given == name:
                if wanted.__class__ is bool:
                    return wanted is True
                if value != self.raw_wanted:
                    return False
                is_there = True
        return is_there or wanted is False

    def values(self, scope: Scope) -> list[str]:
        wanted = self.raw_name
        return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


class Cookie(_Value):
    """A cookie, by name (case-sensitive) and perhaps value; `wanted` as for `Header`."""

    specificity: Specificity = Specificity(headers=1)

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise PatternError(
                f"Cookie name {name!r} is no name; write the name alone, as in Cookie('beta'), "
                "and a value after it: Cookie('beta', '1')."
            )
        super().__init__(name, wanted)

    def values(self, scope: Scope) -> list[str]:
        # RFC 6265, section 5.4; HTTP/2 may split the header (RFC 9113, section 8.2.3).
        found = []
        for name, value in scope["headers"]:
            if name == b"cookie":
                for pair in value.decode("latin-1").split(";"):
                    key, separator, text = pair.partition("=")
                    if separator and key.strip() == self.name:
                        found.append(text.strip().removeprefix('"').removesuffix('"'))
        return found


class Query(_Value):
    """A query parameter, by name and perhaps value, decoded; `wanted` as for `Header`."""

    specificity: Specificity = Specificity(queries=1)

    def __init__(self, name: str, wanted: Wanted = True) -> None:
        if not isinstance(name, str):
            raise PatternError(f"Query name {name!r} is no text; write e.g. Query('version').")
        super().__init__(name, wanted)

    def values(self, scope: Scope) -> list[str]:
        query = scope.get("query_string", b"").decode("latin-1")
        return [v for k, v in parse_qsl(query, keep_blank_values=True) if k == self.name]


class Method(_Valued):
    """One of these HTTP methods, exactly: `Method("GET")` does not take `HEAD` (Gateway API).

    A websocket has no method, so that `Method` refuses it and `~Method` takes it.
    """

    specificity: Specificity = Specificity(methods=1)

    def __init__(self, *methods: str) -> None:
        if not methods:
            raise PatternError("Method() names no method; write e.g. Method('GET').")
        for method in methods:
            if not isinstance(method, str) or not _TOKEN.fullmatch(method):
                raise PatternError(f"Method {method!r} is no method; write e.g. 'GET'.")
        self.methods: frozenset[str] = frozenset(method.upper() for method in methods)

    def matches(self, scope: Scope) -> bool:
        return scope.get("method") in self.methods

    def _key(self) -> tuple[object, ...]:
        return tuple(sorted(self.methods))


class Scheme(_Valued):
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


class ScopeType(_Valued):
    """ASGI's `type`: `http` or `websocket`."""

    def __init__(self, type: Literal["http", "websocket"]) -> None:
        if type not in ("http", "websocket"):
            raise PatternError(f"Scope type {type!r} is not known; write 'http' or 'websocket'.")
        self.type = type

    def matches(self, scope: Scope) -> bool:
        return bool(scope["type"] == self.type)

    def _key(self) -> tuple[object, ...]:
        return (self.type,)


class Client(_Valued):
    """The peer's address lies in one of these networks: `Client("10.0.0.0/8", "::1")`.

    It is the peer that the server names in the scope; behind a proxy, that is the proxy,
    unless the server was told to trust its headers. A peer without an address (a unix
    socket) lies in no network.
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
        raise PatternError(f"Client network {text!r} is no text; write e.g. '10.0.0.0/8'.")
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise PatternError(f"Client network is not valid: {exc}.") from exc
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:  # "::ffff:10.0.0.0/104"
        return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


class Host(_Valued):
    """A host, for use inside `|` and `~`, where its placeholders match and capture nothing.

    Takes what `Mount(host=…)` takes. As the whole of `when=`, or as a part of its `&`, it says
    what `host=` says, if that is not given: it ranks, is indexed and captures like it.
    """

    specificity: Specificity = Specificity()

    def __init__(self, pattern: str) -> None:
        self.pattern: HostPattern = HostPattern(pattern)

    def matches(self, scope: Scope) -> bool:
        return self.pattern.match(request_host(scope)) is not None

    def _key(self) -> tuple[object, ...]:
        return self.pattern.key

    def __repr__(self) -> str:
        return f"Host({self.pattern.pattern!r})"


class Accept(_Valued):
    """The client asks for one of these media types: versioning by `Accept`.

    Matches if the header names one of the types outright and does not give it `q=0`. A
    wildcard (`*/*`, `application/*`, no header at all) names no version: it is left to the
    mount that has no `Accept` condition, or to the one that says `wildcard=True`.

    Among mounts that are equally specific up to here, the highest q-value wins (RFC 9110,
    section 12.5.1), then the order of declaration.

    Args:
        media_types: `application/vnd.acme.v2+json`; parameters, as in
            `application/json;version=2`, must all be in the request's.
        wildcard: take wildcards as well: this is the default version.
    """

    def __init__(self, *media_types: str, wildcard: bool = False) -> None:
        if not media_types:
            raise PatternError("Accept() names no media type; write e.g. Accept('text/html').")
        for text in media_types:
            is_single = isinstance(text, str) and _MEDIA_TYPE.fullmatch(text)
            if not is_single or "*" in text.partition(";")[0]:
                raise PatternError(
                    f"Media type {text!r} is no single type; write e.g. 'application/json', and "
                    "wildcard=True to take wildcards as well."
                )
        self.media_types: tuple[_MediaType, ...] = tuple(map(_parse_media_type, media_types))
        self.wildcard = wildcard

    def matches(self, scope: Scope) -> bool:
        return self.quality(scope) > 0

    def quality(self, scope: Scope) -> float:
        """The q-value that the request gives the best of the media types, from 0 to 1."""
        header = ",".join(v.decode("latin-1") for k, v in scope["headers"] if k == b"accept")
        ranges = [_parse_range(text) for text in _split_quoted(header, ",") if text.strip()]
        if not ranges:
            return 1.0 if self.wildcard else 0.0
        return max(self._quality_of(wanted, ranges) for wanted in self.media_types)

    def _quality_of(self, wanted: _MediaType, ranges: list[tuple[_MediaType, float]]) -> float:
        # The most specific range that matches has its say, wherever it stands.
        best, quality = -1, 0.0
        for (kind, subtype, params), q in ranges:
            if (kind, subtype) == wanted[:2]:
                if not wanted[2].items() <= params.items():
                    continue
                level = 2 + len(params)
            elif self.wildcard and subtype == "*" and kind in ("*", wanted[0]):
                level = 0 if kind == "*" else 1
            else:
                continue
            if level > best:
                best, quality = level, q
        return quality

    def _key(self) -> tuple[object, ...]:
        shown = (
            "/".join(media_type[:2]) + "".join(f";{k}={v}" for k, v in media_type[2].items())
            for media_type in self.media_types
        )
        return (*shown, self.wildcard)

    def __repr__(self) -> str:
        *media_types, wildcard = self._key()
        shown = [repr(media_type) for media_type in media_types]
        return f"Accept({', '.join(shown + ['wildcard=True'] * bool(wildcard))})"


_MediaType: TypeAlias = tuple[str, str, dict[str, str]]


def _parse_media_type(text: str) -> _MediaType:
    """RFC 9110, section 8.3.1; type, subtype and the names of parameters in lower case."""
    essence, *parts = _split_quoted(text, ";")
    kind, _, subtype = essence.strip().lower().partition("/")
    params = {}
    for part in parts:
        name, _, value = part.partition("=")
        params[name.strip().lower()] = value.strip().strip('"')
    return kind, subtype, params


def _parse_range(text: str) -> tuple[_MediaType, float]:
    kind, subtype, params = _parse_media_type(text)
    weight = params.pop("q", "1")
    # RFC 9110, section 12.4.2; a weight that is none asks for nothing.
    quality = float(weight) if re.fullmatch(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", weight) else 0.0
    return (kind, subtype, params), quality


def _split_quoted(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside of a quoted string."""
    if '"' not in text:
        return text.split(separator)
    pieces, start, quoted, position = [], 0, False, 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quoted:
            position += 1
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    return [*pieces, text[start:]]
