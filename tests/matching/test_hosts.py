"""Hosts: the normal form of both sides, wildcards, placeholders, and the index over them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.convertors import CONVERTOR_TYPES

from mountkit import PatternError
from mountkit.matching.host_trees import HostIndex
from mountkit.matching.hosts import HostPattern, HostPort, parse_host, request_host
from tests.support.scopes import scope_of

LABEL_63 = "a" * 63


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("example.com", ("example.com", None), id="plain"),
        pytest.param("EXAMPLE.Com", ("example.com", None), id="case"),
        pytest.param("example.com.", ("example.com", None), id="trailing-dot"),
        pytest.param("example.com.:80", ("example.com", 80), id="trailing-dot-port"),
        pytest.param("example.com:8080", ("example.com", 8080), id="port"),
        pytest.param("example.com:", ("example.com", None), id="empty-port"),
        pytest.param("example.com:00080", ("example.com", 80), id="port-zeros"),
        pytest.param("example.com:0", ("example.com", 0), id="port-0"),
        pytest.param("example.com:000", ("example.com", 0), id="port-000"),
        pytest.param("example.com:65535", ("example.com", 65535), id="port-greatest"),
        pytest.param("localhost", ("localhost", None), id="one-label"),
        pytest.param("my_app.local", ("my_app.local", None), id="underscore"),
        pytest.param("127.0.0.1:8000", ("127.0.0.1", 8000), id="ipv4"),
        pytest.param("XN--BCHER-KVA.de", ("xn--bcher-kva.de", None), id="a-label"),
        pytest.param("[::1]", ("[::1]", None), id="ipv6"),
        pytest.param("[2001:DB8:0:0::1]:443", ("[2001:db8::1]", 443), id="ipv6-compressed"),
        pytest.param("[0:0:0:0:0:0:0:1]:", ("[::1]", None), id="ipv6-empty-port"),
        pytest.param("[v1.Fe80::A+en1]:80", ("[v1.fe80::a+en1]", 80), id="ip-of-the-future"),
        pytest.param("example.com:000080", ("example.com", 80), id="port-many-zeros"),
        pytest.param(f"{LABEL_63}.com", (f"{LABEL_63}.com", None), id="label-63"),
        pytest.param("a.b.c.d.e.f", ("a.b.c.d.e.f", None), id="many-labels"),
        pytest.param("", None, id="empty"),
        pytest.param(".", None, id="dot"),
        pytest.param("example.com..", None, id="two-trailing-dots"),
        pytest.param("a..b", None, id="empty-label"),
        pytest.param(".a.com", None, id="leading-dot"),
        pytest.param(":80", None, id="port-alone"),
        pytest.param("a.com:65536", None, id="port-too-great"),
        pytest.param("a.com:" + "9" * 5000, None, id="port-5000-digits"),
        pytest.param("a.com:http", None, id="port-name"),
        pytest.param("a.com:-1", None, id="port-negative"),
        pytest.param("a.com:80:80", None, id="two-ports"),
        pytest.param("user@a.com", None, id="user"),
        pytest.param("a.com/x", None, id="path"),
        pytest.param("a.com, b.com", None, id="list"),
        pytest.param(" a.com", None, id="space"),
        pytest.param("a.com\n", None, id="newline"),
        pytest.param("bücher.de", None, id="raw-non-ascii"),
        pytest.param("-a.com", None, id="leading-hyphen"),
        pytest.param("a-.com", None, id="trailing-hyphen"),
        pytest.param("*.a.com", None, id="star"),
        pytest.param("::1", None, id="ipv6-bare"),
        pytest.param("[::1", None, id="ipv6-open"),
        pytest.param("[::g]", None, id="ipv6-no-number"),
        pytest.param("[1.2.3.4]", None, id="ipv4-in-brackets"),
        pytest.param("[fe80::1%eth0]", None, id="ipv6-zone"),
        pytest.param("a" * 64 + ".com", None, id="label-64"),
        pytest.param(".".join([LABEL_63] * 4) + ".a", None, id="name-too-long"),
        pytest.param("a." * 5000, None, id="name-far-too-long"),
    ],
)
def test_parse_host(value: str, expected: tuple[str, int | None] | None) -> None:
    """A `Host` header in its normal form, or `None` if it is no host."""
    assert parse_host(value) == expected


HOST_TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["a", "B", ".", "com", ":", "80", "[", "]", "::1", "-", "_", "é", "*", "{x}", "{y:int}",
             "//", "@", "xn--", "。", "ß", "\n", " ", "{", "}", "9" * 5000]
        ),
        max_size=7,
    ).map("".join),
)  # fmt: skip


@given(HOST_TEXTS)
def test_parse_host_is_idempotent(text: str) -> None:
    """The normal form of a normal form is itself, and nothing is ever raised."""
    parsed = parse_host(text)
    if parsed is not None:
        assert parse_host(parsed.host) == (parsed.host, None)
        if parsed.port is not None:
            assert parse_host(f"{parsed.host}:{parsed.port}") == parsed


@pytest.mark.parametrize(
    ("hosts", "scheme", "expected"),
    [
        pytest.param(["a.com"], "http", ("a.com", 80), id="http"),
        pytest.param(["a.com"], "https", ("a.com", 443), id="https"),
        pytest.param(["a.com"], "ws", ("a.com", 80), id="ws"),
        pytest.param(["a.com"], "wss", ("a.com", 443), id="wss"),
        pytest.param(["a.com"], "gopher", ("a.com", None), id="no-default-port"),
        pytest.param(["a.com:81"], "https", ("a.com", 81), id="port"),
        pytest.param([], "http", None, id="none"),
        pytest.param(["a.com", "b.com"], "http", None, id="two"),
        pytest.param(["a.com", "a.com"], "http", None, id="twice-the-same"),
        pytest.param(["a b"], "http", None, id="no-host"),
        pytest.param(["\xff"], "http", None, id="raw-bytes"),
    ],
)
def test_request_host(
    hosts: list[str], scheme: str, expected: tuple[str, int | None] | None
) -> None:
    """A request names one host; its port is the scheme's where it is left out."""
    assert request_host(scope_of(host=hosts, scheme=scheme)) == expected


def test_request_host_without_scheme() -> None:
    """`scheme` is optional in ASGI, and `http` by default."""
    scope = scope_of(host="a.com")
    del scope["scheme"]
    assert request_host(scope) == ("a.com", 80)


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        pytest.param("a.com", "a.com", {}, id="exact"),
        pytest.param("A.COM.", "a.com", {}, id="exact-case-dot"),
        pytest.param("a.com", "A.com.", {}, id="request-case-dot"),
        pytest.param("a.com", "b.a.com", None, id="exact-below"),
        pytest.param("a.com", "a.com:81", {}, id="any-port"),
        pytest.param("a.com:81", "a.com:81", {}, id="port"),
        pytest.param("a.com:81", "a.com", None, id="another-port"),
        pytest.param("a.com:80", "a.com", {}, id="port-of-the-scheme"),
        pytest.param("a.com:80", "a.com:", {}, id="empty-port-is-the-scheme's"),
        pytest.param("a.com:80", "a.com:0", None, id="port-0-is-not-the-scheme's"),
        pytest.param("bücher.de", "xn--bcher-kva.de", {}, id="idna"),
        pytest.param("BÜCHER.de", "XN--BCHER-KVA.DE", {}, id="idna-case"),
        pytest.param("xn--bcher-kva.de", "xn--bcher-kva.de", {}, id="idna-encoded"),
        pytest.param("faß.de", "xn--fa-hia.de", {}, id="idna-non-transitional"),
        pytest.param("例え。テスト", "xn--r8jz45g.xn--zckzah", {}, id="idna-full-stop"),
        pytest.param("[::1]", "[0:0::1]", {}, id="ipv6"),
        pytest.param("[2001:DB8::1]:80", "[2001:db8:0::1]", {}, id="ipv6-port"),
        pytest.param("[::1]", "[::2]", None, id="ipv6-another"),
        pytest.param("*.a.com", "x.a.com", {}, id="star-one"),
        pytest.param("*.a.com", "x.y.a.com", {}, id="star-two"),
        pytest.param("*.a.com", "a.com", None, id="star-never-the-apex"),
        pytest.param("*.a.com", "xa.com", None, id="star-boundary"),
        pytest.param("*.a.com", "x.b.com", None, id="star-another-domain"),
        pytest.param("*.A.com.", "x.a.com.", {}, id="star-case-dot"),
        pytest.param("*.a.com:81", "x.a.com:81", {}, id="star-port"),
        pytest.param("*.a.com:81", "x.a.com", None, id="star-another-port"),
        pytest.param("*.bücher.de", "x.xn--bcher-kva.de", {}, id="star-idna"),
        pytest.param("*.例え。テスト", "x.xn--r8jz45g.xn--zckzah", {}, id="star-idna-full-stop"),
        pytest.param("{t}.a.com", "x.a.com", {"t": "x"}, id="placeholder"),
        pytest.param("{t}.a.com", "X.A.com.", {"t": "x"}, id="placeholder-lower-case"),
        pytest.param("{t}.a.com", "x.y.a.com", None, id="placeholder-one-label"),
        pytest.param("{t}.a.com", "a.com", None, id="placeholder-never-the-apex"),
        pytest.param("{t}.a.com:81", "x.a.com:81", {"t": "x"}, id="placeholder-port"),
        pytest.param("{t}.a.com:81", "x.a.com", None, id="placeholder-another-port"),
        pytest.param("{t}.例え.jp", "x.xn--r8jz45g.jp", {"t": "x"}, id="placeholder-idna"),
        pytest.param("{t}", "localhost", {"t": "localhost"}, id="placeholder-alone"),
        pytest.param("{t}.{e}.com", "x.y.com", {"t": "x", "e": "y"}, id="two-placeholders"),
        pytest.param("*.{t}.com", "a.b.x.com", {"t": "x"}, id="star-placeholder"),
        pytest.param("*.{t}.com", "x.com", None, id="star-placeholder-apex"),
        pytest.param("pr-{id:int}.a.com", "pr-12.a.com", {"id": 12}, id="typed"),
        pytest.param("pr-{id:int}.a.com", "pr-x.a.com", None, id="typed-refuses"),
        pytest.param("pr-{id:int}.a.com", "pr-.a.com", None, id="typed-empty"),
        pytest.param("PR-{id:int}.a.com", "pr-1.a.com", {"id": 1}, id="typed-prefix-case"),
        pytest.param("{id:int}-x.a.com", "7-x.a.com", {"id": 7}, id="suffix"),
        pytest.param("{id:int}-x.a.com", "7-y.a.com", None, id="suffix-refuses"),
        pytest.param("pr-{id}.a.com", "qr-1.a.com", None, id="prefix-refuses"),
        pytest.param("aa{id}a.com", "aa.com", None, id="prefix-and-suffix-overlap"),
        pytest.param("*.a.com", "[::1]", None, id="star-ipv6"),
    ],
)
def test_pattern(pattern: str, host: str, expected: dict[str, Any] | None) -> None:
    """Both sides are brought to one form before they are compared."""
    assert HostPattern(pattern).match(request_host(scope_of(host=host))) == expected


@pytest.mark.parametrize("pattern", ["a.com", "*.a.com", "{t}.a.com"])
def test_pattern_without_host(pattern: str) -> None:
    """A request without a host, or with two, is taken by no host pattern."""
    assert HostPattern(pattern).match(None) is None


KNOWN = ", ".join(sorted(CONVERTOR_TYPES))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        pytest.param("", "Host pattern '' is empty; write a host, or leave host out.", id="empty"),
        pytest.param(
            None, "Host pattern None is not a text; write e.g. 'a.example.com'.", id="none"
        ),
        pytest.param(
            "http://a.com", "Host pattern 'http://a.com' contains a scheme; write 'a.com'.",
            id="scheme",
        ),
        pytest.param(
            "https://a.com/x", "Host pattern 'https://a.com/x' contains a scheme; write 'a.com'.",
            id="scheme-and-path",
        ),
        pytest.param(
            "a.com/x",
            "Host pattern 'a.com/x' contains a path; write host='a.com' and the path '/x'.",
            id="path",
        ),
        pytest.param(
            "me@a.com", "Host pattern 'me@a.com' contains user information; write 'a.com'.",
            id="user",
        ),
        pytest.param("*", "Host pattern '*' matches every host; leave host out.", id="star"),
        pytest.param(
            "::1",
            "Host pattern '::1' is an IPv6 address without brackets; write '[::1]'.",
            id="ipv6",
        ),
        pytest.param(
            "a.com:99999",
            "Host pattern 'a.com:99999' has the port '99999'; write a number up to 65535.",
            id="port",
        ),
        pytest.param(
            "a.com:", "Host pattern 'a.com:' has the port ''; write a number up to 65535.",
            id="empty-port",
        ),
        pytest.param(
            "a.com:٣", "Host pattern 'a.com:٣' has the port '٣'; write a number up to 65535.",
            id="arabic-port",
        ),
        pytest.param(
            "a.*.com",
            "Host pattern 'a.*.com' has a wildcard inside; '*' stands alone, in front: "
            "'*.example.com'. For one label in another place write '{name}'.",
            id="star-inside",
        ),
        pytest.param(
            "*a.com",
            "Host pattern '*a.com' has a wildcard inside; '*' stands alone, in front: "
            "'*.example.com'. For one label in another place write '{name}'.",
            id="star-in-label",
        ),
        pytest.param(
            "{a}{b}.com",
            "Host pattern '{a}{b}.com' has the label '{a}{b}'; a label holds at most one "
            "placeholder, as in '{tenant}.example.com' or 'pr-{id:int}.example.com'.",
            id="two-in-a-label",
        ),
        pytest.param(
            "{a-b}.com",
            "Host pattern '{a-b}.com' has the label '{a-b}'; a label holds at most one "
            "placeholder, as in '{tenant}.example.com' or 'pr-{id:int}.example.com'.",
            id="bad-name",
        ),
        pytest.param(
            "{a:no}.com",
            f"Host pattern '{{a:no}}.com' names the convertor 'no'; known are {KNOWN}.",
            id="convertor",
        ),
        pytest.param(
            "{a}.{a}.com", "Host pattern '{a}.{a}.com' has the placeholder 'a' twice; rename one.",
            id="twice",
        ),
        pytest.param(
            "é{a}.com",
            "Host pattern 'é{a}.com' has 'é' beside a placeholder; write letters, digits and "
            "hyphens.",
            id="beside",
        ),
        pytest.param(
            "a..com", "Host pattern 'a..com' is not a host name; write 'a.com'.", id="empty-label"
        ),
        pytest.param(
            ".A...com.",
            "Host pattern '.A...com.' is not a host name; write '*.a.com' or 'a.com'.",
            id="leading-dot",
        ),
        pytest.param(
            "☃☃\u200b\u0301.\u0301.com",
            "Host pattern '☃☃\\u200b\u0301.\u0301.com' is not a valid IDNA name: ",
            id="idna",
        ),
    ],
)  # fmt: skip
def test_refused(pattern: Any, message: str) -> None:
    """A host that can never match is refused: value, reason, fix."""
    with pytest.raises(PatternError) as caught:
        HostPattern(pattern)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("pattern", ["*.", ".", "..", "exa mple.com", "a_b!.com", "-a.com"])
def test_hint_is_a_host(pattern: str) -> None:
    """A message never proposes what would be refused again."""
    with pytest.raises(PatternError) as caught:
        HostPattern(pattern)
    assert "''" not in str(caught.value)
    assert not str(caught.value).endswith(f"write {pattern!r}.")


def test_port_of_5000_digits() -> None:
    """A port too long for Python to read is refused as any other."""
    with pytest.raises(PatternError, match="write a number up to 65535"):
        HostPattern("a.com:" + "9" * 5000)


@given(HOST_TEXTS)
def test_only_pattern_errors(text: str) -> None:
    """Whatever is written, it is a pattern or a `PatternError`."""
    message, host = "Host pattern", None
    try:
        host = HostPattern(text).host
    except PatternError as exc:
        message = str(exc)
    assert message.startswith("Host pattern")
    assert host is None or parse_host(host) == (host, None)


@pytest.mark.parametrize(
    ("more_specific", "less_specific"),
    [
        pytest.param("a.com", "*.example.example.com", id="exact-before-star"),
        pytest.param("a.com", "{t}.example.com", id="exact-before-placeholder"),
        pytest.param("a.com:80", "a.com", id="exact-with-port"),
        pytest.param("*.b.a.com", "*.a.com", id="longer-star"),
        pytest.param("*.b.a.com", "{t}.a.com", id="longer-star-before-placeholder"),
        pytest.param("{t}.a.com", "*.a.com", id="placeholder-before-star"),
        pytest.param("{t:int}.a.com", "{t}.a.com", id="typed"),
        pytest.param("pr-{t}.a.com", "{t:int}.a.com", id="more-literal-text"),
        pytest.param("*.a.com:80", "*.a.com", id="star-with-port"),
        pytest.param("{t}.a.com:80", "{t}.a.com", id="placeholder-with-port"),
        pytest.param("*.b.com", "{x}.{y}.com", id="literal-label-before-placeholders"),
        pytest.param("*.eu.a.com", "{x}.{y}.{z}.a.com", id="literal-label-before-three"),
    ],
)
def test_rank(more_specific: str, less_specific: str) -> None:
    """Smaller ranks are tried first."""
    assert HostPattern(more_specific).rank < HostPattern(less_specific).rank


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param("A.com.", "a.com", True, id="normal-form"),
        pytest.param("bücher.de", "xn--bcher-kva.de", True, id="idna"),
        pytest.param("[::1]", "[0::1]", True, id="ipv6"),
        pytest.param("{a}.com", "{b}.com", True, id="names"),
        pytest.param("*.{a}.com", "*.{b}.com", True, id="star-names"),
        pytest.param("a.com", "a.com:80", False, id="port"),
        pytest.param("{a}.com", "*.com", False, id="star-and-placeholder"),
        pytest.param("{a:int}.com", "{a}.com", False, id="convertors"),
    ],
)
def test_key(one: str, other: str, equal: bool) -> None:
    """Patterns that take the same hosts have the same key."""
    assert (HostPattern(one).key == HostPattern(other).key) is equal


@pytest.mark.parametrize(
    ("pattern", "params", "expected"),
    [
        pytest.param("A.com", {"x": 1}, "a.com", id="exact"),
        pytest.param("a.com:81", {"x": 1}, "a.com:81", id="port"),
        pytest.param("*.a.com", {"x": 1}, None, id="star"),
        pytest.param("{t}.a.com:81", {"t": "x", "x": 1}, "x.a.com:81", id="placeholder"),
        pytest.param("pr-{id:int}.a.com", {"id": 7, "x": 1}, "pr-7.a.com", id="typed"),
        pytest.param("{t}.a.com", {"t": "Käse", "x": 1}, "xn--kse-qla.a.com", id="idna"),
    ],
)
def test_format(pattern: str, params: dict[str, Any], expected: str | None) -> None:
    """The host of a URL takes its placeholders out of the parameters, and no others."""
    assert HostPattern(pattern).format(params) == expected
    assert params == {"x": 1}


def test_format_without_a_value() -> None:
    """A placeholder without a value is told by its name."""
    with pytest.raises(KeyError, match="t"):
        HostPattern("{t}.a.com").format({})


@pytest.mark.parametrize("value", ["evil.com", "evil.com?", "a@b", "a b", "-a", "a:1", "ä\u2488"])
def test_format_with_what_is_no_label(value: str) -> None:
    """Nobody is led to another host by a value."""
    with pytest.raises((ValueError, PatternError)):
        HostPattern("{t}.a.com").format({"t": value})


def test_names() -> None:
    """Placeholders from left to right."""
    assert HostPattern("{b}.{a}.com").names == ["b", "a"]


def test_repr() -> None:
    """As it was written."""
    assert repr(HostPattern("*.A.com")) == "HostPattern('*.A.com')"


INDEXED = ["x.a.com", "x.a.com:81", "*.a.com", "{t}.a.com", "{t:int}.a.com", "*.{d}.com",
           "{s}.{t}.a.com", "[::1]", "*.com"]  # fmt: skip


@pytest.fixture
def index() -> HostIndex[str]:
    """All of `INDEXED`, added in the wrong order."""
    hosts: HostIndex[str] = HostIndex()
    for pattern in INDEXED[::-1]:
        hosts.add(HostPattern(pattern), pattern)
    return hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param(
            "x.a.com:81",
            ["x.a.com:81", "x.a.com", "{t}.a.com", "*.a.com", "*.{d}.com", "*.com"],
            id="all",
        ),
        pytest.param(
            "7.a.com", ["{t:int}.a.com", "{t}.a.com", "*.a.com", "*.{d}.com", "*.com"], id="typed"
        ),
        pytest.param("x.y.a.com", ["{s}.{t}.a.com", "*.a.com", "*.{d}.com", "*.com"], id="deep"),
        pytest.param("a.com", ["*.com"], id="apex"),
        pytest.param("[::1]", ["[::1]"], id="ipv6"),
        pytest.param("a.org", [], id="none"),
    ],
)
def test_index(index: HostIndex[str], host: str, expected: list[str]) -> None:
    """Every pattern that matches, the most specific first."""
    assert [value for _, value in index.find(request_host(scope_of(host=host)))] == expected


def test_index_without_host(index: HostIndex[str]) -> None:
    """No host, no values."""
    assert index.find(None) == []


def test_index_of_exact_hosts() -> None:
    """An index without patterns walks no tree."""
    hosts: HostIndex[int] = HostIndex()
    hosts.add(HostPattern("a.com"), 1)
    assert [value for _, value in hosts.find(HostPort("a.com", 80))] == [1]
    assert hosts.find(HostPort("b.com", 80)) == []


@given(
    st.lists(st.sampled_from([*INDEXED, "*.b.com", "a.com", "{t}.com", "pr-{n:int}.a.com"]),
             unique=True),
    st.lists(st.sampled_from(["x", "a", "b", "com", "7", "pr-7"]), min_size=1, max_size=5),
)  # fmt: skip
def test_index_finds_what_matches(patterns: list[str], labels: list[str]) -> None:
    """The index finds exactly the patterns that match on their own."""
    request = HostPort(".".join(labels), 80)
    hosts: HostIndex[str] = HostIndex()
    for pattern in patterns:
        hosts.add(HostPattern(pattern), pattern)
    found = [value for _, value in hosts.find(request)]
    assert len(found) == len(set(found))
    assert set(found) == {p for p in patterns if HostPattern(p).match(request) is not None}
