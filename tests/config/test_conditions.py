"""`when`: expressions and tables."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mountkit import (
    Accept,
    Client,
    Cookie,
    Header,
    Host,
    Matcher,
    Method,
    PatternError,
    Query,
    Scheme,
    ScopeType,
)
from mountkit.config.conditions import matcher_of
from mountkit.config.models import WhenConfig
from mountkit.matching.matchers import identity

EXPRESSIONS: dict[str, Matcher] = {
    'Header("x-beta")': Header("x-beta"),
    " Header('x-beta', '2') ": Header("x-beta", "2"),
    "Header('x-beta', False)": Header("x-beta", False),
    "Header('x-beta', wanted=None)": Header("x-beta", None),
    r"Header('x-beta', Regex('v\d+'))": Header("x-beta", re.compile(r"v\d+")),
    "Header('a') & ~Client('10.0.0.0/8')": Header("a") & ~Client("10.0.0.0/8"),
    "(Header('a') | Cookie('b')) & Query('c', '1')": (Header("a") | Cookie("b")) & Query("c", "1"),
    "Accept('text/html', wildcard=True)": Accept("text/html", wildcard=True),
    "Method('GET', 'PUT')": Method("GET", "PUT"),
    "Scheme('https') & ScopeType('http')": Scheme("https") & ScopeType("http"),
    "Host('a.com') | Host('b.com')": Host("a.com") | Host("b.com"),
    "Header('a')\n  & Header('b')": Header("a") & Header("b"),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression(text: str) -> None:
    """It means what the same means in Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert identity(matcher_of(text)) == identity(EXPRESSIONS[text])


REFUSED = {
    "Header('a' &": "'(' was never closed",
    "": "invalid syntax",
    "Nope('a')": "'Nope' is not a matcher; there are Accept, Client, Cookie, Header, Host, Method, "
    "Query, Scheme, ScopeType",
    "Header": "'Header' is not called",
    "x": "\"x\" is not a matcher",
    "Header('a') and Header('b')": "'and', 'or' and 'not' are '&', '|' and '~' here",
    "not Header('a')": "'and', 'or' and 'not' are '&', '|' and '~' here",
    "Header('a') + Header('b')": "\"Header('a') + Header('b')\" is not a matcher",
    "Header(1)": "'1' is not a text, True, False or Regex('…')",
    "Header(f'{x}')": "\"f'{x}'\" is not a text, True, False or Regex('…')",
    "Header(__import__('os'))": "\"__import__('os')\" is not a text, True, False or Regex('…')",
    "__import__('os').system('x')": "\"__import__('os').system('x')\" is not a matcher",
    "Header(**{'name': 'a'})": "'**' is not possible",
    "Header(*['a'])": "\"*['a']\" is not a text, True, False or Regex('…')",
    "Header()": "Header() missing 1 required positional argument: 'name'",
    "Header('a', nope='b')": "Header() got an unexpected keyword argument 'nope'",
    "(lambda: 1)()": "'(lambda: 1)()' is not a matcher",
    "~" * 60 + "Header('a')": "it is nested too deeply",
    "Header('a')" + " " * 2000: "it has more than 2000 characters",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_an_expression_that_cannot_be_read(text: str) -> None:
    """The reason, and an example. Nothing of it is run."""
    with pytest.raises(PatternError) as caught:
        matcher_of(text)
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    reason = REFUSED[text].replace('"x"', "'x'")
    assert str(caught.value) == (
        f"when = {shown!r} cannot be read: {reason}; write e.g. "
        'Header("x-beta") & ~Client("10.0.0.0/8").'
    )


def test_what_a_matcher_refuses() -> None:
    """Its own sentence."""
    with pytest.raises(PatternError, match=r"^Scheme 'ftp' is not known"):
        matcher_of("Scheme('ftp')")


def test_a_regular_expression_that_is_none() -> None:
    """The reason of `re`."""
    with pytest.raises(PatternError, match=r"^The regular expression '\(' is not valid: missing"):
        matcher_of("Header('a', Regex('('))")


TABLES: dict[str, tuple[dict[str, Any], Matcher]] = {
    "header": ({"header": {"a": True, "b": "2"}}, Header("a") & Header("b", "2")),
    "cookie": ({"cookie": {"a": False}}, Cookie("a", False)),
    "query": ({"query": {"a": {"regex": "x+"}}}, Query("a", re.compile("x+"))),
    "client": ({"client": ["10.0.0.0/8", "::1"]}, Client("10.0.0.0/8", "::1")),
    "accept": ({"accept": "text/html"}, Accept("text/html")),
    "method": ({"method": ["GET"]}, Method("GET")),
    "host": ({"host": ["a.com", "b.com"]}, Host("a.com") | Host("b.com")),
    "scheme": ({"scheme": "https", "type": "http"}, Scheme("https") & ScopeType("http")),
    "any": ({"any": [{"scheme": "https"}, {"method": "GET"}]}, Scheme("https") | Method("GET")),
    "not": ({"not": {"scheme": "https"}}, ~Scheme("https")),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table(name: str) -> None:
    """All of it must hold."""
    table, matcher = TABLES[name]
    assert identity(matcher_of(WhenConfig.model_validate(table))) == identity(matcher)


def test_no_hosts_in_a_table() -> None:
    """As for the other lists."""
    with pytest.raises(PatternError, match=r"^when has host = \[\], so nothing matches; write"):
        matcher_of(WhenConfig(host=[]))


def test_an_argument_that_is_long() -> None:
    """It is cut."""
    with pytest.raises(PatternError, match=r": \"'x{58}…\" is not a text"):
        matcher_of(f"Header('{'x' * 100}' + 1)")


def test_an_empty_table() -> None:
    """It would say nothing."""
    with pytest.raises(PatternError, match=r"^when has an empty table; write a condition"):
        matcher_of(WhenConfig())


PIECES = st.sampled_from(
    [*"()&|~,'\"=*[]{}.: \n\\\0", "Header", "Regex", "Client", "'a'", "True", "10.0.0.0/8", "not "]
)


@given(st.lists(PIECES, max_size=30).map("".join) | st.text())
@example("(" * 500)
@example("~" * 1999)
@example("Header('a')" + "&Header('a')" * 150)
@example("a" + ".a" * 900)
def test_no_text_makes_it_fail(text: str) -> None:
    """It is a matcher, or it is refused."""
    with suppress(PatternError):
        assert isinstance(matcher_of(text), Matcher)
