"""Paths written in the form of other routers: what they were meant to say, and how to say it here.

Each of these is refused, because it would be read as text, which hardly anybody means. Written with
percent signs it is text: `/a/%2A`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

_MARKS = re.compile(r"[*<:\[\]^\\|$]|\(\?")
_TYPES = ("int", "float", "uuid", "path")
_ANGLES = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?([A-Za-z_]\w*)>")
_COLON = re.compile(r"(?<=/):([A-Za-z_]\w*)")


def _of_flask(path: str) -> str:
    def placeholder(match: re.Match[str]) -> str:
        kind, name = match.groups()
        return f"{{{name}:{kind}}}" if kind in _TYPES else f"{{{name}}}"

    return repr(_ANGLES.sub(placeholder, path))


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
    if _MARKS.search(path) is None:
        return ""
    for form, what, fix in _FORMS:
        if found := form.search(path):
            text, literal = found[0], quote(found[0], safe="")
            return f"has {text!r}, {what}; write {fix(path)}. For the text itself: {literal!r}."
    return ""
