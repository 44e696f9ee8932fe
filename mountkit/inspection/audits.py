"""Checks of a whole app: its tables, its routes, and the apps mounted in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, takewhile
from typing import Any, TypeAlias

import starlette.routing

from mountkit.frameworks import keeps_first_prefix, problems, session_cookie, within
from mountkit.inspection.hidden import check_hidden
from mountkit.inspection.layers import Fork, candidates_of, chain_of, layers_in, layers_of
from mountkit.inspection.orders import (
    check_foreign,
    check_fork,
    check_order,
    check_started,
    has_cors,
    is_cors,
)
from mountkit.matching.findings import Finding, shown
from mountkit.matching.preflights import UNKNOWN
from mountkit.matching.rules import Rule
from mountkit.matching.witnesses import fulfilling, is_opaque, scope_of, takes
from mountkit.middleware.cookies import CookiePathMiddleware
from mountkit.serving.mounts import Mount
from mountkit.serving.tables import MountTable


def check(app: Any, *, root_path: str = "") -> list[Finding]:
    """Check an app and everything mounted in it.

    Reports what `Table.check` finds in each table; routes and mounts that mounts before them hide;
    middleware, WSGI apps and mounts that stand where they do not work; and apps that were built
    with a `root_path` of their own, were not told their prefix, keep the first of several prefixes,
    refuse the host of their mount, end the process, share a cookie with another app, answer
    preflights that never reach them, or are mounted into themselves. A finding whose `is_note` is
    true is not a mistake: it says where `check` could not look.

    Args:
        app: as for `mountkit.explain`.
        root_path: the server's `--root-path`, which the apps see before their prefix.
    """
    found = [*_check(app, root_path.rstrip("/"), (), {}), *check_started([*chain_of(app)])]
    return list(dict.fromkeys(found))


#: Where each app was met first: the mount, and its whole prefix.
_Met: TypeAlias = dict[int, tuple[Mount, str]]


def _check(app: Any, prefix: str, above: tuple[Any, ...], met: _Met) -> Iterator[Finding]:
    chain = [*chain_of(app, above=above)]
    layers = [*layers_in(chain, is_whole=True)]
    for layer in layers:
        tables = [route.table for route in layer.routes if isinstance(route, MountTable)]
        for table in tables if layer.table is None else [layer.table]:
            yield from table.check()
        around = (*above, *layer.passed)
        for route in candidates_of(layer):
            if isinstance(route, Mount):
                yield from _check_app(route, prefix + route.path, around, met)
            elif isinstance(route, (starlette.routing.Mount, starlette.routing.Host)):
                yield from check_foreign(route)
                path = prefix + getattr(route, "path", "")
                yield from _check(route.app, path, around, met)
    yield from check_hidden(layers, (*above, *chain))
    yield from check_order(chain, layers, above)
    yield from _check_cookies(app)
    for fork in chain:
        if isinstance(fork, Fork):
            yield from check_fork(fork)
            for one in fork.apps:
                yield from _check(one, prefix, (*above, app), met)


def _check_app(mount: Mount, prefix: str, above: tuple[Any, ...], met: _Met) -> Iterator[Finding]:
    if any(mount.target is app for app in above):
        message = f"{shown(mount.rule)} mounts an app into itself; mount another app."
        yield Finding("mounted-into-itself", message, (mount.rule,))
        return
    for problem in problems(mount.target, mount.place(prefix)):
        message = f"The app of {shown(mount.rule)}: {problem.message}."
        yield Finding(problem.code, message, (mount.rule,))
    yield from _check_prefixes(mount, prefix, met)
    if has_cors(mount.app) and not any(map(is_cors, above)) and not _meets_preflights(mount.rule):
        message = (
            f"{shown(mount.rule)} gets no preflight, which has no cookies and only the names of "
            "headers; its CORSMiddleware answers none. Put CORSMiddleware around the dispatcher."
        )
        yield Finding("preflight", message, (mount.rule,))
    layers = takewhile(lambda one: one is not mount.target, within(mount.app))
    yield from _check(mount.target, prefix, (*above, *layers), met)
    if mount.child is not None:
        yield from check_started([*chain_of(mount.target, above=above)])


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
    found = [route for layer in layers_of(app) for route in candidates_of(layer)]
    mounts = [route for route in found if isinstance(route, Mount)]
    sites: list[tuple[Mount | None, Any]] = [(None, app)]
    sites += [(mount, mount.target) for mount in mounts if not _has_own_cookies(mount)]
    sites.append((None, getattr(app, "underneath", None)))
    cookies = [(mount, target, session_cookie(target)) for mount, target in sites]
    for (mount, target, cookie), (later, later_target, other) in combinations(cookies, 2):
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
