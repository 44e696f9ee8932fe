from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.request import Request
from pyramid.response import Response

from tests.matrix.apps import common


def index(request: Request) -> Response:
    return Response(f"index {request.route_url('item', id=7)}")


def item(request: Request) -> Response:
    return Response(f"item {request.matchdict['id']}")


def go(request: Request) -> Response:
    return HTTPFound(request.route_url("item", id=7))


def link(request: Request) -> Response:
    return Response(common.link(request))


def stream(request: Request) -> Response:
    return Response(app_iter=common.chunks())


def make(prefix: str) -> Any:
    with Configurator() as config:
        for name, path, view in (
            ("index", "/", index),
            ("things", "/things/", index),
            ("item", "/item/{id}", item),
            ("go", "/go", go),
            ("link", "/link", link),
            ("stream", "/stream", stream),
        ):
            config.add_route(name, path)
            config.add_view(view, route_name=name)
        config.add_notfound_view(lambda request: Response("none", 404), append_slash=True)
        config.add_static_view("static", str(common.STATIC))
        return config.make_wsgi_app()
