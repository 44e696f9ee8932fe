"""WSGI apps, of frameworks and of nobody, behind one dispatcher: what HTTP allows at their border."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any
from wsgiref.validate import validator

import bottle
import flask
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit import Dispatcher, Mount, WSGIBridge

TEXT = [("Content-Type", "text/plain")]

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of the tests")


def sized(environ: dict[str, Any], start_response: Any) -> Any:
    """Reads as PEP 3333 has it: what CONTENT_LENGTH says, and not a byte more."""
    length = environ.get("CONTENT_LENGTH", "")
    body = environ["wsgi.input"].read(int(length)) if length else b""
    start_response("200 OK", TEXT)
    return [f"{length}:".encode() + body]


def django_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.POST.get("name") or request.body)


urlpatterns = [path("echo", django_view)]

flasks = flask.Flask("flasks")


@flasks.route("/echo", methods=["GET", "POST"])
def flask_view() -> Any:
    return flask.request.form.get("name") or flask.request.get_data()


@flasks.post("/read")
def read() -> str:
    return str(len(flask.request.get_data()))


bottles = bottle.Bottle()


@bottles.post("/echo")
def bottle_view() -> Any:
    return bottle.request.forms.get("name") or bottle.request.body.read()


def catching(environ: dict[str, Any], start_response: Any) -> Any:
    """Takes whatever comes of a read as the end of the body."""
    with suppress(Exception):
        environ["wsgi.input"].read()
    start_response("200 OK", TEXT)
    return [b"caught"]


def answering(status: str, *headers: tuple[str, str]) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, list(headers))
        return [b"hello"]

    return app


def slow(environ: dict[str, Any], start_response: Any) -> Any:
    time.sleep(1)
    start_response("200 OK", TEXT)
    return [b"slow"]


class Replaying:
    """Middleware that gives the body again and again, as a widespread recipe does."""

    def __init__(self, app: ASGIApp, *, has_more: bool = False) -> None:
        self.app = app
        self.has_more = has_more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def replay() -> Message:
            return {"type": "http.request", "body": b"", "more_body": self.has_more}

        async def drop(message: Message) -> None:
            if message["type"] == "http.response.start" or not message.get("more_body"):
                await send(message)

        await self.app(scope, replay, drop)


def torrent(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        yield b"x" * 65_536


held = threading.Event()


def holding(environ: dict[str, Any], start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/hold":
        held.wait(60)
    start_response("200 OK", TEXT)
    return [b"held"]


def uploaded(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return [str(len(environ["wsgi.input"].read())).encode()]


def picky(environ: dict[str, Any], start_response: Any) -> Any:
    """Reads no body that is not for `/read`, and thinks about it."""
    if environ["PATH_INFO"] == "/read":
        return uploaded(environ, start_response)
    time.sleep(0.5)
    return answering("200 OK")(environ, start_response)


def redirecting(environ: dict[str, Any], start_response: Any) -> Any:
    """Wants its prefix without a slash."""
    if environ["PATH_INFO"] == "/":
        start_response("302 Found", [("Location", environ["SCRIPT_NAME"])])
        return [b""]
    start_response("200 OK", TEXT)
    return [repr(environ["PATH_INFO"]).encode()]


async def well(request: Request) -> JSONResponse:
    return JSONResponse("well")


async def pending(request: Request) -> JSONResponse:
    """How many requests the mount that holds counts."""
    return JSONResponse(holder.child.asgi._pool.pending)  # type: ignore[union-attr]


async def in_flight(request: Request) -> JSONResponse:
    """How many requests each mount has."""
    return JSONResponse({one.mount: one.in_flight for one in app.health})


async def let_go(request: Request) -> JSONResponse:
    held.set()
    return JSONResponse(None)


holder = Mount("/holds", holding, bridge=partial(WSGIBridge, threads=1, queue=3))
app = Dispatcher(
    [
        holder,
        Mount("/sized", validator(sized)),
        Mount("/django", WSGIHandler()),
        Mount("/flask", flasks),
        Mount("/bottle", bottles),
        Mount("/limited", sized, max_body_size=1000),
        Mount("/limited-flask", flasks, max_body_size=1000),
        Mount("/limited-catching", catching, max_body_size=1000),
        Mount("/short", sized, bridge=partial(WSGIBridge, spool=1000)),
        Mount("/204", answering("204 No Content", ("Content-Length", "5"))),
        Mount("/304", answering("304 Not Modified", ("Content-Length", "5"))),
        Mount("/205", answering("205 Reset Content", ("Content-Length", "5"))),
        Mount("/euro", answering("302 Found", ("Location", "/shop/€5"))),
        Mount("/name", answering("200 OK", ("X-é", "a"))),
        Mount("/status", answering("200 Ōk")),
        Mount("/600", answering("600 Beyond")),
        Mount("/100", answering("100 Continue")),
        Mount("/shorter", answering("200 OK", ("Content-Length", "9"))),
        Mount("/worded", answering("200 OK", ("Content-Length", "five"))),
        Mount("/listed", answering("200 OK", ("Content-Length", "5, 5"))),
        Mount("/twofold", answering("200 OK", ("Content-Length", "5"), ("Content-Length", "6"))),
        Mount("/repeated", answering("200 OK", ("Content-Length", "5"), ("Content-Length", "5"))),
        Mount("/replayed", slow, middleware=[Middleware(Replaying)]),
        Mount("/replayed-on", slow, middleware=[Middleware(Replaying, has_more=True)]),
        Mount("/torrent", torrent, middleware=[Middleware(Replaying)]),
        Mount("/picky", picky),
        Mount("/one", uploaded, bridge=partial(WSGIBridge, threads=1)),
        Mount("/two", uploaded, bridge=partial(WSGIBridge, threads=2)),
        Mount("/bare", redirecting, redirect_slashes="bare"),
        Mount("/loops", redirecting),
    ],
    default=Starlette(
        routes=[
            Route("/well", well),
            Route("/pending", pending),
            Route("/in-flight", in_flight),
            Route("/let-go", let_go, methods=["POST"]),
        ]
    ),
)
