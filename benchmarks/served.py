"""The apps that `benchmarks.dispatch` measures through servers, each made when it is asked for."""

from __future__ import annotations

from typing import Any

from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from mountkit import Dispatcher, Mount

NUMBER = 1_000
PATH = f"/m{NUMBER - 1}/x"
HOST = f"t{NUMBER - 1}.example.com"


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind every mount; it is no app for lifespans."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


#: The bare app comes first.
TARGETS = ("bare", "bare_again", "mounts", "hosts", "starlette_mounts", "starlette_hosts")


def __getattr__(name: str) -> Any:
    if name == "bare_again":
        return bare
    if name == "mounts":
        return Dispatcher([Mount(f"/m{n}", bare) for n in range(NUMBER)])
    if name == "hosts":
        return Dispatcher([Mount("", bare, host=f"t{n}.example.com") for n in range(NUMBER)])
    if name == "starlette_mounts":
        return Router([StarletteMount(f"/m{n}", bare) for n in range(NUMBER)])
    if name == "starlette_hosts":
        return Router([StarletteHost(f"t{n}.example.com", bare) for n in range(NUMBER)])
    raise AttributeError(name)
