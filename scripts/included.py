"""The files at the root of the checkout as pages of the site: an extension of Python-Markdown.

A page that holds the line `<!-- include SECURITY.md -->` has that file in its place. Links in the
file, which are right in the checkout (`docs/limits.md`, `SECURITY.md`), lead to the pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

ROOT = Path(__file__).parents[1]
INCLUDE = re.compile(r"^<!-- include (\w+\.md) -->$", re.MULTILINE)
#: The files that are pages, and what is shown of others.
PAGES = {"SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
PAGES["CONTRIBUTING.md"] = "contributing.md"


def included(text: str) -> str:
    """A page's text with the files that it includes."""
    return INCLUDE.sub(lambda found: as_page((ROOT / found[1]).read_text("utf-8")), text)


def as_page(text: str) -> str:
    """A file of the root, with links as a page of `docs/` has them."""
    for name, page in PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text.replace("](docs/", "](")


class _Include(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return included("\n".join(lines)).split("\n")


class _Code(Treeprocessor):
    r"""Code in a line of text. In a cell, `\|` is shown as `|`, as on GitHub; each short word has a
    class, by which the style sheet keeps it on one line: `--root-path`."""

    def run(self, root: Element) -> None:
        for code in root.iterfind(".//td//code"):
            code.text = (code.text or "").replace(r"\|", "|")
        for code in list(root.iter("code")):
            words, code.text = (code.text or "").split(" "), None
            for word in words:
                span = SubElement(code, "span", {"class": "short"} if len(word) <= 20 else {})
                span.text, span.tail = AtomicString(word), " "
            span.tail = None


class _IncludeExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Include(md), "included", 100)  # before fences are read
        md.treeprocessors.register(_Code(md), "code", 15)  # after code in a line is read


def makeExtension(**options: object) -> _IncludeExtension:
    """What Python-Markdown calls."""
    return _IncludeExtension(**options)
