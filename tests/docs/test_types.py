"""Strict type checkers on users' programs: every example of the docs, and every kind of app.

The programs are checked outside of the checkout, against a copy of the package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mountkit
from tests.support.pages import OF_FILES

pytest.importorskip("mypy")
pytest.importorskip("pyright")

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
#: What mypy knows of the frameworks, from one run to the next.
CACHE = ROOT / ".mypy_cache" / "programs"
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: File and line of each error, with its message.
Errors = dict[tuple[str, int], str]


def write_examples(folder: Path) -> None:
    """The blocks of each page as one program, on the lines where they stand. Each recipe of the
    page on frameworks is a program of its own, as in `tests/matrix/test_recipes.py`, and so is
    each file of the pages that have files."""
    (folder / "recipes").mkdir()
    (folder / "recipes" / "__init__.py").touch()
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text("utf-8")
        name = page.stem.replace("-", "_").lower()
        program = ""
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start(2))
            if name == "frameworks":
                recipe = folder / "recipes" / f"line_{line + 1}.py"
                recipe.write_text("\n" * line + block[2], "utf-8")
            elif page.name in OF_FILES:
                file = folder / name / block[1].split('"')[1]
                file.parent.mkdir(exist_ok=True)
                if name != "testing":  # whose files import each other
                    (file.parent / "__init__.py").touch()
                file.write_text("\n" * line + block[2], "utf-8")
            else:
                program += "\n" * (line - program.count("\n")) + block[2]
        if program:
            (folder / f"{name}.py").write_text(program, "utf-8")


MYPY = """
[mypy]
strict = True
follow_imports = silent
# Not every framework is installed here, and some have no types.
disable_error_code = import-not-found, import-untyped

[mypy-recipes.*]
disallow_untyped_decorators = False
warn_return_any = False
"""


def mypy(folder: Path, package: Path) -> Errors:
    (folder / "mypy.ini").write_text(MYPY, "utf-8")
    output = run(
        *(sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary"),
        *("--hide-error-context", "--no-pretty", "--cache-dir", str(CACHE), "."),
        cwd=folder,
        path=package,
    )
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", output, re.MULTILINE)
    assert found or not output, output
    return {(file, int(line)): message for file, line, message in found}


def pyright(folder: Path, package: Path) -> Errors:
    options = {
        "include": ["."],
        "extraPaths": [str(package)],
        "pythonVersion": "3.11",
        "reportMissingImports": False,
        "reportMissingModuleSource": False,
        "useLibraryCodeForTypes": False,  # as mypy: packages without types are not guessed at
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(options), "utf-8")
    output = run(
        *(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable),
        cwd=folder,
        path=package,
    )
    return {
        (str(Path(found["file"]).relative_to(folder)), found["range"]["start"]["line"] + 1): (
            found["message"]
        )
        for found in json.loads(output)["generalDiagnostics"]
        if found["severity"] == "error"
    }


def run(*command: str, cwd: Path, path: Path) -> str:
    """What a checker prints; 0 and 1 say whether it has found errors."""
    env = {"MYPYPATH": str(path)}
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("check", [mypy, pyright])
def test_programs(check: Callable[[Path, Path], Errors], tmp_path: Path) -> None:
    """No error in a right program, and one on each marked line."""
    folder, package = tmp_path.resolve() / "user", tmp_path.resolve() / "installed"
    shutil.copytree(Path(mountkit.__file__).parent, package / "mountkit")
    shutil.copytree(PROGRAMS, folder)
    write_examples(folder)
    marked = {
        (program.name, number)
        for program in PROGRAMS.glob("*.py")
        for number, line in enumerate(program.read_text("utf-8").split("\n"), 1)
        if line.endswith("  # refused")
    }
    errors = check(folder, package)
    assert {place: text for place, text in errors.items() if place not in marked} == {}
    assert marked - errors.keys() == set()
