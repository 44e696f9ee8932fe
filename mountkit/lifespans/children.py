"""An app as its mount holds it, and the mounts that stand among routes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from starlette.types import ASGIApp, Scope

from mountkit.frameworks import starts_nothing
from mountkit.lifespans.options import Lifespan
from mountkit.lifespans.registers import Register, mark_of
from mountkit.lifespans.runs import Run
from mountkit.logs import lifespan as logger
from mountkit.tasks import describe, is_outside

_USUAL = Lifespan()
_OF_ROUTES = "s of mounts among an app's routes. Write"
_OF_A_DISPATCHER = (
    " of what it is mounted in. Turn on that of the server or of the test client; where "
    "another app is above, write there"
)
_NEVER = -math.inf
_NO_RUNS: dict[Any, Run] = {}  # most apps have one server; never written to
_lock = threading.Lock()  # servers may run in several threads


def _nothing() -> None:
    """What there is to close of most apps."""


@dataclass(slots=True, eq=False)
class Child:
    """One app, as a mount holds it.

    Attributes:
        app: the application as it was given: what tells distinct apps apart.
        asgi: the same, behind a bridge if it is not an ASGI 3 app.
        name: for messages: "The app mounted at '/mcp' (main.py:12)".
        place: its mount's label and line, to be told when it is up; `None` tells nothing.
        has_lifespan: `False` for apps without one to run, such as WSGI apps.
        close: called after the mount has let go of the app.
        state: what the state of its lifespan holds from the start.
        is_part: a route of Starlette's serves it, with the state of the server: what its lifespan
            adds to its own is added to that.
        run: for the server without a mark, if that holds it, else for the one that has held it
            longest; and for requests without a mark.
        others: for further servers, by their mark; replaced, not changed.
    """

    app: Any
    asgi: ASGIApp
    name: str
    _: KW_ONLY
    place: tuple[str, str] | None = None
    has_lifespan: bool = True
    lifespan: Lifespan = _USUAL
    close: Callable[[], None] = _nothing
    state: dict[str, Any] = field(default_factory=dict)
    is_part: bool = False
    run: Run = field(init=False)
    others: dict[int | None, Run] = field(default_factory=lambda: _NO_RUNS)
    _runs: dict[Register, Run] = field(default_factory=lambda: _NO_RUNS)

    def __post_init__(self) -> None:
        self.run = Run(self.app, retry_at=_NEVER if self.has_lifespan else None)

    def warn(self, runner: Any = None) -> None:
        """Say that it is served and was never started, which the `retry_at` of a new run shows;
        once for a `LifespanRunner`, or, among routes, where there is none, for this app. Not of an
        app that has nothing to start."""
        self.run.retry_at = None
        if starts_nothing(self.app) and not starts_apps(self.app):
            return
        if runner is None or not runner.has_warned:
            logger.warning(
                "%s is served, but was never started: nothing runs the lifespan%s "
                "app.add_middleware(mountkit.LifespanMiddleware).",
                self.name,
                _OF_ROUTES if runner is None else _OF_A_DISPATCHER,
            )
        if runner is not None:
            runner.has_warned = True

    def run_for(self, scope: Scope, runner: Any = None) -> Run:
        """Its run for the server that a request came through. A server that supports no state
        cannot mark its requests, nor those that came before it had a mark: they see the run of the
        only server of `runner`, a `LifespanRunner`, else the usual one."""
        if not self.others:
            return self.run
        mark = mark_of(scope)
        if mark is None and runner is not None and len(runner.supervisors) == 1:
            return self.run_in(runner.supervisors[0].register)
        return self.others.get(mark, self.run)

    def run_in(self, register: Register) -> Run:
        """Its run for a server."""
        return self._runs.get(register, self.run)

    def hold(self, run: Run, register: Register) -> None:
        """Use a run for the requests of a server, which gets a mark if another holds this app."""
        with _lock:
            runs = {one: held for one, held in self._runs.items() if not one.is_over}
            self._use({**runs, register: run})

    def release(self, run: Run, register: Register) -> None:
        """Let go of a run for a server, unless the server has another by now."""
        with _lock:
            if self._runs.get(register) is run:
                self._use({one: held for one, held in self._runs.items() if one is not register})

    def end(self) -> None:
        """Close what there is to close. What that raises is logged: others are to be stopped."""
        try:
            self.close()
        except BaseException as exc:
            if is_outside(exc):
                raise
            logger.error("%s did not close: %s", self.name, describe(exc), exc_info=exc)

    def _use(self, runs: dict[Register, Run]) -> None:
        self._runs = runs
        usual = next((one for one in runs if one.mark is None), None) or next(iter(runs), None)
        if usual is not None:
            self.run = runs[usual]
        self.others = {one.marked(): run for one, run in runs.items() if one is not usual}


def _walk(routes: Iterable[Any]) -> Iterator[Any]:
    """The mounts anywhere among these routes, in the order of declaration: whatever has a `child`,
    a `Child` or `None`; and other routes to an app that starts apps.

    Looks below Starlette's mounts and hosts and FastAPI's included routers, but not into an app
    that starts what it mounts.
    """
    seen: set[int] = set()
    pending = [iter(routes)]
    while pending:
        route = next(pending[-1], None)
        if route is None:
            pending.pop()
        if route is None or id(route) in seen:
            continue
        seen.add(id(route))
        is_mount = hasattr(route, "child")
        if is_mount or starts_apps(getattr(route, "app", None)):
            yield route
            if not is_mount or route.child is not None:
                continue
        router = getattr(route, "original_router", route)
        pending.append(iter(getattr(router, "routes", None) or ()))


def starts_apps(app: Any) -> bool:
    """Whether an app of mountkit's that starts others, or needs to be started itself, is one of
    the middleware of an app, or this app."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        layers = [getattr(layer, "cls", None) for layer in getattr(app, "user_middleware", ())]
        kinds = (type(app), *(getattr(layer, "func", layer) for layer in layers))
        if any(getattr(kind, "has_lifespans", False) for kind in kinds):
            return True
        app = getattr(app, "app", None)
    return False


def mounts_of(routes: Iterable[Any]) -> Iterator[Any]:
    """The mounts among these routes."""
    return (route for route in _walk(routes) if hasattr(route, "child"))


def children_of(routes: Iterable[Any]) -> Iterator[Child]:
    """The apps to start for these routes."""
    for route in _walk(routes):
        if not hasattr(route, "child"):
            at = getattr(route, "path", "") or getattr(route, "host", "") or "/"
            name = f"The app mounted at {at!r}"
            yield Child(route.app, route.app, name, place=(at, ""), is_part=True)
        elif route.child is not None:
            yield route.child
