"""Waiting for a condition instead of a time."""

from __future__ import annotations

from collections.abc import Callable

import anyio


async def until(is_true: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not is_true():  # noqa: ASYNC110
            await anyio.sleep(0.002)
