"""Rows of a plan: they decide as the table does, or the table is refused."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Accept,
    Client,
    Cookie,
    Dispatcher,
    DispatchMiddleware,
    Header,
    Host,
    Matcher,
    Method,
    Mount,
    Query,
    Refusal,
    Scheme,
    ScopeType,
)
from mountkit.export.plans import ExportError, Plan, plan_of, table_of
from mountkit.export.upstreams import Upstream
from tests.support.exporting import Asked, is_refused, planned, requests, table


async def page(scope: Scope, receive: Receive, send: Send) -> None: ...


def plan(app: ASGIApp, *, assumed: frozenset[str] = frozenset()) -> Plan:
    """Each mount is a server of its own, by its path or name."""

    def upstream_of(mount: Mount | None) -> Upstream:
        name = "default" if mount is None else mount.name or mount.label
        return Upstream(name.strip("/").replace("/", "."), 80)

    return plan_of(table_of(app), upstream_of, assumed=assumed)


def to(found: Plan, *args: Any, **how: Any) -> str | int:
    there = planned(found, Asked(*args, **how))
    return there if isinstance(there, int) else there.removesuffix("_80")


@pytest.mark.parametrize(
    ("first", "count"), [(0, 12), pytest.param(100, 250, marks=pytest.mark.slow)]
)
def test_random_tables(first: int, count: int) -> None:
    """The list decides each request as the table does."""
    for seed in range(first, first + count):
        source = random.Random(f"plans {seed}")
        app = Dispatcher(table(source))
        servers = {id(m): Upstream(f"m{n}", 80) for n, m in enumerate(app.table.mounts)}
        if not servers:
            continue
        found = plan_of(table_of(app), lambda mount: servers[id(mount)])  # noqa: B023
        for _ in range(150):
            asked = requests(source, is_repeating=True)
            decided = app.table.decide(asked.scope)
            expected: str | int = 404
            if is_refused(found, asked):
                expected = 400
            elif isinstance(decided, Refusal):
                expected = decided.status
            elif decided is not None:
                expected = servers[id(decided.mount)].name
            assert planned(found, asked) == expected, (seed, asked)
            assert planned(found.without_plain(), asked) == expected, (seed, asked)


class Own(Matcher):
    """A condition of a user's own."""

    def matches(self, scope: Scope) -> bool:
        return True

    def __repr__(self) -> str:
        return "Own()"


LONG = "x" * 121
#: What no router is told, and why.
REFUSED: dict[str, tuple[Mount, str]] = {
    "an own condition": (
        Mount("/a", page, when=Own()),
        "Own(): it is a condition of your own, which is Python.",
    ),
    "Accept": (
        Mount("/a", page, when=Accept("text/html")),
        "Accept('text/html'): q-values are weighed against each other.",
    ),
    "a scheme": (
        Mount("/a", page, when=Scheme("https")),
        "Scheme('https'): the router may end TLS before, so that it cannot tell.",
    ),
    "a type": (
        Mount("/a", page, when=ScopeType("websocket")),
        "ScopeType('websocket'): servers tell websockets in several ways.",
    ),
    "a client": (
        Mount("/a", page, when=Client("10.0.0.0/8")),
        "Client('10.0.0.0/8'): the peer is another one in front of the router than behind it.",
    ),
    "a regular expression": (
        Mount("/a", page, headers={"x-v": re.compile("[12]")}),
        "Header('x-v', re.compile('[12]')): a regular expression of Python's means something else "
        "in a router's.",
    ),
    "a value with a quote": (
        Mount("/a", page, when=Cookie("c", 'a"b')),
        "Cookie('c', 'a\"b'): routers read the value 'a\"b' in several ways.",
    ),
    "a value beyond ASCII": (
        Mount("/a", page, headers={"x-v": "é"}),
        "Header('x-v', 'é'): routers read the value 'é' in several ways.",
    ),
    "an empty value": (
        Mount("/a", page, headers={"x-v": ""}),
        "Header('x-v', ''): the value '' is empty, has spaces around it, or over 120 characters.",
    ),
    "a long value": (
        Mount("/a", page, query={"q": LONG}),
        f"Query('q', '{LONG}'): the value '{LONG}' is empty, has spaces around it, or over 120 "
        "characters.",
    ),
    "a percent sign": (
        Mount("/a", page, query={"a%b": "1"}),
        "Query('a%b', '1'): routers read the name 'a%b' in several ways.",
    ),
    "a name that routers quote": (
        Mount("/a", page, headers={"x'y": "1"}),
        "Header(\"x'y\", '1'): routers read the name \"x'y\" in several ways.",
    ),
    "a name that routers drop": (
        Mount("/a", page, headers={"x_y": True}),
        "Header('x_y'): routers read the name 'x_y' in several ways.",
    ),
    "a header of the connection": (
        Mount("/a", page, headers={"keep-alive": True}),
        "Header('keep-alive'): some routers set or drop the header 'keep-alive' themselves.",
    ),
    "a header of routers": (
        Mount("/a", page, headers={"x-forwarded-proto": "https"}),
        "Header('x-forwarded-proto', 'https'): some routers set or drop the header "
        "'x-forwarded-proto' themselves.",
    ),
    "a tunnel": (
        Mount("/a", page, methods=["CONNECT"]),
        "Method('CONNECT'): CONNECT asks for a tunnel, which is never forwarded.",
    ),
    "all but OPTIONS": (
        Mount("/a", page, when=~Method("OPTIONS")),
        "~Method('OPTIONS'): it excludes OPTIONS, and so preflights, but not all of them.",
    ),
    "any path": (
        Mount("/a/{rest:path}", page),
        "path '/a/{rest:path}': the placeholder '{rest:path}' may hold slashes, so that its value "
        "depends on the reader.",
    ),
    "an encoded slash": (
        Mount("/a%2Fb", page),
        "path '/a%2Fb': its segment 'a%2Fb' is read in several ways, so that each request for it "
        "is refused.",
    ),
    "a dot segment": (
        Mount("/a/../b", page),
        "path '/a/../b': its segment '..' is read in several ways, so that each request for it is "
        "refused.",
    ),
    "a backslash in part of a segment": (
        Mount("/a\\{x}", page),
        "path '/a\\\\{x}': its segment 'a\\\\{x}' is read in several ways, so that each request "
        "for it is refused.",
    ),
    "an address": (
        Mount("/", page, host="[::1]"),
        "host '[::1]': the address '[::1]' has many spellings; use a name.",
    ),
    "too many at a time": (
        Mount("/", page, headers={f"x-{number}": "1" for number in range(30)}),
        "its conditions: more than 50 of them have to hold at a time.",
    ),
    "too many alternatives": (
        Mount(
            "/",
            page,
            when=(Query("a") | Query("b") | Query("c") | Query("d") | Query("e"))
            & (Query("f") | Query("g") | Query("h") | Query("i") | Query("j"))
            & (Query("k") | Query("l") | Query("m")),
        ),
        "its conditions: it has more than 64 alternatives.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """The message names the mount, where it is, the condition and the reason."""
    mount, reason = REFUSED[name]
    mount.rule.where = "main.py:12"
    with pytest.raises(ExportError) as caught:
        plan(Dispatcher([mount]))
    shown = f"Mount({mount.rule!r}) at main.py:12 cannot be exported: {reason}"
    assert str(caught.value) == shown


def test_a_convertor_of_ones_own() -> None:
    """Takes nobody knows what."""
    from starlette.convertors import CONVERTOR_TYPES, StringConvertor, register_url_convertor

    register_url_convertor("mine", StringConvertor())
    try:
        with pytest.raises(ExportError, match=r"host '\{x:mine\}\.com': .* convertor of your own"):
            plan(Dispatcher([Mount("/", page, host="{x:mine}.com")]))
    finally:
        del CONVERTOR_TYPES["mine"]


def test_preflights_by_two_lists() -> None:
    """A mount for OPTIONS takes them by their own method, before any is asked for theirs."""
    mounts = [
        Mount("/a/b", page, methods=["PUT"], name="put"),
        Mount("/a", page, methods=["GET", "OPTIONS"], name="own"),
    ]
    with pytest.raises(ExportError, match=r"OPTIONS, unless Mount\('/a/b', .*\) is tried before"):
        plan(Dispatcher(mounts))
    assert plan(Dispatcher(mounts), assumed=frozenset(["no-preflights"]))
    found = plan(Dispatcher([mounts[1], Mount("/", page, methods=["OPTIONS"], name="all")]))
    headers = (("Host", "a.com"), ("Origin", "b"), ("Access-Control-Request-Method", "DELETE"))
    assert to(found, "/a", "OPTIONS", headers) == "own"
    assert to(found, "/b", "OPTIONS", headers) == "all"


def test_without_websockets_and_preflights() -> None:
    """Less is asked, if they are assumed not to come."""
    app = Dispatcher([Mount("/a", page, methods=["GET"]), Mount("/b", page, headers={"x": None})])
    assumed = frozenset(["no-preflights", "no-websockets"])
    headers = {test.header for test in plan(app, assumed=assumed).tests} - {""}
    assert headers == {"x"}
    assert "upgrade" in {test.header for test in plan(app).tests}


@pytest.mark.parametrize("unknown_host", ["default", 404, 421])
@pytest.mark.parametrize("has_default", [False, True])
def test_what_no_mount_takes(unknown_host: Any, has_default: bool) -> None:
    """The app underneath, or a status; for a host that is no mount's, what the dispatcher says."""
    mounts = [
        Mount("/a", page, host="a.com"),
        Mount("/a", page, host=["b.com", "*.c.com"]),
        Mount("/d", page),
    ]
    default = page if has_default else None
    found = plan(Dispatcher(mounts, default=default, unknown_host=unknown_host))
    rest: str | int = "default" if has_default else 404
    assert to(found, "/a") == "a_com_a"
    for host in ("a.com", "b.com", "x.c.com"):
        assert to(found, "/x", headers=(("Host", host),)) == rest
    assert to(found, "/x", headers=(("Host", "d.com"),)) == (
        rest if unknown_host == "default" else unknown_host
    )


def test_exposed_paths_and_other_hosts() -> None:
    """Go where their mount is."""
    mount = Mount("/shop", page, name="shop", host=["a.com", "b.com"], expose=["/.well-known/x"])
    found = plan(Dispatcher([mount]))
    for host in ("a.com", "b.com"):
        headers = (("Host", host),)
        assert to(found, "/.well-known/x", headers=headers) == "shop"
        assert to(found, "/shop/x", headers=headers) == "shop"
        assert to(found, "/.well-known/y", headers=headers) == 404


def test_the_outermost_table() -> None:
    """Mounts in mounts are theirs to choose."""
    inner = Dispatcher([Mount("/b", page, name="inner")])
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/a", inner, name="outer")])
    found = plan(app)
    assert to(found, "/a/b") == "outer"
    assert to(found, "/b") == "default"


@pytest.mark.parametrize("app", [Starlette(routes=[Mount("/a", page)]), page])
def test_no_table(app: ASGIApp) -> None:
    """Routes are tried in their order, which is not what a table does."""
    with pytest.raises(ExportError, match="does not begin with a table of mounts; put them into"):
        table_of(app)


def test_a_host_inside_of_a_condition() -> None:
    """It counts as any other."""
    found = plan(Dispatcher([Mount("/a", page, when=Host("a.com") | Header("x-a", "1"))]))
    assert to(found, "/a") == "a"
    assert to(found, "/a", headers=(("Host", "b.com"),)) == 404
    assert to(found, "/a", headers=(("Host", "b.com"), ("X-A", "1"))) == "a"


def test_contradictions() -> None:
    """What can never be is no row."""
    found = plan(Dispatcher([Mount("/a", page, when=Query("a") & ~Query("a"))]))
    assert {row.about for row in found.rows} == {"", "default"}


@pytest.mark.parametrize(
    "target",
    [
        "/a\\b",
        "/a%zz",
        "/%00",
        "/a#b",
        "/é",
        "/a/../b",
        "/a/%2E%2e",
        "/a%2F..%5Cb",
        "x",
        "http://a/b",
    ],
)
def test_what_no_mount_gets(target: str) -> None:
    """What routers reject by themselves, each in its own way."""
    assert to(plan(Dispatcher([Mount("/", page)])), target) == 400
    assert to(plan(Dispatcher([Mount("/", page)])), "/a%2Fb//c/./d?x=é".replace("é", "[]")) != 400
