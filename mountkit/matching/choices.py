"""The mounts that end at one node and have conditions."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection
from typing import Any

from starlette.types import Scope

from mountkit.matching.conditions import Header
from mountkit.matching.readings import MAX_HEADERS
from mountkit.matching.rules import Rule


class Choices:
    """Mounts in the order in which they are tried.

    If each of them wants one value of the same header, as versions and tenants do, one look-up
    finds the mount, however many there are.

    Attributes:
        is_plain: whether the first whose conditions hold takes the request.
    """

    __slots__ = ("_by_value", "_header", "_ordered", "_rules", "is_plain")

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self._ordered: list[int] = []  # unless they are looked up
        self.is_plain: bool = True
        self._header = b""
        self._by_value: dict[bytes, int] | None = {}

    @property
    def numbers(self) -> Collection[int]:
        """In their order, unless they are looked up."""
        return self._ordered if self._by_value is None else self._by_value.values()

    def beside(self, rule: Rule) -> Collection[int]:
        """The mounts with the same conditions as `rule`, and perhaps others."""
        wanted = _wanted_value(rule)
        if self._by_value is None or (wanted is None and rule.conditions):
            return self.numbers
        if wanted is None or wanted[0] != self._header or wanted[1] not in self._by_value:
            return ()
        return (self._by_value[wanted[1]],)

    def _order(self, number: int) -> tuple[Any, ...]:
        return (self._rules[number].rank, number)

    def add(self, number: int) -> None:
        rule = self._rules[number]
        if self._by_value is not None:
            wanted = _wanted_value(rule)
            if wanted is not None and (wanted[0] == self._header or not self._by_value):
                self._header, value = wanted
                if value not in self._by_value:  # it is there if their priorities differ
                    self._by_value[value] = number
                    return
            self._ordered = sorted(self._by_value.values(), key=self._order)
            self._by_value = None
        insort(self._ordered, number, key=self._order)
        self.is_plain &= rule.accept is None

    def without(self, number: int) -> Choices | None:
        """The choices without one of their mounts; `None` if there are no others."""
        if self._by_value is not None:
            del self._by_value[_wanted_value(self._rules[number])[1]]  # type: ignore[index]
        else:
            self._ordered.remove(number)
            if not self.is_plain:
                self.is_plain = all(self._rules[n].accept is None for n in self._ordered)
        return self if self.numbers else None

    def first(self, scope: Scope) -> int | None:
        """The first mount whose conditions hold."""
        if self._by_value is not None:
            header, value, headers = self._header, None, scope["headers"]
            for name, given in headers if len(headers) <= MAX_HEADERS else ():
                if name == header:
                    if value is not None and given != value:  # two different values satisfy nothing
                        return None
                    value = given
            return None if value is None else self._by_value.get(value)
        for number in self._ordered:
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
