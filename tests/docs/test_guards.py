"""The files of the page on guards: each runs alone, and what it asserts is true."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.support.pages import files, write_files

PAGE = "guards.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(PAGE, tmp_path_factory.mktemp("guards"))


@pytest.mark.parametrize("name", files(PAGE))
def test_file(folder: Path, name: str) -> None:
    assert "app" in runpy.run_path(str(folder / name))
