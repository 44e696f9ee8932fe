"""Cookies of an app that does not know its prefix."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.types import Scope

from mountkit.locations import ascii_location, encode_path
from mountkit.middleware.redirects import HeaderMiddleware, is_below, normal_path


class CookiePathMiddleware(HeaderMiddleware):
    """Keeps the cookies of an app below its prefix, the `root_path` of its scope.

    A cookie without a path, or with `Path=/`, gets the prefix as its path; another path outside of
    the prefix is put below it. A cookie whose name starts with `__Host-` has to have `Path=/`, and
    keeps it.
    """

    name = b"set-cookie"

    def change_for(self, scope: Scope) -> Callable[[bytes], bytes]:
        return partial(_cookie, scope.get("root_path", "").rstrip("/"))


def _cookie(prefix: str, value: bytes) -> bytes:
    """RFC 6265, sections 5.2.4 and 5.1.4: without a path that starts with a slash, a cookie
    belongs to the directory of the request; the last path counts."""
    pair, *attributes = value.decode("latin-1").split(";")
    if not prefix or pair.strip().lower().startswith("__host-"):
        return value
    path = ""
    others = []
    for attribute in attributes:
        name, _, text = attribute.partition("=")
        if name.strip().lower() == "path":
            path = text.strip()
        else:
            others.append(attribute)
    below = _below(encode_path(prefix), path if path.startswith("/") and path != "/" else "")
    return ";".join([pair, *others, " Path=" + below.replace(";", "%3B")]).encode("latin-1")


def _below(prefix: str, path: str) -> str:
    """A browser compares the path as it is with the encoded path of a request, so `/%73ub` does not
    match `/sub`."""
    encoded = ascii_location(path.encode("latin-1")).decode()
    known = (path for path in (encoded, normal_path(encoded)) if is_below(prefix, path))
    return next(known, prefix + encoded)
