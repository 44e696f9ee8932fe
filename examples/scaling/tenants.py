"""Starlette: a site for each host."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def home(request: Request) -> JSONResponse:
    tenant = str(request.url.hostname).partition(".")[0]
    return JSONResponse({"tenant": tenant, "url": str(request.url_for("home"))})


app = Starlette(routes=[Route("/", home)])
