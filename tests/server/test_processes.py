"""Workers, as the parent sees them."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import pytest

from mountkit.config.sources import Source
from mountkit.server.failures import WorkerError
from mountkit.server.jobs import Job
from mountkit.server.processes import Process, how

_CLOSED = 5000
JOB = Job(Source("mountkit.toml", {"mountkit.toml": ""}), 3, {"port": 1}, "9000", True)


async def nothing(kind: str, values: dict[str, Any]) -> None:
    """No answer to anything."""


def test_a_job_goes_from_process_to_process() -> None:
    """As JSON."""
    assert Job.from_json(JOB.to_json()) == JOB


@pytest.mark.parametrize(("status", "text"), [(3, "with status 3"), (-9, "by SIGKILL")])
def test_how_a_process_has_ended(status: int, text: str) -> None:
    """In words."""
    assert how(status) == text


def test_a_process_that_cannot_be_started() -> None:
    """Here because a socket that it should have is not open."""

    async def run() -> None:
        process = Process(JOB, 1, [_CLOSED], nothing, lambda snapshot: None, asyncio.Lock())
        with pytest.raises(WorkerError, match=r"^Worker 1 cannot be started: Bad file descriptor"):
            await process.ready()
        with pytest.raises(WorkerError, match=r"^Worker 1 has ended\.$"):
            await process.ask("snapshot")
        await process.stop(0, 0)
        await process.end(0)
        assert await process.ended == 1

    asyncio.run(run())


def test_a_process_that_is_ended_before_it_has_started() -> None:
    """It does not even begin."""

    async def run() -> float:
        process = Process(JOB, 1, [], nothing, lambda snapshot: None, asyncio.Lock())
        started = time.monotonic()
        await process.end(60)
        assert await process.ended == -signal.SIGTERM
        return time.monotonic() - started

    assert asyncio.run(run()) < 30
