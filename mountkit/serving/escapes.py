"""Pages that ask for a URL outside of their prefix.

A mounted app that does not know its prefix writes "/static/app.js" into its pages, and the browser
gets another app's 404. The request says by its `Referer` which page it was.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.frameworks import advice
from mountkit.logs import logger
from mountkit.matching.tables import Table
from mountkit.serving.exposures import Exposure


class EscapeWatch:
    """The app underneath a table; its 404s are looked at.

    A mount is named once, in a warning. It costs a look at the headers of requests that no mount
    takes, and nothing for others.
    """

    def __init__(self, app: ASGIApp, table: Table[Any]) -> None:
        self.app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"referer":
                    send = self._watching(dict(scope), value.decode("latin-1"), send)
                    break
        await self.app(scope, receive, send)

    def _watching(self, scope: Scope, referer: str, send: Send) -> Send:
        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 404:
                self._report(scope, referer)
            await send(message)

        return watch

    def _report(self, scope: Scope, referer: str) -> None:
        host = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"host"), "")
        try:
            page = urlsplit(referer)
        except ValueError:
            return
        if not page.path.startswith("/") or page.netloc.lower() != host.lower():
            return
        asked = {
            **scope,
            "method": "GET",
            "path": unquote(page.path),
            "raw_path": page.path.encode("latin-1"),
            "query_string": page.query.encode("latin-1"),
        }
        found = self._table.resolve(asked)
        mount = getattr(found, "mount", None)
        if found is not None and isinstance(mount, Exposure):
            found, _ = mount.inner(found, asked)
            mount = found.mount
        if found is None or mount is None or not found.prefix or mount.has_escaped:
            return
        mount.has_escaped = True
        logger.warning(
            "A page of %s asked for %r, which is outside of its prefix and does not exist: %s. "
            "This is said once.",
            mount.where[0].lower() + mount.where[1:],
            scope["path"][:200],
            advice(mount.target, found.root_path + found.prefix)
            or "a URL on it lacks the prefix. Tell the app its prefix, or write the URL as the "
            "framework makes it",
        )
