"""How the tests themselves are laid out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))


def imports(text: str) -> Iterator[str]:
    """The dotted names that a module imports, names of modules in packages included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


@cache
def imports_of(module: str) -> list[str]:
    return [*imports((TESTS / module).read_text("utf-8"))]


def is_a_test(name: str) -> bool:
    """Whether a name is that of a test module, of one of its names, or relative."""
    return name.startswith(("test_", ".")) or (name.startswith("tests.") and ".test_" in name)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_a_test(module: str) -> None:
    """What tests share is in `tests/support`, or in a module of their folder that is not a test."""
    assert [name for name in imports_of(module) if is_a_test(name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_servers_are_started_in_their_folders(module: str) -> None:
    """`scripts/test --quick` leaves those folders out."""
    if module.startswith(("servers/", "examples/", "matrix/", "support/")):
        return
    starters = ("tests.support.servers.", "tests.support.saas.", "tests.support.postgresql.")
    assert [name for name in imports_of(module) if f"{name}.".startswith(starters)] == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.serving.test_mounts import site",
        "from tests.serving import test_mounts",
        "import tests.serving.test_mounts",
        "import test_mounts",
        "from .test_mounts import site",
        "def later():\n    from tests.test_urls import site",
    ],
)
def test_an_import_of_a_test_is_found(line: str) -> None:
    """However it is written."""
    assert any(map(is_a_test, imports(line)))
