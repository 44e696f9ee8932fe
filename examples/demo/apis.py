"""Two versions of one API at one path: which of them answers is up to a request header."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def order_v1(request: Request) -> JSONResponse:
    return JSONResponse({"version": 1, "order": request.path_params["id"], "price": "9.50 EUR"})


async def order_v2(request: Request) -> JSONResponse:
    price = {"amount": 950, "currency": "EUR"}
    return JSONResponse({"version": 2, "order": request.path_params["id"], "price": price})


v1 = Starlette(routes=[Route("/orders/{id:int}", order_v1)])
v2 = Starlette(routes=[Route("/orders/{id:int}", order_v2)])
