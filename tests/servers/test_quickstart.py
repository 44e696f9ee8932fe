"""The quick start to the letter, in an environment of its own line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.pages import DOCS, ROOT, commands, files
from tests.support.servers import free_port
from tests.support.waiting import wait_until

QUICKSTART = (DOCS / "quickstart.md").read_text("utf-8")
OFFLINE = ("NewConnectionError", "Temporary failure in name resolution", "ConnectTimeout")


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found
    return [str(text) for text in found]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that the page's own line has made, of this checkout."""
    folder = tmp_path_factory.mktemp("quickstart")
    subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=folder, check=True)
    [line] = [line for line in commands("quickstart.md") if line.startswith("pip install ")]
    packages = line.replace("'", "").split()[2:]
    assert packages[0] == "mountkit[cli]"
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    command = [*pip, f"{ROOT}[cli]", *packages[1:]]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if any(reason in run.stderr for reason in OFFLINE):
        pytest.skip("PyPI cannot be reached")
    assert run.returncode == 0, run.stderr
    (folder / "main.py").write_text(files("quickstart.md")["main.py"], "utf-8")
    [beside] = blocks(QUICKSTART, "python")
    (folder / "beside.py").write_text(files("quickstart.md")["main.py"] + beside, "utf-8")
    return folder / "venv" / "bin"


def environment(**more: str) -> dict[str, str]:
    """What a shell of the reader's has: nothing of the tests' own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONWARNINGS": "error", **more}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["main", "beside"])
def test_what_it_answers(installed: Path, module: str) -> None:
    """The server's command of the page, on a free port, and what curl shows."""
    [line] = [line for line in commands("quickstart.md") if line.startswith("uvicorn ")]
    port = free_port()
    command = [installed / "uvicorn", f"{module}:app", "--port", str(port)]
    assert line == "uvicorn main:app"
    process = subprocess.Popen(
        command, cwd=installed.parents[1], env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: answer(port, "/legacy/") is not None or process.poll() is not None)
        lines = blocks(QUICKSTART, "console")[0].splitlines()
        pairs = list(zip(lines[::2], lines[1::2], strict=True))
        assert len(pairs) == 3
        for asked, expected in pairs[1:] if module == "beside" else pairs:
            path = asked.removeprefix("$ curl http://localhost:8000")
            assert answer(port, path) == expected.replace("8000", str(port))
    finally:
        process.terminate()
        output = process.communicate(timeout=30)[0]
    assert "Traceback" not in output


def answer(port: int, path: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=10) as response:
            return str(response.read().decode())
    except OSError:
        return None


@pytest.mark.slow
def test_the_command_line(installed: Path) -> None:
    """With the extra of the page's own line."""
    command, _, expected = blocks(QUICKSTART, "console")[1].partition("\n")
    run = subprocess.run(
        [installed / "mountkit", *command.split()[2:]],
        capture_output=True, text=True, cwd=installed.parents[1], check=False,
        env=environment(COLUMNS="80", NO_COLOR="1"),
    )  # fmt: skip
    assert run.stderr == ""
    assert [line.rstrip() for line in run.stdout.splitlines()] == expected.splitlines()
