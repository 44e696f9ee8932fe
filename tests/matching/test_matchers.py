"""Matchers: what each takes, how they compose, and how much they weigh."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Scope

from mountkit import (
    Accept,
    Client,
    Cookie,
    Header,
    Host,
    Matcher,
    Method,
    Mount,
    PatternError,
    Query,
    Resolution,
    Scheme,
    ScopeType,
    Table,
)
from mountkit.matching import readings
from mountkit.matching.matchers import Specificity
from mountkit.matching.rules import Rule
from tests.support.scopes import scope_of

Headers = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("wanted", "values", "expected"),
    [
        pytest.param("2", ["2"], True, id="equal"),
        pytest.param("2", ["22"], False, id="longer"),
        pytest.param("2", [], False, id="missing"),
        pytest.param("v", ["V"], False, id="case-of-values-counts"),
        pytest.param("2", ["2", "2"], True, id="twice-the-same"),
        pytest.param("2", ["2", "3"], False, id="conflicting"),
        pytest.param("2", ["3", "2"], False, id="conflicting-other-order"),
        pytest.param("2, 3", ["2", "3"], False, id="values-are-not-joined"),
        pytest.param("", [""], True, id="empty"),
        pytest.param("", [], False, id="empty-is-not-missing"),
        pytest.param("é", ["é"], True, id="latin-1"),
        pytest.param(re.compile("v[12]"), ["v1"], True, id="regex"),
        pytest.param(re.compile("v[12]"), ["v12"], False, id="regex-whole"),
        pytest.param(re.compile("v[12]"), ["xv1"], False, id="regex-from-the-start"),
        pytest.param(re.compile("v[12]"), ["v1\n"], False, id="regex-newline"),
        pytest.param(re.compile("v[12]"), ["v1", "v1"], True, id="regex-twice-the-same"),
        pytest.param(re.compile("v[12]"), ["v1", "v2"], False, id="regex-of-two-values"),
        pytest.param(re.compile("v[12]"), ["v1", "v3"], False, id="regex-conflicting"),
        pytest.param(re.compile(".*"), [], False, id="regex-missing"),
        pytest.param(True, ["x"], True, id="present"),
        pytest.param(True, [""], True, id="present-empty"),
        pytest.param(True, [], False, id="present-missing"),
        pytest.param(False, [], True, id="absent"),
        pytest.param(False, ["x"], False, id="absent-present"),
        pytest.param(None, [], True, id="none-is-absent"),
        pytest.param(None, [""], False, id="none-empty"),
    ],
)
def test_header(wanted: Any, values: list[str], expected: bool) -> None:
    """A header is equal, fully matched, present or absent; two values must both do."""
    scope = scope_of(headers=[("x-v", value) for value in values])
    assert Header("X-V", wanted).matches(scope) is expected


def test_header_present_is_the_default() -> None:
    """`Header("x")` asks whether it is there."""
    assert Header("x-v") == Header("x-v", True)


@pytest.mark.parametrize(
    ("wanted", "headers", "expected"),
    [
        pytest.param("1", [("cookie", "beta=1")], True, id="alone"),
        pytest.param("1", [("cookie", "a=0; beta=1; c=2")], True, id="among-others"),
        pytest.param("1", [("cookie", "a=0;beta=1")], True, id="no-space"),
        pytest.param("1", [("cookie", "a=0"), ("cookie", "beta=1")], True, id="split-headers"),
        pytest.param("1", [("cookie", 'beta="1"')], True, id="quoted"),
        pytest.param("1", [("cookie", 'beta="1')], False, id="quote-before"),
        pytest.param("1", [("cookie", 'beta=1"')], False, id="quote-behind"),
        pytest.param("1", [("cookie", 'beta=""1""')], False, id="quoted-twice"),
        pytest.param('"1', [("cookie", 'beta="1')], True, id="one-quote-is-of-the-value"),
        pytest.param('"', [("cookie", 'beta="')], True, id="quote-alone"),
        pytest.param("", [("cookie", 'beta=""')], True, id="quoted-empty"),
        pytest.param("1", [("cookie", 'beta=1; beta="1')], False, id="conflicting-by-a-quote"),
        pytest.param(re.compile("[12]"), [("cookie", "beta=1; beta=2")], False, id="regex-of-two"),
        pytest.param("a=b", [("cookie", "beta=a=b")], True, id="value-with-equals-sign"),
        pytest.param("1", [("cookie", "beta=1; beta=2")], False, id="conflicting"),
        pytest.param("1", [("cookie", "beta=2"), ("cookie", "beta=1")], False, id="split-conflict"),
        pytest.param("1", [("cookie", "beta=1; beta=1")], True, id="twice-the-same"),
        pytest.param("1", [("cookie", "Beta=1")], False, id="case-of-names-counts"),
        pytest.param("1", [("cookie", "xbeta=1")], False, id="longer-name"),
        pytest.param(True, [("cookie", "beta=")], True, id="present-empty"),
        pytest.param(True, [("cookie", "beta")], False, id="no-equals-sign"),
        pytest.param(True, [("cookie", "")], False, id="empty-header"),
        pytest.param(True, [("x-cookie", "beta=1")], False, id="another-header"),
        pytest.param(False, [("cookie", "a=1")], True, id="absent"),
        pytest.param(re.compile("[0-9]+"), [("cookie", "beta=12")], True, id="regex"),
        pytest.param(re.compile("[0-9]"), [("cookie", "beta=12")], False, id="regex-whole"),
    ],
)
def test_cookie(wanted: Any, headers: Headers, expected: bool) -> None:
    """Cookies are read from every `Cookie` header, as HTTP/2 may split it."""
    assert Cookie("beta", wanted).matches(scope_of(headers=headers)) is expected


@pytest.mark.parametrize(
    ("wanted", "query", "expected"),
    [
        pytest.param("2", "v=2", True, id="equal"),
        pytest.param("2", "a=1&v=2&b", True, id="among-others"),
        pytest.param("a b", "v=a+b", True, id="plus"),
        pytest.param("a b", "v=a%20b", True, id="percent"),
        pytest.param("a+b", "v=a%2Bb", True, id="encoded-plus"),
        pytest.param("é", "v=%C3%A9", True, id="utf-8"),
        pytest.param("2", "%76=2", True, id="encoded-name"),
        pytest.param("2", "V=2", False, id="case-of-names-counts"),
        pytest.param("2", "v=2&v=2", True, id="twice-the-same"),
        pytest.param("2", "v=2&v=3", False, id="conflicting"),
        pytest.param("2", "v=2;w=3", False, id="semicolon-is-no-separator"),
        pytest.param(True, "v", True, id="no-equals-sign"),
        pytest.param("", "v=", True, id="empty"),
        pytest.param(True, "", False, id="missing"),
        pytest.param(False, "w=1", True, id="absent"),
        pytest.param(re.compile("[12]"), "v=1", True, id="regex"),
        pytest.param(re.compile("[12]"), "v=12", False, id="regex-whole"),
        pytest.param(re.compile("[12]"), "v=1&v=2", False, id="regex-of-two-values"),
        pytest.param(re.compile("[12]"), "v=1&%76=2", False, id="regex-of-two-spellings"),
        pytest.param(re.compile("[12]?"), "v=1&v", False, id="regex-of-one-and-nothing"),
    ],
)
def test_query(wanted: Any, query: str, expected: bool) -> None:
    """Names and values are decoded before they are compared."""
    assert Query("v", wanted).matches(scope_of(query=query)) is expected


def test_query_without_query_string() -> None:
    """A scope without a query string has no parameters."""
    scope = scope_of()
    del scope["query_string"]
    assert not Query("v").matches(scope)


@pytest.mark.parametrize(
    ("methods", "method", "expected"),
    [
        pytest.param(["GET"], "GET", True, id="same"),
        pytest.param(["GET"], "HEAD", False, id="get-takes-no-head"),
        pytest.param(["HEAD"], "GET", False, id="head-takes-no-get"),
        pytest.param(["POST"], "HEAD", False, id="post-takes-no-head"),
        pytest.param(["POST", "PUT"], "PUT", True, id="one-of"),
        pytest.param(["post"], "POST", True, id="written-in-lower-case"),
        pytest.param(["POST"], "post", False, id="requests-are-case-sensitive"),
        pytest.param(["PROPFIND"], "PROPFIND", True, id="webdav"),
    ],
)
def test_method(methods: list[str], method: str, expected: bool) -> None:
    """One of the methods."""
    assert Method(*methods).matches(scope_of(method=method)) is expected


def test_method_and_websocket() -> None:
    """A websocket has no method: it is none of them, and not one of them."""
    scope = scope_of(type="websocket")
    assert not Method("GET").matches(scope)
    assert (~Method("GET")).matches(scope)


@pytest.mark.parametrize(
    ("scheme", "wanted", "expected"),
    [
        pytest.param("http", "http", True, id="http"),
        pytest.param("ws", "http", True, id="ws"),
        pytest.param("https", "https", True, id="https"),
        pytest.param("wss", "https", True, id="wss"),
        pytest.param("ws", "https", False, id="ws-is-not-https"),
        pytest.param("https", "http", False, id="https-is-not-http"),
    ],
)
def test_scheme(scheme: str, wanted: Any, expected: bool) -> None:
    """A websocket's scheme counts as the one it was upgraded from."""
    assert Scheme(wanted).matches(scope_of(scheme=scheme)) is expected


def test_scheme_missing() -> None:
    """`scheme` is optional in ASGI, and `http` by default."""
    assert Scheme("http").matches({"type": "http"})


def test_scope_type() -> None:
    """`http` or `websocket`."""
    assert ScopeType("websocket").matches(scope_of(type="websocket"))
    assert not ScopeType("websocket").matches(scope_of())


@pytest.mark.parametrize(
    ("networks", "client", "expected"),
    [
        pytest.param(["10.0.0.0/8"], ("10.1.2.3", 1), True, id="inside"),
        pytest.param(["10.0.0.0/8"], ("11.1.2.3", 1), False, id="outside"),
        pytest.param(["127.0.0.1"], ("127.0.0.1", 1), True, id="address"),
        pytest.param(["10.0.0.0/8", "::1"], ("::1", 1), True, id="one-of"),
        pytest.param(["10.0.0.0/8"], ("::ffff:10.0.0.1", 1), True, id="ipv4-mapped-peer"),
        pytest.param(["::ffff:10.0.0.0/104"], ("10.0.0.1", 1), True, id="ipv4-mapped-network"),
        pytest.param(["::ffff:10.0.0.0/104"], ("::ffff:10.0.0.1", 1), True, id="ipv4-mapped-both"),
        pytest.param(["::/0"], ("10.0.0.1", 1), False, id="ipv6-is-not-ipv4"),
        pytest.param(["fe80::/10"], ("fe80::1%eth0", 1), True, id="zone"),
        pytest.param(["0.0.0.0/0"], None, False, id="no-peer"),
        pytest.param(["0.0.0.0/0"], ("", 0), False, id="no-address"),
        pytest.param(["0.0.0.0/0"], (None, None), False, id="unix-socket"),
        pytest.param(["0.0.0.0/0"], ("testclient", 50000), False, id="name"),
        pytest.param(["0.0.0.0/0"], ["10.0.0.1", 1], True, id="list"),
    ],
)
def test_client(networks: list[str], client: Any, expected: bool) -> None:
    """The peer lies in one of the networks; a peer without an address lies in none."""
    assert Client(*networks).matches(scope_of(client=client)) is expected


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        pytest.param(["A.com."], True, id="normal-form"),
        pytest.param(["b.com"], False, id="another"),
        pytest.param([], False, id="none"),
        pytest.param(["a.com", "a.com"], False, id="two"),
    ],
)
def test_host(hosts: list[str], expected: bool) -> None:
    """A host inside a composition is read as `Mount(host=…)` reads it."""
    assert Host("a.com").matches(scope_of(host=hosts)) is expected
    assert (~Host("a.com")).matches(scope_of(host=hosts)) is not expected


V2 = "application/vnd.acme.v2+json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param([V2], 1.0, id="named"),
        pytest.param([V2.upper()], 1.0, id="case"),
        pytest.param([f"text/html, {V2};q=0.5"], 0.5, id="weight"),
        pytest.param([f"text/html,{V2} ; q=0.25"], 0.25, id="spaces"),
        pytest.param([f"{V2};Q=0.5"], 0.5, id="weight-case"),
        pytest.param([f"{V2};q=0"], 0.0, id="refused"),
        pytest.param([f"{V2};q=0.000"], 0.0, id="refused-long"),
        pytest.param([f"{V2};q=1.000"], 1.0, id="weight-one"),
        pytest.param([f"{V2};q=1.5"], 0.0, id="weight-too-great"),
        pytest.param([f"{V2};q=x"], 0.0, id="weight-no-number"),
        pytest.param([f"{V2};q=nan"], 0.0, id="weight-nan"),
        pytest.param(["text/html", V2], 1.0, id="two-headers"),
        pytest.param([f"{V2};charset=utf-8;q=0.5"], 0.5, id="more-parameters"),
        pytest.param([f"{V2};a=1;q=0.2, {V2};q=0.9"], 0.2, id="most-specific-range-has-its-say"),
        pytest.param([f"{V2};q=0.9, {V2};a=1;q=0.2"], 0.2, id="wherever-it-stands"),
        pytest.param(['text/x;a="1,application/vnd.acme.v2+json"'], 0.0, id="inside-quotes"),
        pytest.param([f'text/x;a="\\"", {V2};q=0.5'], 0.5, id="escaped-quote"),
        pytest.param([f'text/x;a="1, {V2}'], 0.0, id="open-quote"),
        pytest.param(["*/*"], 0.0, id="wildcard"),
        pytest.param(["application/*"], 0.0, id="half-wildcard"),
        pytest.param(["application/json"], 0.0, id="another"),
        pytest.param([""], 0.0, id="empty"),
        pytest.param([], 0.0, id="none"),
        pytest.param([",,;,/"], 0.0, id="nonsense"),
    ],
)
def test_accept(accept: list[str], expected: float) -> None:
    """The type must be named outright; its weight is the most specific range's."""
    scope = scope_of(headers=[("accept", value) for value in accept])
    assert Accept(V2).quality(scope) == expected
    assert Accept(V2).matches(scope) is (expected > 0)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param([], 1.0, id="no-header"),
        pytest.param([""], 1.0, id="empty-header"),
        pytest.param(["*/*;q=0.8"], 0.8, id="any"),
        pytest.param(["application/*;q=0.4, */*;q=0.8"], 0.4, id="half-before-any"),
        pytest.param(["*/*;q=0.8, application/*;q=0.4"], 0.4, id="half-after-any"),
        pytest.param([f"*/*, {V2};q=0"], 0.0, id="named-and-refused"),
        pytest.param([f"*/*;q=0.1, {V2}"], 1.0, id="named"),
        pytest.param(["text/*"], 0.0, id="another-half"),
        pytest.param(["*/json"], 0.0, id="no-such-wildcard"),
        pytest.param(["*"], 0.0, id="star-alone"),
        pytest.param(["text/html"], 0.0, id="another"),
    ],
)
def test_accept_wildcard(accept: list[str], expected: float) -> None:
    """The default version takes wildcards, and requests that say nothing."""
    scope = scope_of(headers=[("accept", value) for value in accept])
    assert Accept(V2, wildcard=True).quality(scope) == expected


@pytest.mark.parametrize(
    ("wanted", "accept", "expected"),
    [
        pytest.param("a/b;version=2", "a/b;version=2", True, id="same"),
        pytest.param("a/b; Version=2", "a/b;version=2", True, id="name-case"),
        pytest.param("a/b;version=2", 'a/b;version="2"', True, id="quoted-request"),
        pytest.param('a/b;version="2"', "a/b;version=2", True, id="quoted-pattern"),
        pytest.param('a/b;v="1;2"', 'a/b;v="1;2"', True, id="separator-inside-quotes"),
        pytest.param("a/b;version=2", "a/b;x=1;version=2", True, id="more"),
        pytest.param("a/b;version=2", "a/b", False, id="missing"),
        pytest.param("a/b;version=2", "a/b;version=3", False, id="another"),
        pytest.param("a/b;version=v2", "a/b;version=V2", False, id="value-case-counts"),
    ],
)
def test_accept_parameters(wanted: str, accept: str, expected: bool) -> None:
    """Every parameter that is wanted must be in the request's range."""
    assert Accept(wanted).matches(scope_of(headers=[("accept", accept)])) is expected


def test_accept_several() -> None:
    """Of several types, the best counts."""
    scope = scope_of(headers=[("accept", "a/b;q=0.2, c/d;q=0.7")])
    assert Accept("a/b", "c/d").quality(scope) == 0.7


@given(st.text(alphabet='ab/*;,="\\ q01.', max_size=30))
def test_accept_reads_anything(header: str) -> None:
    """Whatever a client sends, it is a quality from 0 to 1."""
    scope = scope_of(headers=[("accept", header)])
    for matcher in (Accept("a/b"), Accept("a/b", wildcard=True)):
        assert 0 <= matcher.quality(scope) <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: Header("x:"),
            "Header name 'x:' is not valid; write it without the colon, as in 'x-version', "
            "and a value after it: Header('x-version', '2').",
            id="header-colon",
        ),
        pytest.param(
            lambda: Header(""),
            "Header name '' is not valid; write it without the colon, as in 'x-version', "
            "and a value after it: Header('x-version', '2').",
            id="header-empty",
        ),
        pytest.param(
            lambda: Header(b"x"),  # type: ignore[arg-type]
            "Header name b'x' is not valid; write it without the colon, as in 'x-version', "
            "and a value after it: Header('x-version', '2').",
            id="header-bytes",
        ),
        pytest.param(
            lambda: Header("x", 2),  # type: ignore[arg-type]
            "Header('x') wants 2; write a text, a compiled regular expression, True (present) or "
            "False (absent).",
            id="header-number",
        ),
        pytest.param(
            lambda: Cookie("x", b"1"),  # type: ignore[arg-type]
            "Cookie('x') wants b'1'; write a text, a compiled regular expression, True (present) "
            "or False (absent).",
            id="cookie-bytes",
        ),
        pytest.param(
            lambda: Query("x", ["1"]),  # type: ignore[arg-type]
            "Query('x') wants ['1']; write Query('x', '1') in when=.",
            id="query-list",
        ),
        pytest.param(
            Method,
            "Method() names no method; write e.g. Method('GET').",
            id="method-none",
        ),
        pytest.param(
            lambda: Method("GET POST"),
            "Method 'GET POST' is not valid; write e.g. 'GET'.",
            id="method-two",
        ),
        pytest.param(
            lambda: Method(["GET"]),  # type: ignore[arg-type]
            "Method ['GET'] is not valid; write e.g. 'GET'.",
            id="method-list",
        ),
        pytest.param(
            lambda: Scheme("wss"),  # type: ignore[arg-type]
            "Scheme 'wss' is not known; write 'http' or 'https' (a websocket's 'ws' and 'wss' "
            "count as these).",
            id="scheme",
        ),
        pytest.param(
            lambda: ScopeType("lifespan"),  # type: ignore[arg-type]
            "Scope type 'lifespan' is not known; write 'http' or 'websocket'.",
            id="scope-type",
        ),
        pytest.param(
            Client,
            "Client() names no network; write e.g. Client('10.0.0.0/8').",
            id="client-none",
        ),
        pytest.param(
            lambda: Client("10.0.0.1/8"),
            "Client network is not valid: 10.0.0.1/8 has host bits set.",
            id="client-host-bits",
        ),
        pytest.param(
            lambda: Client("localhost"),
            "Client network is not valid: 'localhost' does not appear to be an IPv4 or IPv6 "
            "network.",
            id="client-name",
        ),
        pytest.param(
            Accept,
            "Accept() names no media type; write e.g. Accept('text/html').",
            id="accept-none",
        ),
        pytest.param(
            lambda: Accept("json"),
            "Media type 'json' is not a single type; write e.g. 'application/json', and "
            "wildcard=True to take wildcards as well.",
            id="accept-no-slash",
        ),
        pytest.param(
            lambda: Accept("text/*"),
            "Media type 'text/*' is not a single type; write e.g. 'application/json', and "
            "wildcard=True to take wildcards as well.",
            id="accept-wildcard",
        ),
        pytest.param(
            lambda: Host("http://a.com"),
            "Host pattern 'http://a.com' contains a scheme; write 'a.com'.",
            id="host",
        ),
    ],
)
def test_refused(make: Any, message: str) -> None:
    """What can never match is refused: value, reason, fix."""
    with pytest.raises(PatternError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Header("x", re.compile(b"x")), id="bytes-regex"),  # type: ignore[arg-type]
        pytest.param(lambda: Accept("text/html, text/plain"), id="accept-list"),
        pytest.param(lambda: Accept("text/html;q=0.5"), id="accept-weight"),
        pytest.param(lambda: Accept("text / html"), id="accept-space"),
        pytest.param(lambda: Accept(b"text/html"), id="accept-bytes"),  # type: ignore[arg-type]
        pytest.param(lambda: Cookie(b"beta"), id="cookie-bytes-name"),  # type: ignore[arg-type]
        pytest.param(lambda: Cookie("a=b"), id="cookie-equals-sign"),
        pytest.param(lambda: Cookie(""), id="cookie-empty"),
        pytest.param(lambda: Query(b"v"), id="query-bytes-name"),  # type: ignore[arg-type]
        pytest.param(lambda: Client(5), id="client-number"),  # type: ignore[arg-type]
    ],
)
def test_never_matching_is_refused(make: Any) -> None:
    """What can be written and can never match is refused when it is written, not on a request."""
    with pytest.raises(PatternError):
        make()


A, B = Header("a"), Header("b")


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        pytest.param(A & B, [False, False, False, True], id="and"),
        pytest.param(A | B, [False, True, True, True], id="or"),
        pytest.param(~A, [True, False, True, False], id="not"),
        pytest.param(A & ~B, [False, True, False, False], id="and-not"),
        pytest.param(~(A | B), [True, False, False, False], id="nor"),
        pytest.param(~(A & B), [True, True, True, False], id="nand"),
        pytest.param(~~A, [False, True, False, True], id="not-not"),
        pytest.param((A & ~B) | (~A & B), [False, True, True, False], id="xor"),
    ],
)
def test_composition(matcher: Matcher, expected: list[bool]) -> None:
    """Truth tables: neither header, `a`, `b`, both."""
    requests = [[], ["a"], ["b"], ["a", "b"]]
    scopes = [scope_of(headers=[(name, "1") for name in names]) for names in requests]
    assert [matcher.matches(scope) for scope in scopes] == expected


M, H, Q = Method("POST"), Header("a"), Query("q")


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        pytest.param(M, (1, 0, 0), id="method"),
        pytest.param(H, (0, 1, 0), id="header"),
        pytest.param(Cookie("c"), (0, 1, 0), id="cookie"),
        pytest.param(Accept("a/b"), (0, 1, 0), id="accept"),
        pytest.param(Scheme("http"), (0, 1, 0), id="scheme"),
        pytest.param(Client("::1"), (0, 1, 0), id="client"),
        pytest.param(ScopeType("http"), (0, 1, 0), id="scope-type"),
        pytest.param(Q, (0, 0, 1), id="query"),
        pytest.param(Host("a.com"), (0, 0, 0), id="host"),
        pytest.param(H & Q & Header("b"), (0, 2, 1), id="and-adds"),
        pytest.param(M & ~Method("PUT"), (1, 0, 0), id="one-method-condition-at-most"),
        pytest.param(H | Q, (0, 0, 1), id="or-is-the-least"),
        pytest.param((H & M) | H, (0, 1, 0), id="or-of-and"),
        pytest.param(~H, (0, 1, 0), id="not"),
        pytest.param(~(H | Q), (0, 1, 1), id="not-or-is-and-of-nots"),
        pytest.param(~(H & Q), (0, 0, 1), id="not-and-is-or-of-nots"),
        pytest.param(~~(H & Q), (0, 1, 1), id="not-not"),
        pytest.param(~~(H | Q), (0, 0, 1), id="not-not-or"),
    ],
)
def test_specificity(matcher: Matcher, expected: tuple[int, int, int]) -> None:
    """(methods, headers, queries), by the rules of the composition."""
    assert matcher.specificity == Specificity(*expected)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param(Header("X-A", "1"), Header("x-a", "1"), True, id="header-case"),
        pytest.param(Header("a", None), Header("a", False), True, id="absent"),
        pytest.param(Header("a"), Cookie("a"), False, id="kinds"),
        pytest.param(Header("a", re.compile("x")), Header("a", re.compile("x")), True, id="regex"),
        pytest.param(Header("a", re.compile("x")), Header("a", "x"), False, id="regex-and-text"),
        pytest.param(Method("get", "HEAD"), Method("HEAD", "GET"), True, id="method"),
        pytest.param(A & B, B & A, True, id="and-order"),
        pytest.param(A | B, B | A, True, id="or-order"),
        pytest.param((A & B) & M, A & (B & M), True, id="and-nesting"),
        pytest.param(A & B, A | B, False, id="and-or"),
        pytest.param(~A, ~Header("A"), True, id="not"),
        pytest.param(Host("A.com"), Host("a.com."), True, id="host"),
        pytest.param(Client("::1"), Client("::1/128"), True, id="client"),
        pytest.param(Scheme("http"), Scheme("https"), False, id="scheme"),
        pytest.param(ScopeType("http"), ScopeType("http"), True, id="scope-type"),
        pytest.param(Accept("A/b"), Accept("a/B"), True, id="accept"),
        pytest.param(Accept("a/b"), Accept("a/b", wildcard=True), False, id="accept-wildcard"),
        pytest.param(A, "a", False, id="another-type"),
    ],
)
def test_equality(one: Matcher, other: object, equal: bool) -> None:
    """Matchers that say the same are equal, and hash alike."""
    assert (one == other) is equal
    assert (hash(one) == hash(other)) is equal


@pytest.mark.parametrize(
    "text",
    [
        "Header('a')",
        "Header('a', '1')",
        "Header('a', False)",
        "Cookie('c')",
        "Query('q', '1')",
        "Method('GET', 'HEAD')",
        "Scheme('https')",
        "ScopeType('websocket')",
        "Client('10.0.0.0/8', '::1/128')",
        "Accept('a/b;v=2', 'c/d')",
        "Accept('a/b', wildcard=True)",
        "Header('a', re.compile('x'))",
        "(Header('a') & Cookie('b'))",
        "(Header('a') | ~Cookie('b'))",
        "Host('a.com')",
        "Host('{id:int}.a.com:81')",
    ],
)
def test_repr(text: str) -> None:
    """A matcher is shown as it is written."""
    assert repr(eval(text)) == text


class Region(Matcher):
    """A condition of the user's own."""

    def __init__(self, region: str) -> None:
        self.region = region

    def matches(self, scope: Scope) -> bool:
        return (b"x-region", self.region.encode()) in scope["headers"]


def test_own_class() -> None:
    """A class of one's own needs `matches` alone, and composes."""
    scope = scope_of(headers=[("x-region", "eu")])
    assert (Region("eu") & ~Region("us")).matches(scope)
    assert not (Region("us") | ~Region("eu")).matches(scope)
    assert Region("eu").specificity == (0, 1, 0)
    assert (~Region("eu")).specificity == (0, 1, 0)


def test_own_class_without_matches() -> None:
    """A class without `matches` cannot be instantiated."""

    class Nothing(Matcher):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()  # type: ignore[abstract]


@dataclass
class Tier(Matcher):
    """A dataclass is comparable, and therefore not hashable, unless it is frozen."""

    name: str

    def matches(self, scope: Scope) -> bool:
        return True


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(Tier("a"), id="alone"),
        pytest.param(Tier("a") & Header("b"), id="and"),
        pytest.param(Tier("a") | Header("b"), id="or"),
        pytest.param(~Tier("a"), id="not"),
    ],
)
def test_own_class_that_is_not_hashable(when: Matcher) -> None:
    """A matcher that is a plain dataclass makes a mount as any other, and its key."""
    rule = Rule("/", when=when)
    assert hash(rule.key) == hash(rule.key)


@pytest.mark.parametrize("operation", ["A & 'x'", "A | 'x'", "'x' & A"])
def test_composed_with_something_else(operation: str) -> None:
    """Only matchers compose."""
    with pytest.raises(TypeError, match="unsupported operand"):
        eval(operation)


@pytest.mark.parametrize(("length", "matches"), [(1000, True), (1001, False), (65_536, False)])
def test_a_regular_expression_sees_values_of_bounded_length(length: int, matches: bool) -> None:
    """A longer one does not match, so that no client can make it take long."""
    matcher = Header("x-version", re.compile("[0-9]+"))
    assert matcher.matches(scope_of("/", headers=[("x-version", "1" * length)])) is matches


@pytest.mark.parametrize(
    ("header", "quality"),
    [
        pytest.param("a/1, " + "b/2, " * 700, 1.0, id="long"),
        pytest.param("a/1, " + "b/2, " * 1_000, 0.0, id="too-long"),
    ],
)
def test_accept_reads_so_much(header: str, quality: float) -> None:
    """A longer header counts as not there."""
    scope = scope_of("/", headers=[("accept", header)])
    assert Accept("a/1").quality(scope) == quality
    assert Accept("a/1", wildcard=True).quality(scope) == 1.0


@pytest.mark.parametrize(("count", "quality"), [(19, 0.7), (20, 0.0)])
def test_accept_reads_so_many_ranges_of_one_type(count: int, quality: float) -> None:
    """Of those with other parameters, the first ones."""
    ranges = ", ".join(["a/1;v=1"] * count + ["a/1;v=2;q=0.7"])
    assert Accept("a/1;v=2").quality(scope_of(headers=[("accept", ranges)])) == quality


@pytest.mark.parametrize("wanted", [True, None, "1", re.compile("1?")], ids=str)
@pytest.mark.parametrize(
    ("matcher", "fits", "exceeds"),
    [
        pytest.param(
            Header,
            {"headers": [("a", "1")] * 500},
            {"headers": [("a", "1")] * 501},
            id="headers",
        ),
        pytest.param(
            Cookie,
            {"headers": [("cookie", "a=1")] * 500},
            {"headers": [("cookie", "a=1")] * 501},
            id="cookie-headers",
        ),
        pytest.param(
            Cookie,
            {"headers": [("cookie", ";".join(["a=1"] * 1_000))]},
            {"headers": [("cookie", ";".join(["a=1"] * 1_001))]},
            id="cookies",
        ),
        pytest.param(
            Cookie,
            {"headers": [("cookie", f"a=1;b={'x' * 31_994}")]},
            {"headers": [("cookie", f"a=1;b={'x' * 31_995}")]},
            id="long-cookies",
        ),
        pytest.param(
            Query,
            {"query": "&".join(["a=1"] * 1_000)},
            {"query": "&".join(["a=1"] * 1_001)},
            id="parameters",
        ),
        pytest.param(
            Query,
            {"query": f"a=1&b={'x' * 31_994}"},
            {"query": f"a=1&b={'x' * 31_995}"},
            id="long-query",
        ),
    ],
)
def test_conditions_read_so_much(
    matcher: Any, fits: dict[str, Any], exceeds: dict[str, Any], wanted: Any
) -> None:
    """What has more in it fulfils no condition: neither on a value, nor on its presence, nor on
    its absence."""
    assert matcher("a", wanted).matches(scope_of(**fits)) is (wanted is not None)
    assert matcher("b" if wanted is None else "a", wanted).matches(scope_of(**exceeds)) is False


def test_hosts_and_accept_read_so_many_headers() -> None:
    """Of more, they see none."""
    for count, expected in ((498, True), (499, False)):
        headers = [*[("x", "")] * count, ("accept", "a/b")]
        scope = scope_of(host="a.com", headers=headers)
        assert Host("a.com").matches(scope) is expected
        assert Accept("a/b").matches(scope) is expected


@pytest.mark.parametrize("count", [1, 2])
def test_mounts_that_are_looked_up_read_so_many_headers(count: int) -> None:
    """As those that are asked, one by one."""
    mounts = [Mount("/", PlainTextResponse(""), headers={"x": str(n)}) for n in range(2)]
    if count == 2:
        mounts.append(Mount("/", PlainTextResponse(""), headers={"y": "1"}))
    table = Table(mounts)
    found = table.decide(scope_of(headers=[*[("z", "")] * 499, ("x", "1")]))
    assert isinstance(found, Resolution)
    assert found.mount is mounts[1]
    assert table.decide(scope_of(headers=[*[("z", "")] * 500, ("x", "1")])) is None


@pytest.mark.parametrize(
    "matcher",
    [Header("x-v", "1"), Header("x-v", re.compile("[12]")), Cookie("v", "1"), Query("v", "1")],
    ids=str,
)
def test_what_is_not_one_value_is_the_others(matcher: Matcher) -> None:
    """`~` takes all that its condition does not take, two different values included."""
    headers = [("x-v", "1"), ("x-v", "2"), ("cookie", "v=1; v=2")]
    scope = scope_of(headers=headers, query="v=1&v=2")
    assert not matcher.matches(scope)
    assert (~matcher).matches(scope)


def test_conditions_read_a_request_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, a long query, cookie or `Accept` is parsed once."""
    calls = []
    parse = readings.parse_qsl

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return parse(*args, **options)

    monkeypatch.setattr(readings, "parse_qsl", counted)
    scope = scope_of("/", query="&".join(f"read-once-{n}=1" for n in range(1_000)))
    assert sum(Query(f"read-once-{n}", "1").matches(scope) for n in range(2_000)) == 1_000
    assert len(calls) == 1


def test_nested_matchers_are_compared_in_linear_time() -> None:
    """Not in the power of their depth, however they are made."""

    def nested() -> Matcher:
        found: Matcher = Header("a")
        for _ in range(60):
            found = ~(found | Header("b"))
        return found

    assert hash(nested()) == hash(nested())
    assert nested() == nested()
    assert Rule("/", when=nested()).key == Rule("/", when=nested()).key
