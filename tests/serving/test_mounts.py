"""`Mount` as a route of Starlette and FastAPI, and what its options do."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import BaseRoute, Match, NoMatchFound, Route, Router, WebSocketRoute
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from mountkit import Cookie, Dispatcher, DispatchMiddleware, Method, Mount, PatternError
from mountkit.exceptions import MountkitError
from mountkit.serving.routes import Route as LeftRoute
from tests.support import reference
from tests.support.clients import ClientFactory
from tests.support.scopes import scope_of

NAVIGATES = {"sec-fetch-mode": "navigate"}


async def seen(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what the app sees."""
    answer = {
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("latin-1"),
        "root_path": scope["root_path"],
        "params": {key: repr(value) for key, value in scope.get("path_params", {}).items()},
        "keys": sorted(scope),
    }
    await JSONResponse(answer)(scope, receive, send)


def says(text: str) -> Starlette:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(text)

    return Starlette(routes=[Route("/{rest:path}", answer, name="at")])


def routes_of_starlette(*routes: BaseRoute) -> Any:
    return Starlette(routes=list(routes))


def routes_of_fastapi(*routes: BaseRoute) -> Any:
    return FastAPI(routes=list(routes))


def appended(*routes: BaseRoute) -> Any:
    app = FastAPI()
    app.router.routes += routes
    return app


def dispatcher(*routes: Any) -> Any:
    return Dispatcher(routes)


def middleware(*routes: Any) -> Any:
    app = FastAPI()
    app.add_middleware(DispatchMiddleware, mounts=routes)
    return app


def nested(*routes: Any) -> Any:
    return Starlette(routes=[Mount("/", routes=routes)])


Place = Callable[..., Any]
PLACES = [
    pytest.param(place, id=place.__name__)
    for place in (
        routes_of_starlette,
        routes_of_fastapi,
        appended,
        dispatcher,
        middleware,
        nested,
    )
]
every_place = pytest.mark.parametrize("place", PLACES)


@every_place
@pytest.mark.parametrize(
    ("options", "request_options", "is_taken"),
    [
        pytest.param({"host": "a.com"}, {"headers": {"host": "a.com"}}, True, id="host"),
        pytest.param({"host": "a.com"}, {"headers": {"host": "b.com"}}, False, id="other-host"),
        pytest.param({"headers": {"x": "1"}}, {"headers": {"x": "1"}}, True, id="header"),
        pytest.param({"headers": {"x": "1"}}, {"headers": {"x": "2"}}, False, id="other-header"),
        pytest.param({"headers": {"x": "1"}}, {}, False, id="no-header"),
        pytest.param({"query": {"q": "1"}}, {"params": {"q": "1"}}, True, id="query"),
        pytest.param({"query": {"q": "1"}}, {}, False, id="no-query"),
        pytest.param({"methods": ["POST"]}, {"method": "POST"}, True, id="method"),
        pytest.param({"methods": ["POST"]}, {}, False, id="other-method"),
        pytest.param(
            {"when": Cookie("beta") & ~Method("DELETE")},
            {"headers": {"cookie": "beta=1"}},
            True,
            id="composed",
        ),
        pytest.param(
            {"when": Cookie("beta") & ~Method("DELETE")},
            {"headers": {"cookie": "beta=1"}, "method": "DELETE"},
            False,
            id="composed-refuses",
        ),
    ],
)
def test_conditions_are_in_force(
    client: ClientFactory,
    place: Place,
    options: dict[str, Any],
    request_options: dict[str, Any],
    is_taken: bool,
) -> None:
    """A request that the conditions refuse is never served."""
    app = place(Mount("/a", seen, **options))
    status = client(app).request(**{"method": "GET", "url": "/a/x", **request_options}).status_code
    assert status == (200 if is_taken else 404)


def test_include_router(client: ClientFactory) -> None:
    """FastAPI copies routes below a prefix: path, host and headers are all kept."""
    router = APIRouter(routes=[Mount("/m", seen, host="{t}.a.com", headers={"x": "1"}, name="m")])
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    running = client(app)
    headers = {"host": "acme.a.com", "x": "1"}
    answer = running.get("/v1/m/y", headers=headers).json()
    assert (answer["path"], answer["root_path"]) == ("/v1/m/y", "/v1/m")
    assert answer["params"] == {"t": "'acme'"}
    for refused in ({"host": "acme.a.com"}, {"host": "a.com", "x": "1"}):
        assert running.get("/v1/m/y", headers=refused).status_code == 404
    assert running.get("/m/y", headers=headers).status_code == 404


def test_include_router_twice(client: ClientFactory) -> None:
    """One mount below two prefixes, a prefix with a placeholder among them."""
    router = APIRouter(routes=[Mount("/m/{id:int}", seen)])
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/t/{tenant}")
    running = client(app)
    assert running.get("/v1/m/7/x").json()["root_path"] == "/v1/m/7"
    answer = running.get("/t/acme/m/7/x").json()
    assert answer["root_path"] == "/t/acme/m/7"
    assert answer["params"] == {"tenant": "'acme'", "id": "7"}


@every_place
@pytest.mark.parametrize(
    ("path", "asked", "root_path", "params"),
    [
        pytest.param("/t/{tenant}", "/t/acme/x", "/t/acme", {"tenant": "'acme'"}, id="str"),
        pytest.param("/u/{id:int}", "/u/7/x", "/u/7", {"id": "7"}, id="int"),
        pytest.param("/v{n:int}", "/v2/x", "/v2", {"n": "2"}, id="part-of-a-segment"),
        pytest.param("/f/{p:path}/end", "/f/a/b/end/x", "/f/a/b/end", {"p": "'a/b'"}, id="path"),
        pytest.param("/café", "/caf%C3%A9/x", "/café", {}, id="non-ascii"),
        pytest.param("/caf%C3%A9", "/caf%C3%A9/x", "/café", {}, id="encoded"),
        pytest.param("", "/x", "", {}, id="root"),
    ],
)
def test_prefix(
    client: ClientFactory,
    place: Place,
    path: str,
    asked: str,
    root_path: str,
    params: dict[str, str],
) -> None:
    """The child's `path` is full, `root_path` is what the mount took, `raw_path` as it came."""
    answer = client(place(Mount(path, seen))).get(asked).json()
    assert (answer["path"], answer["root_path"]) == (root_path + "/x", root_path)
    assert answer["raw_path"] == asked
    assert answer["params"] == params


@every_place
@pytest.mark.parametrize("asked", ["/ax", "/u/seven/x", "/b"])
def test_prefixes_end_at_segments(client: ClientFactory, place: Place, asked: str) -> None:
    """`/a` is no prefix of `/ax`."""
    app = place(Mount("/a", seen), Mount("/u/{id:int}", seen))
    assert client(app).get(asked).status_code == 404


# The bare prefix.


@every_place
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bare_prefix_is_served(client: ClientFactory, place: Place, method: str) -> None:
    """As the child's `/`, without a redirect: an API client keeps its method and body."""
    response = client(place(Mount("/a", seen))).request(method, "/a", follow_redirects=False)
    assert response.status_code == 200
    assert response.json()["path"] == response.json()["raw_path"] == "/a/"


@every_place
def test_bare_prefix_redirects_a_browser(client: ClientFactory, place: Place) -> None:
    """One that navigates: relative links on the page need the slash."""
    running = client(place(Mount("/a", seen)))
    response = running.get("/a?x=1", headers=NAVIGATES, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, "./a/?x=1")
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("redirect_slashes", "headers", "method", "status"),
    [
        pytest.param("navigate", {}, "GET", 200, id="navigate-client"),
        pytest.param("navigate", NAVIGATES, "GET", 307, id="navigate-browser"),
        pytest.param("navigate", NAVIGATES, "POST", 200, id="navigate-form"),
        pytest.param("navigate", {"sec-fetch-mode": "cors"}, "GET", 200, id="navigate-script"),
        pytest.param(True, {}, "GET", 307, id="always-client"),
        pytest.param(True, {}, "POST", 307, id="always-form"),
        pytest.param(False, NAVIGATES, "GET", 200, id="never-browser"),
    ],
)
def test_redirect_slashes(
    client: ClientFactory,
    redirect_slashes: Any,
    headers: dict[str, str],
    method: str,
    status: int,
) -> None:
    """Per mount: always, never, or where a browser navigates."""
    app = Dispatcher([Mount("/a", seen, redirect_slashes=redirect_slashes)])
    response = client(app).request(method, "/a", headers=headers, follow_redirects=False)
    assert response.status_code == status


@pytest.mark.parametrize("path", ["/a/", "/a/x", "/"])
def test_only_the_bare_prefix_is_redirected(client: ClientFactory, path: str) -> None:
    """What is below it is the child's."""
    app = Dispatcher([Mount("/a", seen, redirect_slashes=True), Mount("", seen)])
    assert client(app).get(path, follow_redirects=False).status_code == 200


@pytest.mark.parametrize("path", ["/b%2Fc", "/b%2Fc/", "/b/c%2F", "/b/%2E%2E%2Fc"])
def test_an_encoded_slash_that_no_mount_takes(client: ClientFactory, path: str) -> None:
    """Is a 404 of the parent, which tries the path with and without a slash at its end, and leaves
    `raw_path` as it is."""
    app = Starlette(routes=[Mount("/a", seen), Route("/d/{rest:path}", PlainTextResponse("d"))])
    assert client(app).get(path, follow_redirects=False).status_code == 404
    assert client(app).get("/d/e%2Ff").text == "d"
    assert client(app).get("/a%2Fb").status_code == 400


@pytest.mark.parametrize(
    ("path", "raw_path", "is_left"),
    [
        pytest.param("/b/c", b"/x%2Fy", True, id="nobodys"),
        pytest.param("/a/c", b"/x%2Fy", False, id="a-mounts"),
        pytest.param("/x/../a", b"/y%2Fz", False, id="a-mounts-when-normal"),
    ],
)
def test_a_raw_path_of_another_path(path: str, raw_path: bytes, is_left: bool) -> None:
    """Is refused, but among routes not if no mount is in it."""
    scope = scope_of(path, raw_path=raw_path)
    assert Dispatcher([Mount("/a", seen)]).table.decide(scope).status == 400  # type: ignore[union-attr]
    assert (Mount("/a", seen).matches(scope)[0] == Match.NONE) == is_left


def test_an_exact_mount_is_never_redirected(client: ClientFactory) -> None:
    """Its path has no other form."""
    app = Dispatcher([Mount("/a", seen, exact=True, redirect_slashes=True)])
    assert client(app).get("/a", follow_redirects=False).status_code == 200
    assert client(app).get("/a/").status_code == 404


# The scope.


@pytest.mark.parametrize(
    ("convention", "path", "raw_path", "root_path"),
    [
        ("spec", "/é/x", "/%C3%A9/x", "/é"),
        ("strip", "/x", "/x", "/é"),
        ("none", "/x", "/x", ""),
        ("whole", "/é/x", "/%C3%A9/x", ""),
    ],
)
def test_convention(
    client: ClientFactory, convention: Any, path: str, raw_path: str, root_path: str
) -> None:
    """Four scopes for four kinds of apps."""
    app = Dispatcher([Mount("/é", seen, convention=convention)])
    answer = client(app).get("/%C3%A9/x").json()
    assert (answer["path"], answer["raw_path"], answer["root_path"]) == (path, raw_path, root_path)


def test_nothing_of_the_parent_leaks(client: ClientFactory) -> None:
    """`router`, `app`, `endpoint`, `app_root_path`, `fastapi_…` stay with the parent."""
    app = FastAPI(routes=[Mount("/a", seen)])
    leaked = {"router", "app", "endpoint", "app_root_path", "route", "fastapi_middleware_astack"}
    assert not leaked & set(client(app).get("/a/").json()["keys"])


def test_what_middleware_put_there_is_passed_on(client: ClientFactory) -> None:
    """Sessions and users are known to the mounted apps, as in Starlette."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Dispatcher([Mount("/a", seen)])({**scope, "session": {}, "user": "u"}, receive, send)

    keys = client(app).get("/a/").json()["keys"]
    assert {"session", "user"} <= set(keys)


@pytest.mark.anyio
@pytest.mark.parametrize("root_path", ["", "/outer"])
async def test_the_parents_scope_is_left_as_it_was(root_path: str) -> None:
    """But for the route that logs and traces look for."""

    async def item(request: Request) -> PlainTextResponse:
        request.scope["headers"].append((b"x", b"y"))
        request.state.mark = 1
        return PlainTextResponse("")

    child = Starlette(routes=[Route("/item/{id}", item)])
    parent = Starlette(routes=[Mount("/a", child)])
    for app in (Dispatcher([Mount("/a", child)]), parent.router):
        scope = scope_of(root_path + "/a/item/1", root_path=root_path, state={"s": 1})
        if app is parent.router:
            scope |= {"app": parent, "router": parent.router}
        before = repr(scope)

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            """The answer does not matter."""

        await app(scope, receive, send)
        route = scope.pop("route")
        assert isinstance(route, LeftRoute)
        assert repr(route) == "Route('/a/item/{id}')"
        assert repr(scope) == before


def test_state_is_the_childs_own(client: ClientFactory) -> None:
    """`request.state` of a mounted app begins empty, whatever the parent has put into its own."""

    async def mark(request: Request, call_next: Any) -> Any:
        request.state.mark = "parent"
        return await call_next(request)

    async def show(request: Request) -> JSONResponse:
        return JSONResponse(list(request.state._state))

    app = Starlette(
        routes=[Mount("/a", Starlette(routes=[Route("/", show)]))],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=mark)],
    )
    assert client(app).get("/a/").json() == []


def test_routes_share_the_parents_state(client: ClientFactory) -> None:
    """`routes=` are a part of the parent, as in Starlette."""

    async def mark(request: Request, call_next: Any) -> Any:
        request.state.mark = "parent"
        return await call_next(request)

    async def show(request: Request) -> JSONResponse:
        return JSONResponse([request.state.mark, request.app.title])

    app = FastAPI(
        title="parent",
        routes=[Mount("/a", routes=[Route("/", show)])],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=mark)],
    )
    assert client(app).get("/a/").json() == ["parent", "parent"]


def test_placeholders_of_mounts_with_routes(client: ClientFactory) -> None:
    """A mount below them is handed all, as below a mount of an app."""
    app = Starlette(routes=[Mount("/t/{tenant}", routes=[Mount("/a/{id:int}", seen)])])
    assert client(app).get("/t/acme/a/3").json()["params"] == {"tenant": "'acme'", "id": "3"}


# URLs.


def linking() -> Starlette:
    """An app whose pages link to each other, redirect, and have static files."""

    async def index(request: Request) -> JSONResponse:
        return JSONResponse(
            [
                str(request.url_for("item", id=3)),
                str(request.url_for("static", path="/reference.py")),
                request.app.url_path_for("item", id=3),
            ]
        )

    async def item(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.url))

    async def go(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("item", id=3))

    return Starlette(
        routes=[
            Route("/", index, name="index"),
            Route("/item/{id:int}", item, name="item"),
            Route("/go", go),
            Route("/dir/", index),
            StarletteMount(
                "/static", StaticFiles(directory=Path(reference.__file__).parent), name="static"
            ),
        ]
    )


def outer(app: Any, root_path: str, strips: bool) -> Any:
    """`app` behind a server that was told a `root_path`, whose proxy strips it or not."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            path = scope["path"]
            if strips:
                assert path.startswith(root_path)
                raw = scope["raw_path"].decode("ascii").removeprefix(root_path)
                scope = {**scope, "path": path.removeprefix(root_path), "raw_path": raw.encode()}
            scope = {**scope, "root_path": root_path}
        await app(scope, receive, send)

    return served


OUTER = [
    pytest.param("", False, id="plain"),
    pytest.param("/outer", False, id="root-path"),
    pytest.param("/outer", True, id="stripping-proxy"),
]


@every_place
@pytest.mark.parametrize("prefix", ["/sub", "/a/b", "/caf%C3%A9"])
@pytest.mark.parametrize(("root_path", "strips"), OUTER)
def test_the_childs_urls(
    client: ClientFactory, place: Place, prefix: str, root_path: str, strips: bool
) -> None:
    """`url_for`, redirects by name and by slash are right below any prefix."""
    app = outer(place(Mount(prefix, linking())), root_path, strips)
    running = client(app)
    base = f"http://testserver{root_path}{prefix}"
    links = [_encoded(link) for link in running.get(f"{base}/").json()]
    assert links == [f"{base}/item/3", f"{base}/static/reference.py", "/item/3"]
    assert running.get(links[1]).text.startswith('"""The slow, obvious twin')
    assert _encoded(running.get(f"{base}/item/3?x=1").text) == f"{base}/item/3?x=1"
    redirect = running.get(f"{base}/go", follow_redirects=False)
    assert redirect.headers["location"] == f"{base}/item/3"
    slash = running.get(f"{base}/dir", follow_redirects=False)
    assert slash.headers["location"] == f"{base}/dir/"


def _encoded(url: str) -> str:
    """Starlette leaves it to the client to encode a URL."""
    return quote(url, safe=":/?=%")


@every_place
@pytest.mark.parametrize(("root_path", "strips"), OUTER)
def test_the_docs_of_fastapi(
    client: ClientFactory, place: Place, root_path: str, strips: bool
) -> None:
    """The docs page asks for the schema below the prefix, whose servers name the prefix."""
    running = client(outer(place(Mount("/api", FastAPI())), root_path, strips))
    assert f"'{root_path}/api/openapi.json'" in running.get(f"{root_path}/api/docs").text
    schema = running.get(f"{root_path}/api/openapi.json").json()
    assert schema["servers"] == [{"url": f"{root_path}/api"}]


def test_mounts_in_mounts(client: ClientFactory) -> None:
    """Prefixes add up through dispatchers, middlewares, `routes=` and Starlette's own mounts."""
    inner = Starlette(routes=[StarletteMount("/d", routes=[Route("/x", seen_by_route)])])
    inner.add_middleware(DispatchMiddleware, mounts=[Mount("/e", seen)])
    app = Dispatcher({"/a": Starlette(routes=[Mount("/b", routes=[Mount("/c", inner)])])})
    running = client(app)
    assert running.get("/a/b/c/d/x").json() == ["/a/b/c/d/x", "/a/b/c/d"]
    answer = running.get("/a/b/c/e/x").json()
    assert (answer["path"], answer["root_path"]) == ("/a/b/c/e/x", "/a/b/c/e")


async def seen_by_route(request: Request) -> JSONResponse:
    return JSONResponse([request.scope["path"], request.scope["root_path"]])


@pytest.mark.parametrize("outer_type", [StarletteMount, Mount])
def test_ours_below_starlettes(client: ClientFactory, outer_type: Any) -> None:
    """A `Mount` among the routes of Starlette's own mounts and hosts."""
    below = outer_type("/s", routes=[Mount("/m", linking(), name="m")], name="s")
    app = Starlette(routes=[below, StarletteHost("h.com", Router([Mount("/m", seen)]))])
    running = client(app)
    assert running.get("/s/m/item/3").text == "http://testserver/s/m/item/3"
    assert app.url_path_for("s:m:item", id=3) == "/s/m/item/3"
    assert running.get("/m/x", headers={"host": "h.com"}).json()["root_path"] == "/m"


def test_url_for_through_named_mounts(client: ClientFactory) -> None:
    """From the parent into a mounted app, the placeholders of the host included."""

    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(request.url_for("shop:item", tenant="acme", id=3)))

    app = Starlette(
        routes=[Route("/", where), Mount("/s", linking(), host="{tenant}.a.com", name="shop")]
    )
    assert client(app).get("/").text == "http://acme.a.com/s/item/3"
    assert app.url_path_for("shop", tenant="acme", path="/x").host == "acme.a.com"
    with pytest.raises(NoMatchFound):
        app.url_path_for("shop:item", id=3)
    with pytest.raises(NoMatchFound):
        app.url_path_for("shop:nothing", tenant="acme")


def test_url_for_between_mounts_of_a_mount(client: ClientFactory) -> None:
    """The mounts among `routes=` find each other's names."""
    below = [Mount("/a", linking(), name="a"), Mount("/b", linking(), name="b")]
    app = Starlette(routes=[Mount("/m", routes=below, name="m")])
    assert app.url_path_for("m:b:item", id=3) == "/m/b/item/3"
    assert app.routes[0].app.url_path_for("b:item", id=3) == "/b/item/3"


def test_a_wildcard_host_names_no_host() -> None:
    """The URL keeps the host of the request."""
    app = Starlette(routes=[Mount("/s", linking(), host="*.a.com", name="s")])
    assert app.url_path_for("s:item", id=3).host == ""


# Options of Starlette's.


def test_middleware_of_a_mount(client: ClientFactory) -> None:
    """`middleware=` wraps the app of this mount alone."""
    app = Starlette(
        routes=[
            Mount("/a", says("x" * 2000), middleware=[Middleware(GZipMiddleware)]),
            Mount("/b", says("x" * 2000)),
        ]
    )
    headers = {"accept-encoding": "gzip"}
    encodings = [
        client(app).get(path, headers=headers).headers.get("content-encoding")
        for path in ("/a/", "/b/")
    ]
    assert encodings == ["gzip", None]


def test_routes_of_a_mount() -> None:
    """Tools that walk routes see those below; a change to the list has no effect."""
    route = Route("/x", seen_by_route)
    mount = Mount("/a", routes=[route])
    mount.routes.clear()
    assert mount.routes == [route]
    app = says("a")
    assert Mount("/a", app).routes == app.routes


def test_websocket_route_below_routes(client: ClientFactory) -> None:
    """`routes=` may hold websockets."""

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str(websocket.url_for("echo")))
        await websocket.close()

    app = Dispatcher([Mount("/a", routes=[WebSocketRoute("/ws", echo, name="echo")])])
    with client(app).websocket_connect("/a/ws") as websocket:
        assert websocket.receive_text() == "ws://testserver/a/ws"


def test_dependencies_of_the_parent_stay(client: ClientFactory) -> None:
    """Routes beside a mount keep FastAPI's dependencies; those are not run for mounted apps."""
    calls = []

    def dependency() -> None:
        calls.append(1)

    app = FastAPI(dependencies=[Depends(dependency)], routes=[Mount("/a", says("a"))])
    app.add_api_route("/own", lambda: "own")
    running = client(app)
    assert running.get("/a/").text == "a"
    assert calls == []
    assert running.get("/own").json() == "own"
    assert calls == [1]


def test_declared_order_among_routes(client: ClientFactory) -> None:
    """Beside Starlette's routes, the router tries a mount where it stands."""
    first = Starlette(routes=[Mount("/", says("root")), Mount("/a", says("a"))])
    assert client(first).get("/a/").text == "root"
    table = Starlette(
        routes=[Mount("/", routes=[Mount("/", says("root")), Mount("/a", says("a"))])]
    )
    assert client(table).get("/a/").text == "a"


async def form(request: Request) -> None:
    await request.form()


async def form_of_a_raw_app(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).form()


BROKEN_FORM: dict[str, Any] = {
    "content": b"x",
    "headers": {"content-type": "multipart/form-data; boundary=b"},
}


@pytest.mark.parametrize(
    "mount",
    [
        pytest.param(Mount("/a", routes=[Route("/", form, methods=["POST"])]), id="routes"),
        pytest.param(Mount("/a", form_of_a_raw_app), id="raw-app"),
    ],
)
def test_a_form_that_cannot_be_read(client: ClientFactory, mount: Mount) -> None:
    """Below an app of Starlette's, it is a 400, as it is below Starlette's own mounts."""
    assert client(Starlette(routes=[mount])).post("/a/", **BROKEN_FORM).status_code == 400
    with pytest.raises(MultiPartException, match="Invalid multipart data"):
        client(Dispatcher([mount])).post("/a/", **BROKEN_FORM)


def test_errors_of_fastapi_stay_in_the_app(client: ClientFactory) -> None:
    """The mounted app's own handlers answer its errors."""
    child = FastAPI()

    @child.get("/")
    def fails() -> None:
        raise HTTPException(418, "child")

    parent = FastAPI(routes=[Mount("/a", child)])
    parent.add_exception_handler(418, lambda request, exc: PlainTextResponse("parent", 418))
    assert client(parent).get("/a/").json() == {"detail": "child"}


# Misuse.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({}, "Mount('/a') has nothing to serve; pass app= or routes=.", id="nothing"),
        pytest.param(
            {"app": seen, "routes": []},
            "Mount('/a') has app= and routes=; pass one of them.",
            id="both",
        ),
        pytest.param(
            {"app": seen, "redirect_slashes": "yes"},
            "redirect_slashes='yes' is not known; write one of True, False, 'navigate', 'bare'.",
            id="redirect-slashes",
        ),
        pytest.param(
            {"app": seen, "convention": "asgi"},
            "convention='asgi' is not known; write one of 'spec', 'strip', 'none', 'whole'.",
            id="convention",
        ),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    """Value, reason, fix."""
    with pytest.raises(PatternError) as caught:
        Mount("/a", **options)
    assert str(caught.value) == message


@pytest.mark.anyio
async def test_handle_without_matches() -> None:
    """A router of one's own has to match first."""
    with pytest.raises(MountkitError, match="a request that it has not matched; call matches"):
        await Mount("/a", seen).handle(scope_of("/a"), None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(scope_of("/a", type="lifespan"), id="lifespan"),
        pytest.param(scope_of("*"), id="asterisk"),
        pytest.param(scope_of(""), id="empty"),
        pytest.param(scope_of("/b"), id="other"),
    ],
)
@pytest.mark.parametrize("table", [False, True], ids=["mount", "table"])
def test_matches_nothing(scope: Scope, table: bool) -> None:
    """What is no request of this mount."""
    mount = Mount("/a", seen)
    route = Mount("/", routes=[mount])._base_app.routes[0] if table else mount
    assert route.matches(scope) == (Match.NONE, {})


def test_equality() -> None:
    """As Starlette's: same path, name and app; and the same conditions."""
    assert Mount("/a", seen, host="a.com") == Mount("/a/", seen, host="A.com")
    assert Mount("/a", seen, host="a.com") != Mount("/a", seen)
    assert Mount("/a", seen) != StarletteMount("/a", seen)


def test_repr() -> None:
    """With its conditions."""
    mount = Mount("/a", says("a"), name="n", host="a.com", priority=1)
    assert repr(mount).endswith("host='a.com', priority=1)")
    assert repr(Mount("/a", says("a"), name="n")).endswith(")")


def test_a_mount_has_at_most_20_parameters() -> None:
    """What is longer is not read; the rest is in `middleware` and `Lifespan`."""
    parameters = signature(Mount).parameters
    assert len(parameters) <= 20, [*parameters]
