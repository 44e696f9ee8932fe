"""`${NAME}` in values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountkit.config.variables import Given, scalar_of

ENVIRON = {"NAME": "value", "EMPTY": "", "TOML": '"]\n[x]', "NESTED": "${NAME}"}


def filled(value: Any) -> Any:
    problems: list[Any] = []
    given = Given(value, ("key",), ENVIRON, lambda path, reason: problems.append((path, reason)))
    assert problems == []
    return given.value


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${NAME}", "avaluebvalue"),
        ("${MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${NAME:-default}", "value"),
        ("$${NAME}", "${NAME}"),
        ("$NAME $$ {NAME}", "$NAME $$ {NAME}"),
        ("${TOML}", '"]\n[x]'),
        ("${NESTED}", "${NAME}"),
    ],
)
def test_a_text(text: str, becomes: str) -> None:
    """As in a shell, but that a value is never read again."""
    assert filled(text) == becomes


def test_texts_in_tables_and_lists() -> None:
    """Keys and other values stay."""
    value = {"${NAME}": ["${NAME}", 1, True, {"a": "${NAME}"}]}
    assert filled(value) == {"${NAME}": ["value", 1, True, {"a": "value"}]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "${MISSING}",
            "The variable 'MISSING' is not set; set it, or write '${MISSING:-default}'.",
        ),
        (
            "${MISSING",
            "'${MISSING' has '${' without the name of a variable and '}'; write '${NAME}', or '$${' "
            "for the characters themselves.",
        ),
        (
            "${1}",
            "'${1}' has '${' without the name of a variable and '}'; write '${NAME}', or '$${' for "
            "the characters themselves.",
        ),
    ],
)
def test_a_text_that_cannot_be_used(text: str, says: str) -> None:
    """With the way to it."""
    found: list[Any] = []
    Given({"a": [text]}, ("key",), ENVIRON, lambda *problem: found.append(problem))
    assert found == [(("key", "a", 0), says)]


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        ("8000", 8000),
        ("-1", -1),
        (" 1.5 ", 1.5),
        ("1e5", None),
        ("1.5e3", 1500.0),
        ("true", True),
        ("false", False),
        ("yes", None),
        ("", None),
        ("9" * 101, None),
    ],
)
def test_a_number_or_truth_value_of_a_variable(text: str, is_: Any) -> None:
    """Where a key wants one."""
    assert scalar_of(text) == is_
    assert type(scalar_of(text)) is type(is_)


@given(st.text(alphabet="${}:-AB_1 \n") | st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    """Neither here nor as a number."""
    Given({"a": text}, (), {"A": "a", "B": text}, lambda *_: None)
    scalar_of(text)
