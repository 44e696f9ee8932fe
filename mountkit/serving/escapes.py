"""Apps that do not find their prefix, or do not write it into their URLs.

A mounted app that does not know its prefix writes "/static/app.js" into its pages, and the browser
gets another app's 404. The request says by its `Referer` which page it was. What such an app
redirects to is looked up in the table. One that routes on the whole path answers 404 to everything.
"""

from __future__ import annotations

import re
from mimetypes import guess_type
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from starlette.types import Message, Scope, Send

from mountkit.frameworks import is_known, problems
from mountkit.locations import encode_path
from mountkit.logs import dispatch as logger
from mountkit.matching.decisions import Resolution
from mountkit.matching.paths import split_root_path
from mountkit.matching.tables import Table
from mountkit.middleware.redirects import is_below
from mountkit.serving.exposures import Exposure
from mountkit.serving.loops import look

#: The answers that may tell something: redirects and 404.
TELLING: frozenset[int] = frozenset({301, 302, 303, 307, 308, 404})
#: How many first answers are 404 if an app does not find its prefix.
ALL_MISSING: int = 5
# What browsers and their tools ask for without a page that says so, from the root of a host.
_UNPROMPTED = re.compile(
    r"/(favicon\.ico|apple-touch-icon[^/]*\.png|robots\.txt|browserconfig\.xml|\.well-known/.*)|.*\.map"
)
_DESTINATIONS = re.compile(
    r"audio|document|embed|empty|font|i?frame|image|manifest|object|script|style|track|video|worker"
)
# How many redirects are remembered until the browser follows them.
_FOLLOWED = 64


def note(mount: Any, found: Resolution[Any], scope: Scope, flight: Any, router: Any) -> None:
    """Look at one of the `TELLING` answers of a mount, once it has ended.

    Args:
        router: as for `Mount.serve`.
    """
    if not found.prefix:
        return
    if flight.status != 404:
        if scope["type"] == "http":
            _note_redirect(mount, found, scope, flight.start, router)
        return
    traffic = mount.traffic
    traffic.missing += 1
    _, informational, successful, _, refused, failed = traffic.answers
    if traffic.missing != ALL_MISSING or informational or successful or failed:
        return
    advice = _advice(mount, found.root_path + found.prefix)
    if refused == ALL_MISSING and (advice or not is_known(mount.target)):
        logger.warning(
            "%s has answered its first %d requests with 404: %s. This is said once.",
            *(mount.where, ALL_MISSING),
            advice
            or f"with convention={mount.convention!r} it may not find its prefix. Write "
            "Mount(convention='strip') for an app that routes on its path alone, "
            "convention='whole' for one whose routes hold the prefix",
        )


def _note_redirect(
    mount: Any, found: Resolution[Any], scope: Scope, start: Message, router: Any
) -> None:
    if found.rest in ("", "/"):
        look(mount, found.root_path + found.prefix, scope, start)
    watch: EscapeWatch | None = getattr(router, "escapes", None)
    if watch is not None and "redirect" not in mount.escaped:
        watch.look_at_redirect(mount, found, scope, start, router.underneath is None)


def _advice(mount: Any, prefix: str) -> str:
    found = problems(mount.target, mount.place(prefix))
    return next((one.message for one in found if one.code == "unaware-of-prefix"), "")


class EscapeWatch:
    """Looks at the 404s of the app underneath a table.

    A mount is named once for each kind of request, in a warning. It costs a look at the headers of
    requests that no mount takes, and nothing for others but redirects.
    """

    def __init__(self, table: Table[Any]) -> None:
        self._table = table
        self._redirects: dict[str, tuple[Any, str]] = {}  # by where they lead

    def watched(self, scope: Scope, send: Send) -> Send:
        """The `send` for the app underneath."""
        if scope["type"] != "http":
            return send
        redirected = self._redirects.pop(scope["path"], None) if self._redirects else None
        for name, referer in scope["headers"]:
            if name == b"referer":
                return self._watching(dict(scope), redirected, referer, send)
        return send if redirected is None else self._watching(dict(scope), redirected, b"", send)

    def _watching(
        self, scope: Scope, redirected: tuple[Any, str] | None, referer: bytes, send: Send
    ) -> Send:
        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 404:
                if redirected is not None:
                    _say(*redirected, "redirect", scope["path"])
                else:
                    self._report(scope, referer.decode("latin-1"))
            await send(message)

        return watch

    def _report(self, scope: Scope, referer: str) -> None:
        path = split_root_path(scope, path_has_root=self._table.path_has_root)[1]
        page = None if _UNPROMPTED.fullmatch(path) else _request_for(scope, referer)
        if page is None:
            return
        found: Any = self._table.resolve(page)
        if found is not None and isinstance(found.mount, Exposure):
            found, _ = found.mount.inner(found, page)
        if found is not None and found.prefix:
            prefix = found.root_path + found.prefix
            _say(found.mount, prefix, _kind_of(scope), scope["path"])

    def look_at_redirect(
        self, mount: Any, found: Resolution[Any], scope: Scope, start: Message, is_last: bool
    ) -> None:
        """Tell of a redirect that leaves the prefix and leads to no mount.

        Args:
            is_last: whether there is no app underneath; else the redirect is told when that app
                has answered 404.
        """
        prefix = found.root_path + found.prefix
        try:
            [location] = (v for k, v in start["headers"] if k.lower() == b"location")
            url = urljoin(encode_path(prefix + (found.rest or "/")), location.decode("latin-1"))
        except (KeyError, ValueError):
            return
        asked = _request_for(scope, url)
        if asked is None or is_below(prefix, path := asked["path"]):
            return
        if start["status"] in (307, 308):
            asked["method"] = scope["method"]
        if not is_below(found.root_path, path) or self._table.resolve(asked) is not None:
            return
        if is_last:
            _say(mount, prefix, "redirect", path)
        while len(self._redirects) >= _FOLLOWED:
            del self._redirects[next(iter(self._redirects))]
        self._redirects[path] = mount, prefix


def _request_for(scope: Scope, url: str) -> Scope | None:
    """The scope of a `GET` of the same client for a URL; `None` if it is at another host."""
    host = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"host"), "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if not parts.path.startswith("/") or parts.netloc.lower() not in ("", host.lower()):
        return None
    return {
        **scope,
        "method": "GET",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode("latin-1"),
        "query_string": parts.query.encode("latin-1"),
    }


def _kind_of(scope: Scope) -> str:
    """What the page wanted: as the browser says, or as the name has it. A client cannot make up
    many."""
    named = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"sec-fetch-dest"), "")
    known = _DESTINATIONS.fullmatch(named)
    return named if known else (guess_type(scope["path"])[0] or "").partition("/")[0]


def _say(mount: Any, prefix: str, kind: str, path: str) -> None:
    if kind in mount.escaped:
        return
    mount.escaped |= {kind}
    logger.warning(
        "%s %s %r, which is outside of its prefix and does not exist: %s. This is said once.",
        ("A redirect" if kind == "redirect" else "A page")
        + f" of {mount.where[0].lower()}{mount.where[1:]}",
        "leads to" if kind == "redirect" else "asked for",
        path[:200],
        _advice(mount, prefix)
        or "a URL on it lacks the prefix. Tell the app its prefix, or write the URL as the "
        "framework makes it",
    )
