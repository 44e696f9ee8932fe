"""The end of apps whose mount does not run their lifespan to its end, on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.servers import SERVERS, serve


@pytest.mark.parametrize("name", SERVERS)
def test_an_app_that_is_kept_and_ends(name: str, tmp_path: Path) -> None:
    """The server ends in good order."""
    record = tmp_path / "record"
    with serve(name, "tests.support.apps.exiting:calm", env={"TEST_RECORD": str(record)}) as server:
        status = server.stop()
        output = server.output
    assert record.read_text().split() == ["a", "up", "b", "up", "a", "down"]
    assert "Traceback" not in output
    assert status in (0, -15)


@pytest.mark.parametrize("name", SERVERS)
def test_an_app_that_ends_the_process(name: str, tmp_path: Path) -> None:
    """All others have stopped before."""
    record = tmp_path / "record"
    with serve(name, "tests.support.apps.exiting:app", env={"TEST_RECORD": str(record)}) as server:
        server.stop()
    assert record.read_text().split("\n")[:4] == [
        "a up",
        "c up",
        "c down",
        "a down",
    ]
