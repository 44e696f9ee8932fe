"""Three Starlette apps whose lifespans leave a record, and the same with one that fails."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mountkit import Dispatcher
from tests.support.apps.records import recorded_lifespan


async def owner(request: Request) -> Response:
    return JSONResponse({"owner": request.state.owner})


def recorded(name: str, *, fails: bool = False) -> Starlette:
    return Starlette(routes=[Route("/", owner)], lifespan=recorded_lifespan(name, fails=fails))


app = Dispatcher({"/a": recorded("a"), "/b": recorded("b"), "/c": recorded("c")})
failing = Dispatcher({"/a": recorded("a"), "/b": recorded("b"), "/c": recorded("c", fails=True)})
