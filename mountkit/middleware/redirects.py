"""Answers of an app that does not know its prefix, mended: redirects and cookies.

What stands in a body cannot be mended; that takes the framework's own option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import unquote, urlsplit, urlunsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.matching.locations import encode_path

_STARTS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))
_Mend = Callable[[str], str]


class Mending:
    """An app whose redirects and cookies are brought below its prefix.

    Args:
        app: what is called with the scope of the mounted app, whose `root_path` is the prefix.
        redirects, cookies: which of them.
    """

    def __init__(self, app: ASGIApp, *, redirects: bool, cookies: bool) -> None:
        self.app = app
        self.redirects = redirects
        self.cookies = cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = scope.get("root_path", "")
        if scope["type"] in ("http", "websocket") and prefix:
            mends: dict[bytes, _Mend] = {}
            if self.redirects:
                host = next((v for k, v in scope["headers"] if k == b"host"), b"")
                mends[b"location"] = partial(_location, prefix, host.decode("latin-1").lower())
            if self.cookies:
                mends[b"set-cookie"] = partial(_cookie, prefix)
            send = _mending(send, mends)
        await self.app(scope, receive, send)


def _mending(send: Send, mends: dict[bytes, _Mend]) -> Send:
    async def mend(message: Message) -> None:
        if message["type"] in _STARTS:
            headers: Iterable[tuple[bytes, bytes]] = message.get("headers", ())
            message = {**message, "headers": [_mended(*pair, mends) for pair in headers]}
        await send(message)

    return mend


def _mended(name: bytes, value: bytes, mends: dict[bytes, _Mend]) -> tuple[bytes, bytes]:
    mend = mends.get(name.lower())
    return name, value if mend is None else mend(value.decode("latin-1")).encode("latin-1")


def _below(prefix: str, path: str) -> str:
    """A path as it stands in a URL, with the prefix unless it has it."""
    decoded = unquote(path)
    if decoded == prefix or decoded.startswith(f"{prefix}/"):
        return path
    return encode_path(prefix) + path


def _location(prefix: str, host: str, value: str) -> str:
    """A path, or a URL at the host of the request; others lead elsewhere on purpose."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return value
    is_own = parts.netloc.lower() == host if parts.netloc else value.startswith("/")
    if not is_own:
        return value
    return urlunsplit(parts._replace(path=_below(prefix, parts.path or "/")))


def _cookie(prefix: str, value: str) -> str:
    """RFC 6265, sections 5.2.4 and 5.1.4: without a path that begins with a slash, a cookie belongs
    to the directory of the request; the last path counts."""
    pair, *attributes = value.split(";")
    if pair.strip().lower().startswith("__host-"):  # its path has to be "/"
        return value
    path = ""
    others = []
    for attribute in attributes:
        name, _, text = attribute.partition("=")
        if name.strip().lower() == "path":
            path = text.strip()
        else:
            others.append(attribute)
    path = _below(prefix, path if path not in ("", "/") and path[0] == "/" else "")
    return ";".join([pair, *others, " Path=" + path.replace(";", "%3B")])
