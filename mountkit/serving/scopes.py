"""The scope of a mounted app: a copy of the parent's, less what routers own.

A builder makes it: one for each convention, chosen when the mount is built. What middleware above
has put into the scope (`session`, `user`, …) is passed on, as in Starlette. What a router has left
there is not: `router`, `app_root_path` and the like would make an app generate its parent's URLs.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from starlette.types import Scope

from mountkit.locations import cut_raw_path, encode_path
from mountkit.matching.decisions import Resolution
from mountkit.serving.sites import MOUNT, SITE, new_site, site_of

#: Which of four scopes an app gets. With a mount at `/sub` and a request for `/sub/x`, on a server
#: without a `root_path` of its own:
#:
#: | convention | `path`   | `root_path` | for                                               |
#: |------------|----------|-------------|---------------------------------------------------|
#: | `"spec"`   | `/sub/x` | `/sub`      | apps that follow the ASGI spec; the default       |
#: | `"strip"`  | `/x`     | `/sub`      | apps that route on `path` alone (Falcon, Sanic)   |
#: | `"none"`   | `/x`     | `""`        | apps that assume they own the whole server        |
#: | `"whole"`  | `/sub/x` | `""`        | apps whose own routes carry the prefix            |
#:
#: `"whole"` selects by the prefix and does not consume it: the app sees the server's `root_path`.
Convention: TypeAlias = Literal["spec", "strip", "none", "whole"]

#: The placeholders of the mounts above. `path_params` may hold those of other routers.
PARAMS = "mountkit.params"
# What servers may leave out (ASGI spec, "HTTP"), and some frameworks fail without.
_DEFAULTS: dict[str, Any] = {
    "raw_path": None,
    "http_version": "1.1",
    "query_string": b"",
    "client": None,
    "server": None,
}
_given = itemgetter("type", "asgi", "scheme", *_DEFAULTS)
_SCHEMES = {"http": "http", "websocket": "ws"}


#: Makes the scope of an app: from the mount, the decision, the parent's scope, the state of the
#: app's lifespan, and the dispatcher that has decided (`None`: a router of Starlette's).
Builder: TypeAlias = Callable[[Any, Resolution[Any], Scope, dict[str, Any], Any], dict[str, Any]]


def spec_scope(
    mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
) -> dict[str, Any]:
    """`path` and `root_path` are full (ASGI spec, "HTTP"; Starlette since 0.35)."""
    try:
        kind, asgi, _, raw_path, _, _, _, _ = _given(scope)
    except KeyError:
        more = {"asgi": {"version": "3.0"}, "scheme": _SCHEMES[scope["type"]]}
        return spec_scope(mount, found, {**_DEFAULTS, **more, **scope}, state, router)
    child: dict[str, Any] = scope.copy()  # type: ignore[attr-defined]  # ASGI: it is a dict
    app = child.pop("app", None)  # the one key that most parents leave
    if not mount.left_keys.isdisjoint(child):
        for key in mount.left_keys.intersection(child):
            del child[key]
    root_path, rest = found.root_path, found.rest
    child["root_path"] = own_root = root_path + found.prefix
    if root_path or not rest or not raw_path:
        is_whole = rest or (own_root and mount.redirect_slashes == "bare")
        child["path"] = own_root + rest + ("" if is_whole else "/")  # some frameworks fail on ""
        child["raw_path"] = full_raw_path(scope, found) + (b"" if is_whole else b"/")
    child["headers"] = [*child["headers"]]
    child["asgi"] = asgi.copy()
    if kind == "websocket":
        child["subprotocols"] = [*child.get("subprotocols", ())]
    if "extensions" in child:
        child["extensions"] = _copied(child["extensions"])
    if found.params or PARAMS in child:
        child[PARAMS] = child.get(PARAMS, {}) | found.params
        child["path_params"] = child[PARAMS].copy()
    child["state"] = state.copy()
    if SITE not in child:
        child[SITE] = new_site(scope, root_path, router, app)
    child[MOUNT] = mount
    return child


def _copied(value: Any) -> Any:
    """A copy of dicts and lists, as deep as they go."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def stripped_scope(
    mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
) -> dict[str, Any]:
    """`path` is what is below the prefix, `root_path` is full."""
    child = spec_scope(mount, found, scope, state, router)
    child["path"] = rest = found.rest or "/"
    child["raw_path"] = cut_raw_path(child["raw_path"], child["root_path"], rest)
    return child


def lone_scope(
    mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
) -> dict[str, Any]:
    """`path` is what is below the prefix, and there is no `root_path`."""
    return stripped_scope(mount, found, scope, state, router) | {"root_path": ""}


def whole_scope(
    mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
) -> dict[str, Any]:
    """`path` is full, `root_path` the server's: the prefix is not consumed."""
    child = spec_scope(mount, found, scope, state, router)
    child["path"] = found.root_path + found.prefix + found.rest
    child["raw_path"] = full_raw_path(scope, found)
    child["root_path"] = found.root_path
    return child


def routes_scope(
    mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
) -> dict[str, Any]:
    """For routes and bare routers: they are part of the parent app and share its scope."""
    child: dict[str, Any] = {**scope, SITE: site_of(scope, found.root_path, router), MOUNT: mount}
    child.pop("route", None)
    if "fastapi" in child:  # FastAPI's notes on the parent's route do not hold for these
        known = child["fastapi"].items()
        child["fastapi"] = {k: v for k, v in known if k != "effective_route_context"}
    if router is not None:
        child.setdefault("router", router)
    child["endpoint"] = mount.app
    child["path_params"] = scope.get("path_params", {}) | found.params
    if found.params or PARAMS in scope:
        child[PARAMS] = scope.get(PARAMS, {}) | found.params
    child["app_root_path"] = scope.get("app_root_path", found.root_path)
    child["root_path"] = found.root_path + found.prefix
    child["path"] = child["root_path"] + (found.rest or "/")
    child["raw_path"] = full_raw_path(scope, found) + (b"" if found.rest else b"/")
    if state:  # of a Router with a lifespan of its own
        child["state"] = scope.get("state", {}) | state
    return child


def shared_scope(build: Builder, share: tuple[str, ...]) -> Builder:
    """A builder whose scopes have keys of the parent's state in their own."""

    def build_shared(
        mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
    ) -> dict[str, Any]:
        parent = scope.get("state", {})
        shared = {key: parent[key] for key in share if key in parent}
        return build(mount, found, scope, state | shared, router)

    return build_shared


def divided_scope(build: Builder, other: Builder, is_own: Callable[[str], bool]) -> Builder:
    """A builder for an app that hands on to another one what it does not serve itself."""
    return lambda mount, found, *more: (build if is_own(found.rest or "/") else other)(
        mount, found, *more
    )


def unnamed_scope(build: Builder) -> Builder:
    """A builder whose scopes have the placeholders of mounts in `mountkit.params` only."""
    return lambda *given: {k: v for k, v in build(*given).items() if k != "path_params"}


def same_scope(
    mount: Any, found: Resolution[Any], scope: Scope, state: dict[str, Any], router: Any
) -> dict[str, Any]:
    """For the app underneath: the scope as it came."""
    site = site_of(scope, found.root_path, router)
    return {"root_path": "", **scope, SITE: site, MOUNT: mount}


#: By convention.
BUILDERS: dict[Convention, Builder] = {
    "spec": spec_scope,
    "strip": stripped_scope,
    "none": lone_scope,
    "whole": whole_scope,
}


def full_raw_path(scope: Scope, found: Resolution[Any]) -> bytes:
    """`raw_path` as the server had it, or would have had it.

    Where `path` lacks the `root_path` that a proxy has stripped and the server has named, it is
    put before `raw_path`, as it is put before `path`.
    """
    raw_path: bytes | None = scope.get("raw_path")
    below = found.prefix + found.rest
    if not raw_path:
        return encode_path(found.root_path + below).encode("ascii")
    if len(scope["path"]) < len(found.root_path) + len(below):
        return encode_path(found.root_path).encode("ascii") + raw_path
    return raw_path
