"""`mountkit.matching.tables`: the decision, held against its slow and obvious twin, and its changes."""

from __future__ import annotations

import random
from time import process_time
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Scope

from mountkit import Accept, ConflictError, Matcher, Mount, PatternError, Table
from mountkit.matching.rules import Rule
from mountkit.matching.tables import Refusal, Resolution
from tests.support.reference import Spec, resolve
from tests.support.scopes import scope_of


class Named:
    """What a table chooses: something with a rule."""

    def __init__(self, path: str, **options: Any) -> None:
        self.rule = Rule(path, where="table.py:1", **options)

    def __repr__(self) -> str:
        return f"Named({self.rule!r})"


def names(table: Table[Any], *scopes: Scope) -> list[Any]:
    return [found and found.mount for found in map(table.resolve, scopes)]


def mount_of(found: Resolution[Any] | Refusal | None) -> Any:
    """The mount of a decision, if it is one."""
    return found.mount if isinstance(found, Resolution) else found


# The order, on one example each.

# Every pair: the first is more specific, for the one reason in its id; both take the request.
PAIRS = [
    pytest.param(("/", {"priority": 1}), ("/a/b", {"host": "x.a.com"}), id="priority"),
    pytest.param(("/", {"host": "x.a.com"}), ("/a/b", {}), id="host-before-path"),
    pytest.param(("/", {"host": "x.a.com"}), ("/a", {"host": "*.a.com"}), id="exact-host"),
    pytest.param(("/", {"host": "*.a.com"}), ("/a", {"host": "*.com"}), id="longer-wildcard"),
    pytest.param(("/", {"host": "{t}.a.com"}), ("/a", {"host": "*.a.com"}), id="placeholder-host"),
    pytest.param(("/a/b", {"exact": True}), ("/a/b", {"methods": ["GET"]}), id="exact-path"),
    pytest.param(("/a/b", {}), ("/a", {"methods": ["GET"]}), id="longest-prefix"),
    pytest.param(("/{x}/b", {}), ("/a", {"methods": ["GET"]}), id="longest-in-segments"),
    pytest.param(("/a/{y}", {}), ("/{x}/b", {}), id="leftmost-literal"),
    pytest.param(("/a", {"methods": ["GET"]}), ("/a", {"headers": {"h": "1"}}), id="method"),
    pytest.param(
        ("/a", {"headers": {"h": "1", "i": "1"}}),
        ("/a", {"headers": {"h": "1"}, "query": {"q": "1", "r": "1"}}),
        id="headers",
    ),
    pytest.param(("/a", {"query": {"q": "1"}}), ("/a", {}), id="query"),
]


@pytest.mark.parametrize("is_reversed", [False, True], ids=["declared-first", "declared-last"])
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_order(first: Any, second: Any, is_reversed: bool) -> None:
    """The more specific mount wins, wherever it was declared."""
    winner, loser = Named(first[0], **first[1]), Named(second[0], **second[1])
    scope = scope_of("/a/b", host="x.a.com", headers=[("h", "1"), ("i", "1")], query="q=1&r=1")
    table = Table([loser, winner] if is_reversed else [winner, loser])
    assert names(table, scope) == [winner]
    assert table.mounts == (winner, loser)
    assert names(Table([loser]), scope) == [loser]


def test_declaration_decides_last() -> None:
    """Of mounts that are equally specific, the one that was declared first."""
    one, other = Named("/", headers={"a": "1"}), Named("/", headers={"b": "1"})
    scope = scope_of(headers=[("a", "1"), ("b", "1")])
    assert names(Table([one, other]), scope) == [one]
    assert names(Table([other, one]), scope) == [other]


@pytest.mark.parametrize("exact", [False, True])
def test_very_many_mounts_at_one_path(exact: bool) -> None:
    """A table of them takes time that is linear in their number."""
    entries = [Named("/x", exact=exact, priority=number) for number in range(40_000)]
    began = process_time()
    table = Table(entries)
    assert process_time() - began < 3  # 0.4 s here; what is quadratic takes 8
    assert mount_of(table.decide(scope_of("/x"))) is entries[-1]
    table.apply(remove=entries[-1:])
    assert mount_of(table.decide(scope_of("/x"))) is entries[-2]


def test_best_host_without_a_mount_for_the_path() -> None:
    """The request falls to the mounts of the next host."""
    exact, star, any_host = (
        Named("/a", host="x.a.com"),
        Named("/b", host="*.a.com"),
        Named("/"),
    )
    table = Table([exact, star, any_host])
    scopes = [scope_of(path, host="x.a.com") for path in ("/a", "/b", "/c")]
    assert names(table, *scopes) == [exact, star, any_host]


@pytest.mark.parametrize(
    ("accept", "winner"),
    [
        pytest.param("a/1, a/2;q=0.5", 0, id="first-wanted-more"),
        pytest.param("a/1;q=0.5, a/2", 1, id="second-wanted-more"),
        pytest.param("a/1, a/2", 0, id="equal-so-declared-first"),
        pytest.param("a/2", 1, id="one-alone"),
        pytest.param("a/3", 2, id="none-so-the-plain-one"),
        pytest.param("a/2;q=0.9, a/9, a/1;q=0.1", 3, id="more-conditions-win-first"),
    ],
)
def test_accept_quality(accept: str, winner: int) -> None:
    """Of mounts that are equally specific, the media type that is wanted most."""
    mounts = [
        Named("/", when=Accept("a/1")),
        Named("/", when=Accept("a/2")),
        Named("/"),
        Named("/", when=Accept("a/9"), headers={"accept": True}),
    ]
    for shuffled in (mounts, [mounts[0], mounts[1], mounts[3], mounts[2]]):
        assert names(Table(shuffled), scope_of(headers=[("accept", accept)])) == [mounts[winner]]


def test_accept_among_conditions_of_the_same_number() -> None:
    """A header condition in between counts as much, and is not weighed by quality."""
    low, header, high = (
        Named("/", when=Accept("a/1")),
        Named("/", headers={"h": "1"}),
        Named("/", when=Accept("a/2")),
    )
    scope = scope_of(headers=[("accept", "a/1;q=0.1, a/2"), ("h", "1")])
    assert names(Table([low, header, high]), scope) == [high]
    assert names(Table([header, low, high]), scope) == [header]


def test_accept_that_is_refused_by_another_condition() -> None:
    """A media type that is wanted more does not bring in a mount whose method is another."""
    one = Named("/", when=Accept("a/1"), methods=["GET"])
    other = Named("/", when=Accept("a/2"), methods=["POST"])
    scope = scope_of(headers=[("accept", "a/1;q=0.1, a/2")])
    assert names(Table([one, other]), scope) == [one]


@pytest.mark.parametrize(
    ("path", "root_path"),
    [("*", ""), ("a.com:443", ""), ("", ""), ("a", "/b")],
    ids=["asterisk", "authority", "empty", "no-slash"],
)
def test_what_is_no_path(path: str, root_path: str) -> None:
    """Matches nothing, not even the root."""
    assert Table([Named("/")]).resolve(scope_of(path, root_path=root_path)) is None


@pytest.mark.parametrize(
    ("path_has_root", "path", "expected"),
    [
        pytest.param(None, "/auth/x", ("/auth", "", "/x"), id="as-it-looks"),
        pytest.param(False, "/auth/x", ("/auth", "/auth", "/x"), id="never-there"),
        pytest.param(True, "/auth/auth/x", ("/auth", "/auth", "/x"), id="always-there"),
    ],
)
def test_path_has_root(
    path_has_root: bool | None, path: str, expected: tuple[str, str, str]
) -> None:
    """A prefix that is called like the `root_path` can be told apart by saying so."""
    table = Table([Named("/auth"), Named("/")], path_has_root=path_has_root)
    found = table.resolve(scope_of(path, root_path="/auth"))
    assert found is not None
    assert (found.root_path, found.prefix, found.rest) == expected


def test_root_path_alone() -> None:
    """The bare `root_path` is the root of what is below it."""
    exact = Named("/", exact=True)
    found = Table([exact]).resolve(scope_of("/outer", root_path="/outer"))
    assert found == Resolution(exact, "/outer", "", "", {})


def test_the_scope_is_not_changed() -> None:
    """Deciding is pure."""
    scope = scope_of("/t/x", host="a.b.com", headers=[("h", "1")])
    before = repr(scope)
    table = Table([Named("/t/{x}", host="{y}.b.com", headers={"h": "1"})])
    found = table.resolve(scope)
    assert found is not None
    assert found.params == {"x": "x", "y": "a"}
    assert table.resolve(scope) == found
    assert repr(scope) == before


# Conflicts.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("/a", {}), ("/a/", {}), id="slash"),
        pytest.param(("/{x}", {}), ("/{y}", {}), id="names"),
        pytest.param(("/", {"host": "A.com."}), ("/", {"host": "a.com"}), id="host"),
        pytest.param(("/é", {}), ("/%C3%A9", {}), id="encoded"),
        pytest.param(
            ("/", {"headers": {"A": "1", "b": "2"}}),
            ("/", {"headers": {"B": "2", "a": "1"}}),
            id="headers",
        ),
    ],
)
def test_equivalent_mounts_are_refused(one: Any, other: Any) -> None:
    """With both call sites, and a request that both would take."""
    mounts = [Named(path, **options) for path, options in (one, other)]
    with pytest.raises(
        ConflictError,
        match=r"at table\.py:1 \(number 2 there\) takes exactly the requests of .* such",
    ):
        Table(mounts)


def test_equivalent_mounts_without_a_sample() -> None:
    """Where no request can be made up, the message leaves it out."""

    class Never(Matcher):
        def matches(self, scope: Scope) -> bool:
            return False

    never = Never()
    with pytest.raises(ConflictError, match=r"\(number 1 there\); remove one"):
        Table([Named("/", when=never), Named("/", when=never)])


# Changes.


def test_add() -> None:
    """What is added is declared last."""
    one, other = Named("/", headers={"a": "1"}), Named("/", headers={"b": "1"})
    table = Table([one])
    table.apply(add=[other])
    assert names(table, scope_of(headers=[("a", "1"), ("b", "1")])) == [one]
    assert table.mounts == (one, other)


def test_replace_keeps_the_place() -> None:
    """A mount that takes another's place is declared where the other was."""
    one, other, new = (Named("/", headers={name: "1"}) for name in "abc")
    table = Table([one, other])
    table.apply(replace=[(one, new)])
    headers = [("b", "1"), ("c", "1")]
    assert names(table, scope_of(headers=headers)) == [new]


def test_replace_by_an_equivalent() -> None:
    """The place of a mount that goes is free in the same step."""
    one, new = Named("/a", host="a.com"), Named("/a/", host="a.com")
    table = Table([one])
    table.apply(replace=[(one, new)])
    assert names(table, scope_of("/a", host="a.com")) == [new]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"add": [Named("/new"), Named("/a")]}, id="add-conflict"),
        pytest.param({"add": [Named("/new"), Named("/new/")]}, id="add-two-alike"),
    ],
)
def test_refused_change_changes_nothing(change: dict[str, Any]) -> None:
    """All or nothing."""
    mounts = [Named("/a"), Named("/b")]
    table = Table(mounts)
    with pytest.raises(ConflictError):
        table.apply(remove=[mounts[1]], **change)
    assert table.mounts == tuple(mounts)
    assert names(table, scope_of("/b"), scope_of("/new")) == [mounts[1], None]


def test_remove_what_is_not_there() -> None:
    """Is refused by name."""
    with pytest.raises(PatternError, match=r"Named\('/x'\) is not in the table; name a mount"):
        Table([Named("/a")]).apply(remove=[Named("/x")])


ODD = [
    ("/", {}),
    ("/a", {}),
    ("/a", {"exact": True}),
    ("/a/", {"exact": True}),
    ("/a/b", {}),
    ("/{x}", {}),
    ("/{x}/b", {"exact": True}),
    ("/f/{p:path}", {}),
    ("/a", {"host": "a.com"}),
    ("/a", {"host": "*.a.com"}),
    ("/", {"host": "*.a.com"}),
    ("/{x}", {"host": "{t}.a.com"}),
    ("/", {"host": "{t:int}.b.a.com"}),
    ("/", {"host": "a.com:81"}),
    ("/", {"host": "[::1]"}),
]
ODD_SCOPES = [
    scope_of(path, host=host)
    for path in ("/", "/a", "/a/", "/a/b", "/x", "/x/b", "/f/a/b")
    for host in (None, "a.com", "a.com:81", "x.a.com", "1.b.a.com", "[::1]")
]


@pytest.mark.parametrize("seed", range(20))
def test_changes_lead_to_the_same_table(seed: int) -> None:
    """However a table came to hold its mounts, it decides as one that was built with them."""
    rng = random.Random(seed)
    live: list[Named] = []
    table: Table[Named] = Table()
    for _ in range(30):
        taken = {mount.rule.key for mount in live}
        leaving = rng.sample(live, rng.randint(0, min(2, len(live))))
        free = [Named(p, **o) for p, o in ODD if Named(p, **o).rule.key not in taken]
        coming = rng.sample(free, rng.randint(0, min(3, len(free))))
        table.apply(add=coming, remove=leaving)
        live = [mount for mount in live if mount not in leaving] + coming
        built = Table(live)
        assert table.mounts == built.mounts
        assert names(table, *ODD_SCOPES) == names(built, *ODD_SCOPES)
    table.apply(remove=live)
    assert names(table, *ODD_SCOPES) == [None] * len(ODD_SCOPES)
    assert table.mounts == ()


def test_a_mount_that_was_moved_since() -> None:
    """It is where it was when it was added, and is removed from there."""
    mount, other = Mount("/a", Starlette()), Mount("/b", Starlette())
    table = Table([other, mount])
    mount.path = "/c"
    assert [found and found.mount for found in map(table.resolve, map(scope_of, ("/a", "/c")))] == [
        mount,
        None,
    ]
    table.apply(remove=[mount])
    assert table.resolve(scope_of("/a")) is None
    assert table.mounts == (other,)


def test_many_changes_leave_no_holes() -> None:
    """Numbers that were given up are given anew in the end, and the order stays."""
    first, last = Named("/first"), Named("/last")
    table = Table([first])
    for _ in range(5):
        several = [Named(f"/m{n}", host=host) for n in range(60) for host in (None, "a.com")]
        table.apply(add=several)
        table.apply(add=[last])
        table.apply(remove=several)
        assert table.declared == (first, last)
        assert names(table, scope_of("/last"), scope_of("/m1")) == [last, None]
        table.apply(remove=[last])
    table.apply(add=[*several, last])
    table.apply(remove=several[:-1])
    for mount in (last, several[-1]):
        table.apply(replace=[(mount, Named("/new"))])
        table.apply(replace=[(table.declared[-1], mount)])
    assert len(table._mounts) <= 2 * len(table.mounts) + 100


def test_hosts_that_gain_and_lose_mounts() -> None:
    """A host with one mount at its root is kept in another form than one with more."""
    root, below = Named("/", host="a.com"), Named("/b", host="a.com")
    table = Table([root])
    scopes = [scope_of("/b", host="a.com"), scope_of("/c", host="a.com")]
    assert names(table, *scopes) == [root, root]
    assert list(table._numbers_beside(below.rule)) == []
    table.apply(add=[below])
    assert names(table, *scopes) == [below, root]
    table.apply(remove=[root])
    assert names(table, *scopes) == [below, None]
    table.apply(replace=[(below, root)])
    assert names(table, *scopes) == [root, root]
    table.apply(remove=[root])
    assert names(table, *scopes) == [None, None]
    ports = [Named("/", host="a.com:81"), Named("/", host="a.com:82")]
    table.apply(add=ports)
    table.apply(remove=ports[:1])
    assert names(table, scope_of(host="a.com:81"), scope_of(host="a.com:82")) == [None, ports[1]]


def test_a_host_of_one_mount_among_others_with_priority() -> None:
    """Where the walk does not settle it."""
    host, first = Named("/", host="a.com"), Named("/x", priority=1)
    table = Table([host, first])
    scopes = [scope_of(path, host="a.com") for path in ("/x", "/y")]
    assert names(table, *scopes) == [first, host]


# What asks for one value of a header, and what has other conditions besides.
VERSIONS = [Named("/a", headers={"version": str(number)}) for number in range(20)]
OTHERS = [
    Named("/a", headers={"version": "3"}, priority=1),
    Named("/a", headers={"version": "3", "x": "1"}),
    Named("/a", headers={"x": "1"}),
    Named("/a", headers={"version": "\u20ac"}),
    Named("/a", when=Accept("a/1")),
    Named("/a", headers={"version": "3"}, exact=True),
    Named("/a"),
    Named("/a/{b}", headers={"version": "4"}),
    Named("/a/b/c"),
]
VERSION_SCOPES = [
    scope_of(path, headers=[(name, value) for name, value in pairs])
    for path in ("/a", "/a/b", "/a/b/c")
    for pairs in (
        [],
        [("version", "3")],
        [("version", "3"), ("version", "3")],
        [("version", "3"), ("version", "4")],
        [("version", "4"), ("x", "1")],
        [("version", "99"), ("accept", "a/1")],
    )
]


@pytest.mark.parametrize("seed", range(10))
def test_mounts_that_differ_in_a_header(seed: int) -> None:
    """They are looked up by its value, as long as nothing else is asked for; all the same, the
    first in the order wins."""
    rng = random.Random(seed)
    table: Table[Named] = Table(VERSIONS)
    live = [*VERSIONS]
    for _ in range(12):
        others = [other for other in OTHERS if other not in live]
        coming = rng.sample(others, min(len(others), rng.randint(0, 2)))
        leaving = rng.sample(live, rng.randint(0, 3))
        table.apply(add=coming, remove=leaving)
        live = [mount for mount in live if mount not in leaving] + coming
        for scope in VERSION_SCOPES:
            expected = next(
                (m for m in table.mounts if m.rule.match(scope, scope["path"], None)), None
            )
            assert names(table, scope) == [expected]
            chosen = table.decide({**scope, "raw_path": scope["path"].encode()})
            assert mount_of(chosen) is expected
    table.apply(remove=live)
    assert names(table, *VERSION_SCOPES) == [None] * len(VERSION_SCOPES)


def test_a_mount_below_one_segment_that_settles_nothing() -> None:
    """An exact mount and a prefix at the same place."""
    exact, prefix, root = Named("/a", exact=True), Named("/a"), Named("/")
    table = Table([exact, prefix, root])
    found = [mount_of(table.decide(scope_of(path))) for path in ("/a", "/a/", "/b")]
    assert found == [exact, prefix, root]
    table = Table([Named("/a", headers={"h": "1"}), root])
    scopes = [scope_of("/a", headers=headers) for headers in ([("h", "1")], [])]
    assert [mount_of(table.decide(scope)) for scope in scopes] == [table.mounts[0], root]


def test_a_control_character_in_what_is_no_path() -> None:
    """Is refused as in one."""
    table = Table([Named("/")])
    refusal = Refusal(400, "The path has a control character in it.")
    assert table.decide(scope_of("*\n")) == refusal
    assert Table[Named]().decide(scope_of("*\n")) is None


# The slow, obvious twin.

PATHS = st.sampled_from(
    ["", "/", "/a", "/a/", "/a/b", "/{x}", "/{x:int}", "/a/{x}", "/{x}/b", "/v{n:int}", "/é",
     "/{a}-{b}", "/{p:path}", "/a/{p:path}", "/{p:path}/b", "/a/b/c", "/%C3%A9/a"]
)  # fmt: skip
HOSTS = st.none() | st.sampled_from(
    ["a.com", "A.com", "b.a.com", "a.com:81", "*.a.com", "*.com", "*.b.a.com", "{t}.a.com",
     "{t:int}.a.com", "{t}.b.a.com", "pr-{t}.a.com", "{t}.{u}.com", "*.{t}.com", "{t}.a.com:81"]
)  # fmt: skip
VALUES = st.sampled_from(["1", "2"])
SPECS = st.builds(
    Spec,
    PATHS,
    exact=st.booleans(),
    host=HOSTS,
    methods=st.sets(st.sampled_from(["GET", "POST", "HEAD"]), max_size=2).map(tuple),
    headers=st.dictionaries(st.sampled_from(["h", "i"]), VALUES | st.booleans(), max_size=2),
    query=st.dictionaries(st.sampled_from(["q", "r"]), VALUES, max_size=2),
    cookies=st.dictionaries(st.just("c"), VALUES, max_size=1),
    accept=st.sampled_from([None, None, "a/1", "a/2"]),
    priority=st.sampled_from([0, 0, 0, 1]),
)
REQUEST_PATHS = st.lists(
    st.sampled_from(["a", "b", "c", "1", "v1", "é", "", "ab", "a-b-c"]), max_size=4
).map(lambda parts: "/" + "/".join(parts))
SCOPES = st.builds(
    scope_of,
    REQUEST_PATHS,
    host=st.sampled_from(
        [None, "a.com", "A.COM.", "a.com:81", "b.a.com", "1.a.com", "c.b.a.com", "pr-1.a.com",
         "x.com", "x.y.com", "x.a.com:81", "z.org", ["a.com", "b.a.com"]]
    ),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    headers=st.lists(
        st.sampled_from(
            [("h", "1"), ("h", "2"), ("i", "1"), ("cookie", "c=1"), ("cookie", "c=2; d=1"),
             ("accept", "a/1, a/2;q=0.5"), ("accept", "a/1;q=0.5, a/2")]
        ),
        max_size=4,
        unique=True,
    ).filter(lambda headers: sum(name == "accept" for name, _ in headers) < 2),
    query=st.sampled_from(["", "q=1", "q=2", "q=1&r=1", "q=1&q=2", "q=1&q=1"]),
    root_path=st.sampled_from(["", "", "/a", "/root/"]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(SPECS, max_size=8), st.lists(SCOPES, min_size=1, max_size=5), st.randoms())
def test_twin(specs: list[Spec], scopes: list[Scope], rng: random.Random) -> None:
    """The table decides as the twin does: filter, sort, take the first."""
    unique = list({spec.identity: spec for spec in specs}.values())
    rng.shuffle(unique)
    table = Table(unique)
    for scope in scopes:
        found, expected = table.resolve(scope), resolve(unique, scope)
        event("taken" if expected else "not taken")
        decided = table.decide(scope)
        assert isinstance(decided, Refusal) or decided == found
        assert (found and found.mount) == (expected and expected.spec)
        if found is not None and expected is not None:
            assert found == Resolution(
                found.mount, expected.root_path, expected.prefix, expected.rest, expected.params
            )
            below = scope["path"].removeprefix(expected.root_path)
            assert found.prefix + found.rest in (scope["path"], below)


@settings(max_examples=150, deadline=None)
@given(st.lists(SPECS, min_size=2, max_size=6), SCOPES, st.randoms())
def test_declaration_order_decides_between_equals_alone(
    specs: list[Spec], scope: Scope, rng: random.Random
) -> None:
    """Whatever the order of declaration, the winner's rank is the same."""
    unique = list({spec.identity: spec for spec in specs}.values())
    first = Table(unique).resolve(scope)
    rng.shuffle(unique)
    second = Table(unique).resolve(scope)
    assert (first and first.mount.rule.rank) == (second and second.mount.rule.rank)


def test_hosts_that_are_equally_specific() -> None:
    """The path decides between them."""
    mounts = [
        Mount("/x", Starlette(), host="a{b}.com"),
        Mount("/x/y", Starlette(), host="{b}c.com"),
    ]
    table = Table(mounts)
    for path, mount in (("/x/y", mounts[1]), ("/x/z", mounts[0])):
        found = table.resolve(scope_of(path, host="abc.com"))
        assert found is not None
        assert found.mount is mount
