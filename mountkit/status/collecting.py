"""All mounts of an app, at any depth, and how they are doing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from typing import Any

import starlette.routing
from starlette.routing import Router

from mountkit.frameworks import is_a, within
from mountkit.inspection.audits import check
from mountkit.inspection.layers import STARLETTE, chain_of, describe_app, flatten
from mountkit.matching.callers import short
from mountkit.matching.rules import Rule
from mountkit.middleware.limits import LimitMiddleware
from mountkit.middleware.meters import MeterMiddleware
from mountkit.processes.processes import Process
from mountkit.serving.dispatchers import Dispatcher, Underneath
from mountkit.serving.mounts import Mount
from mountkit.serving.tables import MountTable
from mountkit.status.snapshots import (
    FindingStatus,
    MountStatus,
    Snapshot,
    TenantStatus,
    WorkerStatus,
    latency_of,
)
from mountkit.status.words import conditions_of, finding_in_words
from mountkit.tenants.apps import TenantApps
from mountkit.wsgi.bridge import WSGIBridge

# Mounts between which the loop is free, and mounts beyond which nothing is checked.
_STRIDE = 50
_MOST_CHECKED = 1000
# Apps may be mounted in each other: mounts are followed so deep.
_DEEPEST = 10


@dataclass(slots=True)
class _Known:
    """What does not change of a mount."""

    mount: Mount
    rule: Rule
    conditions: str
    app: str
    where: str
    limit: int | None
    meter: MeterMiddleware | None
    bridge: WSGIBridge | None
    tenants: TenantApps[Any] | None
    deciders: tuple[Any, ...] | None  # where its app chooses; `None`: not known for good


class Collector:
    """Takes snapshots of one app, and remembers what does not change from one to the next.

    Args:
        started: see `Snapshot`; by default now.
    """

    def __init__(self, app: Any, *, started: float | None = None) -> None:
        self.app = app
        self.started: float = time.time() if started is None else started
        self._known: dict[int, _Known] = {}
        self._seen: dict[int, _Known] = {}
        self._findings: tuple[FindingStatus, ...] | None = None
        self._checked: tuple[int, ...] | None = None  # the mounts that were checked

    def steps(self) -> Generator[None, None, Snapshot]:
        """Take one, in steps of up to some milliseconds."""
        self._seen = {}
        mounts: list[MountStatus] = []
        tenants: list[TenantStatus] = []
        names: dict[str, int] = {}
        meters: set[int] = set()
        for number, (place, known) in enumerate(self._walk(_deciders(self.app)[0], _Place())):
            if number % _STRIDE == 0:
                yield
            name = _unused(place, known, names)
            mounts.append(_status(name, place, known, meters))
            if known.tenants is not None:
                tenants += _tenants(name, known.tenants)
        self._known = self._seen
        now = time.time()
        return Snapshot(
            version=mountkit_version(),
            started=self.started,
            workers=(WorkerStatus(os.getpid(), 0, self.started),),
            mounts=tuple(mounts),
            tenants=tuple(tenants),
            findings=self._findings,
            taken=now,
        )

    def check(self) -> None:
        """Have a thread check the app, unless that was done for these mounts; the next snapshots
        have what it finds. Of very many mounts nothing is checked: that takes too long."""
        mounts = tuple(self._seen)
        if mounts != self._checked and len(mounts) <= _MOST_CHECKED:
            self._checked = mounts
            threading.Thread(target=self._check, name="mountkit check", daemon=True).start()

    def _check(self) -> None:
        try:
            found = tuple(dict.fromkeys(check(self.app)))
        except Exception:  # of an app that is being changed, or of a user's own property
            self._checked = None
            return
        self._findings = tuple(map(finding_in_words, found))

    def _walk(
        self, deciders: Iterable[Any], place: _Place, depth: int = _DEEPEST
    ) -> Iterator[tuple[_Place, _Known]]:
        for route in _routes_of(deciders):
            if isinstance(route, Mount):
                known = self._look_up(route)
                inner = place.below(route.label, route.name or route.label)
                yield inner, known
                below = _deciders(route.target)[0] if known.deciders is None else known.deciders
            else:
                text = getattr(route, "host", "") + getattr(route, "path", "")
                inner = place.below(text, getattr(route, "name", "") or text)
                below = _deciders(route.app)[0]
            if below and depth:
                yield from self._walk(below, inner, depth - 1)

    def _look_up(self, mount: Mount) -> _Known:
        known = self._known.get(id(mount)) or self._seen.get(id(mount))
        if known is None or known.rule is not mount.rule:
            known = _look_at(mount)
        self._seen[id(mount)] = known
        return known


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a mount is: the labels and the names of those above it, and of itself."""

    label: str = ""
    name: str = ""

    def below(self, label: str, name: str) -> _Place:
        """The place of a mount in this one. A label begins with a host or with a path."""
        joint = "" if label[:1] == "/" else " " * bool(self.label)
        whole = (self.label if joint else self.label.rstrip("/")) + joint + label
        return _Place(whole, f"{self.name}:{name}" if self.name else name)


def _deciders(app: Any) -> tuple[tuple[Any, ...], bool]:
    """The dispatchers and the router that a request to an app passes, and whether they stay: an app
    of Starlette's makes its middleware with its first request."""
    if is_a(app, *STARLETTE) and not app.user_middleware:
        return (app.router,), True
    chain = [*chain_of(app)]
    is_final = all(one.middleware_stack for one in chain if is_a(one, *STARLETTE))
    return tuple(one for one in chain if isinstance(one, (Dispatcher, Router))), is_final


def _routes_of(deciders: Iterable[Any]) -> Iterator[Any]:
    """The mounts there, those that start or drain included, and other routes to apps."""
    for one in deciders:
        if isinstance(one, Dispatcher):
            yield from (mount for mount in one.table.declared if isinstance(mount, Mount))
            if passing := one._changes.mounts:
                in_table = set(map(id, one.table.declared))
                yield from (mount for mount in passing if id(mount) not in in_table)
            if one.default is not None:
                yield one.default
            continue
        for route in flatten(one.routes):
            if isinstance(route, MountTable):
                yield from (mount for mount in route.routes if isinstance(mount, Mount))
            elif isinstance(route, (starlette.routing.Mount, starlette.routing.Host)):
                yield route


def _look_at(mount: Mount) -> _Known:
    layers = [*takewhile(lambda one: one is not mount.target, within(mount.app))]
    limit = next((one.max_concurrency for one in layers if isinstance(one, LimitMiddleware)), None)
    deciders, is_final = _deciders(mount.target)
    if isinstance(mount, Underneath):
        deciders, is_final = (), True  # they are those of the dispatcher that it stands under
    inside = within(mount.target)
    return _Known(
        mount,
        mount.rule,
        conditions_of(mount.rule),
        describe_app(mount.target),
        short(mount.rule.where),
        limit,
        next((one for one in layers if isinstance(one, MeterMiddleware)), None),
        next((one for one in layers if isinstance(one, WSGIBridge)), None),
        next((one for one in inside if isinstance(one, TenantApps)), None),
        deciders if is_final else None,
    )


def _unused(place: _Place, known: _Known, names: dict[str, int]) -> str:
    """The name of a mount. Two that have the same, without one of their own, differ in their
    conditions; a mount that leaves has that of the one that takes its place."""
    name = place.name
    if name in names and known.conditions and not known.mount.name:
        name = f"{name} ({known.conditions})"
    names[name] = names.get(name, 0) + 1
    return name


def _status(name: str, place: _Place, known: _Known, meters: set[int]) -> MountStatus:
    """How a mount is doing. A meter that several fill, as when one replaces another, counts once:
    `meters` has those that were counted, by identity."""
    mount = known.mount
    health = mount.health
    meter = None
    if known.meter is not None and id(known.meter.meter) not in meters:
        meters.add(id(known.meter.meter))
        meter = known.meter.meter.snapshot()
    is_of_run = health.error is not None and health.error is not mount.error
    error = health.error
    if error is not None and error.startswith(mount.where):
        error = f"It{error.removeprefix(mount.where)}"
    pool = None if known.bridge is None else known.bridge.pool
    restarts = 0 if mount.child is None else mount.child.run.restarts
    if isinstance(mount.target, Process):
        restarts += mount.target.restarts
    return MountStatus(
        name=name,
        label=place.label,
        conditions=known.conditions,
        app=known.app,
        where=known.where,
        status=health.status,
        since=health.since,
        in_flight=health.in_flight,
        answered=health.answered,
        error=error,
        error_at=health.since if is_of_run else mount.error_at,
        limit=known.limit,
        waiting=None if pool is None else max(pool.pending - pool.limit, 0),
        threads=None if pool is None else pool.limit,
        restarts=restarts,
        meter=meter,
        latency=latency_of(meter),
    )


def _tenants(name: str, apps: TenantApps[Any]) -> Iterator[TenantStatus]:
    for one in apps.health:
        tenant = one.mount.removeprefix("tenant ").strip("'")
        yield TenantStatus(
            name, tenant, one.status, one.since, one.in_flight, one.answered, one.error
        )


@cache
def mountkit_version() -> str:
    """The installed release; `""` if it runs from a folder that is not installed."""
    with suppress(PackageNotFoundError):
        return version("mountkit")
    return ""
