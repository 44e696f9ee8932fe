"""Rules: the conditions of one mount, their order, and what is said about them."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from mountkit import Cookie, Header, Host, Matcher, Method, Mount, PatternError, Query
from mountkit.matching.callers import call_site
from mountkit.matching.hosts import request_host
from mountkit.matching.rules import Rule
from tests.support.scopes import scope_of


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: Rule("/", methods="GET"),
            "methods='GET' is one text; write methods=['GET'].",
            id="methods-text",
        ),
        pytest.param(
            lambda: Rule("/", methods=[]),
            "Method() names no method; write e.g. Method('GET').",
            id="methods-empty",
        ),
        pytest.param(
            lambda: Rule("/", headers=[("a", "1")]),  # type: ignore[arg-type]
            "headers=[('a', '1')] is not a mapping; write headers={'x-version': '2'}.",
            id="headers-list",
        ),
        pytest.param(
            lambda: Rule("/", query="a=1"),  # type: ignore[arg-type]
            "query='a=1' is not a mapping; write query={'version': '2'}.",
            id="query-text",
        ),
        pytest.param(
            lambda: Rule("/", when=Header),  # type: ignore[arg-type]
            "when=<class 'mountkit.matching.conditions.Header'> is not a matcher; make an "
            "instance: when=Header(…).",
            id="when-class",
        ),
        pytest.param(
            lambda: Rule("/", priority="high"),  # type: ignore[arg-type]
            "Priority 'high' is not a whole number; write e.g. priority=10.",
            id="priority-text",
        ),
        pytest.param(
            lambda: Rule("/", priority=1.5),  # type: ignore[arg-type]
            "Priority 1.5 is not a whole number; write e.g. priority=10.",
            id="priority-float",
        ),
        pytest.param(
            lambda: Rule("/{t}", host="{t}.a.com"),
            "The placeholder 't' stands in the host '{t}.a.com' and in the path '/{t}'; rename "
            "one.",
            id="name-in-host-and-path",
        ),
    ],
)
def test_refused(make: Any, message: str) -> None:
    """A rule that can never work is refused: value, reason, fix."""
    with pytest.raises(PatternError) as caught:
        make()
    assert str(caught.value) == message


def test_methods_of_another_type() -> None:
    """What cannot be iterated over is no list of methods, and is told so."""
    with pytest.raises(PatternError, match=r"methods=5 .*write methods="):
        Rule("/", methods=5)  # type: ignore[arg-type]


# From the first to be tried to the last; neighbours differ in one thing.
ORDERED: list[dict[str, Any]] = [
    {"path": "/", "priority": 2},
    {"path": "/a/b/c", "host": "x.a.com", "priority": 1},
    {"path": "/", "host": "x.a.com:80", "exact": True},
    {"path": "/a", "host": "x.a.com:80"},
    {"path": "/a", "host": "x.a.com", "exact": True},
    {"path": "/a/b", "host": "x.a.com"},
    {"path": "/a", "host": "x.a.com"},
    {"path": "/", "host": "x.a.com", "methods": ["GET"]},
    {"path": "/", "host": "x.a.com", "headers": {"a": "1"}},
    {"path": "/a/b/c", "host": "*.b.a.com"},
    {"path": "/a/b/c", "host": "{n:int}.a.com"},
    {"path": "/a/b/c", "host": "{t}.a.com"},
    {"path": "/a/b/c", "host": "*.a.com"},
    {"path": "/a/b/c", "host": "*.com"},
    {"path": "/a/b", "exact": True},
    {"path": "/a/b/c"},
    {"path": "/a/b"},
    {"path": "/a/v{n}"},
    {"path": "/a/{n:int}"},
    {"path": "/a/{n}"},
    {"path": "/{n}/b"},
    {"path": "/a", "methods": ["GET"], "headers": {"a": "1", "b": "1"}, "query": {"q": "1"}},
    {"path": "/a", "methods": ["GET"], "headers": {"a": "1", "b": "1"}},
    {"path": "/a", "methods": ["GET"], "headers": {"a": "1"}, "query": {"q": "1", "r": "1"}},
    {"path": "/a", "methods": ["GET"], "headers": {"a": "1"}},
    {"path": "/a", "methods": ["GET"], "query": {"q": "1"}},
    {"path": "/a", "methods": ["GET"]},
    {"path": "/a", "headers": {"a": "1"}, "when": Cookie("c")},
    {"path": "/a", "headers": {"a": "1"}},
    {"path": "/a", "query": {"q": "1", "r": "1"}},
    {"path": "/a", "query": {"q": "1"}},
    {"path": "/a"},
    {"path": "/", "headers": {"a": "1"}},
    {"path": "/"},
    {"path": "/a/b", "host": "x.a.com", "priority": -1},
]


def test_rank() -> None:
    """Priority, host, exact, prefix, method, headers, query: each goes before all that follow."""
    ranks = [Rule(**options).rank for options in ORDERED]
    for (i, one), (j, other) in itertools.combinations(enumerate(ranks), 2):
        assert one < other, (ORDERED[i], ORDERED[j])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"headers": {"a": "1"}}, {"when": Header("b", False)}, id="headers"),
        pytest.param({"methods": ["GET"]}, {"when": ~Method("PUT")}, id="methods"),
        pytest.param({"query": {"a": "1"}}, {"when": Query("b")}, id="queries"),
        pytest.param({"headers": {"a": "1"}}, {"when": Cookie("c")}, id="cookies-are-headers"),
        pytest.param({}, {"when": Header("a") | Host("a.com")}, id="or-with-a-host"),
    ],
)
def test_equal_rank(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What is equally specific has the same rank: the order of declaration decides."""
    assert Rule("/", **one).rank == Rule("/", **other).rank


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param(
            {"headers": {"A": "1"}}, {"when": Header("a", "1")}, True, id="headers-and-when"
        ),
        pytest.param({"methods": ["GET"]}, {"when": Method("GET")}, True, id="methods-and-when"),
        pytest.param({"query": {"q": "1"}}, {"when": Query("q", "1")}, True, id="query-and-when"),
        pytest.param({"host": "a.com"}, {"when": Host("A.com.")}, True, id="host-and-when"),
        pytest.param(
            {"headers": {"a": "1"}, "when": Header("a", "1")}, {"headers": {"a": "1"}}, True,
            id="said-twice",
        ),
        pytest.param(
            {"when": Header("a") & Cookie("b")}, {"when": Cookie("b") & Header("a")}, True,
            id="order-of-and",
        ),
        pytest.param({"priority": 1}, {}, False, id="priority"),
        pytest.param({"exact": True}, {}, False, id="exact"),
        pytest.param({"when": Cookie("b")}, {}, False, id="condition"),
    ],
)  # fmt: skip
def test_key(one: dict[str, Any], other: dict[str, Any], equal: bool) -> None:
    """Rules that take the same requests have the same key, however they are written."""
    assert (Rule("/x", **one).key == Rule("/x", **other).key) is equal


def test_said_twice_counts_once() -> None:
    """To repeat a condition makes a rule no more specific."""
    twice = Rule("/", headers={"a": "1"}, when=Header("a", "1") & Header("a", "1"))
    assert twice.specificity == (0, 1, 0)


def test_second_host_is_a_condition() -> None:
    """One host is indexed, a second must hold as well."""
    rule = Rule("/", when=Host("*.a.com") & Host("{x}.b.a.com"))
    for host, taken in [("x.b.a.com", True), ("x.a.com", False), ("y.x.b.a.com", False)]:
        scope = scope_of(host=host)
        assert (rule.match(scope, "/", request_host(scope)) is not None) is taken


@pytest.mark.parametrize(
    ("when", "params"),
    [
        pytest.param(Host("{t}.a.com"), {"x": "x", "t": "acme"}, id="alone"),
        pytest.param(Host("{t}.a.com") & ~Header("b"), {"x": "x", "t": "acme"}, id="and"),
        pytest.param(Host("{t}.a.com") | Header("b"), {"x": "x"}, id="or"),
    ],
)
def test_host_matcher_captures(when: Matcher, params: dict[str, str]) -> None:
    """A `Host` matcher says what `host=` says, unless it is one of several ways to match."""
    scope = scope_of(host="acme.a.com")
    assert Rule("/{x}", when=when).match(scope, "/x", request_host(scope)) == ("/x", params)


@pytest.mark.parametrize(
    ("options", "request_options", "expected"),
    [
        pytest.param({}, {}, ("/x", {"n": 7}), id="path-alone"),
        pytest.param(
            {"host": "{t}.a.com"}, {"host": "acme.a.com"}, ("/x", {"t": "acme", "n": 7}), id="host"
        ),
        pytest.param({"host": "a.com"}, {"host": "b.com"}, None, id="host-refuses"),
        pytest.param({"methods": ["POST"]}, {}, None, id="method-refuses"),
        pytest.param(
            {"headers": {"a": "1"}, "query": {"q": "2"}},
            {"headers": [("a", "1")], "query": "q=2"},
            ("/x", {"n": 7}),
            id="conditions",
        ),
        pytest.param(
            {"headers": {"a": "1"}, "query": {"q": "2"}}, {"headers": [("a", "1")]}, None,
            id="one-condition-fails",
        ),
        pytest.param({"path": "/y/{n:int}"}, {}, None, id="path-refuses"),
    ],
)  # fmt: skip
def test_match(
    options: dict[str, Any], request_options: dict[str, Any], expected: tuple[str, Any] | None
) -> None:
    """All conditions must hold; the placeholders of host and path come together."""
    rule = Rule(**{"path": "/x/{n:int}", **options})
    scope = scope_of("/x/7/y", **request_options)
    found = rule.match(scope, "/x/7/y", request_host(scope))
    if expected is not None:
        expected = ("/x/7", expected[1])
    assert found == expected


@pytest.mark.parametrize(
    ("options", "request_options", "reason"),
    [
        pytest.param({"path": "/x"}, {}, None, id="taken"),
        pytest.param(
            {"path": "/x", "host": "a.com"},
            {"host": "b.com"},
            "host: wants 'a.com', the request has 'b.com'",
            id="host",
        ),
        pytest.param(
            {"path": "/x", "host": "a.com"},
            {},
            "host: wants 'a.com', the request has none, or not a valid one",
            id="no-host",
        ),
        pytest.param(
            {"path": "/y"},
            {},
            "path: wants one that starts with '/y', the request has '/x'",
            id="path",
        ),
        pytest.param(
            {"path": "", "exact": True},
            {},
            "path: wants one that is '/', the request has '/x'",
            id="exact-path",
        ),
        pytest.param(
            {"path": "/x", "methods": ["POST"], "headers": {"a": "1"}},
            {},
            "condition: Method('POST') does not hold",
            id="condition",
        ),
    ],
)
def test_refusal(
    options: dict[str, Any], request_options: dict[str, Any], reason: str | None
) -> None:
    """The first condition that fails is named."""
    scope = scope_of("/x", **request_options)
    assert Rule(**options).refusal(scope, "/x", request_host(scope)) == reason


@pytest.mark.parametrize(
    ("options", "other", "reason"),
    [
        pytest.param({"priority": 1}, {}, "priority", id="priority"),
        pytest.param({"host": "a.com"}, {}, "host", id="host"),
        pytest.param({"exact": True}, {}, "exact path", id="exact"),
        pytest.param({"path": "/a/b"}, {}, "longer prefix", id="prefix"),
        pytest.param({"methods": ["GET"]}, {}, "method", id="method"),
        pytest.param({"headers": {"a": "1"}}, {}, "header conditions", id="headers"),
        pytest.param({"query": {"a": "1"}}, {}, "query conditions", id="query"),
        pytest.param({}, {"query": {"a": "1"}}, None, id="outranked"),
        pytest.param({"query": {"a": "1"}}, {"query": {"b": "1"}}, None, id="equal"),
    ],
)
def test_outranks(options: dict[str, Any], other: dict[str, Any], reason: str | None) -> None:
    """What decides between two rules is named."""
    rules = [Rule(**{"path": "/a", **given}) for given in (options, other)]
    assert rules[0].outranks(rules[1]) == reason


def test_outranks_by_a_later_criterion_only_if_equal_before() -> None:
    """A rule with more headers does not outrank one with a longer prefix."""
    assert Rule("/a", headers={"a": "1"}).outranks(Rule("/a/b")) is None


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        pytest.param({"path": ""}, "'/'", id="root"),
        pytest.param({"path": "/a/"}, "'/a'", id="path"),
        pytest.param(
            {
                "path": "/a/",
                "host": "A.com",
                "methods": ["POST"],
                "when": ~Cookie("c"),
                "exact": True,
                "priority": 3,
            },
            "'/a/', host='A.com', when=Method('POST') & ~Cookie('c'), exact=True, priority=3",
            id="all",
        ),
    ],
)
def test_repr(options: dict[str, Any], shown: str) -> None:
    """A rule is shown as the arguments of its mount."""
    assert repr(Rule(**options)) == shown


def test_at_keeps_the_conditions() -> None:
    """The same rule at another path, as `include_router(prefix=…)` needs it."""
    rule = Rule("/a/{x}", host="{t}.a.com", headers={"a": "1"}, where="here:1")
    moved = rule.at("/v1/a/{x}")
    assert moved.path.path == "/v1/a/{x}"
    assert (moved.host, moved.conditions, moved.where) == (rule.host, rule.conditions, "here:1")
    assert rule.path.path == "/a/{x}"


@pytest.mark.parametrize(
    ("path", "moved"),
    [
        pytest.param("/x", "/v1/x", id="without-slash"),
        pytest.param("/x/", "/v1/x/", id="with-slash"),
    ],
)
def test_at_keeps_exact(path: str, moved: str) -> None:
    """An exact path keeps its trailing slash, or the lack of one."""
    rule = Rule(path, exact=True)
    assert rule.at("/v1" + rule.path.path).path.text == moved


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a%2520b", "/v1/a%20b", id="percent"),
        pytest.param("/what%3F", "/v1/what?", id="question-mark"),
        pytest.param("/%23", "/v1/#", id="hash"),
    ],
)
def test_at_does_not_decode_twice(path: str, expected: str) -> None:
    """A path that was decoded once is not decoded again where it is moved."""
    rule = Rule(path)
    assert rule.at("/v1" + rule.path.path).path.path == expected


def test_at_checks_names() -> None:
    """A prefix may not bring a placeholder that the host has."""
    with pytest.raises(PatternError, match="The placeholder 't' stands in the host"):
        Rule("/a", host="{t}.a.com").at("/{t}/a")


def test_own_matcher_is_asked_once() -> None:
    """The same instance twice is one condition."""

    class Counted(Matcher):
        calls = 0

        def matches(self, scope: Any) -> bool:
            Counted.calls += 1
            return True

    counted = Counted()
    assert Rule("/", when=counted & counted).match(scope_of(), "/", None) == ("", {})
    assert Counted.calls == 1


def test_call_site() -> None:
    """The nearest line outside of the toolkit: this one."""
    file, _, line = call_site().rpartition(":")
    assert os.path.samefile(file, __file__)
    assert int(line) == test_call_site.__code__.co_firstlineno + 2


def test_where_of_a_mount() -> None:
    """A mount knows where it was written, through Starlette's constructor and ours."""
    mount = Mount("/x", routes=[])
    assert mount.rule.where.startswith(__file__ + ":")
