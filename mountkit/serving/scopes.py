"""What a mounted app sees: a new scope, built from the spec's keys and the decision.

The ASGI convention, which Starlette follows since 0.35 and most frameworks with it: `path`
is the full path, `root_path` the part of it that is not the app's. Nothing that the
parent's router has left in its scope reaches the child, because `router`, `app_root_path`
and their like make a child generate its parent's URLs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from starlette.types import Scope

from mountkit.matching.locations import cut_raw_path, encode_path
from mountkit.serving.sites import SITE

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
_SPEC_KEYS = {
    kind: {*defaults, "type", "path", "raw_path", "root_path", "headers"}
    for kind, defaults in (("http", _HTTP_DEFAULTS), ("websocket", _WEBSOCKET_DEFAULTS))
}
_KEPT = {"state", "extensions", SITE, *_PASSED_ON}

#: The keys of a scope, in their order, and which of them a child's copy of it loses; `None` if a
#: copy is not enough. They are the server's and the middleware's, not the client's, and few.
Shapes: TypeAlias = dict[tuple[str, ...], tuple[str, ...] | None]
_shapes: Shapes = {}
_MOST_SHAPES = 1000


def _learn(scope: Scope) -> tuple[str, ...] | None:
    """Look at a shape that has not been seen before."""
    keys = tuple(scope)
    spec = _SPEC_KEYS[scope["type"]]
    lost = None
    if spec <= scope.keys() and "path_params" not in scope:
        lost = tuple(key for key in keys if key not in spec and key not in _KEPT)
    if len(_shapes) >= _MOST_SHAPES:  # somebody above makes keys up
        _shapes.clear()
    _shapes[keys] = lost
    return lost


def is_from_server(scope: Scope) -> bool:
    """Whether this is an HTTP request with the keys that the spec has, and no others."""
    http = _SPEC_KEYS["http"] | {"state"}
    return scope["type"] == "http" and http <= scope.keys() <= http | {"extensions"}


def copied_scope(
    scope: Scope, root_path: str, prefix: str, rest: str, state: dict[str, Any]
) -> Scope | None:
    """`child_scope` for the most frequent case, in a quarter of the time: the path stays as it is,
    and all that the spec names is there; else `None`.

    To copy a scope is much quicker than to compose one. That it holds nothing else is seen from
    its keys, which are the same for all requests that come from one server through one middleware.
    """
    keys = tuple(scope)
    lost = _shapes[keys] if keys in _shapes else _learn(scope)
    own_root = root_path + prefix
    # Without `rest` it is the bare prefix, and a shorter path has lost its root path to a proxy.
    if lost is None or not rest or len(scope["path"]) < len(own_root) + len(rest):
        return None
    if not scope["raw_path"] or type(scope["headers"]) is not list:
        return None
    child: dict[str, Any] = scope.copy()  # type: ignore[attr-defined]  # ASGI: it is a dict
    for key in lost:
        del child[key]
    child["root_path"] = own_root
    # Containers are copied: what a child does to them is its own business.
    child["headers"] = child["headers"].copy()
    if "extensions" in child:
        child["extensions"] = dict(child["extensions"] or {})
    child["state"] = state
    return child


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
    defaults = _HTTP_DEFAULTS if scope["type"] == "http" else _WEBSOCKET_DEFAULTS
    child = {key: scope.get(key, default) for key, default in defaults.items()}
    child |= {"type": scope["type"], "headers": list(scope["headers"]), "state": state}
    if "extensions" in scope:
        child["extensions"] = dict(scope["extensions"] or {})
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
