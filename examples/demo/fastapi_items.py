"""FastAPI: docs, a schema, and a lifespan with a state of its own."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypedDict

from fastapi import FastAPI, Request
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


app = FastAPI(title="FastAPI below /fastapi", lifespan=lifespan)


@app.get("/")
async def index(request: Request) -> dict[str, str]:
    return {
        "docs": str(request.url_for("swagger_ui_html")),
        "started": request.state.started.isoformat(timespec="seconds"),
    }


@app.get("/items/{name}")
async def item(request: Request, name: str) -> Item:
    return Item(name=name, url=str(request.url_for("item", name=name)))
