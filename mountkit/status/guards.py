"""Who may ask: against pages of other sites, and names that are made to point here.

A listener on a loopback port is open to every page that its owner's browser shows: such a page can
send requests to it, and can read the answers if its own name is made to resolve to the loopback
address (DNS rebinding). The first shows in `Origin` and `Sec-Fetch-Site` (Fetch Metadata, W3C), the
second in `Host`.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from mountkit.matching.hosts import HostPattern, request_host

#: Read-only, for nobody's cache, and for no other page to hold.
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuses requests that are not meant for here.

    Args:
        hosts: the hosts that a request may name, as in `Mount(host=)`; `None`: any, as those that
            lead to the mount are checked by what it is mounted in.

    Raises:
        PatternError: a host can never match.
    """

    def __init__(self, hosts: Iterable[str] | None = None) -> None:
        self._hosts = None if hosts is None else tuple(map(HostPattern, hosts))

    def refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that is not for here, or `None`."""
        headers = {k: v.decode("latin-1") for k, v in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD"):
            return _told(405, "This can only be read; use GET.", allow="GET, HEAD")
        if self._hosts is not None:
            host = request_host(scope)
            if all(pattern.match(host) is None for pattern in self._hosts):
                return _told(421, "This is not served under the host that the request names.")
        if _is_foreign(headers):
            return _told(403, "This is not for pages of other sites.")
        return None


def _told(status: int, text: str, **headers: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, {**HEADERS, **headers})


def _is_foreign(headers: dict[bytes, str]) -> bool:
    """Whether a page of another site asks. A link that was followed from there is fine."""
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin).netloc != headers.get(b"host", "").lower():
        return True
    if headers.get(b"sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    is_followed = headers.get(b"sec-fetch-mode") == "navigate"
    return not (is_followed and headers.get(b"sec-fetch-dest", "document") == "document")
