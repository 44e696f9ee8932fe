"""What a condition on a request is, and how conditions compose.

`Cookie("beta") & ~Method("DELETE")`. For a condition of your own, subclass `Matcher`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from starlette.types import Scope

from mountkit.exceptions import PatternError


class Specificity(NamedTuple):
    """How specific a matcher makes a mount; see `mountkit.matching.rules.Rule.rank`."""

    methods: int = 0
    headers: int = 0
    queries: int = 0

    @classmethod
    def sum(cls, parts: Iterable[Specificity]) -> Specificity:
        """That of conditions which must all hold."""
        methods, headers, queries = zip(cls(), *parts, strict=True)
        return cls(max(methods), sum(headers), sum(queries))


class Matcher(ABC):
    """One condition. Subclass it and write `matches`; `&`, `|` and `~` come with it.

    A matcher is asked on every request for its mount's path: it must be quick, must not block and
    must not change the scope.
    """

    #: A matcher of your own counts as one header condition.
    specificity: Specificity = Specificity(headers=1)

    @abstractmethod
    def matches(self, scope: Scope) -> bool:
        """Whether the request that `scope` describes (`http` or `websocket`) is taken."""

    def __and__(self, other: Matcher) -> Matcher:
        return And(self, other) if isinstance(other, Matcher) else NotImplemented

    def __or__(self, other: Matcher) -> Matcher:
        return Or(self, other) if isinstance(other, Matcher) else NotImplemented

    def __invert__(self) -> Matcher:
        return Not(self)

    def __bool__(self) -> bool:
        raise PatternError(f"{self!r} has no truth value; write & for and, | for or, ~ for not.")

    def conjuncts(self) -> Iterator[Matcher]:
        """The conditions that must all hold: the matcher itself, or the parts of an `&`."""
        yield self

    def negated_specificity(self) -> Specificity:
        """The specificity of `~self`: to exclude a value is as specific as to ask for it."""
        return self.specificity


def identity(matcher: Matcher) -> Hashable:
    """Equal for matchers that say the same. A matcher that is not hashable, as a dataclass that is
    not frozen, equals nothing but itself."""
    try:
        hash(matcher)
    except TypeError:
        return ("not hashable", id(matcher))
    return matcher


class Valued(Matcher):
    """A matcher that equals those of its class with the same arguments."""

    @abstractmethod
    def _key(self) -> tuple[object, ...]:
        """What two equal matchers have in common."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._key()))})"


class _Composite(Valued):
    sign: str

    def __init__(self, *parts: Matcher) -> None:
        self.parts: tuple[Matcher, ...] = tuple(p for part in parts for p in self._flattened(part))
        # Once: each identity asks for the hashes of all that is below it.
        self._parts_key = frozenset(map(identity, self.parts))

    def _flattened(self, part: Matcher) -> tuple[Matcher, ...]:
        return part.parts if isinstance(part, type(self)) else (part,)

    def _key(self) -> tuple[object, ...]:
        return (self._parts_key,)

    def __repr__(self) -> str:
        return f"({f' {self.sign} '.join(map(repr, self.parts))})"


class And(_Composite):
    """All of them. Its specificity is the sum of its parts'."""

    sign = "&"

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return Specificity.sum(part.specificity for part in self.parts)

    def matches(self, scope: Scope) -> bool:
        return all(part.matches(scope) for part in self.parts)

    def conjuncts(self) -> Iterator[Matcher]:
        for part in self.parts:
            yield from part.conjuncts()

    def negated_specificity(self) -> Specificity:
        return min(part.negated_specificity() for part in self.parts)  # ~(a & b) is ~a | ~b


class Or(_Composite):
    """Any of them. It is as specific as its least specific part, which may be all that holds."""

    sign = "|"

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return min(part.specificity for part in self.parts)

    def matches(self, scope: Scope) -> bool:
        return any(part.matches(scope) for part in self.parts)

    def negated_specificity(self) -> Specificity:
        return Specificity.sum(
            part.negated_specificity() for part in self.parts
        )  # ~(a | b) is ~a & ~b


class Not(Valued):
    """What the other matcher does not take."""

    def __init__(self, part: Matcher) -> None:
        self.part = part
        self._part_key = identity(part)  # once, as in `_Composite`

    @property
    def specificity(self) -> Specificity:  # type: ignore[override]
        return self.part.negated_specificity()

    def matches(self, scope: Scope) -> bool:
        return not self.part.matches(scope)

    def negated_specificity(self) -> Specificity:
        return self.part.specificity

    def _key(self) -> tuple[object, ...]:
        return (self._part_key,)

    def __repr__(self) -> str:
        return f"~{self.part!r}"
