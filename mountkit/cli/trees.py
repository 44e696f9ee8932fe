"""What `mountkit routes` shows: mounts and routes in their order, with what is below each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mountkit.cli.printing import Column, Printer, Row
from mountkit.inspection.layers import (
    Fork,
    candidates_of,
    chain_of,
    describe,
    describe_app,
    has_mounts,
    layers_in,
    target_of,
)
from mountkit.matching.callers import short

_DEFAULT = "default"


@dataclass
class Node:
    """A mount, a route or the app underneath.

    Attributes:
        route: in a few words.
        target: the app or endpoint.
        label: host, path and conditions.
        order: how those below are chosen: `"specificity"`, `"declaration"`, or `""` without any.
        is_default: it gets what no mount before it takes.
    """

    route: str
    target: Any
    label: str = ""
    where: str = ""
    is_default: bool = False
    order: str = ""
    below: list[Node] = field(default_factory=list)

    def as_dict(self, depth: int) -> dict[str, Any]:
        """Plain values, for JSON; `depth` levels below this one."""
        found = {"route": self.route, "app": describe_app(self.target), "where": self.where}
        below = [node.as_dict(depth - 1) for node in self.below] if depth else []
        return found | ({"order": self.order, "below": below} if below else {})


def tree_of(app: Any, prefix: str = "", seen: tuple[Any, ...] = ()) -> Node:
    """An app with all that it chooses between; an app that contains itself is shown once.

    Args:
        prefix: of the paths at the top.
    """
    root = node = Node("", app)
    chain = [*chain_of(app, above=[one for one in seen if one is not app])]
    for layer in layers_in(chain):
        root.route = root.route or layer.label
        node.order = "specificity" if layer.table is not None else "declaration"
        for route in candidates_of(layer):
            below = _node_of(route, prefix)
            if not any(below.target is one for one in seen):
                inside = tree_of(below.target, "", (*seen, app, below.target))
                below.order, below.below = inside.order, inside.below
            node.below.append(below)
        if layer.underneath is not None:
            below = Node(_DEFAULT, layer.underneath, _DEFAULT, is_default=True)
            node.below.append(below)
            node = below  # what is underneath chooses next
    for one in (one for fork in chain if isinstance(fork, Fork) for one in fork.apps):
        if has_mounts(one):
            name = describe_app(one)
            node.order = node.order or "its own"
            inside = tree_of(one, prefix, seen)
            node.below.append(Node(name, one, name, order=inside.order, below=inside.below))
    return root


def _node_of(route: Any, prefix: str) -> Node:
    if not hasattr(route, "rule"):
        path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or ()
        label = " ".join([f"{getattr(route, 'host', '')}{prefix}{path or '/'}", *sorted(methods)])
        return Node(describe(route), target_of(route), label)
    rule = route.rule
    host = "" if rule.host is None else rule.host.pattern
    parts = [f"{host}{prefix}{rule.path.text or '/'}", *map(repr, rule.conditions)]
    parts += ["exact=True"] * rule.path.exact
    parts += [f"priority={rule.priority}"] * bool(rule.priority)
    return Node(describe(route), target_of(route), " ".join(parts), rule.where)


def count_mounts(node: Node) -> int:
    """How many mounts there are, at all depths."""
    is_mount = node.route.startswith(("Mount(", "Host("))
    return is_mount + sum(map(count_mounts, node.below))


def print_tree(printer: Printer, root: Node, depth: int) -> None:
    """As a table."""
    ways = {"specificity": "the most specific wins", "declaration": "tried in this order"}
    how = ways.get(root.order, "it chooses by itself")
    name = describe_app(root.target) if root.route in ("", "routes") else root.route
    printer.line(f"{name}: {how}", "bold")
    columns = [
        Column("#", "never", is_spare=True),
        Column("mount", "between"),
        Column("app"),
        Column("defined at", "never"),
    ]
    printer.table(columns, list(_rows(root.below, depth, "", set())))


def _rows(nodes: Sequence[Node], depth: int, indent: str, seen: set[int]) -> Iterator[Row]:
    for number, node in enumerate(nodes, 1):
        cells = [indent + str(number), indent + node.label, describe_app(node.target)]
        yield Row([*cells, short(node.where)], "dim" if node.is_default else "")
        below = f"{indent}  "
        if node.below and id(node.target) in seen:
            yield Row(["", f"{below}(as above)", "", ""], "dim")
        elif node.below and depth <= 1:
            yield Row(["", f"{below}({len(node.below)} below)", "", ""], "dim")
        else:
            seen |= {id(node.target)} if node.below else set()
            yield from _rows(node.below, depth - 1, below, seen)
