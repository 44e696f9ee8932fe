"""Why a request goes where it goes, found without serving it.

The answer comes from the tables and routes that serve requests, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.inspection.layers import describe, describe_app, layers_of
from mountkit.locations import encode_path
from mountkit.matching.decisions import Refusal, Resolution
from mountkit.matching.hosts import request_host
from mountkit.matching.paths import split_root_path
from mountkit.matching.tables import Table
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
        candidates: every mount and route that was considered, the chosen one first.
        path, root_path, path_params: what the app that gets the request sees.
        convention: which of the four scopes that is; see `mountkit.serving.scopes.Convention`.
        target: the class of the app that gets the request, be it the app underneath, or the shares
            of a `Split`; `""` if no app gets it.
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
    if scheme not in ("http", "https", "ws", "wss") or not (parts.netloc or url.startswith("/")):
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
        "server": (parts.hostname or "localhost", port or 80),
    }


def explain_scope(app: Any, scope: Scope, request: str = "") -> Explanation:
    """As `explain`, for a scope that exists already; `scope` is not changed."""
    candidates: list[Candidate] = []
    seen: dict[str, Any] = {}
    for layer in layers_of(app):
        if layer.table is not None:
            taken = _explain_table(layer.table, scope, candidates)
        else:
            taken = _explain_routes(layer.routes, scope, candidates)
        if isinstance(taken, tuple):
            candidates.sort(key=lambda candidate: candidate.outcome != "chosen")
            # At another host than its first, a mount is itself.
            route = taken[0].mount if getattr(taken[0], "below", "") is None else taken[0]
            return Explanation(request, route, tuple(candidates), **_seen(*taken, scope))
        if taken is not None or not layer.passes_on(scope):
            return Explanation(request, None, tuple(candidates))
        if layer.underneath is not None:
            seen = {"path": scope["path"], "root_path": scope.get("root_path", "")}
            seen["target"] = describe_app(layer.underneath)
    return Explanation(request, None, tuple(candidates), **seen)


# What takes a request: a route, with the decision or what its `matches` returned; a refusal's
# reason; nothing.
_Taken: TypeAlias = tuple[Any, Any] | str | None

_NO_PATH = "path: does not start with '/'"


def _explain_table(table: Table[Any], scope: Scope, candidates: list[Candidate]) -> _Taken:
    found = table.decide(scope)
    if isinstance(found, Refusal):
        reason = f"{found.status}: {found.reason}"
        candidates += [Candidate(mount, "refused", reason) for mount in table.mounts]
        return reason
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
    return "method: not allowed here" if match is Match.PARTIAL else "path: does not match"


def _seen(route: Any, found: Any, scope: Scope) -> dict[str, Any]:
    """The part of an `Explanation` that is about the app that gets the request."""
    location, convention = None, ""
    if isinstance(found, Resolution):
        child, location = found.mount.preview(found, scope)
        mount: Any = getattr(found.mount, "mount", found.mount)  # of a path that it exposes
        convention, target = mount.convention, mount.target
    else:
        child = {**scope, **found}
        target = getattr(route, "app", None) or getattr(route, "endpoint", None)
    has_mounts = location is None and any(layers_of(target))
    return {
        "path": child["path"],
        "root_path": child["root_path"],
        "path_params": child.get("path_params", {}),
        "convention": convention,
        "target": describe_app(target),
        "location": location,
        "below": explain_scope(target, child) if has_mounts else None,
    }
