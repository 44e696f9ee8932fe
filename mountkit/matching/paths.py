"""Path prefixes: how they are written, and which part of a request's path they take.

A prefix is a run of whole segments. `/api` takes `/api`, `/api/` and `/api/x`, and
never `/apix` (Kubernetes Gateway API, `PathPrefix`). A segment may hold Starlette's
placeholders: `/t/{tenant}`, `/u/{id:int}`, `/v{n:int}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import quote, unquote

from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.routing import PARAM_REGEX
from starlette.types import Scope

from mountkit.exceptions import PatternError

# RFC 3986, section 3.3: `pchar` less the percent-encoded ones. What `quote` leaves alone.
_PCHAR = "!$&'()*+,;=:@~"
# Convertors that can never take a "/", so that one segment is all they see.
_ONE_SEGMENT = ("str", "int", "float", "uuid")
_CONTROLS = bytes([*range(0x20), 0x7F])
_SLASHES = re.compile("/{2,}")
_ENCODED_SLASH = re.compile(r"(%2f)", re.IGNORECASE)


class Part(Protocol):
    """A part of a pattern that holds placeholders."""

    def match(self, text: str, /) -> dict[str, Any] | None:
        """Their values; `None` if it does not match."""


class Segment:
    """One segment of a prefix that holds at least one placeholder."""

    __slots__ = ("bare", "breadth", "convertors", "is_multi", "key", "regex", "static_length")

    def __init__(self, text: str, convertors: dict[str, Convertor[Any]]) -> None:
        self.convertors: dict[str, Convertor[Any]] = convertors
        self.regex: re.Pattern[str] = re.compile(_segment_regex(text))
        #: Equal for segments that take the same texts: the names of placeholders do not count.
        self.key: str = _nameless(text)
        self.static_length: int = len(PARAM_REGEX.sub("", text))
        match = PARAM_REGEX.fullmatch(text)
        #: The name, if the segment is one placeholder of any text: no regex is needed.
        self.bare: str | None = match[1] if match and (match[2] or ":str") == ":str" else None
        kinds = {(m[2] or ":str")[1:] for m in PARAM_REGEX.finditer(text)}
        #: Whether it may hold slashes; of a convertor of the user's own that is not known.
        self.is_multi: bool = not kinds <= set(_ONE_SEGMENT)
        takes_all = any(map(_takes_slashes, convertors.values()))
        #: How much it takes: 1, something typed or a part; 2, any segment; 3, any segments.
        self.breadth: int = 3 if takes_all else 1 if self.bare is None else 2

    def match(self, segment: str) -> dict[str, Any] | None:
        """The converted placeholders, or `None` if `segment` is refused."""
        if self.bare is not None:
            return {self.bare: segment} if segment else None
        match = self.regex.fullmatch(segment)
        return None if match is None else convert(match.groupdict(), self.convertors)


def match_each(wanted: Iterable[str | Part], texts: Iterable[str]) -> dict[str, Any] | None:
    """The placeholders, if each text is the one that is wanted at its place; as far as the shorter
    of the two goes."""
    params: dict[str, Any] = {}
    for part, text in zip(wanted, texts, strict=False):
        if isinstance(part, str):
            if part != text:
                return None
        elif (found := part.match(text)) is None:
            return None
        else:
            params.update(found)
    return params


class PathPattern:
    """A mount's path, compiled once.

    Args:
        path: `""` or `"/"` for the root, else a text that starts with "/". Percent-encoded
            characters are decoded, because ASGI's `path` is; `%2F` alone stays as it is.
            A trailing slash means nothing, unless `exact` is set.
        exact: take this very path and nothing below it.
        is_decoded: leave percent signs alone: `path` is the decoded path of another pattern.

    Raises:
        PatternError: the path is no path, or a placeholder is not one that Starlette knows, or
            two placeholders may hold slashes (which of them takes what would be a guess, and
            to try takes quadratic time).
    """

    __slots__ = (
        "bare_names",
        "below",
        "convertors",
        "exact",
        "key",
        "multi",
        "path",
        "rank",
        "segments",
        "text",
        "written",
    )

    def __init__(self, path: str, *, exact: bool = False, is_decoded: bool = False) -> None:
        decoded = path if is_decoded else _checked(path)
        self.written: str = path
        self.exact: bool = exact
        #: As Starlette keeps it: no trailing slash, `""` for the root.
        self.path: str = decoded.rstrip("/")
        #: What an `exact` mount compares, trailing slash included.
        self.text: str = (decoded or "/") if exact else self.path
        self.convertors: dict[str, Convertor[Any]] = {}
        for name, suffix in PARAM_REGEX.findall(self.path):
            kind = suffix.removeprefix(":") or "str"
            _check_placeholder(path, name, kind, self.convertors)
            self.convertors[name] = CONVERTOR_TYPES[kind]
        self.segments: tuple[str | Segment, ...] = tuple(
            self._segment(text) for text in self.text.split("/")[1:]
        )
        #: The placeholders that take a whole segment, and which one.
        self.bare_names: tuple[tuple[int, str], ...] = tuple(
            (at, segment.bare)
            for at, segment in enumerate(self.segments)
            if not isinstance(segment, str) and segment.bare is not None
        )
        _check_breadth(path, self.convertors.values())
        multi = any(isinstance(s, Segment) and s.is_multi for s in self.segments)
        regex = _segment_regex(self.text) if multi else ""
        #: Regular expressions, if a placeholder may hold slashes: the whole prefix is all of
        #: the path, or it has something below it.
        self.multi: re.Pattern[str] | None = re.compile(regex, re.DOTALL) if multi else None
        self.below: re.Pattern[str] = re.compile(f"{regex}(?=/)", re.DOTALL)
        # Equivalent prefixes differ in the names of their placeholders alone.
        self.key: tuple[bool, str] = (exact, _nameless(self.text))
        self.rank: tuple[Any, ...] = self._rank()

    def _segment(self, text: str) -> str | Segment:
        names = {m[1] for m in PARAM_REGEX.finditer(text)}
        if not names:
            return text
        return Segment(text, {name: self.convertors[name] for name in names})

    def _rank(self) -> tuple[Any, ...]:
        """Sorts the more specific first: exact, more segments, static before placeholder."""
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
            return self._match_multi(rest)
        parts = rest.split("/", len(self.segments) + 1)[1:]
        if self.exact and len(parts) != len(self.segments) and rest != "":
            return None
        params = self.match_segments(parts)
        if params is None:
            return None
        return self.matched(parts), params

    def match_segments(self, parts: Sequence[str]) -> dict[str, Any] | None:
        """The placeholders, if the first segments of a path are the ones of this prefix."""
        if len(parts) < len(self.segments):
            # `/` and the empty path are the same resource (RFC 3986, section 6.2.3).
            return {} if self.text == "/" and not parts else None
        return match_each(self.segments, parts)

    def matched(self, parts: Sequence[str]) -> str:
        """The prefix as the request spelled it; never with a trailing slash."""
        count = len(self.segments)
        while count and self.segments[count - 1] == "":  # exact, written with a trailing slash
            count -= 1
        return "".join(["/" + part for part in parts[:count]])

    def _match_multi(self, rest: str) -> tuple[str, dict[str, Any]] | None:
        assert self.multi is not None
        # As Starlette: the prefix is as long as it can be with a "/" left behind it.
        match = None if self.exact else self.below.match(rest)
        # For an exact path "" is "/" (RFC 3986, section 6.2.3), as for one without placeholders.
        match = match or self.multi.fullmatch(rest or "/" * self.exact)
        if match is None:
            return None
        params = convert(match.groupdict(), self.convertors)
        return None if params is None else (match[0].rstrip("/"), params)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r}, exact={self.exact})"


def _checked(path: str) -> str:
    if not isinstance(path, str):
        raise PatternError(f"Mount path {path!r} is no text; write a path such as '/api'.")
    if path and not path.startswith("/"):
        raise PatternError(f"Mount path {path!r} must start with '/'; write '/{path}'.")
    # "%2F" is a slash inside a segment: decoded, it would become a boundary.
    parts = _ENCODED_SLASH.split(path)
    decoded = "".join(part if i % 2 else unquote(part) for i, part in enumerate(parts))
    if has_control(decoded):
        raise PatternError(f"Mount path {path!r} contains a control character; remove it.")
    for mark, what in (("?", "a query; use query="), ("#", "a fragment; remove it")):
        if mark in path:
            raise PatternError(f"Mount path {path!r} contains {what}.")
    _check_braces(path)
    if re.search("%7[bd]", path, re.IGNORECASE):
        raise PatternError(
            f"Mount path {path!r} contains an encoded brace, which Starlette would read as a "
            "placeholder's; choose another path."
        )
    return decoded


def _check_braces(path: str) -> None:
    if re.search("[{}]", PARAM_REGEX.sub("", path)):
        raise PatternError(
            f"Mount path {path!r} has a brace that belongs to no placeholder; write placeholders "
            "as in '/t/{tenant}' or '/u/{id:int}'."
        )


def _check_breadth(path: str, convertors: Iterable[Convertor[Any]]) -> None:
    if sum(_takes_slashes(convertor) for convertor in convertors) > 1:
        raise PatternError(
            f"Mount path {path!r} has two placeholders that may hold slashes; leave one, and let "
            "the mounted app take the rest apart."
        )


def _takes_slashes(convertor: Convertor[Any]) -> bool:
    return re.fullmatch(convertor.regex, "x/y") is not None


def _check_placeholder(path: str, name: str, kind: str, seen: dict[str, Convertor[Any]]) -> None:
    if kind not in CONVERTOR_TYPES:
        known = ", ".join(sorted(CONVERTOR_TYPES))
        raise PatternError(f"Mount path {path!r} names the convertor {kind!r}; known are {known}.")
    if name in seen:
        raise PatternError(f"Mount path {path!r} has the placeholder {name!r} twice; rename one.")
    if name == "path":
        raise PatternError(
            f"Mount path {path!r} has a placeholder 'path', which Starlette keeps for the rest "
            "of the path; rename it."
        )


def _nameless(text: str) -> str:
    return PARAM_REGEX.sub(lambda match: "{%s}" % (match[2] or ":str"), text)


def _segment_regex(text: str) -> str:
    regex, position = "", 0
    for match in PARAM_REGEX.finditer(text):
        convertor = CONVERTOR_TYPES[(match[2] or ":str")[1:]]
        regex += re.escape(text[position : match.start()]) + f"(?P<{match[1]}>{convertor.regex})"
        position = match.end()
    return regex + re.escape(text[position:])


def convert(texts: dict[str, str], convertors: dict[str, Convertor[Any]]) -> dict[str, Any] | None:
    """The placeholders' values, or `None` if one of them cannot be converted.

    A number of 5,000 digits is none that Python will read: such a path does not match.
    """
    try:
        return {name: convertors[name].convert(text) for name, text in texts.items()}
    except ValueError:
        return None


def split_root_path(scope: Scope, *, path_has_root: bool | None = None) -> tuple[str, str]:
    """The normalised `root_path` of a scope, and the path below it.

    `root_path` loses its trailing slashes. Servers and proxies disagree on whether `path`
    holds it (ASGI says that it does): it is cut off where it is there, on a segment
    boundary, and else the path is taken as the rest.

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


def is_odd(scope: Scope) -> bool:
    """Whether another reader may take the path for another one: a quick look.

    It is one with empty segments, dot segments, backslashes, control characters or whatever else
    is not printed, or one of which something was encoded.
    """
    path: str = scope["path"]
    return (
        "//" in path
        or "/." in path
        or "\\" in path
        or not path.isprintable()
        or b"%" in (scope.get("raw_path") or b"")
    )


def target_refusal(scope: Scope) -> int | None:
    """The status for a request whose target is no path (RFC 9112, section 3.2), if it is none.

    CONNECT asks for a tunnel, which ASGI does not have. A whole URL is refused, as a server that
    leaves it in the path has not looked whether its host is that of `Host`. "*" is for OPTIONS.
    """
    path, method = scope["path"], scope.get("method")
    if method == "CONNECT":
        return 501
    if path[:1] == "/" or (path == "*" and method == "OPTIONS"):
        return None
    return None if not path and scope.get("root_path") else 400


def has_control(path: str) -> bool:
    """Whether a path has a control character in it (RFC 3986 knows none)."""
    # In C, and a fourth of the time of a regular expression or of `isprintable`.
    raw = path.encode("utf-8", "surrogatepass")
    return len(raw.translate(None, _CONTROLS)) != len(raw)


def other_views(scope: Scope, root_path: str, rest: str) -> Iterator[str | None]:
    """What others may read as the path below `root_path`; `None` for one that is not below it.

    The segments of `raw_path`, in which `%2F` is no boundary, and the normalised path (RFC 3986,
    section 6.2.2.3, and what browsers and proxies do besides): without dot segments and empty
    ones, a backslash being a slash.
    """
    full = root_path + rest
    raw: str = (scope.get("raw_path") or b"").decode("latin-1")
    # A middleware that rewrites `path` and not `raw_path` has made that one of another path.
    if "%" in raw and unquote(raw) in (full, rest):
        segments = "/".join(unquote(part).replace("/", "%2F") for part in raw.split("/"))
        yield _below(segments if unquote(raw) == full else root_path + segments, root_path)
    if not ("." in full or "\\" in full):  # nothing but slashes, and perhaps very many of them
        yield _below(_SLASHES.sub("/", full), root_path)
        return
    normal: list[str] = []
    parts = full.replace("\\", "/").split("/")
    for part in parts:
        if part == "..":
            del normal[-1:]
        elif part not in ("", "."):
            normal.append(part)
    is_directory = parts[-1] in ("", ".", "..") and normal
    yield _below("/" + "/".join(normal) + "/" * bool(is_directory), root_path)


def _below(path: str, root_path: str) -> str | None:
    if not root_path:
        return path
    if path != root_path and not path.startswith(root_path + "/"):
        return None
    return path[len(root_path) :]


def encode_path(path: str) -> str:
    """`path`, percent-encoded for a URL (RFC 3986, section 3.3)."""
    return quote(path, safe="/" + _PCHAR)


def cut_raw_path(raw_path: bytes, root_path: str, rest: str) -> bytes:
    """`raw_path` without the segments of `root_path`, for apps that want the prefix stripped."""
    position = 0
    for _ in range(root_path.count("/") + 1):
        position = raw_path.find(b"/", position) + 1
        if not position:
            return encode_path(rest).encode("ascii")
    prefix = raw_path[: position - 1]
    if unquote(prefix.decode("latin-1")) != root_path:  # "%2F" was decoded to a boundary
        return encode_path(rest).encode("ascii")
    return raw_path[position - 1 :]


def slash_location(path: str, query_string: bytes) -> str:
    """A relative reference from `path` to the same with a slash (RFC 3986, section 4.2).

    Relative, so that it is right whatever prefix a proxy has stripped, and so that no Host
    header can send the browser elsewhere. "./" keeps a colon from being read as a scheme
    and an empty segment from being read as a host.
    """
    location = "./" + encode_path(path.rpartition("/")[2]) + "/"
    return f"{location}?{query_string.decode('latin-1')}" if query_string else location


def ascii_location(value: bytes) -> bytes:
    """A `Location` with its letters percent-encoded (RFC 3987, section 3.1); those that are not
    UTF-8 are taken for Latin-1, which is what a framework sends that does not encode them."""
    if value.isascii():
        return value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return "".join(char if char.isascii() else quote(char) for char in text).encode()
