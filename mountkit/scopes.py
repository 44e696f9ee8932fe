"""What a mounted app sees: a new scope, built from the spec's keys and the decision.

The ASGI convention, which Starlette follows since 0.35 and most frameworks with it: `path`
is the full path, `root_path` the part of it that is not the app's. Nothing that the
parent's router has left in its scope reaches the child, because `router`, `app_root_path`
and their like make a child generate its parent's URLs.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from starlette.types import Scope

from mountkit.paths import cut_raw_path, encode_path
from mountkit.sites import SITE

#: Which of the four scopes an app is handed. With a mount at `/sub` and a request for
#: `/sub/x`:
#:
#: | convention | `path`   | `root_path` | for                                               |
#: |------------|----------|-------------|---------------------------------------------------|
#: | `"spec"`   | `/sub/x` | `/sub`      | apps that follow the ASGI spec; the default       |
#: | `"strip"`  | `/x`     | `/sub`      | apps that route on `path` alone (Falcon, Sanic)   |
#: | `"none"`   | `/x`     | `""`        | apps that believe to be alone on the server       |
#: | `"whole"`  | `/sub/x` | `""`        | apps whose own routes carry the prefix            |
Convention: TypeAlias = Literal["spec", "strip", "none", "whole"]
CONVENTIONS: tuple[Convention, ...] = ("spec", "strip", "none", "whole")

# ASGI spec, "HTTP & WebSocket": the keys of a connection scope, and what stands for one
# that the server has left out (several frameworks insist on keys that the spec calls optional).
_HTTP_DEFAULTS: dict[str, Any] = {
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "query_string": b"",
    "client": None,
    "server": None,
}
_WEBSOCKET_DEFAULTS = {**_HTTP_DEFAULTS, "scheme": "ws", "subprotocols": []}
del _WEBSOCKET_DEFAULTS["method"]
# What a server may add to the scope of one connection, and what a parent's telemetry leaves
# there so that the child does not start a second span.
_PASSED_ON = ("tls", "starlette.opentelemetry", "fastapi.telemetry")
# Of the keys of an HTTP scope, those that are the child's as they are.
_known_values = itemgetter("type", "path", "raw_path", *_HTTP_DEFAULTS)
# With root_path, state, headers, extensions and the site.
_NUMBER_OF_KEYS = 3 + len(_HTTP_DEFAULTS) + 5


def copied_scope(
    scope: Scope, root_path: str, prefix: str, rest: str, state: dict[str, Any], site: Any
) -> Scope | None:
    """`child_scope` for the most frequent case, in a quarter of the time: an HTTP request that
    comes from the server as it is, for an app that follows the spec; else `None`.

    Such a scope has the spec's keys and no others, and its path stays as it is. To copy it is much
    quicker than to compose one. That there is no key besides is seen from their number, once
    `_known_values` has found the others.
    """
    child: dict[str, Any] = scope.copy()  # type: ignore[attr-defined]  # ASGI: it is a dict
    child["root_path"] = own_root = root_path + prefix if root_path else prefix
    child["state"] = state
    child[SITE] = site
    try:
        # Containers are copied: what a child does to them is its own business.
        child["headers"] = child["headers"].copy()
        child["extensions"] = child["extensions"].copy() if "extensions" in child else {}
        known = _known_values(child)
    except (KeyError, AttributeError):  # a websocket, or a test's scope
        return None
    if (
        len(child) == _NUMBER_OF_KEYS
        and known[0] == "http"
        and known[2]  # there is a raw_path
        and rest  # not the bare prefix
        and len(known[1]) >= len(own_root) + len(rest)  # no proxy has cut the root path off
    ):
        return child
    return None


def child_scope(
    scope: Scope,
    root_path: str,
    prefix: str,
    rest: str,
    params: dict[str, Any],
    convention: Convention,
    state: dict[str, Any],
    keys: Iterable[str] = (),
) -> Scope:
    """A scope for the app that a mount has chosen; `scope` is neither changed nor shared.

    Args:
        root_path, prefix, rest, params: the decision; see `tables.Resolution`.
        convention: see `Convention`.
        state: the app's lifespan state, a copy for this request (ASGI spec, "Lifespan state").
        keys: further keys of `scope` that the app is to have.
    """
    child = _composed(scope, state)
    if keys:
        for key in keys:
            if key in scope:
                child[key] = scope[key]
    if "path_params" in scope:
        params = {**scope["path_params"], **params}
    if params:
        child["path_params"] = params
    child.update(_paths(scope, root_path, prefix, rest, convention))
    return child


def _composed(scope: Scope, state: dict[str, Any]) -> dict[str, Any]:
    """The keys of the spec, and what stands for those that are left out."""
    try:  # one display is much quicker than a loop; every server has these keys
        child: dict[str, Any] = {
            "type": "http",
            "asgi": scope["asgi"],
            "http_version": scope["http_version"],
            "method": scope["method"],
            "scheme": scope["scheme"],
            "query_string": scope["query_string"],
            "client": scope["client"],
            "server": scope["server"],
            "headers": scope["headers"].copy(),
            "extensions": scope["extensions"].copy() if "extensions" in scope else {},
            "state": state,
        }
        is_http = scope["type"] == "http"
    except (KeyError, AttributeError):
        is_http = False
    if not is_http:  # a websocket, or what a test has left out
        defaults = _HTTP_DEFAULTS if scope["type"] == "http" else _WEBSOCKET_DEFAULTS
        child = {"type": scope["type"], "state": state}
        for key, default in defaults.items():
            child[key] = scope.get(key, default)
        child["headers"] = list(scope["headers"])
        child["extensions"] = dict(scope.get("extensions") or {})
    for key in _PASSED_ON:
        if key in scope:
            child[key] = scope[key]
    return child


def _paths(
    scope: Scope, root_path: str, prefix: str, rest: str, convention: Convention
) -> dict[str, Any]:
    raw_path = full_raw_path(scope, root_path, prefix + rest)
    own_root = root_path + prefix
    if convention == "whole":
        return {"path": own_root + rest, "raw_path": raw_path, "root_path": ""}
    if not rest:  # the bare prefix is the child's "/": some frameworks fail on ""
        rest, raw_path = "/", raw_path + b"/"
    if convention == "spec":
        return {"path": own_root + rest, "raw_path": raw_path, "root_path": own_root}
    return {
        "path": rest,
        "raw_path": cut_raw_path(raw_path, own_root, rest),
        "root_path": own_root if convention == "strip" else "",
    }


def full_raw_path(scope: Scope, root_path: str, below: str) -> bytes:
    """`raw_path` as the server had it, or what it would have been.

    Where `path` lacked the `root_path` that a proxy has stripped and the server has named,
    it is prepended here as it is to `path`.
    """
    raw_path: bytes | None = scope.get("raw_path")
    if not raw_path:
        return encode_path(root_path + below).encode("ascii")
    if len(scope["path"]) < len(root_path) + len(below):
        return encode_path(root_path).encode("ascii") + raw_path
    return raw_path
