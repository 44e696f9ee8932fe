"""One path, several readers: what a proxy, a server and an app may each make of it.

If they disagree on the mount, a request could pass a check that was meant for another mount. The
table compares their views and refuses such a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_to_bytes

from starlette.types import Scope

from mountkit.matching.decisions import Refusal

_CONTROLS = bytes([*range(0x20), 0x7F])
_SLASHES = re.compile("/{2,}")
_PERCENT = ord("%")


def is_odd(path: str, raw_path: bytes | None) -> bool:
    """Whether another reader may see another path: a quick test that errs on the side of `True`.

    A path is odd if it has empty segments, dot segments, backslashes or characters that cannot be
    printed, or if any part of it was percent-encoded.
    """
    # To look for a number in bytes is much quicker than to look for bytes, and `isprintable` is
    # slow for long paths.
    return (
        "//" in path
        or "/." in path
        or "\\" in path
        or (not path.isprintable() if len(path) < 40 else has_control(path))
        or (raw_path is not None and _PERCENT in raw_path)
    )


def has_control(path: str) -> bool:
    """Whether a path has a control character in it, which RFC 3986 does not allow."""
    raw = path.encode("utf-8", "surrogatepass")
    return len(raw.translate(None, _CONTROLS)) != len(raw)


def target_refusal(scope: Scope) -> Refusal | None:
    """The refusal of a request whose target is not a path (RFC 9112, section 3.2).

    CONNECT asks for a tunnel, which ASGI does not have (501). A whole URL gets 400: a server that
    leaves it in the path has not compared its host with the Host header. `None` for a path, for the
    `*` of OPTIONS, and for `""` below a `root_path`.
    """
    path = scope["path"]
    if scope.get("method") == "CONNECT":
        return Refusal(501, "CONNECT asks for a tunnel, which ASGI does not have.")
    if path[:1] == "/" or (path == "*" and scope.get("method") == "OPTIONS"):
        return None
    if not path and scope.get("root_path"):
        return None
    return Refusal(400, f"The target {path!r} is not a path.")


def other_views(scope: Scope, root_path: str, rest: str) -> Iterator[str | None]:
    """What other readers may see as the path below `root_path`; `None` for one outside of it.

    The segments of `raw_path`, in which `%2F` is not a boundary, and the normalised path (RFC 3986,
    section 6.2.2.3, and what browsers and proxies do besides): without dot segments and empty
    segments, and with slashes for backslashes.
    """
    full = root_path + rest
    raw: bytes = scope.get("raw_path") or b""
    # A middleware that rewrites `path` alone leaves a `raw_path` that describes another path.
    if _PERCENT in raw and (spelled := _spelled_by(raw, full, rest)) is not None:
        parts = (unquote_to_bytes(part).decode("utf-8", "replace") for part in raw.split(b"/"))
        segments = "/".join(part.replace("/", "%2F") for part in parts)
        yield _below(segments if spelled == full else root_path + segments, root_path)
    if not ("." in full or "\\" in full):  # nothing but slashes, and perhaps very many of them
        yield _below(_SLASHES.sub("/", full), root_path)
        return
    normal: list[str] = []
    parts_of_path = full.replace("\\", "/").split("/")
    for segment in parts_of_path:
        if segment == "..":
            del normal[-1:]
        elif segment not in ("", "."):
            normal.append(segment)
    is_directory = parts_of_path[-1] in ("", ".", "..") and normal
    yield _below("/" + "/".join(normal) + "/" * bool(is_directory), root_path)


def _spelled_by(raw_path: bytes, *paths: str) -> str | None:
    """The path that `raw_path` spells. Some servers leave UTF-8 in it as it came."""
    decoded = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    texts = (decoded, unquote(raw_path.decode("latin-1")))
    return next((path for path in paths if path in texts), None)


def _below(path: str, root_path: str) -> str | None:
    if not root_path:
        return path
    if path != root_path and not path.startswith(root_path + "/"):
        return None
    return path[len(root_path) :]
