"""The order of declaration, when a file changes.

It decides between mounts that are equally specific (`Rule.rank`). A mount that comes while others
are served is declared last; where that is not its place in the file, those that stand after it come
anew, so that a process that has changed decides as one that was started with the new file.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

from mountkit.matching.rules import Rule
from mountkit.serving.mounts import Mount


def rules_of(mount: Mount) -> Iterator[Rule]:
    """Those of all of its entries in a table: its own, at its other hosts, of what it exposes."""
    yield mount.rule
    for one in mount.exposures:
        yield one.rule


def out_of_order(
    served: Sequence[str], wanted: Mapping[str, Collection[Rule]], last: Collection[str]
) -> set[str]:
    """The names of mounts that are declared last because they or others before them in the file
    are.

    Args:
        served: the names of those that are served, in the order of declaration.
        wanted: the rules of those that are to be served, in the order of the file.
        last: the names of those that are declared last in any case; those that are not served are.
    """
    places = {name: number for number, name in enumerate(served)}
    kinds: dict[Hashable, list[str]] = {}
    for name, rules in wanted.items():
        for kind in {_kind(rule) for rule in rules}:
            kinds.setdefault(kind, []).append(name)
    several = [names for names in kinds.values() if len(names) > 1]
    found = {name for name in wanted if name not in places or name in last}
    count = -1
    while count != len(found):
        count = len(found)
        for names in several:
            place = -1
            for name in names:
                if name in found or places[name] < place:
                    place = len(places)  # all that stand behind it come behind it
                    found.add(name)
                else:
                    place = places[name]
    return found


def _kind(rule: Rule) -> Hashable:
    """Equal for rules between which the order of declaration may decide."""
    path = rule.path
    # Behind a placeholder that takes any number of segments a literal one may stand anywhere.
    literal = path.segments[: path.multi]
    segments = tuple(part if isinstance(part, str) else None for part in literal)
    return (rule.rank, segments, None if rule.host is None else rule.host.host)
