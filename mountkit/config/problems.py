"""What is wrong with a file, all of it at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mountkit.exceptions import MountkitError

_LONGEST = 60  # characters of a value that a message shows
_MOST = 12  # names of keys


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: as it was named.
        line: from 1.
        key: the path of the key, `mount[2].limits.total`; `""` for the file.
        message: value, reason, fix.
    """

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ConfigError(MountkitError):
    """A file cannot be served: all that is wrong with it, in the order of files and lines.

    `str()` has a line for each problem, `file:line: message`.

    Attributes:
        problems: what is wrong.
        traceback: of what code of the user's has raised, with the user's frames alone; or `""`.
    """

    def __init__(self, problems: Iterable[Problem], traceback: str = "") -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.traceback: str = traceback
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> Any:
        return (type(self), (self.problems, self.traceback))


def toml(value: Any, *, longest: int | None = None) -> str:
    """A value as TOML writes it.

    Args:
        longest: characters, beyond which it is cut.
    """
    if isinstance(value, str) and '"' in value and "'" not in value and value.isprintable():
        text = f"'{value}'"
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list):
        text = f"[{', '.join(map(toml, value))}]"
    elif isinstance(value, dict):
        pairs = ", ".join(f"{_key(name)} = {toml(inner)}" for name, inner in value.items())
        text = f"{{ {pairs} }}" if pairs else "{}"
    else:  # numbers and dates
        text = str(value)
    if longest is not None and len(text) > longest:
        return f"{text[: longest - 1]}…"
    return text


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if is_bare else toml(name)


def shown_value(value: Any) -> str:
    """A value for messages."""
    return toml(value, longest=_LONGEST)


def without(message: str, value: str, raw: str) -> str:
    """A message with what is written in place of a value, also where its end was cut off."""
    *cut, last = message.replace(value, raw).split("…")
    for number, part in enumerate(cut):
        sizes = range(min(len(value), len(part)), 1, -1)
        size = next((size for size in sizes if part.endswith(value[:size])), 0)
        if size:
            cut[number] = part[:-size] + raw
    return "…".join([*cut, last])


def key_of(path: tuple[Any, ...]) -> str:
    """A path as messages have it: `mount[2].limits.total`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def near(name: str, known: Iterable[str]) -> str:
    """What to write in place of a key that is not known."""
    names = sorted(known)
    if len(names) > _MOST:
        others = "leave it out, or write one of those that 'mountkit schema' prints"
    else:
        others = f"those known are {', '.join(names)}"
    found = get_close_matches(name.lower().replace("-", "_"), names, 1, 0.6)
    return f"write {found[0]!r}" if found else others


def error_of(problems: Iterable[Problem], files: Iterable[str], traceback: str = "") -> ConfigError:
    """An error with all problems, in the order of files and lines.

    Args:
        files: in their order.
    """
    order = list(files)
    problems = sorted(problems, key=lambda one: (order.index(one.file), one.line))
    return ConfigError(dict.fromkeys(problems), traceback)
