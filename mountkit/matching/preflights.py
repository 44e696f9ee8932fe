"""Preflights: what a browser asks before it sends another origin's request (Fetch, section 4.8)."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from mountkit.matching.decisions import Resolution

#: Stands for the value of a header that is announced: no header has it.
UNKNOWN = b"\0"
#: Characters of the announced names that are read.
MAX_NAMES_LENGTH = 4000


def announced(scope: Scope, found: Resolution[Any] | None = None) -> Scope | None:
    """The request that a preflight announces: its method, and the names of its headers.

    Args:
        found: the mount that takes the preflight itself.

    Returns:
        `None` if it is not a preflight, and if `found` takes it for its own method.
    """
    if scope.get("method") != "OPTIONS" or scope["path"] == "*":
        return None
    given = dict(scope["headers"])
    method = given.get(b"access-control-request-method", b"OPTIONS").decode("latin-1")
    if b"origin" not in given or method in ("OPTIONS", "CONNECT"):
        return None
    other = {**scope, "method": ""}
    if found is not None and not all(m.matches(other) for m in found.mount.rule.conditions):
        return None
    names = given.get(b"access-control-request-headers", b"")[:MAX_NAMES_LENGTH].lower().split(b",")
    new = [(name, UNKNOWN) for name in {*map(bytes.strip, names)} - given.keys()]
    return {**scope, "method": method, "headers": [*scope["headers"], *new]}
