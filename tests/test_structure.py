"""The plan of the package: sizes, what each package says of itself, and how names are loaded.

The direction of imports is checked by import-linter: see `scripts/lint` and `pyproject.toml`.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import mountkit

PACKAGE = Path(mountkit.__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = [name for name in MODULES if name.endswith("/__init__.py")]
every_module = pytest.mark.parametrize("module", MODULES)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def lines_of(node: Function) -> int:
    """From `def` to the last line, less the docstring."""
    assert node.end_lineno is not None
    total = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        assert docstring.end_lineno is not None
        total -= docstring.end_lineno - docstring.lineno + 1
    return total


@every_module
def test_a_module_has_at_most_420_lines(module: str) -> None:
    """What is longer has several concerns."""
    assert len(MODULES[module].read_text("utf-8").splitlines()) <= 420


@every_module
def test_a_function_has_at_most_45_lines(module: str) -> None:
    """So that it is read at one glance."""
    functions = [node for node in ast.walk(tree_of(module)) if isinstance(node, Function)]
    found = {f"{node.name} (line {node.lineno})": lines_of(node) for node in functions}
    assert {name: lines for name, lines in found.items() if lines > 45} == {}


def test_the_package_does_not_grow() -> None:
    """More than for what it is given to do: raise this by what a new feature needs, and no more."""
    sizes = [len(path.read_text("utf-8").splitlines()) for path in MODULES.values()]
    assert sum(sizes) <= 26_300


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_may_import(package: str) -> None:
    """And how to add to it, in the first lines that a reader sees."""
    docstring = " ".join((ast.get_docstring(tree_of(package)) or "").split())
    assert "import" in docstring.lower()
    assert "add" in docstring.lower()


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_every_public_name_is_there() -> None:
    """By attribute, in `dir`, and with a star."""
    missing = [name for name in mountkit.__all__ if not hasattr(mountkit, name)]
    assert missing == []
    assert set(mountkit.__all__) <= set(dir(mountkit))
    assert mountkit.__all__ == sorted(mountkit.__all__)
    shown = run(
        "import mountkit\nfrom mountkit import *\nprint(all(n in globals() for n in mountkit.__all__))"
    )
    assert shown == "True\n"


def test_type_checkers_see_what_is_loaded_later() -> None:
    """The imports for them name the same modules."""
    [block] = [
        node
        for node in tree_of("__init__.py").body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    ]
    seen = {
        alias.name: str(node.module).removeprefix("mountkit.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == mountkit._MODULES


def test_rarely_used_names_are_loaded_on_first_use() -> None:
    """`import mountkit` loads none of their modules that the others do not need."""
    code = "import sys, mountkit\nprint([m for m in {!r} if m in sys.modules])"
    names = [
        "inspection",
        "openapi",
        "tenants",
        "urls",
        "cli",
        "serving.splits",
        "proxy",
        "processes",
    ]
    modules = [f"mountkit.{name}" for name in names]
    assert run(code.format(modules)) == "[]\n"
    assert run("import mountkit\nprint('explain' in dir(mountkit))") == "True\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match=r"^module 'mountkit' has no attribute 'mount'$"):
        mountkit.mount  # type: ignore[attr-defined]  # noqa: B018


def test_names_that_are_loaded_later_are_like_others() -> None:
    """They are kept, pickled by their own modules, and shown with their sources."""
    assert mountkit.explain is mountkit.explain
    assert pickle.loads(pickle.dumps(mountkit.OpenAPI)) is mountkit.OpenAPI
    assert "def explain(" in inspect.getsource(mountkit.explain)
    assert inspect.getmodule(mountkit) is mountkit
