"""Each public matcher is known wherever matchers are listed."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse

import mountkit
from mountkit import Dispatcher, Matcher, Mount, PatternError
from mountkit.config.conditions import matcher_of
from mountkit.export.conditions import Conditions
from mountkit.matching.witnesses import is_opaque
from mountkit.status.words import HIDDEN, in_words

#: As a file writes each.
WRITTEN = {
    "Accept": 'Accept("text/html")',
    "Client": 'Client("10.0.0.0/8")',
    "Cookie": 'Cookie("a", "b")',
    "Header": 'Header("x-a", "b")',
    "Host": 'Host("a.example")',
    "Method": 'Method("GET")',
    "Query": 'Query("a", "b")',
    "Scheme": 'Scheme("https")',
    "ScopeType": 'ScopeType("websocket")',
}
each = pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
app = PlainTextResponse("x")


def test_all_are_here() -> None:
    public = {name: getattr(mountkit, name) for name in mountkit.__all__}
    matchers = {
        name
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, Matcher) and value is not Matcher
    }
    assert matchers == set(WRITTEN)


@each
def test_the_file(text: str) -> None:
    """`when = '…'`."""
    assert type(matcher_of(text)).__name__ == text.partition("(")[0]


@each
def test_words(text: str) -> None:
    """The status page does not hide it."""
    assert HIDDEN not in in_words(matcher_of(text))


@each
def test_conflicts(text: str) -> None:
    """`check` finds requests that it takes, and such that it does not."""
    table = Dispatcher([Mount("/a", app, when=matcher_of(text)), Mount("/a", app)]).table
    assert not any(is_opaque(mount.rule) for mount in table.declared)
    assert table.check() == []


@each
def test_export(text: str) -> None:
    """It becomes tests of the router, or there is a reason of its own."""
    reason = ""
    try:
        Conditions(has_preflights=False).of(matcher_of(text))
    except PatternError as exc:
        reason = str(exc)
    assert "condition of your own" not in reason
