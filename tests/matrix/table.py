"""The table of the docs, from what a run has written down.

`python -m tests.matrix.table` writes it anew.
"""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.matrix.frameworks import FRAMEWORKS
from tests.matrix.places import PLACES

FIGURES = Path(__file__).parent / "figures.json"
PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
START, END = "<!-- matrix -->", "<!-- /matrix -->"

#: The columns of the table, and the checks that each of them counts.
COLUMNS = {
    "index": "index",
    "URL": "url",
    "link": "link",
    "redirect": "redirect",
    "slash": "slash",
    "static": "static",
    "stream": "stream",
    "websocket": "websocket",
    "lifespan": "lifespan",
    "own pages": "page",
    "browser": "browser",
    "end": "end",
}
_ID = re.compile(r"test_(\w+)\[(\w+)-(\w+)-(\w+)(?:-(\w+))?\]")


def figures(results: Mapping[str, str]) -> dict[str, Any]:
    """What a run has shown: for each framework its version, and for each check how often it
    has ended in which way."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for test, outcome in results.items():
        match = _ID.fullmatch(test)
        assert match is not None, test
        check, framework = match[1], match[2]
        counts.setdefault(framework, {}).setdefault(check, Counter())[outcome] += 1
    found: dict[str, Any] = {}
    for name, facts in FRAMEWORKS.items():
        if name in counts:
            try:
                installed = version(facts.package)
            except PackageNotFoundError:
                continue
            checks = {check: dict(counts[name][check]) for check in sorted(counts[name])}
            found[name] = {"version": installed, "checks": checks}
    return {"python": platform.python_version(), "frameworks": found}


def table(found: Mapping[str, Any]) -> str:
    """The figures as Markdown, and below them what cannot be right, with its reason."""
    lines = [
        f"| framework | version | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    reasons: list[str] = []
    total: Counter[str] = Counter()
    for name, entry in found["frameworks"].items():
        facts = FRAMEWORKS[name]
        cells = []
        for check in COLUMNS.values():
            counts = Counter(entry["checks"].get(check, {}))
            total += counts
            made = sum(counts.values())
            cell = (
                f"{counts['passed']}" if counts["passed"] == made else f"{counts['passed']}/{made}"
            )
            cells.append(cell if made else "–")
        by_reason: dict[str, list[str]] = {}
        for (check, place), reason in facts.unlike.items():
            where = "everywhere" if place == "*" else f"at `{PLACES[place].prefix}`"
            by_reason.setdefault(reason, []).append(f"{check} {where}")
        mark = ""
        for reason in by_reason:
            reasons.append(f"{len(reasons) + 1}. {facts.title}: {reason}")
            mark += f" ({len(reasons)})"
        lines.append(f"| {facts.title}{mark} | {entry['version']} | {' | '.join(cells)} |")
    summary = (
        f"{total['passed']} checks of {len(found['frameworks'])} apps passed, on Python "
        f"{found['python']}; {total['unlike']} are known not to."
    )
    return "\n".join([summary, "", *lines, "", *reasons]).strip()


def main() -> None:
    """Put the table of `figures.json` into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    shown = table(json.loads(FIGURES.read_text(encoding="utf-8")))
    PAGE.write_text(f"{before}{START}\n\n{shown}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
