"""The command line: `mountkit routes`, `mountkit explain` and `mountkit check`.

It imports the app and asks its tables; it serves nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mountkit.exceptions import MountkitError
from mountkit.inspection.audits import check
from mountkit.inspection.explanations import Explanation, explain
from mountkit.inspection.layers import Layer, candidates_of, describe, describe_app, layers_of
from mountkit.serving.mounts import Mount

if TYPE_CHECKING:
    from rich.console import Console


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 1 if `check` has findings, 2 if the command is wrong."""
    options = _parser().parse_args(argv)
    try:
        app = load(options.app, is_factory=options.factory)
        command = {"routes": _routes, "explain": _explain, "check": _check}[options.command]
        return command(app, options)
    except MountkitError as exc:
        print(f"mountkit: {exc}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mountkit", description="Look into an app made of mounts.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("routes", "print the tables in the order in which their mounts are tried"),
        ("explain", "say which mount takes a request, what its app sees, and why no other"),
        ("check", "report mounts that hide others, overlap, or cannot work; exit 1 if any"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text)
        add = command.add_argument
        add("app", help="where the app is, as for uvicorn: module:attribute")
        if name == "explain":
            add("url", help="absolute, or a path; ws:// makes a websocket")
            add("-X", "--method", default="GET", help="default: GET")
            several: Any = {"action": "append", "default": [], "dest": "headers"}
            add("-H", "--header", metavar="'NAME: VALUE'", help="may be repeated", **several)
            add("--client", default="127.0.0.1", help="the peer's address")
            add("--root-path", default="", help="as the server's --root-path")
        add("--factory", action="store_true", help="call the attribute first")
        add("--json", action="store_true", help="for machines")
    return parser


def load(target: str, *, is_factory: bool = False) -> Any:
    """Import `module:attribute`, as uvicorn does; MountkitError if one of them does not exist."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise MountkitError(f"App {target!r} lacks a module or an attribute; write 'main:app'.")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise
        raise MountkitError(f"Module {module_name!r} was not found; name another.") from exc
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise MountkitError(f"Module {module_name!r} has no {attribute!r}; name its app.")
        found = getattr(found, name)
    return found() if is_factory else found


def _routes(app: Any, options: argparse.Namespace) -> int:
    layers = list(_nested(app, "", set()))
    if options.json:
        keys = ("route", "app", "where")
        found = [
            {
                "layer": layer.label,
                "order": "specificity" if layer.table is not None else "declaration",
                "routes": [dict(zip(keys, row, strict=True)) for row in _rows(layer)],
            }
            for layer in layers
        ]
        print(json.dumps(found, indent=2))
        return 0
    console = _console()
    for layer in layers:
        _print_layer(console, layer)
    if not layers:
        console.print("No mounts.")
    return 0


def _nested(app: Any, above: str, seen: set[int]) -> Iterator[Layer]:
    """The layers of an app, each followed by those of what it mounts."""
    for layer in layers_of(app):
        yield layer._replace(label=above + layer.label)
        for route in candidates_of(layer):
            if isinstance(route, Mount) and id(route.target) not in seen:
                seen.add(id(route.target))
                yield from _nested(route.target, f"{above}{route.label} > ", seen)


def _rows(layer: Layer) -> Iterator[tuple[str, str, str]]:
    """Each route in the order in which it is tried, its app, and where it was written."""
    for route in candidates_of(layer):
        if isinstance(route, Mount):
            yield describe(route), describe_app(route.target), route.rule.where
        else:
            yield describe(route), describe_app(getattr(route, "endpoint", route)), ""
    if layer.underneath is not None:
        yield "default", describe_app(layer.underneath), ""


def _print_layer(console: Console, layer: Layer) -> None:
    from rich.table import Table

    order = "the most specific wins" if layer.table is not None else "tried in this order"
    table = Table("#", "route", "app", "defined at", title=f"{layer.label}: {order}")
    table.title_justify = "left"
    for number, (route, app, where) in enumerate(_rows(layer), 1):
        path, _, line = where.rpartition(":")
        short = f"{os.path.relpath(path)}:{line}" if path else ""
        table.add_row(str(number), route, app, short)
    console.print(table)


def _explain(app: Any, options: argparse.Namespace) -> int:
    headers = [_header(text) for text in options.headers]
    asked = {name: getattr(options, name) for name in ("method", "client", "root_path")}
    explanation = explain(app, options.url, headers=headers, **asked)
    if options.json:
        print(json.dumps(explanation.as_dict(), indent=2))
    else:
        _print_explanation(_console(), explanation)
    return 0


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise MountkitError(f"Header {text!r} has no colon; write 'NAME: VALUE'.")
    return name.strip(), value.strip()


def _print_explanation(console: Console, explanation: Explanation) -> None:
    from rich.table import Table

    if explanation.request:
        console.print(explanation.request, style="bold")
    if explanation.route is not None:
        console.print(f"-> {describe(explanation.route)}", style="bold green")
    else:
        line = "-> default" if explanation.target else "No mount takes it."
        console.print(line, style="bold red")
    seen = Table.grid(padding=(0, 2))
    for name, value in _seen(explanation):
        seen.add_row(f"   {name}", value)
    table = Table("outcome", "route", "reason")
    styles = {"chosen": "bold green", "outranked": "yellow", "refused": "dim"}
    for route, outcome, reason in explanation.candidates:
        table.add_row(outcome, describe(route), reason, style=styles[outcome])
    for part in (seen, table):
        if part.rows:
            console.print(part)
    if explanation.below is not None:
        console.print("Below it:")
        _print_explanation(console, explanation.below)


def _seen(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """The app that gets the request, and what it sees."""
    if explanation.target:
        yield "app", explanation.target
        yield "path", repr(explanation.path)
        yield "root_path", repr(explanation.root_path)
    if explanation.path_params:
        yield "path_params", repr(dict(explanation.path_params))
    if explanation.convention not in ("", "spec"):
        yield "convention", explanation.convention
    if explanation.location is not None:
        yield "redirected to", repr(explanation.location)


def _check(app: Any, options: argparse.Namespace) -> int:
    findings = check(app)
    if options.json:
        found = [
            {"code": one.code, "message": one.message, "request": one.request}
            | {"where": [rule.where for rule in one.rules]}
            for one in findings
        ]
        print(json.dumps(found, indent=2))
        return 1 if findings else 0
    console = _console()
    for finding in findings:
        console.print(finding.code, style="bold red", end="  ")
        console.print(finding.message)
    count = len(findings)
    console.print("Nothing found." if not count else f"{count} finding{'s' * (count > 1)}.")
    return 1 if findings else 0


def _console() -> Console:
    try:
        from rich.console import Console
    except ImportError as exc:
        raise MountkitError(
            "Printing needs rich, which is not installed; run pip install 'mountkit[cli]', or add "
            "--json."
        ) from exc
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 160  # not a screen: do not break lines early
    return console
