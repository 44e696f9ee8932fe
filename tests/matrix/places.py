"""Where an app is mounted, and by which object: every place and every way of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mountkit import Dispatcher, DispatchMiddleware, LifespanMiddleware, Mount


def _plain(path: str, app: Any, options: dict[str, Any]) -> Mount:
    return Mount(path, app, **options)


def _nested(path: str, app: Any, options: dict[str, Any]) -> Mount:
    outer, inner = path.rsplit("/", 1)
    return Mount(outer, routes=[Mount(f"/{inner}", app, **options)])


def _host(path: str, app: Any, options: dict[str, Any]) -> Mount:
    return Mount(path, app, host="{tenant}.example.com", **options)


@dataclass(frozen=True)
class Place:
    """Where an app is mounted.

    Attributes:
        path: what the mounts add.
        mount: makes the mount.
        root_path: what the server is told of a prefix.
        server: `uvicorn` takes a request's path for what follows `root_path`, as it comes from a
            proxy that strips it; `hypercorn` takes it for the whole.
        host: what the client asks for.
    """

    path: str
    mount: Callable[[str, Any, dict[str, Any]], Mount] = _plain
    root_path: str = ""
    server: str = "uvicorn"
    host: str = "127.0.0.1"

    @property
    def prefix(self) -> str:
        """All that comes before the app's own part of the URL's path, decoded."""
        return self.root_path + self.path.rstrip("/")

    @property
    def quoted(self) -> str:
        """The same as it stands in a URL."""
        return quote(self.prefix)

    @property
    def is_stripped(self) -> bool:
        """Whether a proxy in front takes `root_path` off."""
        return bool(self.root_path) and self.server == "uvicorn"


PLACES = {
    "sub": Place("/sub"),
    "nested": Place("/a/b", _nested),
    "non_ascii": Place("/käse"),
    "host": Place("/", _host, host="acme.example.com"),
    "root_path": Place("/sub", root_path="/outer", server="hypercorn"),
    "proxy": Place("/sub", root_path="/outer"),
}


async def _page(request: Request) -> Response:
    return PlainTextResponse(f"page {request.path_params['id']}")


def neighbour(place: Place) -> Mount:
    """Another mount, whose URLs are asked for; at a host of its own, if the app has one."""
    app = Starlette(routes=[Route("/page/{id:int}", _page, name="page")])
    if place.mount is _host:
        return Mount("/", app, name="neighbour", host="neighbour.example.com")
    return Mount("/neighbour", app, name="neighbour")


def _dispatcher(*mounts: Mount) -> Any:
    return Dispatcher(mounts)


def _middleware(*mounts: Mount) -> Any:
    app = FastAPI(openapi_url=None)  # its own would stand before that of a mounted app
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    return app


def _route(*mounts: Mount) -> Any:
    app = FastAPI(openapi_url=None)  # its own would stand before that of a mounted app

    @app.get("/beside")
    def beside() -> str:
        return "FastAPI's own"

    app.router.routes += mounts
    app.add_middleware(LifespanMiddleware)
    return app


WAYS = {"dispatcher": _dispatcher, "middleware": _middleware, "route": _route}
