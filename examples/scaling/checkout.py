"""Starlette: an app below the path of another one."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def pay(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse({"paid": body.decode(), "url": str(request.url_for("pay"))}, 201)


app = Starlette(routes=[Route("/pay", pay, methods=["POST"])])
