"""`Status`, the app: what is asked, by whom, and in which form."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import anyio.to_thread
from anyio.lowlevel import current_token
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from mountkit.answers import refuse_websocket
from mountkit.exceptions import PatternError
from mountkit.matching.accept import Accept
from mountkit.status.explaining import Asked
from mountkit.status.guards import HEADERS, Guard
from mountkit.status.pages import CSP, Page, explanation_page, status_page
from mountkit.status.rates import View
from mountkit.status.sections import live
from mountkit.status.sources import Source, source_of
from mountkit.status.streams import Stream

_HTML = Accept("text/html", wildcard=True)
_JSON = Accept("application/json")
# Characters of a URL, a method or all headers that are asked about.
_MOST = 8000


class Status:
    """A live page that shows what a site is doing.

        Mount("/_status", Status(), middleware=[Middleware(StaffOnly)])

    It shows every mount with its conditions, app, state, requests and last error; the tenants whose
    apps run; what `check` finds; and, at `explain?url=…`, who takes a URL, and why. The same is
    JSON with `Accept: application/json`. It never shows values of environment variables, query
    strings, hosts or addresses of clients, nor the values of conditions that may be secrets. It
    needs no JavaScript; with it, the page is live.

    It has no protection of its own: mount it behind a layer that authenticates, or where only you
    can connect. Requests from pages of other sites get 403, methods other than GET and HEAD 405.

    Args:
        source: what it shows; by default the site that it is mounted in.
        hosts: the hosts that are served, as in `Mount(host=)`; others get 421. By default all. Set
            them on a separate listener, against DNS rebinding.

    Raises:
        PatternError: a host can never match.
    """

    def __init__(self, source: Source | None = None, *, hosts: Sequence[str] | None = None) -> None:
        self._source = source
        self._guard = Guard(hosts)
        self._started = time.time()
        self._views: WeakKeyDictionary[Any, View] = WeakKeyDictionary()  # for each event loop
        self._is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
        elif scope["type"] == "http":
            rest = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
            refusal = self._guard.refuse(scope)
            if refusal is None and rest == "events" and scope["method"] == "GET":
                await self._stream(scope, receive, send)
            else:
                await (refusal or await self._answer(rest, scope))(scope, receive, send)

    def close(self) -> None:
        """End the streams of all pages within a second, for a server that stops."""
        self._is_closed = True

    async def _answer(self, rest: str, scope: Scope) -> Response:
        pages: dict[str, Callable[[Scope], Awaitable[Page]]] = {
            "": self._status,
            "explain": self._explanation,
        }
        if rest not in pages:
            return PlainTextResponse("Not Found", 404, HEADERS)
        page = await pages[rest](scope)
        headers = {**HEADERS, "vary": "accept"}
        if _JSON.quality(scope) > _HTML.quality(scope):
            text = await anyio.to_thread.run_sync(page.json)
            headers["content-type"] = "application/json"
        else:
            text = await anyio.to_thread.run_sync(page.html)
            headers |= {"content-security-policy": CSP, "content-type": "text/html; charset=utf-8"}
        body = text.encode(errors="backslashreplace")  # an error may hold lone surrogates
        headers["content-length"] = str(len(body))
        return Response(b"" if scope["method"] == "HEAD" else body, page.status, headers)

    def _view(self, scope: Scope) -> View:
        """What those look at who ask in this event loop."""
        self._source = source_of(self._source, scope, self, self._started)
        token = current_token().native_token
        view = self._views.get(token)
        if view is None or view.source is not self._source:
            view = self._views[token] = View(self._source)
        return view

    async def _status(self, scope: Scope) -> Page:
        snapshot, rates = await self._view(scope).look()
        return status_page(snapshot, rates, _asked(scope))

    async def _explanation(self, scope: Scope) -> Page:
        asked = _asked(scope)
        source = self._view(scope).source
        try:
            headers = [*_headers_in(asked.headers)]
            found = await source.explain(asked.method, asked.url, headers)
        except PatternError as exc:
            return explanation_page(asked, {"error": str(exc)}, 400)
        return explanation_page(asked, found)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        view, asked = self._view(scope), _asked(scope)

        async def look() -> str:
            render = partial(live, *await view.look(), asked.filter)
            return await anyio.to_thread.run_sync(render)

        await Stream(look, view, lambda: self._is_closed).serve(receive, send)


def _asked(scope: Scope) -> Asked:
    """What the query string asks for."""
    pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
    given = {name: value[:_MOST] for name, value in pairs}
    return Asked(
        filter=given.get("q", ""),
        url=given.get("url", "").strip(),
        method=given.get("method", "").strip().upper() or "GET",
        headers=given.get("headers", ""),
    )


def _headers_in(text: str) -> Iterator[tuple[str, str]]:
    """Headers as they are written, one a line.

    Raises:
        PatternError: a line has no colon, or a character that no header has.
    """
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon or not line.isascii():
            raise PatternError(f"Header {line!r} is not valid; write 'name: value', in ASCII.")
        yield name.strip().lower(), value.strip()
