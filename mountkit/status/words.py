"""Conditions and explanations in words, without what may be a secret.

A page on a site is read by more people than its code. Of a condition on a header, cookie or query
parameter, the value is shown if it is plain: at most 8 characters, or a media type, under a name
that does not sound like a credential. Of a matcher that is not mountkit's, only its class is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.routing import BaseRoute

from mountkit.inspection.explanations import Candidate, Explanation
from mountkit.inspection.layers import describe
from mountkit.matching.accept import Accept
from mountkit.matching.callers import short
from mountkit.matching.conditions import (
    Client,
    Cookie,
    Header,
    Host,
    Method,
    Query,
    Scheme,
    ScopeType,
)
from mountkit.matching.findings import Finding
from mountkit.matching.matchers import And, Matcher, Not, Or
from mountkit.matching.rules import Rule
from mountkit.status.snapshots import FindingStatus
from mountkit.types import public_name

_SECRET_NAME = re.compile(
    r"auth|cookie|credential|csrf|key|pass|pwd|secret|session|sid|sign|token|xsrf", re.IGNORECASE
)
_PLAIN = re.compile(r"[\w.*/+=:,; -]{0,8}|[a-z]+/[a-z0-9.+*-]{1,40}", re.ASCII)
_KINDS: dict[type, str] = {Header: "header", Cookie: "cookie", Query: "query"}
_TYPES = {"http": "HTTP only", "websocket": "websockets only"}
#: Stands for a value that is not shown.
HIDDEN = "…"
#: So many candidates of an explanation are told.
MOST = 200


def conditions_of(rule: Rule) -> str:
    """All conditions of a mount but its path and its first host."""
    parts = [f"also at {host.pattern}" for host in rule.hosts[1:]]
    parts += map(in_words, rule.conditions)
    parts += ["this very path"] * rule.path.exact
    parts += [f"priority {rule.priority}"] * bool(rule.priority)
    return ", ".join(parts)


def in_words(matcher: Matcher) -> str:
    """One condition."""
    if isinstance(matcher, (And, Or)):
        joint = " and " if isinstance(matcher, And) else " or "
        return f"({joint.join(map(in_words, matcher.parts))})"
    if isinstance(matcher, Not):
        return f"not {in_words(matcher.part)}"
    if isinstance(matcher, (Header, Cookie, Query)):
        kind = next(base for base in type(matcher).__mro__ if base in _KINDS)
        return f"{_KINDS[kind]} {matcher.name} {_wanted(matcher)}"
    return _other(matcher)


def _other(matcher: Matcher) -> str:
    if isinstance(matcher, Method):
        return " or ".join(sorted(matcher.methods))
    if isinstance(matcher, Scheme):
        return f"{matcher.scheme} only"
    if isinstance(matcher, ScopeType):
        return _TYPES[matcher.type]
    if isinstance(matcher, Client):
        return f"client in {', '.join(map(str, matcher.networks))}"
    if isinstance(matcher, Host):
        return f"host {matcher.pattern.pattern}"
    if isinstance(matcher, Accept):
        return f"accepts {' or '.join('/'.join(one[:2]) for one in matcher.media_types)}"
    return f"{public_name(type(matcher))}({HIDDEN})"


def _wanted(matcher: Any) -> str:
    wanted = matcher.wanted
    if isinstance(wanted, bool):
        return "is there" if wanted else "is absent"
    is_text = isinstance(wanted, str)
    text = wanted if is_text else wanted.pattern
    if _SECRET_NAME.search(matcher.name) or not _PLAIN.fullmatch(text):
        text = HIDDEN
    return f"is {text!r}" if is_text else f"matches {text!r}"


def route_in_words(route: Any) -> str:
    """A mount by its host, path and conditions, or another route as `explain` shows it."""
    return _shown(route.rule) if hasattr(route, "rule") else describe(route)


def _shown(rule: Rule) -> str:
    conditions = conditions_of(rule)
    return f"{label_of(rule)}{', ' if conditions else ''}{conditions}"


def label_of(rule: Rule) -> str:
    """Host and path."""
    host = "" if rule.host is None else rule.host.pattern
    return host + (rule.path.text or "/")


def finding_in_words(finding: Finding) -> FindingStatus:
    """What `check` has found, with its mounts in words, and without the query string and the
    headers of the request that shows it."""
    message = finding.message
    if finding.request:
        request = finding.request.partition(" (")[0].partition("?")[0]
        message = message.replace(finding.request, request)
    for rule in finding.rules:
        message = message.replace(
            f"Mount({rule!r}) at {rule.where}", f"{_shown(rule)} ({short(rule.where)})"
        )
        message = message.replace(f"Mount({rule!r})", _shown(rule))
    return FindingStatus(finding.code, message, finding.is_note)


def explained(found: Explanation) -> dict[str, Any]:
    """An explanation as plain values. `text` is all of it in words, a line for each."""
    routes = [candidate.route for candidate in found.candidates]
    child = {
        "path": found.path,
        "root_path": found.root_path,
        "path_params": {name: str(value) for name, value in (found.path_params or {}).items()},
        "app": found.target,
    }
    told = {
        "request": found.request,
        "child": child if found.target else None,
        "answer": found.answer,
        "location": found.location,
        "takes": None if found.route is None else route_in_words(found.route),
        "where": _where(found.route),
        "candidates": [_candidate(one, found.route) for one in found.candidates[:MOST]],
        "more": max(len(routes) - MOST, 0),
        "below": None if found.below is None else explained(found.below),
    }
    return {**told, "text": "\n".join(lines_of(told))}


def _candidate(candidate: Candidate, chosen: BaseRoute | None) -> dict[str, str]:
    reason = candidate.reason
    for matcher in getattr(getattr(candidate.route, "rule", None), "conditions", ()):
        reason = reason.replace(
            f"condition: {matcher!r} does not hold", f"wants: {in_words(matcher)}"
        )
    if chosen is not None:
        reason = reason.replace(describe(chosen), route_in_words(chosen))
    return {
        "route": route_in_words(candidate.route),
        "where": _where(candidate.route),
        "outcome": candidate.outcome,
        "reason": reason,
    }


def _where(route: Any) -> str:
    return short(getattr(getattr(route, "rule", None), "where", ""))


def lines_of(told: dict[str, Any]) -> Iterator[str]:
    """What `explained` has found, as text."""
    yield told["request"] or "Below it:"
    child = told["child"]
    if told["takes"] is not None:
        yield f"is taken by {told['takes']}, {child['app']}"
    elif child is not None:
        yield f"is taken by no mount and goes to the app underneath, {child['app']}"
    else:
        yield "is taken by no mount"
    if told["location"] is not None:
        yield f"redirected to {told['location']!r}"
    if told["answer"]:
        yield f"answer: {told['answer']}"
    others: Iterable[dict[str, str]] = told["candidates"]
    yield from (
        f"{one['outcome']}: {one['route']}: {one['reason']}"
        for one in others
        if one["outcome"] != "chosen"
    )
    if told["more"]:
        yield f"and {told['more']} more"
    if told["below"] is not None:
        yield from lines_of(told["below"])
