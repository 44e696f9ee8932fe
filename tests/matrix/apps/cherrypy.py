from __future__ import annotations

from typing import Any

import cherrypy

from tests.matrix.apps import common


class Things:
    @cherrypy.expose
    def index(self) -> str:
        return "index"


class Site:
    things = Things()

    @cherrypy.expose
    def index(self) -> str:
        return f"index {cherrypy.url('/item/7')}"

    @cherrypy.expose
    def item(self, id: str) -> str:
        return f"item {id}"

    @cherrypy.expose
    def go(self) -> None:
        raise cherrypy.HTTPRedirect(cherrypy.url("/item/7"))

    @cherrypy.expose
    def link(self) -> str:
        return common.link(cherrypy.request)

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream(self) -> Any:
        return common.chunks()


def make(prefix: str) -> Any:
    # With no script_name of its own it takes that of each request.
    return cherrypy.Application(
        Site(),
        None,
        {"/static": {"tools.staticdir.on": True, "tools.staticdir.dir": str(common.STATIC)}},
    )
