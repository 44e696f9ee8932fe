"""Redirects and cookies of an upstream, as they have to be in front of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mountkit.proxy.responses import Headers
from mountkit.proxy.targets import Target

_COOKIE_PATH = re.compile(rb"(;[ \t]*path[ \t]*=[ \t]*)([^;]*)", re.IGNORECASE)


def mend(
    headers: Headers, targets: Iterable[Target], *, redirects: bool, cookie_paths: bool
) -> Headers:
    """Take the upstreams' own addresses out of redirects, and their bases out of paths."""

    def mended(name: bytes, value: bytes) -> bytes:
        for target in targets:
            if name == b"location" and redirects:
                value = _location(value, target)
            if name == b"set-cookie" and cookie_paths:
                value = _cookie(value, target.base.encode("ascii"))
        return value

    return [(name, mended(name, value)) for name, value in headers]


def _cookie(value: bytes, base: bytes) -> bytes:
    return _COOKIE_PATH.sub(lambda found: found[1] + _below(found[2], base), value)


def _location(value: bytes, target: Target) -> bytes:
    scheme = "https" if target.is_secure else "http"
    origin = f"{scheme}://{target.authority}".encode("ascii")
    is_own = value[: len(origin)].lower() == origin.lower()
    if is_own and value[len(origin) : len(origin) + 1] in (b"/", b"?", b"#", b""):
        path = value[len(origin) :]
        path = path if path.startswith(b"/") else b"/" + path
        # A browser would take the segment after two slashes for a host.
        value = b"/." + path if path.startswith(b"//") else path
    return _below(value, target.base.encode("ascii"))


def _below(path: bytes, base: bytes) -> bytes:
    """A path without the base, if it begins with it."""
    rest = path[len(base) :]
    if not base or not path.startswith(base) or rest[:1] not in (b"/", b"?", b"#", b""):
        return path
    rest = rest if rest.startswith(b"/") else b"/" + rest
    return b"/." + rest if rest.startswith(b"//") else rest
