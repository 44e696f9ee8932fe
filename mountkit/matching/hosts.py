"""Host names: how patterns are written, and how a request's `Host` is read.

Both sides are brought to one form: lower case, no trailing dot, IDNA A-labels (RFC 5890),
IPv6 literals compressed in brackets (RFC 5952), the port apart.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.routing import PARAM_REGEX
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.paths import convert, match_each

T = TypeVar("T")

#: RFC 1035, section 2.3.4.
MAX_HOST_LENGTH = 255
# A label of RFC 1123, with the underscore that real names hold.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A whole name without a port. What was taken is never given back, so that this takes linear time.
_NAME = re.compile(rf"({_LABEL.pattern}(?:\.{_LABEL.pattern})*+)\.?")
# What IDNA takes for a dot besides the dot (RFC 3490, section 3.1).
_DOTS = re.compile("[\u3002\uff0e\uff61]")
_AUTHORITY = re.compile(
    # An IPv6 address, one of a later version (RFC 3986, section 3.2.2: IPvFuture), a name.
    r"(\[[0-9A-Fa-f:.]+\]|\[[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\]|[A-Za-z0-9_.-]+)"
    r"(?::(?:0*([0-9]{1,5}))?)?"
)
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class HostPort(NamedTuple):
    """A host in its normal form, and its port if one was given."""

    host: str
    port: int | None


def parse_host(value: str) -> HostPort | None:
    """Read the value of a `Host` header (RFC 9110, section 7.2).

    Returns:
        `None` for anything that is no host: user information, spaces, raw non-ASCII, empty
        labels, labels over 63 or names over 255 characters, a port over 65535.
    """
    if len(value) > MAX_HOST_LENGTH + 6:  # a port and its colon
        return None
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return None
    host, port_text = match.groups()
    port = int(port_text) if port_text else None  # "a.com:" is "a.com" (RFC 3986, 3.2.3)
    if port is not None and port > 65535:
        return None
    if host[:2].lower() == "[v":
        return HostPort(host.lower(), port)
    if host.startswith("["):
        normal = _compress_ipv6(host)
        return None if normal is None else HostPort(normal, port)
    host = host.lower().removesuffix(".")
    if len(host) > MAX_HOST_LENGTH or not all(map(_LABEL.fullmatch, host.split("."))):
        return None
    return HostPort(host, port)


def request_host(scope: Scope) -> HostPort | None:
    """The host that a request names; `None` if it names none, several, or no proper one.

    A port that the request leaves out is the scheme's.
    """
    found = None
    for name, value in scope["headers"]:
        if name == b"host":
            if found is not None:
                return None
            found = value
    return None if found is None else host_of_value(found, scope)


def plain_name(value: bytes) -> str | None:
    """The host that the value of a `Host` header names, if it is a name without a port, as nearly
    all of them are: one regular expression then does what `parse_host` does."""
    if len(value) > MAX_HOST_LENGTH:
        return None
    match = _NAME.fullmatch(value.decode("latin-1").lower())
    return None if match is None else match[1]


def host_of_value(value: bytes, scope: Scope) -> HostPort | None:
    """The host that the value of a `Host` header names; see `request_host`."""
    default_port = _DEFAULT_PORTS.get(scope.get("scheme", "http"))
    name = plain_name(value)
    if name is not None:
        return HostPort(name, default_port)
    parsed = parse_host(value.decode("latin-1"))
    if parsed is None or parsed.port is not None:
        return parsed
    return HostPort(parsed.host, default_port)


def _compress_ipv6(literal: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(literal[1:-1]).compressed}]"
    except ValueError:
        return None


class Label:
    """A label of a host pattern that holds a placeholder: `{tenant}`, `pr-{id:int}`."""

    __slots__ = ("convertor", "name", "prefix", "suffix", "typed")

    def __init__(self, pattern: str, text: str) -> None:
        match = PARAM_REGEX.search(text)
        if match is None or PARAM_REGEX.search(text, match.end()):
            raise PatternError(
                f"Host pattern {pattern!r} has the label {text!r}; a label holds one "
                "placeholder at most, as in '{tenant}.example.com' or 'pr-{id:int}.example.com'."
            )
        kind = (match[2] or ":str")[1:]
        if kind not in CONVERTOR_TYPES:
            known = ", ".join(sorted(CONVERTOR_TYPES))
            raise PatternError(
                f"Host pattern {pattern!r} names the convertor {kind!r}; known are {known}."
            )
        self.name: str = match[1]
        self.typed: bool = kind != "str"
        self.convertor: Convertor[Any] = CONVERTOR_TYPES[kind]
        self.prefix: str = _literal(pattern, text[: match.start()])
        self.suffix: str = _literal(pattern, text[match.end() :])

    @property
    def key(self) -> str:
        return f"{self.prefix}{{{self.convertor!r}}}{self.suffix}"

    def match(self, label: str) -> dict[str, Any] | None:
        """The converted placeholder, or `None` if `label` is refused. Linear in its length."""
        end = len(label) - len(self.suffix)
        if end <= len(self.prefix):
            return None
        if not label.startswith(self.prefix) or not label.endswith(self.suffix):
            return None
        text = label[len(self.prefix) : end]
        if self.typed and not re.fullmatch(self.convertor.regex, text):
            return None
        return convert({self.name: text}, {self.name: self.convertor})


class HostPattern:
    """A mount's host, compiled once.

    Args:
        pattern: `a.example.com`; `*.example.com` (one or more labels, never the apex);
            `{tenant}.example.com` (one label); `[::1]`; each with a port if it matters.
            Non-ASCII names are written as they are or as `xn--…`.

    Raises:
        PatternError: the pattern can match no host; the message says what to write.
    """

    __slots__ = ("host", "key", "labels", "pattern", "port", "rank", "star")

    def __init__(self, pattern: str) -> None:
        self.pattern: str = pattern
        host, port = _split_pattern(pattern)
        host = _DOTS.sub(".", host)
        self.port: int | None = port
        self.star: bool = host.startswith("*.")
        #: The whole host, if it holds neither a wildcard nor a placeholder.
        self.host: str | None = None
        #: From the last label to the first.
        self.labels: tuple[str | Label, ...] = ()
        if "{" in host or "*" in host:
            self.labels = tuple(_labels(pattern, host.removeprefix("*.")))[::-1]
            _check_names(pattern, self.labels)
        else:
            self.host = _literal_host(pattern, host)
        shown = self.host or ("*." if self.star else "") + ".".join(
            label if isinstance(label, str) else label.key for label in self.labels[::-1]
        )
        self.key: tuple[str, int | None] = (shown, self.port)
        self.rank: tuple[Any, ...] = self._rank()

    def _rank(self) -> tuple[Any, ...]:
        """Sorts the more specific first: exact, longest literal part, `{x}` before `*`, a port."""
        if self.host is not None:
            return (0, 0, 0, 0, 0, self.port is None)
        literal = sum(
            1 + len(label) if isinstance(label, str) else len(label.prefix + label.suffix)
            for label in self.labels
        )
        typed = sum(not isinstance(label, str) and label.typed for label in self.labels)
        return (1, -literal, self.star, -len(self.labels), -typed, self.port is None)

    @property
    def names(self) -> list[str]:
        """The names of the placeholders, from left to right."""
        return [label.name for label in self.labels[::-1] if isinstance(label, Label)]

    def match(self, request: HostPort | None) -> dict[str, Any] | None:
        """The placeholders, or `None` if the host is another, or there is none."""
        if request is None or self.port not in (None, request.port):
            return None
        if self.host is not None:
            return {} if self.host == request.host else None
        if request.host[0] == "[":  # an address has no labels
            return None
        parts = request.host.split(".")[::-1]
        if not (len(parts) > len(self.labels) if self.star else len(parts) == len(self.labels)):
            return None
        return match_each(self.labels, parts)

    def format(self, params: dict[str, Any]) -> str | None:
        """The host of a URL, its placeholders taken out of `params`; `None` for a wildcard.

        Raises:
            KeyError: a placeholder has no value.
            ValueError, PatternError: what has been filled in makes no label of a host; it might
                lead to another host ("evil.com?").
        """
        if self.star:
            return None
        if self.host is not None:
            host = self.host
        else:
            host = ".".join(
                label if isinstance(label, str) else _filled(label, params)
                for label in self.labels[::-1]
            )
        return host if self.port is None else f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pattern!r})"


def _filled(label: Label, params: dict[str, Any]) -> str:
    text = label.prefix + label.convertor.to_string(params.pop(label.name)) + label.suffix
    text = (text if text.isascii() else _to_idna(text, text)).lower()
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{text!r} is no label of a host.")
    return text


def _split_pattern(pattern: str) -> tuple[str, int | None]:
    if not isinstance(pattern, str) or not pattern:
        raise PatternError(f"Host pattern {pattern!r} is empty; write a host, or leave host out.")
    if "://" in pattern:
        fixed = pattern.split("://", 1)[1].split("/", 1)[0]
        raise PatternError(f"Host pattern {pattern!r} contains a scheme; write {fixed!r}.")
    if "/" in pattern:
        host, _, path = pattern.partition("/")
        raise PatternError(
            f"Host pattern {pattern!r} contains a path; write host={host!r} and the path '/{path}'."
        )
    if "@" in pattern:
        fixed = pattern.rpartition("@")[2]
        raise PatternError(f"Host pattern {pattern!r} contains user information; write {fixed!r}.")
    if pattern == "*":
        raise PatternError("Host pattern '*' matches every host; leave host out.")
    outside = PARAM_REGEX.sub(lambda m: "x" * len(m[0]), pattern)  # "{id:int}" is no port
    if outside.count(":") > 1 and not pattern.startswith("["):
        raise PatternError(
            f"Host pattern {pattern!r} is an IPv6 address without brackets; write '[{pattern}]'."
        )
    colon = outside.rfind(":")
    if colon == -1 or outside.endswith("]"):
        return pattern, None
    port = pattern[colon + 1 :]
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise PatternError(
            f"Host pattern {pattern!r} has the port {port!r}; write a number up to 65535."
        )
    return pattern[:colon], int(port)


def _labels(pattern: str, host: str) -> Iterable[str | Label]:
    # Placeholders hold no dot, so that a plain split is enough.
    for text in host.removesuffix(".").split("."):
        if "*" in text:
            raise PatternError(
                f"Host pattern {pattern!r} has a wildcard inside; '*' stands alone, in front: "
                "'*.example.com'. For one label in another place write '{name}'."
            )
        yield Label(pattern, text) if "{" in text else _literal_host(pattern, text)


def _check_names(pattern: str, labels: Iterable[str | Label]) -> None:
    names = [label.name for label in labels if isinstance(label, Label)]
    for name in names:
        if names.count(name) > 1:
            raise PatternError(
                f"Host pattern {pattern!r} has the placeholder {name!r} twice; rename one."
            )


def _literal(pattern: str, text: str) -> str:
    """A part of a label: only letters, digits, hyphens and underscores."""
    if text and not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise PatternError(
            f"Host pattern {pattern!r} has {text!r} beside a placeholder; write letters, digits "
            "and hyphens."
        )
    return text.lower()


def _literal_host(pattern: str, host: str) -> str:
    parsed = parse_host(host if host.isascii() else _to_idna(pattern, host))
    if parsed is None:
        hint = re.sub(r"\.\.+", ".", host.strip(".").lower())
        if parse_host(hint) is None:
            fix = "labels of letters, digits and hyphens, as in 'shop.example.com'"
        elif host.startswith("."):  # Django's and cookies' way to say "and below"
            fix = f"'*.{hint}' or '{hint}'"
        else:
            fix = f"'{hint}'"
        raise PatternError(f"Host pattern {pattern!r} is no host name; write {fix}.")
    return parsed.host


def _to_idna(pattern: str, host: str) -> str:
    import idna  # of use to non-ASCII patterns alone, and slow to import

    try:
        # What browsers do (UTS #46, non-transitional), so that both sides agree.
        return idna.encode(host, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError as exc:
        raise PatternError(f"Host pattern {pattern!r} is no international name: {exc}.") from exc


class HostIndex(Generic[T]):
    """Values by host pattern. A look-up costs the labels of the host, not the number of hosts."""

    def __init__(self) -> None:
        self._exact: dict[str, list[tuple[HostPattern, T]]] = {}
        self._suffixes = _Node[T]()

    def add(self, pattern: HostPattern, value: T) -> None:
        """Add a value; no equal pattern was added before."""
        self._values_at(pattern).append((pattern, value))

    def remove(self, pattern: HostPattern) -> None:
        """Remove the value of an equal pattern."""
        values = self._values_at(pattern)
        values[:] = [item for item in values if item[0].key != pattern.key]
        if values:
            return
        if pattern.host is not None:
            del self._exact[pattern.host]
        else:
            self._suffixes.prune(pattern.labels)

    def _values_at(self, pattern: HostPattern) -> list[tuple[HostPattern, T]]:
        if pattern.host is not None:
            return self._exact.setdefault(pattern.host, [])
        node = self._suffixes
        for label in pattern.labels:
            node = node.child(label)
        return node.values

    def find(self, request: HostPort | None) -> Sequence[tuple[HostPattern, T]]:
        """Every value whose pattern may match, the most specific first; not to be changed."""
        if request is None:
            return []
        exact = self._exact.get(request.host, ())
        if exact and len(exact) == 1 and exact[0][0].port is None and self._suffixes.is_empty():
            return exact  # the most frequent case, as it is
        found = [item for item in exact if item[0].match(request) is not None]
        if not self._suffixes.is_empty():
            found += self._suffixes.find(request)
        if len(found) > 1:
            found.sort(key=lambda item: item[0].rank)
        return found


class _Node(Generic[T]):
    """A label of all patterns that end alike, read from the right."""

    __slots__ = ("placeholders", "static", "values")

    def __init__(self) -> None:
        self.static: dict[str, _Node[T]] = {}
        self.placeholders: dict[str, _Node[T]] = {}
        self.values: list[tuple[HostPattern, T]] = []

    def child(self, label: str | Label) -> _Node[T]:
        if isinstance(label, str):
            return self.static.setdefault(label, _Node())
        return self.placeholders.setdefault(label.key, _Node())

    def is_empty(self) -> bool:
        return not (self.values or self.static or self.placeholders)

    def prune(self, labels: Sequence[str | Label]) -> None:
        """Remove what has become empty on the way along `labels`."""
        if labels:
            first, *rest = labels
            children = self.static if isinstance(first, str) else self.placeholders
            key = first if isinstance(first, str) else first.key
            children[key].prune(rest)
            if children[key].is_empty():
                del children[key]

    def find(self, request: HostPort) -> list[tuple[HostPattern, T]]:
        found: list[tuple[HostPattern, T]] = []
        live = [self]
        for label in request.host.split(".")[::-1]:
            reached: list[_Node[T]] = []
            for node in live:
                if label in node.static:
                    reached.append(node.static[label])
                reached += node.placeholders.values()
            if not reached:
                # Only a wildcard goes on; it was collected where it ends.
                break
            live = reached
            for node in live:
                found += [item for item in node.values if item[0].match(request) is not None]
        return found
