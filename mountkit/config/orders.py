"""The order of declaration, when a file changes.

It decides between mounts that are equally specific (`Rule.rank`). A mount that comes while others
are served is declared last; where that is not its place in the file, those that stand after it come
anew, so that a process that has changed decides as one that was started with the new file.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from mountkit.matching.rules import Rule


def out_of_order(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> set[str]:
    """The names of mounts that are there and have to come anew.

    Args:
        old, new: by the names of the mounts, in the order of declaration.
    """
    wanted: dict[Hashable, list[str]] = {}
    for name, rule in new.items():
        wanted.setdefault(_kind(rule), []).append(name)
    served: dict[Hashable, list[str]] = {}
    for name in (
        *(name for name in old if name in new),
        *(name for name in new if name not in old),
    ):
        served.setdefault(_kind(new[name]), []).append(name)
    found: set[str] = set()
    for kind, names in wanted.items():
        is_same = True
        for name, other in zip(names, served[kind], strict=True):
            is_same = is_same and name == other
            if not is_same and name in old:
                found.add(name)
    return found


def _kind(rule: Rule) -> Hashable:
    """Equal for rules between which the order of declaration may decide."""
    segments = tuple(part if isinstance(part, str) else None for part in rule.path.segments)
    host = "" if rule.host is None else rule.host.pattern
    return (rule.rank, segments, None if "{" in host or "*" in host else host)
