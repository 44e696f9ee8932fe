"""Two apps whose requirements clash stand in one site: real ones, each in its environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mountkit import Dispatcher, Mount, Process, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: Flask 2.2 fails with Werkzeug 3, which Flask 3.1 requires: no environment holds both.
REQUIREMENTS = {
    "old": ["flask==2.2.5", "werkzeug==2.2.3"],
    "new": ["flask==3.1.0", "werkzeug==3.1.3"],
}
APP = """
from importlib.metadata import version

from flask import Flask, request, url_for

app = Flask(__name__)


@app.get("/versions")
def versions():
    names = ("flask", "werkzeug")
    return {name: version(name) for name in names} | {"url": url_for("versions")}


@app.post("/echo")
def echo():
    return request.get_data()
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, and an environment for each of its requirements."""
    folder = tmp_path_factory.mktemp("environments")
    (folder / "main.py").write_text(APP)
    for name, requirements in REQUIREMENTS.items():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        python = folder / name / "bin" / "python"
        command = [python, "-m", "pip", "install", "-q", "gunicorn", *requirements]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        if "Failed to establish a new connection" in done.stderr:
            pytest.skip("PyPI cannot be reached.")
        assert not done.returncode, done.stderr
    return folder


async def test_two_versions_of_a_framework_in_one_site(folder: Path) -> None:
    """Each app has its own, the URLs of its own prefix, and mountkit is in neither."""
    mounts = [
        Mount(f"/{name}", Process(app="main:app", python=folder / name, cwd=folder))
        for name in REQUIREMENTS
    ]
    async with running(Dispatcher(mounts)) as site:
        transport = httpx.ASGITransport(site)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.example") as client:
            for name, requirements in REQUIREMENTS.items():
                expected = dict(one.split("==") for one in requirements)
                found = (await client.get(f"/{name}/versions")).json()
                assert found == {**expected, "url": f"/{name}/versions"}
                body = b"x" * 1_000_000
                assert (await client.post(f"/{name}/echo", content=body)).content == body
