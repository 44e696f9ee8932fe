"""The table in the docs, and what it is made of."""

from __future__ import annotations

import json

import pytest

from tests.matrix import table
from tests.matrix.facts import Facts
from tests.matrix.frameworks import FRAMEWORKS
from tests.matrix.places import PLACES
from tests.matrix.recipes import recipes


def test_table_is_that_of_the_run() -> None:
    """The page shows what the last run has written down."""
    found = json.loads(table.FIGURES.read_text(encoding="utf-8"))
    assert table.table(found) in table.PAGE.read_text(encoding="utf-8")


def test_run_was_complete() -> None:
    """It had every framework installed, and nothing failed or was skipped."""
    found = json.loads(table.FIGURES.read_text(encoding="utf-8"))["frameworks"]
    assert list(found) == list(FRAMEWORKS)
    for entry in found.values():
        for counts in entry["checks"].values():
            assert set(counts) <= {"passed", "unlike"}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_exceptions_are_of_checks_that_are_made(name: str) -> None:
    """A reason stands for a check and a place that there are."""
    facts: Facts = FRAMEWORKS[name]
    for check, place in facts.unlike:
        assert check in facts.checks
        assert place == "*" or place in PLACES


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_framework_has_a_recipe(name: str) -> None:
    """In a section that is called like it, or like the one that it belongs to."""
    titles = [title for title, _, _ in recipes()]
    assert FRAMEWORKS[name].recipe in titles
