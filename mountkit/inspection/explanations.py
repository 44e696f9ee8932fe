"""Why a request goes where it goes, found without serving it.

The answer comes from the tables and routes that serve requests, so the two cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.inspection.endpoints import answer_of, answer_of_route
from mountkit.inspection.layers import describe, describe_app, layers_of, target_of
from mountkit.locations import encode_path
from mountkit.matching.decisions import Refusal, Resolution
from mountkit.matching.hosts import request_host
from mountkit.matching.paths import split_root_path
from mountkit.matching.preflights import announced
from mountkit.matching.rules import Rule
from mountkit.matching.tables import Table
from mountkit.serving.exposures import Exposure
from mountkit.serving.mounts import Mount
from mountkit.serving.tables import MountTable, decision_in

Outcome: TypeAlias = Literal["chosen", "outranked", "refused"]


class Candidate(NamedTuple):
    """A mount, or another route of a router, that was considered.

    Attributes:
        outcome: `"chosen"`; `"outranked"`: it matches, but another came first; `"refused"`.
        reason: what came first and why, or the first condition that failed.
    """

    route: BaseRoute
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on one request.

    Attributes:
        request: the request, as text.
        route: the mount or route that takes it; `None` if the app underneath gets it, or if it
            is answered with 400, 404 or 421.
        candidates: every mount and route that was considered: the chosen one, those that it
            outranked, and those that refuse the request, the nearest first: the one of which the
            fewest of host, path and conditions fail, of equals one whose path is right, then the
            one whose path and host are most like the request's.
        path, root_path, path_params: what the app that gets the request sees.
        convention: which of the four scopes that is; see `mountkit.serving.scopes.Convention`.
        target: the class of the app that gets the request, be it the app underneath, or the shares
            of a `Split`; `""` if no app gets it.
        answer: what would answer, as far as can be known without serving: the route and endpoint of
            the app that gets the request, or a status and the reason.
        location: where the request is redirected to instead of being served, or `None`.
        below: the decision that the chosen mount's own mounts make, if it has any.
    """

    request: str
    route: BaseRoute | None
    candidates: tuple[Candidate, ...]
    path: str = ""
    root_path: str = ""
    path_params: Mapping[str, Any] | None = None
    convention: str = ""
    target: str = ""
    answer: str = ""
    location: str | None = None
    below: Explanation | None = None

    @property
    def mount(self) -> Mount | None:
        """The mount that takes the request, by its path or by one that it exposes; `None` if none
        does. What a mount of its app takes is in `below.mount`."""
        found = getattr(self.route, "mount", self.route)
        return found if isinstance(found, Mount) else None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        child = {
            "path": self.path,
            "root_path": self.root_path,
            "path_params": {k: str(v) for k, v in (self.path_params or {}).items()},
            "convention": self.convention,
            "app": self.target,
        }
        return {
            "request": self.request,
            "takes": None if self.route is None else describe(self.route),
            "child": child if self.target else None,
            "answer": self.answer,
            "location": self.location,
            "candidates": [
                {"route": describe(c.route), "outcome": c.outcome, "reason": c.reason}
                for c in self.candidates
            ],
            "below": None if self.below is None else self.below.as_dict(),
        }

    def __str__(self) -> str:
        lines = [self.request] if self.request else []
        if self.route is not None:
            lines.append(f"  is taken by {describe(self.route)}, {self.target}")
            lines.append(f"  child sees  path={self.path!r} root_path={self.root_path!r}")
            if self.path_params:
                lines.append(f"              path_params={dict(self.path_params)!r}")
        elif self.target:
            lines.append(f"  is taken by no mount and goes to the app underneath, {self.target}")
        else:
            lines.append("  is taken by no mount")
        if self.answer:
            lines.append(f"  answer      {self.answer}")
        if self.location is not None:
            lines.append(f"  redirected to {self.location!r}")
        others = (c for c in self.candidates if c.outcome != "chosen")
        lines += [f"  {c.outcome:<9}  {describe(c.route)}: {c.reason}" for c in others]
        if self.below is not None:
            lines += ["  below it:", *("  " + line for line in str(self.below).splitlines())]
        return "\n".join(lines)


def explain(
    app: Any,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    client: str = "127.0.0.1",
    root_path: str = "",
) -> Explanation:
    """Which mount of `app` would take a request, what its app would see, and why no other.

    Args:
        app: a `Dispatcher`, a Starlette or FastAPI app with mounts or a `DispatchMiddleware`,
            or anything that shows one of them as `.app`.
        url: absolute, or a path; `ws://` and `wss://` make a websocket.
        headers: beyond `host`, which is the URL's unless it is given.
        client: the peer's address.
        root_path: the server's `--root-path`; `url` includes it.

    Raises:
        PatternError: `url` is neither absolute nor a path.
    """
    scope = request_scope(url, method=method, headers=headers, client=client, root_path=root_path)
    return explain_scope(app, scope, f"{scope.get('method', 'WEBSOCKET')} {url}")


_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def request_scope(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    client: str = "127.0.0.1",
    root_path: str = "",
) -> Scope:
    """The scope that a server would make of a request; see `explain`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise PatternError(f"URL {url!r} is not valid: {exc}; write 'http://host/path'.") from exc
    scheme = parts.scheme or "http"
    if scheme not in _PORTS or not (parts.netloc or url.startswith("/")):
        raise PatternError(
            f"URL {url!r} is neither absolute nor a path; write 'http://host/path' or '/path'."
        )
    items = headers.items() if isinstance(headers, Mapping) else headers
    raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in items]
    if parts.netloc and all(name != b"host" for name, _ in raw):
        raw.insert(0, (b"host", parts.netloc.rpartition("@")[2].encode("ascii", "replace")))
    path = unquote(parts.path) or "/"
    raw_path = (parts.path or "/") if parts.path.isascii() else encode_path(path)
    own = {"type": "websocket"} if "ws" in scheme else {"type": "http", "method": method.upper()}
    return {
        **own,
        "asgi": {"version": "3.0"},
        # HTTP/1.1 requires a Host (RFC 9112, section 3.2); HTTP/1.0 does not.
        "http_version": "1.1" if any(name == b"host" for name, _ in raw) else "1.0",
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path.encode("ascii"),
        "query_string": parts.query.encode("ascii", "replace"),
        "root_path": root_path,
        "headers": raw,
        "client": (client, 0),
        "server": (parts.hostname or "localhost", port or _PORTS[scheme]),
    }


def explain_scope(
    app: Any, scope: Scope, request: str = "", above: tuple[Any, ...] = ()
) -> Explanation:
    """As `explain`, for a scope that exists already; `scope` is not changed.

    Args:
        above: what holds the app; see `layers.chain_of`.
    """
    candidates: list[Candidate] = []
    seen: dict[str, Any] = _gets(app, scope)  # if it has no mounts
    underneath, taken = app, None
    for layer in layers_of(app, above=above):
        if layer.table is not None:
            taken = _explain_table(layer.table, scope, candidates)
            underneath = layer.underneath
            seen = {} if underneath is None else _gets(underneath, scope)
        else:
            taken = _explain_routes(layer.routes, scope, candidates)
            seen = {} if underneath is app else seen
        if taken is not None:
            seen = (
                {"answer": taken}
                if isinstance(taken, str)
                else _seen(*taken, scope, (*above, *layer.passed))
            )
            break
        if not layer.passes_on(scope):
            seen = {"answer": f"{layer.unknown_host}: no mount has the request's host"}
            break
    else:
        if underneath is None:
            seen["answer"] = "404: no mount takes it, and no app is underneath"
        else:
            seen["answer"] = answer_of(underneath, scope) or _NOT_KNOWN
    route: Any = taken[0] if isinstance(taken, tuple) else None
    if isinstance(route, Exposure) and route.below is None:  # at another of the mount's hosts
        route = route.mount
    if not isinstance(taken, str):  # else the one that refuses is known by its place
        _sort(candidates, scope)
    return Explanation(request, route, tuple(candidates), **seen)


def _gets(app: Any, scope: Scope) -> dict[str, Any]:
    """What an app sees that gets the request as it came."""
    seen = {"path": scope["path"], "root_path": scope.get("root_path", "")}
    return seen | {"target": describe_app(app)}


_NOT_KNOWN = "not known before it is asked; mountkit request asks it"
_ORDER = ("chosen", "outranked", "refused")


def _sort(candidates: list[Candidate], scope: Scope) -> None:
    rest, host = split_root_path(scope)[1], request_host(scope)

    def place(candidate: Candidate) -> tuple[float, ...]:
        number = _ORDER.index(candidate.outcome)
        if candidate.outcome != "refused":
            return (number,)
        route: Any = candidate.route
        if not hasattr(route, "rule"):
            if candidate.reason == _WRONG_METHOD:
                return (number, 1, False)
            return (number, 1, True, -_likeness(getattr(route, "path", ""), rest))
        rule: Rule = route.rule
        failed = [not one.matches(scope) for one in rule.conditions].count(True)
        fails_path = rule.path.match(rest) is None
        likeness = _likeness(rule.path.text, rest, is_whole=rule.path.exact)
        if rule.host is not None and rule.host.match(host) is None:
            failed += 1
            likeness += _likeness(rule.host.pattern, "" if host is None else host.host) - 1
        return (number, failed + fails_path, fails_path, -likeness)

    candidates.sort(key=place)


def _likeness(pattern: str, found: str, *, is_whole: bool = False) -> float:
    """From 0 to 1; a placeholder is like anything, and of a path its beginning counts."""
    wanted, parts = re.split("[/.]", pattern), re.split("[/.]", found)
    if not is_whole:
        parts = parts[: len(wanted)]
    pairs = zip_longest(wanted, parts[: len(wanted)])
    filled = (part if "{" in text and part is not None else text for text, part in pairs)
    return SequenceMatcher(None, "/".join(filled), "/".join(parts)).ratio()


# What takes a request: a route, with the decision or what its `matches` returned; a refusal's
# reason; nothing.
_Taken: TypeAlias = tuple[Any, Any] | str | None

_NO_PATH = "path: does not start with '/'"
_WRONG_METHOD = "method: not allowed here"


def _explain_table(table: Table[Any], scope: Scope, candidates: list[Candidate]) -> _Taken:
    found = table.decide(scope)
    if isinstance(found, Refusal):
        reason = f"{found.status}: {found.reason}"
        candidates += [Candidate(mount, "refused", reason) for mount in table.mounts]
        return reason
    _, rest = split_root_path(scope, path_has_root=table.path_has_root)
    host = request_host(scope)
    asked = announced(scope) or scope
    for mount in table.mounts:
        refusal = mount.rule.refusal(asked, rest, host)
        if found is not None and mount is found.mount:
            candidates.append(Candidate(mount, "chosen", "the most specific that matches"))
        elif refusal is not None or found is None:
            candidates.append(Candidate(mount, "refused", refusal or _NO_PATH))
        else:
            by = found.mount.rule.outranks(mount.rule) or "q-value or order of declaration"
            reason = f"{describe(found.mount)} comes first, by {by}"
            candidates.append(Candidate(mount, "outranked", reason))
    return None if found is None else (found.mount, found)


def _explain_routes(
    routes: Iterable[BaseRoute], scope: Scope, candidates: list[Candidate]
) -> _Taken:
    taken: _Taken = None
    for route in routes:
        if isinstance(route, MountTable):
            taken = taken or _explain_table(route.table, scope, candidates)
            continue
        match, matched = route.matches(dict(scope))
        if match is not Match.FULL:
            candidates.append(Candidate(route, "refused", _refusal(route, scope, match)))
        elif taken is not None:
            by = "a refusal" if isinstance(taken, str) else describe(taken[0])
            candidates.append(Candidate(route, "outranked", f"{by} comes before it"))
        elif isinstance(refusal := decision_in(matched), Refusal):
            taken = f"{refusal.status}: {refusal.reason}"  # the mount takes it, to answer that
            candidates.append(Candidate(route, "refused", taken))
        else:
            taken = (route, decision_in(matched) or matched)
            candidates.append(Candidate(route, "chosen", "the first route that matches"))
    return taken


def _refusal(route: BaseRoute, scope: Scope, match: Match) -> str:
    if isinstance(route, Mount):
        rest, host = split_root_path(scope)[1], request_host(scope)
        rules = [route.rule, *route.rule.elsewhere()]
        reasons = [rule.refusal(scope, rest, host) or _NO_PATH for rule in rules]
        return next((reason for reason in reasons if not reason.startswith("host:")), reasons[0])
    return _WRONG_METHOD if match is Match.PARTIAL else "path: does not match"


def _seen(route: Any, found: Any, scope: Scope, above: tuple[Any, ...]) -> dict[str, Any]:
    """The part of an `Explanation` that is about the app that gets the request."""
    location, convention = None, ""
    if isinstance(found, Resolution):
        child, location = found.mount.preview(found, scope)
        mount: Any = getattr(found.mount, "mount", found.mount)  # of a path that it exposes
        convention, target = mount.convention, mount.target
        answer = answer_of(target, child)
    else:
        child, target = {**scope, **found}, target_of(route)
        answer = answer_of_route(route, child)
    has_mounts = location is None and any(layers_of(target, above=above))
    return {
        "path": child["path"],
        "root_path": child["root_path"],
        "path_params": child.get("path_params", {}),
        "convention": convention,
        "target": describe_app(target),
        "answer": "" if has_mounts or location is not None else answer,
        "location": location,
        "below": explain_scope(target, child, above=above) if has_mounts else None,
    }
