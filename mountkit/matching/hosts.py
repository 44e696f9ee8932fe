"""Host names: how patterns are written, and how a request's `Host` is read.

Both sides are brought to one form: lower case, no trailing dot, IDNA A-labels (RFC 5890), IPv6
literals compressed and in brackets (RFC 5952), and the port by itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.routing import PARAM_REGEX
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.segments import Segment, check_names, match_each

#: RFC 1035, section 2.3.4.
MAX_HOST_LENGTH = 255
# A label of RFC 1123, and the underscore, which real names have.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A whole name without a port; the possessive "*+" keeps it linear.
_NAME = re.compile(rf"({_LABEL.pattern}(?:\.{_LABEL.pattern})*+)\.?")
# Other dots that IDNA knows (RFC 3490, section 3.1).
_DOTS = re.compile("[\u3002\uff0e\uff61]")
_AUTHORITY = re.compile(
    # An IPv6 address, one of a later version (RFC 3986, section 3.2.2: IPvFuture), a name.
    r"(\[[0-9A-Fa-f:.]+\]|\[[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\]|[A-Za-z0-9_.-]+)"
    r"(?::(?:0*([0-9]{1,5}))?)?"
)
# Placeholders of Flask and Express.
_FOREIGN = re.compile(r"(?:<(?:\w+:)?|(?:^|(?<=\.)):)([A-Za-z_]\w*)>?(?=\.|$)")
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class HostPort(NamedTuple):
    """A host in its normal form, and its port if one was given."""

    host: str
    port: int | None


def parse_host(value: str) -> HostPort | None:
    """Read the value of a `Host` header (RFC 9110, section 7.2).

    Returns:
        `None` for anything that is not a host: user information, spaces, raw non-ASCII, empty
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
    """The host of a request; `None` without exactly one valid `Host` header.

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
    """The host of a `Host` header, if it is a name without a port, as nearly all of them are.

    One regular expression then does what `parse_host` does.
    """
    if len(value) > MAX_HOST_LENGTH:
        return None
    match = _NAME.fullmatch(value.decode("latin-1").lower())
    return None if match is None else match[1]


def host_of_value(value: bytes, scope: Scope) -> HostPort | None:
    """The host of the value of a `Host` header; see `request_host`."""
    default_port = _DEFAULT_PORTS.get(scope.get("scheme", "http"))
    name = plain_name(value)
    if name is not None:
        return HostPort(name, default_port)
    parsed = parse_host(value.decode("latin-1"))
    if parsed is None or parsed.port is not None:
        return parsed
    return HostPort(parsed.host, default_port)


def may_lack_host(scope: Scope) -> bool:
    """Whether this is an HTTP/1.0 request without a `Host`."""
    # granian writes "1", and adds an empty header.
    is_old = scope.get("http_version") in ("1.0", "1")
    return is_old and not any(k == b"host" and v for k, v in scope["headers"])


def _compress_ipv6(literal: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(literal[1:-1]).compressed}]"
    except ValueError:
        return None


class HostPattern:
    """A mount's host, compiled once.

    Args:
        pattern: `a.example.com`; `*.example.com` (one or more labels, never the apex);
            `{tenant}.example.com` (one label); `[::1]`; each with a port if it matters.
            Non-ASCII names are written as they are or as `xn--…`.

    Raises:
        PatternError: no host can match the pattern; the message says what to write.

    Attributes:
        host: the whole host, if the pattern has neither a wildcard nor a placeholder.
        labels: else the labels behind the wildcard, from the last to the first.
        key: equal for patterns that take the same hosts.
        rank: sorts the more specific first: exact, longest literal part, `{x}` before `*`, a port.
    """

    __slots__ = ("host", "key", "labels", "pattern", "port", "rank", "star")

    def __init__(self, pattern: str) -> None:
        self.pattern: str = pattern
        host, port = _split_pattern(pattern)
        host = _DOTS.sub(".", host)
        self.port: int | None = port
        self.star: bool = host.startswith("*.")
        self.host: str | None = None
        self.labels: tuple[str | Segment, ...] = ()
        if "{" in host or "*" in host:
            self.labels = tuple(_labels(pattern, host.removeprefix("*.")))[::-1]
            check_names(self.names, f"Host pattern {pattern!r}")
        else:
            self.host = _literal_host(pattern, host)
        shown = self.host or ("*." if self.star else "") + ".".join(
            label if isinstance(label, str) else label.key for label in self.labels[::-1]
        )
        self.key: tuple[str, int | None] = (shown, self.port)
        self.rank: tuple[Any, ...] = self._rank()

    def _rank(self) -> tuple[Any, ...]:
        if self.host is not None:
            return (0, 0, 0, 0, 0, self.port is None)
        literal = sum(
            1 + len(label) if isinstance(label, str) else label.static_length
            for label in self.labels
        )
        typed = sum(not isinstance(label, str) and label.is_typed for label in self.labels)
        return (1, -literal, self.star, -len(self.labels), -typed, self.port is None)

    @property
    def names(self) -> list[str]:
        """The names of the placeholders, from left to right."""
        return [label.names[0] for label in self.labels[::-1] if isinstance(label, Segment)]

    def match(self, request: HostPort | None) -> dict[str, Any] | None:
        """The placeholders, or `None` if the host does not match or there is not one."""
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
            ValueError, PatternError: a value does not make a label of a host; it might lead to
                another host ("evil.com?").
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


def _filled(label: Segment, params: dict[str, Any]) -> str:
    [name], [before, after] = label.names, label.literals
    text = before + label.convertors[name].to_string(params.pop(name)) + after
    text = (text if text.isascii() else _to_idna(text, text)).lower()
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{text!r} is not a label of a host.")
    return text


def _split_pattern(pattern: str) -> tuple[str, int | None]:
    if not isinstance(pattern, str):
        raise PatternError(f"Host pattern {pattern!r} is not a text; write e.g. 'a.example.com'.")
    if not pattern:
        raise PatternError("Host pattern '' is empty; write a host, or leave host out.")
    if re.search(r"[\s,]", pattern):
        several = re.findall(r"[^\s,]+", pattern)
        raise PatternError(f"Host pattern {pattern!r} is not one host; write host={several}.")
    if "//" in pattern:
        fixed = pattern.split("//", 1)[1].split("/", 1)[0]
        raise PatternError(f"Host pattern {pattern!r} contains a scheme; write {fixed!r}.")
    if _FOREIGN.search(pattern):
        named = _FOREIGN.sub(r"{\1}", pattern)
        raise PatternError(f"Host pattern {pattern!r} has no placeholder; write {named!r}.")
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
    return _split_port(pattern)


def _split_port(pattern: str) -> tuple[str, int | None]:
    outside = PARAM_REGEX.sub(lambda m: "x" * len(m[0]), pattern)  # "{id:int}" has no port
    if outside.count(":") > 1 and not pattern.startswith("["):
        raise PatternError(
            f"Host pattern {pattern!r} is an IPv6 address without brackets; write '[{pattern}]'."
        )
    colon = outside.rfind(":")
    if colon == -1 or outside.endswith("]"):
        return pattern, None
    port = pattern[colon + 1 :]
    if port == "*":
        fixed = pattern[:colon]
        raise PatternError(f"Host pattern {pattern!r} takes any port; write {fixed!r} for that.")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise PatternError(
            f"Host pattern {pattern!r} has the port {port!r}; write a number up to 65535."
        )
    return pattern[:colon], int(port)


def _labels(pattern: str, host: str) -> Iterable[str | Segment]:
    # Placeholders hold no dot, so that a plain split is enough.
    for text in host.removesuffix(".").split("."):
        if "*" in text:
            raise PatternError(
                f"Host pattern {pattern!r} has a wildcard inside; '*' stands alone, in front: "
                "'*.example.com'. For one label in another place write '{name}'."
            )
        yield _label(pattern, text) if "{" in text else _literal_host(pattern, text)


def _label(pattern: str, text: str) -> Segment:
    """A label with a placeholder: `{tenant}`, `pr-{id:int}`."""
    match = PARAM_REGEX.search(text)
    if match is None or PARAM_REGEX.search(text, match.end()):
        raise PatternError(
            f"Host pattern {pattern!r} has the label {text!r}; a label holds at most one "
            "placeholder, as in '{tenant}.example.com' or 'pr-{id:int}.example.com'."
        )
    before, after = text[: match.start()], text[match.end() :]
    text = _literal(pattern, before) + match[0] + _literal(pattern, after)
    return Segment(text, f"Host pattern {pattern!r}")


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
        raise PatternError(f"Host pattern {pattern!r} is not a host name; write {fix}.")
    return parsed.host


def _to_idna(pattern: str, host: str) -> str:
    import idna  # slow to import, and needed for non-ASCII patterns alone

    try:
        # What browsers do (UTS #46, non-transitional), so that both sides agree.
        return idna.encode(host, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError as exc:
        raise PatternError(f"Host pattern {pattern!r} is not a valid IDNA name: {exc}.") from exc
