"""Cases of the Kubernetes Gateway API, Go's `ServeMux` and Rack's `URLMap`; see `cases/README.md`.

Where mountkit differs on purpose, the case stands in a `DIFFERS` with the reason, and the test
shows that it differs: the lists cannot outlive their reasons.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from starlette.types import Message, Scope

from mountkit import ConflictError, Dispatcher, PatternError, Resolution, Split, Table
from mountkit.matching.witnesses import overlap
from tests.support.cases import Named, gateway_mounts, load, mux_rule, never_called, url_map
from tests.support.scopes import scope_of

# The Gateway API: every case passes.


def gateway_scope(request: Mapping[str, Any]) -> Scope:
    return scope_of(
        request["path"],
        host=request["host"],
        method=request.get("method", "GET"),
        headers=request.get("headers", ()),
        query=request.get("query", ""),
    )


GATEWAY = load("gateway_api.json")["tables"]


@pytest.mark.parametrize(
    ("table", "case"),
    [
        pytest.param(table, case, id=case["id"])
        for table in GATEWAY
        for case in table["cases"]
        if "distribution" not in case["expect"]
    ],
)
def test_gateway_api(table: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    """The rule that the Gateway API's conformance tests expect takes the request."""
    found = Table(gateway_mounts(table)).resolve(gateway_scope(case["request"]))
    assert (found and found.mount.name) == case["expect"].get("backend")


@pytest.mark.parametrize(
    ("table", "case"),
    [
        pytest.param(table, case, id=case["id"])
        for table in GATEWAY
        for case in table["cases"]
        if "distribution" in case["expect"]
    ],
)
def test_gateway_api_weights(table: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    """Requests are spread in proportion to the weights; a backend of weight 0 gets none."""

    ((rule,),) = (route["rules"] for route in table["routes"])
    split = Split({b["name"]: (never_called, b["weight"]) for b in rule["backends"]}, seed=1)
    scope = gateway_scope(case["request"])
    counts = Counter(split.choose(scope) for _ in range(10_000))
    for name, share in case["expect"]["distribution"].items():
        assert counts[name] / 10_000 == pytest.approx(share, abs=0.02 if share else 0)


# Go's ServeMux.

SERVE_MUX = load("serve_mux.json")

BARE = "The bare prefix is served by its app; only a browser that navigates is redirected."
CLEAN = "A path is not cleaned, nor is its sender redirected: `//` and `..` are the app's to read."
LEFTMOST = (
    "Overlapping prefixes are ranked: the leftmost literal segment decides. `check` names them."
)
EXACT = "An exact path comes before a prefix."
HEAD = "A method is exact (as in the Gateway API): GET takes no HEAD."
STARLETTE = "Placeholders may be a part of a segment, as Starlette's are."
REST = "What is left of the path has no name: it is the app's."
ROOT = "As in Starlette, the empty path is the root."

#: The cases that mountkit answers differently on purpose, and why.
DIFFERS = {
    "tree-multi#0": BARE,
    "find-handler#6": BARE,
    "find-handler#15": BARE,
    "host-handlers#6": BARE,
    "host-handlers#7": BARE,
    "host-handlers#8": BARE,
    "find-handler#1": CLEAN,
    "find-handler#2": CLEAN,
    "servemux-redirects#2": CLEAN,
    "servemux-redirects#3": CLEAN,
    "leading-slashes#0": CLEAN,
    "leading-slashes#1": CLEAN,
    "leading-slashes#2": CLEAN,
    "tree-connect-1#2": "A placeholder takes one character or more, as Starlette's do.",
    "compare_paths#25": LEFTMOST,
    "compare_paths#38": LEFTMOST,
    "compare_paths#39": "Overlapping prefixes are ranked: the longer decides.",
    "compare_paths#47": EXACT,
    "compare_paths#51": EXACT,
    "compare_methods#7": HEAD,
    "conflicts#10": HEAD,
    "bad_patterns#0": ROOT,
    "bad_patterns#2": ROOT,
    "bad_patterns#3": STARLETTE,
    "bad_patterns#4": STARLETTE,
    "bad_patterns#11": REST,
    "bad_patterns#18": "A host may hold placeholders.",
    "bad_patterns#19": REST,
    "bad_patterns#20": "The path is the root, written oddly; `check` says so.",
    "paths#7": CLEAN,
    "root#3": "ASGI has no empty path below an empty `root_path`; servers send `/`.",
    **{
        f"allow#{number}": "Methods are conditions. A request that no mount takes falls through "
        "to the default, or is not found; which methods an app has is its own to say."
        for number in (0, 1, 3, 4, 5)
    },
}


def holds(case_id: str, agrees: bool) -> None:
    """A case agrees, or is listed and does not."""
    assert agrees is (case_id not in DIFFERS)


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(f"{kind}#{n}", case, id=f"{kind}#{n}")
        for n, case in enumerate(SERVE_MUX[kind])
    ]


def mux_table(patterns: Iterable[str]) -> Table[Named]:
    return Table([Named(pattern, mux_rule(pattern)) for pattern in patterns])


def captures(found: Resolution[Named]) -> list[str]:
    """The texts of the placeholders; Go's last one is the rest of the path."""
    texts = [found.params[name] for name in found.mount.rule.path.convertors]
    return [*texts, found.rest[1:]] if found.mount.name.endswith("...}") else texts


@pytest.mark.parametrize(
    ("case_id", "patterns", "case"),
    [
        pytest.param(f"{group['id']}#{n}", group["patterns"], case, id=f"{group['id']}#{n}")
        for group in SERVE_MUX["routing"]
        for n, case in enumerate(group["cases"])
    ],
)
def test_serve_mux_routing(case_id: str, patterns: list[str], case: Mapping[str, Any]) -> None:
    """The same pattern takes the request, with the same captures."""
    path = unquote(urlsplit(case["path"]).path) if "?" in case["path"] else unquote(case["path"])
    scope = scope_of(path, host=case["host"] or None, method=case["method"])
    found = mux_table(patterns).resolve(scope)
    if "status_after_redirects" in case:
        holds(case_id, (found is not None) is (case["status_after_redirects"] == 200))
    elif "redirect" in case:
        holds(case_id, False)  # the table never redirects
    else:
        expected = case.get("captures", [])
        agrees = (found and found.mount.name) == case.get("pattern")
        holds(case_id, agrees and (found is None or not expected or captures(found) == expected))


@pytest.mark.parametrize(("case_id", "case"), [*cases("compare_paths"), *cases("compare_methods")])
def test_serve_mux_relations(case_id: str, case: Mapping[str, Any]) -> None:
    """Two patterns relate as in Go: equivalent, disjoint, one more specific, or overlapping."""
    a, b = mux_rule(case["a"]), mux_rule(case["b"])
    if a.key == b.key:
        relation = "equivalent"
    elif overlap(a, b) is None:
        relation = "disjoint"
    elif a.outranks(b):
        relation = "more_specific"
    else:
        relation = "more_general" if b.outranks(a) else "overlaps"
    holds(case_id, relation == case["relation"])


@pytest.mark.parametrize(("case_id", "case"), cases("conflicts"))
def test_serve_mux_conflicts(case_id: str, case: Mapping[str, Any]) -> None:
    """What Go refuses to register is refused, or reported by `check`."""
    try:
        conflict = any(f.code == "overlap" for f in mux_table([case["a"], case["b"]]).check())
    except ConflictError:
        conflict = True
    holds(case_id, conflict is case["conflict"])


@pytest.mark.parametrize(("case_id", "case"), cases("bad_patterns"))
def test_serve_mux_bad_patterns(case_id: str, case: Mapping[str, Any]) -> None:
    """What Go cannot read is refused."""
    try:
        mux_rule(case["pattern"])
    except PatternError:
        refused = True
    else:
        refused = False
    holds(case_id, refused)


@pytest.mark.parametrize(("case_id", "case"), cases("allow"))
def test_serve_mux_allow(case_id: str, case: Mapping[str, Any]) -> None:
    """The methods that Go names in a 405; mountkit knows of none."""
    scope = scope_of(case["path"], host=case["host"] or None, method="TRACE")
    assert mux_table([p for p in case["patterns"] if " " in p]).resolve(scope) is None
    holds(case_id, case["allow"] == [])


# Rack's URLMap.


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("case_id", "locations", "case"),
    [
        pytest.param(f"{group['id']}#{n}", group["map"], case, id=f"{group['id']}#{n}")
        for group in load("url_map.json")["groups"]
        for n, case in enumerate(group["cases"])
    ],
)
async def test_url_map(
    case_id: str, locations: Mapping[str, str | list[str]], case: Mapping[str, Any]
) -> None:
    """The same app answers, under the same prefix, with the same rest of the path."""
    outer = case.get("outer_script_name", "")
    scope = scope_of(
        outer + case["path"],
        host=case.get("host"),
        headers=case.get("headers", ()),
        root_path=outer,
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await Dispatcher(list(url_map(locations)))(scope, receive, send)
    got = {"status": sent[0]["status"]}
    if got["status"] == 200:
        got = json.loads(sent[1]["body"])
        if got["path_info"] == "/" and case["expect"].get("path_info") == "":
            got["path_info"] = ""  # the bare prefix: the app sees "/", as ASGI's apps need it
    holds(case_id, case["expect"].items() <= got.items())
