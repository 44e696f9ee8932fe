"""HTTPRoutes: valid by the resource's own schema, and of the same decisions by its rules."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from starlette.types import Receive, Scope, Send

from mountkit import Cookie, Dispatcher, Header, Host, Method, Mount, Query, Table
from mountkit.export.gateway import write
from mountkit.export.names import ASSUMPTIONS, Options
from mountkit.export.plans import ExportError, Plan, plan_of, table_of
from mountkit.export.upstreams import Upstream
from mountkit.inspection.layers import Layer
from mountkit.matching.hosts import parse_host
from tests.support.cases import CASES, gateway_mounts, load
from tests.support.exporting import Asked

SCHEMA = Draft202012Validator(json.loads((CASES / "httproute_schema.json").read_text())["schema"])
ALL = Options("main:app", assumed=frozenset(ASSUMPTIONS))


async def page(scope: Scope, receive: Receive, send: Send) -> None: ...


def service_of(mount: Any) -> Upstream:
    return Upstream("default" if mount is None else mount.name or "svc", 8000)


def plan(*mounts: Mount, options: Options = ALL, **how: Any) -> Plan:
    return plan_of(table_of(Dispatcher(list(mounts), **how)), service_of, assumed=options.assumed)


def routes(text: str) -> list[dict[str, Any]]:
    """What a cluster would be given; each is valid."""
    found = list(yaml.safe_load_all(text))
    for route in found:
        assert not list(SCHEMA.iter_errors(route)), route
    return found


# What the Gateway API says of precedence, as a program of its own.


def _takes_host(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return not pattern or host == pattern


def _takes(match: dict[str, Any], asked: Asked) -> bool:
    path, kind = match["path"]["value"], match["path"]["type"]
    (target,) = asked.lines("path")
    prefix = path.rstrip("/")
    if target != path if kind == "Exact" else not (target + "/").startswith(prefix + "/"):
        return False
    query = dict(pair.partition("=")[::2] for pair in asked.lines("query")[0].split("&"))
    return (
        match.get("method", asked.method) == asked.method
        and all(
            asked.lines(f"header {h['name']}") == [h["value"]] for h in match.get("headers", ())
        )
        and all(query.get(q["name"]) == q["value"] for q in match.get("queryParams", ()))
    )


def _candidates(found: Sequence[dict[str, Any]], asked: Asked) -> Iterator[tuple[Any, str]]:
    parsed = parse_host(asked.lines("host")[0])
    assert parsed is not None
    for route in found:
        for pattern in route["spec"].get("hostnames", [""]):
            for number, rule in enumerate(route["spec"]["rules"]):
                for match in rule["matches"]:
                    if _takes_host(pattern, parsed.host) and _takes(match, asked):
                        rank = (
                            (pattern == "") + (pattern[:1] in ("", "*")),
                            -len(pattern),
                            match["path"]["type"] != "Exact",
                            -len(match["path"]["value"].rstrip("/")),
                            "method" not in match,
                            -len(match.get("headers", ())),
                            -len(match.get("queryParams", ())),
                            route["metadata"]["name"],
                            number,
                        )
                        yield rank, rule["backendRefs"][0]["name"]


def backend(found: Sequence[dict[str, Any]], asked: Asked) -> str | None:
    """The service that a request goes to."""
    return min(_candidates(found, asked), default=(None, None))[1]


GATEWAY = [case for case in load("gateway_api.json")["tables"] if case["id"] != "weight"]


@pytest.mark.parametrize("case", GATEWAY, ids=lambda case: case["id"])
def test_cases_of_the_gateway_api(case: Any) -> None:
    """There and back: routes become mounts, and mounts the routes of the same decisions."""
    layer = Layer("cases", Table(gateway_mounts(case)), ())
    compiled = plan_of(layer, service_of, assumed=ALL.assumed)
    found = routes(write(compiled, ALL))
    for one in case["cases"]:
        request = one["request"]
        query = f"?{request['query']}" if request.get("query") else ""
        headers = [("Host", request["host"]), *request.get("headers", ())]
        asked = Asked(
            request["path"] + query,
            request.get("method", "GET"),
            tuple((name, value) for name, value in headers),
        )
        if "distribution" not in one["expect"]:
            assert backend(found, asked) == one["expect"].get("backend"), one


def test_random_tables() -> None:
    """Of what HTTPRoutes can say, on plain paths."""
    for seed in range(60):
        source = random.Random(f"gateway {seed}")
        mounts: dict[Any, Mount] = {}
        for number in range(12):
            path = "".join("/" + source.choice("abc") for _ in range(source.randint(0, 3)))
            mount = Mount(
                path,
                page,
                name=f"m{number}",
                host=source.choice((None, None, "a.com", "*.a.com", "*.b.a.com", "b.a.com")),
                exact=source.random() < 0.2,
                methods=source.choice((None, None, ["GET"], ["PUT", "POST"])),
                headers=source.choice((None, {"x-h": "1"}, {"x-h": "2", "x-i": "1"})),
                query=source.choice((None, None, {"q": "1"})),
            )
            mounts.setdefault(mount.rule.key, mount)
        table = Dispatcher(list(mounts.values())).table
        found = routes(write(plan(*mounts.values()), ALL))
        for _ in range(80):
            path = "".join("/" + source.choice("abcd") for _ in range(source.randint(1, 4)))
            headers = [
                ("Host", source.choice(("a.com", "b.a.com", "c.a.com", "c.b.a.com:80", "x")))
            ]
            headers += [("X-H", source.choice("12"))] * source.choice((0, 1))
            headers += [("X-I", "1")] * source.choice((0, 1))
            query = source.choice(("", "?q=1", "?q=2"))
            asked = Asked(path + query, source.choice(("GET", "PUT")), tuple(headers))
            decided = table.resolve(asked.scope)
            assert backend(found, asked) == (decided and decided.mount.name), (seed, asked)


def test_what_is_written() -> None:
    """One route for each host, below a Gateway that is named; services with their namespace."""
    mounts = [
        Mount("/a", page, host=["a.com", "*.b.com"], name="shop.prod", exact=True),
        Mount("/", page, name="web.prod.svc.cluster.local", headers={"x-v": "1"}, query={"q": "1"}),
    ]
    found = routes(
        write(plan(*mounts, default=page), Options("main:app", gateway="edge", assumed=ALL.assumed))
    )
    assert [one["metadata"]["name"] for one in found] == [
        *("mountkit-any-host", "mountkit-any.b.com", "mountkit.a.com"),
    ]
    assert all(one["spec"]["parentRefs"] == [{"name": "edge"}] for one in found)
    rules = found[0]["spec"]["rules"]
    assert [rule["backendRefs"] for rule in rules] == [
        [{"name": "web", "namespace": "prod", "port": 8000}],
        [{"name": "default", "port": 8000}],
    ]
    assert "SCRIPT_NAME".title() in rules[0]["filters"][0]["requestHeaderModifier"]["remove"]


def test_many_mounts() -> None:
    """A route has 16 rules; the next has the others."""
    mounts = [Mount(f"/m{n}", page) for n in range(40)]
    found = routes(write(plan(*mounts), ALL))
    assert [len(one["spec"]["rules"]) for one in found] == [16, 16, 8]
    assert [one["metadata"]["name"][-2:] for one in found] == ["st", "-2", "-3"]
    tied = [Mount("/a", page, headers={f"x-{n}": "1"}) for n in range(20)]
    with pytest.raises(ExportError, match="the order of declaration decides between it and Mount"):
        write(plan(*tied), ALL)


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        (Mount("/a", page, priority=1), "priority=1: the Gateway API has its own order alone."),
        (Mount("/a", page, host="a.com:80"), "host 'a.com:80': hostnames are names, without a port."),
        (Mount("/", page, host="{t}.a.com"), "host '{t}.a.com': hostnames are names, without a port."),
        (Mount("/", page, host="a_b.com"), "host 'a_b.com': hostnames are names, without a port."),
        (
            Mount("/", page, query={"a[b]": "1"}),
            "Query('a[b]', '1'): names of parameters are letters and digits.",
        ),
        *[
            (
                Mount("/a", page, **conditions),
                "its conditions: a match has up to 16 of a kind, each of another name.",
            )
            for conditions in (
                {"headers": {f"x-{n}": "1" for n in range(17)}},
                {"when": Query("q", "1") & Query("q", "2")},
            )
        ],
        (
            Mount("/a", page, methods=["GET"], when=Method("PUT")),
            "its methods: no request has two.",
        ),
        (Mount("/{x}", page), "path '/{x}': paths have no placeholders."),
        (Mount("/é", page), "path '/é': its encoded spellings are not told to be equal."),
        (
            Mount("/a", page, when=Cookie("c", "1")),
            "Cookie('c', '1'): conditions are a method, or values of headers and query parameters.",
        ),
        (
            Mount("/a", page, when=Header("x")),
            "Header('x'): conditions are a method, or values of headers and query parameters.",
        ),
        (
            Mount("/a", page, when=Host("a.com") | Query("q", "1")),
            "(Host('a.com') | Query('q', '1')): conditions are a method, or values of headers and "
            "query parameters.",
        ),
        (Mount("/a", page, methods=["QUERY"]), "Method('QUERY'): QUERY is not a method of theirs."),
    ],
)  # fmt: skip
def test_what_routes_cannot_say(mount: Mount, reason: str) -> None:
    """The mount, the condition, the reason."""
    with pytest.raises(ExportError) as caught:
        write(plan(mount), ALL)
    assert str(caught.value).endswith(f" cannot be exported: {reason}")


@pytest.mark.parametrize(
    ("assumed", "reason"),
    [
        ((), "only with --assume plain-paths --assume well-formed."),
        (("plain-paths", "well-formed"), "--assume no-preflights leaves them out."),
        (
            ("plain-paths", "well-formed", "no-preflights"),
            "--assume no-websockets leaves them out.",
        ),
    ],
)
def test_what_has_to_be_assumed(assumed: tuple[str, ...], reason: str) -> None:
    """As a route refuses nothing, and a method is that of the request."""
    options = Options("main:app", assumed=frozenset(assumed))
    with pytest.raises(ExportError) as caught:
        write(plan(Mount("/a", page, methods=["GET"]), options=options), options)
    assert str(caught.value).endswith(reason)


def test_unknown_hosts() -> None:
    """Have no status of their own."""
    with pytest.raises(ExportError, match="do not answer 421 for an unknown host; leave"):
        write(plan(Mount("/a", page, host="a.com"), unknown_host=421), ALL)


def test_names_of_routes() -> None:
    """No two are the same: one would replace the other."""
    hosts = ["a-b.com", "a.b.com", "*.b.com", "any.b.com", "any-b.com", "any-host", "2.com"]
    mounts = [Mount(f"/m{n}", page, host=host) for host in hosts for n in range(17)]
    names = [one["metadata"]["name"] for one in routes(write(plan(*mounts), ALL))]
    assert len({*names}) == len(names) == 14


def test_no_gateway() -> None:
    """A name that would break the YAML is refused."""
    with pytest.raises(
        ExportError, match=r"^'a: b' is not a name of a Gateway; write --gateway edge"
    ):
        write(plan(Mount("/a", page)), Options("main:app", assumed=ALL.assumed, gateway="a: b"))


def test_no_service() -> None:
    """An address is none."""
    compiled = plan_of(table_of(Dispatcher([Mount("/a", page)])), lambda m: Upstream("1.2.3.4", 80))
    with pytest.raises(
        ExportError, match=r"'http://1\.2\.3\.4:80' is not a Kubernetes service; write"
    ):
        write(compiled, ALL)
