"""Exported tables on the real routers: they decide as mountkit does, for every request.

`scripts/parity` installs Caddy, Envoy and Traefik, and runs this with them; nginx and HAProxy are
taken if they are there. `MOUNTKIT_PARITY=all` asks for more.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from mountkit import Dispatcher, Header, Mount, Refusal, Table
from mountkit.export.names import ASSUMPTIONS, Options
from mountkit.export.plans import ExportError, Plan, plan_of, table_of
from mountkit.export.routers import ROUTERS
from mountkit.export.upstreams import Upstream
from mountkit.inspection.layers import Layer
from tests.support.cases import Named, gateway_mounts, load, mux_rule, never_called, url_map
from tests.support.exporting import Asked, is_refused, is_well_formed, normal, requests, table
from tests.support.kubernetes import api, objects
from tests.support.routers import (
    Client,
    checked,
    executable,
    free_port,
    running,
    traefik_of_gateway,
    upstreams,
)

NAMES = [name for name in ROUTERS if name != "gateway-api"]
IS_ALL = os.environ.get("MOUNTKIT_PARITY") == "all"
#: Those that see each line of a header: nothing has to be assumed.
EXACT = ("caddy", "haproxy")
#: Those that refuse paths for which their regular expressions could take long.
BACKTRACKING = ("haproxy", "nginx")
#: Of the cases' tables, each of so many is asked of those that start slowly.
STEP = {"envoy": 4, "traefik": 8, "caddy": 2}

every_router = pytest.mark.parametrize("router", NAMES)


@pytest.fixture(autouse=True)
def is_installed(request: pytest.FixtureRequest) -> None:
    router = request.node.callspec.params["router"]
    if executable(router) is None:
        pytest.skip(f"{router} is not installed")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Upstream]]:
    with upstreams(20) as found:
        yield found


class Exported(NamedTuple):
    """A table and its plan.

    Attributes:
        servers: of the mounts, by their identity.
    """

    table: Table[Any]
    plan: Plan
    servers: Mapping[int, Upstream]

    def decide(self, asked: Asked) -> str | int:
        """Where mountkit sends a request."""
        if is_refused(self.plan, asked):
            return 400
        found = self.table.decide(asked.scope)
        if found is None:
            return 404
        if isinstance(found, Refusal):
            return found.status
        return self.servers[id(getattr(found.mount, "mount", found.mount))].name


def exported(layer: Layer, servers: Sequence[Upstream], *, assumed: frozenset[str]) -> Exported:
    assert layer.table is not None
    mounts = {id(getattr(entry, "mount", entry)): None for entry in layer.table.mounts}
    found = dict(zip(mounts, servers, strict=False))
    plan = plan_of(layer, lambda mount: found[id(mount)], assumed=assumed)
    return Exported(layer.table, plan, found)


def differences(
    router: str, site: Exported, asks: Sequence[Asked], folder: Path, *, assumed: frozenset[str]
) -> list[Any]:
    """Requests that the router sends elsewhere than mountkit, or does not forward as they came."""
    port = free_port()
    text = ROUTERS[router](site.plan, Options("main:app", "127.0.0.1", port, assumed))
    as_sent: Callable[[str], str] = normal if router == "traefik" else str
    found = []
    with running(router, text, port, folder), Client(port) as client:
        for asked in asks:
            if router == "traefik" and not is_well_formed(asked):
                continue
            seen, wanted = client.ask(asked), site.decide(asked)
            is_whole = not seen.upstream or as_sent(seen.target) == as_sent(asked.target)
            if seen.to != wanted or not is_whole:
                found.append((asked, seen, wanted))
    return found


# Cases of other projects: their tables, their requests.


def layer_of(entries: Iterable[Named]) -> Layer:
    """Without the rules that are exported to no router: CONNECT, and paths that are not unique."""

    def can_be_said(entry: Named) -> bool:
        try:
            plan_of(Layer("cases", Table([entry]), ()), lambda mount: Upstream("a", 80))
        except ExportError:
            return False
        return True

    return Layer("cases", Table(filter(can_be_said, entries)), ())


GATEWAY = load("gateway_api.json")["tables"]
#: So that it is seen when the routes have been read.
READY: Any = {
    "kind": "HTTPRoute",
    "metadata": {"name": "ready"},
    "spec": {
        "parentRefs": [{"name": "mountkit"}],
        "rules": [
            {
                "matches": [{"path": {"type": "Exact", "value": "/ready"}}],
                "backendRefs": [{"name": "ready", "port": 8000}],
            }
        ],
    },
}


def asked_by(request: Mapping[str, Any]) -> Asked:
    query = f"?{request['query']}" if request.get("query") else ""
    headers = [("Host", request["host"]), *map(tuple, request.get("headers", ()))]
    return Asked(request["path"] + query, request.get("method", "GET"), tuple(headers))


def gateway_cases() -> Iterator[tuple[str, Layer, list[Asked]]]:
    for case in GATEWAY:
        asks = [asked_by(one["request"]) for one in case["cases"]]
        yield case["id"], layer_of(gateway_mounts(case)), asks


def mux_cases() -> Iterator[tuple[str, Layer, list[Asked]]]:
    for group in load("serve_mux.json")["routing"]:
        asks = [
            Asked(case["path"], case["method"], (("Host", case["host"] or "a.com"),))
            for case in group["cases"]
            if case["method"] != "CONNECT" and case["path"].startswith("/")
        ]
        yield group["id"], layer_of(Named(p, mux_rule(p)) for p in group["patterns"]), asks


def url_map_cases() -> Iterator[tuple[str, Layer, list[Asked]]]:
    for group in load("url_map.json")["groups"]:
        mounts = list(url_map(group["map"]))
        asks = [
            Asked(case["path"], headers=(("Host", case.get("host") or "a.com"),))
            for case in group["cases"]
            if case["path"].startswith("/")
        ]
        yield group["id"], table_of(Dispatcher(mounts)), asks


CASES = {
    name: (layer, asks)
    for cases in (gateway_cases, mux_cases, url_map_cases)
    for name, layer, asks in cases()
}


def asked_of(router: str) -> list[str]:
    return [*CASES][:: 1 if IS_ALL else STEP.get(router, 1)]


@pytest.mark.parametrize(
    ("router", "name"), [(router, name) for router in NAMES for name in asked_of(router)]
)
def test_cases(router: str, name: str, servers: list[Upstream], tmp_path: Path) -> None:
    """The cases of the Gateway API, Go's ServeMux and Rack's URLMap."""
    layer, asks = CASES[name]
    assumed = frozenset[str]() if router in EXACT else frozenset(["well-formed"])
    site = exported(layer, servers, assumed=assumed)
    assert differences(router, site, asks, tmp_path, assumed=assumed) == []


# Random tables and requests.


@every_router
@pytest.mark.parametrize("seed", range(40 if IS_ALL else 3))
def test_random_tables(router: str, seed: int, servers: list[Upstream], tmp_path: Path) -> None:
    """Hosts, ports, cases, encodings, dot segments, headers, cookies, queries, methods."""
    source = random.Random(f"export {seed}")
    assumed = frozenset[str]() if router in EXACT else frozenset(["well-formed"])
    site = None
    while site is None:
        mounts = table(source)
        if mounts and not (router in BACKTRACKING and any("}-{" in m.path for m in mounts)):
            site = exported(table_of(Dispatcher(mounts)), servers, assumed=assumed)
    asks = [requests(source, is_repeating=router in EXACT) for _ in range(500 if IS_ALL else 150)]
    assert differences(router, site, asks, tmp_path, assumed=assumed) == []


# What is forwarded, and what the router itself says of a file.

SHOP = [
    Mount("/shop", never_called, expose=["/.well-known/shop"]),
    Mount("/shop", never_called, when=Header("x-lane", "beta")),
    Mount("/t/{name}", never_called, host=["*.example.com", "example.org"]),
]


@every_router
def test_what_is_forwarded(router: str, servers: list[Upstream], tmp_path: Path) -> None:
    """The target as it came; no prefix that the client made up; where the request came from."""
    port, assumed = free_port(), frozenset(["well-formed"])
    site = exported(table_of(Dispatcher(SHOP)), servers, assumed=assumed)
    text = ROUTERS[router](site.plan, Options("main:app", "127.0.0.1", port, assumed))
    made_up = [
        (name, "/evil")
        for name in ("SCRIPT_NAME", "script-name", "X-Forwarded-Prefix", "x_forwarded_prefix")
    ]
    asked = Asked("/shop/a%2Fb//c?x=1", headers=(("Host", "a.com"), *made_up, ("X-Own", "1")))
    with running(router, text, port, tmp_path), Client(port) as client:
        seen = client.ask(asked)
        hidden = client.ask(Asked("/.well-known/shop"))
    headers = dict(seen.headers)
    assert seen.target == asked.target
    assert "/evil" not in headers.values()
    assert (headers["host"], headers["x-own"]) == ("a.com", "1")
    assert headers["x-forwarded-proto"] == "http"
    if router != "envoy":  # which has another address for the loopback interface
        assert headers["x-forwarded-for"] == "127.0.0.1"
    assert hidden.upstream == seen.upstream


@pytest.mark.parametrize("router", [name for name in NAMES if name != "traefik"])
def test_what_no_mount_gets(router: str, servers: list[Upstream], tmp_path: Path) -> None:
    """What is no path, and what has not one valid Host. (Traefik cannot tell.)"""
    port, assumed = free_port(), frozenset(["well-formed"])
    site = exported(table_of(Dispatcher([Mount("/", never_called)])), servers, assumed=assumed)
    text = ROUTERS[router](site.plan, Options("main:app", "127.0.0.1", port, assumed))
    host = ("Host", "a.com")
    asks = [
        Asked("http://a.com/shop"),
        Asked("shop"),
        Asked("/", headers=()),
        Asked("/", headers=(host, ("Host", "b.com"))),
    ]
    if router != "haproxy":  # which takes two equal ones for one
        asks.append(Asked("/", headers=(host, host)))
    with running(router, text, port, tmp_path), Client(port) as client:
        assert client.ask(Asked("/")).status == 200
        statuses = {asked: client.ask(asked).status for asked in asks}
    if router == "envoy":  # which has no route for what is no path
        assert statuses.pop(asks[0]) == 404
    assert {*statuses.values()} == {400}


@every_router
def test_a_websocket(router: str, servers: list[Upstream], tmp_path: Path) -> None:
    """Has no method, and is passed on."""
    mounts = [Mount("/a", never_called, methods=["GET"]), Mount("/", never_called)]
    port, assumed = free_port(), frozenset(["well-formed"])
    site = exported(table_of(Dispatcher(mounts)), servers, assumed=assumed)
    text = ROUTERS[router](site.plan, Options("main:app", "127.0.0.1", port, assumed))
    shake = (
        ("Host", "a.com"), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
    )  # fmt: skip
    with running(router, text, port, tmp_path), Client(port) as client:
        plain = client.ask(Asked("/a"))
        websocket = client.ask(Asked("/a", headers=shake))
    assert (plain.status, websocket.status) == (200, 101)
    assert [plain.upstream, websocket.upstream] == [one.name for one in site.servers.values()]


@pytest.mark.parametrize("router", [name for name in NAMES if name != "traefik"])
def test_its_own_check(router: str, servers: list[Upstream], tmp_path: Path) -> None:
    """`nginx -t`, `caddy validate`, `haproxy -c`, `envoy --mode validate`; Traefik has none."""
    assumed = frozenset(["well-formed"])
    site = exported(table_of(Dispatcher(SHOP)), servers, assumed=assumed)
    text = ROUTERS[router](site.plan, Options("main:app", "127.0.0.1", 8080, assumed))
    done = checked(router, text, tmp_path)
    assert done.returncode == 0, done.stderr


# HTTPRoutes, as Traefik reads them.


@pytest.mark.parametrize("router", ["traefik"])
@pytest.mark.parametrize("number", range(len(GATEWAY) if IS_ALL else 2))
def test_http_routes(router: str, number: int, servers: list[Upstream], tmp_path: Path) -> None:
    """Routes that were made of the mounts that were made of routes: the cases are decided alike."""
    case = GATEWAY[-1 - number]
    options = Options("main:app", assumed=frozenset(ASSUMPTIONS))
    layer = Layer("cases", Table(gateway_mounts(case)), ())
    plan = plan_of(layer, lambda mount: Upstream(mount.name, 8000), assumed=options.assumed)
    names = [upstream.host for upstream in plan.upstreams]
    services = dict(zip(["ready", *names], (one.port for one in servers), strict=False))
    routes = [*yaml.safe_load_all(ROUTERS["gateway-api"](plan, options)), READY]
    port = free_port()
    asks = {one["id"]: (one["request"], one["expect"]) for one in case["cases"]}
    with (
        api(objects(routes, services, port)) as url,
        traefik_of_gateway(url, port, tmp_path),
        Client(port) as client,
    ):
        for request, expected in asks.values():
            if "distribution" in expected:
                continue
            seen = client.ask(asked_by(request))
            wanted = services.get(expected.get("backend", ""))
            assert seen.upstream == (f"server_127_0_0_1_{wanted}" if wanted else ""), request
            assert wanted or seen.status == 404
