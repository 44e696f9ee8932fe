"""The mounts of one host as a tree of path segments, a level for each segment.

A request walks down as deep as the deepest mount, and the last mount on its way takes it. If a walk
does not settle it, the tree names all mounts that may match, for the table to ask in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import Scope

from mountkit.matching.choices import Choices
from mountkit.matching.decisions import Resolution
from mountkit.matching.rules import Rule
from mountkit.matching.segments import Segment

#: The answer of a walk that does not settle a request.
UNDECIDED: Any = object()
# On the way of every request: a call of `__init__` takes as long as the rest of a resolution.
_new = object.__new__
# What most nodes have; never written to.
_NOTHING: Any = {}
_NONE: Any = []


def is_leaf(rule: Rule) -> bool:
    """Whether a static mount needs no node of its own."""
    return not rule.conditions and not rule.path.exact


class Tree:
    """The mounts of one host, by path.

    Args:
        mounts, rules: those of the table, by number.
    """

    __slots__ = ("_depth", "_depths", "_mounts", "_multi", "_root", "_rules")

    def __init__(self, mounts: list[Any], rules: list[Rule]) -> None:
        self._mounts = mounts
        self._rules = rules
        self._root = Node()
        self._depth = 0
        self._depths: dict[int, int] = {}  # how many mounts have so many segments
        # A placeholder that holds slashes does not fit into a tree of segments. These are rare.
        self._multi: list[int] = []

    def is_empty(self) -> bool:
        return not self._multi and self._root.is_empty()

    @property
    def is_flat(self) -> bool:
        """Whether the first segment leads to the mount; see `look_up`."""
        root = self._root
        is_deep = self._multi or self._depth > 1 or root.placeholders
        return not (is_deep or root.choices or root.exact)

    def beside(self, rule: Rule) -> Sequence[int]:
        """The mounts with the same path and conditions, and perhaps others."""
        path = rule.path
        if path.multi is not None:
            return self._multi
        node: int | Node | None = self._root
        for segment in path.segments:
            if not isinstance(node, Node):
                return ()
            if isinstance(segment, str):
                node = node.static.get(segment)
            else:
                node = node.placeholders.get(segment.key, (None, None))[1]
        if node is None:
            return ()
        if isinstance(node, int):
            return (node,)
        choices = () if node.choices is None else node.choices.beside(rule)
        return [*node.exact, *node.bare, *choices]

    def add(self, number: int, rule: Rule) -> None:
        path = rule.path
        if path.multi is not None:
            self._multi.append(number)
            return
        segments = path.segments
        depth = len(segments)
        self._depths[depth] = self._depths.get(depth, 0) + 1
        if depth > self._depth:
            self._depth = depth
        node = self._root
        if depth > 1:
            for segment in segments[:-1]:
                node = node.child(segment)
        if depth:
            last = segments[-1]
            if isinstance(last, str) and is_leaf(rule) and last not in node.static:
                node.add_leaf(last, number)
                return
            node = node.child(last)
        node.add(number, rule, self._rules)

    def remove(self, number: int, rule: Rule) -> None:
        path = rule.path
        if path.multi is not None:
            self._multi.remove(number)
            return
        depth = len(path.segments)
        self._depths[depth] -= 1
        if not self._depths[depth]:
            del self._depths[depth]
            self._depth = max(self._depths, default=0)
        self._root.remove(number, path.segments)

    def look_up(self, scope: Scope, root_path: str, rest: str) -> Resolution[Any] | None:
        """What `walk` answers, by one look-up; for a flat tree."""
        parts = rest.split("/", 2)  # never further, whatever the path
        if not rest or parts[0]:
            return UNDECIDED  # type: ignore[no-any-return]
        root = self._root
        number: Any = root.static.get(parts[1], root.only)
        if number.__class__ is not int:
            if number is not None:
                number = number.settle(scope, root.only)
            if number is None or number is UNDECIDED:
                return number
        prefix = self._rules[number].path.path
        found: Resolution[Any] = _new(Resolution)
        found.mount, found.root_path = self._mounts[number], root_path
        found.prefix, found.rest, found.params = prefix, rest.removeprefix(prefix), {}
        return found

    def walk(self, scope: Scope, root_path: str, rest: str) -> Resolution[Any] | None:
        """The last mount on the way down.

        Returns:
            `UNDECIDED` if a node on the way needs more than the next segment and its conditions.
        """
        node = self._root
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)
        if parts.pop(0) or not parts or not node.is_plain or self._multi:
            return UNDECIDED  # type: ignore[no-any-return]
        best: Any = node.only
        # The mounts with conditions at the same place and below it, which go before it.
        waiting = [] if node.choices is None else [node.choices]
        for part in parts:
            child: Any = node.static.get(part)
            if child is None:
                child = node.lone
                if child is None or not part:
                    break
            if child.__class__ is int:  # nothing is below
                best, waiting = child, []
                break
            node = child
            if not node.is_plain:
                return UNDECIDED  # type: ignore[no-any-return]
            if node.only is not None:
                best, waiting = node.only, []
            if node.choices is not None:
                waiting.append(node.choices)
        if waiting:
            best = _first(waiting, scope, best)
        if best is None:
            return None
        path = self._rules[best].path
        end, params = path.bare_length, {}
        for at, name in path.bare_names:
            params[name] = parts[at]
            end += len(parts[at])
        found: Resolution[Any] = _new(Resolution)
        found.mount, found.root_path = self._mounts[best], root_path
        found.prefix, found.rest, found.params = rest[:end], rest[end:], params
        return found

    def find(self, rest: str) -> list[int]:
        """The mounts whose path matches, or would if a placeholder's text can be converted."""
        found = list(self._multi)
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)[1:]
        found += self._root.prefix
        live = [self._root]
        for depth, part in enumerate(parts, 1):
            reached: list[int | Node] = []
            for node in live:
                reached += node.children(part)
            live = []
            for child in reached:
                if isinstance(child, int):
                    found.append(child)
                else:
                    live.append(child)
                    found += child.prefix
                    if depth == len(parts):
                        found += child.exact
            if not live:
                break
        if not parts:  # "" is "/" (RFC 3986, section 6.2.3)
            slash = self._root.static.get("")
            if isinstance(slash, Node):
                found += slash.exact
        return found


def _first(waiting: Sequence[Choices], scope: Scope, otherwise: int | None) -> int | None:
    """The mount of the deepest of these choices whose conditions hold."""
    for choices in reversed(waiting):
        number = choices.first(scope)
        if number is not None:
            return number
    return otherwise


class Node:
    """The place where mounts end or go on that begin with the same segments.

    A static mount that has no conditions and nothing below it needs no node: its number stands in
    the place of one.

    Attributes:
        static, placeholders: what is below.
        bare: the mounts that end here without a condition; several if their priorities differ.
        exact: the exact ones that end here.
        choices: those that end here with conditions.
        is_plain: whether a walk may pass: the next segment decides what is below, and the
            conditions of the mounts that end here decide the rest.
        only: the first of `bare`.
        lone: what is below the one placeholder, if there is nothing beside it.
    """

    __slots__ = ("bare", "choices", "exact", "is_plain", "lone", "only", "placeholders", "static")

    def __init__(self) -> None:
        self.static: dict[str, int | Node] = _NOTHING
        self.placeholders: dict[str, tuple[Segment, Node]] = _NOTHING
        self.bare: list[int] = _NONE
        self.exact: list[int] = _NONE
        self.choices: Choices | None = None
        self.is_plain: bool = True
        self.only: int | None = None
        self.lone: Node | None = None

    @property
    def prefix(self) -> Sequence[int]:
        """All mounts that end here and take what is below."""
        return self.bare if self.choices is None else [*self.bare, *self.choices.numbers]

    def is_empty(self) -> bool:
        return not (self.static or self.placeholders or self.bare or self.choices or self.exact)

    def _refresh(self) -> None:
        """Note what a walk may do here, after a change."""
        self.only = self.bare[0] if self.bare else None
        self.is_plain = not self.exact and (self.choices is None or self.choices.is_plain)
        self.lone = None
        if self.placeholders:
            (segment, node), *others = self.placeholders.values()
            self.lone = node
            # A walk cannot try a static segment first and this one after it.
            self.is_plain &= not others and not self.static and segment.bare is not None

    def add(self, number: int, rule: Rule, rules: list[Rule]) -> None:
        """Add a mount that ends here."""
        if rule.path.exact:
            self.exact = self.exact or []
            self.exact.append(number)
        elif rule.conditions:
            if self.choices is None:
                self.choices = Choices(rules)
            self.choices.add(number)
        else:
            self.bare = self.bare or []
            self.bare.append(number)
        self._refresh()

    def add_leaf(self, segment: str, number: int) -> None:
        """Add a mount without conditions one static segment below, where nothing is yet."""
        if self.static:
            self.static[segment] = number
        else:
            self.static = {segment: number}
            self._refresh()

    def child(self, segment: str | Segment) -> Node:
        """The node below; it is made if it is not there."""
        if isinstance(segment, str):
            known = self.static.get(segment)
            if isinstance(known, Node):
                return known
            node = Node()
            if known is not None:
                node.bare = [known]
                node._refresh()
            if self.static is _NOTHING:
                self.static = {}
            self.static[segment] = node
            self._refresh()
            return node
        if segment.key not in self.placeholders:
            self.placeholders = {**self.placeholders, segment.key: (segment, Node())}
            self._refresh()
        return self.placeholders[segment.key][1]

    def settle(self, scope: Scope, otherwise: int | None) -> int | None:
        """The mount that ends here, or `otherwise`, if nothing is below."""
        if not self.is_plain:
            return UNDECIDED  # type: ignore[no-any-return]
        number = None if self.choices is None else self.choices.first(scope)
        if number is None:
            number = self.only
        return otherwise if number is None else number

    def children(self, part: str) -> Iterable[int | Node]:
        if part in self.static:
            yield self.static[part]
        for segment, node in self.placeholders.values():
            if segment.match(part) is not None:
                yield node

    def remove(self, number: int, segments: Sequence[str | Segment]) -> None:
        """Remove a mount below here, and every node that becomes empty."""
        if not segments:
            if self.choices is not None and number not in (*self.exact, *self.bare):
                self.choices = self.choices.without(number)
            self.exact = [n for n in self.exact if n != number]
            self.bare = [n for n in self.bare if n != number]
            self._refresh()
            return
        first, *rest = segments
        if isinstance(first, str):
            child = self.static[first]
            if isinstance(child, Node):
                child.remove(number, rest)
            if isinstance(child, int) or child.is_empty():
                del self.static[first]
        else:
            below = self.placeholders[first.key][1]
            below.remove(number, rest)
            if below.is_empty():
                del self.placeholders[first.key]
        self._refresh()
