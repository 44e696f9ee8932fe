"""Requests as bytes, as mountkit's scopes, and as the subjects of an exported plan."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import Scope

from mountkit import (
    ConflictError,
    Cookie,
    Header,
    Host,
    Matcher,
    Method,
    Mount,
    PatternError,
    Query,
    Table,
)
from mountkit.export.plans import Plan
from mountkit.export.spellings import NOT_A_PATH, QUERY
from mountkit.export.upstreams import Upstream


class Asked(NamedTuple):
    """A request of HTTP/1.1."""

    target: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = (("Host", "a.com"),)

    @property
    def raw(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def scope(self) -> Scope:
        """As uvicorn makes it."""
        path, _, query = self.target.partition("?")
        headers = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in self.headers]
        is_websocket = any(k == b"upgrade" and v.lower() == b"websocket" for k, v in headers)
        scope: Scope = {
            "type": "websocket" if is_websocket else "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws" if is_websocket else "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "root_path": "",
            "query_string": query.encode("latin-1"),
            "headers": headers,
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        return scope if is_websocket else {**scope, "method": self.method}

    def lines(self, subject: str) -> list[str]:
        """What a test of a plan looks at."""
        path, _, query = self.target.partition("?")
        if subject == "path":
            return [path]
        if subject == "query":
            return [query]
        if subject == "method":
            return [self.method]
        name = "host" if subject == "host" else subject.removeprefix("header ")
        return [value for key, value in self.headers if key.lower() == name]


@lru_cache(maxsize=10_000)
def compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex)


def holds(tests: Sequence[Any], asked: Asked) -> bool:
    return all(
        any(compiled(test.regex).fullmatch(line) for line in asked.lines(test.subject))
        is not test.negated
        for test in tests
    )


def is_refused(plan: Plan, asked: Asked) -> bool:
    """Whether an exported router refuses a request, whatever mounts there are."""
    hosts = asked.lines("host")
    return len(hosts) != 1 or any(holds(row.all, asked) for row in plan.refusals)


def is_well_formed(asked: Asked) -> bool:
    """Whether it is what `--assume well-formed` means: its target could be a URL's."""
    path, query = asked.lines("path")[0], asked.lines("query")[0]
    is_url = not compiled(NOT_A_PATH).fullmatch(path) and compiled(QUERY).fullmatch(query)
    return bool(is_url) and not re.search("%(?![0-9A-Fa-f]{2})", query)


def normal(target: str) -> str:
    """A target as RFC 3986, section 6.2.2, normalises its percent-encoding, and as Go writes its
    query."""

    def decoded(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if re.fullmatch("[A-Za-z0-9._~-]", char) else match[0].upper()

    path, mark, query = target.partition("?")
    path = re.sub("%([0-9A-Fa-f]{2})", decoded, path)
    return path + mark + query.replace(";", "%3B")


def planned(plan: Plan, asked: Asked) -> str | int:
    """Where a plan sends a request: the name of an upstream, or a status."""
    if len(asked.lines("host")) != 1:
        return 400
    to = next(row.to for row in plan.rows if holds(row.all, asked))
    return to.name if isinstance(to, Upstream) else to


# Random tables and requests.

SEGMENTS = (
    *(
        "a",
        "b",
        "ab",
        "a.b",
        "A",
        "%C3%A9",
        "a b",
        "@x",
        "{x}",
        "{y}",
        "{n:int}",
        "v{n}",
        "v{n:int}",
    ),
    *("{x}-{y}", "{f:float}", "a(b)"),
)
RAW = (
    *(
        "a",
        "b",
        "ab",
        "a.b",
        "A",
        "%C3%A9",
        "%c3%a9",
        "%61",
        "a%62",
        "7",
        "%37",
        "v7",
        "a-b-c",
        "a-",
        "3.5",
    ),
    *("", ".", "..", "%2e", "%2E%2e", "%2F", "a%2Fb", "a%2fb", "%5C", "a%5cb", ".%2F", "%2F%2F"),
    *("a%20b", "@x", "%40x", "a(b)", "a%28b%29", "x", ".a", "..a", "...", "v", "a;b", "%ff"),
)
#: What mountkit reads, and no exported router lets in.
NEVER = ("\\", "a\\b", "%", "%zz", "%00", "%0a", "a#b", "\xe9", "{x}", "%7f")
HOSTS = (
    *("a.com", "b.a.com", "*.a.com", "*.b.a.com", "{t}.a.com", "{t}.com", "a.com:8000", "a.com:80"),
    *("a{t}.com", "v{n:int}.a.com", "*.a.com:8000"),
)
ASKED = (
    *("a.com", "A.com", "a.com.", "a.com:80", "a.com:8000", "a.com:", "a.com:08000", "b.a.com"),
    *("c.b.a.com", "v7.a.com", "x.com", "ab.com", "127.0.0.1", "[::1]", "[::1]:8000", "a_b.a.com"),
)
BAD_HOSTS = ("a..com", "a.com:99999", "a" * 70 + ".com", "-.com", "[::g]", "u@a.com", "a.com:x")
VALUES = ("1", "2", "a b")
QUERIES = (
    *("", "q=1", "q=2", "q=1&q=2", "q=1&q=1", "q=%31", "q=+", "%71=1", "q", "q=", "q=11", "q=a+b"),
    *(
        "q=a%20b",
        "x=1&q=1",
        "q=1&x",
        "q=1#",
        "q=1;q=2",
        "q=%3",
        "q=%3x",
        "Q=1",
        "qq=1",
        "q=a b".replace(" ", "+"),
    ),
)
COOKIES = (
    *(
        "c=1",
        "c=2",
        'c="1"',
        "c=1; c=2",
        "c=1; c=1",
        "d=1; c=1",
        "c = 1",
        "c=11",
        "c",
        "cc=1",
        "c=",
        'c="',
    ),
    *("c=1;d", "C=1", 'c="1', "d=c=1", "c=1 ; x=2", 'c=1"'),
)


def _conditions(source: random.Random) -> Iterator[Matcher]:
    if source.random() < 0.2:
        yield Method(*source.choice((("GET",), ("PUT",), ("PUT", "DELETE"))))
    if source.random() < 0.2:
        yield Header("x-h", source.choice((*VALUES, True, False)))
    if source.random() < 0.15:
        yield Query("q", source.choice(("1", "2", "a b", True, False)))
    if source.random() < 0.15:
        yield Cookie("c", source.choice(("1", "2", True, False)))
    if source.random() < 0.05:
        yield ~Header("x-h", "1")
    if source.random() < 0.05:
        yield Header("x-h", "1") | Query("q", "1")
    if source.random() < 0.05:
        yield ~(Method("PUT") | Host("b.a.com"))


async def _app(scope: Scope, receive: object, send: object) -> None: ...


def table(source: random.Random, count: int = 12, *, is_simple: bool = False) -> list[Mount]:
    """Mounts that go together.

    Args:
        is_simple: without conditions.
    """
    found: list[Mount] = []
    for _ in range(source.randint(1, count)):
        path = "".join("/" + source.choice(SEGMENTS) for _ in range(source.randint(0, 3)))
        when: Matcher | None = None
        for one in () if is_simple else _conditions(source):
            when = one if when is None else when & one
        options: Any = {
            "host": source.choice(HOSTS) if source.random() < 0.4 else None,
            "exact": source.random() < 0.2,
            "priority": int(source.random() < 0.05),
        }
        with suppress(ConflictError, PatternError):
            mount = Mount(path + "/" * (source.random() < 0.2), _app, when=when, **options)
            Table([*found, mount])
            found.append(mount)
    return found


def requests(source: random.Random, *, is_odd: bool = True, is_repeating: bool = False) -> Asked:
    """Anything that a client may send.

    Args:
        is_odd: also what mountkit reads, and no exported router lets in.
        is_repeating: headers may come twice, be empty, or be named by `Connection`.
    """
    segments = [source.choice(RAW) for _ in range(source.randint(0, 4))]
    if is_odd and source.random() < 0.05:
        segments.append(source.choice(NEVER))
    target = "/" + "/".join(segments)
    query = source.choice(QUERIES) if source.random() < 0.5 else ""
    host = source.choice(BAD_HOSTS) if is_odd and source.random() < 0.05 else source.choice(ASKED)
    headers = [("Host", host)]
    headers += [("X-H", source.choice(VALUES)) for _ in range(source.choice((0, 0, 1)))]
    headers += [("Cookie", source.choice(COOKIES))] * source.choice((0, 0, 1))
    if is_repeating:
        more = (("x-h", source.choice((*VALUES, ""))), ("cookie", source.choice(COOKIES)))
        headers += [one for one in more if source.random() < 0.2]
        headers += [("Connection", "x-h")] * (source.random() < 0.1)
    method = source.choice(("GET", "GET", "POST", "PUT", "OPTIONS"))
    if method == "OPTIONS" and source.random() < 0.8:
        headers += [("Origin", "http://x")] * source.choice((0, 1, 1))
        asked = source.choice(("PUT", "DELETE", "OPTIONS", "GET"))
        headers.append(("Access-Control-Request-Method", asked))
        names = source.choice(("x-h", "a, X-H ,b", "x-hh"))
        headers += [("Access-Control-Request-Headers", names)] * source.choice((0, 1))
    return Asked(target + (f"?{query}" if query else ""), method, tuple(headers))
