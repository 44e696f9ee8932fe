"""The checks of one app, place and way go to one worker, which has its server."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByCase(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            case = nodeid.partition("[")[2].rstrip("]")
            return "-".join(case.split("-")[:3])

    return ByCase(config, log)
