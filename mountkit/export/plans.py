"""A table as one list of rows, the first of which decides."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from mountkit.exceptions import MountkitError, PatternError
from mountkit.export.conditions import PREFLIGHT, Alternatives, Check, Conditions, both
from mountkit.export.spellings import (
    CLIMBING,
    HOST,
    LONG_HOST,
    NOT_A_PATH,
    QUERY,
    check_path,
    odd_path_regex,
    odd_start_regex,
    path_regex,
    plain_path_regex,
)
from mountkit.export.upstreams import Upstream
from mountkit.inspection.layers import Layer, describe_app, layers_of
from mountkit.matching.callers import short
from mountkit.matching.conditions import Header, Method
from mountkit.matching.matchers import And, Matcher, Not, Or
from mountkit.matching.rules import Rule

#: What a request may never have, whatever mounts there are: 400.
REFUSED = (
    Check("path", NOT_A_PATH, about="not a path"),
    Check("path", CLIMBING, about="climbing"),
    Check("query", QUERY, True, "not a query"),
    Check("host", HOST, True, "not a host"),
    Check("host", LONG_HOST, about="long host"),
)


class ExportError(MountkitError, ValueError):
    """A router cannot decide as a table does; the message names the mount, the condition and the
    reason."""


class Row(NamedTuple):
    """A request for which all tests hold goes there.

    Attributes:
        to: an upstream, or a status.
        about: the mount, for a comment; equal for all rows of one mount.
        path: one more test, of the path.
        part: of the list. `"refused"`: what is refused whatever mounts there are; `"plain"`: the
            mounts, for most of their paths; `"every"`: the mounts again, for every path. The second
            part decides nothing that the third would decide in another way; it is easier to read,
            and quicker.
    """

    tests: tuple[Check, ...]
    to: Upstream | int
    about: str
    path: Check | None = None
    part: Literal["refused", "plain", "every"] = "every"

    @property
    def all(self) -> tuple[Check, ...]:
        return self.tests if self.path is None else (*self.tests, self.path)


@dataclass(frozen=True)
class Plan:
    """What a router has to do.

    Attributes:
        rows: the last takes every request.
        mounts: the rules in their order, and where each is to go.
        default: where what no mount takes is to go, or its status; and the same if no mount has the
            host of the request.
    """

    rows: tuple[Row, ...]
    mounts: tuple[tuple[Rule, Upstream], ...]
    default: Upstream | int
    unknown_host: Upstream | int

    @property
    def refusals(self) -> list[Row]:
        """The rows of what is refused whatever mounts there are; they are the first."""
        return [row for row in self.rows if row.part == "refused"]

    @property
    def upstreams(self) -> list[Upstream]:
        """Each one once, in the order of their names."""
        found = {row.to for row in self.rows if isinstance(row.to, Upstream)}
        return sorted(found, key=lambda one: one.name)

    @property
    def tests(self) -> list[Check]:
        """Each one once, in the order in which they are first asked."""
        return list(dict.fromkeys(test for row in self.rows for test in row.tests))

    def without_plain(self) -> Plan:
        """The same decisions, without the rows that are there for readers."""
        return replace(self, rows=tuple(row for row in self.rows if row.part != "plain"))


def table_of(app: Any) -> Layer:
    """The outermost place where an app chooses between mounts.

    Raises:
        ExportError: it tries routes in their order there, or in a way of its own.
    """
    layer = next(layers_of(app), None)
    if layer is None or layer.table is None:
        raise ExportError(
            f"{describe_app(app)} does not begin with a table of mounts; put them into a "
            "Dispatcher, or a DispatchMiddleware."
        )
    return layer


def plan_of(
    layer: Layer,
    upstream_of: Any,
    *,
    assumed: Container[str] = (),
    default_port: int = 80,
) -> Plan:
    """Compile a table.

    Args:
        upstream_of: where a mount is; of `None`, where the app underneath is.
        assumed: of all requests; see `names.ASSUMPTIONS`.
        default_port: of a request whose Host has none.

    Raises:
        ExportError: no router can decide as the table does.
    """
    entries: Sequence[Any] = () if layer.table is None else layer.table.mounts
    rules = [entry.rule for entry in entries]
    announced = [one for rule in rules for one in _announced(rule)]
    is_asked = "no-preflights" not in assumed and len(announced) > 0
    has_websockets = "no-websockets" not in assumed
    conditions = Conditions(
        has_preflights=is_asked, has_websockets=has_websockets, default_port=default_port
    )
    refusals: list[tuple[Check, ...]] = [(test,) for test in REFUSED]
    if is_asked:
        # Such a path may be refused for the sake of a mount that takes preflights of another.
        deepest = max(len(rule.path.segments) for rule in rules)
        odd = Check("path", odd_start_regex(deepest + 1), about="odd preflight")
        refusals.append((*PREFLIGHT, odd))
    rows = [Row(tests, 400, "", part="refused") for tests in refusals]
    every: list[Row] = []
    mounts = []
    for position, entry in enumerate(entries):
        mount = getattr(entry, "mount", entry)
        upstream = upstream_of(mount)
        mounts.append((entry.rule, upstream))
        for row in _rows_of(entry.rule, upstream, conditions):
            (rows if row.part == "plain" else every).append(row)
        if is_asked:
            _check_preflights(entry.rule, rules[:position])
    default = 404 if layer.underneath is None else upstream_of(None)
    rows += every
    status = layer.unknown_host
    unknown_host = status if isinstance(status, int) else default
    if unknown_host != default:
        rows += _rows_of_hosts(rules, default, conditions)
    rows.append(Row((), unknown_host, "default"))
    firsts: dict[object, Row] = {}
    for row in rows:  # another with the same tests is never reached
        key = (row.part == "plain", *(test[:3] for test in row.all))
        firsts.setdefault(key, row)
    return Plan(tuple(firsts.values()), tuple(mounts), default, unknown_host)


def refused(rule: Rule, what: str, reason: object) -> ExportError:
    """What a router cannot say of a mount, and why."""
    return ExportError(f"{about_of(rule)} cannot be exported: {what}: {reason}.")


def about_of(rule: Rule) -> str:
    """A mount, for comments and messages."""
    return f"Mount({rule!r})" + (f" at {short(rule.where)}" if rule.where else "")


def _rows_of(rule: Rule, upstream: Upstream, conditions: Conditions) -> Iterator[Row]:
    about = about_of(rule)
    host: tuple[Check, ...] = ()
    try:
        if rule.host is not None:
            host = (conditions.host_test(rule.host),)
    except PatternError as exc:
        raise refused(rule, f"host {rule.host.pattern!r}", exc) from None  # type: ignore[union-attr]
    try:
        check_path(rule.path)
    except PatternError as exc:
        raise refused(rule, f"path {rule.path.text!r}", exc) from None
    alternatives = _alternatives(rule, conditions)
    text = rule.path.text or "/"
    if (plain := plain_path_regex(rule.path)) is not None:
        test = Check("path", plain, about=f"plain {text}")
        for tests in alternatives:
            yield Row((*host, *tests), upstream, about, test, "plain")
    if not rule.path.segments:  # all paths, in all readings
        yield from (Row((*host, *tests), upstream, about) for tests in alternatives)
        return
    taken = Check("path", path_regex(rule.path), about=f"path {text}")
    odd = Check("path", odd_path_regex(rule.path), about=f"odd {text}")
    yield from (Row((*host, *tests), upstream, about, taken) for tests in alternatives)
    yield from (Row((*host, *tests), 400, about, odd) for tests in alternatives)


def _alternatives(rule: Rule, conditions: Conditions) -> Alternatives:
    parts = []
    for matcher in rule.conditions:
        try:
            parts.append(conditions.of(matcher))
        except PatternError as exc:
            raise refused(rule, repr(matcher), exc) from None
    try:
        return both(*parts)
    except PatternError as exc:
        raise refused(rule, "its conditions", exc) from None


def _rows_of_hosts(
    rules: Sequence[Rule], default: Upstream | int, conditions: Conditions
) -> Iterator[Row]:
    """What no mount takes, and whose host is that of a mount."""
    for host in {rule.host.key: rule.host for rule in rules if rule.host is not None}.values():
        yield Row((conditions.host_test(host),), default, "default")


def _matchers(parts: Iterable[Matcher]) -> Iterator[Matcher]:
    for one in parts:
        if isinstance(one, (And, Or)):
            yield from _matchers(one.parts)
        elif isinstance(one, Not):
            yield from _matchers([one.part])
        else:
            yield one


def _announced(rule: Rule) -> Iterator[Method | Header]:
    """A mount's conditions on what a preflight announces."""
    for one in _matchers(rule.conditions):
        if isinstance(one, Method) or (isinstance(one, Header) and isinstance(one.wanted, bool)):
            yield one


def _takes_options(matcher: Method | Header) -> bool:
    return isinstance(matcher, Method) and "OPTIONS" in matcher.methods


def _check_preflights(rule: Rule, before: Sequence[Rule]) -> None:
    """A mount that asks for OPTIONS takes preflights by their own method, before any other is
    asked for what they announce: one list cannot say both."""
    own = next(filter(_takes_options, _announced(rule)), None)
    other = next((one for one in before if not all(map(_takes_options, _announced(one)))), None)
    if own is not None and other is not None:
        raise refused(
            rule,
            repr(own),
            f"it takes preflights by OPTIONS, unless Mount({other!r}) is tried before it for what "
            "they announce; leave OPTIONS out, which each mount gets for its own methods, or "
            "assume that there are no preflights",
        )
