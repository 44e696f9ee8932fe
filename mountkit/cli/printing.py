"""Lines and tables. One layout, two renderers: rich adds colours where it is installed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from shutil import get_terminal_size
from typing import Any, Literal, NamedTuple
from unicodedata import east_asian_width

_GAP = "  "
_HANG = "    "
_LEAST = 12  # characters that a column is folded to


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        fold: its texts are folded at any character, at spaces and slashes only, or never.
        is_spare: it is left out if a text would have to be folded.
    """

    name: str
    fold: Literal["anywhere", "between", "never"] = "anywhere"
    is_spare: bool = False


class Row(NamedTuple):
    """The cells of a row, and a style of rich's. A cell may begin with spaces."""

    cells: Sequence[str]
    style: str = ""


class Printer:
    """Prints to the standard output."""

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError:
            self._console = None
        else:
            self._console = Console(highlight=False, markup=False, emoji=False)
        # Not a screen: do not break lines early.
        self.width: int = get_terminal_size((160, 24)).columns

    def line(self, text: str = "", style: str = "") -> None:
        """One line, which is not broken."""
        if self._console is not None and style:
            with self._console.capture() as captured:  # it would hide a closed pipe
                self._console.print(text, style=style, soft_wrap=True)
            text = captured.get().removesuffix("\n")
        print(text)

    def text(self, text: str) -> None:
        """A text, folded."""
        for line in _folded(text, self.width):
            self.line(line)

    def table(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """Rows below the names of their columns; a column without any text is left out."""
        for line, style in laid_out(columns, rows, self.width):
            self.line(line, style)

    def json(self, value: Any) -> None:
        """For machines."""
        print(json.dumps(value, indent=2))


def laid_out(
    columns: Sequence[Column], rows: Sequence[Row], width: int
) -> Iterator[tuple[str, str]]:
    """The lines of a table with their styles, at most `width` wide where that can be done."""
    rows = [Row([column.name for column in columns], "bold"), *rows]
    natural = [max(_width(row.cells[i]) for row in rows) for i in range(len(columns))]
    shown = [i for i in range(len(columns)) if any(row.cells[i] for row in rows[1:])]
    gaps = len(_GAP) * (len(shown) - 1)
    if sum(natural[i] for i in shown) + gaps > width:
        shown = [i for i in shown if not columns[i].is_spare]
        gaps = len(_GAP) * (len(shown) - 1)
    widths = [min(one, _LEAST) for one in natural]
    for i in shown:
        if columns[i].fold != "anywhere":
            texts = [row.cells[i] for row in rows]
            widths[i] = natural[i] if columns[i].fold == "never" else max(map(_longest, texts))
    left = max(width - sum(widths[i] for i in shown) - gaps, 0)
    for i in sorted(shown, key=lambda i: natural[i] - widths[i]):
        more = min(natural[i] - widths[i], left)
        widths[i] += more
        left -= more
    for row in rows:
        cells = [_folded(row.cells[i], widths[i]) for i in shown]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = [_padded(part, widths[i]) for part, i in zip(parts, shown, strict=True)]
            yield _GAP.join(padded).rstrip(), row.style


def _divided(text: str) -> tuple[str, list[str]]:
    """The spaces at the beginning, and the words."""
    body = text.lstrip(" ")
    return text[: len(text) - len(body)], re.findall("[^ ]+ *", body)


def _pieces(word: str) -> list[str]:
    """Where a word that is too long is folded."""
    return re.findall("[^/]*/ *|[^/]+", word)


def _longest(text: str) -> int:
    """How wide a column must be, so that each piece stays whole."""
    indent, words = _divided(text)
    pieces = [piece for word in words for piece in _pieces(word)]
    hang = _HANG if len(pieces) > 1 else ""
    return max((_width(indent + hang + piece.rstrip()) for piece in pieces), default=0)


def _folded(text: str, width: int) -> list[str]:
    """Further lines are indented a little more than the first."""
    indent, words = _divided(text)
    lines, line = [], indent
    for word in words:
        is_long = _width(indent + _HANG + word.rstrip()) > width
        for piece in _pieces(word) if is_long else [word]:
            if line.strip() and _width(line + piece.rstrip()) > width:
                lines.append(line.rstrip())
                line = indent + _HANG
            line += piece
            while _width(line.rstrip()) > width:  # one piece alone
                lines.append(line[:width])
                line = indent + _HANG + line[width:]
    return [*lines, line.rstrip()]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """In columns of a terminal."""
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def use_what_can_be_shown() -> None:
    """Have characters that the output cannot encode written as escapes."""
    stream: Any
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # it is not a file
            stream.reconfigure(errors="backslashreplace")
