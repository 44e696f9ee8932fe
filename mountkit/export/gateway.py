"""The Kubernetes Gateway API: HTTPRoutes (`gateway.networking.k8s.io/v1`).

Their order of precedence is that of `Rule.rank`, which has been taken from it, but they have
neither priorities nor placeholders, nor can they refuse a request: those that readers of a path
read in several ways are assumed not to come, and what comes all the same is for the upstream to
refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from mountkit.export.names import UNTRUSTED, Options, in_a_line
from mountkit.export.plans import ExportError, Plan, about_of, refused
from mountkit.export.upstreams import Upstream
from mountkit.matching.conditions import Header, Method, Query
from mountkit.matching.rules import Rule

_ASSUMED = ("plain-paths", "well-formed")
# Of the resource: rules of a route, and headers or parameters of a match.
MAX_RULES = 16
_PATH = re.compile(r"[A-Za-z0-9/._~-]{0,1024}")
_NAME = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_NAME}(?:\.{_NAME})*")
_PARAMETER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_LABEL = "[a-z](?:[-a-z0-9]*[a-z0-9])?"
_SERVICE = re.compile(rf"({_LABEL})(?:\.({_LABEL})(?:\.svc(?:\.cluster\.local)?)?)?")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"))

_Member: TypeAlias = "tuple[Rule | None, Upstream]"


def write(plan: Plan, options: Options) -> str:
    """Raises:
    ExportError: HTTPRoutes cannot say it.
    """
    if not options.assumed.issuperset(_ASSUMED):
        raise ExportError(
            "HTTPRoutes refuse no request, so that a table is exported to the Gateway API only "
            f"with --assume {' --assume '.join(_ASSUMED)}."
        )
    if plan.unknown_host != plan.default:
        raise ExportError(
            f"HTTPRoutes do not answer {plan.unknown_host} for an unknown host; leave "
            "unknown_host out of the Dispatcher."
        )
    if not re.fullmatch(_LABEL, options.gateway):
        raise ExportError(f"{options.gateway!r} is not a name of a Gateway; write --gateway edge.")
    by_host: dict[str, list[_Member]] = {}
    for rule, upstream in plan.mounts:
        _check(rule, options)
        host = "" if rule.host is None else rule.host.key[0]
        by_host.setdefault(host, []).append((rule, upstream))
    if isinstance(plan.default, Upstream):
        by_host.setdefault("", []).append((None, plan.default))
    lines = [f"# {options.title}"]
    for host, members in sorted(by_host.items()):
        for number, some in enumerate(_parts(members), 1):
            lines += _route(_name(host, number), host, some, options)
    return "".join(f"{line}\n" for line in lines)


def _check(rule: Rule, options: Options) -> None:
    """Raises:
    ExportError: a mount has what HTTPRoutes have not.
    """
    host, path = rule.host, rule.path
    if rule.priority:
        raise refused(rule, f"priority={rule.priority}", "the Gateway API has its own order alone")
    if host is not None and (host.port is not None or not _HOST.fullmatch(host.key[0])):
        raise refused(rule, f"host {host.pattern!r}", "hostnames are names, without a port")
    if path.convertors:
        raise refused(rule, f"path {path.text!r}", "paths have no placeholders")
    if not _PATH.fullmatch(path.text):
        raise refused(rule, f"path {path.text!r}", "its encoded spellings are not told to be equal")
    for matcher in rule.conditions:
        is_value = isinstance(matcher, (Header, Query)) and isinstance(matcher.wanted, str)
        if not (is_value or isinstance(matcher, Method)):
            reason = "conditions are a method, or values of headers and query parameters"
            raise refused(rule, repr(matcher), reason)
        if isinstance(matcher, Query) and not _PARAMETER.fullmatch(matcher.name):
            raise refused(rule, repr(matcher), "names of parameters are letters and digits")
        if isinstance(matcher, Method):
            _check_method(rule, matcher, options)
    for cls in (Header, Query):
        names = [one.name for one in rule.conditions if isinstance(one, cls)]
        if len({*names}) < len(names) or len(names) > MAX_RULES:
            reason = f"a match has up to {MAX_RULES} of a kind, each of another name"
            raise refused(rule, "its conditions", reason)
    if not [*_matches(rule)]:
        raise refused(rule, "its methods", "no request has two")


def _check_method(rule: Rule, matcher: Method, options: Options) -> None:
    if unknown := sorted(matcher.methods - _METHODS):
        raise refused(rule, repr(matcher), f"{unknown[0]} is not a method of theirs")
    if "no-preflights" not in options.assumed:
        reason = "preflights do not go where the request goes that they announce"
        raise refused(rule, repr(matcher), f"{reason}; --assume no-preflights leaves them out")
    if "GET" in matcher.methods and "no-websockets" not in options.assumed:
        reason = "a websocket is a GET to them"
        raise refused(rule, repr(matcher), f"{reason}; --assume no-websockets leaves them out")


def _name(host: str, number: int) -> str:
    """Other for each host."""
    kind = "mountkit" if host[:1] != "*" else "mountkit-any"
    part = f"-{number}" if number > 1 else ""
    return f"{kind}{part}.{host.removeprefix('*.')}" if host else f"mountkit-any-host{part}"


def _parts(members: Sequence[_Member]) -> Iterator[Sequence[_Member]]:
    """As many as fit into a route; which of two routes is older decides between equals.

    Raises:
        ExportError: two equals would be in two routes.
    """
    before: dict[Any, Rule] = {}
    for start in range(0, len(members), MAX_RULES):
        part = members[start : start + MAX_RULES]
        rules: dict[Any, Rule] = {
            (rule.rank, rule.path.key): rule for rule, _ in part if rule is not None
        }
        for key, rule in rules.items():
            if key in before:
                reason = f"the order of declaration decides between it and Mount({before[key]!r})"
                raise refused(rule, "its place", f"{reason}, and a route has {MAX_RULES} rules")
        before |= rules
        yield part


def _route(name: str, host: str, members: Iterable[_Member], options: Options) -> Iterator[str]:
    yield "---"
    yield "apiVersion: gateway.networking.k8s.io/v1"
    yield "kind: HTTPRoute"
    yield f"metadata: {{name: {name}}}"
    yield "spec:"
    yield f"  parentRefs: [{{name: {options.gateway}}}]"
    if host:
        yield f"  hostnames: ['{host}']"
    yield "  rules:"
    for rule, upstream in members:
        yield f"  # {'default' if rule is None else in_a_line(about_of(rule))}"
        yield "  - matches:"
        for match in _matches(rule):
            yield f"    - {json.dumps(match)}"
        yield "    filters:"
        yield "    - type: RequestHeaderModifier"
        yield f"      requestHeaderModifier: {{remove: {json.dumps(['Forwarded', *UNTRUSTED])}}}"
        yield f"    backendRefs: [{json.dumps(_backend(upstream))}]"


def _matches(rule: Rule | None) -> Iterator[dict[str, Any]]:
    if rule is None:
        yield {"path": {"type": "PathPrefix", "value": "/"}}
        return
    kind = "Exact" if rule.path.exact else "PathPrefix"
    match: dict[str, Any] = {"path": {"type": kind, "value": rule.path.text or "/"}}
    for key, cls in (("headers", Header), ("queryParams", Query)):
        values = [one for one in rule.conditions if isinstance(one, cls)]
        if values:
            match[key] = [{"name": one.name, "value": one.wanted} for one in values]
    methods = [one.methods for one in rule.conditions if isinstance(one, Method)]
    for method in sorted(frozenset.intersection(*methods)) if methods else [""]:
        yield match | ({"method": method} if method else {})


def _backend(upstream: Upstream) -> dict[str, Any]:
    """Raises:
    ExportError: it is not a service.
    """
    match = _SERVICE.fullmatch(upstream.host)
    if match is None:
        raise ExportError(
            f"Upstream {upstream.url!r} is not a Kubernetes service; write 'http://service:port' "
            "or 'http://service.namespace:port'."
        )
    namespace = {"namespace": match[2]} if match[2] else {}
    return {"name": match[1], **namespace, "port": upstream.port}
