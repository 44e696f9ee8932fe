"""Conditions of mounts as tests of what a request says, in a form that every router has.

A condition becomes alternatives, each of which is a list of tests that must all hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from mountkit.exceptions import PatternError
from mountkit.export.spellings import encoded, host_regex, literal, other_than
from mountkit.matching.conditions import Cookie, Header, Host, Method, Query
from mountkit.matching.matchers import And, Matcher, Not, Or


class Check(NamedTuple):
    """A regular expression that a part of the request must match as a whole, or must not.

    Attributes:
        subject: `"path"` or `"query"`, undecoded (`""` without a query); `"method"`; `"host"`, the
            Host header; or one line of a header, such as `"header x-version"`.
        negated: no line of it matches; it may not be there at all.
        about: in a few words, for comments and names.
        name, decoded: of a query, the parameter, and a regular expression of one of its decoded
            values.
    """

    subject: str
    regex: str
    negated: bool = False
    about: str = ""
    name: str = ""
    decoded: str = ""

    @property
    def header(self) -> str:
        """The name of the header, or `""`."""
        return self.subject.removeprefix("header ") if self.subject[:7] == "header " else ""

    @property
    def takes_nothing(self) -> bool:
        """Whether the empty text matches."""
        return re.fullmatch(self.regex, "") is not None


#: Alternatives; none: never; one without tests: always.
Alternatives: TypeAlias = "tuple[tuple[Check, ...], ...]"

_NEVER: Alternatives = ()
_ALWAYS: Alternatives = ((),)
#: Alternatives of one mount.
MAX_ALTERNATIVES = 64
#: Tests of one alternative: a line of HAProxy's has 64 words, and nginx reads 4096 characters.
MAX_TESTS = 50
#: Characters of a value; routers limit how deep a regular expression may be nested.
_MAX_VALUE = 120
#: Names of headers that all routers pass on and can be told: nginx and Caddy drop those with an
#: underscore, nginx those with other characters too.
_HEADER = re.compile("[a-z0-9-]+")
#: Headers of a connection, and those that a router sets, drops or answers by itself.
_OF_ROUTERS = re.compile(
    "connection|expect|forwarded|host|keep-alive|proxy-connection|script[-_]name|te|trailer"
    "|transfer-encoding|upgrade|x-envoy-.*|x[-_]forwarded[-_].*|x-real-ip|x-request-id"
)
#: A header is there.
PRESENT = ".*"

_ORIGIN = Check("header origin", PRESENT, about="origin")
_OPTIONS = Check("method", "OPTIONS", about="OPTIONS")
_WEBSOCKET = Check("header upgrade", "(?i:websocket)", about="websocket")


def either(*parts: Alternatives) -> Alternatives:
    return tuple(dict.fromkeys(one for part in parts for one in part))


def both(*parts: Alternatives) -> Alternatives:
    """Raises:
    PatternError: there are too many.
    """
    found: Alternatives = _ALWAYS
    for part in parts:
        pairs = (_joined((*a, *b)) for a, b in product(found, part))
        found = either(tuple(one for one in pairs if one is not None))
        if len(found) > MAX_ALTERNATIVES:
            raise PatternError(f"it has more than {MAX_ALTERNATIVES} alternatives")
    if any(len(tests) > MAX_TESTS for tests in found):
        raise PatternError(f"more than {MAX_TESTS} of them have to hold at a time")
    return found


def _joined(tests: Iterable[Check]) -> tuple[Check, ...] | None:
    """Without repetitions; `None` if they contradict each other."""
    found = tuple(dict.fromkeys(tests))
    is_possible = not any(test._replace(negated=not test.negated) in found for test in found)
    return found if is_possible else None


def inverted(alternatives: Alternatives) -> Alternatives:
    parts = (
        tuple((test._replace(negated=not test.negated),) for test in tests)
        for tests in alternatives
    )
    return both(*parts)


class Conditions:
    """Makes tests of conditions.

    Args:
        has_preflights: whether a preflight goes where the request goes that it announces; see
            `matching.preflights`.
        has_websockets: whether there may be any.
        default_port: of the scheme.
    """

    def __init__(
        self, *, has_preflights: bool, has_websockets: bool = True, default_port: int = 80
    ) -> None:
        self.has_preflights = has_preflights
        self.has_websockets = has_websockets
        self.default_port = default_port
        self._makers: dict[type[Any], Callable[[Any], Alternatives]] = {
            Header: self._header, Cookie: _cookie, Query: _query, Host: self._host,
            Method: self._method,
        }  # fmt: skip

    def of(self, matcher: Matcher, *, is_true: bool = True) -> Alternatives:
        """When a matcher takes a request, or does not.

        Raises:
            PatternError: no router can say this; with the reason.
        """
        if isinstance(matcher, Not):
            return self.of(matcher.part, is_true=not is_true)
        if isinstance(matcher, (And, Or)):
            parts = (self.of(part, is_true=is_true) for part in matcher.parts)
            return both(*parts) if isinstance(matcher, And) is is_true else either(*parts)
        make = self._makers.get(type(matcher))
        if make is None:
            raise PatternError(_REASONS.get(type(matcher).__name__, _OWN))
        excluded = matcher.methods if isinstance(matcher, Method) and not is_true else ()
        if "OPTIONS" in excluded and self.has_preflights:
            raise PatternError("it excludes OPTIONS, and so preflights, but not all of them")
        found = make(matcher)
        return found if is_true else inverted(found)

    def _host(self, matcher: Host) -> Alternatives:
        return ((self.host_test(matcher.pattern),),)

    def host_test(self, pattern: Any) -> Check:
        return Check("host", host_regex(pattern, self.default_port), about=pattern.pattern)

    def _method(self, matcher: Method) -> Alternatives:
        """A websocket has none; a preflight has that of the request that it announces."""
        names = sorted(matcher.methods)
        regex, shown = "|".join(map(literal, names)), " ".join(names)
        own: tuple[Check, ...] = (Check("method", regex, about=shown),)
        if self.has_websockets and "GET" in names:  # as which they begin
            own += (_WEBSOCKET._replace(negated=True),)
        if "CONNECT" in names:
            raise PatternError("CONNECT asks for a tunnel, which is never forwarded")
        if not self.has_preflights:
            return (own,)
        announced = [name for name in names if name != "OPTIONS"]
        if not announced:
            return (own,)
        regex = "|".join(map(literal, announced))
        asks = Check("header access-control-request-method", regex, about=f"for {shown}")
        return own, (_OPTIONS, _ORIGIN, asks)

    def _header(self, matcher: Header) -> Alternatives:
        if _HEADER.fullmatch(matcher.name) is None:
            raise PatternError(f"routers read the name {matcher.name!r} in several ways")
        if _OF_ROUTERS.fullmatch(matcher.name):
            raise PatternError(f"some routers set or drop the header {matcher.name!r} themselves")
        if isinstance(matcher.wanted, bool):
            name = matcher.name
            found: Alternatives = ((Check(f"header {name}", PRESENT, about=name),),)
            if self.has_preflights:
                space = r"[ \t]*".replace(" ", r"\x20")
                regex = f"(?i:(?:.*,)?{space}{literal(name)}{space}(?:,.*)?)"
                names = Check("header access-control-request-headers", regex, about=f"for {name}")
                found = either(found, ((*PREFLIGHT, names),))
            return found if matcher.wanted else inverted(found)
        value = _value(matcher, "")
        subject, about = f"header {matcher.name}", f"{matcher.name}={value}"
        return _all_equal(subject, literal(value), other_than([value], ""), about)


#: What makes a request a preflight. A request that announces OPTIONS or CONNECT is not one.
PREFLIGHT = (
    _OPTIONS,
    _ORIGIN,
    Check("header access-control-request-method", PRESENT, about="preflight"),
    Check("header access-control-request-method", "OPTIONS|CONNECT", True, about="for OPTIONS"),
)


def _all_equal(subject: str, wanted: str, other: str, about: str) -> Alternatives:
    """One value is what is wanted, and none is another."""
    return (
        (
            Check(subject, wanted, about=about),
            Check(subject, other, negated=True, about=f"{about} only"),
        ),
    )


def _value(matcher: Any, never: str) -> str:
    """The text that is wanted.

    Raises:
        PatternError: it is another thing, or routers could not compare it.
    """
    value = matcher.wanted
    if not isinstance(value, str):
        raise PatternError("a regular expression of Python's means something else in a router's")
    if not (value.isascii() and value.isprintable()) or {*value} & {*never}:
        raise PatternError(f"routers read the value {value!r} in several ways")
    if value != value.strip() or not value or len(value) > _MAX_VALUE:
        raise PatternError(
            f"the value {value!r} is empty, has spaces around it, or over {_MAX_VALUE} characters"
        )
    return value


def _cookie(matcher: Cookie) -> Alternatives:
    name = f"(?:.*;)?[\\x20\\t]*{literal(matcher.name)}[\\x20\\t]*="
    subject = "header cookie"
    if isinstance(matcher.wanted, bool):
        found: Alternatives = ((Check(subject, f"{name}.*", about=f"cookie {matcher.name}"),),)
        return found if matcher.wanted else inverted(found)
    value = _value(matcher, '"; \t')
    wanted = f"(?:{literal(value)}|\\x22{literal(value)}\\x22)"
    other = other_than([value, f'"{value}"'], ";", is_trimmed=True)
    return _all_equal(
        subject,
        f"{name}[\\x20\\t]*{wanted}[\\x20\\t]*(?:;.*)?",
        f"{name}{other}(?:;.*)?",
        f"cookie {matcher.name}={value}",
    )


def _query(matcher: Query) -> Alternatives:
    """`urllib.parse.parse_qsl`: `&` alone separates, `+` is a space."""
    name = matcher.name
    if not name or not (name.isascii() and name.isprintable()) or "%" in name:
        raise PatternError(f"routers read the name {name!r} in several ways")
    regex = "(?:.*&)?" + "".join(_in_query(char, "&+#= ") for char in name)
    if isinstance(matcher.wanted, bool):
        test = Check("query", f"{regex}(?:[=&].*)?", about=f"query {name}")
        found = ((test._replace(name=name, decoded=PRESENT),),)
        return found if matcher.wanted else inverted(found)
    value = _value(matcher, "%")
    wanted = f"{regex}={''.join(_in_query(char, '&+# ') for char in value)}(?:&.*)?"
    other = f"{regex}(?:&.*|={_other_in_query(value)}(?:&.*)?)?"
    ((is_there, is_alone),) = _all_equal("query", wanted, other, f"query {name}={value}")
    is_there = is_there._replace(name=name, decoded=literal(value))
    return ((is_there, is_alone._replace(name=name, decoded=other_than([value], ""))),)


def _in_query(char: str, never: str) -> str:
    """A character in all its spellings; those of `never` are not written as they are."""
    raw = "+" if char == " " else char
    if char in never and char != " ":
        return encoded(char)
    return f"(?:{literal(raw)}|{encoded(char)})"


def _other_in_query(value: str) -> str:
    """The spellings of every value but this one."""
    regex = "[^&]+"  # after the value
    for char in reversed(value):
        raw = "+" if char == " " else "" if char in "&+#" else char
        excluded = f"\\x{ord(raw):02X}" if raw else ""
        high, low = (f"{digit}{digit.lower()}" if digit.isalpha() else digit
                     for digit in f"{ord(char):02X}")  # fmt: skip
        forms = [
            f"[^%&{excluded}][^&]*",
            f"%(?:[^{high}&][^&]*|[{high}](?:[^{low}&][^&]*)?)?",
            f"{_in_query(char, '&+#')}{regex}",
        ]
        regex = f"(?:{'|'.join(forms)})?"
    return regex


_OWN = "it is a condition of your own, which is Python"
_REASONS = {
    "Accept": "q-values are weighed against each other",
    "Scheme": "the router may end TLS before, so that it cannot tell",
    "ScopeType": "servers tell websockets in several ways",
    "Client": "the peer is another one in front of the router than behind it",
}
