"""Redirects of apps that do not know their prefix, or do not encode it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from urllib.parse import unquote, urlsplit, urlunsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.matching.locations import ascii_location, encode_path
from mountkit.middleware.exchanges import STARTS


class HeaderMiddleware(ABC):
    """Changes each value of one header that an app sends."""

    name = b"location"

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, change = self.name, self.change

        async def send_changed(message: Message) -> None:
            if message["type"] in STARTS:
                headers = [
                    (key, change(value, scope) if key.lower() == name else value)
                    for key, value in message.get("headers") or ()
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_changed)

    @abstractmethod
    def change(self, value: bytes, scope: Scope) -> bytes:
        """The value to send, for the scope of the request."""


class LocationMiddleware(HeaderMiddleware):
    """Percent-encodes the letters in redirects: a `Location` is a URI (RFC 9110, section 10.2.2),
    which is ASCII. Quart, BlackSheep and others send a prefix such as `/käse` as it is.
    """

    def change(self, value: bytes, scope: Scope) -> bytes:
        return ascii_location(value)


class RedirectMiddleware(HeaderMiddleware):
    """Gives redirects that leave the prefix of their app the prefix.

        Middleware(RedirectMiddleware)

    For an app that does not know its prefix, the `root_path` of its scope. A redirect to a path, or
    to a URL at the host of the request, is brought below it; others are left alone. So a redirect
    that leads to another app of the host on purpose does not reach it. Links in a body cannot be
    mended; that takes the framework's own option.
    """

    def change(self, value: bytes, scope: Scope) -> bytes:
        prefix = scope.get("root_path", "").rstrip("/")
        location = ascii_location(value).decode()
        host = next((v for k, v in scope["headers"] if k == b"host"), b"").decode("latin-1")
        try:
            parts = urlsplit(location)
        except ValueError:
            return value
        is_own = parts.netloc.lower() == host.lower() if parts.netloc else location[:1] == "/"
        if not is_own or not prefix:
            return value
        path = _without_dots(parts.path or "/")
        if not is_below(prefix, unquote(path)):
            path = encode_path(prefix) + path
        return urlunsplit(parts._replace(path=path)).encode()


def is_below(prefix: str, path: str) -> bool:
    return f"{path}/".startswith(f"{prefix}/")


def _without_dots(path: str) -> str:
    """A path as a browser goes to it (RFC 3986, section 5.2.4): `/sub/../x` leaves `/sub`."""
    if "/." not in unquote(path):
        return path
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if unquote(segment) == "..":
            del kept[-1:]
        elif unquote(segment) != ".":
            kept.append(segment)
    is_folder = path.endswith("/") or unquote(path).endswith(("/.", "/.."))
    return "/" + "/".join(kept).rstrip("/") + ("/" if is_folder and kept else "")
