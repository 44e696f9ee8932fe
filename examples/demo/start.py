"""Starlette: the start page, which gets whatever no mount takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from examples.demo.django_notes import prepare
from examples.demo.shops import SHOPS

templates = Jinja2Templates(Path(__file__).with_name("templates"))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    await asyncio.to_thread(prepare)  # Django has no lifespan to do this in
    yield


async def index(request: Request) -> Response:
    shops = {name: request.url.replace(hostname=f"{name}.localhost") for name in SHOPS}
    return templates.TemplateResponse(request, "start.html", {"shops": shops})


async def icon(request: Request) -> Response:
    return FileResponse(Path(__file__).with_name("icon.svg"))


async def not_found(request: Request, exc: Exception) -> Response:
    return templates.TemplateResponse(request, "not_found.html", status_code=404)


# Browsers ask for /favicon.ico where a page names no icon, such as those of Django's admin.
routes = [Route("/", index), Route("/icon.svg", icon), Route("/favicon.ico", icon)]
app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: not_found})
