"""The example for production: what its unit, Dockerfile and compose file say is run."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from mountkit.config.parsing import parse
from mountkit.config.sources import read_source
from tests.support.serving import Site, serve
from tests.support.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples/production"
#: On ports that are free, whatever else runs here.
FREE = {"PORT": "0", "STATUS": "127.0.0.1:0"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "site", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


@pytest.fixture
def unit() -> configparser.SectionProxy:
    """`[Service]` of the unit, in which no key comes twice."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(EXAMPLE / "site.service", encoding="utf-8")
    return parser["Service"]


def dockerfile(instruction: str) -> list[str]:
    """What follows an instruction, each time that it comes."""
    text = (EXAMPLE / "Dockerfile").read_text(encoding="utf-8")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def run(command: list[str], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    root = str(EXAMPLE.parents[1])
    env = {**os.environ, **FREE, "PYTHONPATH": root, **environ}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def here(command: list[str]) -> list[str]:
    """A command line of the example, with the interpreter that runs the tests."""
    program, *rest = command
    assert Path(program).name in ("mountkit", "python")
    module = ["-m", "mountkit"] if Path(program).name == "mountkit" else []
    return [sys.executable, *module, *rest]


@contextmanager
def served(folder: Path, command: list[str], **environ: str) -> Iterator[Site]:
    """What a command line of the example serves."""
    _, *program = here(command)
    with serve(folder, program=program, env={**FREE, **environ}) as site:
        yield site


def check_answers(site: Site) -> None:
    assert site.get("/").text.endswith("<h1>The shop</h1>")
    assert site.get("/api/items/anvil").json() == {"name": "anvil"}
    assert site.get("/assets/site.css").text.startswith("h1")
    assert site.get("/readyz").status_code == 200
    moved = site.get("/old-api/items/anvil?all=1")
    assert (moved.status_code, moved.headers["location"]) == (308, "/api/items/anvil?all=1")
    metrics = httpx.get(f"{site.page}/metrics", timeout=30).text
    assert 'http_server_request_duration_seconds_count{http_request_method="GET"' in metrics
    assert 'mount="/api"' in metrics


def test_the_unit_is_valid(folder: Path, tmp_path: Path) -> None:
    """To systemd itself."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    program = folder / ".venv/bin/mountkit"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    text = (EXAMPLE / "site.service").read_text(encoding="utf-8")
    (tmp_path / "site.service").write_text(text.replace("/srv/site", str(folder)), "utf-8")
    found = run([tool, "verify", "--man=no", str(tmp_path / "site.service")], folder)
    own = [line for line in found.stderr.splitlines() if "site.service" in line]
    assert (found.returncode, own) == (0, [])


@pytest.mark.slow
def test_as_systemd_runs_it(folder: Path, unit: configparser.SectionProxy, tmp_path: Path) -> None:
    """It says when it is ready, before and after a reload; the old workers end when new ones serve
    new code; it ends well within the time that systemd waits."""
    before = run(here(shlex.split(unit["ExecStartPre"])), folder)
    assert (before.returncode, before.stderr) == (0, "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        command = shlex.split(unit["ExecStart"])
        with served(folder, command, NOTIFY_SOCKET=str(tmp_path / "notify")) as site:
            assert systemd.recv(100) == b"READY=1"
            check_answers(site)
            text = (folder / "mountkit.toml").read_text(encoding="utf-8")
            site.write(text.replace('path = "/api"', 'path = "/v2"'))
            reload = unit["ExecReload"].replace("$MAINPID", str(site.pid))
            assert subprocess.run(shlex.split(reload), check=True).returncode == 0
            assert systemd.recv(100).startswith(b"RELOADING=1\n")
            assert systemd.recv(100) == b"READY=1"
            assert site.get("/v2/items/anvil").json() == {"name": "anvil"}
            old = site.workers
            site.send(signal.SIGUSR2)
            wait_until(lambda: len(site.workers) == 2 and not {*old} & {*site.workers})
            assert site.end() == 0
    config = parse(read_source(EXAMPLE / "mountkit.toml"))
    assert config.server.grace < float(unit["TimeoutStopSec"])


@pytest.mark.slow
def test_as_docker_runs_it(folder: Path) -> None:
    """The command of the build, that of the container, and the health check."""
    (_, check) = [one for one in dockerfile("RUN") if "mountkit" in one or "pip" in one]
    found = run(here(shlex.split(check)), folder)
    assert (found.returncode, found.stderr) == (0, "")
    (environment,) = dockerfile("ENV")
    environ = dict(one.split("=", 1) for one in shlex.split(environment))
    (command,) = dockerfile("CMD")
    with served(folder, json.loads(command), **environ, WORKERS="1") as site:
        line = site.output.splitlines()[0]
        assert json.loads(line)["level"]  # LOG_FORMAT
        check_answers(site)
        (health,) = dockerfile("HEALTHCHECK CMD")
        asks = here(json.loads(health.replace(":8000", f":{site.port}")))
        assert run(asks, folder).returncode == 0
        assert site.end() == 0
    assert run(asks, folder).returncode == 1


def test_the_compose_file() -> None:
    """It builds this folder, and waits longer than the grace of the file."""
    text = (EXAMPLE / "compose.yaml").read_text(encoding="utf-8")
    service = yaml.safe_load(text)["services"]["site"]
    config = parse(read_source(EXAMPLE / "mountkit.toml"))
    assert service["build"] == "."
    assert service["ports"] == [f"8000:{config.server.port}"]
    assert config.server.grace < float(service["stop_grace_period"].removesuffix("s"))
    (target,) = (one.split(":")[1] for one in service["volumes"])
    (place,) = dockerfile("WORKDIR")
    assert target == f"{place}/mountkit.toml"


def test_what_docker_installs() -> None:
    """The extras that the file needs, and the frameworks of its apps."""
    found = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").split()
    assert found == ["mountkit[metrics,serve]", "fastapi", "flask"]
