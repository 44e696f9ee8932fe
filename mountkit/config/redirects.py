"""`Redirect`: an app that sends its clients elsewhere."""

from __future__ import annotations

import string
from urllib.parse import quote, urlsplit

from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import PatternError
from mountkit.locations import encode_path
from mountkit.serving.sites import SITE

# What may stand in a URL as it is. A "\" would be a "/" for browsers.
_KEPT = "".join(set(string.punctuation) - set('\\"<>^`{|}#'))


class Redirect:
    """Redirects to another path of the site, or to a URL, and keeps the rest of the path and the
    query. A websocket is refused, as it cannot be redirected.

    Args:
        target: `/new/`, or `https://example.com/new/`.
        status: of the answer.

    Raises:
        PatternError: the target is neither.
    """

    def __init__(self, target: str, status: int = 307) -> None:
        try:
            parts = urlsplit(target)
        except ValueError:
            parts = urlsplit("")
        is_url = parts.scheme in ("http", "https") and bool(parts.netloc)
        is_path = target.startswith("/") and not target.startswith(("//", "/\\"))
        if not (is_url or is_path) or not target.isprintable():
            raise PatternError(
                f"redirect = {target!r} is neither a path nor a URL; write '/new/' or "
                "'https://example.com/new/'."
            )
        if parts.query or parts.fragment:
            raise PatternError(
                f"redirect = {target!r} has a query or a fragment; leave it out: the query of the "
                "request is kept."
            )
        self.target: str = quote(target, safe="%" + _KEPT)
        self.is_path = is_path
        self.status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await answer(404, scope, receive, send)
            return
        response = RedirectResponse("/", self.status)
        response.headers["location"] = self.location(scope)
        await response(scope, receive, send)

    def location(self, scope: Scope) -> str:
        """Where a request is sent, whose path is what is below the mount."""
        root = encode_path(scope[SITE][2]) if self.is_path and SITE in scope else ""
        raw = scope.get("raw_path") or encode_path(scope["path"]).encode("ascii")
        rest = quote(raw.lstrip(b"/"), safe=_KEPT)
        location = root + self.target
        if rest:
            location = f"{location.rstrip('/')}/{rest}"
        query = quote(scope.get("query_string", b""), safe=_KEPT)
        return f"{location}?{query}" if query else location

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"
