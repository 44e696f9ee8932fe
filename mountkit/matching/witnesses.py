"""Requests that prove something about a table: that a mount can be reached, that two overlap.

A request is a set of choices: a path, a host, a method, a value for each header, cookie and query
parameter that a condition names. A condition offers the choices that fulfil it and those that break
it. To find a witness, fulfil what is wanted, and break what stands in the way, one by one.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from starlette.types import Scope

from mountkit.locations import encode_path
from mountkit.matching.accept import Accept
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
from mountkit.matching.hosts import HostPattern, request_host
from mountkit.matching.matchers import And, Matcher, Not, Or
from mountkit.matching.paths import PathPattern
from mountkit.matching.rules import Rule
from mountkit.matching.segments import Segment

#: What is chosen: `"path"`, `"host"`, `"method"`, …, or `("header", "x-version")`.
Variable: TypeAlias = Hashable
#: Values by variable; `None` for a header, cookie or parameter that is not there.
Choices: TypeAlias = Mapping[Variable, Any]

# A text that no pattern is likely to name.
_FRESH = "mountkit-witness"
_OTHER_HOST = "other.invalid"
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND")
_KINDS: list[Choices] = [{"method": method} for method in _METHODS]
_KINDS.append({"type": "websocket"})
_ADDRESSES = ("127.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1")
# How many requests are tried before a search ends.
_BUDGET = 20_000


class Undecided(Exception):
    """The search met a condition that it cannot read, or used up its budget."""


def scope_of(choices: Choices) -> Scope:
    """The request as a scope."""
    scope_type = choices.get("type", "http")
    scheme = choices.get("scheme", "http")
    path = choices.get("path", "/")
    headers = []
    if choices.get("host") is not None:
        headers.append((b"host", choices["host"].encode("latin-1")))
    cookies, query = [], []
    for variable, value in choices.items():
        if not isinstance(variable, tuple) or value is None:
            continue
        kind, name = variable
        if kind == "header":
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
        elif kind == "cookie":
            cookies.append(f"{name}={value}")
        else:
            query.append(f"{quote(name)}={quote(value)}")
    if cookies:
        headers.append((b"cookie", "; ".join(cookies).encode("latin-1")))
    scope: Scope = {
        "type": scope_type,
        "path": path,
        "raw_path": encode_path(path).encode("ascii"),
        "root_path": "",
        "scheme": scheme if scope_type == "http" else scheme.replace("http", "ws"),
        "query_string": "&".join(query).encode("ascii"),
        "headers": headers,
        "client": (choices.get("client", _ADDRESSES[0]), 0),
        "server": ("localhost", 80),
    }
    if scope_type == "http":
        scope["method"] = choices.get("method", "GET")
    return scope


def describe_request(scope: Scope) -> str:
    """`GET http://a.com/x?v=1 (x-version: 2)`."""
    method = scope.get("method", "WEBSOCKET")
    headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
    host = next((value for name, value in headers if name == "host"), None)
    url = encode_path(scope["path"])
    if host is not None:
        url = f"{scope['scheme']}://{host}{url}"
    if scope["query_string"]:
        url += "?" + scope["query_string"].decode("ascii")
    shown = [f"{name}: {value}" for name, value in headers if name != "host"]
    if scope["client"][0] != _ADDRESSES[0]:
        shown.append(f"from {scope['client'][0]}")
    return f"{method} {url}" + (f" ({', '.join(shown)})" if shown else "")


def reach(rule: Rule, resolve: Callable[[Scope], Rule | None]) -> Scope | list[Rule]:
    """A request that `resolve` gives to `rule`, or the rules that always come before it.

    Raises:
        Undecided: the search met a condition that it cannot read, or was too long.
    """
    return _Search(rule, resolve).run()


class _Search:
    def __init__(self, rule: Rule, resolve: Callable[[Scope], Rule | None]) -> None:
        self.rule = rule
        self.resolve = resolve
        self.rivals: dict[int, Rule] = {}
        self.seen: set[frozenset[tuple[Any, Any]]] = set()
        self.is_undecided = False

    def run(self) -> Scope | list[Rule]:
        for choices in fulfilling(self.rule):
            found = self._from(choices)
            if found is not None:
                return found
            for rival in self.rivals.values():
                if covers(rival, self.rule):
                    return [rival]
        has_no_path = not path_samples(self.rule.path)  # a convertor that could not be sampled
        if (
            self.is_undecided
            or has_no_path
            or any(is_opaque(r) for r in (self.rule, *self.rivals.values()))
        ):
            raise Undecided
        return list(self.rivals.values())

    def _from(self, choices: Choices) -> Scope | None:
        pending = [choices]
        while pending:
            current = pending.pop()
            key = frozenset(current.items())
            if key in self.seen:
                continue
            self.seen.add(key)
            if len(self.seen) > _BUDGET:
                self.is_undecided = True
                return None
            scope = scope_of(current)
            if not takes(self.rule, scope):
                continue
            winner = self.resolve(scope)
            if winner is self.rule:
                return scope
            if winner is not None:
                self.rivals[id(winner)] = winner
                breaks = [way for m in winner.conditions for way in ways(m, wanted=False)]
                pending += [{**current, **way} for way in breaks]
        return None


def covers(one: Rule, other: Rule) -> bool:
    """Whether `one` takes whatever `other` takes, as can be seen without a request."""
    if one.conditions or one.path.exact or {one.path.multi, other.path.multi} != {None}:
        return False
    if one.host is not None and (other.host is None or one.host.key != other.host.key):
        return False
    return len(one.path.segments) <= len(other.path.segments) and all(
        text == others or (isinstance(text, Segment) and text.bare is not None and others != "")
        for text, others in zip(one.path.segments, other.path.segments, strict=False)
    )


def takes(rule: Rule, scope: Scope) -> bool:
    """Whether a rule, asked alone, takes a request."""
    return rule.match(scope, scope["path"], request_host(scope)) is not None


def overlap(one: Rule, other: Rule) -> Scope | None:
    """A request that both rules take; `None` if there is not one, or it was not found."""
    paths = _shared_paths(one.path, other.path)
    hosts = [*host_samples(one.host), *host_samples(other.host)]
    pairs = itertools.product(_fulfilments(one.conditions), _fulfilments(other.conditions))
    merged = [{**a, **b} for a, b in itertools.islice(pairs, _BUDGET) if _agree(a, b)]
    for path, host, choices in itertools.product(paths, hosts, merged):
        scope = scope_of({"path": path, "host": host, **choices})
        if takes(one, scope) and takes(other, scope):
            return scope
    return None


def example_of(rule: Rule) -> str:
    """For messages: ", such as GET http://a.com/x", or `""`."""
    scope = overlap(rule, rule)
    return "" if scope is None else f", such as {describe_request(scope)}"


def _agree(one: Choices, other: Choices) -> bool:
    return all(other.get(variable, value) == value for variable, value in one.items())


def fulfilling(rule: Rule) -> Iterator[Choices]:
    """Requests that may fulfil a rule: paths by hosts by the ways to fulfil its conditions."""
    product = itertools.product(
        path_samples(rule.path), host_samples(rule.host), _fulfilments(rule.conditions), _KINDS
    )
    for path, host, choices, kind in product:
        yield {**kind, "path": path, "host": host, **choices}


def _fulfilments(conditions: Sequence[Matcher]) -> Sequence[Choices]:
    merged: Sequence[Choices] = [{}]
    for matcher in conditions:
        offered = ways(matcher, wanted=True)
        merged = [{**a, **b} for a in merged for b in offered if _agree(a, b)][:_BUDGET]
    return merged


def path_samples(path: PathPattern) -> list[str]:
    """Paths below a prefix: at it, below it, and far below it."""
    filled = ["".join("/" + s for s in segments) for segments in _filled(path)]
    if path.exact:
        return [text or "/" for text in filled]
    below = ("", "/", f"/{_FRESH}", f"/{_FRESH}/{_FRESH}")
    return [text + rest for text in filled for rest in below if text + rest]


def _filled(path: PathPattern) -> list[list[str]]:
    options = [
        [segment] if isinstance(segment, str) else segment_samples(segment)
        for segment in path.segments
    ]
    return [list(choice) for choice in itertools.islice(itertools.product(*options), 64)]


def segment_samples(segment: Segment) -> list[str]:
    """Texts that a segment or label with placeholders may take."""
    options = [[text] for text in segment.literals[:1]]
    for name, literal in zip(segment.names, segment.literals[1:], strict=True):
        regex = segment.convertors[name].regex
        samples = sample_regex(re.compile(regex)) if segment.is_typed else ["x", _FRESH, "1"]
        options += [samples, [literal]]
    return ["".join(texts) for texts in itertools.islice(itertools.product(*options), 64)]


def sample_regex(pattern: re.Pattern[str]) -> list[str]:
    """Texts that a regular expression matches as a whole, as far as a simple guess finds any.

    A class becomes one of its members, repetitions are written out, and what does not match in the
    end is left out.
    """
    text = re.sub(r"\(\?(?:P<\w+>|:)|[()^$]", "", pattern.pattern)
    text = re.sub(r"\\d", "1", text)
    text = re.sub(r"\\w|\[\^[^\]]*\]|(?<!\\)\.", "x", text)
    text = re.sub(r"\[(.)[^\]]*\]", r"\1", text)
    text = re.sub(r"(.)\{(\d+)[^}]*\}", lambda m: m[1] * int(m[2]), text)
    guesses = [re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)[+*?]", "", t)) for t in text.split("|")]
    candidates = dict.fromkeys([*guesses, "x", "1", _FRESH, "1.0", "x/y", ""])
    return [candidate for candidate in candidates if pattern.fullmatch(candidate)]


def _shared_paths(one: PathPattern, other: PathPattern) -> list[str]:
    if one.multi is not None or other.multi is not None:
        return [*path_samples(one), *path_samples(other)]
    options = []
    for pair in itertools.zip_longest(one.segments, other.segments):
        literal = next((s for s in pair if isinstance(s, str)), None)
        samples = [text for s in pair if isinstance(s, Segment) for text in segment_samples(s)]
        options.append(samples if literal is None else [literal])
    return [
        "".join("/" + text for text in texts) or "/"
        for texts in itertools.islice(itertools.product(*options), 256)
    ]


def host_samples(pattern: HostPattern | None) -> list[str | None]:
    """Hosts that a pattern takes. Without a pattern: a host that no other names, and no host."""
    if pattern is None:
        return [_OTHER_HOST, None]
    if pattern.host is not None:
        names = [pattern.host]
    else:
        fixed = [
            [label] if isinstance(label, str) else segment_samples(label)
            for label in pattern.labels[::-1]
        ]
        front = [[_FRESH], ["x"], ["x", _FRESH]] if pattern.star else [[]]
        names = [".".join([*some, *rest]) for some in front for rest in itertools.product(*fixed)]
    ports = ["", ":81"] if pattern.port is None else [f":{pattern.port}"]
    return [name + port for name in names for port in ports]


def ways(matcher: Matcher, *, wanted: bool) -> Sequence[Choices]:
    """The choices that fulfil (or break) a condition; one empty choice if it cannot be read."""
    if isinstance(matcher, Not):
        return ways(matcher.part, wanted=not wanted)
    if isinstance(matcher, (And, Or)):
        if isinstance(matcher, And) is wanted:
            merged: Sequence[Choices] = [{}]
            for part in matcher.parts:
                offered = ways(part, wanted=wanted)
                merged = [{**a, **b} for a in merged for b in offered if _agree(a, b)][:_BUDGET]
            return merged
        return [way for part in matcher.parts for way in ways(part, wanted=wanted)]
    for kind, offer in _OFFERS.items():
        if isinstance(matcher, kind):
            return [{variable: value} for variable, value in offer(matcher, wanted)]
    return [{}]


_Offer: TypeAlias = Iterable[tuple[Variable, Any]]


def _value_ways(matcher: Any, wanted: bool) -> _Offer:
    variable = (type(matcher).__name__.lower(), matcher.name)
    want = matcher.wanted
    if isinstance(want, bool):
        present = want is wanted
        return [(variable, _FRESH if present else None)]
    if isinstance(want, str):
        return [(variable, want)] if wanted else [(variable, None), (variable, _FRESH)]
    if wanted:
        return [(variable, text) for text in sample_regex(want)]
    others = [text for text in ("", _FRESH, "0") if not want.fullmatch(text)]
    return [(variable, None), *((variable, text) for text in others)]


def _method_ways(matcher: Method, wanted: bool) -> _Offer:
    if wanted:
        return [("method", method) for method in sorted(matcher.methods)]
    others = [("method", method) for method in _METHODS if method not in matcher.methods]
    return [*others, ("type", "websocket")]


def _scheme_ways(matcher: Scheme, wanted: bool) -> _Offer:
    other = "https" if matcher.scheme == "http" else "http"
    return [("scheme", matcher.scheme if wanted else other)]


def _type_ways(matcher: ScopeType, wanted: bool) -> _Offer:
    other = "websocket" if matcher.type == "http" else "http"
    return [("type", matcher.type if wanted else other)]


def _client_ways(matcher: Client, wanted: bool) -> _Offer:
    inside = [str(network.network_address) for network in matcher.networks]
    if wanted:
        return [("client", address) for address in inside]
    parsed = [(address, ipaddress.ip_address(address)) for address in _ADDRESSES]
    return [
        ("client", text)
        for text, address in parsed
        if all(address not in n for n in matcher.networks)
    ]


def _host_ways(matcher: Host, wanted: bool) -> _Offer:
    if wanted:
        return [("host", host) for host in host_samples(matcher.pattern)]
    return [("host", _OTHER_HOST), ("host", None)]


def _accept_ways(matcher: Accept, wanted: bool) -> _Offer:
    variable = ("header", "accept")
    if not wanted:
        return [(variable, "x-mountkit/x-witness")]
    named = [
        f"{kind}/{subtype}" + "".join(f";{name}={value}" for name, value in params.items())
        for kind, subtype, params in matcher.media_types
    ]
    return [(variable, text) for text in named]


_OFFERS: dict[type[Matcher], Callable[[Any, bool], _Offer]] = {
    Header: _value_ways,
    Cookie: _value_ways,
    Query: _value_ways,
    Method: _method_ways,
    Scheme: _scheme_ways,
    ScopeType: _type_ways,
    Client: _client_ways,
    Host: _host_ways,
    Accept: _accept_ways,
}


def is_opaque(rule: Rule) -> bool:
    """Whether a rule has a condition whose choices cannot be read."""
    return any(_has_opaque_part(matcher) for matcher in rule.conditions)


def _has_opaque_part(matcher: Matcher) -> bool:
    if isinstance(matcher, Not):
        return _has_opaque_part(matcher.part)
    if isinstance(matcher, (And, Or)):
        return any(map(_has_opaque_part, matcher.parts))
    if isinstance(matcher, (Header, Cookie, Query)) and isinstance(matcher.wanted, re.Pattern):
        return not sample_regex(matcher.wanted)
    return not isinstance(matcher, tuple(_OFFERS))
