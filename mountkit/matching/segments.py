"""A text with placeholders: a segment of a path, a label of a host.

`{tenant}`, `v{n:int}` and `{name}.{kind}` are written and matched as in Starlette, but always in
time linear in the length of the text. A text that could take longer is refused when it is compiled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.convertors import CONVERTOR_TYPES, Convertor
from starlette.routing import PARAM_REGEX

from mountkit.exceptions import PatternError

# What the texts of Starlette's convertors are made of; without a "/", so that they all fit into one
# segment.
_ALPHABETS = {
    "str": None,
    "int": frozenset("0123456789"),
    "float": frozenset("0123456789."),
    "uuid": frozenset("0123456789abcdefABCDEF-"),
}
# Texts with slashes, one of which a convertor takes if it takes any. That is a guess: what the
# regular expression of a convertor of your own takes cannot be computed.
_WITH_SLASHES = ("x/y", "1/2", "X/Y", "/", "/x", "x/", "x/y/z", "1/2/3", "2000/01", "2000/01/01")


class Segment:
    """A text with at least one placeholder, compiled.

    Args:
        text: as it is written.
        owner: what it is a part of, for messages: "Mount path '/x/{y}'".

    Raises:
        PatternError: a convertor is not known to Starlette; or it cannot be told in linear time
            where one placeholder ends and the next begins. That takes a literal between them that
            the placeholder on its left or on its right cannot hold (`{x:int}-{y}`), or text
            placeholders alone (`{a}-{b}-{c}`), of which the leftmost takes as much as it can.

    Attributes:
        key: equal for segments that take the same texts; the names of placeholders do not count.
        bare: the name, if the segment is one placeholder for any text.
        is_multi: whether it may hold slashes; `True` for every convertor of your own, as that
            cannot be known.
        breadth: how much it takes: 1 for something typed or a part, 2 for any segment, 3 for any
            number of segments.
        static_length: the length of its literal text.
    """

    __slots__ = (
        *("_left", "_regexes", "bare", "breadth", "convertors", "is_multi"),
        *("is_typed", "key", "literals", "names", "static_length", "text"),
    )

    def __init__(self, text: str, owner: str = "") -> None:
        pieces = PARAM_REGEX.split(text)  # a literal, then a name, a type and a literal each time
        self.text: str = text
        self.literals: tuple[str, ...] = tuple(pieces[0::3])
        self.names: tuple[str, ...] = tuple(pieces[1::3])
        kinds = [kind_of(suffix) for suffix in pieces[2::3]]
        if unknown := [kind for kind in kinds if kind not in CONVERTOR_TYPES]:
            known = ", ".join(sorted(CONVERTOR_TYPES))
            raise PatternError(f"{owner} names the convertor {unknown[0]!r}; known are {known}.")
        self.convertors: dict[str, Convertor[Any]] = {
            name: CONVERTOR_TYPES[kind] for name, kind in zip(self.names, kinds, strict=True)
        }
        # A text needs no regular expression, as there is no slash in it.
        self._regexes: tuple[re.Pattern[str] | None, ...] = tuple(
            None if kind == "str" else re.compile(CONVERTOR_TYPES[kind].regex) for kind in kinds
        )
        self.key: str = nameless(text)
        self.static_length: int = sum(map(len, self.literals))
        self.is_typed: bool = kinds != ["str"]
        self.bare: str | None = None
        if not self.is_typed and not self.static_length:
            self.bare = self.names[0]
        self.is_multi: bool = not _ALPHABETS.keys() >= set(kinds)
        takes_all = any(map(takes_slashes, self.convertors.values()))
        self.breadth: int = 3 if takes_all else 1 if self.bare is None else 2
        # How many placeholders are cut off from the left; the others are, from the right.
        self._left: int = self._cuts(kinds, owner)

    def _cuts(self, kinds: list[str], owner: str) -> int:
        left, right, between = 0, len(kinds) - 1, self.literals[1:-1]
        while left < right and _cannot_hold(kinds[left], between[left]):
            left += 1
        while left < right and _cannot_hold(kinds[right], between[right - 1]):
            right -= 1
        middle = set(kinds[left : right + 1])
        if "" in between or (left < right and middle != {"str"}):
            raise PatternError(
                f"{owner} has {self.text!r}, which leaves open where one placeholder ends and the "
                "next begins; put a character between them that one of the two cannot hold, as in "
                "'{x:int}-{y}', or a slash."
            )
        return left

    def match(self, text: str) -> dict[str, Any] | None:
        """The converted placeholders, or `None` if `text` does not match."""
        if self.bare is not None:
            return {self.bare: text} if text else None
        before, after = self.literals[0], self.literals[-1]
        end = len(text) - len(after)
        if end <= len(before) or not (text.startswith(before) and text.endswith(after)):
            return None
        texts = self._cut(text[len(before) : end])
        for name, regex in zip(self.names, self._regexes, strict=True):
            found = texts.get(name)
            if not found or (regex is not None and regex.fullmatch(found) is None):
                return None
        return convert(texts, self.convertors)

    def _cut(self, text: str) -> dict[str, str]:
        """The texts of the placeholders; not all of them if a literal is missing."""
        texts: dict[str, str] = {}
        left = self._left
        for at in range(left):
            # It cannot hold the literal, so that it ends where the literal first stands.
            texts[self.names[at]], found, text = text.partition(self.literals[at + 1])
            if not found:
                return texts
        for at in range(len(self.names) - 1, left, -1):
            # The last place that leaves a character: the placeholder cannot hold the literal, or
            # is a text, and then those on its left take as much as they can.
            literal = self.literals[at]
            found_at = text.rfind(literal, 0, len(text) - 1)
            if found_at < 0:
                return texts
            texts[self.names[at]] = text[found_at + len(literal) :]
            text = text[:found_at]
        texts[self.names[left]] = text
        return texts


def check_names(names: Sequence[str], owner: str) -> None:
    """Refuse two placeholders of the same name."""
    for name in names:
        if names.count(name) > 1:
            raise PatternError(f"{owner} has the placeholder {name!r} twice; rename one.")


def _cannot_hold(kind: str, literal: str) -> bool:
    alphabet = _ALPHABETS.get(kind)
    return alphabet is not None and not alphabet.issuperset(literal)


def kind_of(suffix: str | None) -> str:
    """The name of a convertor: `"int"` of `":int"`, `"str"` of nothing."""
    return (suffix or ":str")[1:]


def nameless(text: str) -> str:
    """A text whose placeholders have no names."""
    return (
        text if "{" not in text else PARAM_REGEX.sub(lambda match: f"{{{kind_of(match[2])}}}", text)
    )


def regex_of(text: str) -> str:
    """A text as the regular expression that Starlette makes of it."""
    regex, position = "", 0
    for match in PARAM_REGEX.finditer(text):
        convertor = CONVERTOR_TYPES[kind_of(match[2])]
        regex += re.escape(text[position : match.start()]) + f"(?P<{match[1]}>{convertor.regex})"
        position = match.end()
    return regex + re.escape(text[position:])


def takes_slashes(convertor: Convertor[Any]) -> bool:
    """Whether a convertor takes texts with slashes, as far as samples show."""
    return any(re.fullmatch(convertor.regex, text) for text in _WITH_SLASHES)


def convert(texts: dict[str, str], convertors: dict[str, Convertor[Any]]) -> dict[str, Any] | None:
    """The placeholders' values, or `None` if one of them cannot be converted.

    Python does not read an integer of 5,000 digits, and reads a float of as many as an infinite
    number, which no URL can be made of: such a path does not match.
    """
    try:
        found = {name: convertors[name].convert(text) for name, text in texts.items()}
    except (ValueError, ArithmeticError):
        return None
    return None if math.inf in found.values() else found


def match_each(wanted: Iterable[str | Segment], texts: Iterable[str]) -> dict[str, Any] | None:
    """The placeholders, if each text matches what is wanted at its place, as far as the shorter of
    the two goes; else `None`."""
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
