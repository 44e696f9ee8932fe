"""How the scripts set themselves up: `scripts/_venv`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

SCRIPT = Path(__file__).parents[2] / "scripts" / "_venv"
#: A project that builds without anything from elsewhere, with a command.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "small"
version = "1"

[dependency-groups]
some = []
"""
BACKEND = """
import zipfile


def build_editable(folder, config_settings=None, metadata_directory=None):
    files = {
        "small.py": "def main() -> None:\\n    print('small')\\n",
        "small-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n",
        "small-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "small-1.dist-info/entry_points.txt": "[console_scripts]\\nsmall = small:main\\n",
    }
    record = "".join(f"{name},,\\n" for name in [*files, "small-1.dist-info/RECORD"])
    with zipfile.ZipFile(f"{folder}/small-1-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, "small-1.dist-info/RECORD": record}.items():
            wheel.writestr(name, text)
    return "small-1-py3-none-any.whl"
"""
RUN = 'set -euo pipefail; . ./_venv x some; exec "$python" -c "print(1)"'


class Checkout:
    """A folder with the script, and what it makes there."""

    def __init__(self, folder: Path, path: str) -> None:
        self.folder = folder
        self.venv = folder / ".venv-x"
        self.part = folder / ".venv-x.part"
        self.environ = {**os.environ, "PYTHON": sys.executable, "PATH": path}
        shutil.copy(SCRIPT, folder)
        (folder / "pyproject.toml").write_text(PYPROJECT, "utf-8")
        (folder / "backend.py").write_text(BACKEND, "utf-8")

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", RUN], cwd=self.folder, env=self.environ, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def cut(self, is_time: Callable[[], bool], number: signal.Signals) -> int:
        """Start it, and stop all of its processes at a moment, as a terminal does."""
        with self.start() as process:
            wait_until(lambda: is_time() or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            os.killpg(process.pid, number)
            process.communicate(timeout=60)
        return process.returncode

    def run(self) -> str:
        """Run it to its end.

        Returns:
            What it says about itself.
        """
        with self.start() as process:
            shown, said = process.communicate(timeout=300)
        assert (process.returncode, shown) == (0, "1\n"), said
        return said

    def check(self) -> None:
        """All of it is there, its commands too, and nothing else."""
        small = subprocess.run(
            [self.venv / "bin/small"], capture_output=True, text=True, check=True
        )
        assert small.stdout == "small\n"
        assert not self.part.exists()
        for path in (self.venv / "bin").iterdir():
            assert path.is_dir() or b".venv-x.part" not in path.read_bytes(), path


@pytest.fixture(params=["pip", "uv"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Checkout:
    """With uv, and without it."""
    folders = os.environ["PATH"].split(os.pathsep)
    if request.param == "pip":
        folders = [folder for folder in folders if not Path(folder, "uv").exists()]
    elif shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    return Checkout(tmp_path, os.pathsep.join(folders))


@pytest.mark.slow
def test_what_is_cut_is_made_by_the_next_run(checkout: Checkout) -> None:
    """At whatever moment, politely or not; nothing half-made gets its name."""
    part = checkout.part
    moments = (
        (part.exists, signal.SIGINT),
        ((part / "bin/python").exists, signal.SIGKILL),
        ((part / "bin/python").exists, signal.SIGINT),
        (lambda: any(part.glob("lib/*/site-packages/*")), signal.SIGKILL),
    )
    for is_time, number in moments:
        shutil.rmtree(part, ignore_errors=True)
        assert checkout.cut(is_time, number) in (-number, 128 + number)
        assert not checkout.venv.exists()
    said = checkout.run()
    assert "Setting up .venv-x" in said
    assert " packages in " in said
    checkout.check()
    assert checkout.run() == ""  # it is there


@pytest.mark.slow
def test_a_change_that_is_cut_is_made_by_the_next_run(checkout: Checkout) -> None:
    """What was there before it is not taken for what is wanted now."""
    checkout.run()
    project = checkout.folder / "pyproject.toml"
    project.write_text(PYPROJECT.replace('version = "1"', 'version = "1"\ndescription = "x"'))
    stamp = checkout.venv / ".made-from"
    checkout.cut(lambda: not stamp.exists(), signal.SIGKILL)
    assert "Setting up .venv-x" in checkout.run()
    checkout.check()
    assert checkout.run() == ""
