"""FastAPI: docs, a schema, and a lifespan with a state of its own."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

logger = logging.getLogger(__name__)


class State(TypedDict):
    started: datetime


class Item(BaseModel):
    name: str
    url: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    logger.info("FastAPI's lifespan has started.")
    yield {"started": datetime.now(UTC)}
    logger.info("FastAPI's lifespan has stopped.")


# A FastAPI app whose docs page has its script and style from a package, not from the internet.
app = FastAPIOffline(
    title="FastAPI below /fastapi",
    description="[To the start page of the demo](/)",
    lifespan=lifespan,
    redoc_url=None,
    favicon_url="/icon.svg",
)


@app.get("/")
async def index(request: Request) -> dict[str, str]:
    return {
        "docs": str(request.url_for("custom_swagger_ui_html")),
        "started": request.state.started.isoformat(timespec="seconds"),
    }


@app.get("/items/{name}")
async def item(request: Request, name: str) -> Item:
    return Item(name=name, url=str(request.url_for("item", name=name)))
