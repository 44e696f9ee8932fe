"""What apps in another process tell the tests: lines in the file that `TEST_RECORD` names."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any


def record(line: str) -> None:
    """Append a line."""
    path = os.environ.get("TEST_RECORD")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def recorded_lifespan(
    name: str, *, fails: bool = False
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """A lifespan for Starlette and FastAPI that records `NAME up` and `NAME down`."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        if fails:
            raise RuntimeError(f"{name} has no database")
        record(f"{name} up")
        yield {"owner": name}
        record(f"{name} down")

    return lifespan
