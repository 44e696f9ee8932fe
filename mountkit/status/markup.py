"""Pieces of HTML that several sections have: tables, states, times, counts.

A table has the roles of a table written out, because on a phone its rows are laid out as cards,
which takes the roles away that its elements have by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape

# A state is told by a word, a sign and a colour.
_SIGNS = {"serving": "✓", "failed": "✗", "starting": "…", "draining": "↓", "stopping": "↓"}
_SIGNS |= {"gone": "✗", "silent": "?"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))
_CLASSES = {"1xx": "101", "client_gone": "client gone", "none": "no answer"}
_MOST_TEXT = 300


def muted(text: str) -> str:
    """What says that there is nothing."""
    return f'<span class="muted">{text}</span>'


def table(name: str, caption: str, columns: Sequence[str], rows: Iterable[str]) -> str:
    """A table of the kind `name`, for the style."""
    heads = "".join(f'<th scope="col" role="columnheader">{column}</th>' for column in columns)
    return (
        f'<table class="{name}" role="table"><caption class="hidden">{caption}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def row(key: str, columns: Sequence[str], cells: Iterable[str]) -> str:
    """A row; its first cell is its head, and `key` tells it from the others."""
    first, *others = zip(columns, cells, strict=True)
    attribute = f' data-key="{escape(key)}"' if key else ""
    head = f'<th scope="row" role="rowheader" data-label="{first[0]}">{first[1]}</th>'
    return f'<tr role="row"{attribute}>{head}{"".join(_cell(*one) for one in others)}</tr>'


def _cell(column: str, text: str) -> str:
    kind = " empty" if text.startswith(muted("")[:-7]) else ""
    kind += " wide" if column in ("Last error", "Reason") else ""
    return f'<td role="cell" class="cell{kind}" data-label="{column}">{text}</td>'


def state(name: str) -> str:
    """The state of a mount or a process."""
    sign = _SIGNS[name]
    return f'<span class="state {name}"><span aria-hidden="true">{sign}</span> {name}</span>'


def answers(answered: Mapping[str, int]) -> str:
    """How many answers there were, by class."""
    parts = (
        f'<span class="part{" bad" * (name == "5xx")}">{_CLASSES.get(name, escape(name))} '
        f"{number:,}</span>"
        for name, number in answered.items()
    )
    return " ".join(parts) or muted("none yet")


def short(text: str) -> str:
    """An error, or the beginning of it."""
    return escape(text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…")


def ago(at: float, now: float) -> str:
    """How long ago that was, with the time itself for those who want it."""
    seconds = max(now - at, 0)
    size, unit = next((pair for pair in _UNITS if seconds >= pair[0]), (1, "s"))
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time datetime="{moment}" title="{moment}">{seconds / size:.0f} {unit}</time>'
