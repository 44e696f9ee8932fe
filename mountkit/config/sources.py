"""The texts of a site: the file, and those that it includes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from mountkit.config.problems import ConfigError, Problem, toml
from mountkit.config.variables import Given

#: The file that commands look for.
FILE = "mountkit.toml"
PYPROJECT = "pyproject.toml"


@dataclass(frozen=True)
class Source:
    """What a site is made from; it goes from process to process as JSON.

    Attributes:
        main: the path of the file, as it was named.
        texts: each file's text by its path; the main one first, then those that it includes.
    """

    main: str
    texts: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Source:
        """What `as_dict` gave."""
        return cls(value["main"], dict(value["texts"]))


def read_source(path: Path, environ: Mapping[str, str] = os.environ) -> Source:
    """Read a file and those that it includes, without a look at what they say.

    Args:
        path: of a `mountkit.toml`, or of a `pyproject.toml`.
        environ: for variables in `include`.

    Raises:
        ConfigError: a file cannot be read, or is not UTF-8.
    """
    texts = {str(path): _text(path)}
    for included in included_files(str(path), texts[str(path)], environ):
        texts[included] = _text(Path(included))
    return Source(str(path), texts)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as exc:
        message = f"The file cannot be read: {exc.strerror}; name another, or run mountkit init."
    except UnicodeDecodeError as exc:
        message = f"The file is not UTF-8 (byte {exc.start}); save it as UTF-8."
    raise ConfigError([Problem(str(path), 1, "", message)])


def included_files(main: str, text: str, environ: Mapping[str, str]) -> list[str]:
    """The files that a text includes and that are there, sorted; none if it cannot be read."""
    found: set[str] = set()
    for _, pattern in include_patterns(main, text, environ):
        folder = Path(main).parent
        if has_magic(pattern):
            found.update(str(one) for one in _globbed(folder, pattern) if one.is_file())
        elif (folder / pattern).is_file():
            found.add(str(folder / pattern))
    return sorted(found - {main})


def _globbed(folder: Path, pattern: str) -> Iterator[Path]:
    try:
        if Path(pattern).is_absolute():
            folder = Path(Path(pattern).anchor)
            pattern = str(Path(pattern).relative_to(folder))
        yield from folder.glob(pattern)
    except (ValueError, NotImplementedError, OSError):
        return


def include_patterns(
    main: str, text: str, environ: Mapping[str, str]
) -> list[tuple[tuple[int, ...], str]]:
    """What `include` says, with the numbers of items; nothing if it cannot be read."""
    try:
        table = table_of(main, tomllib.loads(text))
    except (ValueError, RecursionError):
        return []
    value = Given(table.get("include"), (), environ, lambda *_: None).value
    is_list = isinstance(value, list)
    items = [((at,), one) for at, one in enumerate(value)] if is_list else [((), value)]
    return [(at, one) for at, one in items if isinstance(one, str) and one and "\0" not in one]


def table_of(file: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The site's table: all of a file, or `[tool.mountkit]` of a `pyproject.toml`."""
    if Path(file).name != PYPROJECT:
        return dict(data)
    tool = data.get("tool")
    table = tool.get("mountkit") if isinstance(tool, dict) else None
    return dict(table) if isinstance(table, dict) else {}


def find_file(folder: Path) -> Path | None:
    """The file of a folder: `mountkit.toml`, else a `pyproject.toml` that has
    `[tool.mountkit]`."""
    if (folder / FILE).is_file():
        return folder / FILE
    try:
        data = tomllib.loads((folder / PYPROJECT).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return folder / PYPROJECT if table_of(PYPROJECT, data) else None


def is_file(target: str) -> bool:
    """Whether what a command was given is a site's file, not an app."""
    return target.endswith(".toml")


def source_of_app(target: str, *, is_factory: bool = False) -> Source:
    """A site of one app, which takes everything.

    Args:
        target: `module:attribute`.
        is_factory: call the attribute first.
    """
    factory = "factory = true\n" if is_factory else ""
    text = f'[[mount]]\npath = ""\nname = "app"\napp = {toml(target)}\n{factory}'
    return Source(f"<{target}>", {f"<{target}>": text})
