"""What is mounted at which host: a tree of paths for each host pattern.

A look-up costs as much as the request's host has labels, however many hosts there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.types import Scope

from mountkit.matching.hosts import HostPattern, HostPort, host_of_value, plain_name
from mountkit.matching.rules import Rule
from mountkit.matching.segments import Segment
from mountkit.matching.trees import Tree, is_leaf

T = TypeVar("T")

#: Spellings of known hosts that are remembered, besides two for each host.
MAX_SPELLINGS = 1000


class Place(NamedTuple):
    """What is mounted at the host of a request.

    Attributes:
        host: in its normal form.
        trees: the most specific first, with the values of their placeholders; a number if all that
            is mounted there is one root.
        is_tied: whether two of them are equally specific.
        generation: of the hosts; the place is out of date if they have changed since.
    """

    host: HostPort
    trees: Sequence[tuple[dict[str, Any], int | Tree]]
    is_tied: bool
    generation: int


# A valid host at which nothing is mounted. Which one it is does not matter then.
_NOWHERE = Place(HostPort("", None), (), False, 0)


class HostTrees:
    """The trees of a table that have a host.

    Args:
        mounts, rules: those of the table, by number.
    """

    def __init__(self, mounts: list[Any], rules: list[Rule]) -> None:
        self._mounts = mounts
        self._rules = rules
        # Names without a port; a number if all that is mounted there is one root.
        self._plain: dict[str, int | Tree] = {}
        # Hosts with ports, wildcards and placeholders; and the same trees by the patterns' keys.
        self._patterns: HostIndex[Tree] = HostIndex()
        self._trees: dict[Any, Tree] = {}
        self._ports = 0  # how many patterns have one
        self._places: dict[Any, Place] = {}  # by the spellings of hosts
        self._generation = 0

    def is_empty(self) -> bool:
        return not (self._plain or self._trees)

    def _at(self, host: HostPattern) -> int | Tree | None:
        if host.host is not None and host.port is None:
            return self._plain.get(host.host)
        return self._trees.get(host.key)

    def beside(self, rule: Rule, host: HostPattern) -> Sequence[int]:
        """The mounts with the same host and path as `rule`, and perhaps others."""
        tree = self._at(host)
        if isinstance(tree, int):
            return () if rule.path.segments else (tree,)
        return () if tree is None else tree.beside(rule)

    def add(self, number: int, rule: Rule, host: HostPattern) -> None:
        self._generation += 1
        tree = self._at(host)
        if not isinstance(tree, Tree):
            only = tree
            if host.host is not None and host.port is None:
                if only is None and not rule.path.segments and is_leaf(rule):
                    self._plain[host.host] = number
                    return
                tree = self._plain[host.host] = Tree(self._mounts, self._rules)
            else:
                tree = self._trees[host.key] = Tree(self._mounts, self._rules)
                self._patterns.add(host, tree)
                self._ports += host.port is not None
            if only is not None:
                tree.add(only, self._rules[only])
        tree.add(number, rule)

    def remove(self, number: int, rule: Rule, host: HostPattern) -> None:
        self._generation += 1
        tree = self._at(host)
        if isinstance(tree, Tree):
            tree.remove(number, rule)
            if not tree.is_empty():
                return
        if host.host is not None and host.port is None:
            del self._plain[host.host]
        else:
            del self._trees[host.key]
            self._patterns.remove(host)
            self._ports -= host.port is not None

    def place_of(self, scope: Scope) -> Place | None:
        """What is mounted at the host of a request; `None` without exactly one valid `Host` header
        (see `hosts.request_host`).

        Spellings of hosts that are mounted are remembered. Others never are: a client can make up
        as many as it likes.
        """
        value = None
        for name, found in scope["headers"]:
            if name == b"host":
                if value is not None:
                    return None
                value = found
        if value is None:
            return None
        # A port that is left out is the scheme's; that matters if a mount has a port.
        key = (value, scope.get("scheme")) if self._ports else value
        place = self._places.get(key)
        if place is not None and place.generation == self._generation:
            return place
        if not self._trees:  # no port, no wildcard, no placeholder
            name = plain_name(value)
            if name is not None and name not in self._plain:
                return _NOWHERE
        host = host_of_value(value, scope)
        if host is None:
            return None
        place = self._place_at(host)
        if place.trees:
            if len(self._places) > MAX_SPELLINGS + 2 * (len(self._plain) + len(self._trees)):
                self._places.clear()
            self._places[key] = place
        return place

    def _place_at(self, host: HostPort) -> Place:
        patterns = self._patterns.find(host)
        is_tied = any(a.rank == b.rank for (a, _), (b, _) in pairwise(patterns))
        trees: list[tuple[dict[str, Any], int | Tree]] = [
            (pattern.match(host) or {}, tree) for pattern, tree in patterns
        ]
        if host.host in self._plain:
            # Of the patterns only the same host with a port is more specific.
            at = len(patterns) > 0 and patterns[0][0].host is not None
            trees.insert(at, ({}, self._plain[host.host]))
        return Place(host, trees, is_tied, self._generation)


class HostIndex(Generic[T]):
    """Values by host pattern: a node for each label, read from the right."""

    __slots__ = ("placeholders", "static", "values")

    def __init__(self) -> None:
        self.static: dict[str, HostIndex[T]] = {}
        self.placeholders: dict[str, HostIndex[T]] = {}
        self.values: list[tuple[HostPattern, T]] = []

    def add(self, pattern: HostPattern, value: T) -> None:
        """Add a value; no equal pattern was added before."""
        node = self
        for label in _labels(pattern):
            if isinstance(label, str):
                node = node.static.setdefault(label, HostIndex())
            else:
                node = node.placeholders.setdefault(label.key, HostIndex())
        node.values.append((pattern, value))

    def remove(self, pattern: HostPattern) -> None:
        """Remove the value of an equal pattern."""
        self._remove(pattern, _labels(pattern))

    def _remove(self, pattern: HostPattern, labels: Sequence[str | Segment]) -> None:
        if not labels:
            self.values = [item for item in self.values if item[0].key != pattern.key]
            return
        first, *rest = labels
        children = self.static if isinstance(first, str) else self.placeholders
        key = first if isinstance(first, str) else first.key
        children[key]._remove(pattern, rest)
        if children[key].is_empty():
            del children[key]

    def is_empty(self) -> bool:
        return not (self.values or self.static or self.placeholders)

    def find(self, request: HostPort | None) -> Sequence[tuple[HostPattern, T]]:
        """Every value whose pattern matches, the most specific first."""
        found: list[tuple[HostPattern, T]] = []
        live = [] if request is None else [self]
        for label in () if request is None else request.host.split(".")[::-1]:
            reached: list[HostIndex[T]] = []
            for node in live:
                if label in node.static:
                    reached.append(node.static[label])
                reached += node.placeholders.values()
            if not reached:
                break  # only a wildcard goes on, and it was collected where it ends
            live = reached
            for node in live:
                found += [item for item in node.values if item[0].match(request) is not None]
        found.sort(key=lambda item: item[0].rank)
        return found


def _labels(pattern: HostPattern) -> Sequence[str | Segment]:
    return pattern.labels if pattern.host is None else pattern.host.split(".")[::-1]
