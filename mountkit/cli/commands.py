"""The commands, and their arguments."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio

from mountkit.cli.finding import find
from mountkit.cli.printing import Column, Printer, Row, use_what_can_be_shown
from mountkit.cli.requests import ask
from mountkit.cli.serving import add_serve, serve
from mountkit.cli.trees import count_mounts, print_tree, tree_of
from mountkit.config.drafting import draft, find_mounts
from mountkit.config.failures import UserError, text_of
from mountkit.config.finding import Found
from mountkit.config.problems import ConfigError
from mountkit.config.sources import FILE
from mountkit.exceptions import MountkitError
from mountkit.export.names import ASSUMPTIONS, Options, read_listen
from mountkit.export.routers import ROUTERS, export
from mountkit.inspection.audits import check
from mountkit.inspection.explanations import (
    Candidate,
    Explanation,
    explain,
    explain_scope,
    request_scope,
)
from mountkit.inspection.layers import describe, has_mounts
from mountkit.matching.callers import short

_SHOWN_MISSES = 3
_CLOSED_PIPE = 128 + 13  # as a shell reports SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 1 if `check` has findings or the app of `request` fails, 2
    if the command is wrong, 141 if the output is closed."""
    use_what_can_be_shown()
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, without a complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        return 128 + 2


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = _options(argv)
        if options.command in _ALONE:
            return _ALONE[options.command](options)
        imports = options.command != "export"  # the table is enough
        found = find(options.app, is_factory=options.factory, imports=imports)
        if found.file:
            print(f"mountkit: {found.name}, found in {found.file}", file=sys.stderr)
        if options.command != "request" and not has_mounts(found.app):
            raise MountkitError(
                f"{found.name!r} has no mounts, so there is nothing to {_AIMS[options.command]}; "
                "mount an app in it, or name another."
            )
        return _COMMANDS[options.command](found, options)
    except ConfigError as exc:
        number = len(exc.problems)
        summary = f"mountkit: {number} problem{'s' * (number > 1)} found; fix the file."
        print(exc.traceback, exc, "\n", summary, sep="", file=sys.stderr)
        return 2
    except UserError as exc:
        print(text_of(exc.error), f"mountkit: {exc}", sep="", file=sys.stderr)
        return 2
    except MountkitError as exc:
        print(f"mountkit: {exc}", file=sys.stderr)
        return 2


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, others = parser.parse_known_args(argv)
    if len(others) == 1 and others[0][:1] != "-" and getattr(options, "app", "") is None:
        # Options stand before the app, or between it and the URL.
        has_url = hasattr(options, "url")
        options.app, options.url = options.url if has_url else others[0], others.pop()
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if options.version:
        print(f"mountkit {metadata.version('mountkit')}")
        raise SystemExit(0)
    if options.print_completion:
        raise SystemExit(_complete(parser, options.print_completion))
    if options.command is None:
        parser.error("a command is missing; write e.g. mountkit routes main:app")
    url = getattr(options, "url", "/")
    if getattr(options, "app", "") is None and not url.startswith("/") and "://" not in url:
        raise MountkitError(
            f"The URL is missing; write mountkit {options.command} {url} http://localhost/path."
        )
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("mountkit", description="Look into an app made of mounts.")
    parser.add_argument("--version", action="store_true", help="print the version of mountkit")
    shells = ("bash", "zsh", "tcsh")
    help_text = "print a script that completes commands and options"
    parser.add_argument("--print-completion", choices=shells, help=help_text)
    commands = parser.add_subparsers(dest="command")
    for name, help_text in (
        ("routes", "print the mounts in the order in which they are tried"),
        ("explain", "say which mount takes a request, what its app sees, and why no other"),
        ("check", "report mounts that hide others, overlap, or cannot work; exit 1 if any"),
        ("request", "send a request to the app in this process, and show what comes back"),
        ("export", "print the mounts as the configuration of a router that decides as they do"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text)
        add = command.add_argument
        if name == "export":
            add("router", choices=sorted(ROUTERS), help="which one")
        app = add(
            "app",
            nargs="?",
            help="module:attribute, a module or a file, also mountkit.toml; else it is looked for",
        )
        app.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}  # type: ignore[attr-defined]
        add("--factory", action="store_true", help="call the attribute first")
        if name == "export":
            _add_export(add)
            continue
        add("--root-path", default="", help="as the server's --root-path")
        add("--json", action="store_true", help="for machines")
        if name == "routes":
            add("--depth", type=_count, default=99, help="how many levels of mounts; default: all")
        if name in ("explain", "request"):
            _add_request(add, is_sent=name == "request")
    add_serve(commands)
    help_text = "write a first mountkit.toml from what is found in a folder"
    commands.add_parser("init", help=help_text, description=help_text).add_argument(
        "folder", nargs="?", default=".", help="default: the current one"
    )
    help_text = "print the JSON Schema of mountkit.toml, for editors"
    commands.add_parser("schema", help=help_text, description=help_text)
    return parser


def _add_request(add: Callable[..., Any], *, is_sent: bool) -> None:
    add("url", help="absolute, or a path; ws:// makes a websocket")
    add("-X", "--method", help="default: GET, with --data POST")
    several: Any = {"action": "append", "default": [], "dest": "headers"}
    add("-H", "--header", metavar="'NAME: VALUE'", help="may be repeated", **several)
    add("--client", default="127.0.0.1", help="the peer's address")
    if not is_sent:
        add("--all", action="store_true", help="show all mounts that refuse the request")
        return
    add("-d", "--data", help="the body, or a websocket's message; @FILE reads a file")
    seconds = "seconds until the client goes away; default: 5"
    add("--max-time", type=float, default=5.0, help=seconds)
    add("--max-bytes", type=_count, default=65536, help="how much of the body is read")
    add("--trio", action="store_true", help="run the app on trio, not on asyncio")


def _add_export(add: Callable[..., Any]) -> None:
    several: Any = {"action": "append", "default": []}
    help_text = "where a mount is, by path, name or host and path; http://… for all; @FILE"
    add("--upstream", metavar="MOUNT=URL", help=help_text, **several)
    add("--listen", default=":8080", help="where the router listens; default: :8080")
    help_text = "what is taken to be true of all requests; may be repeated"
    add("--assume", choices=ASSUMPTIONS, help=help_text, **several)
    add("--gateway", default="mountkit", help="the name of the Gateway, for gateway-api")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _complete(parser: argparse.ArgumentParser, shell: str) -> int:
    try:
        import shtab
    except ImportError:
        raise MountkitError(
            "Completion needs shtab, which is not installed; run pip install 'mountkit[cli]'."
        ) from None
    print(shtab.complete(parser, shell))
    return 0


def _routes(found: Found, options: argparse.Namespace) -> int:
    printer, root = Printer(), tree_of(found.app, options.root_path.rstrip("/"))
    if options.json:
        printer.json(root.as_dict(options.depth))
    else:
        print_tree(printer, root, options.depth)
    return 0


def _explain(found: Found, options: argparse.Namespace) -> int:
    asked = {name: getattr(options, name) for name in ("client", "root_path")}
    headers = [_header(text) for text in options.headers]
    explanation = explain(
        found.app, options.url, method=options.method or "GET", headers=headers, **asked
    )
    printer = Printer()
    if options.json:
        printer.json(explanation.as_dict())
    else:
        _print_explanation(printer, explanation, None if options.all else _SHOWN_MISSES)
    return 0


def _header(text: str) -> tuple[str, str]:
    # As UTF-8, as curl sends it.
    name, colon, value = text.encode("utf-8", "surrogateescape").decode("latin-1").partition(":")
    if not colon:
        raise MountkitError(f"Header {text!r} has no colon; write 'NAME: VALUE'.")
    return name.strip(), value.strip()


def _print_explanation(printer: Printer, explanation: Explanation, misses: int | None) -> None:
    """With so many of the mounts that refuse the request; 0 leaves those outranked out too."""
    if explanation.request:
        printer.line(explanation.request, "bold")
    if explanation.route is not None:
        rule = getattr(explanation.route, "rule", None)
        where = "" if rule is None else f"  {short(rule.where)}"
        printer.line(f"-> {describe(explanation.route)}{where}", "bold green")
    elif explanation.target:
        printer.line("-> default" if explanation.candidates else "-> the app", "bold yellow")
    else:
        printer.line("No mount takes it.", "bold red")
    for name, value in _seen(explanation):
        printer.line(f"   {name:<11}  {value}")
    if misses != 0:
        _print_candidates(printer, explanation.candidates, misses)
    if explanation.below is not None:
        printer.line("Below it:")
        _print_explanation(printer, explanation.below, misses)


def _print_candidates(
    printer: Printer, candidates: Sequence[Candidate], misses: int | None
) -> None:
    refused = [one for one in candidates if one.outcome == "refused"]
    hidden = refused[misses:] if misses is not None else []
    styles = {"chosen": "bold green", "outranked": "yellow", "refused": "dim"}
    rows = [
        Row((outcome, f"{describe(route)}: {reason}"), styles[outcome])
        for route, outcome, reason in candidates[: len(candidates) - len(hidden)]
    ]
    printer.table([Column("outcome", "never"), Column("mount, and why", "between")], rows)
    if hidden:
        printer.line(f"{len(hidden)} more, --all")


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
    if explanation.answer:
        yield "answer", explanation.answer
    if explanation.location is not None:
        yield "redirected to", repr(explanation.location)


def _check(found: Found, options: argparse.Namespace) -> int:
    findings, printer = check(found.app, root_path=options.root_path), Printer()
    count = sum(not one.is_note for one in findings)
    if options.json:
        printer.json(
            [
                {"code": one.code, "message": one.message, "request": one.request}
                | {"where": [rule.where for rule in one.rules]}
                for one in findings
            ]
        )
        return 1 if count else 0
    for finding in sorted(findings, key=lambda one: one.is_note):
        printer.line(finding.code, "bold yellow" if finding.is_note else "bold red")
        printer.text(f"  {finding.message}")
    mounts = count_mounts(tree_of(found.app))
    checked = f"{mounts} mount{'s' * (mounts != 1)} checked"
    what = f"{count} finding{'s' * (count > 1)}" if count else "nothing found"
    printer.line(f"{checked}, {what}.")
    return 1 if count else 0


def _request(found: Found, options: argparse.Namespace) -> int:
    url = options.url
    if url.startswith("/"):
        url = f"http://localhost{url}"
    data = _data(options.data)
    headers = [_header(text) for text in options.headers]
    names = {name.lower() for name, _ in headers}
    is_websocket = url.startswith("ws")
    if data is not None and not is_websocket:
        more = {
            "content-length": str(len(data)),
            "content-type": "application/x-www-form-urlencoded",
        }
        headers += [(name, value) for name, value in more.items() if name not in names]
    method = options.method or ("GET" if data is None else "POST")
    scope = request_scope(
        url, method=method, headers=headers, client=options.client, root_path=options.root_path
    )
    shown = f"{scope.get('method', 'WEBSOCKET')} {url}"
    explanation = explain_scope(found.app, scope, shown)
    limits = {"max_time": options.max_time, "max_bytes": options.max_bytes}
    backend = "trio" if options.trio else "asyncio"
    answer = anyio.run(partial(ask, found.app, scope, data, **limits), backend=backend)
    printer = Printer()
    if options.json:
        raised = None if answer.error is None else repr(answer.error)
        response = answer.as_dict() | {"error": raised}
        printer.json({"explanation": explanation.as_dict(), "response": response})
    else:
        _print_explanation(printer, explanation, 0)
        printer.line()
        for line in answer.lines():
            printer.line(line)
    sys.stdout.flush()
    if answer.error is not None:
        message = "The app raised {what}."
        error = UserError(message, answer.error)
        print(text_of(answer.error), f"mountkit: {error}", sep="", file=sys.stderr)
    elif not answer.status:
        late = f" in {answer.cut}" if answer.cut else ""
        print(f"mountkit: The app sent no answer{late}.", file=sys.stderr)
    return 0 if answer.status and answer.error is None else 1


def _data(text: str | None) -> bytes | None:
    if text is None or not text.startswith("@"):
        return None if text is None else text.encode("utf-8")
    try:
        with open(text[1:], "rb") as file:
            return file.read()
    except OSError as exc:
        raise MountkitError(f"Data {text!r} cannot be read: {exc.strerror}; name a file.") from exc


def _init(options: argparse.Namespace) -> int:
    folder = Path(options.folder)
    path = folder / FILE
    if not folder.is_dir():
        raise MountkitError(f"Folder {options.folder!r} does not exist; name another.")
    mounts = find_mounts(folder)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(draft(mounts))
    except FileExistsError:
        raise MountkitError(f"{str(path)!r} exists; edit it, or remove it first.") from None
    except OSError as exc:
        reason = f"{str(path)!r} cannot be written: {exc.strerror}; name another folder."
        raise MountkitError(reason) from None
    printer = Printer()
    rows = [Row((one.prefix or "default", one.framework or "files", one.where)) for one in mounts]
    if rows:
        columns = [Column("path", "never"), Column("what", "never"), Column("where", "between")]
        printer.table(columns, rows)
    what = f"{len(rows)} found" if rows else "no app found"
    printer.line(f"{path} is written: {what}. Serve it with mountkit serve.")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from mountkit.config.schema import schema  # it needs pydantic

    print(json.dumps(schema(), indent=2))
    return 0


def _export(found: Found, options: argparse.Namespace) -> int:
    host, port = read_listen(options.listen)
    assumed = frozenset(options.assume)
    how = Options(found.name, host, port, assumed, options.gateway)
    print(export(found.app, options.router, options.upstream, how), end="")
    return 0


_AIMS = {"routes": "print", "explain": "explain", "check": "check", "export": "export"}
_COMMANDS = {
    "routes": _routes,
    "explain": _explain,
    "check": _check,
    "request": _request,
    "export": _export,
}
#: Those that look at no app.
_ALONE = {"serve": serve, "init": _init, "schema": _schema}
