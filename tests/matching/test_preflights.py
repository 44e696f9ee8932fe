"""Preflights: the mount that takes the request that they announce."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from mountkit import (
    Accept,
    Cookie,
    Dispatcher,
    DispatchMiddleware,
    Header,
    Method,
    Mount,
    Query,
    Refusal,
    Table,
    check,
    explain,
)
from tests.support.scopes import scope_of

ORIGIN = "http://other.com"
CORS = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])


def named(name: str, path: str = "/a", **options: Any) -> Mount:
    return Mount(path, PlainTextResponse(name), name=name, **options)


ALL, GET, PUT, OPTIONS = (
    named("all"),
    named("get", methods=["GET"]),
    named("put", methods=["PUT", "DELETE"]),
    named("options", "/", methods=["OPTIONS"]),
)


def preflight(method: str | None = "PUT", names: str = "", **more: Any) -> Any:
    headers = [("origin", ORIGIN)]
    headers += [] if method is None else [("access-control-request-method", method)]
    headers += [("access-control-request-headers", names)] if names else []
    return scope_of("/a/x", method="OPTIONS", headers=headers, **more)


def taker(mounts: list[Mount], scope: Any) -> str | None:
    table = Table(mounts)
    found, resolved = table.decide(scope), table.resolve(scope)
    assert found == resolved
    return None if resolved is None else resolved.mount.name


@pytest.mark.parametrize(
    ("mounts", "scope", "expected"),
    [
        pytest.param([GET, PUT], preflight(), "put", id="method"),
        pytest.param([GET, PUT], preflight("GET"), "get", id="method-get"),
        pytest.param([GET, PUT], preflight("PATCH"), None, id="method-of-nobody"),
        pytest.param([GET, PUT], preflight("put"), None, id="method-in-lower-case"),
        pytest.param([ALL, PUT], preflight(), "put", id="method-before-any"),
        pytest.param([ALL, PUT], preflight("GET"), "all", id="any"),
        pytest.param([named("root", ""), PUT], preflight(), "put", id="longer-prefix"),
        pytest.param([PUT, OPTIONS], preflight(), "options", id="explicit"),
        pytest.param([ALL, PUT, OPTIONS], preflight(), "put", id="explicit-but-not-chosen"),
        pytest.param(
            [named("either", when=Method("OPTIONS") | Query("q")), PUT],
            preflight(),
            "either",
            id="explicit-composed",
        ),
        pytest.param(
            [named("not", when=~Method("PUT")), named("root", "")], preflight(), "root", id="not"
        ),
        pytest.param(
            [named("q", methods=["PUT"], query={"v": "2"}), PUT],
            preflight(query="v=2"),
            "q",
            id="query",
        ),
        pytest.param(
            [ALL, named("key", headers={"x-key": True})], preflight(), "all", id="no-name"
        ),
        pytest.param(
            [ALL, named("key", headers={"x-key": True})],
            preflight(names="content-type, X-Key"),
            "key",
            id="name",
        ),
        pytest.param(
            [ALL, named("no", headers={"x-key": None})],
            preflight(names="x-key"),
            "all",
            id="absent",
        ),
        pytest.param(
            [
                ALL,
                named("v", headers={"x-v": "2"}),
                named("w", headers={"x-v": re.compile("[0-9]*")}),
            ],
            preflight(names="x-v"),
            "all",
            id="no-value",
        ),
        pytest.param(
            [ALL, named("empty", headers={"x-v": ""})], preflight(names="x-v"), "all", id="no-empty"
        ),
        pytest.param(
            [ALL, named("key", headers={"x-key": True})],
            preflight(names="a," * 2000 + "x-key"),
            "all",
            id="too-many-names",
        ),
        pytest.param([GET, PUT], preflight(None), None, id="no-announcement"),
        pytest.param([ALL, PUT], preflight("OPTIONS"), "all", id="of-options"),
        pytest.param([ALL, PUT], preflight("CONNECT"), "all", id="of-connect"),
        pytest.param(
            [ALL, PUT],
            scope_of("/a", method="OPTIONS", headers=[("access-control-request-method", "PUT")]),
            "all",
            id="no-origin",
        ),
        pytest.param([ALL, PUT], preflight() | {"method": "POST"}, "all", id="another-method"),
        pytest.param([named("put", "/{t}", methods=["PUT"])], preflight(), "put", id="placeholder"),
        pytest.param([ALL, PUT], preflight() | {"path": "*", "raw_path": b"*"}, None, id="star"),
    ],
)
def test_who_takes_a_preflight(mounts: list[Mount], scope: Any, expected: str | None) -> None:
    """Whoever takes the announced request; by `decide` and by `resolve`."""
    assert taker(mounts, scope) == expected


def test_a_preflight_in_two_ways() -> None:
    """Is refused as the request would be that it announces; and without mounts, nothing is."""
    scope = preflight() | {"path": "/a/../b", "raw_path": b"/a/../b"}
    for mounts in ([PUT], [ALL, PUT]):
        assert isinstance(Table(mounts).decide(scope), Refusal)
    assert Table[Mount]().decide(scope) is None


def test_an_explained_preflight() -> None:
    """The candidates are those of the announced request."""
    found = explain(
        Dispatcher([ALL, GET, PUT]),
        "/a/x",
        method="OPTIONS",
        headers={"origin": ORIGIN, "access-control-request-method": "PUT"},
    )
    assert found.route is PUT
    assert {c.route.name: c.outcome for c in found.candidates} == {  # type: ignore[attr-defined]
        "put": "chosen",
        "all": "outranked",
        "get": "refused",
    }


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def api(*layers: Middleware) -> Starlette:
    return Starlette(routes=[Route("/", hello, methods=["GET", "PUT"])], middleware=layers)


HEADERS = {"origin": ORIGIN, "access-control-request-method": "PUT"}


def in_front() -> Any:
    site = Starlette()
    site.add_middleware(DispatchMiddleware, mounts=[Mount("/a", api(CORS), methods=["PUT"])])
    return site


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(Dispatcher([Mount("/a", api(CORS), methods=["PUT"])]), id="dispatcher"),
        pytest.param(in_front(), id="middleware"),
        pytest.param(Starlette(routes=[Mount("/a", api(CORS), methods=["PUT"])]), id="routes"),
        pytest.param(
            Dispatcher([Mount("/a", routes=[Mount("/", api(CORS), methods=["PUT"])])]), id="nested"
        ),
    ],
)
def test_a_browser_of_another_origin(app: Any) -> None:
    """The mount's own CORSMiddleware answers, wherever the mount stands."""
    client = TestClient(app)
    answer = client.options("/a/", headers=HEADERS)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert client.put("/a/", headers={"origin": ORIGIN}).text == "hello"


def codes(app: Any) -> list[str]:
    return [finding.code for finding in check(app)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, [], id="no-conditions"),
        pytest.param({"methods": ["PUT"]}, [], id="method"),
        pytest.param({"query": {"v": "2"}}, [], id="query"),
        pytest.param({"host": "a.com"}, [], id="host"),
        pytest.param({"headers": {"x-key": True}}, [], id="header-present"),
        pytest.param({"headers": {"x-key": None}}, [], id="header-absent"),
        pytest.param({"headers": {"origin": ORIGIN}}, [], id="origin"),
        pytest.param({"headers": {"x-v": "2"}}, ["preflight"], id="header-value"),
        pytest.param({"headers": {"x-v": re.compile("[0-9]")}}, ["preflight"], id="header-regex"),
        pytest.param({"when": Cookie("beta")}, ["preflight"], id="cookie"),
        pytest.param({"when": ~Cookie("beta")}, [], id="no-cookie"),
        pytest.param({"when": Accept("a/b")}, ["preflight"], id="accept"),
        pytest.param({"when": Accept("a/b", wildcard=True)}, [], id="accept-any"),
        pytest.param({"when": Header("x", "2") | Query("v")}, [], id="either"),
        pytest.param({"when": Header("x", "2") & Query("v")}, ["preflight"], id="both"),
    ],
)
def test_mounts_without_preflights_are_found(options: dict[str, Any], expected: list[str]) -> None:
    """If their app has CORSMiddleware, which then answers none."""
    assert codes(Dispatcher([Mount("/a", api(CORS), **options)])) == expected
    assert codes(Dispatcher([Mount("/a", api(), middleware=[CORS], **options)])) == expected
    assert codes(Dispatcher([Mount("/a", api(), **options)])) == []


def test_a_mount_without_preflights_says_why() -> None:
    """Value, reason, fix."""
    [finding] = check(Dispatcher([Mount("/a", api(CORS), headers={"x-v": "2"})]))
    assert re.sub(" at .*?:[0-9]+", "", finding.message) == (
        "Mount('/a', when=Header('x-v', '2')) gets no preflight, which has no cookies and only the "
        "names of headers; its CORSMiddleware answers none. Put CORSMiddleware around the dispatcher."
    )


def test_cors_around_the_dispatcher() -> None:
    """It answers preflights for all mounts, however they are chosen, and `check` has no complaint."""
    mounts = [Mount("/a", api()), Mount("/a", api(CORS), headers={"x-v": "2"})]
    around = CORSMiddleware(Dispatcher(mounts), allow_origins=["*"], allow_methods=["*"])
    assert codes(around) == []
    assert TestClient(around).options("/a/", headers=HEADERS).status_code == 200
