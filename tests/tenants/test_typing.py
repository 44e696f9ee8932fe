"""The types as a user's checkers see them: mypy and pyright, both strict.

`tests/typing` has programs. In those of mistakes each `type: ignore` must silence an error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "tests" / "typing").glob("*.py"))
PAGES = [ROOT / "docs" / "tenants.md"]

_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of a user's with the programs, and the blocks of each page as one."""
    for program in PROGRAMS:
        shutil.copy(program, tmp_path / f"program_{program.name}")
    for page in PAGES:
        blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
        (tmp_path / f"page_{page.stem}.py").write_text("\n".join(blocks), encoding="utf-8")
    return tmp_path


def check(checker: str, folder: Path, *options: str) -> str:
    """What a checker prints; empty if it has no complaint."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    run = subprocess.run(
        [sys.executable, "-m", checker, *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        check=False,
    )
    return "" if run.returncode == 0 else run.stdout + run.stderr


@pytest.mark.slow
def test_mypy(programs: Path) -> None:
    """Strict, as a user would run it."""
    cache = str(ROOT / ".mypy_cache")
    options = ("--strict", "--config-file=", f"--cache-dir={cache}")
    assert check("mypy", programs, *options, *(path.name for path in programs.glob("*.py"))) == ""


def test_pyright(programs: Path) -> None:
    """Of what a user's program imports it sees the types alone."""
    config = {"extraPaths": [str(ROOT)], "pythonVersion": "3.11", "include": ["."]}
    (programs / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    assert check("pyright", programs, "--pythonpath", sys.executable) == ""
