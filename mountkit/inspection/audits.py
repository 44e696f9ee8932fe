"""Checks of a whole app: its tables, its routes, and the apps mounted in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from typing import Any, TypeAlias

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from mountkit.frameworks import keeps_first_prefix, problems, session_cookie, within
from mountkit.inspection.layers import Layer, candidates_of, describe, layers_of
from mountkit.matching.findings import Finding, shown
from mountkit.matching.preflights import UNKNOWN
from mountkit.matching.rules import Rule
from mountkit.matching.witnesses import Undecided, fulfilling, is_opaque, reach, scope_of, takes
from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.serving.mounts import Mount
from mountkit.serving.tables import MountTable


def check(app: Any, *, root_path: str = "") -> list[Finding]:
    """Check an app and everything mounted in it.

    Reports what `Table.check` finds in each table, mounts that an earlier route hides, and apps
    that were built with a `root_path` of their own, were not told their prefix, keep the first of
    several prefixes, refuse the host of their mount, end the process, share a cookie with another
    app, answer preflights that never reach them, or are mounted into themselves.

    Args:
        app: as for `mountkit.explain`.
        root_path: the server's `--root-path`, which the apps see before their prefix.
    """
    return list(dict.fromkeys(_check(app, root_path.rstrip("/"), (), {})))


#: Where each app was met first: the mount, and its whole prefix.
_Met: TypeAlias = dict[int, tuple[Mount, str]]


def _check(app: Any, prefix: str, above: tuple[Any, ...], met: _Met) -> Iterator[Finding]:
    for layer in layers_of(app):
        if layer.table is not None:
            yield from layer.table.check()
        else:
            yield from _check_routes(layer.routes)
        for mount in _mounts(layer):
            yield from _check_app(mount, prefix + mount.path, (*above, app), met)
    yield from _check_cookies(app)


def _mounts(layer: Layer) -> Iterator[Mount]:
    return (route for route in candidates_of(layer) if isinstance(route, Mount))


def _check_app(mount: Mount, prefix: str, above: tuple[Any, ...], met: _Met) -> Iterator[Finding]:
    if any(mount.target is app for app in above):
        message = f"{shown(mount.rule)} mounts an app into itself; mount another app."
        yield Finding("mounted-into-itself", message, (mount.rule,))
        return
    for problem in problems(mount.target, mount.place(prefix)):
        message = f"The app of {shown(mount.rule)}: {problem.message}."
        yield Finding(problem.code, message, (mount.rule,))
    yield from _check_prefixes(mount, prefix, met)
    if (
        _has_cors(mount.app)
        and not any(map(_has_cors, above))
        and not _meets_preflights(mount.rule)
    ):
        message = (
            f"{shown(mount.rule)} gets no preflight, which has no cookies and only the names of "
            "headers; its CORSMiddleware answers none. Put CORSMiddleware around the dispatcher."
        )
        yield Finding("preflight", message, (mount.rule,))
    yield from _check(mount.target, prefix, above, met)


def _has_cors(app: Any) -> bool:
    """Whether Starlette's CORSMiddleware stands in an app."""
    apps = [*within(app)]
    layers = [
        getattr(layer, "cls", None) for one in apps for layer in getattr(one, "user_middleware", ())
    ]
    return CORSMiddleware in [*map(type, apps), *layers]


def _meets_preflights(rule: Rule) -> bool:
    """Whether a preflight can announce a request that a rule takes."""
    for choices in fulfilling(rule):
        scope = scope_of(choices)
        given = [(k, v) for k, v in scope["headers"] if k not in (b"cookie", b"accept")]
        headers = [(k, v if k in (b"host", b"origin") else UNKNOWN) for k, v in given]
        if takes(rule, {**scope, "headers": headers}):
            return True
    return is_opaque(rule)


def _check_prefixes(mount: Mount, prefix: str, met: _Met) -> Iterator[Finding]:
    """An app that keeps the first prefix that it sees, but is mounted at several."""
    name, app = keeps_first_prefix(mount.target)
    if not name:
        return
    first, first_prefix = met.setdefault(id(app), (mount, prefix))
    if prefix != first_prefix:
        where = f"{shown(mount.rule)} and {shown(first.rule)} mount one app"
    elif "{" in prefix:
        where = f"{shown(mount.rule)} has as many prefixes as its placeholder has values"
    else:
        return
    yield Finding(
        "several-prefixes",
        f"{where}, and {name} keeps the first prefix that it sees in its URLs for all others; "
        "mount an app of its own at each.",
        (mount.rule,) if first is mount else (mount.rule, first.rule),
    )


def _check_cookies(app: Any) -> Iterator[Finding]:
    """Two apps on one host that overwrite each other's session."""
    mounts = [mount for layer in layers_of(app) for mount in _mounts(layer)]
    sites: list[tuple[Mount | None, Any]] = [(None, app)]
    sites += [(mount, mount.target) for mount in mounts if not _has_own_cookies(mount)]
    sites.append((None, getattr(app, "underneath", None)))
    found = [(mount, target, session_cookie(target)) for mount, target in sites]
    for (mount, target, cookie), (later, later_target, other) in combinations(found, 2):
        if cookie is None or other is None or target is later_target or cookie == other:
            continue
        if cookie.name == other.name and _are_at_one_host(mount, later):
            both = (later, mount)
            names = ("the app underneath" if one is None else shown(one.rule) for one in both)
            yield Finding(
                "shared-cookie",
                f"{' and '.join(names)} both keep their sessions in the cookie {cookie.name!r} "
                "with Path=/, and each loses what the other has written; add CookiePathMiddleware "
                "to one of them, or give the cookies names of their own.",
                tuple(one.rule for one in both if one is not None),
            )


def _has_own_cookies(mount: Mount) -> bool:
    """Whether a layer of the mount keeps its cookies to the prefix."""
    return any(isinstance(layer, CookiePathMiddleware) for layer in within(mount.app))


def _are_at_one_host(one: Mount | None, other: Mount | None) -> bool:
    """Whether a browser sends cookies of one to the other."""
    hosts = [None if mount is None else mount.rule.host for mount in (one, other)]
    return None in hosts or len({host.key for host in hosts if host is not None}) == 1


def _check_routes(routes: tuple[BaseRoute, ...]) -> Iterator[Finding]:
    for position, route in enumerate(routes):
        if isinstance(route, MountTable):
            yield from route.table.check()
        elif isinstance(route, Mount):
            yield from _check_hidden(route, routes[:position])


def _check_hidden(mount: Mount, before: tuple[BaseRoute, ...]) -> Iterator[Finding]:
    """A mount among routes gets only what the routes before it leave."""
    takers: dict[int, BaseRoute] = {}

    def resolve(scope: Scope) -> Rule | None:
        for route in before:
            if route.matches(dict(scope))[0] is Match.FULL:
                takers[id(route)] = route
                return route.rule if isinstance(route, Mount) else None
        return mount.rule

    found: object = None
    with suppress(Undecided):
        found = reach(mount.rule, resolve)
    if isinstance(found, list):
        names = " or ".join(map(describe, takers.values()))
        yield Finding(
            "unreachable",
            f"{shown(mount.rule)} can never be reached; every request for it is taken by {names}, "
            "which stand before it: routes are tried in the order of their declaration. Move it "
            "before them, or put it into a DispatchMiddleware.",
            (mount.rule, *(r.rule for r in takers.values() if isinstance(r, Mount))),
        )
