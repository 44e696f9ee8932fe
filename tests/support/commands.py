"""The command line as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: Hides what the extras `cli` and `serve` install.
PLAIN = (
    "import sys; sys.modules.update(dict.fromkeys(('rich', 'rich.console', 'shtab', 'pydantic'))); "
    "from mountkit.cli import main; sys.exit(main())"
)


def run(
    folder: Path, *arguments: str, has_extra: bool = True, columns: int = 80
) -> subprocess.CompletedProcess[str]:
    """Run `mountkit` in a folder.

    Args:
        has_extra: whether rich and shtab are installed.
        columns: of the terminal.
    """
    program = ["-m", "mountkit"] if has_extra else ["-c", PLAIN]
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    env.pop("FORCE_COLOR", None)
    return subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True, text=True, encoding="utf-8", cwd=folder, env=env, timeout=60, check=False,
    )  # fmt: skip
