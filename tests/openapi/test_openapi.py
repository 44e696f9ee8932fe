"""One document over all mounted apps, held against the specification's schema."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Path
from fastapi.security import HTTPBearer, OAuth2PasswordBearer, OpenIdConnect
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
from tests.support.clients import ClientFactory
from tests.support.lifespans import Running


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
    assert set(found["webhooks"]) == {"shop.made", "tenant.made", "deep-k-se.made"}
    ids = re.findall(r'"operationId": "([^"]+)"', json.dumps(found))
    assert len(ids) == len(set(ids))


def publishing(document: dict[str, Any]) -> FastAPI:
    """An app with a document of any kind."""
    app = FastAPI()
    info = {"title": "Any", "version": "1"}
    whole = {"openapi": "3.1.0", "info": info, "paths": {}, **document}
    app.openapi = lambda: whole  # type: ignore[method-assign]
    return app


def alone(client: ClientFactory, spec: dict[str, Any], *others: Mount) -> Any:
    """What comes of one such document; it stays as it was."""
    before = json.dumps(spec)
    app = Dispatcher([Mount("/docs", OpenAPI()), Mount("/x", publishing(spec)), *others])
    found = document(client, app)
    assert json.dumps(spec) == before
    return found


def operation(**more: Any) -> dict[str, Any]:
    return {"responses": {"200": {"description": "All right."}}, **more}


def test_data_is_left_alone(client: ClientFactory) -> None:
    """What looks like a reference in examples and defaults is none."""
    looks = {"$ref": "#/components/schemas/A", "operationId": "a"}
    schema = {
        "type": "object",
        "default": {"operationId": "a"},  # the validator takes a "$ref" here for one
        "examples": [looks],
        "x-more": looks,
        "properties": {
            "default": {"$ref": "#/components/schemas/A"},
            "$ref": {"type": "string"},
            "operationId": {"enum": ["a", looks]},
        },
    }
    media = {
        "schema": {"$ref": "#/components/schemas/A"},
        "examples": {"a": {"value": looks}, "b": {"$ref": "#/components/examples/E"}},
    }
    body = {"content": {"application/json": media}}
    found = alone(
        client,
        {
            "paths": {"/a": {"post": operation(requestBody=body)}, "x-note": "none of a path"},
            "components": {
                "schemas": {"A": schema},
                "examples": {"E": {"value": looks}},
                "x-note": "nothing",
            },
        },
    )
    got = found["components"]["schemas"]["x.A"]
    assert got["default"] == {"operationId": "a"}
    assert got["x-more"] == looks
    assert got["examples"] == [looks]
    assert got["properties"]["default"] == {"$ref": "#/components/schemas/x.A"}
    assert got["properties"]["operationId"] == {"enum": ["a", looks]}
    [media] = found["paths"]["/x/a"]["post"]["requestBody"]["content"].values()
    assert media["examples"]["a"] == {"value": looks}
    assert media["examples"]["b"] == {"$ref": "#/components/examples/x.E"}
    assert found["components"]["examples"]["x.E"] == {"value": looks}
    assert list(found["paths"]) == ["/x/a"]
    assert set(found["components"]) == {"schemas", "examples"}


def test_discriminators(client: ClientFactory) -> None:
    """Names of schemas stand in payloads: they stay, and lead to the schema that is meant."""
    cat, dog = ({"$ref": f"#/components/schemas/{name}"} for name in ("Cat", "Dog"))
    kind = {"type": "object", "properties": {"kind": {"type": "string"}}}
    schemas = {
        "Cat": kind,
        "Dog": kind,
        "Either": {
            "oneOf": [cat, dog, {"type": "null"}],
            "discriminator": {"propertyName": "kind"},
        },
        "Any": {
            "anyOf": [cat, dog],
            "discriminator": {
                "propertyName": "kind",
                "mapping": {"miau": "Cat", "wau": dog["$ref"], "else": "other.json#/Else"},
            },
        },
        "Base": {**kind, "discriminator": {"propertyName": "kind"}},
        "Child": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"type": "object"}]},
        "Childless": {**kind, "discriminator": {"propertyName": "kind"}},
        "Odd": {"properties": {"discriminator": {"type": "string"}}},
    }
    found = alone(client, {"components": {"schemas": schemas}})["components"]["schemas"]
    at = "#/components/schemas/x."
    assert found["x.Either"]["discriminator"]["mapping"] == {"Cat": f"{at}Cat", "Dog": f"{at}Dog"}
    assert found["x.Any"]["discriminator"]["mapping"] == {
        "miau": f"{at}Cat",
        "wau": f"{at}Dog",
        "else": "other.json#/Else",
    }
    assert found["x.Base"]["discriminator"]["mapping"] == {"Child": f"{at}Child"}
    assert "mapping" not in found["x.Childless"]["discriminator"]
    assert found["x.Odd"]["properties"] == {"discriminator": {"type": "string"}}


def test_operations_wherever_they_are(client: ClientFactory) -> None:
    """Callbacks, webhooks and path items of two apps with the same names."""
    item = {"post": operation(operationId="told", tags=["t"], security=[{"key": []}])}
    callback = {"{$request.body#/url}": item, "x-note": {}}
    spec = {
        "paths": {
            "/p": {"$ref": "#/components/pathItems/P"},
            "/a/{b}": {
                "parameters": [
                    {"name": "b", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "get": operation(
                    operationId="a",
                    callbacks={"own": callback, "other": {"$ref": "#/components/callbacks/C"}},
                    responses={
                        "200": {
                            "description": "x",
                            "links": {
                                "one": {"operationId": "a"},
                                "two": {"operationRef": "#/paths/~1a~1{b}/get"},
                                "gone": {"operationRef": "#/paths/~1gone/get"},
                                "hook": {"operationRef": "#/webhooks/made/post"},
                                "far": {"operationRef": "https://a.com/#/paths/~1a/get"},
                            },
                        }
                    },
                ),
            },
        },
        "webhooks": {"made": item},
        "tags": [{"name": "t"}],
        "components": {
            "callbacks": {"C": {"{$url}": {"post": operation(operationId="c")}}},
            "pathItems": {"P": {"get": operation(operationId="p")}},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "k"}},
        },
    }
    app = Dispatcher(
        [
            Mount("/docs", OpenAPI()),
            Mount("/x", publishing(spec), name="x"),
            Mount("/y", publishing({**spec, "info": {"title": "Other", "version": "1"}}), name="y"),
        ]
    )
    found = document(client, app)
    ids = re.findall(r'"operationId": "(\w+)"', json.dumps(found))
    assert set(ids) == {f"{app}_{name}" for app in "xy" for name in ("a", "c", "p", "told")}
    got = found["paths"]["/x/a/{b}"]["get"]
    told = got["callbacks"]["own"]["{$request.body#/url}"]["post"]
    assert told == found["webhooks"]["x.made"]["post"]
    assert (told["operationId"], told["tags"]) == ("x_told", ["Any: t"])
    assert told["security"] == [{"x.key": []}]
    assert got["callbacks"]["own"]["x-note"] == {}
    assert got["callbacks"]["other"] == {"$ref": "#/components/callbacks/x.C"}
    assert {k: next(iter(v.values())) for k, v in got["responses"]["200"]["links"].items()} == {
        "one": "x_a",
        "two": "#/paths/~1x~1a~1{b}/get",
        "gone": "#/paths/~1gone/get",
        "hook": "#/webhooks/x.made/post",
        "far": "https://a.com/#/paths/~1a/get",
    }


def test_methods_of_version_3_2(client: ClientFactory) -> None:
    """The document is of the newest version that one of them has."""
    item = {
        "query": operation(operationId="q"),
        "additionalOperations": {"LINK": operation(operationId="l")},
    }
    spec = {"openapi": "3.2.0", "paths": {"/a": item}, "tags": [{"name": "b", "parent": "a"}]}
    app = Dispatcher({"/docs": OpenAPI(), "/x": publishing(spec), "/y": fastapi("Y")})
    found = client(app).get("/docs/openapi.json").json()
    assert found["openapi"] == "3.2.0"
    assert found["paths"]["/x/a"]["query"]["operationId"] == "x_q"
    assert found["paths"]["/x/a"]["additionalOperations"]["LINK"]["operationId"] == "x_l"
    assert found["tags"] == [{"name": "Any: b", "parent": "Any: a"}]


def test_version_3_0_among_later_ones(client: ClientFactory) -> None:
    """What it says in its own words is said in those of JSON Schema."""
    schemas = {
        "text": {"type": "string", "nullable": True, "enum": ["a"]},
        "null": {"type": "string", "nullable": True, "enum": ["a", None]},
        "plain": {"type": "string", "nullable": False},
        "ref": {"allOf": [{"$ref": "#/components/schemas/text"}], "nullable": True},
        "over": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "up": {"type": "integer", "maximum": 9, "exclusiveMaximum": False},
        "named": {"type": "object", "properties": {"nullable": {"type": "boolean"}}},
    }
    spec = {"openapi": "3.0.3", "components": {"schemas": schemas}}
    later = alone(client, spec, Mount("/y", fastapi("Y")))["components"]["schemas"]
    assert {k[2:]: v for k, v in later.items() if k.startswith("x.")} == {
        "text": {"type": ["string", "null"], "enum": ["a", None]},
        "null": {"type": ["string", "null"], "enum": ["a", None]},
        "plain": {"type": "string"},
        "ref": {"anyOf": [{"allOf": [{"$ref": "#/components/schemas/x.text"}]}, {"type": "null"}]},
        "over": {"type": "integer", "exclusiveMinimum": 0},
        "up": {"type": "integer", "maximum": 9},
        "named": {"type": "object", "properties": {"nullable": {"type": "boolean"}}},
    }
    found = alone(client, spec)
    assert found["openapi"] == "3.0.3"
    assert found["components"]["schemas"]["x.text"] == schemas["text"]


@pytest.mark.parametrize(
    ("options", "base"),
    [
        pytest.param({}, "/x/", id="path"),
        pytest.param({"host": "a.com"}, "//a.com/x/", id="host"),
    ],
)
def test_urls_of_security_schemes(
    client: ClientFactory, options: dict[str, Any], base: str
) -> None:
    """Relative ones, such as FastAPI's `tokenUrl`, are below the app."""
    shop = FastAPI()
    bearer = OAuth2PasswordBearer(tokenUrl="auth/token", refreshUrl="/auth/refresh")

    @shop.get("/me", dependencies=[Depends(bearer)])
    def me() -> None: ...

    openid = OpenIdConnect(openIdConnectUrl="https://id.example.com/")

    @shop.get("/id", dependencies=[Depends(openid)])
    def id() -> None: ...

    app = Dispatcher([Mount("/docs", OpenAPI()), Mount("/x", shop, name="x", **options)])
    schemes = document(client, app)["components"]["securitySchemes"]
    flow = schemes["x.OAuth2PasswordBearer"]["flows"]["password"]
    assert flow["tokenUrl"] == f"{base}auth/token"
    assert flow["refreshUrl"] == "/auth/refresh"
    assert schemes["x.OpenIdConnect"]["openIdConnectUrl"] == "https://id.example.com/"


def test_placeholders_with_the_same_name(client: ClientFactory) -> None:
    """Of two mounts and a path: a template has each name once."""
    app = Dispatcher(
        [
            Mount("/docs", OpenAPI()),
            Mount("/a/{id:int}", Dispatcher([Mount("/b/{id}", fastapi("Shop"))])),
        ]
    )
    paths = document(client, app)["paths"]
    assert list(paths) == ["/a/{id_3}/b/{id_2}/items/{id}", "/a/{id_2}/b/{id}/items"]
    params = paths["/a/{id_3}/b/{id_2}/items/{id}"]["parameters"]
    assert [(p["name"], p["schema"]["type"]) for p in params] == [
        ("id_3", "integer"),
        ("id_2", "string"),
    ]


def test_an_app_that_declares_the_placeholder(client: ClientFactory) -> None:
    """Its own words about it stand."""
    own = {"name": "tenant", "in": "path", "required": True, "schema": {"enum": ["a", "b"]}}
    spec = {"paths": {"/a": {"get": operation(), "parameters": [own]}}}
    app = Dispatcher({"/docs": OpenAPI(), "/t/{tenant}": publishing(spec)})
    assert document(client, app)["paths"]["/t/{tenant}/a"]["parameters"] == [own]


def test_apps_with_the_same_title(client: ClientFactory) -> None:
    """FastAPI's is "FastAPI": they are told apart by their mounts."""
    app = Dispatcher({"/docs": OpenAPI(), "/a": FastAPI(), "/b": FastAPI(), "/c": fastapi("C")})
    text = client(app).get("/docs/").text
    [urls] = re.findall(r"urls: (\[.*\]),", text)
    names = [entry["name"] for entry in json.loads(urls)]
    assert names == ["APIs", "FastAPI (a)", "FastAPI (b)", "C"]


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
    app = Starlette(routes=[Mount("/docs", OpenAPI(exclude=["shop"])), inner])
    assert document(client, app)["paths"] == {}  # a bare router has no name
    app = Starlette(routes=[Mount("/docs", OpenAPI()), inner])
    assert "/v1/shop/items" in document(client, app)["paths"]


def test_apps_that_starlette_mounts(client: ClientFactory) -> None:
    """By path and by host; a host that is none of mountkit's is not said."""
    outer = FastAPI(title="Main")
    outer.mount("/docs", Dispatcher([Mount("", OpenAPI())]))
    outer.mount("/sub/{number:int}", fastapi("Sub"))
    outer.host("api.example.com", fastapi("API"), name="api")
    outer.host("{a}{b}.example.org", fastapi("Odd"), name="odd")
    paths = document(client, Dispatcher([], default=outer))["paths"]
    assert "/sub/{number}/items" in paths
    assert paths["/sub/{number}/items"]["parameters"][0]["schema"] == {"type": "integer"}
    assert paths["/items#api"]["servers"] == [{"url": "//api.example.com"}]
    assert "servers" not in paths["/items"]


def test_mounts_of_one_table_among_routes(client: ClientFactory) -> None:
    """Those of `routes=`."""
    team = Mount("/team", routes=[Mount("/a", fastapi("A")), Route("/b", pages)])
    app = Dispatcher([Mount("/docs", OpenAPI()), team])
    assert "/team/a/items" in document(client, app)["paths"]


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


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("/swagger/", "/outer/swagger"),
        ("//cdn.example.com/s", "//cdn.example.com/s"),
        ("https://cdn.example.com/s", "https://cdn.example.com/s"),
    ],
)
def test_a_copy_of_swagger_ui(client: ClientFactory, url: str, base: str) -> None:
    """A path is below the server's `root_path`."""
    session = client(Dispatcher({"/docs": OpenAPI(swagger_ui=url)}), root_path="/outer")
    text = session.get("/outer/docs/").text
    assert f'src="{base}/swagger-ui-bundle.js"' in text


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
    with pytest.raises(
        MountkitError, match=r"'/legacy' .* answered GET /broken\.json with 200 and no OpenAPI"
    ):
        client(app).get("/docs/openapi.json")


def test_an_app_that_publishes_swagger_2(client: ClientFactory) -> None:
    """It cannot be a part of a document of OpenAPI 3."""

    async def spec(request: Request) -> JSONResponse:
        return JSONResponse({"swagger": "2.0", "paths": {}})

    app = Dispatcher(
        [
            Mount("/docs", OpenAPI(documents={"old": "/spec.json"}), errors="raise"),
            Mount("/old", Starlette(routes=[Route("/spec.json", spec)])),
        ]
    )
    with pytest.raises(MountkitError, match="and a Swagger 2 document; give the path of an"):
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
    with pytest.raises(MountkitError, match=r"^OpenAPI\(\) is not mounted"):
        await server.ask("/")
    await server.app({"type": "websocket"}, server.receive, server.send)
    assert server.messages[-1]["type"] == "websocket.close"
