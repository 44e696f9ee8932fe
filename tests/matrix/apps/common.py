"""What the sites of all frameworks have in common.

`/` is a text that begins with "index" and ends with the URL of item 7, as the framework makes
it; `/item/7` is the item; `/go` redirects to it by name; `/things/` is known with its slash;
`/link` is the URL of a route of another mount; `/static/style.css` is a file; `/stream` is in two parts; `/echo` is a websocket. What an app
starts and stops it says on standard output.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mountkit import url_for

STATIC = Path(__file__).parents[2] / "support" / "apps" / "static"

#: The folder of this run of the server.
FOLDER = Path(os.environ.get("MATRIX_FOLDER", "."))
_GATE = FOLDER / "gate"
_TRIES = 500


def chunks() -> Iterator[bytes]:
    """Two parts; the second one comes when the client, which has the first, opens the gate."""
    yield b"first\n"
    for _ in range(_TRIES):
        if _GATE.exists():
            yield b"second\n"
            return
        time.sleep(0.01)
    yield b"late\n"


async def async_chunks() -> AsyncIterator[bytes]:
    """The same."""
    yield b"first\n"
    for _ in range(_TRIES):
        if _GATE.exists():
            yield b"second\n"
            return
        await asyncio.sleep(0.01)
    yield b"late\n"


def link(where: Any) -> str:
    """The URL of a page of the neighbour."""
    return str(url_for(where, "neighbour:page", id=1))


def started(*_: Any) -> None:
    print("lifespan: started", flush=True)


def stopped(*_: Any) -> None:
    print("lifespan: stopped", flush=True)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    started()
    yield
    stopped()


async def lifespan_started(*_: Any) -> None:
    started()


async def lifespan_stopped(*_: Any) -> None:
    stopped()
