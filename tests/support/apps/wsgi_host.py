"""A dispatcher under a host that speaks WSGI alone: what a2wsgi's `ASGIMiddleware` is for."""

from __future__ import annotations

import flask
from a2wsgi import ASGIMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mountkit import Dispatcher


async def item(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.url_for("item", id=request.path_params["id"])))


new = Starlette(routes=[Route("/item/{id}", item, name="item")])
old = flask.Flask("old")


@old.post("/form")
def form() -> str:
    return f"{flask.url_for('form')} {flask.request.form['name']}"


application = ASGIMiddleware(Dispatcher({"/new": new, "/old": old}))
