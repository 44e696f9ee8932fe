"""The first example of the home page, and what the table below it says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from starlette.testclient import TestClient

from tests.support.pages import DOCS

HOME = (DOCS / "index.md").read_text("utf-8")


def test_the_first_example_of_the_home_page(tmp_path: Path) -> None:
    """Five lines, and who serves what."""
    block = re.search(r"^```python\n(.*?)^```$", HOME, re.MULTILINE | re.DOTALL)
    assert block is not None
    (tmp_path / "main.py").write_text(block[1], "utf-8")
    found = runpy.run_path(str(tmp_path / "main.py"))
    code = [line for line in block[1].splitlines() if line]
    assert len(code) == 5

    @found["legacy"].get("/")
    def index() -> str:
        from flask import url_for

        return url_for("index")

    @found["site"].get("/shopping")
    def shopping() -> str:
        return "the app underneath"

    requests = re.findall(r"^\| `(/[^`]*)` \|", HOME, re.MULTILINE)
    assert requests == ["/shop/docs", "/legacy/", "/shopping"]
    with TestClient(found["app"]) as client:
        docs, legacy, underneath = (client.get(path).text for path in requests)
    assert "'/shop/openapi.json'" in docs
    assert (legacy, underneath) == ("/legacy/", '"the app underneath"')
