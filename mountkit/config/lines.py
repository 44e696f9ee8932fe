"""The lines of a TOML text: which key stands where. `tomllib` does not tell.

Right for every text that `tomllib` can read; for others it gives what it has found.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

#: The way to a value: names of keys, and numbers of items.
Path: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_QUOTED = r'"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'"
_KEY = re.compile(rf"[A-Za-z0-9_-]+|{_QUOTED}")
_VALUE = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' + r"|'''.*?'{3,5}" + rf"|{_QUOTED}" + r"|[^\s,\]}\[{#][^,\]}\n#]*",
    re.DOTALL,
)


def lines_of(text: str) -> dict[Path, int]:
    """The line of each key, table and item."""
    scanner = _Scanner(text)
    with suppress(_NotTOMLError, RecursionError):
        scanner.scan()
    return scanner.found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a value; that of what holds it, if its own is not known."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _NotTOMLError(Exception):
    pass


class _Scanner:
    def __init__(self, text: str) -> None:
        self.found: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._counts: dict[Path, int] = {}  # of the tables in each array of tables

    def scan(self) -> None:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._take("["):
                table = self._header(is_item=self._take("["))
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Go to the end of what the pattern matches here."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _NotTOMLError
        self._at = match.end()
        return self._at

    def _take(self, mark: str) -> bool:
        is_there = self._text.startswith(mark, self._at)
        self._at += len(mark) * is_there
        return is_there

    def _need(self, mark: str) -> None:
        if not self._take(mark):
            raise _NotTOMLError

    def _note(self, path: Path, at: int) -> None:
        self.found.setdefault(path, bisect(self._ends, at - 1) + 1)

    def _keys(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            start = self._at
            names.append(_unquoted(self._text[start : self._skip(_KEY)]))
            self._skip(_SPACE)
            if not self._take("."):
                return names

    def _header(self, *, is_item: bool) -> Path:
        start = self._at
        path: Path = ()
        names = self._keys()
        self._need("]]" if is_item else "]")
        for last, name in enumerate(names, 1 - len(names)):
            path = (*path, name)
            self._note(path, start)
            if is_item and not last:
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self._note(path, start)
        return path

    def _pair(self, table: Path) -> None:
        start, path = self._at, table
        for name in self._keys():
            path = (*path, name)
            self._note(path, start)
        self._need("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._take("["):
            number = 0
            while self._skip(_BLANK) < len(self._text) and not self._take("]"):
                self._note((*path, number), self._at)
                self._value((*path, number))
                number += 1
                self._skip(_BLANK)
                self._take(",")
        elif self._take("{"):
            while self._skip(_BLANK) < len(self._text) and not self._take("}"):
                self._pair(path)
                self._skip(_BLANK)
                self._take(",")
        else:
            self._skip(_VALUE)


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    if "\\" not in key:
        return key[1:-1]
    try:
        return next(iter(tomllib.loads(f"{key} = 0")))
    except ValueError:
        raise _NotTOMLError from None
