"""The mounts of a table, and how they change while requests are decided by it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from itertools import chain
from typing import Any, Generic, Protocol, Self, TypeVar

from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.choices import Choices
from mountkit.matching.conflicts import conflict
from mountkit.matching.decisions import Resolution
from mountkit.matching.host_trees import HostIndex, HostTrees
from mountkit.matching.rules import Rule
from mountkit.matching.trees import Node, Tree
from mountkit.tasks import STRIDE


class Ruled(Protocol):
    """Anything that a table can choose: it has a rule."""

    @property
    def rule(self) -> Rule: ...


M = TypeVar("M", bound=Ruled)

# Numbers that were given up, besides as many as are in use, before all are given anew.
_HOLES = 100
# What may hold very many things of a table, for `dropped`.
_PARTS: dict[type, Sequence[str]] = {
    Choices: ("_by_value", "_ordered"),
    HostIndex: ("placeholders", "static", "values"),
    HostTrees: ("_patterns", "_places", "_plain", "_trees"),
    Node: ("choices", "placeholders", "static"),
    Tree: ("_multi", "_root"),
}


class Entries(Generic[M]):
    """Mounts by number, and the trees that lead to them.

    Args:
        mounts: in the order of their declaration.
    """

    def __init__(self, mounts: Iterable[M] = ()) -> None:
        # The mounts by number, `None` where one was removed; and their rules when they came.
        self._mounts: list[Any] = []
        self._rules: list[Rule] = []
        self._sorted: tuple[M, ...] | None = None
        self._declared: tuple[M, ...] | None = None
        self._live = 0
        self._priorities = 0  # how many mounts have one
        self._version = 0  # counts changes
        self._old: list[Any] = []  # what changes have left over, for `compact`
        self._any_host = Tree(self._mounts, self._rules)
        self._hosts = HostTrees(self._mounts, self._rules)
        #: Whether any mount has a condition on the host.
        self.has_hosts: bool = False
        # How most requests are decided, if nothing but the path and conditions decides.
        self._quick: Callable[[Scope, str, str], Resolution[M] | None] | None = None
        added = list(mounts)
        for _ in self.plan(added, (), ()):
            pass
        self._apply(set(), {}, added)

    def apply(
        self,
        *,
        add: Iterable[M] = (),
        remove: Iterable[M] = (),
        replace: Iterable[tuple[M, M]] = (),
    ) -> None:
        """Change the table in one step, at a cost that grows with the change alone.

        It never awaits, so every request is decided either before it or after it.

        Args:
            add: are declared after those that are there.
            replace: pairs of an old mount and the new one, which takes its place in the order
                of declaration.

        Raises:
            ConflictError: two mounts would take exactly the same requests.
            PatternError: a mount to be removed or replaced is not in the table, or named twice.
            In both cases nothing has changed.
        """
        steps = self.gradually(add=list(add), remove=list(remove), replace=list(replace))
        for _ in chain(steps, self.compact()):
            pass

    def gradually(
        self,
        *,
        add: Sequence[M] = (),
        remove: Sequence[M] = (),
        replace: Sequence[tuple[M, M]] = (),
    ) -> Generator[None, None, None]:
        """`apply`, in steps of about a millisecond. Between them requests may be decided, and other
        changes made: nothing of this one is seen before its last step.

        A change of many mounts makes a new table beside this one. If another change was quicker,
        that is made again; the third time without a pause.
        """
        strides = [sys.maxsize, STRIDE, STRIDE]
        other: Any = None
        version = -1
        while version != self._version:
            self._old += () if other is None else other._parts()
            stride, version = strides.pop(), self._version
            leaving, taking = yield from self.plan(add, remove, replace, stride)
            if len(leaving) + len(add) <= STRIDE:
                self._apply(leaving, taking, add)
                return
            other = yield from self._rebuilt(leaving, taking, add, stride)
            self._old += leaving, taking
        self._adopt(other)

    def compact(self) -> Generator[None, None, None]:
        """Free what changes have left over, and close their gaps, in steps. There are gaps to close
        at most once in as many changes as there are mounts, so that a change costs no more."""
        if len(self._mounts) > 2 * self._live + _HOLES:
            version = self._version
            other = yield from self._rebuilt(set(), {}, (), STRIDE)
            if version == self._version:
                self._adopt(other)
            else:  # after the next change
                self._old += other._parts()
        yield from dropped(self._old)

    def _parts(self) -> list[Any]:
        return [self._any_host, self._hosts, self._rules, self._mounts]

    def _apply(self, leaving: set[int], taking: dict[int, M], added: Sequence[M]) -> None:
        for number in leaving:
            self._discard(number)
        for number, mount in taking.items():
            self._insert(number, mount, mount.rule)
        for mount in added:
            self._append(mount, mount.rule)
        while self._mounts and self._mounts[-1] is None:
            self._mounts.pop()
            self._rules.pop()
        self._refresh()

    def _append(self, mount: M, rule: Rule) -> None:
        self._mounts.append(None)
        self._rules.append(rule)
        self._insert(len(self._mounts) - 1, mount, rule)

    def _rebuilt(
        self, leaving: set[int], taking: dict[int, M], added: Sequence[M], stride: int
    ) -> Generator[None, None, Self]:
        """This table after a change, as another one; a part of it, if it has changed meanwhile."""
        other, version = type(self)(), self._version
        known = zip(self._mounts, self._rules, strict=True)
        for number, (mount, rule) in enumerate(chain(known, ((m, m.rule) for m in added))):
            if number in taking:
                other._append(taking[number], taking[number].rule)
            elif mount is not None and number not in leaving:
                other._append(mount, rule)
            if number % stride == stride - 1:
                yield
                if version != self._version:
                    break
        return other

    def _adopt(self, other: Self) -> None:
        self._old += self._parts()
        self._mounts, self._rules = other._mounts, other._rules
        self._live, self._priorities = other._live, other._priorities
        self._any_host, self._hosts = other._any_host, other._hosts
        self._refresh()

    def _refresh(self) -> None:
        """Note how requests are decided, after a change."""
        self._version += 1
        self._sorted = self._declared = None
        self.has_hosts = not self._hosts.is_empty()
        if self.has_hosts or self._priorities or not self._live:
            self._quick = None
        else:
            tree = self._any_host
            self._quick = tree.look_up if tree.is_flat else tree.walk

    def plan(
        self,
        add: Sequence[M],
        remove: Sequence[M],
        replace: Sequence[tuple[M, M]],
        stride: int = STRIDE,
    ) -> Generator[None, None, tuple[set[int], dict[int, M]]]:
        """Raise what `apply` would raise, in steps; and return the numbers that leave, and the
        mounts that come for a number."""
        taking: dict[int, M] = {}
        leaving: set[int] = set()
        for old, new in chain(replace, ((old, None) for old in remove)):
            number = self._number(old)
            if number in leaving:
                raise PatternError(f"{self._mounts[number]!r} is to leave twice; name it once.")
            leaving.add(number)
            if new is not None:
                taking[number] = new
            if not len(leaving) % stride:
                yield
        yield from self._refuse_conflicts((taking.values(), add), leaving, stride)
        return leaving, taking

    def _number(self, mount: M) -> int:
        for number in self._numbers_beside(mount.rule):
            if self._mounts[number] is mount:
                return number
        # If its path was set since it was added, it is where it was.
        for number, known in enumerate(self._mounts):
            if known is mount:
                return number
        raise PatternError(f"{mount!r} is not in the table; name a mount that is.")

    def _refuse_conflicts(
        self, coming: Iterable[Iterable[M]], leaving: Collection[int], stride: int
    ) -> Generator[None, None, None]:
        seen: dict[Any, M] = {}
        is_empty = not self._live
        for position, mount in enumerate(chain(*coming), 1):
            if not position % stride:
                yield
            rule = mount.rule
            key = rule.short_key
            other = seen.get(key)
            seen[key] = mount
            if other is None and not is_empty:
                for number in self._numbers_beside(rule):
                    if number not in leaving and self._rules[number].key == rule.key:
                        other = self._mounts[number]
            if other is not None:
                known = (m for m in self._mounts if m is not None)
                raise conflict(mount, other, [*known, *chain(*coming)])
        if len(seen) > stride:
            seen.clear()  # in a step of its own
            yield

    def _numbers_beside(self, rule: Rule) -> Sequence[int]:
        """The mounts with the same host and path, whatever their conditions, and perhaps others."""
        if rule.host is None:
            return self._any_host.beside(rule)
        return self._hosts.beside(rule, rule.host)

    def _insert(self, number: int, mount: M, rule: Rule) -> None:
        self._mounts[number] = mount
        self._rules[number] = rule
        self._live += 1
        if rule.priority:
            self._priorities += 1
        if rule.host is None:
            self._any_host.add(number, rule)
        else:
            self._hosts.add(number, rule, rule.host)

    def _discard(self, number: int) -> None:
        rule = self._rules[number]
        self._mounts[number] = None
        self._live -= 1
        if rule.priority:
            self._priorities -= 1
        if rule.host is None:
            self._any_host.remove(number, rule)
        else:
            self._hosts.remove(number, rule, rule.host)


def dropped(old: list[Any]) -> Generator[None, None, None]:
    """Take apart what is no longer used, in steps: to free a large table at once, or the last
    references to very many mounts, takes tens of milliseconds."""
    number = 0
    while old:
        number += 1
        thing = old.pop()
        if thing.__class__ in _PARTS:
            old += [getattr(thing, name) for name in _PARTS[thing.__class__]]
        elif thing.__class__ is tuple:
            old += thing
        elif thing.__class__ in (dict, list, set) and thing:
            pop: Any = getattr(thing, "popitem", thing.pop)
            old += thing, pop()
        if not number % STRIDE:
            yield
