"""The conditions of one mount, and its place among the others."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.accept import Accept
from mountkit.matching.conditions import Header, Host, Method, Query, Wanted
from mountkit.matching.hosts import HostPattern, HostPort
from mountkit.matching.matchers import Matcher, Specificity, identity
from mountkit.matching.paths import PathPattern

_NONE: frozenset[Any] = frozenset()


class Rule:
    """The conditions of one mount, validated and compiled once.

    Args:
        path: the prefix; see `PathPattern`.
        host: see `HostPattern`, or several of them, of which this rule has the first; see
            `elsewhere`. `None` for any host.
        methods: HTTP methods; `None` for any, websockets included.
        headers, query: conditions by name; see `matchers.Wanted`.
        when: any other matcher.
        priority: decides before everything else; higher wins.
        exact: this very path, nothing below it.
        where: `file:line` of the definition, for messages.

    Raises:
        PatternError: a condition is written in a form that can never work.
    """

    __slots__ = (
        *("accept", "conditions", "host", "hosts", "path", "priority", "specificity", "where"),
    )

    def __init__(
        self,
        path: str,
        *,
        host: str | Iterable[str] | None = None,
        methods: Iterable[str] | None = None,
        headers: Mapping[str, Wanted] | None = None,
        query: Mapping[str, Wanted] | None = None,
        when: Matcher | None = None,
        priority: int = 0,
        exact: bool = False,
        where: str = "",
    ) -> None:
        self.path: PathPattern = PathPattern(path, exact=exact)
        #: All hosts of the mount.
        self.hosts: tuple[HostPattern, ...] = () if host is None else _checked_hosts(host)
        self.host: HostPattern | None = self.hosts[0] if self.hosts else None
        self.priority: int = _checked_priority(priority)
        self.where: str = where
        conditions: list[Matcher] = []
        if methods is not None:
            conditions.append(Method(*_checked_methods(methods)))
        conditions += [Header(name, wanted) for name, wanted in _pairs("headers", headers)]
        conditions += [Query(name, wanted) for name, wanted in _pairs("query", query)]
        if when is not None:
            conditions += _checked_when(when).conjuncts()
        if self.host is None:
            # `when=Host("a.com")` means `host="a.com"`, which is indexed.
            for matcher in conditions:
                if isinstance(matcher, Host):
                    self.host = matcher.pattern
                    self.hosts = (matcher.pattern,)
                    conditions.remove(matcher)
                    break
        #: All of them must hold.
        self.conditions: tuple[Matcher, ...] = tuple({identity(m): m for m in conditions}.values())
        self.specificity: Specificity = Specificity()
        self.accept: Accept | None = None
        if self.conditions:
            self.specificity = Specificity.sum(m.specificity for m in self.conditions)
            self.accept = next((m for m in self.conditions if isinstance(m, Accept)), None)
        self._check_names()

    def _check_names(self) -> None:
        for host, name in [(one, name) for one in self.hosts for name in one.names]:
            if name in self.path.convertors:
                raise PatternError(
                    f"The placeholder {name!r} stands in the host {host.pattern!r} and in "
                    f"the path {self.path.path!r}; rename one."
                )

    def at(self, path: str, *, exact: bool | None = None) -> Rule:
        """The same conditions at another path, which is decoded already, as `path.path` is.

        Args:
            exact: see `Rule`; unchanged if it is not given.
        """
        moved = copy.copy(self)
        if exact is None:
            exact = self.path.exact
            if exact and self.path.text.endswith("/"):
                path += "/"
        moved.path = PathPattern(path, exact=exact, is_decoded=True)
        moved._check_names()
        return moved

    def elsewhere(self) -> Iterator[Rule]:
        """The same conditions at each of the other hosts."""
        for host in self.hosts[1:]:
            moved = copy.copy(self)
            moved.host = host
            yield moved

    @property
    def rank(self) -> tuple[Any, ...]:
        """The place of this rule in the one order that decides; smaller is tried first.

        1. `priority`, the higher first (Traefik);
        2. host: an exact one, then the pattern with the longest literal part (a placeholder,
           which takes one label, before `*`, which takes more), then no host; of the same host,
           with a port first (Gateway API; the port is ours);
        3. an exact path;
        4. the longest prefix, in segments; of the same length, segment by segment from the
           left, literal text before a typed placeholder before `{any}` (Gateway API; the
           segments are ours, after Go's ServeMux);
        5. a condition on the method (Gateway API);
        6. the number of header conditions, most first; every condition that is not on the host,
           path, method or query counts here: cookies, `Accept`, scheme, client, type, a matcher
           of your own (Gateway API; what counts is ours);
        7. the number of query conditions, most first (Gateway API).

        If two are still equal, the q-value of their `Accept` conditions decides, then the order of
        declaration. `a & b` counts as both, `a | b` as its least specific part, `~a` as `a` (and
        `~(a | b)` as `~a & ~b`).
        """
        host_rank = (2,) if self.host is None else self.host.rank
        methods, headers, queries = self.specificity
        return (-self.priority, host_rank, self.path.rank, -methods, -headers, -queries)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for rules that take exactly the same requests, as far as can be told."""
        host_key = None if self.host is None else self.host.key
        conditions = frozenset(map(identity, self.conditions)) if self.conditions else _NONE
        return (self.priority, host_key, self.path.key, conditions)

    @property
    def short_key(self) -> Any:
        """`key`, or the one part of it that says something, which is quicker to compare."""
        if not self.conditions and not self.priority:
            if self.host is None:
                return self.path.key
            if not self.path.segments:
                return self.host.key
        return self.key

    def match(
        self, scope: Scope, rest: str, host: HostPort | None
    ) -> tuple[str, dict[str, Any]] | None:
        """Match one request with this rule alone, whatever other rules there are.

        Args:
            rest: the request's path below its `root_path`.
            host: the request's host, as `hosts.request_host` reads it.

        Returns:
            The prefix that the path takes, and the placeholders of host and path; `None` if
            any condition fails.
        """
        host_params = {} if self.host is None else self.host.match(host)
        if host_params is None:
            return None
        found = self.path.match(rest)
        if found is None:
            return None
        for matcher in self.conditions:
            if not matcher.matches(scope):
                return None
        return found[0], {**host_params, **found[1]}

    def refusal(self, scope: Scope, rest: str, host: HostPort | None) -> str | None:
        """Why this rule refuses a request: the first condition that fails, in the order of
        `match`; `None` if it takes the request."""
        if self.host is not None and self.host.match(host) is None:
            shown = "none, or not a valid one" if host is None else repr(host.host)
            return f"host: wants {self.host.pattern!r}, the request has {shown}"
        if self.path.match(rest) is None:
            wants = "is" if self.path.exact else "starts with"
            return (
                f"path: wants one that {wants} {self.path.text or '/'!r}, the request has {rest!r}"
            )
        for matcher in self.conditions:
            if not matcher.matches(scope):
                return f"condition: {matcher!r} does not hold"
        return None

    def outranks(self, other: Rule) -> str | None:
        """Why this rule is tried before `other`; `None` if it is not."""
        names = ("priority", "host", "path", "method", "header conditions", "query conditions")
        for name, own, others in zip(names, self.rank, other.rank, strict=True):
            if own != others:
                if own > others:
                    return None
                if name != "path":
                    return name
                return "exact path" if self.path.exact > other.path.exact else "longer prefix"
        return None

    def describe_conditions(self) -> str:
        """The conditions besides the path, as they would be written."""
        parts = []
        if self.hosts:
            patterns = [host.pattern for host in self.hosts]
            parts.append(f"host={patterns if patterns[1:] else patterns[0]!r}")
        if self.conditions:
            parts.append("when=" + " & ".join(map(repr, self.conditions)))
        if self.path.exact:
            parts.append("exact=True")
        if self.priority:
            parts.append(f"priority={self.priority}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        conditions = self.describe_conditions()
        return f"{self.path.text or '/'!r}{', ' if conditions else ''}{conditions}"


def _checked_priority(priority: int) -> int:
    if not isinstance(priority, int):
        raise PatternError(f"Priority {priority!r} is not a whole number; write e.g. priority=10.")
    return priority


def _checked_hosts(host: str | Iterable[str]) -> tuple[HostPattern, ...]:
    if isinstance(host, (str, bytes)) or not isinstance(host, Iterable):
        return (HostPattern(host),)  # which refuses anything but text
    found: dict[object, HostPattern] = {}
    for pattern in map(HostPattern, host):
        found.setdefault(pattern.key, pattern)
    if not found:
        raise PatternError(f"host={host!r} names no host; write host=['a.com'], or leave it out.")
    return tuple(found.values())


def _checked_methods(methods: Iterable[str]) -> Iterable[str]:
    if isinstance(methods, str):
        fixed = re.findall(r"[^\s,|]+", methods)
        raise PatternError(f"methods={methods!r} is one text; write methods={fixed}.")
    if not isinstance(methods, Iterable):
        raise PatternError(f"methods={methods!r} is not a list; write methods=['GET', 'POST'].")
    return methods


def _checked_when(when: Matcher) -> Matcher:
    if isinstance(when, Matcher):
        return when
    fix = "compose those of mountkit, or subclass mountkit.Matcher and pass an instance"
    if isinstance(when, type) and issubclass(when, Matcher):
        fix = f"make an instance: when={when.__name__}(…)"
    elif isinstance(when, (list, tuple, set)):
        fix = f"write when={' & '.join(map(repr, when))}, or | where one is enough"
    elif callable(when):
        fix = "subclass mountkit.Matcher, make this its method matches(self, scope), and pass an "
        fix += "instance"
    raise PatternError(f"when={when!r} is not a matcher; {fix}.")


def _pairs(option: str, wanted: Mapping[str, Wanted] | None) -> Iterable[tuple[str, Wanted]]:
    if wanted is None:
        return ()
    if not isinstance(wanted, Mapping):
        example = "{'x-version': '2'}" if option == "headers" else "{'version': '2'}"
        raise PatternError(f"{option}={wanted!r} is not a mapping; write {option}={example}.")
    return wanted.items()
