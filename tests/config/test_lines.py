"""Where each key of a TOML text stands."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mountkit.config.lines import Path, line_of, lines_of

TEXT = '''\
# a comment
top = 1   # 2

[server]  # 4
port = 8000
"quoted key" = { x = 1, "y z" = [
  1, # 7
  2,
] }
dotted.name = """
a [mount] = "in a text"
"""          # 12
'literal' = \'\'\'
x\'\'\'

[[mount]]
path = "/a" # 17
host = ["a", "b",
  "c"]
[mount.limits]
total = 1.5
[[mount.middleware]] # 22
class = "x"
[[ mount ]]
path = '/b'
"esc\\u0061ped" = true
when = 1979-05-27 07:32:00
[[mount.middleware]]
empty = {}
none = []
'''

LINES: dict[Path, int] = {
    ("top",): 2,
    ("server",): 4,
    ("server", "port"): 5,
    ("server", "quoted key"): 6,
    ("server", "quoted key", "x"): 6,
    ("server", "quoted key", "y z"): 6,
    ("server", "quoted key", "y z", 0): 7,
    ("server", "quoted key", "y z", 1): 8,
    ("server", "dotted"): 10,
    ("server", "dotted", "name"): 10,
    ("server", "literal"): 13,
    ("mount",): 16,
    ("mount", 0): 16,
    ("mount", 0, "path"): 17,
    ("mount", 0, "host", 2): 19,
    ("mount", 0, "limits"): 20,
    ("mount", 0, "limits", "total"): 21,
    ("mount", 0, "middleware", 0, "class"): 23,
    ("mount", 1): 24,
    ("mount", 1, "path"): 25,
    ("mount", 1, "escaped"): 26,
    ("mount", 1, "when"): 27,
    ("mount", 1, "middleware", 0): 28,
    ("mount", 1, "middleware", 0, "none"): 30,
}


@pytest.mark.parametrize("path", LINES, ids=str)
def test_the_line_of_a_key(path: Path) -> None:
    """Tables, items, dotted and quoted keys, and texts of several lines."""
    assert tomllib.loads(TEXT)
    assert lines_of(TEXT)[path] == LINES[path]


def test_a_key_that_is_not_there() -> None:
    """The line of what would hold it."""
    lines = lines_of(TEXT)
    assert line_of(lines, ("mount", 0, "limits", "response")) == 20
    assert line_of(lines, ("nothing",)) == 1


@pytest.mark.parametrize(
    "text",
    ["[", "[a", "a", "a =", "a = ]", "[[a]", '"\\q" = 1', "a = " + "[" * 5000, "a = { b", "= 1"],
)
def test_a_text_that_is_no_toml(text: str) -> None:
    """What was found until there."""
    assert isinstance(lines_of(text), dict)


def paths_of(value: Any, path: Path = ()) -> list[Path]:
    """All ways into a value."""
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            found += paths_of(inner, (*path, at))
    return found


PIECES = st.sampled_from(
    [*"[]{}=.,\"'#\n\\ ", "[[", "]]", '"""', "'''", "a", "b", "1", "\\u0061", "a = ", "é", "true"]
)


@given(st.lists(PIECES, max_size=40).map("".join))
@example("a = [[1], [{b = 2}]]\n[[c]]\n[c.d]\n[[c.d.e]]\n")
@example('a = """"\n""""\nb = 1')
@example("a = ''''x'''''\nb = 1")
@example('a = "\\""\nb = 1')
@example("[[a]]\n[[a.b]]\n[[a]]\n[[a.b]]\nc = 1")
def test_every_key_that_tomllib_reads_has_its_line(text: str) -> None:
    """And no text makes the scanner fail."""
    lines = lines_of(text)
    with suppress(ValueError):
        data = tomllib.loads(text)
        assert set(paths_of(data)) - {()} == set(lines)
        assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
