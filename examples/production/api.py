"""FastAPI, at /api."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "Hello"}  # here a pool of connections would be opened and closed


app = FastAPI(title="The shop", lifespan=lifespan)


@app.get("/items/{name}")
async def item(name: str) -> dict[str, str]:
    return {"name": name}
