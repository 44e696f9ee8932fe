"""Redirects of apps that do not know their prefix, or do not encode it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import unquote, urlsplit, urlunsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.locations import ascii_location, encode_path
from mountkit.middleware.exchanges import STARTS


class HeaderMiddleware(ABC):
    """Changes each value of one header that an app sends."""

    name = b"location"

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, change = self.name, self.change_for(scope)

        async def send_changed(message: Message) -> None:
            if message["type"] in STARTS:
                headers = [
                    (key, change(value) if key.lower() == name else value)
                    for key, value in message.get("headers") or ()
                ]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_changed)

    @abstractmethod
    def change_for(self, scope: Scope) -> Callable[[bytes], bytes]:
        """What changes a value. It reads the scope before the app can change it, as routers of
        Starlette do."""


class LocationMiddleware(HeaderMiddleware):
    """Percent-encodes the letters in redirects: a `Location` is a URI (RFC 9110, section 10.2.2),
    which is ASCII. Quart, BlackSheep and others send a prefix such as `/käse` as it is."""

    def change_for(self, scope: Scope) -> Callable[[bytes], bytes]:
        return ascii_location


class RedirectMiddleware(HeaderMiddleware):
    """Brings redirects of an app that does not know its prefix below it, the `root_path` of its
    scope.

    Changes a redirect to a path, or to a URL at the host of the request, also if it is meant for
    another app of that host. Links in a body are not changed; use the framework's own option.
    """

    def change_for(self, scope: Scope) -> Callable[[bytes], bytes]:
        prefix = scope.get("root_path", "").rstrip("/")
        return partial(_below, prefix, scope.get("headers", ()))


def _below(prefix: str, request: Iterable[tuple[bytes, bytes]], value: bytes) -> bytes:
    location = ascii_location(value).decode()
    host = next((v for k, v in request if k == b"host"), b"").decode("latin-1")
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
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if unquote(segment) == "..":
            del kept[-1:]
        elif unquote(segment) != ".":
            kept.append(segment)
    if unquote(path).endswith(("/.", "/..")):
        kept.append("")
    return "/" + "/".join(kept)
