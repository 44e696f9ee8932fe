"""One document over all mounted apps, held against the specification's schema."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Path
from fastapi.security import HTTPBearer
from flask import Flask, jsonify
from litestar import Litestar, get
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route
from starlette.types import ASGIApp

from mountkit import Dispatcher, DispatchMiddleware, Mount, MountkitError, OpenAPI
from tests.conftest import ClientFactory
from tests.test_supervision import Running


class Item(BaseModel):
    """Both apps have one, of their own."""

    name: str


def fastapi(title: str, *, tags: list[str] | None = None) -> FastAPI:
    app = FastAPI(title=title, version="2", openapi_tags=[{"name": "t"}] if tags else None)

    @app.get("/items/{id}", tags=tags)  # type: ignore[arg-type]
    def read(id: Annotated[int, Path()]) -> Item:
        return Item(name=title)

    @app.post("/items", dependencies=[Depends(HTTPBearer())])
    def create(item: Item) -> Item:
        return item

    @app.webhooks.post("made")
    def made(item: Item) -> None:
        """Told to subscribers."""

    return app


@get("/pages", sync_to_thread=False)
def pages() -> dict[str, str]:
    return {}


def flask_app() -> Flask:
    app = Flask("legacy")

    @app.get("/spec.json")
    def spec() -> Any:
        paths = {"/old": {"get": {"responses": {"200": {"description": "x"}}}}}
        return jsonify(openapi="3.0.3", info={"title": "Old", "version": "1"}, paths=paths)

    @app.get("/broken.json")
    def broken() -> str:
        return "nothing"

    return app


def mounts() -> list[Mount]:
    return [
        Mount("/docs", OpenAPI(title="All of it", documents={"legacy": "/spec.json"})),
        Mount("/shop", fastapi("Shop", tags=["t"]), name="shop"),
        Mount("/t/{tenant}", fastapi("Tenant"), name="tenant"),
        Mount("/n/{number:int}/{part:float}", Litestar([pages]), name="site"),
        Mount("/deep", Dispatcher([Mount("/käse", fastapi("Cheese"))]), name="deep"),
        Mount("/legacy", flask_app(), name="legacy"),
        Mount("/hidden", FastAPI(openapi_url=None), name="hidden"),
        Mount("/plain", Starlette(), name="plain"),
    ]


def dispatcher(mounts: list[Mount]) -> ASGIApp:
    return Dispatcher(mounts, default=fastapi("Main"))


def middleware(mounts: list[Mount]) -> ASGIApp:
    app = fastapi("Main")
    app.add_middleware(DispatchMiddleware, mounts=mounts)
    return app


def routes(mounts: list[Mount]) -> ASGIApp:
    app = fastapi("Main")
    router = APIRouter()
    router.routes += mounts
    app.include_router(router)
    return app


def document(client: ClientFactory, app: ASGIApp, name: str = "openapi", **options: Any) -> Any:
    response = client(app, **options).get(f"/docs/{name}.json")
    assert response.status_code == 200, response.text
    found = response.json()
    validate(found)
    return found


@pytest.mark.parametrize("place", [dispatcher, middleware, routes])
def test_every_app_is_in_it(client: ClientFactory, place: Any) -> None:
    """Below its prefix, wherever it is mounted; those that publish nothing are not."""
    found = document(client, place(mounts()))
    assert found["info"] == {"title": "All of it", "version": "1"}
    assert set(found["paths"]) == {
        *("/items/{id}", "/items"),
        *("/shop/items/{id}", "/shop/items"),
        *("/t/{tenant}/items/{id}", "/t/{tenant}/items"),
        "/n/{number}/{part}/pages",
        *("/deep/k%C3%A4se/items/{id}", "/deep/k%C3%A4se/items"),
        "/legacy/old",
    }


def test_components_are_kept_apart(client: ClientFactory) -> None:
    """Every `$ref` leads to the app's own, and security requirements too."""
    found = document(client, Dispatcher(mounts()))
    assert {"shop.Item", "tenant.Item"} <= set(found["components"]["schemas"])
    operation = found["paths"]["/shop/items"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/shop.Item"}
    assert operation["security"] == [{"shop.HTTPBearer": []}]
    assert operation["operationId"].startswith("shop_")
    refs = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(found))
    assert set(refs) <= set(found["components"]["schemas"])
    assert (
        set(found["webhooks"]) == {"shop.made", "tenant.made", "deep-kase.made"}
        or len(found["webhooks"]) == 3
    )


def test_tags_tell_apps_apart(client: ClientFactory) -> None:
    """An operation without one has its app's title."""
    found = document(client, Dispatcher(mounts()))
    assert found["paths"]["/shop/items/{id}"]["get"]["tags"] == ["Shop: t"]
    assert found["paths"]["/shop/items"]["post"]["tags"] == ["Shop"]
    assert found["tags"] == [{"name": "Shop: t"}]


def test_placeholders_of_mounts_are_parameters(client: ClientFactory) -> None:
    """With their types."""
    paths = document(client, Dispatcher(mounts()))["paths"]
    [tenant] = paths["/t/{tenant}/items"]["parameters"]
    assert (tenant["name"], tenant["schema"]) == ("tenant", {"type": "string"})
    types = [p["schema"]["type"] for p in paths["/n/{number}/{part}/pages"]["parameters"]]
    assert types == ["integer", "number"]


def test_security_of_a_whole_document(client: ClientFactory) -> None:
    """Goes to its operations, as other apps do not have it."""
    spec = {
        "openapi": "3.0.3",
        "info": {"title": "Old", "version": "1"},
        "security": [{"key": []}],
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "k"}}},
        "paths": {"/a": {"get": {"responses": {"200": {"description": "x"}}}}},
    }
    app = FastAPI()
    app.openapi = lambda: spec  # type: ignore[method-assign]
    found = document(client, Dispatcher({"/docs": OpenAPI(), "/old": app}))
    assert found["openapi"] == "3.0.3"
    assert found["paths"]["/old/a"]["get"]["security"] == [{"old.key": []}]
    assert "security" not in found
    assert spec["security"] == [{"key": []}]  # the app's own is untouched


def test_hosts_are_servers(client: ClientFactory) -> None:
    """The same app at several is there once; other apps at the same path are there as well."""
    shop = fastapi("Shop")
    app = Dispatcher(
        [
            Mount("/docs", OpenAPI()),
            Mount("", shop, host="a.com", name="a"),
            Mount("", shop, host="{tenant}.b.com:8000", name="b"),
            Mount("", fastapi("Other"), host="*.c.com", name="c"),
        ]
    )
    found = document(client, app)
    assert set(found["paths"]) == {"/items", "/items/{id}", "/items#c", "/items/{id}#c"}
    assert found["paths"]["/items"]["servers"] == [
        {"url": "//a.com"},
        {"url": "//{tenant}.b.com:8000", "variables": {"tenant": {"default": "tenant"}}},
    ]
    assert found["paths"]["/items#c"]["servers"] == [
        {"url": "//{any}.c.com", "variables": {"any": {"default": "any"}}}
    ]


def test_below_a_servers_root_path(client: ClientFactory) -> None:
    """It is the document's server."""
    app = Dispatcher(
        [*mounts(), Mount("", fastapi("Other"), host="a.com")], default=fastapi("Main")
    )
    response = client(app, root_path="/outer").get("/outer/docs/openapi.json")
    found = response.json()
    validate(found)
    assert found["servers"] == [{"url": "/outer"}]
    assert "/legacy/old" in found["paths"]
    assert found["paths"]["/items#a-com"]["servers"] == [{"url": "//a.com/outer"}]


def test_one_app_alone(client: ClientFactory) -> None:
    """By the name of its mount."""
    found = document(client, Dispatcher(mounts()), "apps/shop")
    assert found["info"] == {"title": "Shop", "version": "2"}
    assert set(found["paths"]) == {"/shop/items/{id}", "/shop/items"}


def test_mounts_with_the_same_name(client: ClientFactory) -> None:
    """Are told apart by a number."""
    app = Dispatcher(
        [
            Mount("/docs", OpenAPI()),
            Mount("/a", fastapi("One"), name="x"),
            Mount("/b", fastapi("Two"), name="x"),
        ]
    )
    found = document(client, app)
    assert {"x.Item", "x-2.Item"} == {n for n in found["components"]["schemas"] if "Item" in n}


def test_mounts_that_are_not_shown(client: ClientFactory) -> None:
    """By choice."""
    app = Dispatcher({"/docs": OpenAPI(exclude=["shop"]), "/shop": fastapi("Shop")})
    assert document(client, app)["paths"] == {}


def test_mounts_below_starlettes_own(client: ClientFactory) -> None:
    """Their prefix counts."""
    inner = StarletteMount("/v1", routes=[Mount("/shop", fastapi("Shop"))])
    app = Starlette(routes=[Mount("/docs", OpenAPI()), inner])
    assert "/v1/shop/items" in document(client, app)["paths"]


def test_apps_that_are_mounted_in_each_other(client: ClientFactory) -> None:
    """Are followed some way down."""
    one, two = FastAPI(title="One"), FastAPI(title="Two")
    one.router.routes.append(Mount("/two", two))
    two.router.routes.append(Mount("/one", one))
    app = Dispatcher({"/docs": OpenAPI(), "/one": one})
    assert client(app).get("/docs/openapi.json").status_code == 200


def test_the_page_has_a_choice(client: ClientFactory) -> None:
    """All of it, and each app."""
    response = client(Dispatcher(mounts())).get("/docs/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    [urls] = re.findall(r"urls: (\[.*\]),", response.text)
    names = {entry["name"]: entry["url"] for entry in json.loads(urls)}
    assert names["All of it"] == "./openapi.json"
    assert names["Shop"] == "./apps/shop.json"
    session = client(Dispatcher(mounts()))
    assert all(session.get(f"/docs/{url}").status_code == 200 for url in names.values())


def test_a_title_is_text(client: ClientFactory) -> None:
    """Whatever it has in it."""
    app = Dispatcher({"/docs": OpenAPI(title="</script><b>&"), "/x": fastapi("</script>")})
    text = client(app).get("/docs/").text
    assert "<title>&lt;/script&gt;&lt;b&gt;&amp;</title>" in text
    assert text.count("</script>") == 3


@pytest.mark.parametrize("path", ["/docs/x", "/docs/apps/x.json"])
def test_nothing_else(client: ClientFactory, path: str) -> None:
    """404."""
    assert client(Dispatcher(mounts())).get(path).status_code == 404


def test_an_app_that_publishes_nothing_there(client: ClientFactory) -> None:
    """The message says whose document is missing."""
    app = Dispatcher(
        [
            Mount("/docs", OpenAPI(documents={"legacy": "/broken.json"}), errors="raise"),
            Mount("/legacy", flask_app(), name="legacy"),
        ]
    )
    with pytest.raises(MountkitError, match=r"'/legacy' .* answered 200 to GET /broken\.json"):
        client(app).get("/docs/openapi.json")


def test_the_document_of_any_app(client: ClientFactory) -> None:
    """It is asked as a client would ask it, and may read the request's body."""

    async def spec(request: Request) -> JSONResponse:
        info = {"title": "Any", "version": str(len(await request.body()))}
        return JSONResponse({"openapi": "3.1.0", "info": info, "paths": {}})

    app = Dispatcher(
        [
            Mount("/docs", OpenAPI(documents={"any": "/spec.json"})),
            Mount("/any", Starlette(routes=[Route("/spec.json", spec)])),
        ]
    )
    assert document(client, app, "apps/any")["info"] == {"title": "Any", "version": "0"}


@pytest.mark.anyio
async def test_it_has_to_be_mounted() -> None:
    """Alone there is nothing to show, and no websocket at all."""
    server = Running(OpenAPI())
    with pytest.raises(MountkitError, match="was called by no mount"):
        await server.ask("/")
    await server.app({"type": "websocket"}, server.receive, server.send)
    assert server.messages[-1]["type"] == "websocket.close"
