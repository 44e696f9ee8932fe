"""Regular expressions of hosts, paths and values, held against what mountkit reads."""

from __future__ import annotations

import itertools
import re

import pytest

from mountkit import Cookie, Header, Matcher, Query
from mountkit.export.conditions import Conditions
from mountkit.export.spellings import (
    HOST,
    LONG_HOST,
    alternatives,
    host_regex,
    literal,
    other_than,
)
from mountkit.matching.hosts import HostPattern, parse_host, request_host
from tests.support.exporting import Asked, holds

HOSTS = (
    *("a.com", "A.com", "a.com.", "a.com..", ".a.com", "a..com", "a_b.c", "-a.com", "a-.com", "a"),
    *("a.com:", "a.com:0", "a.com:80", "a.com:00080", "a.com:65535", "a.com:65536", "a.com:99999"),
    *("a.com:000000", "a.com:100000", "a.com:x", "", "a b", "u@a.com", "a/b", "é.com", "a,b"),
    *("x" * 63, "x" * 64, ".".join(["x" * 63] * 4), ".".join(["x" * 61] * 4) + ".abcdefg"),
    *(".".join(["x" * 61] * 4) + ".abcdefgh", ".".join(["x" * 61] * 4) + ".abcdefg.", "1.2.3.4"),
    *(".".join(["x" * 61] * 4) + ".abcdefg.:00080", ".".join(["x" * 61] * 4) + ".abcdefg.:000080"),
    *("[::]", "[::1]", "[::1]:80", "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7::]"),
    *("[::2:3:4:5:6:7:8]", "[1::3:4:5:6:7:8]", "[1::2::3]", "[::1.2.3.4]", "[::01.2.3.4]", "[::g]"),
    *("[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:7:1.2.3.4]", "[::256.1.1.1]", "[00000::1]", "[:1]"),
    *("[1:2:3:4:5::1.2.3.4]", "[1:2:3:4:5:6::1.2.3.4]", "[v1.a:b]", "[vX.a]", "[::1", "::1", "[]"),
)


@pytest.mark.parametrize("value", HOSTS)
def test_hosts(value: str) -> None:
    """A value is a host, or it is not."""
    is_host = re.fullmatch(HOST, value) and not re.fullmatch(LONG_HOST, value)
    assert bool(is_host) == (parse_host(value) is not None)


PATTERNS = (
    *("a.com", "*.a.com", "{t}.a.com", "a{t}.com", "v{n:int}.a.com", "{f:float}.a.com", "a.com:80"),
    *("a.com:8000", "{u:uuid}.a.com", "{x:path}.com", "*.{t}.com", "xn--bcher-kva.de", "bücher.de"),
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_host_patterns(pattern: str) -> None:
    """A pattern takes the same values."""
    regex = host_regex(HostPattern(pattern))
    uuid = "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"
    names = ("a.com", "b.a.com", "c.b.a.com", "ab.com", "v7.a.com", "7.a.com", f"{uuid}.a.com")
    for name, end in itertools.product((*names, "xn--bcher-kva.de", "A.com", "[::1]"), ENDS):
        value = name + end
        if parse_host(value) is not None:
            host = request_host(Asked(headers=(("Host", value),)).scope)
            expected = HostPattern(pattern).match(host) is not None
            assert bool(re.fullmatch(regex, value)) == expected, value


ENDS = ("", ".", ":", ":80", ":080", ":8000", ".:80", ".:8000")


@pytest.mark.parametrize("words", [["a"], ["ab"], ["aab"], ["a.b"], ["a", "ab"], ["", "aa"]])
def test_other_than(words: list[str]) -> None:
    """Every text but these."""
    regex = re.compile(other_than(words, ";"))
    for length in range(5):
        for chars in itertools.product("ab. ", repeat=length):
            text = "".join(chars)
            assert bool(regex.fullmatch(text)) == (text not in words), text


@pytest.mark.parametrize("words", [["a"], ["ab"], ["a", '"a"']])
def test_other_than_with_spaces_around(words: list[str]) -> None:
    """They do not count."""
    regex = re.compile(other_than(words, ";", is_trimmed=True))
    for length in range(6):
        for chars in itertools.product('ab" ', repeat=length):
            text = "".join(chars)
            assert bool(regex.fullmatch(text)) == (text.strip() not in words), text


def test_literal() -> None:
    """Nothing in it has a meaning, or has to be quoted."""
    text = "".join(map(chr, range(0x20, 0x7F)))
    assert re.fullmatch(literal(text), text)
    assert not {*" \"'`#{}"} & {*literal(text)}


CONDITIONS = (
    Header("x-a", "a+b"),
    ~Header("x-a", "a+b"),
    Cookie("c", "a+b"),
    ~Cookie("c", "a+b"),
    Cookie("c"),
    Cookie("c", False),
    Query("q", "a b"),
    Query("q", "a=+&#\"'"),
    ~Query("q", "a b"),
    Query("q"),
    Query("q", False),
    Query("a=b", "1"),
)
VALUES = ("a+b", "a b", "a", "", "ab+", '"a+b"', " a+b ", "b", '"', 'a+b"', "a+bb", "aa+b")
QUERIES = (
    *("a+b", "a%20b", "a%2Bb", "%61+b", "a%2B", "a%", "a%2", "a+b%", "a+bb", "", "A+b"),
    *("a=%2B%26%23%22%27", "a%3D%2b%26%23\"'", "a%3d%2b%26%23%22'x", "%zz", "a%zz", "%6", "%61%6"),
)


@pytest.mark.parametrize("condition", CONDITIONS, ids=repr)
def test_conditions(condition: Matcher) -> None:
    """Hold for the same requests, however often and in whatever spelling a value comes."""
    alternatives = Conditions(has_preflights=False).of(condition)
    asks = [Asked("/?a%3Db=1"), Asked("/?a=b=1"), Asked("/?q"), Asked("/?qq=1&q=")]
    for count in range(3):
        for values in itertools.product(VALUES, repeat=count):
            lines = [("X-A", value.strip()) for value in values]
            lines += [("Cookie", f"c={value}") for value in values]
            asks.append(Asked("/", headers=(("Host", "a"), *lines)))
            joined = "; ".join(f"c ={value}" for value in values)
            asks.append(Asked("/", headers=(("Host", "a"), ("Cookie", f"d=1; {joined}"))))
        pairs = ([f"q={one}" for one in some] for some in itertools.product(QUERIES, repeat=count))
        asks += [Asked("/?x=1&" + "&".join(some)) for some in pairs]
    for asked in asks:
        found = any(holds(tests, asked) for tests in alternatives)
        assert found == condition.matches(asked.scope), asked


def test_alternatives() -> None:
    """Outside of groups, classes and escapes."""
    assert alternatives(r"a|(?:b|c)|[|(]\||[^|\]|]d") == ["a", "(?:b|c)", r"[|(]\|", r"[^|\]|]d"]
    assert alternatives("a") == ["a"]
