"""Path prefixes: how they are written, and which part of a request's path they take.

A prefix is a run of whole segments. `/api` takes `/api`, `/api/` and `/api/x`, and never `/apix`
(Kubernetes Gateway API, `PathPrefix`). A segment may hold Starlette's placeholders: `/t/{tenant}`,
`/u/{id:int}`, `/v{n:int}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from starlette.convertors import Convertor
from starlette.routing import PARAM_REGEX
from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.foreign import complaint
from mountkit.matching.segments import (
    Segment,
    check_names,
    convert,
    match_each,
    nameless,
    regex_of,
    takes_slashes,
)
from mountkit.matching.views import has_control

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/]*)(.*)", re.DOTALL)
_NONE: dict[str, Any] = {}  # never written to
_ENCODED_SLASH = re.compile(r"(%2f)", re.IGNORECASE)


class PathPattern:
    """A mount's path, compiled once.

    Args:
        path: `""` or `"/"` for the root, else a text that starts with "/". Percent-encoded
            characters are decoded, because ASGI's `path` is; only `%2F` stays as it is. A
            trailing slash means nothing, unless `exact` is set.
        exact: take this very path and nothing below it.
        is_decoded: leave percent signs alone: `path` is the decoded path of another pattern.

    Raises:
        PatternError: `path` is not a path, a placeholder is not one that Starlette knows, or it
            cannot be told in linear time where a placeholder ends: two may hold slashes, one that
            may hold slashes shares its segment, or see `segments.Segment`.

    Attributes:
        written: the path as it was given.
        path: as Starlette keeps it: without a trailing slash, `""` for the root.
        text: what an exact mount compares, trailing slash included.
        segments: literal texts, and segments with placeholders.
        bare_names: the placeholders that take a whole segment, and the number of that segment.
        bare_length: the length of a prefix without the texts of these placeholders.
        multi: the number of the first segment that may hold slashes.
        key: equal for equivalent prefixes, which differ in the names of placeholders alone.
        rank: sorts the more specific first: exact, more segments, literal before placeholder.
    """

    __slots__ = (
        *("_behind", "_tail", "bare_length", "bare_names", "convertors", "exact", "key", "multi"),
        *("path", "rank", "segments", "text", "written"),
    )

    def __init__(self, path: str, *, exact: bool = False, is_decoded: bool = False) -> None:
        decoded = path if is_decoded else _checked(path)
        self.written: str = path
        self.exact: bool = exact
        self.path: str = decoded.rstrip("/")
        self.text: str = (decoded or "/") if exact else self.path
        self.segments: tuple[str | Segment, ...] = tuple(self.text.split("/")[1:])
        self.convertors: dict[str, Convertor[Any]] = _NONE
        self.bare_names: tuple[tuple[int, str], ...] = ()
        self.bare_length: int = len(self.path)
        self.multi: int | None = None
        if "{" in self.path:
            self._compile_placeholders(f"Mount path {path!r}")
        self.key: tuple[bool, str] = (exact, nameless(self.text))
        self.rank: tuple[Any, ...] = self._rank()

    def _compile_placeholders(self, owner: str) -> None:
        segments: list[str | Segment] = []
        names: list[str] = []
        for at, text in enumerate(self.text.split("/")[1:]):
            segment = Segment(text, owner) if "{" in text else text
            segments.append(segment)
            if isinstance(segment, Segment):
                names += segment.names
                self.convertors = self.convertors | segment.convertors
                if segment.bare is not None:
                    self.bare_names += ((at, segment.bare),)
                    self.bare_length -= len(text)
        self.segments = tuple(segments)
        check_names(names, owner)
        if "path" in names:
            raise PatternError(
                f"{owner} has a placeholder 'path', which Starlette keeps for the rest of the "
                f"path; {self._without_path()}."
            )
        self._compile_tail(owner)

    def _without_path(self) -> str:
        """What to write. `{path:path}` at the end is of a route, and means all that is below."""
        prefix = re.sub(r"/\{path:path\}$", "", self.text)
        if prefix == self.text:
            return "rename it"
        return f"write {prefix or '/'!r}: a mount takes all that is below its path"

    def _compile_tail(self, owner: str) -> None:
        """Compile what begins with the first segment that may hold slashes.

        One placeholder a segment, of which one holds slashes: a regular expression decides that in
        linear time.
        """
        placed = [(n, s) for n, s in enumerate(self.segments) if isinstance(s, Segment)]
        self.multi = next((number for number, segment in placed if segment.is_multi), None)
        if self.multi is None:
            return
        if sum(map(takes_slashes, self.convertors.values())) > 1:
            raise PatternError(
                f"{owner} has two placeholders that may hold slashes; keep "
                "one, and let the mounted app split the rest."
            )
        for number, segment in placed:
            if number >= self.multi and len(segment.names) > 1:
                raise PatternError(
                    f"{owner} has {segment.text!r} beside or below a "
                    "placeholder that may hold slashes; write one placeholder a segment there."
                )
        texts = [s if isinstance(s, str) else s.text for s in self.segments[self.multi :]]
        tail = "".join("/" + text for text in texts)
        regex = regex_of(tail)
        # All of the path; or, as Starlette, as much as it can with a "/" left behind it.
        self._tail: tuple[re.Pattern[str], re.Pattern[str]] = (
            re.compile(regex, re.DOTALL),
            re.compile(f"{regex}(?=/)", re.DOTALL),
        )
        # What must stand behind the placeholder that holds slashes. If it is nowhere, that is found
        # much sooner than by the regular expressions.
        _, _, _, behind, *others = PARAM_REGEX.split(tail)
        self._behind: str = behind if others else f"{behind}/"

    def _rank(self) -> tuple[Any, ...]:
        kinds = tuple(
            (0, 0) if isinstance(segment, str) else (segment.breadth, -segment.static_length)
            for segment in self.segments
        )
        return (not self.exact, -len(self.segments), kinds)

    def match(self, rest: str) -> tuple[str, dict[str, Any]] | None:
        """The part of `rest` that this prefix takes, and its placeholders.

        Args:
            rest: a request's path below `root_path`: `""`, or it starts with "/".

        Returns:
            `None` if the prefix does not match.
        """
        if self.multi is not None:
            return self._match_multi(rest, self.multi)
        parts = rest.split("/", len(self.segments) + 1)[1:]
        if self.exact and len(parts) != len(self.segments) and rest != "":
            return None
        params = self._match_segments(parts)
        if params is None:
            return None
        return self._prefix(parts), params

    def _match_segments(self, parts: Sequence[str]) -> dict[str, Any] | None:
        if len(parts) < len(self.segments):
            # `/` and the empty path are the same resource (RFC 3986, section 6.2.3).
            return {} if self.text == "/" and not parts else None
        return match_each(self.segments, parts)

    def _prefix(self, parts: Sequence[str]) -> str:
        """The prefix as the request spelled it; never with a trailing slash."""
        count = len(self.segments)
        while count and self.segments[count - 1] == "":  # exact, written with a trailing slash
            count -= 1
        return "".join(["/" + part for part in parts[:count]])

    def _match_multi(self, rest: str, multi: int) -> tuple[str, dict[str, Any]] | None:
        if self.exact:  # for which "" is "/" (RFC 3986, section 6.2.3)
            rest = rest or "/"
        parts = rest.split("/", multi + 1)[1:]
        if len(parts) <= multi:
            return None
        params = match_each(self.segments[:multi], parts)
        if params is None:
            return None
        if self._behind not in f"{rest}/":
            return None
        start = sum(len(part) + 1 for part in parts[:multi])
        whole, below = self._tail
        match = (None if self.exact else below.match(rest, start)) or whole.fullmatch(rest, start)
        if match is None:
            return None
        found = convert(match.groupdict(), self.convertors)
        return None if found is None else (rest[: match.end()].rstrip("/"), params | found)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r}, exact={self.exact})"


def _checked(path: str) -> str:
    """The decoded path."""
    if not isinstance(path, str):
        raise PatternError(f"Mount path {path!r} is not a text; write a path such as '/api'.")
    if (url := _URL.match(path)) is not None:
        fixed = f"Mount({url[2] or '/'!r}, host={url[1]!r})"
        raise PatternError(f"Mount path {path!r} is a URL with a host; write {fixed}.")
    if path != (bare := path.strip(" ")):
        raise PatternError(f"Mount path {path!r} has spaces around it; write {bare!r}.")
    if foreign := complaint(path):
        raise PatternError(f"Mount path {path!r} {foreign}")
    if path and not path.startswith("/"):
        host, _, rest = path.partition("/")
        hint = f", or Mount('/{rest}', host={host!r}) if it is a host" if "." in host else ""
        raise PatternError(f"Mount path {path!r} must start with '/'; write '/{path}'{hint}.")
    # "%2F" is a slash inside a segment: decoded, it would become a boundary.
    parts = _ENCODED_SLASH.split(path) if "%" in path else [path]
    decoded = "".join(part if i % 2 else unquote(part) for i, part in enumerate(parts))
    if has_control(decoded):
        raise PatternError(f"Mount path {path!r} contains a control character; remove it.")
    if ("{" in path or "}" in path) and re.search("[{}]", PARAM_REGEX.sub("", path)):
        raise PatternError(
            f"Mount path {path!r} has a brace outside of a placeholder; write placeholders as in "
            "'/t/{tenant}' or '/u/{id:int}'."
        )
    for mark, what in (("?", "a query; use query="), ("#", "a fragment; remove it")):
        if mark in path:
            raise PatternError(f"Mount path {path!r} contains {what}.")
    if "%7" in path and re.search("%7[bd]", path, re.IGNORECASE):
        raise PatternError(
            f"Mount path {path!r} contains an encoded brace, which Starlette would read as a "
            "placeholder's; choose another path."
        )
    return decoded


def split_root_path(scope: Scope, *, path_has_root: bool | None = None) -> tuple[str, str]:
    """The normalised `root_path` of a scope, and the path below it.

    `root_path` loses its trailing slashes. ASGI says that `path` holds `root_path`, but not all
    servers and proxies agree: it is cut off where it is there, on a segment boundary, and else the
    path is the rest as it is.

    Args:
        path_has_root: `True` or `False` to settle what the path alone cannot tell, as in
            `root_path="/auth"` with a mount at `/auth`; `None` to look.
    """
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "").rstrip("/")
    if not root_path or path_has_root is False:
        return root_path, path
    rest = path[len(root_path) :]
    if path.startswith(root_path) and (not rest or rest[0] == "/"):
        return root_path, rest
    return root_path, path
