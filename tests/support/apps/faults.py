"""Tables to attack: the header `x-table` says which of them a request is for.

Each app says who it is and what it has seen; `/ran` of the table `record` says which ones ran.
"""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import Any

import anyio
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    CheckMiddleware,
    ContextMiddleware,
    Cookie,
    Dispatcher,
    ForwardedMiddleware,
    LimitMiddleware,
    Mount,
)
from tests.support.apps.misbehaving import limited, misbehaving

#: Which apps ran since somebody asked.
ran: list[str] = []
#: Set by each app that says who it is; whatever was there before is shown.
mark: ContextVar[str] = ContextVar("mark", default="")


class Says:
    """Says who it is, and what it was handed."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        ran.append(self.name)
        seen = {
            "app": self.name,
            "path": scope["path"],
            "raw_path": (scope["raw_path"] or b"").decode("latin-1"),
            "root_path": scope["root_path"],
            "params": scope.get("path_params", {}),
            "scheme": scope["scheme"],
            "client": scope["client"] and scope["client"][0],
            "headers": [[k.decode("latin-1"), v.decode("latin-1")] for k, v in scope["headers"]],
            "keys": sorted(scope),
            "mark": mark.get(),
            "state": repr(scope.get("state", {})),
            "extensions": sorted(scope.get("extensions") or {}),
        }
        mark.set(self.name)
        body = json.dumps(seen).encode()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": body.decode()})
            await send({"type": "websocket.close", "code": 1000})
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def mutating(scope: Scope, receive: Receive, send: Send) -> None:
    """Leaves its mark on all that it can reach."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    scope["state"]["stain"] = "stain"
    scope["headers"].append((b"x-stain", b"stain"))
    scope.setdefault("extensions", {})["stain"] = {}
    scope["stain"] = "stain"
    mark.set("stain")
    scope.setdefault("path_params", {})["stain"] = "stain"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})
    scope.clear()


waiting: list[anyio.Event] = []


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    """Does not answer before it is released."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    ran.append("waits")
    waiting.append(anyio.Event())
    await waiting[-1].wait()
    await record(scope, receive, send)


async def release(scope: Scope, receive: Receive, send: Send) -> None:
    for event in waiting:
        event.set()
    await record(scope, receive, send)


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    ran.append("wsgi")
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


async def record(scope: Scope, receive: Receive, send: Send) -> None:
    """Which apps ran, in order; forgets them."""
    body = json.dumps(ran).encode()
    ran.clear()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def paths() -> list[Mount]:
    return [
        Mount("/admin", Says("admin")),
        Mount("/secret", Says("secret"), exact=True),
        Mount("/static", Says("static")),
        Mount("/static/deep", Says("deep")),
        Mount("/t/{tenant}", Says("tenant")),
        Mount("/n/{n:int}", Says("number")),
        Mount("/v1.0+(x)%5By%5D%2A", Says("literal")),
        Mount("/a", Dispatcher([Mount("/a", Says("aa")), Mount("/", Says("a"))])),
        Mount("/wsgi", wsgi),
        Mount("/bücher", Says("books")),
    ]


def hosts(*layers: Middleware) -> list[Mount]:
    return [
        Mount("/", Says("x"), host="x.com", middleware=layers),
        Mount("/", Says("books"), host="bücher.de", middleware=layers),
        Mount("/", Says("tenant"), host="{tenant}.example.com", middleware=layers),
        Mount("/", Says("three"), host="{a}.{b}.{c}.org"),
        Mount("/", Says("v6"), host="[::1]"),
        Mount("/", Says("port"), host="ports.com:8443"),
    ]


def conditions() -> list[Mount]:
    return [
        Mount("/", Says("v1")),
        Mount("/", Says("v2"), headers={"x-version": "2"}),
        Mount("/", Says("auth"), headers={"x-auth": "root"}),
        Mount("/", Says("kind"), headers={"x-kind": re.compile("[12]")}),
        Mount("/", Says("cookie"), when=Cookie("lane", re.compile("[12]"))),
        Mount("/", Says("query"), query={"lane": re.compile("[12]")}),
        Mount("/f/{x:float}", Says("float")),
        Mount("/", Says("put"), methods=["PUT"]),
        Mount("/u/{x:uuid}", Says("uuid")),
    ]


async def cookies(scope: Scope, receive: Receive, send: Send) -> None:
    """Sets the same name twice."""
    headers = [
        (b"content-length", b"0"),
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"a=2; Path=/cookies"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def redirects() -> list[Mount]:
    return [
        Mount("/slashes", Says("slashes"), redirect_slashes=True),
        Mount("/cookies", cookies, redirect_slashes=False),
        Mount("/{x}", Says("placeholder"), redirect_slashes=True),
    ]


tables: dict[str, ASGIApp] = {
    "paths": Dispatcher(paths()),
    "rooted": Dispatcher([*paths(), Mount("/", Says("root"))]),
    "hosts": Dispatcher(hosts(), default=Says("default"), unknown_host=421),
    "apart": Dispatcher(hosts(Middleware(ContextMiddleware))),
    "hosts-404": Dispatcher(hosts(), default=Says("default"), unknown_host=404),
    "hosts-default": Dispatcher(hosts(), default=Says("default")),
    "redirects": Dispatcher(redirects()),
    "headers": Dispatcher(conditions()),
    "trusting": ForwardedMiddleware(Dispatcher(hosts()), trusted=["127.0.0.0/8", "::1"]),
    "doubting": ForwardedMiddleware(Dispatcher(hosts()), trusted=["10.0.0.0/8"]),
    "isolation": Dispatcher(
        [
            Mount("/bad", mutating, middleware=[Middleware(ContextMiddleware)]),
            Mount("/", Says("well"), middleware=[Middleware(ContextMiddleware)]),
        ]
    ),
    "bad": Dispatcher(
        [
            Mount("/bad", misbehaving, errors="contain", middleware=[Middleware(CheckMiddleware)]),
            Mount("/well", Says("well")),
        ]
    ),
    "bare": Dispatcher([Mount("/bad", misbehaving), Mount("/well", Says("well"))]),
    "limited": Dispatcher(
        [
            *limited(),
            Mount("/full", waits, middleware=[Middleware(LimitMiddleware, max_concurrency=1)]),
            Mount("/well", Says("well")),
        ]
    ),
    "record": record,
    "release": release,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """What a server imports."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    names = [value.decode() for name, value in scope["headers"] if name == b"x-table"]
    await tables.get("".join(names), record)(scope, receive, send)
