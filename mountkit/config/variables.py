"""Environment variables in the values of a file: `${NAME}`, `${NAME:-default}`, `$${` for `${`.

They are put in after the TOML is read, so that no value of a variable can be read as TOML. A
default stands for a variable that is not set or empty, as in a shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mountkit.config.lines import Path

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
_SCALAR = re.compile(r"([+-]?\d+)|([+-]?\d+\.\d*(?:[eE][+-]?\d+)?)|true|false")
_LONGEST = 100  # digits of a number


class Given:
    """The values of a table, with those of variables put in.

    Args:
        value: of TOML.
        path: where it stands.
        environ: the variables.
        refuse: is called for each text that cannot be used, with its path and the reason.

    Attributes:
        value: what it is now.
        raw: of each text that held variables, what it and they are now, and how they are written.
    """

    def __init__(
        self,
        value: Any,
        path: Path,
        environ: Mapping[str, str],
        refuse: Callable[[Path, str], None],
    ) -> None:
        self.raw: dict[Path, list[tuple[str, str]]] = {}
        self._environ = environ
        self._refuse = refuse
        self.value: Any = self._filled(value, path)

    def _filled(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner, (*path, at)) for at, inner in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        missing: list[str] = []
        pairs: list[tuple[str, str]] = []

        def fill(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            found = self._environ.get(match[1] or "", "")
            if match[1] is None or (match[2] is None and match[1] not in self._environ):
                missing.append(match[1] or "")
            pairs.append((found, f"${{{match[1]}}}"))
            return found or match[2] or ""

        filled = _VARIABLE.sub(fill, value)
        if missing:
            name = missing[0]
            reason = f"The variable {name!r} is not set; set it, or write '${{{name}:-default}}'."
            if not name:
                reason = (
                    f"{value!r} has '${{' without the name of a variable and '}}'; write "
                    "'${NAME}', or '$${' for the characters themselves."
                )
            self._refuse(path, reason)
        self.raw[path] = [(filled, value), *pairs]
        return filled


def scalar_of(text: str) -> bool | int | float | None:
    """The number or the truth value that a variable holds, where a key wants one."""
    match = _SCALAR.fullmatch(text.strip())
    if match is None or len(text) > _LONGEST:
        return None
    if match[1]:
        return int(match[1])
    return float(match[2]) if match[2] else match[0] == "true"
