"""The mounts of one host as a tree of path segments, a segment a level.

A request walks down as deep as the deepest mount. Where a walk cannot settle it, all mounts that
may match are found, for the table to ask in their order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from starlette.types import Scope

from mountkit.matching.matchers import Header
from mountkit.matching.paths import PathPattern, Segment
from mountkit.matching.rules import Rule

M = TypeVar("M")

#: The mount that takes a request, and what `tables.Resolution` has besides, as a plain tuple.
Found: TypeAlias = tuple[M, str, str, str, dict[str, Any]]

#: What a walk answers that does not settle it.
UNDECIDED: Any = object()
# What most nodes have; never written to.
_NOTHING: Any = {}


def is_leaf(rule: Rule) -> bool:
    """Whether a mount needs no node of its own where it is a static one."""
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
        self._depths: dict[int, int] = {}
        # A placeholder that holds slashes fits no tree of segments. These are rare.
        self._multi: list[int] = []

    def is_empty(self) -> bool:
        return not self._multi and self._root.is_empty()

    @property
    def first(self) -> dict[str, int | Node] | None:
        """The mounts by their only segment, if that is how all of them can be found."""
        root = self._root
        if self._multi or self._depth > 1 or root.placeholders or root.choices or root.exact:
            return None
        return root.static

    @property
    def otherwise(self) -> int | None:
        """The mount at the root."""
        return self._root.only

    def beside(self, path: PathPattern) -> Sequence[int]:
        """The mounts at the same path, and perhaps others."""
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
        return (node,) if isinstance(node, int) else [*node.exact, *node.prefix]

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

    def walk(self, scope: Scope, root_path: str, rest: str) -> Found[Any] | None:
        """The last mount on the way down, if no node on the way asks for more than that.

        Returns:
            `UNDECIDED` if one does.
        """
        node = self._root
        if not node.is_plain or self._multi or not rest:
            return UNDECIDED  # type: ignore[no-any-return]
        best = node.only
        end = position = 0
        waiting = None if node.choices is None else [(0, node.choices)]
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)[1:]
        for part in parts:
            child = node.static.get(part)
            if child is None:
                child = node.lone
                if child is None or not part:
                    break
            position += len(part) + 1
            if isinstance(child, int):  # nothing is below
                best, end = child, position
                break
            node = child
            if not node.is_plain:
                return UNDECIDED  # type: ignore[no-any-return]
            if node.only is not None:
                best, end = node.only, position
            if node.choices is not None:
                if waiting is None:
                    waiting = []
                waiting.append((position, node.choices))
        if waiting is not None:
            for position, choices in waiting[::-1]:
                if position < end:
                    break
                number = choices.first(scope)
                if number is not None:
                    best, end = number, position
                    break
        if best is None:
            return None
        names = self._rules[best].path.bare_names
        params = {name: parts[at] for at, name in names} if names else {}
        return self._mounts[best], root_path, rest[:end], rest[end:], params

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


class Node:
    """The segments of all mounts that begin alike.

    A mount that is static, has no conditions and nothing below it has no node, but its number in
    the place of one.

    Attributes:
        is_plain: a walk may go through: what is below and what is here can be told by the next
            segment, and by the conditions of the mounts here alone.
        only: the mount that ends here without a condition.
        choices: those that end here with conditions.
        lone: what is below the one placeholder, if it is plain.
    """

    __slots__ = ("bare", "choices", "exact", "is_plain", "lone", "only", "placeholders", "static")

    def __init__(self) -> None:
        self.static: dict[str, int | Node] = _NOTHING
        self.placeholders: dict[str, tuple[Segment, Node]] = _NOTHING
        self.bare: tuple[int, ...] = ()  # several if their priorities differ
        self.exact: tuple[int, ...] = ()
        self.choices: Choices | None = None
        self.is_plain: bool = True
        self.only: int | None = None
        self.lone: Node | None = None

    @property
    def prefix(self) -> Sequence[int]:
        """All mounts that end here and take what is below."""
        return self.bare if self.choices is None else [*self.bare, *self.choices.numbers]

    def is_empty(self) -> bool:
        return not (self.static or self.placeholders or self.prefix or self.exact)

    def _refresh(self) -> None:
        """See what a walk may do here, after a change."""
        self.only = self.bare[0] if self.bare else None
        self.is_plain = not self.exact and (self.choices is None or self.choices.is_plain)
        self.lone = None
        if self.placeholders:
            (segment, node), *others = self.placeholders.values()
            self.lone = node
            # A static segment beside it would have to be tried first, and this one after it.
            self.is_plain &= not others and not self.static and segment.bare is not None

    def add(self, number: int, rule: Rule, rules: list[Rule]) -> None:
        """A mount that ends here."""
        if rule.path.exact:
            self.exact = (*self.exact, number)
        elif rule.conditions:
            if self.choices is None:
                self.choices = Choices(rules)
            self.choices.add(number)
        else:
            self.bare = (*self.bare, number)
        self._refresh()

    def add_leaf(self, segment: str, number: int) -> None:
        """A mount without conditions, one static segment below, where nothing is yet."""
        if self.static:
            self.static[segment] = number
        else:
            self.static = {segment: number}
            self._refresh()

    def child(self, segment: str | Segment) -> Node:
        """The node below, made if need be."""
        if isinstance(segment, str):
            known = self.static.get(segment)
            if isinstance(known, Node):
                return known
            node = Node()
            if known is not None:
                node.bare = (known,)
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
        """The mount that ends here, if nothing is below; `otherwise` if there is none."""
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
            self.exact = tuple(n for n in self.exact if n != number)
            self.bare = tuple(n for n in self.bare if n != number)
            if self.choices is not None and number in self.choices.numbers:
                self.choices = self.choices.without(number)
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


class Choices:
    """The mounts with conditions that end at one node, in their order.

    Where each of them wants one value of the same header, as versions and tenants are told apart,
    one look-up finds the mount, however many there are.

    Attributes:
        numbers: in their order, unless they are looked up.
        is_plain: whether the first whose conditions hold takes the request.
    """

    __slots__ = ("_by_value", "_header", "_rules", "is_plain", "numbers")

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self.numbers: list[int] = []
        self.is_plain: bool = True
        self._header = b""
        self._by_value: dict[bytes, int] | None = {}

    def _order(self, number: int) -> tuple[Any, ...]:
        return (self._rules[number].rank, number)

    def add(self, number: int) -> None:
        rule = self._rules[number]
        if self._by_value is not None:
            wanted = _wanted_value(rule)
            if wanted is not None and (wanted[0] == self._header or not self._by_value):
                self._header, value = wanted
                if value not in self._by_value:  # it is where their priorities differ
                    self._by_value[value] = number
                    self.numbers.append(number)
                    return
            self._by_value = None
            self.numbers.sort(key=self._order)
        insort(self.numbers, number, key=self._order)
        self.is_plain &= rule.accept is None

    def without(self, number: int) -> Choices | None:
        """What is left without a mount; `None` if that is nothing."""
        self.numbers.remove(number)
        if self._by_value is not None:
            del self._by_value[_wanted_value(self._rules[number])[1]]  # type: ignore[index]
        elif not self.is_plain:
            self.is_plain = all(self._rules[n].accept is None for n in self.numbers)
        return self if self.numbers else None

    def first(self, scope: Scope) -> int | None:
        """The first of them whose conditions hold."""
        if self._by_value is not None:
            header, value = self._header, None
            for name, given in scope["headers"]:
                if name == header:
                    if value is not None and given != value:  # two values satisfy none
                        return None
                    value = given
            return None if value is None else self._by_value.get(value)
        for number in self.numbers:
            for matcher in self._rules[number].conditions:
                if not matcher.matches(scope):
                    break
            else:
                return number
        return None


def _wanted_value(rule: Rule) -> tuple[bytes, bytes] | None:
    """The header and its one value, if that is all that a mount asks for."""
    if len(rule.conditions) == 1:
        matcher = rule.conditions[0]
        if type(matcher) is Header and matcher.raw_wanted is not None:
            return matcher.raw_name, matcher.raw_wanted
    return None
