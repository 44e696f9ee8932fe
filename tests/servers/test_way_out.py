"""The page that takes a site from one process to many: each of its commands is run, and all sizes
answer alike."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import run
from tests.support.pages import DOCS, files
from tests.support.routers import executable, free_port, running
from tests.support.scaling import FOLDER, answers
from tests.support.serving import serve

pytestmark = pytest.mark.slow

PAGE = "way-out.md"
TEXT = (DOCS / PAGE).read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", TEXT, re.MULTILINE))
NAMES = ("shop", "legacy", "rest")
_SERVE = ("mountkit", "serve")


def commands(section: str) -> list[list[str]]:
    """Those of the blocks of a section."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With the site; its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="mountkit-") as name:
        site = Path(name) / "site"
        shutil.copytree(FOLDER, site, ignore=shutil.ignore_patterns("__pycache__", "__*"))
        yield site


def serve_all(stack: ExitStack, folder: Path, found: Sequence[Sequence[str]], *more: str) -> int:
    """Run commands that serve; the port of the last one."""
    for program, command, *arguments in found:
        assert (program, command) == _SERVE
        is_on_port = "--unix-socket" not in arguments
        port = ["--port", "0"] if is_on_port else []
        site = stack.enter_context(serve(folder, None, *arguments, *port, *more))
    return site.port


@pytest.fixture(scope="module")
def whole(folder: Path) -> Iterator[dict[str, Any]]:
    """The answers of one process."""
    with ExitStack() as stack:
        yield answers(serve_all(stack, folder, commands("One process")))


def test_the_file_is_that_of_the_example() -> None:
    """But for its first lines."""
    assert (FOLDER / "mountkit.toml").read_text("utf-8").endswith(files(PAGE)["mountkit.toml"])


def test_several_processes(folder: Path, whole: dict[str, Any]) -> None:
    """On unix sockets."""
    found = [
        [word.replace("/run/site", str(folder)) for word in command]
        for command in commands("Several processes on one machine")
    ]
    with ExitStack() as stack:
        assert answers(serve_all(stack, folder, found)) == whole


def test_an_app_in_an_environment_of_its_own(folder: Path, whole: dict[str, Any]) -> None:
    """A child process, with the block of the page in the place of the mount."""
    [block] = re.findall(
        r"^```toml\n(.*?)^```$", SECTIONS["Several processes on one machine"], re.M | re.S
    )
    text = (folder / "mountkit.toml").read_text("utf-8")
    old = re.search(r'\[\[mount\]\]\npath = "/legacy"\n.*\n', text)
    assert old is not None
    (folder / "own.toml").write_text(text.replace(old[0], block), "utf-8")
    (folder / "legacy-venv").symlink_to(sys.prefix)
    with ExitStack() as stack:
        assert answers(serve_all(stack, folder, [[*_SERVE, "own.toml"]])) == whole


def test_several_machines(folder: Path, whole: dict[str, Any]) -> None:
    """Behind nginx, on ports of this machine."""
    if executable("nginx") is None:
        pytest.skip("nginx is not installed")
    exporting, *serving = commands("Several machines")
    with ExitStack() as stack:
        for name, (trusted, *command) in zip(NAMES, serving, strict=True):
            variable, _, router = trusted.partition("=")
            assert (variable, router) == ("TRUSTED", "10.0.0.9")
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("TRUSTED", "127.0.0.1")
            own = [word.replace("0.0.0.0", "127.0.0.1") for word in command]
            port = serve_all(stack, folder, [own])
            exporting = [word.replace(f"{name}:8000", f"127.0.0.1:{port}") for word in exporting]
        listen = free_port()
        program, *arguments, arrow, _ = [
            word.replace(":8000", f"127.0.0.1:{listen}") for word in exporting
        ]
        assert (program, arrow) == ("mountkit", ">")
        exported = run(folder, *arguments)
        assert (exported.returncode, exported.stderr) == (0, "")
        stack.enter_context(running("nginx", exported.stdout, listen, folder))
        assert answers(listen) == whole


def test_kubernetes(folder: Path) -> None:
    """The routes lead to the services of the parts, which are served as on machines."""
    [[program, *arguments, _, _]] = commands("Kubernetes")
    assert program == "mountkit"
    exported = run(folder, *arguments)
    assert (exported.returncode, exported.stderr) == (0, "")
    rules = {
        (*route["spec"].get("hostnames", ()), rule["matches"][0]["path"]["value"]): rule
        for route in yaml.safe_load_all(exported.stdout)
        if route
        for rule in route["spec"]["rules"]
    }
    assert {where: rule["backendRefs"] for where, rule in rules.items()} == {
        ("/shop/checkout",): [{"name": "rest", "port": 8000}],
        ("/shop",): [{"name": "shop", "port": 8000}],
        ("/legacy",): [{"name": "legacy", "port": 8000}],
        ("/readyz",): [{"name": "rest", "port": 8000}],
        ("/",): [{"name": "rest", "port": 8000}],
        ("*.example.com", "/"): [{"name": "rest", "port": 8000}],
    }
    deployment, service = yaml.safe_load_all(files(PAGE)["shop.yaml"])
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == commands("Several machines")[1][1:]
    assert container["env"][0]["name"] == "TRUSTED"
    assert (service["metadata"]["name"], service["spec"]["ports"]) == ("shop", [{"port": 8000}])


def test_all_commands_are_run() -> None:
    """By the tests above, and those of the example by its own."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    found = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    examples = [line for line in found if "examples.scaling" in line]
    known = [line for section in SECTIONS for line in commands(section)]
    assert len(found) == len(known) + len(examples)
    assert [line.split()[4] for line in examples] == ["one", "processes", "machines"]
