"""Waiting for a condition instead of a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio


async def until(is_true: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not is_true():  # noqa: ASYNC110
            await anyio.sleep(0.002)


def wait_until(
    is_true: Callable[[], bool],
    *,
    seconds: float = 60,
    shown: Callable[[], object] = lambda: "It did not come to be.",
) -> None:
    """The same for tests that are not asynchronous.

    Args:
        seconds: how long it may take at most.
        shown: what to show if it takes longer.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, shown()
        time.sleep(0.01)
