"""Regular expressions of paths and hosts as requests spell them.

They match the whole of a text, and are written in what PCRE, RE2, Go and Python have in common: no
look-around, no back-references. There is no space, quote or backtick in them, so that every router
can quote them.

A path is matched as it was sent, because only there `%2F` is told from a slash. Each character of
a mount's path may be percent-encoded in a request, in either case. There is no `?` in what matches
a path, so that a query may follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from mountkit.exceptions import PatternError
from mountkit.matching.hosts import HostPattern
from mountkit.matching.paths import PathPattern
from mountkit.matching.segments import Segment

_HEX = "[0-9A-Fa-f]"
_PLAIN = re.compile(r"[A-Za-z0-9_/=:@,;&!~<>-]")
# What a request may spell as it is in its path: of ASCII what can be printed, but for these.
_NEVER_RAW = frozenset('"#%/<>?\\`{} ')
_DOT = "(?:\\.|%2[Ee])"
# What may part segments: a slash alone, or what some readers take for one.
_SLASH, _ENCODED_SLASH, _BACKSLASH, _ANY_SLASH = (
    *("/", "(?:/|%2[Ff])", "(?:[/\\x5C]|%5[Cc])", "(?:[/\\x5C]|%2[Ff]|%5[Cc])"),
)
# A plain segment, and what it goes on with.
_PLAIN_TEXT, _REST_TEXT = "[^/.%?][^/%?]*", "[^/%?]+"
#: What a path goes on with.
_REST = "[^?]*"
# What segments hold if these are the boundaries: characters as they are, and encoded ones.
_UNITS = {
    _SLASH: ("[^/?]", ""),
    _ENCODED_SLASH: ("[^/%?]", "%(?:2[0-9A-Ea-e]|[013-9A-Fa-f][0-9A-Fa-f])"),
    _BACKSLASH: (r"[^/%?\x5C]", "%(?:5[0-9ABD-Fabd-f]|[0-46-9A-Fa-f][0-9A-Fa-f])"),
    _ANY_SLASH: (
        r"[^/%?\x5C]",
        "%(?:2[0-9A-Ea-e]|5[0-9ABD-Fabd-f]|[01346-9A-Fa-f][0-9A-Fa-f])",
    ),
}
# One of these characters, but not a dot.
_NO_DOTS = {
    _BACKSLASH: r"[^/%?.\x5C]|%(?:2[0-9A-DFa-df]|5[0-9ABD-Fabd-f]|[01346-9A-Fa-f][0-9A-Fa-f])",
    _ANY_SLASH: r"[^/%?.\x5C]|%(?:2[0-9A-Da-d]|5[0-9ABD-Fabd-f]|[01346-9A-Fa-f][0-9A-Fa-f])",
}


def _any(slash: str) -> str:
    """Any text within a segment. What is repeated as a group is an encoded character, so that an
    engine with a small stack gets far."""
    char, encoding = _UNITS[slash]
    return f"{char}*(?:{encoding}{char}*)*" if encoding else f"{char}*"


def _one(slash: str) -> str:
    char, encoding = _UNITS[slash]
    return f"(?:{char}|{encoding})" if encoding else char


def _plain_segment(slash: str) -> str:
    """A segment that is neither empty nor "."; nor "..", if that is excluded."""
    return f"(?:{_NO_DOTS[slash]}|{_DOT}{_one(slash)}){_any(slash)}"


#: What is not a path, or one that routers refuse by themselves, each in its own way.
NOT_A_PATH = (
    r"(?:[^/?][^?]*)?|[^?]*(?:[^!$&-;=@-\[\]^_a-z|~%?]|%(?:[01][0-9A-Fa-f]|7[Ff]|[^0-9A-Fa-f?]"
    r"|[0-9A-Fa-f][^0-9A-Fa-f?]))[^?]*|[^?]*%[0-9A-Fa-f]?"
)
#: A path with a segment "..", whatever stands for a slash.
CLIMBING = f"(?:[^?]*{_ANY_SLASH})?{_DOT}{_DOT}(?:{_ANY_SLASH}[^?]*)?"
#: A path with so many encoded characters, slashes or backslashes that PCRE's stack could end.
LONG_PATH = r"(?:[^%/\x5C?]*[%/\x5C]){500}[^?]*"
#: A query in printable ASCII, without a fragment.
QUERY = r"[!\x22$-~]*"


def _ipv6() -> str:
    group, byte = f"{_HEX}{{1,4}}", "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    ipv4 = rf"{byte}(?:\.{byte}){{3}}"
    forms = [f"(?:{group}:){{7}}{group}", f"(?:{group}:){{6}}{ipv4}"]
    for left in range(8):
        before = f"(?:{group}:){{{left - 1}}}{group}" if left else ""
        after = []
        if left < 7:
            after.append(f"(?:{group}:){{0,{6 - left}}}{group}")
        if left < 6:
            after.append(f"(?:{group}:){{0,{5 - left}}}{ipv4}")
        forms.append(f"{before}::(?:{'|'.join(after)})?")
    return "|".join(forms)


_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_FUTURE = r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&\x27()*+,;=:-]+"
_SMALL = "6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4}"
#: The value of a `Host` header, as `matching.hosts.parse_host` reads it; its length apart.
HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[(?:{_ipv6()}|{_FUTURE})\])(?::(?:0*(?:{_SMALL}))?)?"
#: One that is too long: 255 characters without a last dot and the port, 261 in all.
LONG_HOST = "[^:]{255}[^:]*[^:.](?::.*)?|.{262,}"


def _uuid(nibble: str, hyphen: str = "-?") -> str:
    return hyphen.join(f"{nibble}{{{count}}}" for count in (8, 4, 4, 4, 12))


def literal(text: str) -> str:
    """A text as a regular expression."""
    return "".join(map(_literal, text))


def _literal(char: str) -> str:
    if _PLAIN.fullmatch(char):
        return char
    return f"\\{char}" if char in ".^$*+?[]|()" else f"\\x{ord(char):02X}"


def alternatives(regex: str) -> list[str]:
    """What `|` parts in a regular expression, outside of groups and classes."""
    found, depth = [""], 0
    for token in re.findall(r"\\.|\[(?:\\.|[^]\\])*\]|.", regex):
        depth += (token == "(") - (token == ")")
        if token == "|" and not depth:
            found.append("")
        else:
            found[-1] += token
    return found


def encoded(char: str) -> str:
    """A character in its percent-encoded spellings."""
    return "".join(f"%{_digit(byte >> 4)}{_digit(byte & 15)}" for byte in char.encode())


def _digit(value: int) -> str:
    digit = f"{value:X}"
    return digit if digit.isdigit() else f"[{digit}{digit.lower()}]"


def spelled(text: str) -> str:
    """A decoded text of a path in all its spellings."""
    return "".join(map(_spelled, text))


def _spelled(char: str) -> str:
    if not (char.isascii() and char.isprintable()) or char in _NEVER_RAW:
        return encoded(char)
    return f"(?:{_literal(char)}|{encoded(char)})"


# What the typed convertors take; and that in all spellings.
_PLAIN_TYPED = {"int": "[0-9]+", "float": r"[0-9]+(?:\.[0-9]+)?", "uuid": _uuid("[0-9A-Fa-f]")}
_DIGIT = "(?:[0-9]|%3[0-9])"
_NIBBLE = "(?:[0-9A-Fa-f]|%3[0-9]|%[46][1-6])"
_HYPHEN = "(?:-|%2[Dd])?"
_TYPED = {
    "int": f"{_DIGIT}+",
    "float": rf"{_DIGIT}+(?:{_DOT}{_DIGIT}+)?",
    "uuid": _uuid(_NIBBLE, _HYPHEN),
}


def check_path(path: PathPattern) -> None:
    """Refuse a path that no regular expression matches exactly as routers see it.

    Raises:
        PatternError: with the reason.
    """
    segments = path.segments[:-1] if path.exact and path.segments[-1:] == ("",) else path.segments
    for segment in segments:
        text = segment if isinstance(segment, str) else "".join(segment.literals)
        if isinstance(segment, Segment) and segment.is_multi:
            raise PatternError(
                f"the placeholder {segment.text!r} may hold slashes, so that its value depends on "
                "the reader"
            )
        is_read = isinstance(segment, str) and segment in ("", ".", "..")
        if is_read or "\\" in text or "%2f" in text.lower() or "\ufffd" in text:
            raise PatternError(
                f"its segment {segment if isinstance(segment, str) else segment.text!r} is read in "
                "several ways, so that each request for it is refused"
            )


def may_backtrack(path: PathPattern) -> bool:
    """Whether an engine that backtracks, as PCRE does, could need more than linear time: two
    placeholders for any text are in one segment."""
    segments = (one for one in path.segments if isinstance(one, Segment))
    return any(sum(kind not in _TYPED for kind in _kinds(one)) > 1 for one in segments)


def path_regex(path: PathPattern) -> str:
    """The paths that a mount takes in every reading: decoded or not, normalised or not."""
    return _path_regex(path, _ANY_SLASH, "/", "/", is_plain=True)


def plain_path_regex(path: PathPattern) -> str | None:
    """The usual ones among these paths, as a regular expression that is fast: no percent signs, no
    segments that start with a dot. `None` if every path of the mount has one."""
    regex = ""
    for segment in path.segments:
        if isinstance(segment, Segment):
            texts: Sequence[str] = segment.literals
            any_text = _REST_TEXT if texts[0] else _PLAIN_TEXT
            regex += "/" + _filled(segment, any_text, _PLAIN_TYPED, literal)
        else:
            texts = [segment]
            regex += "/" + literal(segment)
        text = "".join(texts)
        if texts[0][:1] == "." or not {*text}.isdisjoint(_NEVER_RAW) or not text.isascii():
            return None
    return regex if path.exact else f"{regex}(?:/{_PLAIN_TEXT})*/?"


def odd_path_regex(path: PathPattern) -> str:
    """The paths that a mount takes in one reading at least; see `matching.views.other_views`."""
    collapsed = [f"{one}(?:{_DOT}?{one})*" for one in (_ANY_SLASH, _BACKSLASH)]
    found = [_path_regex(path, _ANY_SLASH, collapsed[0], _ANY_SLASH)]
    if path.convertors:
        found.append(_path_regex(path, _BACKSLASH, collapsed[1], _BACKSLASH))
        found += [_path_regex(path, s, s, s, is_raw=True) for s in (_ENCODED_SLASH, _SLASH)]
    return "|".join(dict.fromkeys(found))


def odd_start_regex(count: int) -> str:
    """The paths with an odd segment among the first ones: an empty one, ".", or one with an encoded
    slash or backslash in it. All others are read alike as far as that."""
    odd = f"/{_REST}|{_DOT}(?:/{_REST})?|{_any(_ANY_SLASH)}(?:%2[Ff]|%5[Cc]|\\x5C){_REST}"
    return f"(?:/{_plain_segment(_ANY_SLASH)}){{0,{count - 1}}}/(?:{odd})"


def _path_regex(
    path: PathPattern,
    slash: str,
    between: str,
    below: str,
    *,
    is_plain: bool = False,
    is_raw: bool = False,
) -> str:
    """The paths in one reading.

    Args:
        slash: what no segment holds.
        between: what parts the segments.
        below: what begins the rest.
        is_plain: the rest is anything; no reading is another.
        is_raw: segments are what they are: "." is one.
    """
    regex = ""
    for segment in path.segments:
        regex += between
        if isinstance(segment, Segment):
            regex += _segment_regex(segment, slash, is_raw=is_raw)
        else:
            regex += spelled(segment)
    if not path.exact:
        return f"{regex}(?:{below}{_REST})?"
    ends_in_slash = path.segments[-1:] == ("",)
    return f"{regex}{_DOT}?" if ends_in_slash and not is_plain and not is_raw else regex


def _segment_regex(segment: Segment, slash: str, *, is_raw: bool) -> str:
    any_text = f"{_one(slash)}{_any(slash)}"
    if segment.bare is not None and not is_raw:  # "." is none, nor is ".."
        any_text = _plain_segment(slash)
    return _filled(segment, any_text, _TYPED, spelled)


def _filled(
    segment: Segment, any_text: str, typed: dict[str, str], spell: Callable[[str], str]
) -> str:
    regex = spell(segment.literals[0])
    for kind, after in zip(_kinds(segment), segment.literals[1:], strict=True):
        regex += typed.get(kind, any_text)
        regex += spell(after)
    return regex


def _kinds(segment: Segment) -> Iterable[str]:
    return re.findall(r"{(\w+)}", segment.key)


_HOST_TYPED = {
    "int": "[0-9]+",
    "float": "[0-9]+",
    "uuid": _uuid("[0-9a-f]"),
}


def host_regex(pattern: HostPattern, default_port: int = 80) -> str:
    """The values of a valid `Host` header that a pattern takes.

    Args:
        default_port: of a request that names none.

    Raises:
        PatternError: the pattern is an address, which has many spellings.
    """
    port = "(?::[0-9]*)?"
    if pattern.port is not None:
        port = f":0*{pattern.port}"
        if pattern.port == default_port:
            port = f"(?:{port}|:)?"
    if pattern.host is not None:
        if pattern.host.startswith("["):
            raise PatternError(f"the address {pattern.host!r} has many spellings; use a name")
        return rf"(?i:{literal(pattern.host)})\.?{port}"
    labels = []
    for label in pattern.labels[::-1]:
        if isinstance(label, str):
            labels.append(literal(label))
        elif set(_kinds(label)) <= {"str", "path", *_HOST_TYPED}:
            labels.append(_filled(label, r"[^.:\[]+", _HOST_TYPED, literal))
        else:
            raise PatternError(f"the placeholder {label.text!r} has a convertor of your own")
    star = r"[^:\[]+\." if pattern.star else ""
    return rf"(?i:{star}{literal('.').join(labels)})\.?{port}"


def other_than(words: Iterable[str], char: str, *, is_trimmed: bool = False) -> str:
    """Every text but these words.

    Args:
        char: of a text, as the inside of a negated class: `";"` for `[^;]`.
        is_trimmed: spaces around a text do not count; the words have none.
    """
    found = _other({*words}, char, is_trimmed, is_first=is_trimmed)
    return rf"[ \t]*{found}".replace(" ", r"\x20") if is_trimmed else found


def _other(words: set[str], char: str, is_trimmed: bool, *, is_first: bool = False) -> str:
    firsts = sorted({word[0] for word in words if word})
    space = r" \t" if is_trimmed else ""
    is_end = "" in words  # a word ends here
    inside = "".join(map(_in_class, firsts))
    skipped = space if is_first or is_end else ""
    rest = f"[^{char}]*" if char else ".*"
    forms = [f"[^{inside}{skipped}{char}]{rest}" if inside + skipped + char else f".{rest}"]
    if is_end and is_trimmed:
        forms.append(f"[{space}]+[^{space}{char}]{rest}")
    for first in firsts:
        below = {word[1:] for word in words if word[:1] == first}
        forms.append(_literal(first) + _other(below, char, is_trimmed))
    regex = f"(?:{'|'.join(forms)})" + ("" if is_end else "?")
    return regex.replace(" ", r"\x20")


def _in_class(char: str) -> str:
    return char if char.isalnum() else f"\\x{ord(char):02X}"
