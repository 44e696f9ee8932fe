"""The command line as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_ROOT = Path(__file__).parents[2]
_servers: list[subprocess.Popen[str]] = []


def run(
    folder: Path, *arguments: str, has_extra: bool = True, columns: int = 80
) -> subprocess.CompletedProcess[str]:
    """Run `mountkit` in a folder.

    Args:
        has_extra: whether rich and shtab are installed.
        columns: of the terminal.
    """
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": str(columns)}
    env.pop("FORCE_COLOR", None)
    server = _server(has_extra)
    assert server.stdin is not None
    assert server.stdout is not None
    with TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        out.touch()
        err.touch()
        command = {
            "folder": str(folder), "arguments": arguments, "env": env,
            "out": str(out), "err": str(err),
        }  # fmt: skip
        server.stdin.write(json.dumps(command) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(
            arguments, status, out.read_text("utf-8"), err.read_text("utf-8")
        )


@cache
def _server(has_extra: bool) -> subprocess.Popen[str]:
    """One for all commands of the tests' process, see `forks`."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forks", *([] if has_extra else ["plain"])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=_ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    _servers.append(server)
    return server


def stop() -> None:
    """Stop those servers; they end with their input."""
    for server in _servers:
        server.communicate()
