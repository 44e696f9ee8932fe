"""What type checkers accept: applications of every framework, however they are typed; layers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import a2wsgi
import bottle
import falcon
import falcon.asgi
import socketio
import webob.dec
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable
from asgiref.typing import Scope as AsgirefScope
from asgiref.wsgi import WsgiToAsgi
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from fastapi import APIRouter, FastAPI
from flask import Flask
from litestar import Litestar
from mcp.server.mcpserver import MCPServer
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from quart import Quart
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from mountkit import (
    CheckMiddleware,
    ContainMiddleware,
    ContextMiddleware,
    CookiePathMiddleware,
    Dispatcher,
    DispatchMiddleware,
    ForwardedMiddleware,
    Lifespan,
    LifespanMiddleware,
    LimitMiddleware,
    Liveness,
    LocationMiddleware,
    Mount,
    OpenAPI,
    RedirectMiddleware,
    Split,
    TenantApps,
    TenantMiddleware,
    TenantResolver,
    TimeoutMiddleware,
    Watchdog,
    WSGIBridge,
)


async def asgi(scope: Scope, receive: Receive, send: Send) -> None: ...


async def typed_by_asgiref(
    scope: AsgirefScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None: ...


def returns_an_awaitable(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
    return asgi(scope, receive, send)


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [b""]


def wsgi_dict(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    return [b""]


def with_argument(
    number: int, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    return [b""]


class Asgi2:
    def __init__(self, scope: Scope) -> None: ...
    async def __call__(self, receive: Receive, send: Send) -> None: ...


class Wsgi:
    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None: ...
    def __iter__(self) -> Any: ...


class Endpoint(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("")


class Bound:
    async def app(self, scope: Scope, receive: Receive, send: Send) -> None: ...


flask = Flask("x")
anything: Any = flask
mounts = [
    Mount("/function", asgi),
    Mount("/typed-by-asgiref", typed_by_asgiref),
    Mount("/returns-an-awaitable", returns_an_awaitable),
    Mount("/method", Bound().app),
    Mount("/lambda", lambda scope, receive, send: asgi(scope, receive, send)),  # noqa: PLW0108
    Mount("/endpoint", Endpoint),
    Mount("/asgi2", Asgi2, interface="asgi2"),
    Mount("/any", anything),
    # Starlette and its kin
    Mount("/starlette", Starlette()),
    Mount("/fastapi", FastAPI()),
    Mount("/router", Router()),
    Mount("/apirouter", APIRouter()),
    Mount("/middleware", GZipMiddleware(asgi)),
    Mount("/response", PlainTextResponse("x")),
    Mount("/files", StaticFiles()),
    Mount("/mcp", MCPServer("x").streamable_http_app()),
    # other ASGI apps
    Mount("/litestar", Litestar()),
    Mount("/quart", Quart("x")),
    Mount("/falcon", falcon.asgi.App()),
    Mount("/django", get_asgi_application()),
    Mount("/socketio", socketio.ASGIApp(socketio.AsyncServer())),
    Mount("/opentelemetry", OpenTelemetryMiddleware(asgi)),
    # WSGI apps
    Mount("/wsgi", wsgi),
    Mount("/wsgi-dict", wsgi_dict),
    Mount("/wsgi-partial", partial(with_argument, 3)),
    Mount("/wsgi-class", Wsgi, interface="wsgi"),
    Mount("/flask", flask),
    Mount("/flask-wsgi", flask.wsgi_app),
    Mount("/proxy-fix", ProxyFix(flask.wsgi_app)),
    Mount("/werkzeug", DispatcherMiddleware(flask)),
    Mount("/django-wsgi", get_wsgi_application()),
    Mount("/bottle", bottle.Bottle()),
    Mount("/falcon-wsgi", falcon.App()),
    Mount("/webob", webob.dec.wsgify(lambda request: "x")),
    # bridges
    Mount("/bridged", WSGIBridge(flask)),
    Mount("/partial", flask, bridge=partial(WSGIBridge, threads=4)),
    Mount("/a2wsgi", flask, bridge=a2wsgi.WSGIMiddleware),
    Mount("/asgiref", flask, bridge=WsgiToAsgi),
    # mountkit's own
    Mount("/routes", routes=[Mount("/a", flask)]),
    Mount("/openapi", OpenAPI()),
    Mount("/livez", Liveness()),
    Mount("/dispatcher", Dispatcher()),
    Mount("/split", Split({"a": (flask, 1), "b": (FastAPI(), 2), "c": (asgi, 0)})),
]

Dispatcher(mounts, default=flask)
Dispatcher(tuple(mounts))
Dispatcher(Mount(path, flask) for path in ("/a", "/b"))
Dispatcher({"/": flask})
Dispatcher({"/a": flask, "/b": FastAPI(), "/c": asgi}, default=Quart("x"))
DispatchMiddleware(typed_by_asgiref, {"/a": flask})
DispatchMiddleware(Quart("x"), {"/a": flask})


async def find(host: str) -> str | None:
    return host


async def make(tenant: str) -> FastAPI:
    return FastAPI()


async def make_flask(tenant: str) -> Flask:
    return Flask("x")


resolver = TenantResolver(find)
TenantMiddleware(flask, resolver)
TenantApps(resolver, make)
TenantApps(resolver, make_flask)

app = FastAPI()
app.mount("/x", Dispatcher())
app.add_middleware(LifespanMiddleware)
app.add_middleware(TenantMiddleware, resolver=resolver)
app.add_middleware(DispatchMiddleware, mounts={"/a": flask})
app.add_middleware(DispatchMiddleware, mounts={"/a": flask, "/b": FastAPI(), "/c": asgi})
app.add_middleware(DispatchMiddleware, mounts=[Mount("/a", flask)])

layers = [
    Middleware(LimitMiddleware, max_concurrency=10, when_full="wait"),
    Middleware(TimeoutMiddleware, response=10, total=60),
    Middleware(CheckMiddleware),
    Middleware(ContextMiddleware),
    Middleware(ContainMiddleware),
    Middleware(RedirectMiddleware),
    Middleware(CookiePathMiddleware),
    Middleware(LocationMiddleware),
    Middleware(GZipMiddleware, minimum_size=1000),
]
Mount("/layers", app, middleware=layers, max_body_size=1000, errors="contain")
Mount("/layers", flask, middleware=layers, convention="whole")
Mount("/on", app, lifespan="on")
Mount("/lifespan", app, lifespan=Lifespan(startup_timeout=5, on_failure="isolate", share=["pool"]))
Dispatcher(mounts, errors="contain")
app.add_middleware(DispatchMiddleware, mounts=mounts, errors="contain")
app.add_middleware(LimitMiddleware, max_concurrency=10)
app.add_middleware(CheckMiddleware)
app.add_middleware(ForwardedMiddleware, trusted=["10.0.0.0/8"])
app.add_middleware(Watchdog, seconds=0.5)
