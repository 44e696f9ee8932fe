"""What is written in the form of other routers, or is hardly meant, and what to write here.

Such a path is refused, because it would be read as text; with percent signs it is: `/a/%2A`. An
unknown method is warned of, as methods are an open set (RFC 9110, section 9.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from mountkit.matching.callers import warn

_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"]
_NEAR = ("ORDERPATCH", "PROPPATCH")  # of WebDAV
_ANGLES = re.compile(r"<(?:\w+(?:\([^)]*\))?:)?([A-Za-z_]\w*)>")
_COLON = re.compile(r"(?<=/):([A-Za-z_]\w*)")


def _of_flask(path: str) -> str:
    return repr(_ANGLES.sub(r"{\1}", re.sub(r"<(int|float|uuid|path):(\w+)>", r"{\2:\1}", path)))


def _of_wildcard(path: str) -> str:
    prefix = re.sub(r"/?\*+$", "", path)
    if "*" not in prefix:
        return f"{prefix or '/'!r}: a mount takes all that is below its path"
    return f"{re.sub('[*]+', '{name}', prefix)!r}: a placeholder takes one segment"


# What is found, what it is, and what to write.
_FORMS: tuple[tuple[re.Pattern[str], str, Callable[[str], str]], ...] = (
    (
        re.compile(r"\(\?|[\[\]^|]|\\[dws](?![a-z])|\.[*]|(?<=[^/])\$$"),
        "a part of a regular expression, which a path is not",
        lambda path: "a placeholder, as in '/v{n:int}'",
    ),
    (_ANGLES, "a placeholder as Flask and Django have it", _of_flask),
    (_COLON, "a placeholder as Express has it", lambda path: repr(_COLON.sub(r"{\1}", path))),
    (re.compile(r"\*+(?![^{}]*\})"), "a wildcard, which a path does not have", _of_wildcard),
)


def complaint(path: str) -> str:
    """What is foreign about a path, and the fix; `""` if nothing is."""
    for form, what, fix in _FORMS:
        if found := form.search(path):
            text, literal = found[0], quote(found[0], safe="")
            return f"has {text!r}, {what}; write {fix(path)}. For the text itself: {literal!r}."
    return ""


def check_method(method: str) -> None:
    """Warn of a method that no client sends."""
    if method in _METHODS or method in _NEAR:
        return
    from difflib import get_close_matches  # for mistakes

    if near := get_close_matches(method, _METHODS, 1, 0.66):
        warn(f"Method {method!r} is not known; did you mean {near[0]!r}?")
    elif method in ("ALL", "ANY", "WEBSOCKET", "WS"):
        fix = "leave methods out to take all, or write when=ScopeType('websocket')"
        warn(f"Method {method!r} is sent by no client; {fix}.")
