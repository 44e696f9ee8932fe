"""The answer to a request that no app may see or no mount takes: a status, and a record of why.

With `debug`, the dispatcher's or the parent app's, it is a page: what was asked, which mounts are
nearest and why each refused, and what to do next. All of the request's text in it is escaped, and
it has neither scripts nor anything from elsewhere.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice, takewhile
from typing import Any

from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.locations import encode_path
from mountkit.logs import dispatch as logger
from mountkit.matching.decisions import Refusal
from mountkit.matching.hosts import request_host
from mountkit.matching.paths import split_root_path
from mountkit.matching.tables import Table
from mountkit.serving.sites import SITE

_SHOWN = 3  # of the mounts
_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
body * {{ overflow-wrap: anywhere; white-space: pre-wrap }}
h3, pre {{ font: .9rem/1.5 ui-monospace, monospace; margin: 1rem 0 -.75rem }}
pre {{ margin: 1rem 0; padding: .5rem .75rem; background: rgb(127 127 127 / .15) }}
</style>"""


async def refuse(
    refusal: Refusal, table: Table[Any], scope: Scope, receive: Receive, send: Send, router: Any
) -> None:
    """Answer with the status of a refusal.

    Args:
        table: has decided.
        router: the dispatcher; `None` for mounts among routes.
    """
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%d for %r: %s", refusal.status, _request(scope)[0], refusal.reason)
    # The outermost router and app count as well, so that it holds for all dispatchers below.
    above = (router, scope.get("app"), *scope.get(SITE, ())[:2])
    if scope["type"] != "http" or not any(getattr(one, "debug", 0) is True for one in above):
        await answer(refusal.status, scope, receive, send)
        return
    parts = list(_parts(refusal, table, scope))
    headers = {"cache-control": "no-store"}
    if any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
        from html import escape  # slow to import

        body = "\n".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in parts)
        page = _HEAD.format(title=escape(parts[0][1])) + body
        await HTMLResponse(page, refusal.status, headers)(scope, receive, send)
        return
    plain = "".join("\n" * (tag in ("h2", "h3")) + text + "\n" for tag, text in parts)
    await PlainTextResponse(plain, refusal.status, headers)(scope, receive, send)


def _parts(refusal: Refusal, table: Table[Any], scope: Scope) -> Iterator[tuple[str, str]]:
    """The page: HTML's elements, each with its text."""
    request, arguments = _request(scope)
    yield "h1", f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    yield "pre", request
    yield "p", refusal.reason
    _, rest = split_root_path(scope, path_has_root=table.path_has_root)
    host = request_host(scope)

    def distance(entry: Any) -> tuple[int, int]:
        """How much of a mount refuses, and how little of its path is like the request's."""
        rule = entry.rule
        fails = 2 * (rule.host is not None and rule.host.match(host) is None)
        fails += 2 * (rule.path.match(rest) is None)
        fails += not all(matcher.matches(scope) for matcher in rule.conditions)
        pairs = takewhile(lambda pair: pair[0] == pair[1], zip(rule.path.text, rest, strict=False))
        return fails, -sum(1 for _ in pairs)

    nearest: dict[int, Any] = {}  # a mount of several hosts has several entries
    for entry in sorted(table.mounts, key=distance):
        nearest.setdefault(id(getattr(entry, "mount", entry)), entry)
    others = len(nearest) - _SHOWN
    yield "h2", f"The nearest mounts ({others} more)" if others > 0 else "The mounts"
    if not nearest:
        yield "p", "There are none."
    for entry in islice(nearest.values(), _SHOWN):
        yield "h3", f"Mount({entry.rule!r}) at {entry.rule.where}"
        yield "p", entry.rule.refusal(scope, rest, host) or "would take it, were it not refused"
    yield "h2", "Go on with"
    yield "p", "Write your own app in place of main:app."
    yield "pre", f"mountkit explain main:app {shlex.join(arguments)}"
    yield "pre", "mountkit routes main:app"
    yield "pre", "mountkit check main:app"
    yield "p", "This page is shown because debug is on."


def _request(scope: Scope) -> tuple[str, list[str]]:
    """A request in one line, and the arguments that `mountkit explain` needs for it."""
    raw = scope.get("raw_path")
    path = scope["path"].encode(errors="replace").decode()
    url = encode_path(path) if raw is None else raw.decode("latin-1")
    if query := scope.get("query_string"):
        url += "?" + query.decode("latin-1")
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    method = scope.get("method", "WEBSOCKET")
    options = [] if method in ("GET", "WEBSOCKET") else ["-X", method]
    if root_path := scope.get("root_path"):
        options += ["--root-path", root_path]
    if request_host(scope) is None:
        shown = f"{url} (host: {', '.join(hosts) or 'none'})"
        options += [part for host in hosts for part in ("-H", f"host: {host}")]
    else:
        shown = url = f"{scope.get('scheme', 'http')}://{hosts[0]}{url}"
    return f"{method} {shown}", [*options, url]
