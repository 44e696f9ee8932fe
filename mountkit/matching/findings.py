"""Mistakes in a table that can be built.

After Go's ServeMux, which refuses what it cannot decide and shows a request for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

from starlette.types import Scope

from mountkit.matching.rules import Rule
from mountkit.matching.witnesses import Undecided, describe_request, overlap, reach

Code: TypeAlias = Literal[
    "unreachable",
    "overlap",
    "trailing-slash",
    "not-normal",
    "own-root-path",
    "mounted-into-itself",
    "unaware-of-prefix",
    "several-prefixes",
    "ends-the-process",
    "refuses-host",
    "shared-cookie",
    "preflight",
    "behind-mounts",
    "not-bridged",
    "never-started",
    "not-looked-into",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, or a note: where `check` could not look.

    Attributes:
        code: its kind; see `Code`.
        message: value, reason and fix, with the place of every definition.
        rules: the rules that it concerns, the culprit first.
        request: a request that shows it, or `""`.
    """

    code: Code
    message: str
    rules: tuple[Rule, ...] = ()
    request: str = ""

    @property
    def is_note(self) -> bool:
        """Whether it is not a mistake."""
        return self.code == "not-looked-into"

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def shown(rule: Rule) -> str:
    """A rule and where it was written."""
    return f"Mount({rule!r}) at {rule.where}"


def listed(texts: Iterable[str]) -> str:
    """The first five of them, and how many there are more."""
    first = list(texts)
    more = f" and {len(first) - 5} more" if first[5:] else ""
    return ", ".join(first[:5]) + more


def check_rules(
    rules: Sequence[Rule], resolve: Callable[[Scope], Rule | None]
) -> Iterator[Finding]:
    """The mistakes that the conditions alone show.

    Args:
        rules: in the order in which they are tried.
        resolve: the rule that a request goes to.
    """
    for rule in rules:
        yield from _check_form(rule)
    for rule in rules:
        yield from _check_reachable(rule, resolve)
    yield from _check_overlaps(rules)


def _check_form(rule: Rule) -> Iterator[Finding]:
    written = rule.path.written
    if written.endswith("/") and written != "/" and not rule.path.exact:
        yield Finding(
            "trailing-slash",
            f"{shown(rule)} is written with a trailing slash, {written!r}, which means "
            f"nothing; write {rule.path.path!r}.",
            (rule,),
        )
    for form, reason in _NOT_NORMAL.items():
        if form in f"{written.rstrip('/')}/".lower() and form != "/":
            yield Finding(
                "not-normal",
                f"{shown(rule)} has {form!r} in its path {written!r}: {reason}.",
                (rule,),
            )


_NOT_NORMAL = {
    "//": "an empty segment, which clients and proxies remove; write one slash",
    "/./": "a dot segment, which clients remove before they send; leave it out",
    "/../": "a dot segment, which clients resolve before they send; write the result",
    "%2f": "an encoded slash, which is not a boundary; many servers and proxies decode it",
    "%5c": "an encoded backslash, which some servers and proxies read as a slash",
    "\\": "a backslash, which some servers and proxies read as a slash",
}


def _check_reachable(rule: Rule, resolve: Callable[[Scope], Rule | None]) -> Iterator[Finding]:
    try:
        found = reach(rule, resolve)
    except Undecided:
        return
    if isinstance(found, list):
        hidden_by = tuple(found)
        reason = (
            "; every request for it is taken by " + " or ".join(map(shown, hidden_by))
            if hidden_by
            else "; its conditions contradict each other"
        )
        yield Finding(
            "unreachable", f"{shown(rule)} can never be reached{reason}.", (rule, *hidden_by)
        )


def _check_overlaps(rules: Sequence[Rule]) -> Iterator[Finding]:
    for one, other in _equally_specific(rules):
        scope = overlap(one, other)
        if scope is not None:
            request = describe_request(scope)
            decides = (
                "the order of declaration" if one.rank == other.rank else "the leftmost literal"
            )
            yield Finding(
                "overlap",
                f"{shown(one)} and {shown(other)} both take {request}, and neither is more "
                f"specific: {decides} decides. Give one a priority, or a condition that the "
                "other refuses.",
                (one, other),
                request,
            )


def _equally_specific(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Pairs of the same rank that may overlap; two different literal paths or hosts never do."""
    literal: defaultdict[object, list[Rule]] = defaultdict(list)
    for rule in rules:
        is_literal = all(isinstance(segment, str) for segment in rule.path.segments)
        text = rule.path.text if is_literal else None
        exact_host = None if rule.host is None else rule.host.host
        literal[(rule.rank, text, exact_host)].append(rule)
    for group in literal.values():
        yield from (
            pair
            for pair in combinations(group, 2)
            if not _negotiates(*pair) and not _have_other_hosts(*pair)
        )
    # Of "/a/{x}" and "/{y}/b" the leftmost literal wins, but neither is more specific.
    crossing: defaultdict[object, list[Rule]] = defaultdict(list)
    for rule in rules:
        host = None if rule.host is None else rule.host.key
        if any(not isinstance(segment, str) for segment in rule.path.segments):
            key = (rule.priority, host, rule.path.exact, len(rule.path.segments))
            crossing[key].append(rule)
    for group in crossing.values():
        yield from (pair for pair in combinations(group, 2) if _crosses(*pair))


def _crosses(one: Rule, other: Rule) -> bool:
    pairs = zip(one.path.rank[-1], other.path.rank[-1], strict=True)
    signs = {a < b for a, b in pairs if a != b}
    return len(signs) == 2


def _have_other_hosts(one: Rule, other: Rule) -> bool:
    """Whether a label, counted from the right, shows that no host matches both."""
    if one.host is None or other.host is None:
        return False
    return any(
        isinstance(a, str) and isinstance(b, str) and a != b
        for a, b in zip(one.host.labels, other.host.labels, strict=False)
    )


def _negotiates(one: Rule, other: Rule) -> bool:
    """Whether `Accept` decides between them, as the client prefers."""
    return one.accept is not None and other.accept is not None
