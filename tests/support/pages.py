"""The documentation as a reader uses it: its blocks, and the files that it shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

#: Pages whose blocks of Python are files: each of them runs when it is copied alone.
OF_FILES = {"testing.md", "migrating.md", "strangler-fig.md", "deploying.md", "guards.md"}

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(page: str) -> dict[str, str]:
    """The blocks of a page that have a title, by it."""
    text = (DOCS / page).read_text("utf-8")
    found = [(re.search(r'title="([^"]+)"', block[2]), block[3]) for block in _BLOCK.finditer(text)]
    named = {title[1]: code for title, code in found if title}
    assert len(named) == sum(1 for title, _ in found if title), f"two files of one name on {page}"
    return named


def commands(page: str) -> list[str]:
    """The lines of the page's shell blocks, without comments; those that go on are joined."""
    text = (DOCS / page).read_text("utf-8")
    lines = [
        line
        for block in _BLOCK.finditer(text)
        if block[1] == "sh"
        for line in block[3].replace("\\\n", " ").splitlines()
    ]
    return [re.sub(r"\s+", " ", line.partition("  #")[0]).strip() for line in lines if line.strip()]


def write_files(page: str, folder: Path) -> Path:
    """Write the files of a page into a folder."""
    for name, text in files(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder
