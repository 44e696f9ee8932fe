"""The recipes of the docs' page on frameworks."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
_SECTION = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```$", re.M | re.S)


def recipes() -> list[tuple[str, int, str]]:
    """Title, line and code of each."""
    text = PAGE.read_text(encoding="utf-8")
    found = _SECTION.finditer(text)
    return [(match[1], text.count("\n", 0, match.start(2)), match[2]) for match in found]
