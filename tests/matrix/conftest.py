"""The checks of one app, place and way go to one worker, which has its server; and what came of
them goes to a file, if `--matrix-figures` says which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", action="store_true", help="run the matrix, as scripts/matrix does")
    parser.addoption("--matrix-figures", help="write what was checked to this file")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--matrix-figures") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(config))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The ordinary run has the recipes and the table, but starts no hundreds of servers."""
    is_matrix = collection_path.name == "test_matrix.py"
    return True if is_matrix and not config.getoption("--matrix", False) else None


class _Recorder:
    """Takes down how each check has ended, from all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.path = Path(config.getoption("--matrix-figures"))
        self.results: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "test_matrix.py::" not in report.nodeid:
            return
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "unlike"
        if report.when == "call" or outcome != "passed":
            self.results[report.nodeid.partition("::")[2]] = outcome

    def pytest_sessionfinish(self) -> None:
        figures = table.figures(self.results)
        self.path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByCase(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            case = nodeid.partition("[")[2].rstrip("]")
            return "-".join(case.split("-")[:3])

    return ByCase(config, log)
