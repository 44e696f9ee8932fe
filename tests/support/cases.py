"""The tables of other projects' cases, as mountkit has them; see `tests/cases/README.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import Mount
from mountkit.matching.rules import Rule

CASES = Path(__file__).parents[1] / "cases"


def load(name: str) -> Any:
    return json.loads((CASES / name).read_text(encoding="utf-8"))


class Named:
    """A rule under the name that the cases give it."""

    def __init__(self, name: str, rule: Rule) -> None:
        self.name = name
        self.rule = rule


async def never_called(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(scope)


def gateway_mounts(table: Mapping[str, Any]) -> Iterator[Named]:
    """The rules of every route, at every host that a gateway lets it have."""
    seen = set()
    for effective in table["effective"]:
        (route,) = (r for r in table["routes"] if r["name"] == effective["route"])
        for declared in route["rules"]:
            for match in declared.get("matches") or [{}]:
                path = match.get("path", {"type": "PathPrefix", "value": "/"})
                rule = Rule(
                    path["value"],
                    exact=path["type"] == "Exact",
                    host=effective["host"] or None,
                    methods=[match["method"]] if "method" in match else None,
                    headers=dict(match.get("headers", ())),
                    query=dict(match.get("query", ())),
                )
                if rule.key not in seen:  # "oldest route" decides; mountkit would refuse it
                    seen.add(rule.key)
                    yield Named(declared["backends"][0]["name"], rule)


def mux_rule(pattern: str) -> Rule:
    """`[METHOD ][HOST]/[PATH]`: `/x/` is the subtree, `/x` and `/x/{$}` are exact."""
    method, _, rest = pattern.rpartition(" ")
    host, slash, path = rest.partition("/")
    path = re.sub(r"\{\w*\.\.\.\}$", "", slash + path)
    exact = not path.endswith("/")
    if path.endswith("{$}"):
        path, exact = path.removesuffix("{$}"), True
    return Rule(
        path.replace("#", "%23"),
        exact=exact and path != "",
        host=host or None,
        methods=[method] if method else None,
        where=pattern,
    )


def showing(name: str) -> ASGIApp:
    """An app that answers with its name and with what it sees."""

    async def show(scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope["root_path"]
        rest = scope["path"].removeprefix(root_path)
        answer = {"app": name, "script_name": root_path, "path_info": rest}
        await JSONResponse(answer)(scope, receive, send)

    return show


def url_map(locations: Mapping[str, str | list[str]]) -> Iterator[Mount]:
    for name, location in locations.items():
        if isinstance(location, list):  # a map in a map in a map
            mount = Mount(location[-1], showing(name))
            for outer in location[-2::-1]:
                mount = Mount(outer, routes=[mount])
            yield mount
        else:
            url = urlsplit(location)
            yield Mount(url.path, showing(name), host=url.netloc or None)
