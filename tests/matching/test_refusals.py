"""Requests that two readers may take for different ones, and hosts that are none."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Scope

from mountkit import Dispatcher, DispatchMiddleware, LifespanMiddleware, Mount, Table, explain
from mountkit.matching.tables import Refusal, Resolution
from tests.support.requests import asked
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio


def mounts() -> list[Mount]:
    """None at the root: what no mount takes is the neighbour's."""
    return [
        Mount("/admin", PlainTextResponse("admin")),
        Mount("/static", PlainTextResponse("static")),
        Mount("/t/{tenant}", PlainTextResponse("tenant")),
    ]


def included() -> ASGIApp:
    app, router = FastAPI(), APIRouter()
    router.routes += mounts()
    app.include_router(router)
    return app


def middleware() -> ASGIApp:
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=mounts())
    return app


PLACES = {
    "dispatcher": lambda: Dispatcher(mounts()),
    "middleware": middleware,
    "routes": lambda: Starlette(routes=mounts()),
    "included": included,
    "table-among-routes": lambda: Dispatcher([Mount("", routes=mounts())]),
}


def request(raw_path: str, **options: Any) -> Scope:
    return scope_of(unquote(raw_path), raw_path=raw_path.encode(), **options)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("raw_path", "status"),
    [
        ("/admin", 200),
        ("/static//x", 200),
        ("/static/x/../y", 200),
        ("/static/x%2Fy", 200),
        ("/static/.hidden", 200),
        ("/static/x%5Cy", 200),
        ("/static/%C3%A9", 200),
        ("/static/%252e%252e/admin", 200),
        ("/t/a%20b/x", 200),
        ("/.well-known/x", 404),
        ("/none//x", 404),
        ("/static/../admin", 400),
        ("/static/..", 400),
        ("/static/%2e%2e/admin", 400),
        ("/static/..%2Fadmin", 400),
        ("/static/..%5cadmin", 400),
        ("/./admin", 400),
        ("//admin", 400),
        ("/x/../admin", 400),
        ("/admin%2Fx", 400),
        ("/%5Cadmin", 400),
        ("/t/a%2Fb", 400),
        ("/t//b", 400),
        ("/x%2Fy/../admin", 400),
        ("/static/x%2Fy/../z", 200),
        ("/admin#x", 400),
        ("/static/%23", 200),
        ("/static/%00", 400),
        ("/static/%0a", 400),
        ("/static/x%7f", 400),
    ],
)
async def test_one_view_decides_or_none(place: str, raw_path: str, status: int) -> None:
    """400, and no app sees the request, wherever mounts stand."""
    sent, error = await asked(PLACES[place](), request(raw_path))
    assert error is None
    assert sent[0]["status"] == status


async def test_a_websocket_is_refused_as_well() -> None:
    """With 400 where that can be said."""
    extensions: Any = {"websocket.http.response": {}}
    scope = request("/static/../admin", type="websocket", extensions=extensions)
    sent, _ = await asked(Dispatcher(mounts()), scope)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("raw_path", "status"),
    [
        ("/outer/admin", 200),
        ("/outer/static//x", 200),
        ("/outer/../admin", 400),
        ("/outer/static/../../admin", 400),
        ("/outer/static/..", 400),
        ("/outer/..", 400),
        ("/outer/t/a%2Fb", 400),
    ],
)
async def test_below_a_root_path(raw_path: str, status: int) -> None:
    """Nothing climbs above it."""
    sent, _ = await asked(Dispatcher(mounts()), request(raw_path, root_path="/outer"))
    assert sent[0]["status"] == status


async def test_a_proxy_that_strips_the_prefix() -> None:
    """`raw_path` lacks it then, as `path` does."""
    for raw_path, status in (("/t/a%20b", 200), ("/t/a%2Fb", 400)):
        sent, _ = await asked(Dispatcher(mounts()), request(raw_path, root_path="/outer"))
        assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("path", "raw_path", "status"),
    [
        pytest.param("/admin/x", b"/old/a%20b", 200, id="without-slashes"),
        pytest.param("/admin/x", b"/old/a%2Fb", 400, id="with-a-slash"),
        pytest.param("/static/a/b", b"/de/static/a%2Fb", 200, id="cut"),
        pytest.param("/admin/x", b"/de/admin%2Fx", 400, id="cut-and-hidden"),
        pytest.param("/admin/x", b"/de%2Fadmin/x", 400, id="cut-at-no-boundary"),
        pytest.param("/static/a/b", b"/a%2Fb", 200, id="longer"),
        pytest.param("/admin/x", b"%2fx", 400, id="longer-and-hidden"),
        pytest.param("/admin/x", b"/admin%2Fx?y", 400, id="with-the-query"),
        pytest.param("/admin", b"/admin?next=%2Fx", 200, id="in-the-query"),
        pytest.param("/admin/x", None, 200, id="none"),
        pytest.param("/admin/x", b"", 200, id="empty"),
        pytest.param("x", b"/%2Fx", 400, id="no-path"),
        pytest.param("/admin/x/Ü", "/admin%2Fx/Ü".encode(), 400, id="utf-8"),
        pytest.param("/admin/x/ÜÜ", "/admin%2Fx/Ü%C3%9C".encode(), 400, id="utf-8-mixed"),
        pytest.param("/admin/x/\udcdc", b"/admin%2Fx/\xdc", 400, id="surrogate"),
        pytest.param("/admin/x/Ü", b"/admin%2Fx/\xdc", 400, id="latin-1"),
        pytest.param("/admin/x/\ufffd", b"/admin%2Fx/\xdc", 400, id="replaced"),
        pytest.param("/static/x/Ü", "/static/x%2FÜ".encode(), 200, id="utf-8-below"),
        pytest.param("/static/x/\ufffd", b"/static/x%2F\xdc", 200, id="replaced-below"),
    ],
)
async def test_a_raw_path_beside_another_path(
    path: str, raw_path: bytes | None, status: int
) -> None:
    """What a rewriting middleware or another way to decode may lead to: `raw_path` is compared as
    bytes. If it has an encoded slash and cannot be compared, the request is refused."""
    sent, error = await asked(Dispatcher(mounts()), scope_of(path, raw_path=raw_path))
    assert error is None
    assert sent[0]["status"] == status


AMONG_ROUTES = ("routes", "included")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("path", "query", "is_left"),
    [
        pytest.param("/static#x", "", False, id="path"),
        pytest.param("/none#x", "", True, id="path-of-nobody"),
        pytest.param("/static", "x#y", False, id="query"),
        pytest.param("/none", "x#y", True, id="query-of-nobody"),
    ],
)
async def test_a_target_with_a_fragment(place: str, path: str, query: str, is_left: bool) -> None:
    """Refused; what no mount among the routes of an app would take is left to the others."""
    sent, _ = await asked(PLACES[place](), request(path, query=query))
    assert sent[0]["status"] == (404 if is_left and place in AMONG_ROUTES else 400)


async def test_an_app_without_mounts_is_not_touched() -> None:
    """`LifespanMiddleware` has none of its own."""
    app = LifespanMiddleware(PlainTextResponse("app"))
    assert (await asked(app, request("/static/..%2Fx")))[0][0]["status"] == 200


@pytest.mark.parametrize("app", [None, PlainTextResponse("site")], ids=["alone", "default"])
@pytest.mark.parametrize(
    ("target", "method", "root_path", "status"),
    [
        pytest.param("http://evil.com/admin", "GET", "", 400, id="whole-url"),
        pytest.param("admin", "GET", "", 400, id="no-slash"),
        pytest.param("@evil.com", "GET", "", 400, id="at"),
        pytest.param("*", "GET", "", 400, id="star"),
        pytest.param("", "GET", "", 400, id="empty"),
        pytest.param("", "GET", "/outer", None, id="empty-below-a-root-path"),
        pytest.param("*", "OPTIONS", "", None, id="star-of-options"),
        pytest.param("a.com:443", "CONNECT", "", 501, id="connect"),
        pytest.param("/nobody", "CONNECT", "", 501, id="connect-to-a-path"),
        pytest.param("/admin", "CONNECT", "", 501, id="connect-to-a-mount"),
    ],
)
async def test_targets_that_are_no_path(
    app: Any, target: str, method: str, root_path: str, status: int | None
) -> None:
    """No app is called, but where HTTP has another form of target."""
    dispatcher = Dispatcher(mounts(), default=app)
    scope = scope_of(target, raw_path=target.encode(), method=method, root_path=root_path)
    sent, error = await asked(dispatcher, scope)
    assert error is None
    assert sent[0]["status"] == (status or (200 if app else 404))
    sent, _ = await asked(LifespanMiddleware(PlainTextResponse("site")), scope)
    assert sent[0]["status"] == 200  # there are no mounts that it could be taken for


async def test_a_websocket_with_a_whole_url() -> None:
    """Refused as well."""
    scope = scope_of("http://a.com/admin", type="websocket")
    sent, _ = await asked(Dispatcher(mounts(), default=PlainTextResponse("site")), scope)
    assert sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


@pytest.mark.parametrize(
    ("target", "method", "refusal"),
    [
        pytest.param("*", "OPTIONS", None, id="star-of-options"),
        pytest.param("*", "GET", Refusal(400, "The target '*' is not a path."), id="star"),
        pytest.param(
            "a.com:443",
            "CONNECT",
            Refusal(501, "CONNECT asks for a tunnel, which ASGI does not have."),
            id="authority",
        ),
        pytest.param(
            "/admin/x",
            "CONNECT",
            Refusal(501, "CONNECT asks for a tunnel, which ASGI does not have."),
            id="path-of-a-mount",
        ),
    ],
)
def test_targets_that_are_refused(target: str, method: str, refusal: Refusal | None) -> None:
    """A table decides that too, unless it has no mounts."""
    scope = scope_of(target, method=method, raw_path=target.encode())
    assert Table(mounts()).decide(scope) == refusal
    assert Table[Mount]().decide(scope) is None


def test_a_raw_path_with_utf8_in_it() -> None:
    """Some servers leave what came: the bytes are compared all the same."""
    scope = scope_of("/admin/x/Ü", raw_path="/admin%2Fx/Ü".encode())
    assert isinstance(Table(mounts()).decide(scope), Refusal)
    scope = scope_of("/admin/x y/Ü", raw_path="/admin/x%20y/Ü".encode())
    assert isinstance(Table(mounts()).decide(scope), Resolution)


def test_explained() -> None:
    """The explanation says how else the path may be read."""
    found = explain(Dispatcher(mounts()), "/static/../admin")
    assert found.route is None
    assert found.candidates[0].reason == (
        "400: The path '/static/../admin' may be read as '/admin', which is another mount's."
    )
    found = explain(Dispatcher(mounts()), "/static/%0a")
    assert found.candidates[0].reason == "400: The path has a control character in it."


segments = st.sampled_from(
    ["admin", "static", "t", "x", "", ".", "..", "%2F", "%2e", "%2E%2e", "a%2Fb", "%5C", "\\", "é"]
)


@given(st.lists(segments, min_size=1, max_size=6))
def test_who_normalises_first_finds_the_same_mount(parts: list[str]) -> None:
    """If the request is not refused."""
    table = Table(mounts())
    raw_path = "/" + "/".join(parts)
    scope = scope_of(unquote(raw_path), raw_path=raw_path.encode())
    found = table.decide(scope)
    if isinstance(found, Refusal):
        return
    normal: list[str] = []
    for part in scope["path"].replace("\\", "/").split("/"):
        if part == "..":
            del normal[-1:]
        elif part not in ("", "."):
            normal.append(part)
    other = table.resolve(scope_of("/" + "/".join(normal)))
    assert (found and found.mount) is (other and other.mount)
    assert found is None or found.root_path + found.prefix + found.rest == scope["path"]


HOSTS = [
    Mount("/", PlainTextResponse("tenant"), host="{tenant}.example.com"),
    Mount("/", PlainTextResponse("any")),
]


@pytest.mark.parametrize(
    ("values", "version", "status"),
    [
        pytest.param(["a.example.com"], "1.1", 200, id="tenant"),
        pytest.param(["other.com"], "1.1", 200, id="unknown"),
        pytest.param([], "1.0", 200, id="missing-in-1.0"),
        pytest.param([""], "1", 200, id="missing-in-1.0-of-granian"),
        pytest.param([""], "1.1", 400, id="empty"),
        pytest.param([], "1.1", 400, id="missing"),
        pytest.param([], "2", 400, id="missing-in-2"),
        pytest.param(["a.example.com", "b.example.com"], "1.1", 400, id="two"),
        pytest.param(["a.example.com"] * 2, "1.1", 400, id="twice"),
        pytest.param(["a.example.com"] * 2, "1.0", 400, id="twice-in-1.0"),
        pytest.param(["u@a.example.com"], "1.1", 400, id="user"),
        pytest.param(["a.example.com:99999"], "1.1", 400, id="port"),
        pytest.param(["a.example.com:x"], "1.1", 400, id="port-of-letters"),
        pytest.param(["a..example.com"], "1.1", 400, id="empty-label"),
        pytest.param(["a.example.com/x"], "1.1", 400, id="path"),
        pytest.param(["a b.example.com"], "1.1", 400, id="space"),
        pytest.param(["a%2f.example.com"], "1.1", 400, id="percent"),
        pytest.param(["é.example.com"], "1.1", 400, id="not-ascii"),
        pytest.param(["a" * 64 + ".example.com"], "1.1", 400, id="long-label"),
        pytest.param(["a." * 200 + "example.com"], "1.1", 400, id="long"),
        pytest.param(["x" * 60_000], "1.1", 400, id="very-long"),
        pytest.param(["1.2.3.4, a.example.com"], "1.1", 400, id="list"),
    ],
)
async def test_hosts_that_are_none(values: list[str], version: str, status: int) -> None:
    """400 as soon as any mount has a host; a proper one that nobody has is no error."""
    scope = scope_of("/", host=values, http_version=version)
    assert (await asked(Dispatcher(HOSTS), scope))[0][0]["status"] == status
    assert (await asked(Dispatcher(HOSTS[1:]), scope))[0][0]["status"] == 200


@pytest.mark.parametrize("status", [404, 421])
async def test_an_unknown_host(status: Any) -> None:
    """By choice it does not reach the app underneath."""
    site = PlainTextResponse("site")
    app = Dispatcher([Mount("/x", site, host="a.com")], default=site, unknown_host=status)
    found = [
        (await asked(app, scope_of(path, host=host)))[0][0]["status"]
        for host, path in (("a.com", "/x"), ("a.com", "/y"), ("b.com", "/x"), ("b.com", "/y"))
    ]
    assert found == [200, 200, status, status]


@pytest.mark.parametrize("size", [1, 100, 101, 10_000])
def test_the_rules_are_the_same_for_any_number_of_hosts(size: int) -> None:
    """Case, dots, ports and international names do not depend on how many there are."""
    names = [f"t{number}.example.com" for number in range(size - 1)] + ["bücher.de"]
    table = Table([Mount("", PlainTextResponse(""), host=name) for name in names])
    for spelling in ("xn--bcher-kva.de", "XN--Bcher-KVA.de.", "xn--bcher-kva.de:8000"):
        found = table.decide(scope_of("/", host=spelling))
        assert isinstance(found, Resolution)
        assert found.mount.rule.host is not None
        assert found.mount.rule.host.pattern == "bücher.de"
    for number in {0, size // 2, size - 2} & {*range(size - 1)}:
        for spelling in (f"t{number}.example.com", f"T{number}.EXAMPLE.com.:80"):
            found = table.decide(scope_of("/", host=spelling))
            assert isinstance(found, Resolution)
            assert found.mount.rule.host is not None
            assert found.mount.rule.host.pattern == f"t{number}.example.com"
    assert table.decide(scope_of("/", host=f"t{size}.example.com")) is None
    for improper in ("u@bücher.de", "b\u00fccher.de", "xn--bcher-kva.de:65536", ""):
        assert isinstance(table.decide(scope_of("/", host=improper)), Refusal)


def test_remembered_spellings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of unknown hosts are none of them."""
    monkeypatch.setattr("mountkit.matching.host_trees.MAX_SPELLINGS", 3)
    table = Table([Mount("", PlainTextResponse(""), host="*.a.com")])
    for number in range(50):
        assert table.resolve(scope_of("/", host=f"x{number}.a.com")) is not None
        assert table.resolve(scope_of("/", host=f"x{number}.b.com")) is None
        assert len(table._hosts._places) <= 6
