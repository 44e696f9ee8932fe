"""Configurations: readable, the same for the same table, and refused where a router is unable."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml
from starlette.types import Receive, Scope, Send

from mountkit import Cookie, Dispatcher, Header, Method, Mount, PatternError
from mountkit.export import traefik
from mountkit.export.conditions import Check
from mountkit.export.names import ASSUMPTIONS, Options, names_of, read_listen
from mountkit.export.plans import ExportError
from mountkit.export.routers import ROUTERS, export
from mountkit.export.upstreams import Upstream, read_upstreams, upstream_of

FAR = "http://far.example.com:9000"
NAMES = [name for name in ROUTERS if name != "gateway-api"]
every_router = pytest.mark.parametrize("router", NAMES)


async def page(scope: Scope, receive: Receive, send: Send) -> None: ...


def text(router: str, *mounts: Mount, assume: str = "well-formed", **how: Any) -> str:
    options = Options("main:app", assumed=frozenset(assume.split()), **how)
    return export(Dispatcher(list(mounts)), router, [FAR], options)


@every_router
def test_a_small_change_is_a_small_difference(router: str) -> None:
    """Besides the priorities, which Traefik has no way without."""
    mounts = [Mount(f"/m{n}", page, headers={"x-v": str(n % 3)}) for n in range(9)]
    before = text(router, *mounts).splitlines()
    for number, mount in enumerate(mounts):  # what is written below another moves down
        mount.rule.where = f"{mount.rule.where.rpartition(':')[0]}:{number}"
    more = Mount("/m5/more", page, headers={"x-v": "1"})
    after = text(router, *mounts, more).splitlines()
    if router == "traefik":
        before, after = ([x for x in lines if "priority:" not in x] for lines in (before, after))
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert 3 <= len(changed) <= 30
    assert not [line for line in changed if line[0] == "-"]
    assert text(router, *mounts[::-1]) != ""
    assert text(router, *mounts) == text(router, *mounts)


@every_router
def test_comments(router: str) -> None:
    """Each mount, with the file where it is written."""
    found = text(router, Mount("/shop", page, when=Cookie("lane", "beta")))
    assert "# Mount('/shop', when=Cookie('lane', 'beta')) at " in found
    assert "test_texts.py\n" in found
    assert "# The mounts of main:app," in found


@every_router
def test_where_it_listens(router: str) -> None:
    """On all addresses, or on one."""
    mount = Mount("/a", page)
    everywhere, there = text(router, mount), text(router, mount, host="127.0.0.1", port=8443)
    assert "8080" in everywhere
    assert "127.0.0.1" in there
    assert "8443" in there


@pytest.mark.parametrize(
    ("router", "reason"),
    [
        (
            "nginx",
            "cannot be exported to nginx: x-v=1: nginx cannot tell an empty header from none, nor "
            "see whether it was sent twice; --assume well-formed leaves that out.",
        ),
        (
            "envoy",
            "cannot be exported to Envoy: x-v=1: Envoy joins a header that is sent twice, and drops "
            "those that Connection names; --assume well-formed leaves that out.",
        ),
    ],
)
def test_what_has_to_be_assumed(router: str, reason: str) -> None:
    """Of headers; all else, and preflights, need nothing."""
    mount = Mount("/a", page, headers={"x-v": "1"})
    mount.rule.where = "main.py:1"
    with pytest.raises(ExportError) as caught:
        text(router, mount, assume="")
    assert str(caught.value) == f"{'Mount(' + repr(mount.rule) + ') at main.py:1'} {reason}"
    assert text(router, mount)
    assert text(router, Mount("/a", page, methods=["GET"], query={"q": "1"}), assume="")


def test_traefik_needs_an_assumption() -> None:
    """For any table."""
    with pytest.raises(ExportError, match="only with --assume well-formed"):
        text("traefik", Mount("/a", page), assume="")


@pytest.mark.parametrize("router", ["caddy", "haproxy"])
def test_what_needs_no_assumption(router: str) -> None:
    """They see each line of a header."""
    assert text(router, Mount("/a", page, headers={"x-v": "1", "x-w": True}), assume="")


@pytest.mark.parametrize(
    ("router", "mount", "reason"),
    [
        (
            "nginx",
            Mount("/{x}-{y}", page),
            "path '/{x}-{y}': to find its placeholders takes PCRE too long; use a slash.",
        ),
        (
            "haproxy",
            Mount("/{x}-{y}", page),
            "path '/{x}-{y}': to find its placeholders takes PCRE too long; use a slash.",
        ),
        (
            "nginx",
            Mount("/" + 500 * "a", page),
            "nginx reads regular expressions of up to 4,000 characters; make it shorter.",
        ),
        (
            "nginx",
            Mount("/a", page, query={"q": 120 * "a"}),
            "nginx reads regular expressions of up to 4,000 characters; make it shorter.",
        ),
        (
            "traefik",
            Mount("/a", page, query={"a'b": "1"}),
            "query a'b=1: a rule cannot quote its name.",
        ),
        (
            "traefik",
            Mount("/a", page, methods=["X.Y"]),
            "X.Y: its methods are letters.",
        ),
    ],
)
def test_what_one_router_cannot_say(router: str, mount: Mount, reason: str) -> None:
    """Others can."""
    with pytest.raises(ExportError) as caught:
        text(router, mount, assume="well-formed no-preflights")
    assert str(caught.value).endswith(reason)
    assert text("caddy", mount)


@pytest.mark.parametrize("router", ["envoy", "traefik"])
def test_yaml(router: str) -> None:
    """What is written is what is read, whatever characters a table has."""
    when = Header("x", "a'b`c\"d\\e#f: {g}$") & Cookie("c", "1")
    mounts = [Mount("/a b'c/é/{x}", page, when=when), Mount("/", page, query={"q": "'%"[:1]})]
    mounts.append(Mount("/m", page, when=~Method("PUT", "POST") & Method("GET", "PATCH")))
    found = yaml.safe_load(text(router, *mounts))
    assert yaml.safe_load(yaml.safe_dump(found)) == found


def test_traefik_alone() -> None:
    """It says 404 by itself; a status for an unknown host is a router of its own."""
    app = Dispatcher([Mount("/a", page, host="a.com")], default=page, unknown_host=421)
    options = Options("main:app", assumed=frozenset(["well-formed"]))
    found = yaml.safe_load(export(app, "traefik", [FAR], options))["http"]
    assert "mountkit-421" in found["middlewares"]
    assert "mountkit-404" not in found["middlewares"]
    assert "PathPrefix(`/`)" in [one["rule"] for one in found["routers"].values()]
    empty = yaml.safe_load(export(Dispatcher([Mount("/a", page)]), "traefik", [FAR], options))
    assert len(empty["http"]["routers"]) == 6
    assert traefik.arguments(options, "x.yaml")[-1] == "--providers.file.filename=x.yaml"


def test_names() -> None:
    """Those that would be the same have a hash; none is empty."""
    tests = [
        Check("query", str(n), about=about) for n, about in enumerate(["a b", "a-b", "c", "é"])
    ]
    found = list(names_of(tests).values())
    assert found[2] == "c"
    assert [name[:4] for name in found[:2]] == ["a_b_", "a_b_"]
    assert len({*found}) == 4
    assert all(name.strip("_") for name in found)


@pytest.mark.parametrize(
    ("url", "upstream", "name"),
    [
        ("http://shop:8000", Upstream("shop", 8000), "shop_8000"),
        ("http://Shop.example.com/", Upstream("shop.example.com", 80), "shop_example_com_80"),
        ("http://127.0.0.1:1", Upstream("127.0.0.1", 1), "server_127_0_0_1_1"),
        ("http://[::1]:1", Upstream("[::1]", 1), "server_1_4655b3_1"),
        ("http://a-b:1", Upstream("a-b", 1), "a-b_1"),
        ("http://a.b:1", Upstream("a.b", 1), "a_b_1"),
        ("http://a_b:1", Upstream("a_b", 1), "server_a_b_ca2739_1"),
        ("http://a.b.:1", Upstream("a.b.", 1), "server_a_b_08986a_1"),
    ],
)
def test_upstreams(url: str, upstream: Upstream, name: str) -> None:
    """A host, a port, and a name that begins with a letter, and that no other has."""
    assert upstream_of(url) == upstream
    assert upstream.name == name


def test_where_each_mount_is(tmp_path: Any) -> None:
    """By host and path, name or path; a file; one URL for the rest."""
    mounts = [
        Mount("/a", page, host=["a.com", "b.com"], name="one"),
        Mount("/a", page, name="two"),
        Mount("/b", page),
        Mount("/c", page),
    ]
    file = tmp_path / "upstreams.txt"
    file.write_text("# where they are\n\n/a = http://path:1\ntwo = http://name:1\n")
    named = [Mount("/d", page, name="httpbin")]
    assert read_upstreams(["httpbin=http://bin:1"], named)(named[0]).host == "bin"
    find = read_upstreams([f"@{file}", "b.com/a=http://host:1", "http://rest:1"], mounts)
    assert [find(mount).host for mount in mounts] == ["host", "name", "rest", "rest"]
    assert find(None).host == "rest"
    assert read_upstreams(["default=http://x"], mounts)(None) == Upstream("x", 80)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["zzz=http://a"], "Upstream 'zzz' is of no mount; there are '/shop', 'blog', '/b'."),
        (["/shp=http://a"], "Upstream '/shp' is of no mount; there are '/shop'."),
        (["/shop=a:1"], "Upstream 'a:1' is not a server; write 'http://host:port', without a path."),
        (["http://a/x"], "Upstream 'http://a/x' is not a server; write 'http://host:port', without a path."),
        (["https://a"], "Upstream 'https://a' is not a server; write 'http://host:port', without a path."),
        *[
            ([url], f"Upstream {url!r} is not a server; write 'http://host:port', without a path.")
            for url in ("http://a:0", "http://[:::1]:80", "http://..:80", "http://-:80")
        ],
        (["http://a:99999"], "Upstream 'http://a:99999' is not a server; write 'http://host:port', without a path."),
        (["http://a", "http://b"], "Upstream 'http://b' is the second one; leave one out."),
        (["/b=http://a", "/b=http://b"], "Upstream '/b' is the second one; leave one out."),
        (["@nope"], "Upstreams '@nope' cannot be read: No such file or directory; name a file."),
        (["@/dev/../proc/self/exe"], "Upstreams '@/dev/../proc/self/exe' cannot be read: it is not text; name a file."),
    ],
)  # fmt: skip
def test_mistakes_in_upstreams(given: list[str], message: str) -> None:
    """Value, reason, fix."""
    mounts = [Mount("/shop", page), Mount("/b", page, name="blog")]
    with pytest.raises(PatternError) as caught:
        read_upstreams(given, mounts)
    assert str(caught.value) == message


def test_no_upstream() -> None:
    """The mount is named, and what to write."""
    mount = Mount("/shop", page)
    find = read_upstreams([], [mount])
    with pytest.raises(PatternError) as caught:
        find(mount)
    assert str(caught.value) == (
        "Mount '/shop' has no upstream; write --upstream '/shop=http://host:port', or one URL for "
        "all."
    )
    with pytest.raises(
        PatternError, match=r"The app underneath has no upstream; write .*'default="
    ):
        find(None)


def test_where_envoy_listens() -> None:
    """It looks up no names."""
    with pytest.raises(ExportError, match=r"^Envoy listens on addresses; write --listen 127\.0"):
        text("envoy", Mount("/a", page), host="localhost")
    assert text("envoy", Mount("/a", page), host="[::1]")


@pytest.mark.parametrize("router", ROUTERS)
def test_comments_have_one_line(router: str) -> None:
    """Whatever the name of the app, or of the file of a mount, is."""
    mount = Mount("/a", page)
    mount.rule.where = "main\n}\r.py:1"
    found = export(
        Dispatcher([mount]),
        router,
        ["http://shop:8000"],
        Options("a\n}\u2028b", assumed=frozenset(ASSUMPTIONS)),
    )
    assert "The mounts of a?}?b, made by" in found
    assert "at main?}?.py\n" in found


def test_a_reading_for_each_row() -> None:
    """A path that is too long for nginx in all readings at once."""
    path = "/organizations/{org}/departments/{dept}/administrative-reports/{year:int}/quarterly"
    found = text("nginx", Mount(path, page))
    assert max(map(len, found.splitlines())) < 4096
    assert found.count(" 400;") > text("nginx", Mount("/{x}", page)).count(" 400;")


def test_many_conditions_in_nginx() -> None:
    """No parameter is longer than it can read."""
    mounts = [Mount("/", page, host=f"tenant-number-{n}.example.com") for n in range(200)]
    assert max(map(len, text("nginx", *mounts).splitlines())) < 4096


@pytest.mark.parametrize("listen", ["8080", "-:80", "a:b", ":0", ":70000", "http://a:80", ""])
def test_mistakes_in_listen(listen: str) -> None:
    """An address has a port."""
    with pytest.raises(PatternError) as caught:
        read_listen(listen)
    assert (
        str(caught.value) == f"Listen {listen!r} is not an address; write 'host:port' or ':8080'."
    )


def test_listen() -> None:
    """All addresses, or one."""
    assert read_listen(":80") == ("", 80)
    assert read_listen("[::1]:80") == ("[::1]", 80)
