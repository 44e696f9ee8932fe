"""An app whose shutdown ends the process, as Chainlit's does, beside one that has to stop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from mountkit import Dispatcher, Lifespan, Mount
from tests.support.apps.lifecycles import recorded


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        os._exit(7)


app = Dispatcher(
    [
        Mount("/a", recorded("a")),
        Mount("/b", Starlette(lifespan=lifespan), lifespan=Lifespan(shutdown=False)),
        Mount("/c", recorded("c")),
    ]
)

calm = Dispatcher(
    [Mount("/a", recorded("a")), Mount("/b", recorded("b"), lifespan=Lifespan(shutdown=False))]
)
