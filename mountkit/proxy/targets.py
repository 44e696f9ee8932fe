"""What the URL of an upstream means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mountkit.exceptions import PatternError
from mountkit.matching.hosts import parse_host

_PORTS = {"http": 80, "https": 443}
_BASE = re.compile(r"(?:/(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?")


@dataclass(frozen=True)
class Target:
    """An upstream's address.

    Attributes:
        url: as it was written.
        host: without brackets; empty for a unix socket.
        path: of the unix socket; empty for a host.
        authority: for `Host`: with the port, if it is not that of the scheme.
        base: what stands before each path; without a slash at the end.
        is_secure: the connection is encrypted.
    """

    url: str
    host: str
    port: int
    path: str
    authority: str
    base: str
    is_secure: bool

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read `http://host:port/base`, `https://…` or `unix:/path/of/a/socket`.

        Raises:
            PatternError: it is none of these.
        """
        if not isinstance(url, str):
            raise PatternError(f"Upstream {url!r} is not text; write 'http://10.0.0.7:9000'.")
        if url.startswith("unix:"):
            path = url.removeprefix("unix:")
            if not path.startswith("/") or path.startswith("//"):
                raise PatternError(f"Upstream {url!r} has no path; write 'unix:/run/app.sock'.")
            return cls(url, "", 0, path, "localhost", "", False)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise PatternError(f"Upstream {url!r} is not a URL: {exc}.") from exc
        if parts.scheme not in _PORTS or not parts.netloc:
            raise PatternError(
                f"Upstream {url!r} is not the URL of a server; write 'http://10.0.0.7:9000', "
                "'https://…' or 'unix:/run/app.sock'."
            )
        if "@" in parts.netloc:
            raise PatternError(
                f"Upstream 'http://…@{parts.hostname}' has a user or a password, which would take "
                "the place of the client's; send them in a header, by a layer of the mount."
            )
        if "?" in url or "#" in url or not _BASE.fullmatch(parts.path):
            raise PatternError(
                f"Upstream {url!r} has more than a plain path; write 'http://host/base'."
            )
        if parse_host(parts.netloc) is None:
            raise PatternError(f"Upstream {url!r} has no valid host; write 'http://10.0.0.7:9000'.")
        host, default = parts.hostname or "", _PORTS[parts.scheme]
        name = f"[{host}]" if ":" in host else host
        authority = name if port in (None, default) else f"{name}:{port}"
        base, is_secure = parts.path.rstrip("/"), parts.scheme == "https"
        return cls(url, host, default if port is None else port, "", authority, base, is_secure)
