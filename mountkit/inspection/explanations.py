"""Why a request goes where it goes, found out without serving it.

    >>> print(explain(app, "https://acme.example.com/api/x", headers={"x-api-version": "2"}))

The answer is computed by the very tables and routes that serve, so that it cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.inspection.layers import Layer, describe, describe_app, layers_of
from mountkit.matching.hosts import request_host
from mountkit.matching.locations import encode_path
from mountkit.matching.paths import split_root_path
from mountkit.matching.tables import Refusal, Table
from mountkit.serving.mounts import Mount, MountTable

Outcome: TypeAlias = Literal["chosen", "outranked", "refused"]


class Candidate(NamedTuple):
    """One mount or route that might have taken the request.

    Attributes:
        route: the `Mount`, or another route of a router.
        outcome: `"chosen"`; `"outranked"`: it matches, but another came first; `"refused"`.
        reason: what it was outranked by and why, or the first condition that failed.
    """

    route: BaseRoute
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on one request.

    Attributes:
        request: the request, as text.
        route: the mount or route that takes it; `None` if it falls through to the app
            underneath, or to 404 where there is none.
        candidates: every mount and route that was considered, the chosen one first.
        path, root_path, path_params: what the chosen mount's app sees.
        convention: which of the four scopes that is; see `mountkit.serving.scopes.Convention`.
        target: what stands behind it: the app's class, or the shares of a `Split`.
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
    location: str | None = None
    below: Explanation | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "request": self.request,
            "takes": None if self.route is None else describe(self.route),
            "child": None
            if self.route is None
            else {
                "path": self.path,
                "root_path": self.root_path,
                "path_params": {k: str(v) for k, v in (self.path_params or {}).items()},
                "convention": self.convention,
                "app": self.target,
            },
            "location": self.location,
            "candidates": [
                {"route": describe(c.route), "outcome": c.outcome, "reason": c.reason}
                for c in self.candidates
            ],
            "below": None if self.below is None else self.below.as_dict(),
        }

    def __str__(self) -> str:
        lines = [self.request] if self.request else []
        if self.route is None:
            lines.append("  is taken by no mount")
        else:
            lines.append(f"  is taken by {describe(self.route)}, {self.target}")
            lines.append(f"  child sees  path={self.path!r} root_path={self.root_path!r}")
            if self.path_params:
                lines.append(f"              path_params={dict(self.path_params)!r}")
        if self.location is not None:
            lines.append(f"  redirected to {self.location!r}")
        lines += [
            f"  {c.outcome:<9}  {describe(c.route)}: {c.reason}"
            for c in self.candidates
            if c.outcome != "chosen"
        ]
        if self.below is not None:
            lines += ["  below it:", *("  " + line for line in str(self.below).splitlines())]
        return "\n".join(lines)


def request_scope(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    client: str = "127.0.0.1",
    root_path: str = "",
) -> Scope:
    """The scope that a server would make of a request.

    Args:
        url: absolute, or a path; `ws://` and `wss://` make a websocket.
        headers: beyond `host`, which is the URL's unless it is given.
        client: the peer's address.
        root_path: what the server is told by `--root-path`; `url` holds it.

    Raises:
        PatternError: `url` is neither absolute nor a path.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise PatternError(f"URL {url!r} is none: {exc}; write 'http://host/path'.") from exc
    scheme = parts.scheme or "http"
    if scheme not in ("http", "https", "ws", "wss") or not (parts.netloc or url.startswith("/")):
        raise PatternError(f"URL {url!r} is none; write 'http://host/path' or '/path'.")
    items = headers.items() if isinstance(headers, Mapping) else headers
    raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in items]
    if parts.netloc and all(name != b"host" for name, _ in raw):
        raw.insert(0, (b"host", parts.netloc.rpartition("@")[2].encode("ascii", "replace")))
    path = unquote(parts.path) or "/"
    raw_path = parts.path if parts.path.isascii() else encode_path(path)
    scope: Scope = {
        "type": "websocket" if scheme.startswith("ws") else "http",
        "asgi": {"version": "3.0"},
        # A request without a host is one of HTTP/1.0; of 1.1 it would be a bad one.
        "http_version": "1.1" if any(name == b"host" for name, _ in raw) else "1.0",
        "scheme": scheme,
        "path": path,
        "raw_path": (raw_path or "/").encode("ascii"),
        "query_string": parts.query.encode("ascii", "replace"),
        "root_path": root_path,
        "headers": raw,
        "client": (client, 0),
        "server": (parts.hostname or "localhost", port or 80),
    }
    if scope["type"] == "http":
        scope["method"] = method.upper()
    return scope


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
        url, method, headers, client, root_path: the request; see `request_scope`.

    Raises:
        PatternError: `url` is neither absolute nor a path.
    """
    scope = request_scope(url, method=method, headers=headers, client=client, root_path=root_path)
    return explain_scope(app, scope, f"{scope.get('method', 'WEBSOCKET')} {url}")


def explain_scope(app: Any, scope: Scope, request: str = "") -> Explanation:
    """The same for a scope that is there already; `scope` is not changed."""
    return _explain(layers_of(app), scope, request)


def _explain(layers: Iterable[Layer], scope: Scope, request: str) -> Explanation:
    candidates: list[Candidate] = []
    for layer in layers:
        if layer.table is not None:
            refusal = layer.table.decide(scope)
            if isinstance(refusal, Refusal):
                reason = f"{refusal.status}: {refusal.reason}"
                refused = [Candidate(mount, "refused", reason) for mount in layer.table.mounts]
                return Explanation(request, None, (*candidates, *refused))
            chosen = _explain_table(layer.table, scope, candidates)
        else:
            chosen = _explain_routes(layer.routes, scope, candidates)
        if chosen is not None:
            candidates.sort(key=lambda candidate: candidate.outcome != "chosen")
            return _with_child(*chosen, scope, request, tuple(candidates))
    return Explanation(request, None, tuple(candidates))


# A route, and what its `matches` has returned.
_Chosen: TypeAlias = tuple[BaseRoute, Scope]


def _explain_table(
    table: Table[Mount], scope: Scope, candidates: list[Candidate]
) -> _Chosen | None:
    found = table.resolve(scope)
    _, rest = split_root_path(scope, path_has_root=table.path_has_root)
    host = request_host(scope)
    for mount in table.mounts:
        refusal = mount.rule.refusal(scope, rest, host)
        if found is not None and mount is found.mount:
            candidates.append(Candidate(mount, "chosen", "the most specific that matches"))
        elif refusal is not None or found is None:
            candidates.append(Candidate(mount, "refused", refusal or _NO_PATH))
        else:
            by = found.mount.rule.outranks(mount.rule) or "q-value or order of declaration"
            reason = f"{describe(found.mount)} comes first, by {by}"
            candidates.append(Candidate(mount, "outranked", reason))
    return None if found is None else (found.mount, found.mount.matched_scope(scope, found))


def _explain_routes(
    routes: Iterable[BaseRoute], scope: Scope, candidates: list[Candidate]
) -> _Chosen | None:
    chosen: _Chosen | None = None
    for route in routes:
        if isinstance(route, MountTable):
            chosen = chosen or _explain_table(route.table, scope, candidates)
            continue
        match, matched = route.matches(dict(scope))
        if match is not Match.FULL:
            candidates.append(Candidate(route, "refused", _refusal(route, scope, match)))
        elif chosen is None:
            chosen = (route, matched)
            candidates.append(Candidate(route, "chosen", "the first route that matches"))
        else:
            reason = f"{describe(chosen[0])} stands before it"
            candidates.append(Candidate(route, "outranked", reason))
    return chosen


_NO_PATH = "path: does not start with '/'"


def _refusal(route: BaseRoute, scope: Scope, match: Match) -> str:
    if isinstance(route, Mount):
        refusal = route.rule.refusal(scope, split_root_path(scope)[1], request_host(scope))
        return refusal or _NO_PATH
    return "method: not one of its own" if match is Match.PARTIAL else "path: does not match"


def _with_child(
    route: BaseRoute,
    matched: Scope,
    scope: Scope,
    request: str,
    candidates: tuple[Candidate, ...],
) -> Explanation:
    location: str | None = None
    convention = ""
    if isinstance(route, Mount):
        child, location = route.preview(scope, matched)
        convention = route.convention
        target = route.target
    else:
        child = {**scope, **matched}
        target = getattr(route, "app", None) or getattr(route, "endpoint", None)
    below = list(layers_of(target))
    return Explanation(
        request,
        route,
        candidates,
        path=child["path"],
        root_path=child["root_path"],
        path_params=child.get("path_params", {}),
        convention=convention,
        target=describe_app(target),
        location=location,
        below=_explain(below, child, "") if below and location is None else None,
    )
