"""Starlette: what gets all that no mount takes."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def index(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"Start page of {request.url}\n")


app = Starlette(routes=[Route("/", index)])
