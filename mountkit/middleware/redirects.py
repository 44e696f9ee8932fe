"""Redirects of apps that do not know their prefix, or do not encode it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.locations import ascii_location, encode_path
from mountkit.middleware.exchanges import STARTS

# Of URLs that a browser requests here, and the port that they need not name.
_PORTS = {"": "", "http": ":80", "https": ":443"}


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
    """Adds the prefix (`root_path`) to the redirects of an app that does not know it.

    Changes a redirect to a path, or to a URL at the host of the request, also if it is meant for
    another app of that host; a relative one only if its ".." lead out of the prefix. Links in a
    body are not changed; use the framework's own option.
    """

    def change_for(self, scope: Scope) -> Callable[[bytes], bytes]:
        root_path, path = scope.get("root_path", "").rstrip("/"), scope.get("path", "")
        return partial(_below, root_path, path, scope.get("headers", ()))


def _below(
    root_path: str, request_path: str, request: Iterable[tuple[bytes, bytes]], value: bytes
) -> bytes:
    prefix = encode_path(root_path)
    location = ascii_location(value).decode().strip()
    host = next((v for k, v in request if k == b"host"), b"").decode("latin-1")
    try:
        parts = urlsplit(location)
    except ValueError:
        return value
    path = parts.path.replace("\\", "/")  # as browsers read it
    if parts.netloc:
        is_own, path = _is_own(parts, host), path or "/"
    elif location.startswith(("/", "\\")):
        is_own, path = True, path or "/"
    else:  # relative
        is_own = not parts.scheme and ".." in unquote(path)
        base = encode_path(request_path.removeprefix(root_path))
        path = base.rpartition("/")[0] + "/" + path
        is_own = is_own and not _is_known(prefix, _without_dots(prefix + path))
    if not is_own or not prefix:
        return value
    path = _without_dots(path)
    if not _is_known(prefix, path):
        path = prefix + path
    return urlunsplit(parts._replace(path=path)).encode()


def _is_own(parts: SplitResult, host: str) -> bool:
    """Whether a URL is at the host of the request."""
    port = _PORTS.get(parts.scheme)
    return port is not None and (
        parts.netloc.lower().removesuffix(port) == host.lower().removesuffix(port)
    )


def _is_known(prefix: str, path: str) -> bool:
    return is_below(prefix, path) or is_below(prefix, normal_path(path))


def is_below(prefix: str, path: str) -> bool:
    return f"{path}/".startswith(f"{prefix}/")


def normal_path(path: str) -> str:
    """A percent-encoded path with each segment encoded as `encode_path` does it."""
    segments = (encode_path(unquote(part)).replace("/", "%2F") for part in path.split("/"))
    return "/".join(segments)


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
