"""One path, several readers: what a proxy, a server and an app may each make of it.

If they disagree on the mount, a request could pass a check that was meant for another mount. The
table compares their views and refuses such a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from mountkit.matching.decisions import Refusal

# Control characters become zeros: one byte is found faster than one of several.
_ZEROED = bytes(0x20 <= byte != 0x7F for byte in range(0x100))
_SLASHES = re.compile("/{2,}")
_PERCENT, _HASH = b"%#"
_NOT_ASCII = bytes(range(0x80, 0x100))
# The slashes of a `raw_path`: those that are boundaries, and those that are not.
_RAW_SLASH = re.compile(rb"/|%2F", re.IGNORECASE)


def is_odd(path: str, raw_path: bytes | None) -> bool:
    """Whether another reader may see another path: a quick test that errs on the side of `True`.

    A path is odd if it has empty segments, dot segments, backslashes or characters that cannot be
    printed, or if any part of it was percent-encoded, or a fragment.
    """
    # To look for a number in bytes is much quicker than to look for bytes, and for one character
    # than for two; `isprintable` is slow for long paths.
    return (
        "//" in path
        or ("." in path and "/." in path)
        or "\\" in path
        or (not path.isprintable() if len(path) < 40 else has_control(path))
        or (raw_path is not None and (_PERCENT in raw_path or _HASH in raw_path))
    )


def has_control(path: str) -> bool:
    """Whether a path has a control character in it, which RFC 3986 does not allow."""
    return 0 in path.encode("utf-8", "surrogatepass").translate(_ZEROED)


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


def has_fragment(scope: Scope) -> bool:
    """Whether a target has a fragment, which no request may have (RFC 9112, section 3.2.1)."""
    return _HASH in (scope["raw_path"] or b"") or _HASH in (scope.get("query_string") or b"")


def other_views(scope: Scope, root_path: str, rest: str) -> Iterator[str | None]:
    """What other readers may see as the path below `root_path`; `None` for one outside of it, and
    for one that cannot be told.

    The segments of `raw_path`, in which `%2F` is not a boundary; the path without what may be a
    fragment; and the normalised path (RFC 3986, section 6.2.2.3, and what browsers and proxies do
    besides): without dot segments and empty segments, and with slashes for backslashes.
    """
    full = root_path + rest
    raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
    if _PERCENT in raw and b"%2F" in raw.upper():
        segments = _with_encoded_slashes(full, raw)
        yield None if segments is None else _below(segments, root_path)
        yield _below(_normal(segments or full), root_path)
    if _HASH in raw:
        yield rest.partition("#")[0]
    yield _below(_normal(full), root_path)


def _normal(path: str) -> str:
    if not ("." in path or "\\" in path):  # nothing but slashes, and perhaps very many of them
        return _SLASHES.sub("/", path)
    normal: list[str] = []
    segments = path.replace("\\", "/").split("/")
    for segment in segments:
        if segment == "..":
            del normal[-1:]
        elif segment not in ("", "."):
            normal.append(segment)
    is_directory = segments[-1] in ("", ".", "..") and normal
    return "/" + "/".join(normal) + "/" * bool(is_directory)


def _with_encoded_slashes(path: str, raw_path: bytes) -> str | None:
    """`path` with `%2F` for each slash that is not a boundary in `raw_path`; `None` if that spells
    another path.

    They are compared as bytes, without those beyond ASCII, which servers decode in one way or
    another. One of them may lack what the other begins with: a prefix that was added or cut off.
    """
    spelled = unquote_to_bytes(raw_path).translate(None, _NOT_ASCII)
    seen = path.encode("ascii", "ignore")
    if not (seen.endswith(spelled) or spelled.endswith(seen)):
        return None
    slashes = ["/" if slash == b"/" else "%2F" for slash in _RAW_SLASH.findall(raw_path)]
    pieces = path.split("/")
    missing = len(pieces) - 1 - len(slashes)
    slashes = ["/"] * missing + slashes[max(-missing, 0) :]
    return pieces[0] + "".join(map(str.__add__, slashes, pieces[1:]))


def _below(path: str, root_path: str) -> str | None:
    if not root_path:
        return path
    if path != root_path and not path.startswith(root_path + "/"):
        return None
    return path[len(root_path) :]
