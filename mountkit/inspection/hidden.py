"""Routes and mounts that no request reaches, because mounts before them take all of it.

A route has a rule as a mount has one: its path and methods, and the conditions of all that it is
below. For each, a request is looked for that nothing before it takes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import starlette.routing
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.inspection.layers import Layer, chain_of, describe, layers_in, target_of
from mountkit.matching.conditions import ScopeType
from mountkit.matching.decisions import Refusal
from mountkit.matching.findings import Finding, listed, shown
from mountkit.matching.rules import Rule
from mountkit.matching.witnesses import Undecided, describe_request, overlap, reach
from mountkit.serving.exposures import Exposure
from mountkit.serving.mounts import Mount
from mountkit.serving.tables import MountTable, decision_in

_HOLDERS = (starlette.routing.Mount, starlette.routing.Host)

# What takes a request: a mount or a route; what leaves open who does.
_Taker: TypeAlias = Any
_UNKNOWN = object()
_Decide: TypeAlias = Callable[[Scope], _Taker]


class _Node(NamedTuple):
    """A route, with the rule that holds for all above it too, the route that it is below in the
    app that is looked at, the apps that it is in, and its path as it is written."""

    route: Any
    rule: Rule
    via: Any
    apps: tuple[Any, ...]
    path: str


def check_hidden(layers: Iterable[Layer], above: tuple[Any, ...]) -> Iterator[Finding]:
    """What the places of an app where mounts are chosen hide of each other, and of all below.

    Args:
        above: the app, and what holds it.
    """
    before: list[_Decide] = []
    for layer in layers:
        found: dict[tuple[int, ...], tuple[list[_Taker], list[_Node]]] = {}
        for node, own, below in _nodes(layer, above):
            for hidden, takers in _hidden(node, [*before, *own], [*before, *below]):
                key = tuple(sorted(map(id, takers)))
                if isinstance(hidden.route, Mount):
                    key = (*key, id(hidden.route))
                found.setdefault(key, (takers, []))[1].append(hidden)
        for takers, nodes in found.values():
            if not all(map(_is_generated, nodes)):
                yield _finding(takers, nodes, layer)
        if layer.table is not None:
            before.append(_decide_of(layer.table))


def _nodes(
    layer: Layer, above: tuple[Any, ...]
) -> Iterator[tuple[_Node, list[_Decide], list[_Decide]]]:
    """What stands at one place, each with what decides there before it, and before what is below
    it. Of two mounts in one table, `Table.check` knows."""
    holders: list[BaseRoute] = []
    places: Sequence[Any] = [layer] if layer.table else layer.routes
    for position, route in enumerate(places):
        table = getattr(route, "table", None)
        # A route that an endpoint hides does not concern mounts.
        before = layer.routes[:position] if isinstance(route, Mount) else holders
        own = [_decide_of_routes([*before])] if before else []
        mounts: Sequence[Any] = (route,) if table is None else table.mounts
        hosts: set[str | None] = set()
        for node in (_node(one, above) for one in mounts):
            if node is not None:
                # What is tried before it in its table, and may have its host.
                host = None if node.rule.host is None else node.rule.host.host
                has_rivals = bool(hosts & {None, host} if host else hosts)
                hosts.add(host)
                yield node, own, [*own, _decide_of(table)] if table and has_rivals else own
        if table or isinstance(route, _HOLDERS):
            holders.append(route)


def _decide_of(table: Any) -> _Decide:
    def decide(scope: Scope) -> _Taker:
        found = table.decide(scope)
        return _UNKNOWN if isinstance(found, Refusal) else found and found.mount

    return decide


def _decide_of_routes(routes: Iterable[BaseRoute]) -> _Decide:
    def decide(scope: Scope) -> _Taker:
        for route in routes:
            match, matched = route.matches(dict(scope))
            if match is Match.FULL:
                found = decision_in(matched)
                return _UNKNOWN if isinstance(found, Refusal) else found.mount if found else route
        return None

    return decide


def _node(route: Any, apps: tuple[Any, ...]) -> _Node | None:
    # The mount stands for its paths elsewhere.
    rule = None if isinstance(route, Exposure) else _rule_of(route)
    return None if rule is None else _Node(route, rule, route, apps, getattr(route, "path", ""))


def _rule_of(route: Any) -> Rule | None:
    """`None` for a route that is written in a form that a mount cannot have."""
    if hasattr(route, "rule"):
        rule: Rule = route.rule
        return rule
    path, host = getattr(route, "path", None), getattr(route, "host", None)
    with suppress(PatternError):
        if isinstance(route, _HOLDERS):
            return Rule(_numbered(path or ""), host=host)
        if path is not None:
            methods = getattr(route, "methods", None) or None
            when = ScopeType("websocket" if _is_websocket(route) else "http")
            return Rule(_numbered(path), methods=methods, when=when, exact=True)
    return None


def _numbered(path: str) -> str:
    """With names for its placeholders that no other has."""
    number = count()
    return re.sub(r"{\w+", lambda _: f"{{p{next(number)}", path)


def _is_websocket(route: Any) -> bool:
    return "WebSocket" in type(route).__name__


def _text(node: _Node) -> str:
    if isinstance(node.route, _HOLDERS):
        return describe(node.route)
    methods = {"WEBSOCKET"} if _is_websocket(node.route) else {*(node.route.methods or ())}
    names = methods - {"HEAD"} if "GET" in methods else methods
    return f"{'|'.join(sorted(names))} {node.path or '/'}".strip()


def _hidden(
    node: _Node, before: list[_Decide], before_below: list[_Decide]
) -> Iterator[tuple[_Node, list[_Taker]]]:
    """This node, or else those below it, that can never be reached, with what takes all of it."""
    takers: dict[int, tuple[_Taker, Rule | None]] = {}
    if not before_below:
        return

    def resolve(scope: Scope) -> Rule | None:
        for decide in before:
            taker = decide(scope)
            mount = getattr(taker, "mount", taker)
            if mount is node.via or taker is _UNKNOWN:
                break
            if taker is not None:
                if any(target_of(mount) is app for app in node.apps):
                    break
                if id(taker) not in takers:
                    takers[id(taker)] = (taker, _rule_of(taker))
                return takers[id(taker)][1]
        return node.rule

    found: object = None
    with suppress(Undecided):
        found = reach(node.rule, resolve)
    if isinstance(found, list) and takers:
        rules = [*map(id, found), id(None)]
        yield node, [taker for taker, rule in takers.values() if id(rule) in rules]
    else:
        for below in _below(node):
            yield from _hidden(below, before_below, before_below)


def _below(node: _Node) -> Iterator[_Node]:
    """The routes of the app behind a mount, as far as they can be seen."""
    route = node.route
    if not isinstance(route, _HOLDERS) or getattr(route, "convention", "spec") not in _PLAIN:
        return
    target = target_of(route)
    if any(target is app for app in node.apps):
        return
    for layer in layers_in(chain_of(target, above=node.apps), is_whole=True):
        for one in layer.routes:
            for route in one.table.mounts if isinstance(one, MountTable) else [one]:
                inner = _node(route, ())
                rule = inner and _joined(node.rule, inner.rule)
                if inner and rule:
                    path = node.path + inner.path
                    yield _Node(route, rule, node.via, (*node.apps, target), path)


_PLAIN = ("spec", "strip")


def _joined(outer: Rule, inner: Rule) -> Rule | None:
    """The rule of a route below a mount."""
    with suppress(PatternError):
        path = outer.path.path + inner.path.text
        rule = copy.copy(inner)
        rule = rule.at(_numbered(path) or "/", exact=inner.path.exact)
        rule.conditions = (*outer.conditions, *inner.conditions)
        rule.host = inner.host or outer.host
        return rule
    return None


def _is_generated(node: _Node) -> bool:
    """Whether it is one of the pages of its documentation that FastAPI adds to each app."""
    endpoint = getattr(node.route, "endpoint", None)
    return getattr(endpoint, "__module__", "") == "fastapi.applications"


def _finding(takers: list[_Taker], nodes: list[_Node], layer: Layer) -> Finding:
    nodes = sorted(nodes, key=_is_generated)
    node, rules = nodes[0], [taker.rule for taker in takers if hasattr(taker, "rule")]
    among = [] if layer.table else [*map(id, layer.routes)]
    is_by_order = all(id(taker) in among for taker in takers)
    names = [shown(one.rule) if hasattr(one, "rule") else describe(one) for one in takers]
    if isinstance(node.route, Mount):
        rules.insert(0, node.route.rule)
        if is_by_order:
            names = [describe(taker) for taker in takers]
            why = "which stand before it: routes are tried in the order of their declaration. Move "
            why += "it before them, or put it into a DispatchMiddleware."
        else:
            why = "in front of it. Give one of them another path, or a condition."
        what = f"{shown(node.route.rule)} can never be reached; every request for it is taken by "
        return Finding("unreachable", f"{what}{' or '.join(names)}, {why}", tuple(rules))
    request = _request_for(node.rule)
    texts = [*map(_text, nodes)]
    if request and request != texts[0]:
        texts[0] += f" (such as {request})"
    are = "which can never be reached"
    if is_by_order:
        why = "routes are tried in the order of their declaration. Move the mount to their end."
    elif id(node.via) in among:
        why = "give it another path, or write it as the last of the app's routes."
    else:
        why = "give one of them another path."
    verb = "take" if takers[1:] else "takes"
    text = f"{' and '.join(names)} {verb} every request for {listed(texts)}, {are}: {why}"
    return Finding("unreachable", text, tuple(rules), request)


def _request_for(rule: Rule) -> str:
    scope = overlap(rule, rule)
    if scope is not None and rule.host is None:
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return "" if scope is None else describe_request(scope)
