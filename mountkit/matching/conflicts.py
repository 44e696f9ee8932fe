"""Two mounts that take the same requests, as an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mountkit.exceptions import ConflictError


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
    from mountkit.matching.witnesses import example_of  # a server does not need it

    return ConflictError(
        f"{places[0]} takes exactly the requests of {places[1]}{example_of(other.rule)}; remove "
        "one, or give it a condition or a priority of its own."
    )
