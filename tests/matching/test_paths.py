"""Path prefixes: what they take, what they refuse, and how they are spelled in a URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import process_time
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor
from starlette.routing import compile_path

from mountkit import PatternError
from mountkit.locations import (
    ascii_location,
    cut_raw_path,
    encode_path,
    slash_location,
)
from mountkit.matching.hosts import HostPattern, parse_host
from mountkit.matching.paths import PathPattern, split_root_path

UUID_TEXT = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


class HexConvertor(Convertor[int]):
    regex = "[0-9a-f]+"

    def convert(self, value: str) -> int:
        return int(value, 16)

    def to_string(self, value: int) -> str:
        return f"{value:x}"


class RatioConvertor(Convertor[float]):
    regex = "[0-9]+:[0-9]+"

    def convert(self, value: str) -> float:
        upper, lower = value.split(":")
        return int(upper) / int(lower)

    def to_string(self, value: float) -> str:
        raise NotImplementedError


class DayConvertor(Convertor[str]):
    regex = "[0-9]{4}/[0-9]{2}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


@pytest.fixture
def hex_convertor() -> Iterator[None]:
    """A convertor of the user's own, registered as Starlette's documentation says."""
    register_url_convertor("hex", HexConvertor())
    yield
    del CONVERTOR_TYPES["hex"]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("", "", ("", {}), id="root-empty"),
        pytest.param("", "/", ("", {}), id="root-slash"),
        pytest.param("/", "/x/y", ("", {}), id="root-takes-all"),
        pytest.param("//", "/x", ("", {}), id="slashes-alone-are-the-root"),
        pytest.param("/api", "/api", ("/api", {}), id="bare"),
        pytest.param("/api", "/api/", ("/api", {}), id="bare-with-slash"),
        pytest.param("/api", "/api/x/y", ("/api", {}), id="below"),
        pytest.param("/api", "/api//x", ("/api", {}), id="empty-segment-below"),
        pytest.param("/api/", "/api", ("/api", {}), id="trailing-slash-means-nothing"),
        pytest.param("/api///", "/api/x", ("/api", {}), id="trailing-slashes-mean-nothing"),
        pytest.param("/api", "/apix", None, id="no-boundary"),
        pytest.param("/api", "/api\n", None, id="newline-is-no-boundary"),
        pytest.param("/api", "/api;v=1", None, id="semicolon-is-no-boundary"),
        pytest.param("/api", "/API", None, id="case-counts"),
        pytest.param("/api", "//api", None, id="empty-segment-before"),
        pytest.param("/api", "/x/api", None, id="elsewhere"),
        pytest.param("/api", "/", None, id="shorter"),
        pytest.param("/api", "", None, id="empty"),
        pytest.param("/a/b", "/a", None, id="one-of-two"),
        pytest.param("/a/b", "/a/b/c", ("/a/b", {}), id="two-segments"),
        pytest.param("/a//b", "/a//b/c", ("/a//b", {}), id="empty-segment-inside"),
        pytest.param("/a//b", "/a/b", None, id="slashes-are-not-squeezed"),
        pytest.param("/a.b", "/axb", None, id="dot-is-no-wildcard"),
        pytest.param("/caf%C3%A9", "/café/x", ("/café", {}), id="percent-encoded"),
        pytest.param("/café", "/café", ("/café", {}), id="non-ascii"),
        pytest.param("/日本/語", "/日本/語/x", ("/日本/語", {}), id="non-latin"),
        pytest.param("/a%20b", "/a b", ("/a b", {}), id="space"),
        pytest.param("/a%3Fb%23", "/a?b#", ("/a?b#", {}), id="encoded-delimiters"),
        pytest.param("/a%2525", "/a%25", ("/a%25", {}), id="decoded-once"),
        pytest.param("/a%2Fb", "/a/b", None, id="encoded-slash-is-no-boundary"),
        pytest.param("/a%2fb", "/a%2fb", ("/a%2fb", {}), id="encoded-slash-stays"),
        pytest.param("/t/{tenant}", "/t/acme/x", ("/t/acme", {"tenant": "acme"}), id="str"),
        pytest.param("/t/{tenant:str}", "/t/a b", ("/t/a b", {"tenant": "a b"}), id="str-typed"),
        pytest.param("/t/{tenant}", "/t/", None, id="str-never-empty"),
        pytest.param("/t/{tenant}", "/t", None, id="str-missing"),
        pytest.param("/t/{tenant}", "/t//x", None, id="str-empty-segment"),
        pytest.param("/{a}/{b}", "/1/2/3", ("/1/2", {"a": "1", "b": "2"}), id="two-str"),
        pytest.param("/u/{id:int}", "/u/042/x", ("/u/042", {"id": 42}), id="int"),
        pytest.param("/u/{id:int}", "/u/4x", None, id="int-refuses"),
        pytest.param("/u/{id:int}", "/u/-4", None, id="int-negative"),
        pytest.param("/u/{id:int}", "/u/٣", None, id="int-arabic-digit"),
        pytest.param("/u/{id:int}", "/u/4\n", None, id="int-newline"),
        pytest.param("/u/{id:int}", "/u/" + "9" * 5000, None, id="int-5000-digits"),
        pytest.param("/{x:float}", "/1.5/", ("/1.5", {"x": 1.5}), id="float"),
        pytest.param("/{x:float}", "/" + "9" * 300, ("/" + "9" * 300, {"x": 1e300}), id="float-long"),
        pytest.param("/{x:float}", "/" + "9" * 400, None, id="float-400-digits"),
        pytest.param("/{x:float}", "/" + "9" * 5000, None, id="float-5000-digits"),
        pytest.param("/v{x:float}-{n:int}", "/v" + "9" * 400 + "-1", None, id="mixed-float"),
        pytest.param("/{p:path}/{x:float}", "/a/" + "7" * 5000, None, id="path-float"),
        pytest.param("/{x:uuid}", f"/{UUID_TEXT}", (f"/{UUID_TEXT}", {"x": UUID(UUID_TEXT)}),
                     id="uuid"),
        pytest.param("/v{n:int}", "/v2/x", ("/v2", {"n": 2}), id="mixed"),
        pytest.param("/v{n:int}", "/v/x", None, id="mixed-empty"),
        pytest.param("/v{n:int}", "/vx", None, id="mixed-refuses"),
        pytest.param("/{a}-{b}.js", "/x-y.js", ("/x-y.js", {"a": "x", "b": "y"}), id="mixed-two"),
        pytest.param("/{x}é", "/aé", ("/aé", {"x": "a"}), id="mixed-non-ascii"),
        pytest.param("/v{n:int}", "/v" + "9" * 5000, None, id="mixed-5000-digits"),
        pytest.param("/f/{p:path}", "/f/a/b/c", ("/f/a/b", {"p": "a/b"}), id="path-greedy"),
        pytest.param("/f/{p:path}", "/f/a", ("/f/a", {"p": "a"}), id="path-one-segment"),
        pytest.param("/f/{p:path}", "/f/a/", ("/f/a", {"p": "a"}), id="path-leaves-slash"),
        pytest.param("/f/{p:path}", "/f/", ("/f", {"p": ""}), id="path-may-be-empty"),
        pytest.param("/f/{p:path}", "/f", None, id="path-wants-its-slash"),
        pytest.param("/f/{p:path}", "/fx/a", None, id="path-boundary"),
        pytest.param("/{p:path}/end", "/a/b/end/x", ("/a/b/end", {"p": "a/b"}), id="path-inside"),
        pytest.param("/{p:path}/end", "/a/b/ending", None, id="path-inside-boundary"),
        pytest.param("/{p:path}/{n:int}", "/a/7/x", ("/a/7", {"p": "a", "n": 7}), id="path-int"),
        pytest.param("/{p:path}/{n:int}", "/a/" + "7" * 5000, None, id="path-5000-digits"),
        pytest.param("/{p:path}", "/a\nb/c", ("/a\nb", {"p": "a\nb"}), id="path-newline"),
    ],
)  # fmt: skip
def test_prefix(pattern: str, path: str, expected: tuple[str, dict[str, Any]] | None) -> None:
    """A prefix takes whole segments, and says which part of the path it took."""
    assert PathPattern(pattern).match(path) == expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/x", "/x", ("/x", {}), id="same"),
        pytest.param("/x", "/x/", None, id="with-slash"),
        pytest.param("/x", "/x/y", None, id="below"),
        pytest.param("/x", "/xy", None, id="longer-text"),
        pytest.param("/x", "", None, id="empty"),
        pytest.param("/x/", "/x/", ("/x", {}), id="slash-same"),
        pytest.param("/x/", "/x", None, id="slash-without"),
        pytest.param("/x/", "/x//", None, id="slash-two"),
        pytest.param("/x/", "/x/y", None, id="slash-below"),
        pytest.param("/x/", "", None, id="slash-empty"),
        pytest.param("", "/", ("", {}), id="root-slash"),
        pytest.param("/", "", ("", {}), id="root-empty"),
        pytest.param("/", "/x", None, id="root-below"),
        pytest.param("/", "//", None, id="root-two-slashes"),
        pytest.param("/{x}", "/a", ("/a", {"x": "a"}), id="placeholder"),
        pytest.param("/{x}", "/a/b", None, id="placeholder-below"),
        pytest.param("/{x}/", "/a/", ("/a", {"x": "a"}), id="placeholder-slash"),
        pytest.param("/{x:int}", "/" + "1" * 5000, None, id="int-5000-digits"),
        pytest.param("/f/{p:path}", "/f/a/b", ("/f/a/b", {"p": "a/b"}), id="path"),
        pytest.param("/f/{p:path}", "/g/a", None, id="path-elsewhere"),
        pytest.param("/f/{p:path}/", "/f/a/b/", ("/f/a/b", {"p": "a/b"}), id="path-slash"),
        pytest.param("/f/{p:path}/", "/f/a/b", None, id="path-slash-without"),
    ],
)
def test_exact(pattern: str, path: str, expected: tuple[str, dict[str, Any]] | None) -> None:
    """`exact` takes the very path, its trailing slash included, and nothing below."""
    assert PathPattern(pattern, exact=True).match(path) == expected


@pytest.mark.parametrize("pattern", ["/x//", "//", "/{t}//"])
def test_exact_prefix_never_ends_in_a_slash(pattern: str) -> None:
    """What an exact mount took ends in no slash, however many were written."""
    found = PathPattern(pattern, exact=True).match(pattern.replace("{t}", "a"))
    assert found is not None
    assert not found[0].endswith("/")


@pytest.mark.usefixtures("hex_convertor")
@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/c/{x:hex}", "/c/ff/y", ("/c/ff", {"x": 255}), id="alone"),
        pytest.param("/c/{x:hex}", "/c/fg", None, id="refused"),
        pytest.param("/c-{x:hex}.d", "/c-ff.d", ("/c-ff.d", {"x": 255}), id="mixed"),
        pytest.param("/{t}/{x:hex}", "/a/ff/ff", ("/a/ff", {"t": "a", "x": 255}), id="after-str"),
    ],
)
def test_custom_convertor(
    pattern: str, path: str, expected: tuple[str, dict[str, Any]] | None
) -> None:
    """Convertors that were registered with Starlette work in prefixes."""
    assert PathPattern(pattern).match(path) == expected


KNOWN = ", ".join(sorted(CONVERTOR_TYPES))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("api", "Mount path 'api' must start with '/'; write '/api'.", id="no-slash"),
        pytest.param(
            "http://a.com/x",
            "Mount path 'http://a.com/x' is a URL with a host; write Mount('/x', host='a.com').",
            id="url",
        ),
        pytest.param(
            b"/x", "Mount path b'/x' is not a text; write a path such as '/api'.", id="bytes"
        ),
        pytest.param(
            None, "Mount path None is not a text; write a path such as '/api'.", id="nothing"
        ),
        pytest.param(
            "/a\n", "Mount path '/a\\n' contains a control character; remove it.", id="newline"
        ),
        pytest.param(
            "/a%00",
            "Mount path '/a%00' contains a control character; remove it.",
            id="encoded-control",
        ),
        pytest.param(
            "/a?b", "Mount path '/a?b' contains a query; use query=.", id="query"
        ),
        pytest.param(
            "/a#b", "Mount path '/a#b' contains a fragment; remove it.", id="fragment"
        ),
        pytest.param(
            "/{x:nope}",
            f"Mount path '/{{x:nope}}' names the convertor 'nope'; known are {KNOWN}.",
            id="convertor",
        ),
        pytest.param(
            "/{x}/{x:int}",
            "Mount path '/{x}/{x:int}' has the placeholder 'x' twice; rename one.",
            id="twice",
        ),
        pytest.param(
            "/{path}",
            "Mount path '/{path}' has a placeholder 'path', which Starlette keeps for the rest "
            "of the path; rename it.",
            id="reserved",
        ),
        pytest.param(
            "/api/{path:path}",
            "Mount path '/api/{path:path}' has a placeholder 'path', which Starlette keeps for the "
            "rest of the path; write '/api': a mount takes all that is below its path.",
            id="as_a_route",
        ),
        pytest.param(
            "/{path:path}",
            "Mount path '/{path:path}' has a placeholder 'path', which Starlette keeps for the "
            "rest of the path; write '/': a mount takes all that is below its path.",
            id="as_a_route_at_the_root",
        ),
    ],
)  # fmt: skip
def test_refused(path: Any, message: str) -> None:
    """A path that can never work is refused: value, reason, fix."""
    with pytest.raises(PatternError) as caught:
        PathPattern(path)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "path", ["/{tenant-id}", "/{}", "/{x", "/x}", "/{x:}", "/{9}", "/{x y}", "/{:int}", "/a/{/}/c"]
)
def test_stray_brace_is_refused(path: str) -> None:
    """A brace that begins no placeholder is a misspelled one: text with braces is never meant."""
    with pytest.raises(PatternError, match="has a brace outside of a placeholder"):
        PathPattern(path)


@pytest.mark.parametrize("path", ["/%7Bx%7D", "/a%7b", "/%7D"])
def test_encoded_brace_is_refused(path: str) -> None:
    """Starlette keeps the decoded path, and would read a placeholder there."""
    with pytest.raises(PatternError, match="contains an encoded brace"):
        PathPattern(path)


@pytest.mark.parametrize("path", ["/{a:path}/{b:path}", "/{a:path}/x/{b:path}/y"])
def test_two_placeholders_with_slashes_are_refused(path: str) -> None:
    """Where one ends and the other begins would be a guess."""
    with pytest.raises(PatternError, match="has two placeholders that may hold slashes"):
        PathPattern(path)


@pytest.mark.parametrize(
    ("more_specific", "less_specific"),
    [
        pytest.param(("/a", True), ("/a/b/c", False), id="exact-before-longer"),
        pytest.param(("/a/b", False), ("/a", False), id="longer-before-shorter"),
        pytest.param(("/{x}/{y}", False), ("/a", False), id="segments-before-literals"),
        pytest.param(("/a", False), ("/v{n}", False), id="literal-before-mixed"),
        pytest.param(("/ve{n}", False), ("/v{n}", False), id="more-literal-text"),
        pytest.param(("/v{n}", False), ("/{n:int}", False), id="mixed-before-typed"),
        pytest.param(("/{n:int}", False), ("/{n}", False), id="typed-before-any"),
        pytest.param(("/{n}", False), ("/{n:path}", False), id="one-before-many"),
        pytest.param(("/a/{x}", False), ("/{x}/b", False), id="leftmost-literal"),
        pytest.param(("/a", False), ("", False), id="root-last"),
    ],
)
def test_rank(more_specific: tuple[str, bool], less_specific: tuple[str, bool]) -> None:
    """Smaller ranks are tried first."""
    (path, exact), (other_path, other_exact) = more_specific, less_specific
    rank = PathPattern(path, exact=exact).rank
    assert rank < PathPattern(other_path, exact=other_exact).rank


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param("/a/", "/a", True, id="trailing-slash"),
        pytest.param("/{x}", "/{y}", True, id="names"),
        pytest.param("/{x}", "/{x:str}", True, id="str-is-the-default"),
        pytest.param("/v{x:int}", "/v{y:int}", True, id="mixed"),
        pytest.param("/%61", "/a", True, id="encoded"),
        pytest.param("/{x}", "/{x:int}", False, id="convertors"),
        pytest.param("/a", "/A", False, id="case"),
    ],
)
def test_key(one: str, other: str, equal: bool) -> None:
    """Prefixes that take the same paths have the same key."""
    assert (PathPattern(one).key == PathPattern(other).key) is equal


def test_exact_key() -> None:
    """`/x` and `/x/` are two exact paths, and neither is the prefix."""
    keys = {
        PathPattern("/x", exact=True).key,
        PathPattern("/x/", exact=True).key,
        PathPattern("/x").key,
    }
    assert len(keys) == 3


def test_repr() -> None:
    """The pattern as it compares."""
    assert repr(PathPattern("/a/", exact=True)) == "PathPattern('/a/', exact=True)"


@pytest.mark.parametrize(
    ("root_path", "path", "path_has_root", "expected"),
    [
        pytest.param("", "/x", None, ("", "/x"), id="none"),
        pytest.param("/", "/x", None, ("", "/x"), id="slash-is-none"),
        pytest.param("/o", "/o/x", None, ("/o", "/x"), id="with-root"),
        pytest.param("/o/", "/o/x", None, ("/o", "/x"), id="trailing-slash"),
        pytest.param("/o", "/o", None, ("/o", ""), id="bare"),
        pytest.param("/o", "/o/", None, ("/o", "/"), id="bare-slash"),
        pytest.param("/o", "/x", None, ("/o", "/x"), id="stripped-by-a-proxy"),
        pytest.param("/o", "/ox", None, ("/o", "/ox"), id="boundary"),
        pytest.param("/auth", "/auth", True, ("/auth", ""), id="said-to-be-there"),
        pytest.param("/auth", "/auth", False, ("/auth", "/auth"), id="said-to-be-missing"),
        pytest.param("/auth/", "/x", False, ("/auth", "/x"), id="missing-trailing-slash"),
        pytest.param("/é", "/é/x", None, ("/é", "/x"), id="non-ascii"),
    ],
)
def test_split_root_path(
    root_path: str, path: str, path_has_root: bool | None, expected: tuple[str, str]
) -> None:
    """`root_path` is cut off where it is there, on a boundary, unless it is said where it is."""
    scope = {"path": path, "root_path": root_path}
    assert split_root_path(scope, path_has_root=path_has_root) == expected


def test_split_without_root_path() -> None:
    """`root_path` is optional in ASGI."""
    assert split_root_path({"path": "/x"}) == ("", "/x")


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        pytest.param("/a/b", "/a/b", id="plain"),
        pytest.param("/a b", "/a%20b", id="space"),
        pytest.param("/é", "/%C3%A9", id="non-ascii"),
        pytest.param("/!$&'()*+,;=:@~-._", "/!$&'()*+,;=:@~-._", id="pchar"),
        pytest.param('/%?#[]"<>', "/%25%3F%23%5B%5D%22%3C%3E", id="the-rest"),
    ],
)
def test_encode_path(path: str, encoded: str) -> None:
    """What RFC 3986 allows in a path stays as it is, the rest is percent-encoded."""
    assert encode_path(path) == encoded


@pytest.mark.parametrize(
    ("raw_path", "root_path", "rest", "expected"),
    [
        pytest.param(b"/x", "", "/x", b"/x", id="nothing-to-cut"),
        pytest.param(b"/a/x", "/a", "/x", b"/x", id="one"),
        pytest.param(b"/a/b/x%20y", "/a/b", "/x y", b"/x%20y", id="keeps-the-spelling"),
        pytest.param(b"/%61/x%7Ey", "/a", "/x~y", b"/x%7Ey", id="prefix-spelled-otherwise"),
        pytest.param(b"/a", "/a", "/", b"/", id="too-short"),
        pytest.param(b"/a%2Fb/c/x%7Ey", "/a/b", "/c/x~y", b"/c/x~y", id="encoded-slash"),
        pytest.param(b"/caf%C3%A9/x", "/café", "/x", b"/x", id="non-ascii"),
    ],
)
def test_cut_raw_path(raw_path: bytes, root_path: str, rest: str, expected: bytes) -> None:
    """The raw path loses as many segments as the root has; where it cannot, it is made anew."""
    assert cut_raw_path(raw_path, root_path, rest) == expected


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        pytest.param("/mcp", b"", "./mcp/", id="plain"),
        pytest.param("/a/mcp", b"", "./mcp/", id="last-segment-alone"),
        pytest.param("/mcp", b"a=1&b=%20", "./mcp/?a=1&b=%20", id="query"),
        pytest.param("/a:b", b"", "./a:b/", id="colon-is-no-scheme"),
        pytest.param("/x/", b"", ".//", id="empty-segment-is-no-host"),
        pytest.param("/é", b"", "./%C3%A9/", id="non-ascii"),
        pytest.param("/a\r\nb", b"", "./a%0D%0Ab/", id="no-header-injection"),
        pytest.param("/\\evil.com", b"", "./%5Cevil.com/", id="backslash"),
    ],
)
def test_slash_location(path: str, query: bytes, location: str) -> None:
    """A relative reference, so that no proxy and no Host header can lead it astray."""
    assert slash_location(path, query) == location


SEGMENT = st.text(min_size=1, max_size=6).filter(lambda text: text.strip("./") != "")
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map(
    lambda parts: "".join("/" + part.replace("/", "") for part in parts)
)


@given(PATHS)
def test_slash_location_leads_to_the_path_with_a_slash(path: str) -> None:
    """What a browser makes of the reference is the path with a slash, on the same host."""
    base = "http://example.com" + encode_path(path)
    if path.rpartition("/")[2].strip(".") == "":
        return  # a browser would have resolved a last segment of dots
    assert urljoin(base, slash_location(path, b"")) == base + "/"


PATTERN_TEXTS = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(
            ["/", "a", "é", "%", "%2F", "%41", "{", "}", "{x}", "{y:int}", "{z:path}", "v", ".",
             "{path}", "{q:no}", "?", "#", "\n", " ", "//", ":", "\x7f", "\ud800"]
        ),
        max_size=8,
    ).map("".join),
)  # fmt: skip


@given(PATTERN_TEXTS, st.booleans())
def test_only_pattern_errors(text: str, exact: bool) -> None:
    """Whatever is written, it is a pattern or a `PatternError`."""
    message, path = repr(text), ""
    try:
        path = PathPattern(text, exact=exact).path
    except PatternError as exc:
        message = str(exc)
    assert repr(text) in message
    assert path == path.rstrip("/")


@given(
    st.sampled_from(
        ["", "/a", "/a/b", "/{x}", "/a/{x:int}", "/v{n:int}", "/{p:path}", "/a/{p:path}/b", "//a"]
    ),
    st.booleans(),
    st.lists(st.sampled_from(["/", "a", "b", "1", "v1", "é"]), max_size=8).map("".join),
)
@example("/a/{p:path}/b", False, "/a//b/")
def test_prefix_and_rest_are_the_path(pattern: str, exact: bool, path: str) -> None:
    """The prefix is a part of the path, on a boundary, and never ends in a slash."""
    path = "/" + path
    found = PathPattern(pattern, exact=exact).match(path)
    if found is not None:
        prefix, _ = found
        rest = path[len(prefix) :]
        assert path.startswith(prefix)
        assert rest == "" or rest.startswith("/")
        assert not prefix.endswith("/")


def test_path_placeholder_is_linear() -> None:
    """A path of a million slashes is refused; in quadratic time, that would take days."""
    assert PathPattern("/{p:path}/end").match("/" * 1_000_000) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"/caf%C3%A9/x?a=%20#b", b"/caf%C3%A9/x?a=%20#b", id="encoded"),
        pytest.param("/café/x".encode(), b"/caf%C3%A9/x", id="utf-8"),
        pytest.param("/café/x".encode("latin-1"), b"/caf%C3%A9/x", id="latin-1"),
        pytest.param(
            "http://a.com/k%C3%A4se/ü".encode(), b"http://a.com/k%C3%A4se/%C3%BC", id="both"
        ),
    ],
)
def test_ascii_location(value: bytes, expected: bytes) -> None:
    """Letters are percent-encoded; what is ASCII stays."""
    assert ascii_location(value) == expected


def test_an_exact_placeholder_of_any_path_takes_the_root() -> None:
    """The empty path below a `root_path` is "/"."""
    assert PathPattern("/{p:path}", exact=True).match("") == ("", {"p": ""})
    assert PathPattern("/{p:path}").match("") is None


# Several placeholders in one segment.

ACCEPTED = [
    "/{a}-{b}",
    "/{a}-{b}-{c}x",
    "/x{a}--{b}",
    "/{a}.{b}.{c}.{d}",
    "/v{a:int}.{b:int}",
    "/{a:int}-{b}-{c}",
    "/{a}-{b:int}",
    "/{a}-{b}-{c:int}.{d:int}y",
    "/{a:float}-{b:float}",
    "/{a:int}x{b:float}-{c:int}",
    "/{a:uuid}.{b}",
    "/{a}_{b:uuid}",
    "/{a:int}1-{b}",
    "/{a}-1{b:int}",
    "/{a}/{b}-{c}/{d:int}",
    "/x/{a}-{b}/{p:path}/{d}y/z",
    "/{a}/{p:path}",
    "/{a:int}-{b}/x{p:path}y/{c}z",
]
TEXTS = st.lists(
    st.sampled_from(
        ["a", "-", "--", ".", "x", "y", "1", "12", "_", "/", "1.5", UUID_TEXT, "z", "v", "1-"]
    ),
    max_size=12,
).map("".join)


@example(ACCEPTED[1], "a-b-c-dx")
@settings(max_examples=600, deadline=None)
@given(st.sampled_from(ACCEPTED), TEXTS)
def test_matches_as_starlette_does(pattern: str, text: str) -> None:
    """The same texts, with the same values: an exact path as a route, a prefix as a mount."""
    path = "/" + text
    for exact, other in ((True, pattern), (False, pattern + "/{path:path}")):
        found = PathPattern(pattern, exact=exact).match(path)
        regex, _, convertors = compile_path(other)
        match = re.fullmatch(regex.pattern, path, re.DOTALL)
        if not exact and match is None:  # the bare prefix
            regex, _, convertors = compile_path(pattern)
            match = re.fullmatch(regex.pattern, path, re.DOTALL)
        event("matches" if match else "does not match")
        expected = None
        if match is not None:
            texts = {name: value for name, value in match.groupdict().items() if name != "path"}
            expected = {name: convertors[name].convert(value) for name, value in texts.items()}
        assert (found and found[1]) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "/{a}{b}",
        "/{a:int}{b}",
        "/{a:int}{b:int}",
        "/{a}-{b:int}-{c}",
        "/{a:float}.{b}",
        "/{a:uuid}-{b}",
        "/{a}1{b:int}",
        "/x/{a}-{b}{c}",
    ],
)
def test_open_boundaries_are_refused(pattern: str) -> None:
    """Where it cannot be told in linear time where one ends and the next begins."""
    with pytest.raises(PatternError, match="leaves open where one placeholder ends"):
        PathPattern(pattern)


@pytest.mark.usefixtures("hex_convertor")
@pytest.mark.parametrize("pattern", ["/{a:hex}-{b}", "/{a}-{b:hex}", "/{a:hex}{b:int}"])
def test_convertors_of_ones_own_beside_others_are_refused(pattern: str) -> None:
    """It is not known what they can hold."""
    with pytest.raises(PatternError, match=r"leaves open|one placeholder a segment"):
        PathPattern(pattern)


@pytest.mark.parametrize("pattern", ["/{p:path}/{a}-{b}", "/{a:int}-{p:path}", "/{p:path}.{a:int}"])
def test_two_placeholders_beside_one_with_slashes_are_refused(pattern: str) -> None:
    """To try takes quadratic time."""
    with pytest.raises(PatternError, match="write one placeholder a segment there"):
        PathPattern(pattern)


@pytest.mark.parametrize("text", ["1:0", "9" * 400 + ":1", "9" * 5000 + ":1"])
def test_a_custom_convertor_that_cannot_compute(text: str) -> None:
    """What is no number for it is no match, and not an error."""
    register_url_convertor("ratio", RatioConvertor())
    try:
        assert PathPattern("/r/{x:ratio}").match("/r/1:2") == ("/r/1:2", {"x": 0.5})
        assert PathPattern("/r/{x:ratio}").match(f"/r/{text}") is None
    finally:
        del CONVERTOR_TYPES["ratio"]


def test_a_custom_convertor_that_takes_slashes_between_digits() -> None:
    """Is recognised by samples."""
    register_url_convertor("day", DayConvertor())
    try:
        assert PathPattern("/{d:day}/x").match("/2024/05/x/y") == ("/2024/05/x", {"d": "2024/05"})
        with pytest.raises(PatternError, match="two placeholders that may hold slashes"):
            PathPattern("/{d:day}/{e:day}")
    finally:
        del CONVERTOR_TYPES["day"]


LONG = 65_536
EVIL = ["-", "a-", ".", "1.", "x", "-x", "/", "a/", "/-", "1", "1-1/", "y/", "yz/"]


@pytest.mark.parametrize("exact", [False, True], ids=["prefix", "exact"])
@pytest.mark.parametrize("pattern", ACCEPTED)
def test_long_paths_take_linear_time(pattern: str, exact: bool) -> None:
    """A path of 64 KB, whatever it is made of: four times as long takes about four times as long,
    which is far from the 16 or 64 times of what is quadratic or cubic."""
    compiled = PathPattern(pattern, exact=exact)
    start = pattern.partition("{")[0]
    for evil in EVIL:
        path = start + evil * (LONG // len(evil))
        for end in ("", "!", "/", "/z"):
            began = process_time()
            compiled.match(path + end)
            # About 1 ms here; what is quadratic takes seconds.
            assert process_time() - began < 0.25, (evil, end)


def test_a_long_path_is_soon_known_to_lack_what_follows_a_placeholder() -> None:
    """No regular expression is tried on it, so that a table may have many such mounts."""
    compiled = PathPattern("/{a:path}/x1")
    path = "/x" * (LONG // 2)
    began = process_time()
    assert not any(compiled.match(path) for _ in range(2_000))
    assert process_time() - began < 0.8  # 0.2 s here; 1.8 s with the regular expressions


def test_long_host_labels_are_refused_at_once() -> None:
    """A host has a length, and a label one placeholder."""
    pattern = HostPattern("a{x}b.{y:int}.com")
    assert pattern.match(parse_host("a" * LONG + ".com")) is None
