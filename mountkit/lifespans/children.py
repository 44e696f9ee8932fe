"""An app as its mount holds it, and the mounts that stand among routes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from starlette.types import ASGIApp, Scope

from mountkit.lifespans.options import Lifespan
from mountkit.lifespans.registers import Register, mark_of
from mountkit.lifespans.runs import Run

_DEFAULT = Lifespan()
_NO_RUNS: dict[int | None, Run] = {}
_lock = threading.Lock()  # servers may run in several threads


@dataclass(slots=True, eq=False)
class Child:
    """One app, as a mount holds it.

    Attributes:
        app: the application as it was given: what tells distinct apps apart.
        asgi: the same, behind a bridge if it is not an ASGI 3 app.
        name: for messages: "The app mounted at '/mcp' (main.py:12)".
        has_lifespan: `False` for apps without one to run, such as WSGI ones.
        lifespan: how it is started and stopped.
        close: called after the mount has let go of it.
        state: what its lifespan's state holds from the start.
        is_started: whether a lifespan has reached it.
        run: for the usual server, which marks no requests; once it has stopped, for another
            that still runs.
        others: for further servers, by their mark.
    """

    app: Any
    asgi: ASGIApp
    name: str
    _: KW_ONLY
    has_lifespan: bool = True
    lifespan: Lifespan = _DEFAULT
    close: Callable[[], None] = lambda: None
    state: dict[str, Any] = field(default_factory=dict)
    is_started: bool = False
    run: Run = field(init=False)
    others: dict[int | None, Run] = field(default_factory=lambda: _NO_RUNS)  # replaced, not changed
    _register: Register | None = None  # of the usual server

    def __post_init__(self) -> None:
        self.run = Run(self.app)

    def run_for(self, scope: Scope) -> Run:
        """Its run for the server that a request came through. A server that supports no state
        cannot mark its requests: they see the usual one."""
        if not self.others:
            return self.run
        return self.others.get(mark_of(scope), self.run)

    def run_in(self, register: Register) -> Run:
        """Its run for a server."""
        return self.others.get(register.mark, self.run)

    def hold(self, run: Run, register: Register) -> None:
        """Use a run for the requests of a server, which gets a mark if another holds this app."""
        with _lock:
            usual = self._register
            if usual is None or usual is register or usual.is_over:
                self._register, self.run = register, run
            else:
                self.others = {**self.others, register.marked(): run}

    def release(self, run: Run, register: Register) -> None:
        """Let go of a run for a server, unless it has another by now."""
        with _lock:
            if self.run_in(register) is not run:
                return
            if self._register is register:
                self._register = None
            else:
                self.others = {k: v for k, v in self.others.items() if k != register.mark}
            if self._register is None and self.others:
                self.run = next(iter(self.others.values()))


def mounts_of(routes: Iterable[Any]) -> Iterator[Any]:
    """The mounts anywhere among these routes, in the order of declaration: whatever has a `child`,
    a `Child` or `None`.

    Looks below Starlette's mounts and hosts and FastAPI's included routers, but not into a
    mounted app: that one starts what it mounts. A path that shows another mount's app elsewhere
    (it has an `owner`) is not a mount of its own.
    """
    seen: set[int] = set()
    pending = list(routes)[::-1]
    while pending:
        route = pending.pop()
        if id(route) in seen:
            continue
        seen.add(id(route))
        if hasattr(route, "child"):
            if not hasattr(route, "owner"):
                yield route
            if route.child is not None:
                continue
        router = getattr(route, "original_router", route)
        pending += list(getattr(router, "routes", None) or ())[::-1]


def children_of(routes: Iterable[Any]) -> Iterator[Child]:
    """The apps of those mounts."""
    return (mount.child for mount in mounts_of(routes) if mount.child is not None)
