"""The recipes of the docs: each block runs alone, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.matrix.client import ROOT
from tests.matrix.recipes import recipes

_IMPORT = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)


@pytest.mark.parametrize(("title", "line", "code"), recipes(), ids=[r[0] for r in recipes()])
def test_recipe(title: str, line: int, code: str, tmp_path: Path) -> None:
    """What it asserts is true; it is skipped if the framework is not installed."""
    for module in _IMPORT.findall(code):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    # The main module: while another one is imported, no thread may import from it. Threads that
    # a framework leaves behind do not hold up its end.
    end = "\nimport os, sys; sys.stdout.flush(); os._exit(0)\n"
    (tmp_path / "recipe.py").write_text("\n" * line + code + end, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "recipe.py"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        check=False,
    )
    assert run.returncode == 0, run.stderr
