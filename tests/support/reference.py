"""The slow, obvious twin of `mountkit.matching.tables`: hold a request against every mount, sort what is
left by the documented order, take the first.

Nothing here is shared with mountkit but the spelling of patterns: paths and hosts are turned
into regular expressions, conditions are read from plain dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.types import Scope

from mountkit import Accept, Cookie, Matcher
from mountkit.matching.rules import Rule

_PLACEHOLDER = re.compile(r"{(\w+)(?::(\w+))?}")
_CONVERTORS = {"str": "[^/]+", "int": "[0-9]+", "path": ".*"}


@dataclass(frozen=True)
class Spec:
    """A mount as its user would write it. Its `rule` makes it fit for a `Table`."""

    path: str = ""
    exact: bool = False
    host: str | None = None
    methods: tuple[str, ...] = ()
    headers: Mapping[str, str | bool] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    accept: str | None = None
    priority: int = 0

    @cached_property
    def rule(self) -> Rule:
        whens: list[Matcher] = [Cookie(name, value) for name, value in self.cookies.items()]
        if self.accept:
            whens.append(Accept(self.accept))
        when = None
        for matcher in whens:
            when = matcher if when is None else when & matcher
        return Rule(
            self.path,
            exact=self.exact,
            host=self.host,
            methods=self.methods or None,
            headers=self.headers,
            query=self.query,
            when=when,
            priority=self.priority,
            where="table.py:1",
        )

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for mounts that take the same requests, whatever their placeholders' names."""
        path = unquote(self.path)
        if not self.exact:
            path = path.rstrip("/")
        conditions = (self.headers, self.query, self.cookies)
        return (
            _PLACEHOLDER.sub(_nameless, path or "/"),
            self.exact,
            _PLACEHOLDER.sub(_nameless, (self.host or "").lower()),
            tuple(sorted(self.methods)),
            *(tuple(sorted(condition.items())) for condition in conditions),
            self.accept,
            self.priority,
        )


def _nameless(match: re.Match[str]) -> str:
    return "{%s}" % (match[2] or "str")


def _to_regex(text: str, any_text: str) -> str:
    """A pattern as a regular expression; `any_text` is what `{x}` takes."""
    regex, position = "", 0
    for match in _PLACEHOLDER.finditer(text):
        kind = match[2] or "str"
        inner = any_text if kind == "str" else _CONVERTORS[kind]
        regex += re.escape(text[position : match.start()]) + f"(?P<{match[1]}>{inner})"
        position = match.end()
    return regex + re.escape(text[position:])


def _converted(match: re.Match[str], pattern: str) -> dict[str, Any]:
    kinds = {found[1]: found[2] for found in _PLACEHOLDER.finditer(pattern)}
    return {
        name: int(text) if kinds[name] == "int" else text
        for name, text in match.groupdict().items()
        if name in kinds
    }


def match_path(spec: Spec, path: str) -> tuple[str, dict[str, Any]] | None:
    """The prefix and the placeholders."""
    written = unquote(spec.path)
    if spec.exact:
        match = re.fullmatch(_to_regex(written or "/", "[^/]+"), path or "/", re.DOTALL)
        return match and (path.rstrip("/"), _converted(match, written))
    prefix = _to_regex(written.rstrip("/"), "[^/]+")
    # The longest prefix that leaves a slash behind, or else all of it.
    for rest in ("(?:/.*)", ""):
        match = re.fullmatch(f"(?P<_prefix>{prefix}){rest}", path, re.DOTALL)
        if match:
            return match["_prefix"].rstrip("/"), _converted(match, written)
    return None


def _split_port(host: str) -> tuple[str, str]:
    """A host and its port, or `""`; the colon of `{t:int}` begins none."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() else (host, "")


def match_host(spec: Spec, scope: Scope) -> dict[str, Any] | None:
    """The placeholders of the host."""
    if spec.host is None:
        return {}
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return None
    request = re.fullmatch(r"([^:]*?)\.?(?::([0-9]*))?", hosts[0].lower())
    if request is None:
        return None
    pattern, port = _split_port(spec.host)
    if "}" not in pattern:
        pattern = pattern.lower()
    if port and int(request[2] or 80) != int(port):
        return None
    star = pattern.startswith("*.")
    regex = ("(?:[^.]+[.])+" if star else "") + _to_regex(pattern.removeprefix("*."), "[^.]+")
    match = re.fullmatch(regex, request[1])
    return None if match is None else _converted(match, pattern)


def quality(wanted: str, scope: Scope) -> float:
    """The q-value of a media type without parameters; 0 if the request does not name it."""
    for name, value in scope["headers"]:
        if name == b"accept":
            for part in value.decode("latin-1").split(","):
                media_type, _, weight = part.partition(";q=")
                if media_type.strip() == wanted:
                    return float(weight or 1)
    return 0.0


def holds(spec: Spec, scope: Scope) -> bool:
    """Whether every condition besides host and path holds."""
    if spec.methods and scope.get("method") not in spec.methods:
        return False
    query = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True)
    cookies = [
        tuple(pair.strip().split("=", 1))
        for name, value in scope["headers"]
        if name == b"cookie"
        for pair in value.decode("latin-1").split(";")
    ]
    headers = [(name.decode("latin-1"), v.decode("latin-1")) for name, v in scope["headers"]]
    for conditions, given in (
        (spec.headers, headers),
        (spec.query, query),
        (spec.cookies, cookies),
    ):
        for name, wanted in conditions.items():
            values = {value for key, value in given if key == name}
            if isinstance(wanted, bool):
                if bool(values) is not wanted:
                    return False
            elif values != {wanted}:
                return False
    return spec.accept is None or quality(spec.accept, scope) > 0


def order(spec: Spec) -> tuple[Any, ...]:
    """The documented order, the first to be tried the smallest."""
    if spec.host is None:
        host: tuple[Any, ...] = (2,)
    else:
        name, port = _split_port(spec.host)
        if "*" in name or "{" in name:
            literal = len(_PLACEHOLDER.sub("", name).replace("*", ""))
            typed = sum(match[2] == "int" for match in _PLACEHOLDER.finditer(name))
            labels = len(name.removeprefix("*.").split("."))
            host = (1, -literal, "*" in name, -labels, -typed, not port)
        else:
            host = (0, not port)
    path = unquote(spec.path)
    if not spec.exact:
        path = path.rstrip("/")
    segments = (path or ("/" if spec.exact else "")).split("/")[1:]
    headers = len(spec.headers) + len(spec.cookies) + (spec.accept is not None)
    return (
        -spec.priority,
        host,
        not spec.exact,
        -len(segments),
        [_segment_order(segment) for segment in segments],
        not spec.methods,
        -headers,
        -len(spec.query),
    )


def _segment_order(segment: str) -> tuple[int, int]:
    kinds = [match[2] or "str" for match in _PLACEHOLDER.finditer(segment)]
    if not kinds:
        return (0, 0)
    literal = len(_PLACEHOLDER.sub("", segment))
    if "path" in kinds:
        return (3, -literal)
    if kinds == ["str"] and not literal:
        return (2, 0)
    return (1, -literal)


@dataclass(frozen=True)
class Answer:
    """What a table should answer."""

    spec: Spec
    root_path: str
    prefix: str
    rest: str
    params: dict[str, Any]


def resolve(specs: Sequence[Spec], scope: Scope) -> Answer | None:
    """The mount that takes the request, and how it divides the path. A preflight goes where the
    request goes that it announces, unless the mount that takes it asks for OPTIONS."""
    answer = _resolve(specs, scope)
    headers = dict(scope["headers"])
    method = headers.get(b"access-control-request-method", b"").decode("latin-1")
    is_preflight = scope.get("method") == "OPTIONS" and b"origin" in headers and method
    asks_for_it = answer is not None and "OPTIONS" in answer.spec.methods
    if not is_preflight or asks_for_it or method in ("OPTIONS", "CONNECT"):
        return answer
    names = headers.get(b"access-control-request-headers", b"").lower().split(b",")
    new = {name.strip(): b"?" for name in names if name.strip() not in headers}
    return _resolve(
        specs, {**scope, "method": method, "headers": scope["headers"] + [*new.items()]}
    )


def _resolve(specs: Sequence[Spec], scope: Scope) -> Answer | None:
    root_path = scope["root_path"].rstrip("/")
    path = scope["path"]
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        path = path[len(root_path) :]
    if not path.startswith("/") and not (path == "" and root_path):
        return None
    takers = []
    for spec in specs:
        host_params = match_host(spec, scope)
        found = match_path(spec, path)
        if host_params is not None and found is not None and holds(spec, scope):
            takers.append((spec, found[0], {**host_params, **found[1]}))
    if not takers:
        return None
    takers.sort(key=lambda taker: order(taker[0]))  # stable: the order of declaration is last
    best = takers[0]
    if best[0].accept is not None:
        equals = [t for t in takers if order(t[0]) == order(best[0]) and t[0].accept is not None]
        best = max(equals, key=lambda taker: quality(taker[0].accept or "", scope))
    spec, prefix, params = best
    return Answer(spec, root_path, prefix, path[len(prefix) :], params)
