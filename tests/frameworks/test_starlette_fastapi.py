"""Mounts in the company of Starlette's and FastAPI's own routers, middleware and names."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.routing import NoMatchFound, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from mountkit import Dispatcher, DispatchMiddleware, LifespanMiddleware, Mount
from tests.support.apps import sites
from tests.support.clients import ClientFactory


def says(text: str) -> Starlette:
    """An app that says who it is, over http and websockets."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse(text)

    async def greet(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(text)
        await websocket.close()

    path = "/{rest:path}"
    return Starlette(routes=[Route(path, answer), WebSocketRoute(path, greet)])


def item_app() -> Starlette:
    """An app with one named route, which answers with the URL of itself."""

    async def item(request: Request) -> Response:
        id = request.path_params["id"]
        return JSONResponse([id, str(request.url_for("item", id=id)), request.app is app])

    app = Starlette(routes=[Route("/item/{id:int}", item, name="item")])
    return app


# Routers: which of them gets a request.


def test_the_next_route_gets_what_a_mount_refuses(client: ClientFactory) -> None:
    """Versions by header, as routes of a FastAPI app: a refused request goes on down the list."""
    app = FastAPI(
        routes=[
            Mount("/api", says("v2"), headers={"x-api-version": "2"}),
            Mount("/api", says("v1"), host="api.example.com"),
        ]
    )
    app.add_api_route("/api/{rest}", lambda rest: rest)
    running = client(app)
    asked: list[dict[str, str]] = [
        {"x-api-version": "2"},
        {"host": "api.example.com"},
        {"host": "example.com"},
    ]
    answers = [running.get("/api/x", headers=headers).text for headers in asked]
    assert answers == ["v2", "v1", '"x"']


def nested_twice(mount: Mount) -> FastAPI:
    inner = APIRouter(routes=[mount])
    outer = APIRouter()
    outer.include_router(inner, prefix="/v1")
    app = FastAPI()
    app.include_router(outer, prefix="/api")
    return app


def router_with_a_prefix(mount: Mount) -> FastAPI:
    router = APIRouter(prefix="/v1")
    router.routes.append(mount)
    app = FastAPI()
    app.include_router(router, prefix="/api")
    return app


def below_starlettes_mount(mount: Mount) -> Starlette:
    return Starlette(
        routes=[StarletteMount("/api", routes=[StarletteMount("/v1", routes=[mount])])]
    )


def below_ours(mount: Mount) -> Starlette:
    return Starlette(routes=[Mount("/api", routes=[Mount("/v1", routes=[mount])])])


def below_a_host(mount: Mount) -> Starlette:
    router = Router([StarletteMount("/api/v1", routes=[mount])])
    return Starlette(routes=[StarletteHost("{tenant}.example.com", router)])


@pytest.mark.parametrize(
    ("place", "own"),
    [
        pytest.param(nested_twice, "/api/v1", id="nested-include-router"),
        pytest.param(router_with_a_prefix, "/api", id="include-router-with-its-own-prefix"),
        pytest.param(below_starlettes_mount, "/api/v1", id="starlette-mounts"),
        pytest.param(below_ours, "/api/v1", id="our-mounts"),
        pytest.param(below_a_host, "/api/v1", id="starlette-host"),
    ],
)
def test_conditions_stay_in_force_below(
    client: ClientFactory, place: Callable[[Mount], Any], own: str
) -> None:
    """Path, host, header and method, for requests and websockets, however deep it stands."""
    mount = Mount("/m", item_app(), host="acme.example.com", headers={"x": "1"}, methods=["GET"])
    sockets = Mount("/s", says("socket"), host="acme.example.com", headers={"x": "1"})
    running = client(place(mount))
    right = {"host": "acme.example.com", "x": "1"}
    url = f"http://acme.example.com{own}/m/item/3"
    assert running.get(f"{own}/m/item/3", headers=right).json() == [3, url, True]
    for wrong in ({**right, "host": "globex.example.com"}, {"host": "acme.example.com"}):
        assert running.get(f"{own}/m/item/3", headers=wrong).status_code == 404
    assert running.post(f"{own}/m/item/3", headers=right).status_code == 404
    assert running.get("/m/item/3", headers=right).status_code == 404
    running = client(place(sockets))
    with running.websocket_connect(f"{own}/s/x", headers=right) as websocket:
        assert websocket.receive_text() == "socket"
    wrong = {**right, "x": "2"}
    with (
        pytest.raises(WebSocketDisconnect),
        running.websocket_connect(f"{own}/s/x", headers=wrong),
    ):
        """Is refused."""


def test_included_below_a_placeholder_of_a_starlette_mount(client: ClientFactory) -> None:
    """The placeholders of all mounts of mountkit above are in `path_params`, others are not."""

    async def show(request: Request) -> Response:
        return JSONResponse(request.path_params)

    child = Starlette(routes=[Route("/item/{id:int}", show)])
    inner = Starlette(routes=[Mount("/u/{user:int}", child)])
    app = Starlette(routes=[StarletteMount("/t/{tenant}", routes=[Mount("/v{n:int}", inner)])])
    answer = client(app).get("/t/acme/v2/u/7/item/3").json()
    assert answer == {"n": 2, "user": 7, "id": 3}


class MonthConvertor(Convertor[tuple[int, int]]):
    regex = "[0-9]{4}-[0-9]{2}"

    def convert(self, value: str) -> tuple[int, int]:
        year, month = value.split("-")
        return int(year), int(month)

    def to_string(self, value: tuple[int, int]) -> str:
        return f"{value[0]:04}-{value[1]:02}"


@pytest.fixture
def month() -> Iterator[None]:
    register_url_convertor("month", MonthConvertor())
    yield
    del CONVERTOR_TYPES["month"]


ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.usefixtures("month")
@pytest.mark.parametrize(
    ("prefix", "value", "text", "wrong"),
    [
        pytest.param("/p/{value:int}", 7, "7", "x", id="int"),
        pytest.param("/p/{value:float}", 1.5, "1.5", "x", id="float"),
        pytest.param("/p/{value:uuid}", ID, str(ID), "7", id="uuid"),
        pytest.param("/p/{value:month}", (2026, 11), "2026-11", "2026", id="the-users-own"),
    ],
)
def test_convertors_in_prefixes(
    client: ClientFactory, prefix: str, value: Any, text: str, wrong: str
) -> None:
    """Starlette's and those registered by the user: from the URL, and back to it."""
    found: list[Any] = []

    async def show(request: Request) -> Response:
        found.append(request.path_params["value"])
        return PlainTextResponse(str(request.url))

    child = Starlette(routes=[Route("/x", show, name="x")])
    app = Starlette(routes=[Mount(prefix, child, name="p")])
    running = client(app)
    url = f"/p/{text}/x"
    assert running.get(url).text == f"http://testserver{url}"
    assert found == [value]
    assert app.url_path_for("p:x", value=value) == url
    assert running.get(f"/p/{wrong}/x").status_code == 404


# Names.


async def nothing(request: Request) -> Response:
    return PlainTextResponse("")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: [Mount("/a", Starlette(routes=[Mount("/b", item_app(), name="b")]), name="a")], id="apps"),
        pytest.param(lambda: [Mount("/a", routes=[Mount("/b", item_app(), name="b")], name="a")], id="routes"),
        pytest.param(lambda: [Mount("/a", Dispatcher([Mount("/b", item_app(), name="b")]), name="a")], id="dispatcher"),
        pytest.param(lambda: [StarletteMount("/a", routes=[Mount("/b", item_app(), name="b")], name="a")], id="ours-in-starlettes"),
        pytest.param(lambda: [Mount("/a", routes=[StarletteMount("/b", item_app(), name="b")], name="a")], id="starlettes-in-ours"),
        pytest.param(lambda: [Mount("/a", FastAPI(routes=[Mount("/b", item_app(), name="b")]), name="a")], id="fastapi"),
    ],
)  # fmt: skip
def test_names_of_nested_mounts(client: ClientFactory, make: Callable[[], list[Any]]) -> None:
    """`a:b:item`, from the application and from a request; `a:b` with a path."""

    async def where(request: Request) -> Response:
        return PlainTextResponse(str(request.url_for("a:b:item", id=3)))

    app = Starlette(routes=[Route("/where", where), *make()])
    assert app.url_path_for("a:b:item", id=3) == "/a/b/item/3"
    assert app.url_path_for("a:b", path="/x") == "/a/b/x"
    assert client(app, root_path="/outer").get("/outer/where").text == (
        "http://testserver/outer/a/b/item/3"
    )
    for name in ("a:item", "b:item", "item", "a:b:nothing"):
        with pytest.raises(NoMatchFound):
            app.url_path_for(name, id=3)


def test_names_without_a_name(client: ClientFactory) -> None:
    """As in Starlette: below a mount without a name, names are those of the parent."""
    app = Starlette(routes=[Mount("/a", routes=[Route("/x", nothing, name="x")])])
    assert app.url_path_for("x") == "/a/x"


def test_names_below_an_included_router(client: ClientFactory) -> None:
    """The prefix of `include_router` is in the URL."""

    async def where(request: Request) -> Response:
        return PlainTextResponse(str(request.url_for("m:item", tenant="acme", id=3)))

    router = APIRouter(routes=[Mount("/m", item_app(), name="m"), Route("/where", where)])
    app = FastAPI()
    app.include_router(router, prefix="/t/{tenant}")
    assert app.url_path_for("m:item", tenant="acme", id=3) == "/t/acme/m/item/3"
    assert client(app).get("/t/globex/where").text == "http://testserver/t/acme/m/item/3"


def test_a_mounted_app_does_not_know_its_parents_names(client: ClientFactory) -> None:
    """Its `url_for` is its own: the same name in the parent is another route."""
    app = Starlette(routes=[Route("/item/{id}", nothing, name="item"), Mount("/a", item_app())])
    assert client(app).get("/a/item/3").json() == [3, "http://testserver/a/item/3", True]


# Middleware.


async def streamed(request: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number};"

    return StreamingResponse(pieces())


def with_mount(place: str, mount: Mount) -> FastAPI:
    """An app that has `mount` among its routes, or in front of it."""
    app = FastAPI(routes=[mount] if place == "route" else [])
    if place == "middleware":
        app.add_middleware(DispatchMiddleware, mounts=[mount])
    return app


both_places = pytest.mark.parametrize("place", ["middleware", "route"])


@both_places
def test_base_http_middleware(client: ClientFactory, place: str) -> None:
    """Around the parent and around a mount: it sees each response, and streams it on."""

    async def mark(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.append("x-root-path", request.scope["root_path"] or "none")
        return response

    marks = [Middleware(BaseHTTPMiddleware, dispatch=mark)]
    child = Starlette(routes=[Route("/stream", streamed)])
    app = with_mount(place, Mount("/a", child, middleware=marks))
    app.add_middleware(BaseHTTPMiddleware, dispatch=mark)
    response = client(app).get("/a/stream")
    assert response.text == "0;1;2;"
    assert response.headers.get_list("x-root-path") == ["/a", "none"]


@both_places
@pytest.mark.parametrize("path", ["/a/plain/3", "/a/stream/3"])
def test_route_in_a_base_http_middleware(client: ClientFactory, place: str, path: str) -> None:
    """A logger of FastAPI's kind reads `scope["route"]` when the response has begun."""
    logged: list[str | None] = []
    child = Starlette(routes=[Route("/plain/{id}", nothing), Route("/stream/{id}", streamed)])
    app = with_mount(place, Mount("/a", child))

    @app.middleware("http")
    async def log(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        logged.append(getattr(request.scope.get("route"), "path_format", None))
        return response

    assert client(app).get(path).status_code == 200
    assert logged == [path.replace("3", "{id}")]


def test_session_of_the_parent(client: ClientFactory) -> None:
    """A mounted app sees the parent's session, and may change it."""

    async def count(request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        return JSONResponse(request.session["n"])

    child = Starlette(routes=[Route("/", count)])
    app = Starlette(
        routes=[Mount("/a", child), Mount("/b", child)],
        middleware=[Middleware(SessionMiddleware, secret_key="of the tests")],
    )
    running = client(app)
    assert [running.get(path).json() for path in ("/a/", "/a/", "/b/", "/a/")] == [1, 2, 3, 4]


def test_middleware_of_nested_mounts(client: ClientFactory) -> None:
    """`middleware=` of every mount on the way, the outer one first."""

    def mark(name: str) -> Middleware:
        async def dispatch(request: Request, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers.append("x-mark", name)
            return response

        return Middleware(BaseHTTPMiddleware, dispatch=dispatch)

    inner = Mount("/b", says("b"), middleware=[mark("inner")])
    app = Starlette(routes=[Mount("/a", routes=[inner], middleware=[mark("outer")])])
    response = client(app).get("/a/b/")
    assert (response.text, response.headers.get_list("x-mark")) == ("b", ["inner", "outer"])


def test_cors_of_the_parent_answers_for_the_mounts_among_its_routes(client: ClientFactory) -> None:
    """A preflight request never reaches the mounted app."""
    app = FastAPI(routes=[Mount("/a", says("a"))])
    app.add_middleware(CORSMiddleware, allow_origins=["http://b.com"])
    headers = {"origin": "http://b.com", "access-control-request-method": "GET"}
    response = client(app).options("/a/", headers=headers)
    assert response.headers["access-control-allow-origin"] == "http://b.com"
    assert response.text == "OK"


async def deny() -> None:
    raise HTTPException(401)


class Deny:
    """Middleware that lets nobody in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await PlainTextResponse("denied", status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def guarded(place: str, guard: str) -> FastAPI:
    """A parent with a mount and one guard."""
    mounts = [Mount("/a", says("a"))]
    app = FastAPI(
        dependencies=[Depends(deny)] if guard == "dependencies" else [],
        routes=mounts if place == "routes" else None,
    )

    @app.get("/own")
    async def own() -> str:
        return "own"

    if guard == "inside":
        app.add_middleware(Deny)
    if place == "in-front":
        app.add_middleware(DispatchMiddleware, mounts=mounts)
    if guard == "outside":
        app.add_middleware(Deny)
    return app


@pytest.mark.parametrize(
    ("place", "guard", "own", "mounted"),
    [
        pytest.param("routes", "dependencies", 401, 200, id="dependencies-of-routes"),
        pytest.param("in-front", "dependencies", 401, 200, id="dependencies-behind"),
        pytest.param("in-front", "inside", 403, 200, id="middleware-behind"),
        pytest.param("in-front", "outside", 403, 403, id="middleware-in-front"),
        pytest.param("routes", "outside", 403, 403, id="middleware-of-the-parent"),
    ],
)
def test_what_guards_a_mount(
    client: ClientFactory, place: str, guard: str, own: int, mounted: int
) -> None:
    """Middleware in front of it; neither dependencies nor middleware behind it."""
    running = client(guarded(place, guard))
    assert running.get("/own").status_code == own
    assert running.get("/a/").status_code == mounted


@pytest.mark.parametrize(
    ("is_outside", "status"),
    [pytest.param(True, 200, id="in-front"), pytest.param(False, 405, id="behind")],
)
def test_cors_of_a_parent_with_mounts_in_front(
    client: ClientFactory, is_outside: bool, status: int
) -> None:
    """It has to be added after them, to stand in front."""
    app = FastAPI()
    child = Starlette(routes=[Route("/", says("a"), methods=["PUT"])])
    if not is_outside:
        app.add_middleware(CORSMiddleware, allow_origins=["http://b.com"], allow_methods=["PUT"])
    app.add_middleware(DispatchMiddleware, mounts=[Mount("/a", child, methods=["PUT"])])
    if is_outside:
        app.add_middleware(CORSMiddleware, allow_origins=["http://b.com"], allow_methods=["PUT"])
    headers = {"origin": "http://b.com", "access-control-request-method": "PUT"}
    response = client(app).options("/a/", headers=headers)
    assert response.status_code == status
    assert ("access-control-allow-origin" in response.headers) is is_outside


def test_max_body_size(client: ClientFactory) -> None:
    """As Starlette's: 413 beyond it, and only below this mount."""

    async def length(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    child = Starlette(routes=[Route("/", length, methods=["POST"])])
    app = Starlette(routes=[Mount("/a", child, max_body_size=10), Mount("/b", child)])
    running = client(app)
    assert running.post("/a/", content=b"x" * 10).text == "10"
    assert running.post("/a/", content=b"x" * 11).status_code == 413
    assert running.post("/b/", content=b"x" * 11).text == "11"


# The bare prefix of `routes=`.


async def show_paths(request: Request) -> Response:
    raw_path = request.scope["raw_path"].decode("ascii")
    return JSONResponse([request.scope["path"], raw_path, request.scope["root_path"]])


@both_places
@pytest.mark.parametrize("path", ["/a", "/a/", "/a/b", "/a/b/"])
def test_bare_prefix_of_routes(client: ClientFactory, place: str, path: str) -> None:
    """Served by the route for `/`, of this mount or of one inside of it."""
    inner = Mount("/b", routes=[Route("/", show_paths)])
    app = with_mount(place, Mount("/a", routes=[Route("/", show_paths), inner]))
    root_path = path.rstrip("/")
    running = client(app, root_path="/outer", follow_redirects=False)
    assert running.get(f"/outer{path}").json() == [
        f"/outer{root_path}/",
        f"/outer{root_path}/",
        f"/outer{root_path}",
    ]
    # A browser needs the slash for the links on the page.
    response = running.get(f"/outer{root_path}", headers={"sec-fetch-mode": "navigate"})
    assert response.headers["location"] == f"./{root_path.rpartition('/')[2]}/"


# Errors of `routes=`, which are a part of the parent.


async def teapot(request: Request) -> Response:
    raise HTTPException(418, "short and stout")


class BrewingError(Exception):
    """For which the parent has a handler."""


async def brews(request: Request) -> Response:
    raise BrewingError


def parent_of_routes(place: str) -> FastAPI:
    """An app with handlers of its own, and routes with errors below `/team`."""

    def handler(text: str, status: int) -> Callable[..., Response]:
        return lambda request, exc: PlainTextResponse(f"parent: {text}", status)

    team = Mount(
        "/team",
        routes=[
            Mount("/a", says("a")),
            Route("/teapot", teapot),
            Route("/brews", brews),
            Route("/post", nothing, methods=["POST"]),
        ],
    )
    app = with_mount(place, team)
    app.add_exception_handler(404, handler("not found", 404))
    app.add_exception_handler(405, handler("not allowed", 405))
    app.add_exception_handler(HTTPException, handler("http", 418))
    app.add_exception_handler(BrewingError, handler("brewing", 503))
    return app


@both_places
@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        pytest.param("/team/a/x", 200, "a", id="served"),
        pytest.param("/team/nowhere", 404, "parent: not found", id="not-found"),
        pytest.param("/team/post", 405, "parent: not allowed", id="not-allowed"),
        pytest.param("/team/teapot", 418, "parent: http", id="http-exception"),
        pytest.param("/team/brews", 503, "parent: brewing", id="exception-with-a-handler"),
    ],
)
def test_errors_of_routes(
    client: ClientFactory, place: str, path: str, status: int, text: str
) -> None:
    """The parent's handlers answer them; nothing that has an answer becomes a server error."""
    response = client(parent_of_routes(place)).get(path)
    assert (response.status_code, response.text) == (status, text)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/team/nowhere", 404), ("/team/post", 405), ("/team/teapot", 418)],
)
def test_errors_of_routes_without_a_parent(client: ClientFactory, path: str, status: int) -> None:
    """Below a bare `Dispatcher` an `HTTPException` has its own status."""
    routes = [Route("/teapot", teapot), Route("/post", nothing, methods=["POST"])]
    app = Dispatcher([Mount("/team", routes=routes)])
    assert client(app).get(path).status_code == status


# Apps that leave it to whoever stands above them to answer what they raise.

everywhere = pytest.mark.parametrize("place", ["dispatcher", "middleware", "route"])


def anywhere(place: str, mount: Mount) -> Any:
    return Dispatcher([mount]) if place == "dispatcher" else with_mount(place, mount)


@everywhere
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/static/style.css", 200, id="found"),
        pytest.param("GET", "/static/none.css", 404, id="not-found"),
        pytest.param("POST", "/static/style.css", 405, id="not-allowed"),
    ],
)
def test_static_files_alone(
    client: ClientFactory, place: str, method: str, path: str, status: int
) -> None:
    """Starlette's `StaticFiles` raise an `HTTPException` where there is no such file."""
    app = anywhere(place, Mount("/static", StaticFiles(directory=sites.STATIC)))
    assert client(app).request(method, path).status_code == status


@both_places
def test_a_bare_app_that_reads_a_bad_form(client: ClientFactory, place: str) -> None:
    """`Request.form()` raises where it sees no app above: the request is bad, not the server."""

    async def form(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).form()

    headers = {"content-type": "multipart/form-data; boundary=b"}
    response = client(with_mount(place, Mount("/a", form))).post(
        "/a/", content=b"x", headers=headers
    )
    assert response.status_code == 400


# FastAPI.


def test_dependencies_of_an_included_router(client: ClientFactory) -> None:
    """They hold for the router's own routes; a mounted app has its own."""

    def refuse() -> None:
        raise HTTPException(401)

    router = APIRouter(routes=[Mount("/m", says("m"))])
    router.add_api_route("/own", lambda: "own")
    app = FastAPI()
    app.include_router(router, prefix="/v1", dependencies=[Depends(refuse)])
    running = client(app)
    assert running.get("/v1/own").status_code == 401
    assert running.get("/v1/m/x").text == "m"


def test_schema_of_the_parent(client: ClientFactory) -> None:
    """The parent's schema has its own paths, and is not disturbed by mounts."""
    router = APIRouter(routes=[Mount("/m", FastAPI())])
    app = FastAPI(routes=[Mount("/a", FastAPI()), Mount("/b", routes=[Mount("/c", says("c"))])])
    app.include_router(router, prefix="/v1")
    app.add_api_route("/own", lambda: "own")
    running = client(app)
    assert list(running.get("/openapi.json").json()["paths"]) == ["/own"]
    assert list(running.get("/a/openapi.json").json()["paths"]) == []


def test_api_routes_below_a_mount(client: ClientFactory) -> None:
    """`routes=` may be those of an APIRouter: validation and dependencies work."""
    router = APIRouter()

    @router.get("/item/{id}")
    def item(id: int, request: Request, extra: int = Depends(lambda: 5)) -> dict[str, int]:
        return {"id": id, "extra": extra}

    app = FastAPI(routes=[Mount("/a", routes=router.routes)])
    running = client(app)
    assert running.get("/a/item/3").json() == {"id": 3, "extra": 5}
    assert running.get("/a/item/x").status_code == 422


# Starting what is mounted.


def recorded(log: list[str], name: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        log.append(f"+{name}")
        yield
        log.append(f"-{name}")

    return Starlette(routes=[Route("/", nothing)], lifespan=lifespan)


def test_lifespan_middleware_finds_every_mount(client: ClientFactory) -> None:
    """Below Starlette's mounts and hosts and included routers, in the order of declaration;
    one app in two places once; what was added after the line as well."""
    log: list[str] = []
    twice = recorded(log, "twice")
    router = APIRouter(routes=[Mount("/m", recorded(log, "included")), Mount("/t", twice)])
    app = FastAPI(
        routes=[
            Mount("/a", twice),
            StarletteMount("/b", routes=[Mount("/c", recorded(log, "mounted"))]),
            StarletteHost("h.com", Router([Mount("/d", recorded(log, "host"))])),
        ]
    )
    app.add_middleware(LifespanMiddleware)
    app.include_router(router, prefix="/v1")
    app.router.routes.append(Mount("/late", recorded(log, "late")))
    with client(app):
        assert log == ["+twice", "+mounted", "+host", "+included", "+late"]
    assert log[5:] == ["-late", "-included", "-host", "-mounted", "-twice"]


def test_lifespan_middleware_takes_no_mounts(client: ClientFactory) -> None:
    """What belongs to `DispatchMiddleware` is refused, by Python, when the app is built."""
    app = Starlette()
    app.add_middleware(LifespanMiddleware, mounts=[])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'mounts'"):
        client(app).get("/")


@pytest.mark.parametrize("kind", [Mount, StarletteMount], ids=["mountkit", "starlette"])
def test_the_docs_page_below_a_placeholder(client: ClientFactory, kind: Any) -> None:
    """Has the placeholder's text as it came, until FastAPI escapes it; then `SECURITY.md` need not
    warn of it."""
    app = Starlette(routes=[kind("/t/{tenant}", FastAPI())])
    app.add_middleware(LifespanMiddleware)
    with client(app) as c:
        assert "'/t/'+alert(1)+'/openapi.json'" in c.get("/t/'+alert(1)+'/docs").text
