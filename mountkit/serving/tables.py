"""Mounts among routes: a table of them is one route of Starlette's.

A router updates its scope with what `matches` returns and calls `handle`, which takes all of it
out again: the mount makes a scope of its own, and the router's stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from mountkit.exceptions import MountkitError
from mountkit.matching.decisions import Refusal, Resolution
from mountkit.matching.rules import Rule
from mountkit.matching.tables import Table
from mountkit.serving.exposures import with_exposures
from mountkit.serving.names import url_path_for
from mountkit.serving.refusals import refuse

# The one key that `matches` adds to what Starlette's own mounts put there.
_KEY = "mountkit"
_MATCHED_KEYS = ("path_params", "app_root_path", "root_path", "endpoint")


class Entry(Protocol):
    """What a table chooses: a mount, or a path that it exposes elsewhere."""

    @property
    def rule(self) -> Rule: ...

    async def serve(
        self,
        found: Resolution[Any],
        scope: Scope,
        receive: Receive,
        send: Send,
        router: Any = None,
    ) -> None:
        """Serve a request that a table has given to this entry.

        Args:
            router: who resolves names for routes that are part of the parent, if no router stands
                above.
        """


class _Matched(NamedTuple):
    decision: Resolution[Any] | Refusal
    before: dict[str, Any]


class MountTable(BaseRoute):
    """Several mounts as one route: the most specific that matches.

    What the table does not take is left to the other routes: it refuses nothing on their behalf.
    """

    def __init__(self, mounts: Sequence[Any]) -> None:
        self.routes: list[Any] = list(mounts)
        self.table: Table[Any] = Table(with_exposures(mounts))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        decision = self.table.decide(scope)
        if isinstance(decision, Refusal):
            if not decision.is_ambiguous and self.table.resolve(scope) is None:
                return Match.NONE, {}
            return Match.FULL, {_KEY: _Matched(decision, {})}
        return (Match.NONE, {}) if decision is None else (Match.FULL, matched(scope, decision))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: _Matched | None = scope.pop(_KEY, None)
        if found is None:
            raise MountkitError(
                f"{self.routes[0]!r} was asked to handle a request that it has not matched; call "
                "matches() first and update the scope with what it returns."
            )
        decision, before = found
        if isinstance(decision, Refusal):
            await refuse(decision, self.table, scope, receive, send, None)
            return
        for key in _MATCHED_KEYS:
            if key in before:
                scope[key] = before[key]
            else:
                del scope[key]
        await decision.mount.serve(decision, scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        return url_path_for(self.routes, name, **path_params)


def decision_in(matched: Scope) -> Resolution[Any] | Refusal | None:
    """What `matches` has decided; `None` if it was not that of a mount."""
    found: _Matched | None = matched.get(_KEY)
    return None if found is None else found.decision


def matched(scope: Scope, found: Resolution[Any]) -> dict[str, Any]:
    """What a router updates its scope with: Starlette's keys, so that tools find them."""
    return {
        "path_params": {**scope.get("path_params", {}), **found.params},
        "app_root_path": scope.get("app_root_path", found.root_path),
        "root_path": found.root_path + found.prefix,
        "endpoint": getattr(found.mount, "app", None),
        _KEY: _Matched(found, {k: scope[k] for k in _MATCHED_KEYS if k in scope}),
    }
