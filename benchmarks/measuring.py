"""Interleaved timings, and tables of their ratios."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

FIGURES = Path(__file__).with_name("figures")
DOCS = Path(__file__).parents[1] / "docs"

#: Something that is measured: it does its work `n` times.
Work = Callable[[int], Awaitable[Any]]


async def interleaved(works: Mapping[str, Work], *, rounds: int, seconds: float) -> dict[str, Any]:
    """Seconds for one piece of each work, by name: minimum and median over the rounds.

    Every round does a share of every work, so that what else the machine does meets all alike.

    Args:
        seconds: that a share is to take, about.
    """
    counts = {}
    for name, work in works.items():
        await work(1)  # what is only done once
        start = perf_counter()
        await work(1)
        counts[name] = max(1, int(seconds / max(perf_counter() - start, 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = perf_counter()
            await work(counts[name])
            times[name].append((perf_counter() - start) / counts[name])
    return {
        name: {"min": min(found), "median": statistics.median(found)}
        for name, found in times.items()
    }


def ratios(found: Mapping[str, Any], of: str) -> dict[str, float]:
    """The median of each over that of one of them."""
    return {name: times["median"] / found[of]["median"] for name, times in found.items()}


def write(name: str, figures: Any) -> None:
    """Keep the figures of a run, for the documentation."""
    machine = f"Python {platform.python_version()}, {platform.machine()}"
    text = json.dumps({"machine": machine, "figures": figures}, indent=1)
    (FIGURES / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def read(name: str) -> Any:
    """The figures that the documentation quotes."""
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))["figures"]


def quote(page: Path, name: str, text: str) -> None:
    """Put `text` into a page, between the comments `<!-- name -->` and `<!-- /name -->`."""
    before, _, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not end:
        raise ValueError(f"{page} has no comments <!-- {name} --> and <!-- /{name} -->.")
    page.write_text(f"{before}<!-- {name} -->\n\n{text}\n\n{end}{after}", encoding="utf-8")


def table(title: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Ratios as a table in Markdown: a row for each work, a column for each peer."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| {title} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, row in rows.items():
        cells = [_shown(row[column]) if column in row else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.2f}"
