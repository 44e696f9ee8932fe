"""`mountkit.wsgi.detection`: what an application speaks, told without calling it."""

from __future__ import annotations

import functools
import http.server
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import bottle
import falcon
import falcon.asgi
import httpx
import pytest
import socketio
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from fastapi import FastAPI
from flask import Blueprint, Flask
from litestar import Litestar
from litestar import Router as LitestarRouter
from mcp.server.mcpserver import MCPServer
from quart import Blueprint as QuartBlueprint
from quart import Quart
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.types import Receive, Scope, Send
from webob.dec import wsgify
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Request as WerkzeugRequest

from mountkit import Dispatcher, InterfaceError, Mount, check
from mountkit.frameworks import convention_of
from mountkit.wsgi.detection import adapt, recognise


async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("asgi3")(scope, receive, send)


async def asgi3_other_names(a: Any, b: Any, c: Any) -> None:
    """Any names will do."""


def asgi3_not_async(scope: Scope, receive: Receive, send: Send) -> Any:
    return asgi3(scope, receive, send)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"wsgi"]


def wsgi_other_names(request: Any, respond: Any) -> list[bytes]:
    return []


class Asgi2:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await PlainTextResponse("asgi2")(self.scope, receive, send)


class Asgi3:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A callable object."""

    async def method(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A bound method."""


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class WsgiIterable:
    """PEP 3333's example of a class as an application."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        self.start = start_response

    def __iter__(self) -> Iterator[bytes]:
        yield b""


class Endpoint(HTTPEndpoint):
    """A class that is awaited."""


class Wrapper:
    """A signature that says nothing, and the app below a name of its own."""

    def __init__(self, name: str, app: Any) -> None:
        setattr(self, name, app)

    def __call__(self, *args: Any) -> Any:
        """Is never called."""


def closure(app: Any) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return app(*args)

    return call


def unfilled_closure() -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return later(*args)

    if call is None:
        later = None
    return call


def _partial_async(extra: int, scope: Scope, receive: Receive, send: Send) -> Any:
    return asgi3(scope, receive, send)


def circle() -> Wrapper:
    one = Wrapper("app", None)
    one.app = Wrapper("app", one)  # type: ignore[attr-defined]
    return one


def disagreeing() -> Wrapper:
    wrapper = Wrapper("app", asgi3)
    wrapper.wsgi_app = wsgi  # type: ignore[attr-defined]
    return wrapper


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        pytest.param(asgi3, "asgi3", id="async-function"),
        pytest.param(asgi3_other_names, "asgi3", id="async-other-names"),
        pytest.param(asgi3_not_async, "asgi3", id="function-that-returns-an-awaitable"),
        pytest.param(Asgi3(), "asgi3", id="object"),
        pytest.param(Asgi3().method, "asgi3", id="bound-method"),
        pytest.param(functools.partial(_partial_async, 1), "asgi3", id="partial"),
        pytest.param(functools.partial(asgi3), "asgi3", id="partial-of-async"),
        pytest.param(Endpoint, "asgi3", id="starlette-endpoint"),
        pytest.param(Wrapper("app", asgi3), "asgi3", id="wrapper"),
        pytest.param(Wrapper("inner", Wrapper("app", asgi3)), "asgi3", id="wrapper-of-wrapper"),
        pytest.param(closure(asgi3), "asgi3", id="closure"),
        pytest.param(Asgi2, "asgi2", id="asgi2-class"),
        pytest.param(lambda scope: None, "asgi2", id="asgi2-function"),
        pytest.param(functools.partial(Asgi2), "asgi2", id="asgi2-partial"),
        pytest.param(wsgi, "wsgi", id="wsgi-function"),
        pytest.param(wsgi_other_names, "wsgi", id="wsgi-other-names"),
        pytest.param(lambda env, start_response: [], "wsgi", id="wsgi-lambda"),
        pytest.param(Wsgi(), "wsgi", id="wsgi-object"),
        pytest.param(WsgiIterable, "wsgi", id="wsgi-class"),
        pytest.param(Wrapper("wsgi_app", wsgi), "wsgi", id="wsgi-wrapper"),
        pytest.param(closure(wsgi), "wsgi", id="wsgi-closure"),
        pytest.param(Starlette(), "asgi3", id="starlette"),
        pytest.param(Router(), "asgi3", id="starlette-router"),
        pytest.param(GZipMiddleware(asgi3), "asgi3", id="starlette-middleware"),
        pytest.param(PlainTextResponse(), "asgi3", id="starlette-response"),
        pytest.param(FastAPI(), "asgi3", id="fastapi"),
        pytest.param(Quart("q"), "asgi3", id="quart"),
        pytest.param(Litestar([]), "asgi3", id="litestar"),
        pytest.param(falcon.asgi.App(), "asgi3", id="falcon-asgi"),
        pytest.param(socketio.ASGIApp(socketio.AsyncServer()), "asgi3", id="socketio"),
        pytest.param(WSGIMiddleware(wsgi), "asgi3", id="a2wsgi"),
        pytest.param(WsgiToAsgi(wsgi), "asgi3", id="asgiref"),
        pytest.param(Dispatcher(), "asgi3", id="dispatcher"),
        pytest.param(Flask("f"), "wsgi", id="flask"),
        pytest.param(ProxyFix(Flask("f").wsgi_app), "wsgi", id="werkzeug-middleware"),
        pytest.param(bottle.Bottle(), "wsgi", id="bottle"),
        pytest.param(falcon.App(), "wsgi", id="falcon"),
        pytest.param(ASGIMiddleware(asgi3), "wsgi", id="a2wsgi-the-other-way"),
    ],
)
def test_recognised(app: Any, expected: str) -> None:
    """By the signature, or that of what is wrapped."""
    assert recognise(app) == expected


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(asgi3, id="function"),
        pytest.param(Asgi3(), id="object"),
        pytest.param(Starlette(), id="starlette"),
        pytest.param(FastAPI(), id="fastapi"),
    ],
)
def test_most_apps_are_recognised_without_a_signature(
    monkeypatch: pytest.MonkeyPatch, app: Any
) -> None:
    """To make one takes longer than to build the rest of a mount."""
    monkeypatch.setattr("inspect.signature", None)
    assert recognise(app) == "asgi3"


@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param("app:app", "'app:app' is not an application: it cannot be called; import", id="text"),
        pytest.param(Starlette, "is a class, not an application; make one: Starlette(…).", id="class"),
        pytest.param(lambda: None, "write interface='asgi3' or interface='wsgi'.", id="no-parameters"),
        pytest.param(lambda request: None, "cannot be told from its signature", id="one-parameter"),
        pytest.param(lambda *args: None, "cannot be told from its signature", id="variadic"),
        pytest.param(lambda a, b, c, d: None, "cannot be told from its signature", id="four"),
        pytest.param(max, "cannot be told from its signature", id="built-in"),
        pytest.param(
            WerkzeugRequest.application(lambda request: None),
            "cannot be told from its signature", id="werkzeug-decorator",
        ),
        pytest.param(Wrapper("app", 5), "cannot be told from its signature", id="wrapper-of-nothing"),
        pytest.param(circle(), "cannot be told from its signature", id="circle"),
        pytest.param(disagreeing(), "cannot be told from its signature", id="both"),
        pytest.param(unfilled_closure(), "cannot be told from its signature", id="unfilled"),
    ],
)  # fmt: skip
def test_refused(app: Any, message: str) -> None:
    """What is unclear is refused where it is mounted, with what to write."""
    with pytest.raises(InterfaceError) as caught:
        Mount("/x", app)
    assert message in str(caught.value)


async def _async_wsgi(environ: Any, start_response: Any) -> None:
    """Neither the one nor the other."""


async def _async_two(a: Any, b: Any) -> None:
    """An ASGI application takes three."""


@pytest.mark.parametrize("app", [_async_wsgi, _async_two], ids=["named", "two-parameters"])
def test_async_is_never_wsgi(app: Any) -> None:
    """A coroutine function with two parameters is no WSGI application."""
    with pytest.raises(InterfaceError, match="cannot be told"):
        recognise(app)


def test_webob() -> None:
    """WebOb's decorator makes a WSGI application of a function of any signature."""
    assert recognise(wsgify(lambda request: None)) == "wsgi"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("app", "interface"),
    [
        pytest.param(asgi3, "asgi3", id="asgi3"),
        pytest.param(Asgi2, "asgi2", id="asgi2"),
        pytest.param(closure(asgi3), "asgi3", id="said"),
    ],
)
async def test_adapted(app: Any, interface: Any) -> None:
    """Whatever it was, it answers as an ASGI 3 application."""
    dispatch = Dispatcher([Mount("/x", app, interface=interface)])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(dispatch), base_url="http://a.com"
    ) as client:
        answer = await client.get("/x")
    assert answer.text in (interface, "asgi3")


def test_unknown_interface() -> None:
    """Is refused with the known ones."""
    with pytest.raises(
        InterfaceError, match="'rsgi' is not known; write one of asgi3, asgi2, wsgi"
    ):
        adapt(asgi3, "rsgi")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        pytest.param(falcon.asgi.App(), "strip", id="falcon"),
        pytest.param(falcon.App(), None, id="falcon-wsgi"),
        pytest.param(socketio.ASGIApp(socketio.AsyncServer()), "strip", id="socketio"),
        pytest.param(
            socketio.ASGIApp(socketio.AsyncServer(), socketio_path=None), None, id="socketio-any"
        ),
        pytest.param(
            socketio.ASGIApp(socketio.AsyncServer(), socketio_path="sub/socket.io"),
            None,
            id="socketio-told",
        ),
        pytest.param(
            socketio.ASGIApp(socketio.AsyncServer(), socketio_path="/subs/socket.io"),
            "strip",
            id="socketio-other",
        ),
        pytest.param(GZipMiddleware(falcon.asgi.App()), "strip", id="below-middleware"),
        pytest.param(circle(), None, id="circle"),
        pytest.param(Starlette(), None, id="starlette"),
    ],
)
def test_the_convention_that_an_app_needs(app: Any, expected: str | None) -> None:
    """Apps that route on `path` alone are known by their class."""
    assert convention_of(app, "/sub") == expected


def test_a_socketio_app_at_the_root() -> None:
    """Its path is below the root, whatever the server has before it."""
    assert convention_of(socketio.ASGIApp(socketio.AsyncServer()), "") == "strip"


@pytest.mark.parametrize(("prefix", "expected"), [("/sub", None), ("/käse", "strip")])
def test_the_convention_that_an_app_needs_below_letters(
    monkeypatch: pytest.MonkeyPatch, prefix: str, expected: str | None
) -> None:
    """BlackSheep, which is not among the frameworks of these tests: by class, where the prefix
    needs to be percent-encoded."""
    module = types.ModuleType("blacksheep.server.application")
    module.Application = type("Application", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert convention_of(module.Application(), prefix) == expected


@pytest.mark.parametrize("wrap", [lambda app: app, GZipMiddleware], ids=["bare", "wrapped"])
def test_an_app_that_believes_to_be_alone(monkeypatch: pytest.MonkeyPatch, wrap: Any) -> None:
    """Muffin, which is not among the frameworks of these tests: by class."""
    module = types.ModuleType("asgi_tools.app")
    module.App = type("App", (Starlette,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert Mount("/sub", wrap(module.App())).convention == "none"
    assert Mount("/sub", wrap(module.App()), convention="strip").convention == "strip"
    assert Mount("/sub", wrap(Starlette())).convention == "spec"


def test_dash_on_fastapi() -> None:
    """It is known by the middleware that Dash gives to its app."""

    class DashMiddleware(GZipMiddleware):
        """Stands for Dash's; `tests/matrix` has the real one."""

    board = Starlette()
    board.add_middleware(GZipMiddleware)
    assert Mount("/sub", board).convention == "spec"
    DashMiddleware.__module__ = "dash.backends._fastapi"
    board.add_middleware(DashMiddleware)
    assert Mount("/sub", board).convention == "strip"


class Shy:
    """An application whose `repr` raises, as that of CherryPy's does outside of a request."""

    def __repr__(self) -> str:
        raise AttributeError("no request")

    def __call__(self, *arguments: Any) -> Any:
        raise NotImplementedError


def test_refused_without_a_repr() -> None:
    """The message names the class."""
    with pytest.raises(InterfaceError, match=r"Whether <\S+\.Shy object> is an ASGI or a WSGI"):
        adapt(Shy())


def test_bridged_without_a_repr() -> None:
    """A bridge does without it too."""
    app, interface = adapt(Shy(), "wsgi")
    assert interface == "wsgi"
    assert re.fullmatch(r"WSGIBridge\(<\S+\.Shy object>\)", repr(app))


def test_middleware_of_another_framework() -> None:
    """Ravyn's apps have an attribute of that name too, with other things in it, and Responder's
    have a method."""

    class Other:
        user_middleware = (object(),)

        def build_middleware_stack(self, one: Any, another: Any) -> None:
            """Nothing here calls it."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Nothing here calls it."""

    mount = Mount("/sub", Other())
    assert mount.convention == "spec"
    assert check(Dispatcher([mount])) == []


async def coroutine() -> None:
    """Nothing awaits it."""


@pytest.mark.parametrize(
    ("app", "kind", "fix"),
    [
        pytest.param(
            http.server.BaseHTTPRequestHandler,
            "http.server.BaseHTTPRequestHandler",
            "serve it with a server of its own",
            id="handler",
        ),
        pytest.param(
            http.server.SimpleHTTPRequestHandler,
            "http.server.BaseHTTPRequestHandler",
            "and send its paths there in the proxy",
            id="its-subclass",
        ),
        pytest.param(Blueprint("shop", "shop"), "flask", "register it in a Flask app", id="flask"),
        pytest.param(
            QuartBlueprint("shop", "shop"), "flask", "register it in a Flask app", id="quart"
        ),
        pytest.param(
            LitestarRouter("/", route_handlers=[]), "litestar", "a Litestar app", id="litestar"
        ),
        pytest.param(
            MCPServer("tools"), "mcp", "mount what its streamable_http_app() returns", id="mcp"
        ),
        pytest.param(socketio.Server(), "socketio", "WSGIApp(…)", id="socketio"),
        pytest.param(
            socketio.AsyncServer(async_mode="asgi"),
            "socketio",
            "ASGIApp(…)",
            id="socketio-async",
        ),
        pytest.param(sys, "a module", "mount the app in it", id="module"),
    ],
)
def test_what_is_no_application(app: Any, kind: str, fix: str) -> None:
    """The error says what it is and what to mount instead, and does not ask for `interface=`."""
    with pytest.raises(InterfaceError) as raised:
        Mount("/x", app)
    message = str(raised.value)
    assert f"is neither an ASGI nor a WSGI application ({kind}" in message
    assert fix in message
    assert "interface=" not in message


def test_a_coroutine() -> None:
    """An application that was not awaited."""
    made = coroutine()
    with pytest.raises(InterfaceError, match=r"a coroutine\); await it"):
        Mount("/x", made)  # type: ignore[arg-type]
    made.close()


def test_what_looks_like_an_application_by_what_it_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio's blocks take anything, and hold an app."""

    class Blocks:
        app = FastAPI()

        def __call__(self, *inputs: Any) -> Any:
            """Nothing here calls it."""

    assert recognise(Blocks()) == "asgi3"
    Blocks = type("Blocks", (Blocks,), {})  # type: ignore[misc]  # its class is asked for once
    monkeypatch.setitem(sys.modules, "gradio", types.SimpleNamespace(Blocks=Blocks))  # type: ignore[arg-type]
    with pytest.raises(InterfaceError, match=r"gradio\.Blocks\); mount gradio\.mount_gradio_app"):
        recognise(Blocks())
