"""The texts of a site, before anybody looks at what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mountkit.config.problems import ConfigError
from mountkit.config.sources import Source, find_file, is_file, read_source, source_of_app
from tests.support.sites import config_of, write


def test_includes_are_sorted(folder: Path) -> None:
    """Each once, the main file first; a folder is none."""
    write(folder, {"sites/b.toml": "# b", "sites/a.toml": "# a", "x.toml": "# x"})
    (folder / "sites" / "c.toml").mkdir()
    text = 'include = ["x.toml", "sites/*.toml", "*.toml", "${MORE}/b.toml"]\n'
    (folder / "mountkit.toml").write_text(text)
    source = read_source(Path("mountkit.toml"), {"MORE": "sites"})
    assert list(source.texts) == ["mountkit.toml", "sites/a.toml", "sites/b.toml", "x.toml"]
    assert source.texts["sites/a.toml"] == "# a"


def test_a_source_as_json(folder: Path) -> None:
    """As it goes to other processes."""
    write(folder, {"mountkit.toml": "# é"})
    source = read_source(Path("mountkit.toml"))
    assert Source.from_dict(json.loads(json.dumps(source.as_dict()))) == source


@pytest.mark.parametrize(
    "text",
    [
        "include = 3",
        "include = [1, '']",
        "x =",
        "include = '/**x/../['",
        "include = 'a\\u0000'",
        'include = "\\u0000*"',
        "include = '**.toml'",
    ],
)
def test_includes_that_are_none(text: str, folder: Path) -> None:
    """They are left to the parser."""
    (folder / "mountkit.toml").write_text(text)
    assert list(read_source(Path("mountkit.toml")).texts) == ["mountkit.toml"]


def test_an_absolute_include(folder: Path) -> None:
    """With and without a glob."""
    write(folder, {"sites/a.toml": "", "other/b.toml": ""})
    text = f"include = ['{folder}/sites/*.toml', '{folder}/other/b.toml']"
    (folder / "mountkit.toml").write_text(text)
    names = [f"{folder}/other/b.toml", f"{folder}/sites/a.toml"]
    assert list(read_source(Path("mountkit.toml")).texts) == ["mountkit.toml", *names]


def test_a_file_that_is_not_there(folder: Path) -> None:
    """The reason of the system."""
    with pytest.raises(ConfigError) as caught:
        read_source(Path("nope.toml"))
    assert str(caught.value) == (
        "nope.toml:1: The file cannot be read: No such file or directory; name another, or run "
        "mountkit init."
    )


def test_a_file_that_is_not_utf_8(folder: Path) -> None:
    """The first byte that is wrong. A mark of the byte order is none of the text."""
    (folder / "mountkit.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError) as caught:
        read_source(Path("mountkit.toml"))
    assert str(caught.value) == (
        "mountkit.toml:1: The file is not UTF-8 (byte 2); save it as UTF-8."
    )
    (folder / "mountkit.toml").write_bytes(b"\xef\xbb\xbf# a")
    assert read_source(Path("mountkit.toml")).texts["mountkit.toml"] == "# a"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"mountkit.toml": ""}, "mountkit.toml"),
        ({"mountkit.toml": "", "pyproject.toml": "[tool.mountkit.server]"}, "mountkit.toml"),
        ({"pyproject.toml": "[tool.mountkit.server]\nport = 1"}, "pyproject.toml"),
        ({"pyproject.toml": "[tool.other]"}, None),
        ({"pyproject.toml": "tool = 1"}, None),
        ({"pyproject.toml": "x ="}, None),
    ],
)
def test_the_file_of_a_folder(files: dict[str, str], found: str | None, folder: Path) -> None:
    """`mountkit.toml`, or a `pyproject.toml` that has the table."""
    write(folder, files)
    assert find_file(Path()) == (None if found is None else Path(found))


def test_a_pyproject_without_the_table(folder: Path) -> None:
    """It is named, so the table is missed."""
    (folder / "pyproject.toml").write_text("[project]\n")
    from mountkit.config.parsing import parse

    with pytest.raises(ConfigError) as caught:
        parse(read_source(Path("pyproject.toml")))
    assert str(caught.value) == (
        "pyproject.toml:1: [tool.mountkit] is missing or empty; write the site's tables in it."
    )


def test_what_is_to_be_watched(folder: Path) -> None:
    """The folders of the files, and those in which more may appear."""
    write(folder, {"sites/a/b.toml": "", "other/c.toml": "", "empty/d.txt": ""})
    text = "include = ['sites/*/*.toml', 'other/c.toml', 'empty/*.toml', 'nope/*.toml']"
    config = config_of(Path(), text)
    assert list(map(str, config.files)) == ["mountkit.toml", "other/c.toml", "sites/a/b.toml"]
    assert set(map(str, config.folders)) == {".", "other", "sites/a", "sites", "empty"}


def test_a_name_is_a_file_or_an_app() -> None:
    """By its ending."""
    assert is_file("sites/a.toml")
    assert not is_file("main:app")


def test_the_source_of_an_app() -> None:
    """Whatever its name holds."""
    source = source_of_app('a"b\x7f:app', is_factory=True)
    assert "factory = true" in source.texts[source.main]
