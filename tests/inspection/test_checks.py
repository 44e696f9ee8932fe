"""`Table.check` and `check`: what is wrong with a table, although it can be built."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from mountkit import (
    Accept,
    Client,
    ConflictError,
    Cookie,
    Dispatcher,
    DispatchMiddleware,
    Header,
    Host,
    Matcher,
    Method,
    Mount,
    Query,
    Scheme,
    ScopeType,
    Table,
)
from mountkit.inspection.audits import check
from mountkit.inspection.explanations import explain_scope, request_scope
from mountkit.matching.findings import Finding
from mountkit.matching.rules import Rule
from mountkit.matching.witnesses import Undecided, describe_request, reach, sample_regex, takes


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """An app; nothing here calls it."""


def M(path: str = "/a", **options: Any) -> Mount:
    return Mount(path, app, **options)


def codes(*mounts: Mount) -> list[str]:
    return [finding.code for finding in Table(mounts).check()]


def one(*mounts: Mount) -> Finding:
    (finding,) = Table(mounts).check()
    return finding


class Odd(Matcher):
    """A condition that nothing can be read from."""

    def matches(self, scope: Scope) -> bool:
        return len(scope["path"]) % 2 == 1


CLEAN = [
    pytest.param([M("/a"), M("/a/b"), M("/")], id="prefixes"),
    pytest.param([M("/a", exact=True), M("/a")], id="exact"),
    pytest.param([M("/a/", exact=True), M("/a", exact=True), M("/", exact=True), M("/")], id="exact, slash"),
    pytest.param([M("/t/{x}"), M("/t/{n:int}"), M("/t/a"), M("/t/v{n:int}")], id="placeholders"),
    pytest.param([M("/f/{p:path}"), M("/f")], id="many segments"),
    pytest.param([M(host="a.com"), M(host="*.a.com"), M(host="{t}.a.com"), M()], id="hosts"),
    pytest.param([M(host="a.com:80"), M(host="a.com")], id="ports"),
    pytest.param([M(host="pr-{n:int}.a.com"), M(host="{t}.a.com")], id="labels"),
    pytest.param([M(headers={"x": "1"}), M(headers={"x": "2"}), M()], id="values"),
    pytest.param([M(headers={"x": "1", "y": True}), M(headers={"x": "1"}), M(headers={"x": None})], id="counts"),
    pytest.param([M(headers={"x": re.compile(r"v\d+")}), M(headers={"x": re.compile("w[a-c]{2}")}), M()], id="regex"),
    pytest.param([M(methods=["GET"]), M(methods=["POST"]), M()], id="methods"),
    pytest.param([M(query={"v": "1"}), M(query={"v": None}), M(headers={"x": "1"}, query={"v": "2"})], id="query"),
    pytest.param([M(when=Cookie("c", "1")), M(when=~Cookie("c"))], id="cookies"),
    pytest.param([M(when=Scheme("https")), M(when=Scheme("http"))], id="schemes"),
    pytest.param([M(when=ScopeType("http")), M(when=ScopeType("websocket"))], id="types"),
    pytest.param([M(when=Client("10.0.0.0/8")), M(when=~Client("10.0.0.0/8"))], id="clients"),
    pytest.param([M(when=Accept("a/b;v=1")), M(when=Accept("a/b;v=2")), M()], id="media types"),
    pytest.param([M(when=~Accept("a/b")), M(when=Accept("a/b"))], id="not that media type"),
    pytest.param([M(when=~Scheme("https") & ~ScopeType("http")), M()], id="negations"),
    pytest.param([M(when=Cookie("c") & ~Method("DELETE")), M()], id="and not"),
    pytest.param([M(when=~(Header("x") | Query("q"))), M(when=Header("x") | Query("q")), M("/")], id="or"),
    pytest.param([M(when=Host("a.com") | Host("b.com")), M(when=~(Host("a.com") | Host("b.com")))], id="hosts in or"),
    pytest.param([M("/t/{n:float}", priority=1), M("/t/{u:uuid}")], id="convertors"),
    pytest.param([M(when=Odd()), M()], id="of one's own"),
]  # fmt: skip


@pytest.mark.parametrize("mounts", CLEAN)
def test_a_table_in_which_all_can_be_reached_is_clean(mounts: list[Mount]) -> None:
    """However its mounts are declared."""
    assert Table(mounts).check() == []
    assert Table(mounts[::-1]).check() == []


@pytest.mark.parametrize("mounts", CLEAN)
def test_every_mount_of_a_clean_table_has_a_witness(mounts: list[Mount]) -> None:
    """A request that the table gives to it; conditions of one's own cannot be read."""
    table = Table(mounts)

    def resolve(scope: Scope) -> Rule | None:
        found = table.resolve(scope)
        return found and found.mount.rule

    for mount in mounts:
        witness = reach(mount.rule, resolve)
        assert not isinstance(witness, list)
        assert resolve(witness) is mount.rule


@pytest.mark.parametrize(
    ("hidden", "by"),
    [
        pytest.param(M("/a/b"), [M("/a", priority=1)], id="priority"),
        pytest.param(M(), [M(headers={"x": True}), M(headers={"x": None})], id="two that share all"),
        pytest.param(M(), [M(when=Method("GET")), M(when=~Method("GET"))], id="method or not"),
        pytest.param(M(), [M(when=Cookie("c") | ~Cookie("c"))], id="always"),
        pytest.param(M(host="x.a.com"), [M("/", host="*.a.com", priority=1)], id="host"),
    ],
)  # fmt: skip
def test_a_mount_that_nothing_reaches(hidden: Mount, by: list[Mount]) -> None:
    """It is named, with those that take its requests."""
    finding = one(*by, hidden)
    assert finding.code == "unreachable"
    assert finding.rules[0] is hidden.rule
    assert {id(rule) for rule in finding.rules[1:]} == {id(mount.rule) for mount in by}
    assert finding.message.startswith(
        f"Mount({hidden.rule!r}) at {hidden.rule.where} can never be reached; every request for "
        "it is taken by Mount("
    )


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(Method("GET") & Method("POST"), id="methods"),
        pytest.param(Header("x", "1") & Header("x", "2"), id="values"),
        pytest.param(Header("x") & ~Header("x"), id="negation"),
    ],
)
def test_conditions_that_contradict_each_other(when: Matcher) -> None:
    """Nothing hides the mount; it refuses everything by itself."""
    finding = one(M(when=when), M())
    assert finding.code == "unreachable"
    assert finding.message.endswith(" can never be reached; its conditions contradict each other.")


def test_what_cannot_be_read_is_not_guessed_at() -> None:
    """A condition of one's own may leave something to the others, or not."""
    assert codes(M(when=Odd(), priority=1), M(when=~Odd(), priority=1), M()) == []


def test_a_regex_that_cannot_be_sampled_is_not_guessed_at() -> None:
    """The mount may be reached, by a text that was not found."""
    assert codes(M(headers={"x": re.compile(r"(?=q)q(?<=q)[^\s]\b")}), M()) == []


def test_a_search_has_an_end() -> None:
    """Forty conditions, each of which can be broken in two ways, are more than it tries."""
    rivals = itertools.cycle([M(headers={f"h{i}": "1"}).rule for i in range(40)])
    with pytest.raises(Undecided):
        reach(M("/a").rule, lambda scope: next(rivals))


def test_a_mount_that_is_taken_by_what_has_no_rule() -> None:
    """Nothing can be named."""
    assert reach(M("/a").rule, lambda scope: None) == []


@pytest.mark.parametrize(
    ("first", "second", "request_text"),
    [
        pytest.param(
            M(headers={"x": "1"}),
            M(headers={"y": "1"}),
            "GET http://other.invalid/a (x: 1, y: 1)",
            id="headers",
        ),
        pytest.param(
            M("/t/{a}/x", when=Cookie("c")),
            M("/t/{b}/x", query={"q": "1 2"}, when=Client("10.0.0.0/8"), methods=None),
            None,
            id="different counts are no tie",
        ),
        pytest.param(
            M("/a/{x}"), M("/{y}/b"), "GET http://other.invalid/a/b", id="crossing placeholders"
        ),
        pytest.param(
            M(query={"p": "a&b"}, host="a.com"),
            M(query={"q": True}, host="a.com"),
            "GET http://a.com/a?p=a%26b&q=mountkit-witness",
            id="query",
        ),
        pytest.param(
            M(when=Client("10.0.0.0/8") & ScopeType("websocket")),
            M(when=Cookie("c", "1") & Cookie("d", "2")),
            "WEBSOCKET ws://other.invalid/a (cookie: c=1; d=2, from 10.0.0.0)",
            id="client",
        ),
        pytest.param(
            M(host="{x}.a.com"), M(host="{y}-z.a.com"), None, id="longer literal part of a host"
        ),
        pytest.param(M("/a/{x}"), M("/b/{y}"), None, id="disjoint literals"),
        pytest.param(M(headers={"x": "1"}), M(headers={"x": "2"}), None, id="disjoint values"),
        pytest.param(M(when=Accept("a/b")), M(when=Accept("a/c")), None, id="negotiated"),
        pytest.param(M("/a", headers={"x": "1"}), M("/b", headers={"y": "1"}), None, id="paths"),
    ],
)
def test_pairs_that_overlap(first: Mount, second: Mount, request_text: str | None) -> None:
    """Neither is more specific: a request that both take is shown."""
    table = Table([first, second])
    findings = table.check()
    if request_text is None:
        assert findings == []
        return
    (finding,) = findings
    assert finding.code == "overlap"
    assert set(map(id, finding.rules)) == {id(first.rule), id(second.rule)}
    assert finding.request == request_text
    assert f"both take {request_text}, and neither is more specific" in finding.message


def test_an_overlap_says_what_decides_it() -> None:
    """The order of declaration, or the leftmost literal segment."""
    tie = one(M(headers={"x": "1"}), M(headers={"y": "1"}))
    assert ": the order of declaration decides. " in tie.message
    crossing = one(M("/a/{x}"), M("/{y}/b"))
    assert ": the leftmost literal decides. " in crossing.message


def test_prefixes_with_several_segments_in_one_placeholder_overlap() -> None:
    """Their samples are tried one by one."""
    finding = one(M("/f/{p:path}", headers={"x": "1"}), M("/f/{q:path}", headers={"y": "1"}))
    assert finding.code == "overlap"


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/a/", "trailing-slash", "'/a/', which means nothing; write '/a'."),
        ("/a//b", "not-normal", "has '//' in its path '/a//b': an empty segment"),
        ("/a/./b", "not-normal", "has '/./' in its path"),
        ("/a/..", "not-normal", "has '/../' in its path"),
        ("/a%2Fb", "not-normal", "has '%2f' in its path '/a%2Fb'"),
        ("/a%5Cb", "not-normal", "has '%5c' in its path"),
        ("/a\\b", "not-normal", "has '\\\\' in its path"),
    ],
)
def test_forms_that_no_request_has(path: str, code: str, words: str) -> None:
    """Clients, proxies and servers change them on the way."""
    finding = one(M(path))
    assert finding.code == code
    assert words in finding.message
    assert str(finding) == f"{code}: {finding.message}"


def test_an_exact_path_may_end_in_a_slash() -> None:
    """There it means something."""
    assert codes(M("/a/", exact=True)) == []


def test_a_conflict_shows_a_request_that_both_would_take() -> None:
    """With the places of both definitions."""
    first, second = M("/t/{a}", host="{x}.a.com"), M("/t/{b}", host="{y}.a.com")
    with pytest.raises(ConflictError) as caught:
        Table([first, second])
    assert str(caught.value) == (
        f"Mount('/t/{{b}}', host='{{y}}.a.com') at {second.rule.where} (number 2 there) takes exactly the "
        f"requests of Mount('/t/{{a}}', host='{{x}}.a.com') at {first.rule.where} (number 1 there), such as GET "
        "http://x.a.com/t/x; remove one, or give it a condition or a priority of "
        "its own."
    )


def test_a_conflict_without_an_example() -> None:
    """The request could not be found; the conflict stands."""
    odd = Odd() & ~Odd()
    with pytest.raises(ConflictError, match=r"test_checks\.py:\d+ \(number 1 there\); remove one"):
        Table([M(when=odd), M(when=odd)])


class Upper(Convertor[str]):
    regex = "[A-Z]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Unsampled(Upper):
    regex = r"(?=q)q(?<=q)[^\s]\b"


def test_a_convertor_of_ones_own_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its regular expression."""
    monkeypatch.setitem(CONVERTOR_TYPES, "upper", Upper())
    monkeypatch.setitem(CONVERTOR_TYPES, "odd", Unsampled())
    assert codes(M("/u/{x:odd}"), M("/u/{x}")) == []
    assert codes(M("/u/{x:upper}"), M("/u/{x}")) == []


@pytest.mark.parametrize(
    "pattern",
    [r"v\d+", r"(?:a|b)c?", r"[0-9a-f]{8}-x", r"^1\.0$", r"(?P<n>\w+)", ".*", r"[^/]+", r"\d{4}-\d{2}"],
)  # fmt: skip
def test_texts_for_a_regular_expression(pattern: str) -> None:
    """All that are offered match, and there is one."""
    compiled = re.compile(pattern)
    samples = sample_regex(compiled)
    assert samples
    assert all(map(compiled.fullmatch, samples))


def test_a_request_without_host_is_described_by_its_path() -> None:
    """There is not a URL to show."""
    scope = {"path": "/é", "headers": [], "query_string": b"", "client": ("127.0.0.1", 0)}
    assert describe_request({**scope, "method": "GET"}) == "GET /%C3%A9"


# Whole apps.


class Everything(HTTPEndpoint):
    """A route that takes every method."""


def test_everything_below_is_looked_through() -> None:
    """Dispatchers in dispatchers, routes, and the middleware of a mounted app."""
    inner = FastAPI()
    inner.add_middleware(DispatchMiddleware, mounts=[M("/z/")])
    top = Dispatcher(
        [Mount("/x", inner), Mount("/r", routes=[M("/q/")])], default=Dispatcher([M("/d/")])
    )
    assert sorted(f.message.partition("'")[2][:2] for f in check(top)) == ["/d", "/q", "/z"]


@pytest.mark.parametrize(
    ("routes", "by"),
    [
        pytest.param([M("/"), M("/a")], "Mount('/')", id="a mount"),
        pytest.param(
            [Route("/a{p:path}", Everything), WebSocketRoute("/a{p:path}", app), M("/a")],
            "Route('/a{p:path}') or WebSocketRoute('/a{p:path}')",
            id="routes",
        ),
    ],
)
def test_a_mount_among_routes_that_others_hide(routes: list[Any], by: str) -> None:
    """There the order of declaration decides, and the finding says so."""
    (finding,) = check(Starlette(routes=routes))
    assert finding.code == "unreachable"
    assert (
        f" can never be reached; every request for it is taken by {by}, which stand before it: "
        "routes are tried in the order of their declaration. "
    ) in finding.message


def test_a_mount_among_routes_that_can_be_reached() -> None:
    """By another method, another header, a path that the route does not take."""

    def endpoint(request: Any) -> PlainTextResponse:
        return PlainTextResponse("")

    router = APIRouter(routes=[M("/v", headers={"x": "1"}), M("/v")])
    application = FastAPI(
        routes=[Route("/a/{p:path}", endpoint), M("/a"), M("/b", when=Odd()), M("/b/c")]
    )
    application.include_router(router, prefix="/in")
    assert check(application) == []


def test_what_hides_a_mount_may_be_unreadable() -> None:
    """Then nothing is said."""
    hides = M("/a", when=Odd() | ~Odd())
    assert check(Starlette(routes=[hides, M("/a/b")])) == []


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize(
    ("root_path", "is_found"), [("/v9", True), ("/x/api", False), ("/x/api/", False), ("", False)]
)
def test_an_app_with_a_root_path_of_its_own(root_path: str, is_found: bool) -> None:
    """It replaces the mount's; equal to it, it does no harm."""
    top = Dispatcher([Mount("/x", Dispatcher([Mount("/api", FastAPI(root_path=root_path))]))])
    findings = check(top)
    assert [finding.code for finding in findings] == ["own-root-path"] * is_found
    if is_found:
        assert (
            "FastAPI was built with root_path='/v9', which replaces the mount's '/x/api', so none"
            in (findings[0].message)
        )


def test_an_app_mounted_into_itself() -> None:
    """At any depth."""
    top = Starlette()
    inner = Starlette(routes=[Mount("/again", top)])
    top.routes.append(Mount("/inner", inner))
    (finding,) = check(top)
    assert finding.code == "mounted-into-itself"
    assert finding.message.endswith("mounts an app into itself; mount another app.")


def test_a_table_among_routes_is_checked() -> None:
    """With the others it takes its place after the plain routes."""
    team = Mount("/team", routes=[Route("/x", app), M("/a/"), M("/a", priority=2)])
    with pytest.raises(ConflictError):
        Mount("/team", routes=[M("/a"), M("/a/")])
    assert sorted(f.code for f in check(Dispatcher([team]))) == ["trailing-slash", "unreachable"]


# Properties.

PATHS = st.sampled_from(["/", "/a", "/a/b", "/{x}", "/{x:int}", "/a/{y}", "/{x}/b"])
HOSTS = st.sampled_from([None, "a.com", "*.a.com", "{t}.a.com", "b.a.com"])
ATOMS = st.sampled_from(
    [Header("x", "1"), Header("x"), Header("y"), Cookie("c"), Query("q", "1"), Method("GET"), Scheme("https")]
)  # fmt: skip
WHENS = st.recursive(
    ATOMS,
    lambda parts: st.one_of(
        parts.map(lambda m: ~m),
        st.tuples(parts, parts).map(lambda pair: pair[0] & pair[1]),
        st.tuples(parts, parts).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=3,
)
MOUNTS = st.builds(
    M, PATHS, host=HOSTS, when=st.none() | WHENS, priority=st.sampled_from([0, 0, 0, 1])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(MOUNTS, min_size=1, max_size=6))
def test_no_dead_mount_in_a_clean_table(mounts: list[Mount]) -> None:
    """What is not reported as unreachable has a request that reaches it."""
    try:
        table = Table(mounts)
    except ConflictError:
        return

    def resolve(scope: Scope) -> Rule | None:
        found = table.resolve(scope)
        return found and found.mount.rule

    dead = {id(f.rules[0]) for f in table.check() if f.code == "unreachable"}
    for mount in table.mounts:
        witness = reach(mount.rule, resolve)
        assert isinstance(witness, list) == (id(mount.rule) in dead)
        if not isinstance(witness, list):
            assert resolve(witness) is mount.rule


REQUESTS = st.builds(
    request_scope,
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "ws"]),
        st.sampled_from(["a.com", "b.a.com", "c.b.a.com", "z.org"]),
        st.sampled_from(["/", "/a", "/a/", "/a/b", "/1", "/1/b", "/ab", "/a/b/c"]),
        st.sampled_from(["", "?q=1", "?q=1&q=2"]),
    ),
    method=st.sampled_from(["GET", "POST"]),
    headers=st.lists(
        st.sampled_from([("x", "1"), ("x", "2"), ("y", "1"), ("cookie", "c=1")]), max_size=3
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(MOUNTS, min_size=1, max_size=6), REQUESTS)
def test_explain_agrees_with_resolve(mounts: list[Mount], scope: Scope) -> None:
    """The same winner; every other mount is refused if and only if it does not match."""
    try:
        dispatcher = Dispatcher(mounts)
    except ConflictError:
        return
    before = repr(scope)
    explanation = explain_scope(dispatcher, scope)
    found = dispatcher.table.resolve(scope)
    assert explanation.route is (None if found is None else found.mount)
    assert len(explanation.candidates) == len(mounts)
    for candidate in explanation.candidates:
        assert isinstance(candidate.route, Mount)
        assert (candidate.outcome == "refused") is not takes(candidate.route.rule, scope)
        assert (candidate.outcome == "chosen") is (candidate.route is explanation.route)
    assert repr(scope) == before


def test_a_regular_expression_is_fulfilled_and_broken() -> None:
    """To reach a mount, a value is made up that its own pattern takes and the other's does not."""
    mounts = [
        M("/a", headers={"x": True}),
        M("/a", headers={"x": re.compile("[a-z].*")}, priority=1),
    ]
    assert codes(*mounts) == []


def test_hosts_that_share_no_name() -> None:
    """Thousands of tenants of the same shape are no pairs to look at."""
    exact = [M("/", host=f"t{n}.a.com", headers={"x": str(n % 2)}) for n in range(500)]
    below = [M("/", host=f"{{t}}.t{n}.com") for n in range(300)]
    assert codes(*exact, *below) == []
