"""Conditions on the `Accept` header: media types, wildcards and q-values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from starlette.types import Scope

from mountkit.exceptions import PatternError
from mountkit.matching.conditions import TOKEN
from mountkit.matching.matchers import Valued
from mountkit.matching.readings import MAX_HEADERS

#: Characters of an `Accept` header that are read; a longer one counts as not there.
MAX_ACCEPT_LENGTH = 4000
#: Ranges of one media type, which differ in their parameters, that are read.
MAX_RANGES = 20

# RFC 9110, section 8.3.1, without a weight; values may be quoted.
_MEDIA_TYPE = re.compile(
    rf"{TOKEN.pattern}/{TOKEN.pattern}"
    rf"""(?:\s*;\s*(?!q=){TOKEN.pattern}=(?:{TOKEN.pattern}|"[^"]*"))*""",
    re.IGNORECASE,
)
# RFC 9110, section 12.4.2.
_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")

# A type, a subtype, and parameters.
_MediaType: TypeAlias = tuple[str, str, dict[str, str]]
# The ranges of a header by type and subtype: their parameters and q-values.
_Ranges: TypeAlias = Mapping[tuple[str, str], Sequence[tuple[dict[str, str], float]]]


class Accept(Valued):
    """The client asks for one of these media types: versioning by `Accept`.

    Matches if the header names one of the types itself and does not give it `q=0`. A wildcard
    (`*/*`, `application/*`, no header at all) names no version: it is left to the mount that has no
    `Accept` condition, or to the one that says `wildcard=True`. A header of more than 4,000
    characters counts as not there.

    Among mounts that are equally specific up to here, the highest q-value wins (RFC 9110, section
    12.5.1), then the order of declaration.

    Args:
        media_types: `application/vnd.acme.v2+json`; parameters, as in
            `application/json;version=2`, must all be in the request's.
        wildcard: take wildcards as well: this is the default version.
    """

    def __init__(self, *media_types: str, wildcard: bool = False) -> None:
        if not media_types:
            raise PatternError("Accept() names no media type; write e.g. Accept('text/html').")
        for text in media_types:
            is_single = isinstance(text, str) and _MEDIA_TYPE.fullmatch(text)
            if not is_single or "*" in text.partition(";")[0]:
                raise PatternError(
                    f"Media type {text!r} is not a single type; write e.g. 'application/json', and "
                    "wildcard=True to take wildcards as well."
                )
        self.media_types: tuple[_MediaType, ...] = tuple(map(_parse_media_type, media_types))
        self.wildcard = wildcard

    def matches(self, scope: Scope) -> bool:
        return self.quality(scope) > 0

    def quality(self, scope: Scope) -> float:
        """The q-value that the request gives the best of the media types, from 0 to 1."""
        headers = scope["headers"] if len(scope["headers"]) <= MAX_HEADERS else ()
        ranges = _parse(b",".join([v for k, v in headers if k == b"accept"]))
        if not ranges:
            return 1.0 if self.wildcard else 0.0
        return max(self._quality_of(wanted, ranges) for wanted in self.media_types)

    def _quality_of(self, wanted: _MediaType, ranges: _Ranges) -> float:
        # The most specific range that matches decides, wherever it stands.
        kind, subtype, params = wanted
        best, quality = -1, 0.0
        for given, q in ranges.get((kind, subtype), ()):
            if len(given) > best and params.items() <= given.items():
                best, quality = len(given), q
        if best < 0 and self.wildcard:
            for key in ((kind, "*"), ("*", "*")):
                if key in ranges:
                    return ranges[key][0][1]
        return quality

    def _key(self) -> tuple[object, ...]:
        shown = (
            "/".join(media_type[:2]) + "".join(f";{k}={v}" for k, v in media_type[2].items())
            for media_type in self.media_types
        )
        return (*shown, self.wildcard)

    def __repr__(self) -> str:
        *media_types, wildcard = self._key()
        shown = [repr(media_type) for media_type in media_types]
        return f"Accept({', '.join(shown + ['wildcard=True'] * bool(wildcard))})"


@lru_cache(maxsize=64)  # so that many mounts read the header of one request once
def _parse(header: bytes) -> _Ranges:
    """The ranges of a header; nothing for one that is empty or too long."""
    ranges: dict[tuple[str, str], list[tuple[dict[str, str], float]]] = {}
    if len(header) > MAX_ACCEPT_LENGTH:
        return ranges
    for text in _split_quoted(header.decode("latin-1"), ","):
        if text.strip():
            kind, subtype, params = _parse_media_type(text)
            # A weight that is not valid asks for nothing.
            weight = params.pop("q", "1")
            quality = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
            same = ranges.setdefault((kind, subtype), [])
            if len(same) < MAX_RANGES:
                same.append((params, quality))
    return ranges


def _parse_media_type(text: str) -> _MediaType:
    """RFC 9110, section 8.3.1; type, subtype and the names of parameters in lower case."""
    essence, *parts = _split_quoted(text, ";")
    kind, _, subtype = essence.strip().lower().partition("/")
    params = {}
    for part in parts:
        name, _, value = part.partition("=")
        params[name.strip().lower()] = value.strip().strip('"')
    return kind, subtype, params


def _split_quoted(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside of a quoted string."""
    if '"' not in text:
        return text.split(separator)
    pieces, start, quoted, position = [], 0, False, 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quoted:
            position += 1
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    return [*pieces, text[start:]]
