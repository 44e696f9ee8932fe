"""The page on the file: its blocks are sites, and it has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mountkit.config import models
from mountkit.config.building import Site
from mountkit.config.parsing import parse
from mountkit.config.sources import read_source
from tests.support.commands import run
from tests.support.sites import write

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text("utf-8")
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall(PAGE)
SITES = [text for language, title, text in BLOCKS if language == "toml" and title != "wrong.toml"]
#: What the blocks name.
FILES = {title: text for _, title, text in BLOCKS if title.endswith((".py", ".html"))}
FILES["legacy/venv/bin/python"] = ""
FILES["blog/main.py"] = "from shop import app\ndef create_app(*, debug): return app\n"


@pytest.mark.parametrize("text", SITES)
def test_a_block_is_a_site(text: str, folder: Path) -> None:
    """Its apps are found."""
    name = "pyproject.toml" if "[tool." in text else "mountkit.toml"
    write(folder, {**FILES, name: text})
    site = Site.build(parse(read_source(Path(name))))
    assert len(site.dispatcher.routes) == text.count("mount]]") + text.count("[default]")


def test_the_mistakes(tmp_path: Path) -> None:
    """Are those that the page shows."""
    files = {title: text for _, title, text in BLOCKS if title == "wrong.toml"}
    (says,) = (text for language, _, text in BLOCKS if language == "text")
    write(tmp_path, {**FILES, **files})
    assert run(tmp_path, "check", "wrong.toml").stderr == says


def test_every_key_is_on_the_page() -> None:
    """Those of `Lifespan` and the like too."""
    shown = set(
        re.findall(r"[\w-]+", " ".join([*re.findall(r"`[^`]+`", _BLOCK.sub("", PAGE)), *SITES]))
    )
    for name, model in vars(models).items():
        for key, field in getattr(model, "model_fields", {}).items():
            assert (field.alias or key) in shown, f"{name}.{key}"
