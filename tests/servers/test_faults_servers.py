"""Requests that no honest client sends, over raw sockets, to real servers.

The number in front of each case is that of the list of faults that the project keeps. A server may
refuse a request before mountkit sees it; then too no app may have run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.support import raw
from tests.support.raw import Response, ask
from tests.support.servers import SERVERS, Server, serve

# These tell neither the host of a target in absolute form (RFC 9112, section 3.2.2) nor a fragment.
FORGETFUL = ("uvicorn-httptools", "granian")
# What a request is refused with, by the server or by mountkit; `None`: the connection is closed.
REFUSED = (400, 404, 405, 414, 421, 431, 501, None)


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Every server in turn, each in one process for all of this."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    # The variable has no say.
    environ = {"SCRIPT_NAME": "/evil"}
    # What uvicorn does of its own account is not asked for here.
    options = ["--no-proxy-headers"] if name.startswith("uvicorn") else []
    with serve(name, "tests.support.apps.faults:app", env=environ, options=options) as running:
        yield running


def to(table: str, *headers: tuple[raw.Text, raw.Text]) -> list[tuple[raw.Text, raw.Text]]:
    return [("X-Table", table), *headers]


def ran(server: Server) -> list[str]:
    """Which apps have run since it was asked last."""
    response = ask(server.port)
    assert response is not None
    found: list[str] = response.json()
    return found


def check(server: Server, response: Response | None, expected: Any) -> dict[str, Any]:
    """Hold an answer against the app that was to give it, or the ways to refuse it."""
    apps = ran(server)
    if isinstance(expected, str):
        assert response is not None
        assert (response.status, apps) == (200, [expected]), response
        seen: dict[str, Any] = response.json()
        # What every app is told of its place.
        if expected != "wsgi":
            assert seen["app"] == expected
            root_path, path = seen["root_path"], seen["path"]
            assert path.startswith(root_path + "/")
            assert not root_path.endswith("/")
            assert root_path.isprintable()
        return seen
    statuses = expected if isinstance(expected, tuple) else (expected,)
    assert (response and response.status) in statuses, response
    assert apps == []
    return {}


PATHS: list[tuple[str, str, raw.Text, Any]] = [
    ("boundary-longer", "rooted", "/administrator", "root"),
    ("boundary-longer-alone", "paths", "/administrator", 404),
    ("boundary-suffix", "paths", "/admin.bak", 404),
    ("boundary-semicolon", "paths", "/admin;", 404),
    ("boundary-dots", "paths", "/admin../app", 404),
    ("boundary-space", "paths", "/admin%20", 404),
    ("mount-bare", "rooted", "/admin", "admin"),
    ("mount-slash", "rooted", "/admin/", "admin"),
    ("mount-query", "rooted", "/admin?x", "admin"),
    ("below", "paths", "/admin/x/y", "admin"),
    ("exact", "paths", "/secret", "secret"),
    ("exact-newline", "paths", "/secret%0a", 400),
    ("exact-newline-cr", "paths", "/secret%0d%0a", 400),
    ("exact-slash", "paths", "/secret/", 404),
    ("root", "rooted", "/", "root"),
    ("root-below", "rooted", "/x", "root"),
    ("dots", "paths", "/static/../admin", 400),
    ("dots-at-the-end", "paths", "/static/..", 400),
    ("dot", "paths", "/./admin", 400),
    ("dot-inside", "paths", "/static/./x", "static"),
    ("dots-encoded", "paths", "/static/%2e%2e/admin", 400),
    ("dots-half-encoded", "paths", "/static/.%2e/admin", 400),
    ("dots-encoded-upper-case", "paths", "/static/%2E%2E/admin", 400),
    ("dots-above-the-root", "paths", "/../admin", 400),
    ("dots-out-and-in", "paths", "/admin/../admin/x", "admin"),
    ("dots-to-the-deeper", "paths", "/static/x/../deep/y", 400),
    ("three-dots", "paths", "/static/.../admin", "static"),
    ("slashes", "paths", "//admin", 400),
    ("slashes-inside", "paths", "/static//deep", 400),
    ("slashes-below", "paths", "/admin//x", "admin"),
    ("dots-encoded-slash", "paths", "/static/..%2fadmin", 400),
    ("encoded-slash", "paths", "/admin%2Fx", 400),
    ("encoded-slash-lower-case", "paths", "/static%2fdeep", 400),
    ("encoded-slash-first", "paths", "/%2Fadmin", 400),
    ("encoded-slash-below", "paths", "/static/x%2Fy", "static"),
    ("encoded-slash-in-a-placeholder", "paths", "/t/a%2Fb", 400),
    ("encoded-backslash", "paths", "/%5Cadmin", 400),
    ("encoded-backslash-inside", "paths", "/admin%5cx", 400),
    ("encoded-backslash-dots", "paths", "/static/..%5Cadmin", 400),
    ("params", "paths", "/admin;x=1/a", 404),
    ("dots-semicolon", "paths", "/static/..;/admin", "static"),
    ("dot-semicolon", "paths", "/.;/admin", 404),
    ("raw-backslash", "paths", "/\\admin", REFUSED),
    ("raw-backslash-inside", "paths", "/static\\deep", REFUSED),
    *(
        (f"control-%{code}", "paths", f"/static/x%{code}", 400)
        for code in ("00", "01", "09", "0a", "0d", "1b", "1f", "7f")
    ),
    *(
        (f"control-raw-{code:02x}", "paths", b"/static/x%c" % code, REFUSED)
        for code in (0x00, 0x01, 0x09, 0x0B, 0x1F, 0x7F)
    ),
    ("twice-encoded", "paths", "/static/%252e%252e/admin", "static"),
    ("twice-encoded-slash", "paths", "/admin%252Fx", 404),
    ("twice-encoded-nul", "paths", "/static/%2500", "static"),
    ("no-utf-8", "paths", "/%ff", REFUSED),
    ("no-utf-8-behind", "paths", "/admin%ff", REFUSED),
    ("overlong-slash", "paths", "/%c0%afadmin", REFUSED),
    ("overlong-slash-inside", "paths", "/admin%c0%afx", REFUSED),
    ("overlong-dots", "paths", "/%c0%ae%c0%ae/admin", REFUSED),
    ("latin-1", "paths", "/b%FCcher/x", REFUSED),
    ("utf-8", "paths", "/b%C3%BCcher/x", "books"),
    ("other-normal-form", "paths", "/bu%CC%88cher/x", 404),
    ("raw-latin-1", "paths", b"/b\xfccher/x", REFUSED),
    ("replacement-character", "paths", "/b%EF%BF%BDcher/x", 404),
    ("bad-percent", "paths", "/admin%zz", REFUSED),
    ("half-a-percent", "paths", "/admin%2", REFUSED),
    ("utf-16-dots", "paths", "/static/%u002e%u002e/admin", ("static", *REFUSED)),
    ("full-width-dots", "paths", "/static/%EF%BC%8E%EF%BC%8E/admin", "static"),
    ("upper-case", "paths", "/ADMIN", 404),
    ("mixed-case", "paths", "/Admin/x", 404),
    ("encoded-letter", "paths", "/%61dmin", "admin"),
    ("target-empty", "paths", "", REFUSED),
    ("target-star", "paths", "*", REFUSED),
    ("target-at", "paths", "@evil", REFUSED),
    ("target-port", "paths", ":80/x", REFUSED),
    ("target-no-slash", "paths", "admin/x", REFUSED),
    ("fragment", "paths", "/x#/admin", REFUSED),
    ("raw-utf-8-and-an-encoded-slash", "paths", b"/admin%2Fx/\xc3\x9c", REFUSED),
    ("raw-utf-8-and-an-encoded-slash-in-a-placeholder", "paths", b"/t/\xc3\x9c%2Fb", REFUSED),
    ("encoded-slash-and-dots", "rooted", "/x%2Fy/../admin", 400),
    ("query", "paths", "/x?/admin", 404),
    ("encoded-query", "paths", "/admin%3Fx", 404),
    ("encoded-fragment", "paths", "/admin%23x", 404),
    ("many-slashes", "paths", "/" * 4000, REFUSED),
    ("many-slashes-below", "paths", "/static" + "/" * 4000, "static"),
    ("many-segments", "paths", "/a" * 3000, "aa"),
    ("a-long-segment", "paths", "/" + "x" * 7000, REFUSED),
    ("many-dots", "paths", "/static" + "/x/.." * 1000, ("static", *REFUSED)),
    ("repeated-once", "paths", "/a/x", "a"),
    ("repeated-twice", "paths", "/a/a/x", "aa"),
    ("repeated-bare", "paths", "/a/a", "aa"),
    ("repeated-dots", "paths", "/a/a/../x", 400),
    ("longest-prefix", "paths", "/static/deep/x", "deep"),
    ("literal", "paths", "/v1.0+(x)[y]*/z", "literal"),
    ("literal-is-no-pattern", "paths", "/v1x0x/z", 404),
    ("number", "paths", "/n/7", "number"),
    ("number-many-digits", "paths", "/n/" + "9" * 5000, REFUSED),
    ("number-other-digits", "paths", "/n/%D9%A3", 404),
    ("number-sign", "paths", "/n/-7", 404),
]


@pytest.mark.parametrize(
    ("table", "target", "expected"), [pytest.param(*c[1:], id=c[0]) for c in PATHS]
)
def test_paths(server: Server, table: str, target: raw.Text, expected: Any) -> None:
    """The app that the path names, or a refusal."""
    response = ask(server.port, target, headers=to(table))
    if isinstance(expected, tuple) and "static" in expected:
        expected = "static" if response and response.status == 200 else REFUSED
    check(server, response, expected)


@pytest.mark.parametrize("target", ["http://evil.com/admin", "http://../admin", "http://u@x/admin"])
def test_absolute_form(server: Server, name: str, target: str) -> None:
    """Refused. Where the server drops the host of the target, `Host` is all there is."""
    response = ask(server.port, target, headers=to("paths"))
    check(server, response, "admin" if response and response.status == 200 else REFUSED)
    assert name in FORGETFUL or response is None or response.status in REFUSED


@pytest.mark.parametrize("target", ["/admin#x", "/admin/x#", "/admin?x#y", "/static#/../admin"])
def test_fragments(server: Server, name: str, target: str) -> None:
    """Refused; a server that drops the fragment hands on the path before it."""
    response = ask(server.port, target, headers=to("rooted"))
    forgotten = "static" if target.startswith("/static") else "admin"
    check(server, response, forgotten if name in FORGETFUL else 400)


@pytest.mark.parametrize("target", [b"/b\xc3\xbccher/x", b"/static/\xc3\x9c%2Fx"])
def test_raw_utf_8(server: Server, name: str, target: bytes) -> None:
    """granian alone takes it; the path that it spells decides."""
    response = ask(server.port, target, headers=to("paths"))
    taker = "static" if target.startswith(b"/static") else "books"
    check(server, response, taker if name == "granian" else REFUSED)


@pytest.mark.parametrize("table", ["paths", "rooted", "hosts-default"])
@pytest.mark.parametrize("target", ["x.com:443", "/admin", "http://x.com/", "*", "x.com"])
def test_connect(server: Server, target: str, table: str) -> None:
    """No tunnel, and no answer of an app, whose body nobody would send."""
    headers = to(table)
    answered = raw.exchange(server.port, raw.request(target, method="CONNECT", headers=headers))
    assert not answered or int(answered.split(b" ")[1]) in REFUSED
    assert ran(server) == []


@pytest.mark.parametrize("target", ["*", "/admin"])
def test_options(server: Server, target: str) -> None:
    """`OPTIONS *` is no mount's."""
    response = ask(server.port, target, method="OPTIONS", headers=to("rooted"))
    check(server, response, REFUSED if target == "*" else "admin")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([("Access-Control-Request-Method", "PUT")], "put", id="put"),
        pytest.param([("Access-Control-Request-Method", "GET")], "v1", id="get"),
        pytest.param([], "v1", id="nothing"),
        pytest.param(
            [
                ("Access-Control-Request-Method", "GET"),
                ("Access-Control-Request-Headers", "x-version"),
            ],
            "v1",
            id="no-value",
        ),
    ],
)
def test_preflights(server: Server, headers: Sequence[tuple[str, str]], expected: str) -> None:
    """The mount that takes the request which is announced."""
    sent = to("headers", ("Origin", "http://other.com"), *headers)
    check(server, ask(server.port, "/x", method="OPTIONS", headers=sent), expected)


REDIRECTS = [
    ("relative", "GET", "/slashes", "./slashes/"),
    ("post", "POST", "/slashes", "./slashes/"),
    ("query", "GET", "/slashes?a=1&b=%2F", "./slashes/?a=1&b=%2F"),
    ("query-of-urls", "GET", "/slashes?//evil.com", "./slashes/?//evil.com"),
    ("slashes", "GET", "//evil.com", None),
    ("encoded-slash", "GET", "/%2Fevil.com", None),
    ("backslash", "GET", "/\\evil.com", None),
    ("encoded-backslash", "GET", "/%5Cevil.com", None),
    ("tab", "GET", "/%09/evil.com", None),
    ("newline", "GET", "/x%0d%0alocation:%20http:%2f%2fevil.com", None),
    ("dots", "GET", "/.%2Fevil.com", None),
    ("at", "GET", "/@evil.com", "./@evil.com/"),
    ("scheme", "GET", "/http:evil.com", "./http:evil.com/"),
    ("non-ascii", "GET", "/%E2%80%AE", "./%E2%80%AE/"),
]


@pytest.mark.parametrize(
    ("method", "target", "location"), [pytest.param(*c[1:], id=c[0]) for c in REDIRECTS]
)
def test_redirects(server: Server, method: str, target: str, location: str | None) -> None:
    """To the same host, whatever `Host` says, and not for a cache to keep."""
    response = ask(server.port, target, method=method, host="evil.com", headers=to("redirects"))
    if location is None:
        check(server, response, REFUSED)
        return
    assert response is not None
    assert (response.status, response.values("location")) == (307, [location])
    assert response.values("cache-control") == ["no-store"]
    assert ran(server) == []


def test_no_redirect_of_a_websocket(server: Server) -> None:
    """It is served."""
    found = raw.websocket(server.port, "/slashes", to("redirects"))
    assert (found.status, found.code) == (101, 1000)
    assert ran(server) == ["slashes"]


PREFIX_HEADERS = ("X-Forwarded-Prefix", "X-Script-Name", "X-Original-URL", "X-Rewrite-URL")


@pytest.mark.parametrize("header", PREFIX_HEADERS)
@pytest.mark.parametrize("table", ["paths", "doubting"])
def test_prefixes_of_nobody(server: Server, header: str, table: str) -> None:
    """They have no effect."""
    app, target, host = ("admin", "/admin/x", "h") if table == "paths" else ("x", "/x", "x.com")
    headers = [*to(table), (header, "/secret"), ("X-Forwarded-Host", "acme.example.com")]
    seen = check(server, ask(server.port, target, headers=headers, host=host), app)
    assert (seen["root_path"], seen["path"]) == ("/admin" if app == "admin" else "", target)


def test_script_name_of_the_process(server: Server) -> None:
    """What a WSGI app is told is of the mount and of the request."""
    headers = [
        *to("paths"),
        ("X-Auth", "alice"),
        ("X_Auth", "root"),
        ("Proxy", "http://evil.com"),
        ("Script-Name", "/evil"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
    ]
    seen = check(server, ask(server.port, "/wsgi/x%20y", headers=headers), "wsgi")
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/wsgi", "/x y")
    assert seen["HTTP_X_AUTH"] == "alice"
    assert "HTTP_PROXY" not in seen
    assert seen["HTTP_COOKIE"] == "a=1; b=2"


def test_cookies_are_passed_through(server: Server) -> None:
    """`Path` and all, each in a header of its own."""
    response = ask(server.port, "/cookies", headers=to("redirects"))
    assert response is not None
    assert response.values("set-cookie") == ["a=1; Path=/", "a=2; Path=/cookies"]


HOSTS: list[tuple[str, str, Any, Any]] = [
    ("two", "hosts", ["a.example.com", "x.com"], 400),
    ("two-with-a-default", "hosts-default", ["a.example.com", "x.com"], 400),
    ("twice", "hosts", ["x.com", "x.com"], 400),
    ("list", "hosts", "a.example.com, x.com", 400),
    ("twice-in-other-case", "hosts", ["x.com", "X.com"], 400),
    ("missing", "hosts", None, 400),
    ("missing-with-a-default", "hosts-default", None, 400),
    ("empty", "hosts", "", 400),
    ("plain", "hosts", "acme.example.com", "tenant"),
    ("upper-case", "hosts", "ACME.Example.COM", "tenant"),
    ("port", "hosts", "acme.example.com:8000", "tenant"),
    ("empty-port", "hosts", "acme.example.com:", "tenant"),
    ("dot", "hosts", "acme.example.com.", "tenant"),
    ("dot-and-port", "hosts", "acme.example.com.:8000", "tenant"),
    ("spaces", "hosts", "  acme.example.com", "tenant"),
    ("two-dots", "hosts", "acme.example.com..", 400),
    *(
        (f"improper-{case}", table, host, 400)
        for table in ("hosts", "hosts-default")
        for case, host in [
            ("user", "u@x.com"),
            ("user-and-password", "u:p@x.com"),
            ("slash", "x.com/y"),
            ("query", "x.com?y"),
            ("fragment", "x.com#y"),
            ("comma", "x.com,y.com"),
            ("space", "x.com y.com"),
            ("percent", "a%2f.example.com"),
            ("encoded-dot", "a%2eb.example.com"),
            ("backslash", "x.com\\y"),
            ("semicolon", "x.com;y"),
            ("scheme", "http://x.com"),
            ("brackets", "[x.com]"),
            ("half-brackets", "[::1"),
            ("zone", "[::1%25eth0]"),
        ]
    ),
    ("improper-nul", "hosts", b"x.com\0", REFUSED),
    ("improper-tab", "hosts", b"x\t.com", REFUSED),
    ("improper-delete", "hosts", b"x\x7f.com", REFUSED),
    ("improper-line-feed", "hosts", b"x.com\nX-Evil: 1", ("x", *REFUSED)),
    ("port-too-high", "hosts", "x.com:65536", 400),
    ("port-far-too-high", "hosts", "x.com:99999999", 400),
    ("port-of-letters", "hosts", "x.com:http", 400),
    ("port-negative", "hosts", "x.com:-1", 400),
    ("port-plus", "hosts", "x.com:+80", 400),
    ("port-other-digits", "hosts", "x.com:\xb2", REFUSED),
    ("two-ports", "hosts", "x.com:80:80", 400),
    ("port-0", "hosts", "x.com:0", "x"),
    ("port-65535", "hosts", "x.com:65535", "x"),
    ("port-of-many-zeros", "hosts", "x.com:" + "0" * 5000 + "80", REFUSED),
    ("mounted-port", "hosts", "ports.com:8443", "port"),
    ("other-port", "hosts", "ports.com:8444", 421),
    ("no-port", "hosts", "ports.com", 421),
    ("punycode", "hosts", "xn--bcher-kva.de", "books"),
    ("punycode-in-other-case", "hosts", "XN--Bcher-KVA.DE.", "books"),
    ("utf-8", "hosts", "bücher.de".encode(), 400),
    ("latin-1", "hosts", "bücher.de", 400),
    ("full-width-dot", "hosts", "xn--bcher-kva。de".encode(), 400),
    ("two-labels", "hosts", "x.y.example.com", 421),
    ("two-labels-with-a-default", "hosts-default", "x.y.example.com", "default"),
    ("star", "hosts", "*.example.com", 400),
    ("dots", "hosts", "..example.com", 400),
    ("encoded-dots", "hosts", "..%2f.example.com", 400),
    ("hyphen-first", "hosts", "-a.example.com", 400),
    ("hyphen-last", "hosts", "a-.example.com", 400),
    ("underscore", "hosts", "a_b.example.com", "tenant"),
    ("longest-label", "hosts", "a" * 63 + ".example.com", "tenant"),
    ("label-too-long", "hosts", "a" * 64 + ".example.com", 400),
    ("braces", "hosts", "{tenant}.example.com", 400),
    ("apex", "hosts", "example.com", 421),
    ("empty-label", "hosts", ".example.com", 400),
    ("suffix", "hosts", "acme.example.com.evil.org", 421),
    ("prefix", "hosts", "evilexample.com", 421),
    ("long", "hosts", "a." * 130 + "example.com", 400),
    ("very-long", "hosts", "a" * 6000 + ".example.com", REFUSED),
    ("many-labels", "hosts", "a." * 3000 + "org", REFUSED),
    ("many-hyphens", "hosts", "-" * 6000, REFUSED),
    ("three-labels", "hosts", "a.b.c.org", "three"),
    ("three-long-labels", "hosts", ".".join(["a" * 63] * 3) + ".org", "three"),
    ("four-labels", "hosts", "a.b.c.d.org", 421),
    ("unknown", "hosts", "unknown.com", 421),
    ("unknown-404", "hosts-404", "unknown.com", 404),
    ("unknown-by-choice", "hosts-default", "unknown.com", "default"),
    ("address", "hosts", "127.0.0.1:8000", 421),
    ("address-v6", "hosts", "[::1]:8000", "v6"),
    ("address-v6-long", "hosts", "[0:0:0:0:0:0:0:1]", "v6"),
    ("address-v6-none", "hosts", "[::1::]", 400),
    ("localhost", "hosts", "localhost", 421),
]


@pytest.mark.parametrize(
    ("table", "host", "expected"), [pytest.param(*c[1:], id=f"{c[0]}-{c[1]}") for c in HOSTS]
)
def test_hosts(server: Server, table: str, host: Any, expected: Any) -> None:
    """Exactly one proper host, and the app that it names, or none."""
    response = ask(server.port, "/x", host=host, headers=to(table))
    if isinstance(expected, tuple) and "x" in expected:
        expected = "x" if response and response.status == 200 else REFUSED
    if expected == "tenant":
        seen = check(server, response, expected)
        label = host.strip().split(".")[0].lower()
        assert seen["params"] == {"tenant": label}
        return
    check(server, response, expected)
    if response is not None and response.status in (404, 421):
        assert response.values("cache-control") == ["no-store"]


@pytest.mark.parametrize(
    ("table", "expected"), [("hosts", (400, 421)), ("hosts-default", "default")]
)
def test_http_1_0_without_a_host(server: Server, table: str, expected: Any) -> None:
    """A request of HTTP/1.0 may leave the host out; that is never a tenant's."""
    response = ask(server.port, "/x", host=None, version="1.0", headers=to(table))
    check(server, response, expected)


@pytest.mark.parametrize("table", ["hosts", "hosts-default"])
@pytest.mark.parametrize("host", ["x.com", None], ids=["with", "without"])
def test_absolute_form_and_hosts(server: Server, name: str, host: str | None, table: str) -> None:
    """No app but that of `Host`. Without one, granian takes the target's, as RFC 9112 has it; the
    others refuse."""
    response = ask(server.port, "http://acme.example.com/x", host=host, headers=to(table))
    if name in FORGETFUL and (host or name == "granian"):
        check(server, response, "x" if host else "tenant")
    else:
        check(server, response, REFUSED)


def test_other_headers_name_no_host(server: Server) -> None:
    """Whatever they say, and from whomever."""
    names = ("X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server", "X-HTTP-Host")
    headers = [(key, "acme.example.com") for key in names]
    forwarded = ("Forwarded", "host=acme.example.com")
    for table in ("hosts", "doubting"):
        response = ask(server.port, "/", host="x.com", headers=[*to(table), *headers, forwarded])
        check(server, response, "x")


TRUSTED: list[tuple[str, Sequence[tuple[str, str]], Any]] = [
    ("prefix", [("X-Forwarded-Prefix", "/outer")], "x"),
    ("prefix-of-slashes", [("X-Forwarded-Prefix", "//evil.com")], 400),
    ("prefix-with-dots", [("X-Forwarded-Prefix", "/a/../b")], 400),
    ("prefix-encoded", [("X-Forwarded-Prefix", "/a%2f")], 400),
    ("two-prefixes", [("X-Forwarded-Prefix", "/a")] * 2, 400),
    ("host", [("X-Forwarded-Host", "acme.example.com")], "tenant"),
    ("two-hosts", [("X-Forwarded-Host", "acme.example.com, x.com")], 400),
    ("host-twice", [("X-Forwarded-Host", "acme.example.com")] * 2, 400),
    ("no-host", [("X-Forwarded-Host", "u@acme.example.com")], 400),
    ("two-protos", [("X-Forwarded-Proto", "https, http")], 400),
    ("bad-client", [("X-Forwarded-For", "nobody")], 400),
]


@pytest.mark.parametrize(("headers", "expected"), [pytest.param(*c[1:], id=c[0]) for c in TRUSTED])
def test_trusted_proxies(server: Server, headers: Sequence[tuple[str, str]], expected: Any) -> None:
    """A proxy that is trusted has to say proper things."""
    response = ask(server.port, "/x", host="x.com", headers=[*to("trusting"), *headers])
    seen = check(server, response, expected)
    if headers == [("X-Forwarded-Prefix", "/outer")]:
        assert (seen["root_path"], seen["path"]) == ("/outer", "/outer/x")


@pytest.mark.parametrize(
    ("extra", "expected", "of_granian"),
    [
        pytest.param([], "x", "x", id="alone"),
        pytest.param([("host", "x.com")], "x", "x", id="same"),
        pytest.param([("host", "acme.example.com")], (400, None), "tenant", id="other"),
        pytest.param([("host", "x.com"), ("host", "acme.example.com")], (400, None), 400, id="two"),
        pytest.param([("x-forwarded-host", "acme.example.com")], "x", "x", id="forwarded"),
    ],
)
def test_authority_of_http_2(
    server: Server, name: str, extra: list[tuple[str, str]], expected: Any, of_granian: Any
) -> None:
    """`:authority` and `Host` are two hosts. granian tells of `Host` alone then."""
    if name.startswith("uvicorn"):
        pytest.skip("uvicorn has no HTTP/2")
    pseudo = [(":method", "GET"), (":path", "/x"), (":scheme", "http"), (":authority", "x.com")]
    response = raw.ask_h2(server.port, [*pseudo, ("x-table", "hosts"), *extra])
    check(server, response, of_granian if name == "granian" else expected)


@pytest.mark.parametrize("path", ["/admin#x", "/admin?x#y", "/admin%2Fx"])
def test_paths_of_http_2(server: Server, name: str, path: str) -> None:
    """The rules are the same."""
    if name.startswith("uvicorn"):
        pytest.skip("uvicorn has no HTTP/2")
    pseudo = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "h")]
    response = raw.ask_h2(server.port, [*pseudo, ("x-table", "rooted")])
    forgotten = name == "granian" and "#" in path
    check(server, response, "admin" if forgotten else REFUSED)


HEADERS: list[tuple[str, Sequence[tuple[str, str]], str]] = [
    ("none", [], "v1"),
    ("one", [("X-Version", "2")], "v2"),
    ("twice", [("X-Version", "2")] * 2, "v2"),
    ("two", [("X-Version", "2"), ("X-Version", "1")], "v1"),
    ("two-the-other-way", [("X-Version", "1"), ("X-Version", "2")], "v1"),
    ("list", [("X-Version", "2, 1")], "v1"),
    ("empty-besides", [("X-Version", "2"), ("X-Version", "")], "v1"),
    ("other-case", [("x-VERSION", "2")], "v2"),
    ("spaces", [("X-Version", "  2")], "v2"),
    ("underscore", [("X_Version", "2")], "v1"),
    ("underscore-auth", [("X_Auth", "root")], "v1"),
    ("underscore-and-hyphen", [("X-Auth", "alice"), ("X_Auth", "root")], "v1"),
    ("hyphen", [("X-Auth", "root")], "auth"),
    ("regex", [("X-Kind", "1")], "kind"),
    ("regex-twice", [("X-Kind", "1")] * 2, "kind"),
    ("regex-two", [("X-Kind", "1"), ("X-Kind", "2")], "v1"),
    ("regex-two-the-other-way", [("X-Kind", "2"), ("X-Kind", "1")], "v1"),
    ("regex-empty-besides", [("X-Kind", "1"), ("X-Kind", "")], "v1"),
    ("cookie", [("Cookie", "lane=1")], "cookie"),
    ("cookie-quoted", [("Cookie", 'lane="1"')], "cookie"),
    ("cookie-one-quote", [("Cookie", 'lane="1')], "v1"),
    ("cookie-other-quote", [("Cookie", 'lane=1"')], "v1"),
    ("cookie-two", [("Cookie", "lane=1; lane=2")], "v1"),
    ("cookies-two", [("Cookie", "lane=1"), ("Cookie", "lane=2")], "v1"),
]


@pytest.mark.parametrize(("headers", "expected"), [pytest.param(*c[1:], id=c[0]) for c in HEADERS])
def test_headers(server: Server, headers: Sequence[tuple[str, str]], expected: str) -> None:
    """Every value counts, and a name is its own."""
    response = ask(server.port, "/", headers=[*to("headers"), *headers])
    # Some servers refuse a name with an underscore.
    check(server, response, expected if response and response.status == 200 else 400)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/?lane=1", "query", id="query"),
        pytest.param("/?lane=1&lane=1", "query", id="query-twice"),
        pytest.param("/?lane=1&lane=2", "v1", id="query-two"),
        pytest.param("/?lane=2&l%61ne=1", "v1", id="query-two-spellings"),
        pytest.param("/f/1.5", "float", id="float"),
        pytest.param("/f/" + "9" * 400, "v1", id="float-400-digits"),
        pytest.param("/f/" + "9" * 5000, "v1", id="float-5000-digits"),
        pytest.param("/f/0." + "9" * 5000, "float", id="float-5000-decimals"),
        pytest.param("/u/" + "9" * 5000, "v1", id="uuid-5000-digits"),
    ],
)
def test_values_in_targets(server: Server, target: str, expected: str) -> None:
    """Two different values choose no mount, and neither does a number that is none."""
    check(server, ask(server.port, target, headers=to("headers")), expected)


SMUGGLED = [
    ("line", b"GET /admin HTTP/1.1\r\nHost: h\r\nX-Table: paths\r\n folded: x\r\n\r\n"),
    ("colon", b"GET /admin HTTP/1.1\r\nHost: h\r\nX-Table : paths\r\n\r\n"),
    ("host-colon", b"GET /x HTTP/1.1\r\nHost : x.com\r\nX-Table: hosts\r\n\r\n"),
    ("host-folded", b"GET /x HTTP/1.1\r\nHost: \r\n x.com\r\nX-Table: hosts\r\n\r\n"),
    ("two-spaces", b"GET  /admin  HTTP/1.1\r\nHost: h\r\nX-Table: paths\r\n\r\n"),
    ("http-0.9", b"GET /admin\r\n\r\n"),
    ("http-3", b"GET /admin HTTP/3.0\r\nHost: h\r\nX-Table: paths\r\n\r\n"),
    (
        "length-and-chunked",
        b"POST /admin HTTP/1.1\r\nHost: h\r\nX-Table: record\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n"
        b"Host: h\r\nX-Table: paths\r\n\r\n",
    ),
]


@pytest.mark.parametrize("data", [pytest.param(data, id=case) for case, data in SMUGGLED])
def test_lines_that_are_none(server: Server, name: str, data: bytes) -> None:
    """Of the same kind: a request that is not written as one, and one that hides another. At most
    one app answers, and it is the one that the request line names."""
    if name == "hypercorn-trio" and data.count(b"HTTP/") > 1:
        pytest.skip("hypercorn 0.18 ends under trio if more comes after a request that closes")
    data = data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    found = raw.responses(raw.exchange(server.port, data))
    assert len(found) <= 1
    assert ran(server) in ([], ["admin"], ["x"])


def test_websockets_of_nobody(server: Server) -> None:
    """404 where the server can say it, else 403."""
    found = raw.websocket(server.port, "/nobody", to("paths"))
    assert found.status in (403, 404)
    assert b"no-store" in found.head or found.status == 403
    assert ran(server) == []


@pytest.mark.parametrize(
    ("target", "host", "table"),
    [
        ("/static/../admin", "h", "paths"),
        ("/admin%2Fx", "h", "paths"),
        ("/static/x%00", "h", "paths"),
        (b"/t/\xc3\x9c%2Fb", "h", "paths"),
        ("/x", "u@x.com", "hosts"),
        ("/x", "unknown.com", "hosts"),
    ],
)
def test_improper_websockets(server: Server, target: raw.Text, host: str, table: str) -> None:
    """Refused as requests are."""
    found = raw.websocket(server.port, target, to(table), host=host)
    assert found.status in (400, 403, 404, 421)
    assert ran(server) == []


@pytest.mark.parametrize("target", ["/admin#x", "/admin?x#y"])
def test_fragments_of_websockets(server: Server, name: str, target: str) -> None:
    """Refused, unless the server drops them."""
    found = raw.websocket(server.port, target, to("rooted"))
    if name == "granian":
        assert (found.status, ran(server)) == (101, ["admin"])
    else:
        assert found.status in (400, 403)
        assert ran(server) == []


def test_a_websocket_of_a_mount(server: Server) -> None:
    """Served as requests are."""
    found = raw.websocket(server.port, "/admin/x", to("paths"))
    assert (found.status, found.code) == (101, 1000)
    assert json.loads(found.frames[0][1])["root_path"] == "/admin"
    assert ran(server) == ["admin"]


def test_a_websocket_of_a_wsgi_app(server: Server) -> None:
    """Refused, and no app runs."""
    assert raw.websocket(server.port, "/wsgi", to("paths")).status in (403, 404)
    assert ran(server) == []


def pipelined(server: Server, *requests: bytes) -> list[Response]:
    """Several requests at once on one connection, and what comes back."""
    return raw.responses(raw.exchange(server.port, b"".join(requests)))


def test_what_an_app_does_to_its_scope(server: Server) -> None:
    """Neither the next request of the connection sees anything of it, nor one that was there already;
    nor does anybody see the context variables of another."""
    target = raw.request("/bad", headers=to("isolation"), keep_alive=True)
    well = raw.request("/well", headers=to("isolation"), keep_alive=True)
    last = raw.request("/well", headers=to("isolation"))
    found = pipelined(server, well, target, well, target, target, last)
    assert [response.status for response in found] == [200] * 6
    seen = [found[number].json() for number in (0, 2, 5)]
    assert "stain" not in json.dumps(seen)
    assert [one["mark"] for one in seen] == [""] * 3
    assert [one["keys"] for one in seen] == [seen[0]["keys"]] * 3
    assert ran(server) == ["well"] * 3


def test_context_variables_of_pipelined_requests(server: Server) -> None:
    """With `ContextMiddleware` each request starts with what the server has, whatever was served
    before."""
    hosts = ("acme.example.com", "x.com", "other.example.com", "xn--bcher-kva.de")
    requests = [
        raw.request("/", host=host, headers=to("apart"), keep_alive=host != hosts[-1])
        for host in hosts
    ]
    found = pipelined(server, *requests)
    assert [one.json()["app"] for one in found] == ["tenant", "x", "tenant", "books"]
    assert [one.json()["mark"] for one in found] == [""] * 4
    assert [one.json()["params"] for one in found] == [
        {"tenant": "acme"},
        {},
        {"tenant": "other"},
        {},
    ]
    assert ran(server) == ["tenant", "x", "tenant", "books"]


def test_nothing_has_ended_the_server(server: Server) -> None:
    """After all of this it serves, and nothing of it was an error of mountkit."""
    check(server, ask(server.port, "/admin/x", headers=to("paths")), "admin")
    assert "Traceback" not in server.output
