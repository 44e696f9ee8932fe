"""`only`: one mount of any app, wherever it stands."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import (
    Dispatcher,
    DispatchMiddleware,
    ForwardedMiddleware,
    Lifespan,
    LifespanMiddleware,
    Mount,
    PatternError,
    only,
)
from tests.support.clients import ClientFactory

log: list[str] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    log.append("shop starts")
    yield {"stock": "pears"}
    log.append("shop stops")


async def cart(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.url_for('cart')} {getattr(request.state, 'stock', '')}")


SHOP = Starlette(routes=[Route("/cart", cart, name="cart")], lifespan=lifespan)


@asynccontextmanager
async def never(app: Starlette) -> AsyncIterator[None]:
    raise RuntimeError("started")
    yield


BLOG = Starlette(routes=[Route("/", PlainTextResponse("blog"))], lifespan=never)


class Caller:
    """Middleware that leaves something in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["caller"] = "ada"
        await self.app(scope, receive, send)


def in_front() -> FastAPI:
    app = FastAPI(lifespan=never)
    app.add_middleware(DispatchMiddleware, mounts={"/shop": SHOP, "/blog": BLOG})
    return app


def among_routes() -> FastAPI:
    app = FastAPI(routes=[Mount("/shop", SHOP), Mount("/blog", BLOG)], lifespan=never)
    app.add_middleware(LifespanMiddleware)
    return app


def included() -> FastAPI:
    router = APIRouter(routes=[Mount("/shop", SHOP), Mount("/blog", BLOG)])
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    return app


@pytest.mark.parametrize(
    ("app", "prefix"),
    [
        pytest.param(in_front(), "", id="in front of FastAPI"),
        pytest.param(among_routes(), "", id="among FastAPI's routes"),
        pytest.param(included(), "/v1", id="in an included router"),
        pytest.param(Dispatcher({"/shop": SHOP, "/blog": BLOG}), "", id="Dispatcher"),
        pytest.param(
            GZipMiddleware(Dispatcher({"/shop": SHOP, "/blog": BLOG})), "", id="behind a layer"
        ),
        pytest.param(Dispatcher({"/eu": in_front(), "/us": BLOG}), "/eu", id="in a mounted app"),
        pytest.param(Dispatcher({"/x": BLOG}, default=in_front()), "", id="in the app underneath"),
        pytest.param(
            Dispatcher([Mount("/eu", routes=[Mount("/shop", SHOP), Mount("/blog", BLOG)])]),
            "/eu",
            id="among the routes of a mount",
        ),
        pytest.param(
            Starlette(routes=[StarletteMount("/eu", routes=[Mount("/shop", SHOP)])]),
            "/eu",
            id="below Starlette's mount",
        ),
    ],
)
def test_where_the_mount_stands(client: ClientFactory, app: Any, prefix: str) -> None:
    """It alone is started and served, at the place that it has in the whole."""
    log.clear()
    with client(only(app, f"{prefix}/shop")) as alone:
        url = f"http://testserver{prefix}/shop/cart"
        assert alone.get(url).text == f"{url} pears"
        assert log == ["shop starts"]
        assert alone.get(f"{prefix}/blog/").status_code == 404
        assert alone.get("/").status_code == 404
    assert log == ["shop starts", "shop stops"]


def test_the_middleware_above_runs() -> None:
    """The mount sees what it has left in the scope."""

    async def shop(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["caller"])(scope, receive, send)

    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/shop", shop, lifespan="off")])
    app.add_middleware(Caller)
    assert TestClient(only(app, "/shop")).get("/shop/").text == "ada"


def test_the_request_as_it_comes_in_decides() -> None:
    """As for `explain`, not what the middleware above makes of it."""
    app = Starlette()
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/", SHOP, host="shop.example.com")])
    app.add_middleware(ForwardedMiddleware, trusted=["127.0.0.1"])
    client = ("127.0.0.1", 1)
    forwarded = {"x-forwarded-host": "shop.example.com"}
    whole, alone = TestClient(app, client=client), TestClient(only(app, "/"), client=client)
    assert whole.get("/cart", headers=forwarded).status_code == 200
    assert alone.get("/cart", headers=forwarded).status_code == 404
    assert alone.get("http://shop.example.com/cart").status_code == 200


def test_what_is_shared_of_the_state_of_a_parent() -> None:
    """Is missing, as the parent is not started."""

    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(hasattr(request.state, "stock")))

    shop = Starlette(routes=[Route("/", index)])
    app = Starlette(lifespan=lifespan)
    mounts = [Mount("/shop", shop, lifespan=Lifespan(share=["stock"]))]
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    for site, is_there in ((app, "True"), (only(app, "/shop"), "False")):
        with TestClient(site) as client:
            assert client.get("/shop/").text == is_there


def test_the_handlers_of_the_parent() -> None:
    """They get the exceptions that they get in the whole."""

    async def handle(request: Request, exc: Exception) -> PlainTextResponse:
        return PlainTextResponse(str(exc), 418)

    async def shop(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    app = Starlette(routes=[Mount("/shop", shop)], exception_handlers={RuntimeError: handle})
    with TestClient(only(app, "/shop")) as alone:
        assert (alone.get("/shop/").status_code, alone.get("/shop/").text) == (418, "broken")


def test_a_mount_that_a_router_has_copied() -> None:
    """The original stands for its copies."""
    shop, app = Mount("/shop", SHOP), FastAPI()
    router = APIRouter(routes=[shop, Mount("/blog", BLOG)])
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    alone = TestClient(only(app, shop))
    urls = ("/v1/shop/cart", "/v2/shop/cart", "/v1/blog/")
    assert [alone.get(url).status_code for url in urls] == [200, 200, 404]


def test_a_mount_by_itself_at_depth() -> None:
    """The path above it need not be known."""
    shop = Mount("/shop", SHOP)
    app = Dispatcher({"/eu": Dispatcher([shop, Mount("/blog", BLOG)])})
    alone = TestClient(only(app, shop))
    assert [alone.get(f"/eu/{url}").status_code for url in ("shop/cart", "blog/")] == [200, 404]


def test_a_wsgi_app() -> None:
    """It needs no start."""
    flask = Flask(__name__)
    flask.add_url_rule("/", view_func=lambda: "flask")
    app = FastAPI()
    app.add_middleware(DispatchMiddleware, mounts={"/legacy": flask, "/blog": BLOG})
    with TestClient(only(app, "/legacy")) as alone:
        assert alone.get("/legacy/").text == "flask"


def test_an_app_mounted_into_itself() -> None:
    """The search for mounts comes to its end."""
    app = Starlette()
    app.router.routes.append(Mount("/self", app))
    with pytest.raises(PatternError, match="there are '/self'"):
        only(app, "zzz")


def test_an_app_without_mounts() -> None:
    """Nothing can be proposed."""
    with pytest.raises(PatternError, match="the app has none"):
        only(SHOP, "/shop")


def test_no_warning_that_it_was_never_started(caplog: pytest.LogCaptureFixture) -> None:
    """`only` runs the lifespan itself, so that `LifespanMiddleware` is not missed."""
    app = Starlette(routes=[Mount("/shop", Starlette(routes=[Route("/", PlainTextResponse())]))])
    with caplog.at_level(logging.WARNING), TestClient(only(app, "/shop")) as alone:
        assert alone.get("/shop/").status_code == 200
    assert caplog.messages == []
