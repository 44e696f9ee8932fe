"""The page on `mountkit serve`: its commands and options are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mountkit.server import failures
from tests.support.commands import run

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall(PAGE)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, _, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command(command: list[str], tmp_path: Path) -> None:
    """It would be served."""
    for _, title, text in BLOCKS:
        if title:
            (tmp_path / title).write_text(text, "utf-8")
    program, *arguments = command
    assert program == "mountkit"
    done = run(tmp_path, *arguments, "--check")
    assert done.returncode == 0
    assert done.stdout.endswith(": 1 mount, nothing wrong.\n")


def test_all_options_are_named(tmp_path: Path) -> None:
    """And no others."""
    usage = run(tmp_path, "serve", "--help").stdout
    known = set(re.findall(r"--[a-z-]+", usage)) - {"--help"}
    text = PAGE.replace("`--init`", "")  # of docker
    assert set(re.findall(r"--[a-z][a-z-]+", text)) == known


def test_exit_statuses() -> None:
    """Each has its row."""
    table = PAGE.partition("| exit status | meaning |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    assert rows == ["0", *map(str, (failures.REFUSED, failures.MISUSED, failures.FAILED)), "130"]
