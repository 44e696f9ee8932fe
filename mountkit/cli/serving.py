"""`mountkit serve`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mountkit.config.problems import ConfigError
from mountkit.config.sources import FILE, Source, find_file, is_file, read_source, source_of_app
from mountkit.exceptions import MountkitError

_SERVERS = ("uvicorn", "granian", "hypercorn")
#: Options that are keys of `[server]`.
_KEYS = ("host", "port", "unix_socket", "workers", "server", "root_path", "watch")


def add_serve(commands: Any) -> None:
    """The arguments."""
    help_text = "serve a site: mountkit.toml, or an app"
    parser = commands.add_parser("serve", help=help_text, description=help_text)
    add: Callable[..., Any] = partial(parser.add_argument, default=None)
    app = add("app", nargs="?", help="a .toml file, or module:attribute; default: mountkit.toml")
    app.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}
    add("--factory", action="store_true", help="call the attribute first")
    add("--host", help="the address to listen on")
    add("--port", type=_port, help="the port; 0 is any that is free")
    add("--unix-socket", metavar="PATH", help="listen on a unix socket instead")
    add("--workers", type=_workers, help="how many processes serve")
    add("--server", choices=_SERVERS, help="which server runs in them")
    add("--root-path", help="the prefix that a proxy in front has stripped")
    add("--watch", action="store_true", help="apply a changed file at once")
    add("--reload", action="store_true", help="for development: restart when code changes, too")
    status = "show the status page on a port of this machine; default: 9000"
    add("--status", nargs="?", const="9000", metavar="PORT", help=status)
    only = "serve this mount alone: its path, name, or host and path; may be repeated"
    add("--only", action="append", metavar="MOUNT", help=only)
    upstream = "pass this mount on to http://host:port or unix:/path; may be repeated"
    add("--upstream", action="append", metavar="MOUNT=URL", help=upstream)
    add("--check", action="store_true", help="only say whether the file is right")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def serve(options: argparse.Namespace) -> int:
    """Run the command; the exit status: 0 when it was stopped, 1 if the file is refused or there
    is no socket to listen on, 2 if the command is wrong, 3 if an app does not start, 130 if it was
    cut off by a second Ctrl-C."""
    from mountkit.server import parent
    from mountkit.server.failures import REFUSED, ServeError
    from mountkit.server.plans import Options

    try:
        file = _file(options)
        read = _reader(options) if file is None else partial(read_source, file)
        overrides = dict(_overrides(options))
        parts = (options.only, options.upstream or ())
        asked = Options(read, file, overrides, options.status, bool(options.reload), *parts)
        if options.check:
            print(parent.check(asked))
            return 0
        return parent.serve(asked)
    except ServeError as exc:
        print(f"mountkit: {exc}", file=sys.stderr)
        return exc.status
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return REFUSED


def _file(options: argparse.Namespace) -> Path | None:
    """The file that is served; `None` if an app is."""
    target: str | None = options.app
    if target is not None and not is_file(target):
        return None
    if options.factory:
        raise MountkitError("--factory is for an app; write factory = true in the file.")
    path = find_file(Path()) if target is None else Path(target)
    if path is None:
        raise MountkitError(
            "There is no mountkit.toml here; name a file or an app (module:attribute), or run "
            "mountkit init."
        )
    return path


def _reader(options: argparse.Namespace) -> Callable[[], Source]:
    """Gives the site of one app."""
    if options.watch:
        raise MountkitError("--watch is for a file; write --reload to restart with the code.")
    if Path(options.app).is_dir():
        raise MountkitError(
            f"{options.app!r} is a folder; name its file, '{Path(options.app, FILE)}', or an app."
        )
    if options.only or options.upstream:
        raise MountkitError("--only and --upstream are for a file; run mountkit init to write one.")
    source = source_of_app(options.app, is_factory=bool(options.factory))
    return lambda: source


def _overrides(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    for name in _KEYS:
        value = getattr(options, name)
        if value is not None:
            yield name, value
    if options.unix_socket is None and (options.host is not None or options.port is not None):
        yield "unix_socket", None  # of the file
