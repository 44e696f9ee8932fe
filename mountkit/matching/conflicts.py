"""Two mounts that take the same requests, as an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mountkit.exceptions import ConflictError
from mountkit.matching.rules import Rule


def conflict(one: Any, other: Any, entries: Iterable[Any]) -> ConflictError:
    """An error that names both places, and numbers them where they are on the same line."""
    if one is other:
        return ConflictError(
            f"Mount({one.rule!r}) at {one.rule.where} is given twice; name it once."
        )
    places = [f"Mount({entry.rule!r}) at {entry.rule.where}" for entry in (one, other)]
    if one.rule.where == other.rule.where:
        # A mount has several entries if it has several hosts.
        line = [getattr(e, "mount", e) for e in entries if e.rule.where == one.rule.where]
        ids = list(dict.fromkeys(map(id, line)))
        for at, entry in enumerate((one, other)):
            places[at] += f" (number {ids.index(id(getattr(entry, 'mount', entry))) + 1} there)"
    return ConflictError(
        f"{places[0]} takes exactly the requests of {places[1]}{_example(other.rule)}; remove one, "
        "or give it a condition or a priority of its own."
    )


def _example(rule: Rule) -> str:
    from mountkit.matching.witnesses import describe_request, overlap

    scope = overlap(rule, rule)
    return "" if scope is None else f", such as {describe_request(scope)}"
