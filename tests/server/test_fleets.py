"""The workers of a site, without their processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mountkit.config.models import ServerConfig
from mountkit.config.sources import Source
from mountkit.server.fleets import Fleet
from mountkit.server.jobs import Job
from mountkit.server.processes import Process

_CLOSED = 5000
JOB = Job(Source("mountkit.toml", {"mountkit.toml": ""}))


async def nothing(kind: str, values: dict[str, Any]) -> None:
    """No answer to anything."""


class Slow(Fleet):
    """Its workers come up when the site has changed, or the place is another's."""

    def __init__(self, what: str) -> None:
        super().__init__(JOB, ServerConfig(), [], nothing, lambda snapshot: None)
        self.what = what
        self.retired: list[Process] = []

    def new(self) -> Process:
        return Process(JOB, 1, [_CLOSED], nothing, lambda snapshot: None, asyncio.Lock())

    async def _started(self, job: Job, fds: Sequence[int], numbers: Any) -> dict[int, Process]:
        if self.what == "site":
            self.job = replace(JOB, generation=2)
        self._workers.clear()
        return {1: self.new()}

    def _retire(self, process: Process) -> None:
        self.retired.append(process)


@pytest.mark.parametrize("what", ["site", "place"])
def test_a_worker_that_is_up_too_late_is_stopped(what: str) -> None:
    """It does not take the place of one that serves something newer."""

    async def run() -> None:
        fleet = Slow(what)
        old = fleet.new()
        fleet._workers[1] = old
        await fleet._refill(1, old, 0)
        (late,) = fleet.retired
        assert fleet._workers == {}
        await asyncio.wait([old.ended, late.ended])

    asyncio.run(run())
