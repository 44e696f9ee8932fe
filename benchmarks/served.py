"""The apps that `benchmarks.dispatch` measures through servers, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, DispatchMiddleware, Mount

NUMBER = 1_000
#: What each app is asked for; those that are not named, for the last of so many mounts.
PATHS = {
    "mounts": f"/m{NUMBER - 1}/x",
    "one": "/m0/x",
    "starlette_one": "/m0/x",
    "middleware_one": "/m0/x",
    "starlette_app_one": "/m0/x",
}
HOST = f"t{NUMBER - 1}.example.com"


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind every mount; it is no app for lifespans."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def in_front() -> Any:
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/m0", bare)])
    return app


MAKERS: dict[str, Callable[[], Any]] = {
    "bare": lambda: bare,  # comes first
    "bare_again": lambda: bare,
    "one": lambda: Dispatcher([Mount("/m0", bare)]),
    "starlette_one": lambda: Router([StarletteMount("/m0", bare)]),
    "middleware_one": in_front,
    "starlette_app_one": lambda: Starlette(routes=[StarletteMount("/m0", bare)]),
    "mounts": lambda: Dispatcher([Mount(f"/m{n}", bare) for n in range(NUMBER)]),
    "hosts": lambda: Dispatcher([Mount("", bare, host=f"t{n}.example.com") for n in range(NUMBER)]),
    "starlette_mounts": lambda: Router([StarletteMount(f"/m{n}", bare) for n in range(NUMBER)]),
    "starlette_hosts": lambda: Router(
        [StarletteHost(f"t{n}.example.com", bare) for n in range(NUMBER)]
    ),
}
TARGETS = tuple(MAKERS)


def __getattr__(name: str) -> Any:
    if name not in MAKERS:
        raise AttributeError(name)
    return MAKERS[name]()
