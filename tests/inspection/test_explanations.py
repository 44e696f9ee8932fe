"""`explain`: the decision on a request, without serving it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host as StarletteHost
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from mountkit import (
    Accept,
    Dispatcher,
    DispatchMiddleware,
    LifespanMiddleware,
    Mount,
    PatternError,
    Split,
)
from mountkit.inspection.explanations import Explanation, explain, request_scope


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    """An app; nothing here calls it."""


def outcomes(explanation: Explanation) -> dict[str, tuple[str, str]]:
    """Path by outcome and reason."""
    return {c.route.path: c[1:] for c in explanation.candidates}  # type: ignore[attr-defined]


def test_the_winner_and_what_its_app_would_see() -> None:
    """Path, root_path and placeholders of host and path."""
    app = Dispatcher([Mount("/t/{item:int}", shop, host="{tenant}.example.com")])
    found = explain(app, "https://acme.example.com/t/7/x%20y?v=1")
    assert found.route is app.routes[0]
    assert (found.path, found.root_path) == ("/t/7/x y", "/t/7")
    assert found.path_params == {"tenant": "acme", "item": 7}
    assert (found.convention, found.target) == ("spec", "shop()")
    assert found.request == "GET https://acme.example.com/t/7/x%20y?v=1"
    assert "path_params={'tenant': 'acme', 'item': 7}" in str(found)


@pytest.mark.parametrize(
    ("url", "options", "refused"),
    [
        pytest.param(
            "http://b.com/a", {}, "host: wants 'a.com', the request has 'b.com'", id="host"
        ),
        pytest.param(
            "/a", {}, "host: wants 'a.com', the request has none, or not a valid one", id="no host"
        ),
        pytest.param(
            "http://a.com/ab",
            {},
            "path: wants one that starts with '/a', the request has '/ab'",
            id="path",
        ),
        pytest.param(
            "http://a.com/a",
            {"method": "PUT"},
            "condition: Method('POST') does not hold",
            id="method",
        ),
        pytest.param(
            "http://a.com/a",
            {"method": "POST", "headers": {"X-V": "3"}},
            "condition: Header('x-v', '2') does not hold",
            id="header",
        ),
        pytest.param("ws://a.com/a", {}, "condition: Method('POST') does not hold", id="websocket"),
    ],
)
def test_the_first_condition_that_failed(url: str, options: Any, refused: str) -> None:
    """Host, path, then the others in the order in which they were written."""
    app = Dispatcher([Mount("/a", shop, host="a.com", methods=["POST"], headers={"x-v": "2"})])
    (candidate,) = explain(app, url, **options).candidates
    assert candidate[1:] == ("refused", refused)


def test_an_exact_path_is_refused_by_name() -> None:
    """The words say that nothing below it is taken."""
    (candidate,) = explain(Dispatcher([Mount("/a", shop, exact=True)]), "/a/b").candidates
    assert candidate.reason == "path: wants one that is '/a', the request has '/a/b'"


@pytest.mark.parametrize(
    ("better", "worse", "by"),
    [
        ({"path": "/", "priority": 1}, {"path": "/a/b", "host": "a.com"}, "priority"),
        ({"path": "/", "host": "a.com"}, {"path": "/a/b"}, "host"),
        ({"path": "/a/b", "exact": True}, {"path": "/a/b"}, "exact path"),
        ({"path": "/a/b"}, {"path": "/a"}, "longer prefix"),
        ({"path": "/a", "methods": ["GET"]}, {"path": "/a", "headers": {"x": "1"}}, "method"),
        (
            {"path": "/a", "headers": {"x": "1"}},
            {"path": "/a", "query": {"q": "1"}},
            "header conditions",
        ),
        ({"path": "/a", "query": {"q": "1"}}, {"path": "/a"}, "query conditions"),
        (
            {"path": "/a", "headers": {"x": "1"}},
            {"path": "/a", "headers": {"y": "1"}},
            "q-value or order of declaration",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_it_was_outranked_by(better: Any, worse: Any, by: str) -> None:
    """The first step of the order at which the two differ."""
    app = Dispatcher([Mount(app=shop, **better), Mount(app=shop, **worse)])
    found = explain(app, "http://a.com/a/b?q=1", headers=[("x", "1"), ("y", "1")])
    first, second = found.candidates
    assert first.outcome == "chosen"
    assert first.route is app.routes[0]
    assert second.outcome == "outranked"
    assert second.reason.endswith(f" comes first, by {by}")


def test_a_request_that_no_mount_takes() -> None:
    """No route, and every candidate's reason."""
    found = explain(Dispatcher({"/a": shop}), "/b")
    assert found.route is None
    assert str(found) == (
        "GET /b\n"
        "  is taken by no mount\n"
        "  answer      404: no mount takes it, and no app is underneath\n"
        "  refused    Mount('/a'): path: wants one that starts with '/a', the request has '/b'"
    )
    assert found.as_dict()["takes"] is None


def test_a_redirect_is_announced() -> None:
    """A browser that navigates to the bare prefix is sent on; the text says where."""
    app = Dispatcher({"/a": shop})
    found = explain(app, "/a?x=1", headers={"sec-fetch-mode": "navigate"})
    assert found.location == "./a/?x=1"
    assert "  redirected to './a/?x=1'" in str(found).splitlines()


def test_nested_mounts_are_followed() -> None:
    """Below routes, below a dispatcher, below an app with a middleware."""
    inner = FastAPI()
    inner.add_middleware(DispatchMiddleware, mounts={"/deep": shop})
    app = Dispatcher([Mount("/team", routes=[Mount("/a", inner), Mount("/b", shop)])])
    found = explain(app, "/team/a/deep/x")
    assert found.below is not None
    assert found.below.below is not None
    deepest = found.below.below
    assert (deepest.path, deepest.root_path) == ("/team/a/deep/x", "/team/a/deep")
    assert str(found) == (
        "GET /team/a/deep/x\n"
        "  is taken by Mount('/team'), Router\n"
        "  child sees  path='/team/a/deep/x' root_path='/team'\n"
        "  below it:\n"
        "    is taken by Mount('/a'), FastAPI\n"
        "    child sees  path='/team/a/deep/x' root_path='/team/a'\n"
        "    refused    Mount('/b'): path: wants one that starts with '/b', the request has "
        "'/a/deep/x'\n"
        "    below it:\n"
        "      is taken by Mount('/deep'), shop()\n"
        "      child sees  path='/team/a/deep/x' root_path='/team/a/deep'"
    )
    assert found.as_dict()["below"]["below"]["child"]["root_path"] == "/team/a/deep"


def fastapi_app() -> FastAPI:
    """Routes, a mount, an included router with one, and a middleware before them."""
    app = FastAPI(openapi_url=None)

    @app.get("/x/{id}")
    def item(id: int) -> None: ...

    app.router.routes.append(Mount("/x", shop))
    router = APIRouter(routes=[Mount("/z", shop, headers={"x": "1"})])
    app.include_router(router, prefix="/v1/{q}")
    app.add_middleware(DispatchMiddleware, mounts={"/api": shop})
    return app


@pytest.mark.parametrize(
    ("url", "method", "headers", "taken"),
    [
        pytest.param("/api/x", "GET", {}, "/api", id="middleware"),
        pytest.param("/x/1", "GET", {}, "/x/{id}", id="a route before the mount"),
        pytest.param("/x/1", "POST", {}, "/x", id="a route of another method"),
        pytest.param("/v1/k/z/1", "GET", {"x": "1"}, "/v1/{q}/z", id="included"),
    ],
)
def test_routes_are_tried_in_their_order(
    url: str, method: str, headers: dict[str, str], taken: str
) -> None:
    """The middleware's table first, then what FastAPI would do."""
    found = explain(fastapi_app(), url, method=method, headers=headers)
    assert found.route is not None
    assert found.route.path == taken  # type: ignore[attr-defined]


def test_what_stands_before_a_route_is_named() -> None:
    """And a route whose method is another one is told from one whose path is."""
    found = outcomes(explain(fastapi_app(), "/x/1"))
    assert found["/x"] == ("outranked", "APIRoute('/x/{id}') comes before it")
    assert found["/v1/{q}/z"][0] == "refused"
    found = outcomes(explain(fastapi_app(), "/x/1", method="POST"))
    assert found["/x/{id}"] == ("refused", "method: not allowed here")
    found = outcomes(explain(fastapi_app(), "/nothing"))
    assert found["/x/{id}"] == ("refused", "path: does not match")


def test_starlettes_own_mounts_and_hosts_are_followed() -> None:
    """What lies below them is explained with the scope that they make."""
    inner = Router([Mount("/deep", shop)])
    app = Starlette(routes=[StarletteMount("/s", inner), StarletteHost("b.com", inner)])
    found = explain(app, "http://a.com/s/deep/x")
    assert found.below is not None
    assert found.below.root_path == "/s/deep"
    found = explain(app, "http://b.com/deep/x")
    assert found.below is not None
    assert found.below.root_path == "/deep"


def test_a_table_among_routes() -> None:
    """Mounts in `routes=` are chosen by specificity after the plain routes."""
    route = Route("/a/x", lambda request: PlainTextResponse(""))
    app = Mount("/team", routes=[Mount("/a", shop), route, Mount("/a/b", shop)])
    assert explain(Dispatcher([app]), "/team/a/x").below.route is route  # type: ignore[union-attr]
    below = explain(Dispatcher([app]), "/team/a/b/c").below
    assert below is not None
    assert below.root_path == "/team/a/b"


def test_a_wrapper_that_shows_its_app_is_looked_through() -> None:
    """As middleware does; one that goes in a circle is left."""

    class Wrapper:
        def __init__(self, app: Any) -> None:
            self.app = app

    assert explain(Wrapper(Wrapper(Dispatcher({"/a": shop}))), "/a").route is not None
    circle = Wrapper(None)
    circle.app = circle
    assert explain(circle, "/a").candidates == ()


def test_a_split_is_shown_with_its_weights() -> None:
    """It stands for several apps."""
    app = Dispatcher({"/a": Split({"old": (shop, 95), "new": (shop, 5)})})
    assert explain(app, "/a").target == "Split(old: 95, new: 5)"


def test_the_value_that_accept_gives_is_a_reason() -> None:
    """Mounts that differ in their media type alone are ordered by the client."""
    one = Mount("/a", shop, when=Accept("application/x.v1"))
    two = Mount("/a", shop, when=Accept("application/x.v2"))
    headers = {"accept": "application/x.v1;q=0.5, application/x.v2"}
    found = explain(Dispatcher([one, two]), "/a", headers=headers)
    assert found.route is two
    assert found.candidates[1].reason.endswith("by q-value or order of declaration")


def test_a_path_that_is_none_matches_nothing() -> None:
    """Behind a root_path, `*` stays what it is."""
    scope = request_scope("/a")
    scope["path"] = "*"
    assert Dispatcher({"/": shop}).table.resolve(scope) is None


@pytest.mark.parametrize("url", ["a.com/x", "ftp://a.com/x", "http:/x", ""])
def test_a_url_that_is_neither_absolute_nor_a_path_is_refused(url: str) -> None:
    """The message says what to write."""
    with pytest.raises(
        PatternError, match=r"is neither absolute nor a path; write '.*' or '/path'\.$"
    ):
        explain(Dispatcher(), url)


def test_a_request_scope_is_what_a_server_would_make() -> None:
    """Non-ASCII paths, a host of the user's own, a websocket."""
    scope = request_scope("wss://a.com:81/é?q=1", headers={"Host": "b.com"}, root_path="/r")
    assert scope["type"] == "websocket"
    assert "method" not in scope
    assert (scope["path"], scope["raw_path"]) == ("/é", b"/%C3%A9")
    assert scope["headers"] == [(b"host", b"b.com")]
    assert (scope["query_string"], scope["root_path"]) == (b"q=1", "/r")
    assert scope["server"] == ("a.com", 81)
    assert request_scope("http://a.com")["path"] == "/"


def test_a_redirect_is_shown() -> None:
    """The request of a browser for the bare prefix."""
    explanation = explain(
        Dispatcher({"/a": shop}), "http://a.com/a", headers={"sec-fetch-mode": "navigate"}
    )
    assert explanation.location == "./a/"
    assert "  redirected to './a/'" in str(explanation).splitlines()


def test_a_dispatcher_without_mounts_is_looked_through() -> None:
    """What decides is the app underneath."""
    inner = Dispatcher({"/a": shop})
    assert explain(Dispatcher(default=inner), "http://a.com/a/").route is inner.routes[0]


def flask_app() -> Flask:
    return Flask("legacy")


async def underneath(scope: Scope, receive: Receive, send: Send) -> None:
    """What no mount takes."""


def in_front_of_fastapi() -> Any:
    app = FastAPI(openapi_url=None)
    app.add_middleware(LifespanMiddleware)
    app.add_middleware(DispatchMiddleware, mounts={"/a": shop})
    return app


@pytest.mark.parametrize(
    ("app", "name"),
    [
        pytest.param(Dispatcher({"/a": shop}, default=flask_app()), "Flask", id="default"),
        pytest.param(DispatchMiddleware(underneath, {"/a": shop}), "underneath()", id="middleware"),
        pytest.param(in_front_of_fastapi(), "FastAPI", id="FastAPI's middleware"),
        pytest.param(
            Dispatcher({"/a": shop}, default=Dispatcher({"/c": shop}, default=underneath)),
            "underneath()",
            id="a dispatcher below another",
        ),
    ],
)
def test_the_app_underneath_is_named(app: Any, name: str) -> None:
    """It gets what no mount takes, with the scope as it came."""
    found = explain(app, "/r/b", root_path="/r")
    assert (found.route, found.target, found.convention) == (None, name, "")
    assert (found.path, found.root_path) == ("/r/b", "/r")
    line = f"  is taken by no mount and goes to the app underneath, {name}"
    assert str(found).splitlines()[1] == line
    assert found.as_dict()["takes"] is None
    assert found.as_dict()["child"]["app"] == name


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(Dispatcher({"/a": shop}), id="a dispatcher"),
        pytest.param(Starlette(routes=[Mount("/a", shop)]), id="routes"),
    ],
)
def test_without_an_app_underneath(app: Any) -> None:
    """Then it is a 404."""
    found = explain(app, "/b")
    assert (found.target, found.as_dict()["child"]) == ("", None)


def test_an_unknown_host_does_not_reach_the_app_underneath() -> None:
    """Nor its mounts, if the dispatcher answers by itself."""
    below = Dispatcher({"/b": shop})
    app = Dispatcher([Mount("/a", shop, host="a.com")], default=below, unknown_host=421)
    found = explain(app, "http://b.com/b")
    assert (found.route, found.target) == (None, "")
    assert explain(app, "http://a.com/b").route is below.routes[0]


REFUSED = "/a/%2e%2e/b"


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(Dispatcher({"/a": shop, "/b": shop}, default=underneath), id="a table"),
        pytest.param(
            Starlette(routes=[Mount("/a", shop), Mount("/b", shop)]), id="mounts among routes"
        ),
        pytest.param(
            Dispatcher([Mount("/", routes=[Mount("/a", shop), Mount("/b", shop)])]),
            id="a table among routes",
        ),
    ],
)
def test_a_request_that_is_refused(app: Any) -> None:
    """No mount and no app underneath gets it."""
    found = explain(app, REFUSED)
    found = found.below or found
    assert (found.route, found.target) == (None, "")
    assert found.candidates[0].outcome == "refused"
    assert found.candidates[0].reason.startswith("400: ")


def test_a_refusal_comes_before_later_mounts() -> None:
    """It answers the request, so that no route behind it is tried."""
    app = Starlette(routes=[Mount("/a", shop), Mount("/b", shop)])
    refused, outranked = explain(app, REFUSED).candidates
    assert (
        refused.reason == "400: The path '/a/../b' may be read as '/b', which is another mount's."
    )
    assert outranked[1:] == ("outranked", "a refusal comes before it")


SHOP = Mount("/shop", shop, expose=["/.well-known/shop"])


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(Dispatcher([SHOP]), id="Dispatcher"),
        pytest.param(DispatchMiddleware(shop, [SHOP]), id="DispatchMiddleware"),
        pytest.param(Starlette(routes=[SHOP]), id="among routes"),
        pytest.param(FastAPI(routes=[SHOP]), id="among FastAPI's routes"),
    ],
)
def test_the_mount_that_takes_a_request(app: Any) -> None:
    """Itself, so that a test can name it; nothing if none does."""
    assert explain(app, "/shop/x").mount is SHOP
    assert explain(app, "/").mount is None


def test_the_mount_of_an_exposed_path() -> None:
    """Takes it as one below its prefix."""
    assert explain(Dispatcher([SHOP]), "/.well-known/shop").mount is SHOP


@pytest.mark.parametrize(
    ("app", "mount"),
    [
        pytest.param(Dispatcher({"/eu": Dispatcher([SHOP])}), "/eu", id="a mounted dispatcher"),
        pytest.param(Dispatcher([Mount("/eu", routes=[SHOP])]), "/eu", id="routes of a mount"),
        pytest.param(
            Starlette(routes=[StarletteMount("/eu", routes=[SHOP])]), None, id="Starlette's mount"
        ),
    ],
)
def test_the_mount_in_a_mounted_app(app: Any, mount: str | None) -> None:
    """Level by level; Starlette's own mounts are not among them."""
    found = explain(app, "/eu/shop/x")
    assert (None if found.mount is None else found.mount.path) == mount
    assert found.below is not None
    assert found.below.mount is SHOP


def test_another_route_is_no_mount() -> None:
    """It is in `route`."""
    found = explain(Starlette(routes=[Route("/", shop), SHOP]), "/")
    assert found.route is not None
    assert found.mount is None


@pytest.mark.parametrize(
    ("url", "nearest"),
    [
        pytest.param(
            "http://a.com/ordrs/1", ["/orders/{id:int}", "/order", "/orders"], id="a typing error"
        ),
        pytest.param("http://a.com/admin", ["/admin"], id="only the host fails"),
        pytest.param("http://b.con/admin", ["/admin"], id="a host that is nearly right"),
        pytest.param("http://a.com/orders/x", ["/orders/{id:int}"], id="a placeholder"),
        pytest.param("http://a.com/versioned", ["/versioned"], id="a condition"),
        pytest.param("/admin", ["/admin"], id="no host"),
    ],
)
def test_the_nearest_misses_come_first(url: str, nearest: list[str]) -> None:
    """Those of which the least fails; of equals, those that are most like the request."""
    paths = ("/shop", "/order", "/orders", "/orders/{id:int}")
    mounts = [Mount(path, shop, exact=path == "/orders") for path in paths]
    mounts += [Mount("/admin", shop, host="b.com"), Mount("/versioned", shop, headers={"x": "1"})]
    found = explain(Dispatcher(mounts), url)
    refused = [c.route.path for c in found.candidates if c.outcome == "refused"]  # type: ignore[attr-defined]
    assert refused[: len(nearest)] == nearest


def endpoint(request: Any) -> None:
    """Nothing here calls it."""


def underneath() -> Starlette:
    """An app with each kind of route."""
    router = APIRouter()
    router.add_api_route("/items", endpoint, methods=["GET", "PUT"])
    app = FastAPI(openapi_url=None)
    app.include_router(router, prefix="/v1")
    app.router.routes += [
        Route("/page", endpoint),
        Route("/folder/", endpoint, name="folder"),
        StarletteMount("/below", Router([Route("/x", endpoint)])),
        StarletteMount("/opaque", shop),
        StarletteHost("h.com", Router([Route("/", endpoint)])),
    ]
    return app


@pytest.mark.parametrize(
    ("method", "url", "answer"),
    [
        ("GET", "/page", "Route('/page'), endpoint()"),
        ("GET", "/v1/items", "APIRoute('/v1/items'), endpoint()"),
        ("POST", "/v1/items", "405: APIRoute('/v1/items') takes GET, PUT"),
        ("GET", "/folder/", "Route('/folder/'), named 'folder', endpoint()"),
        ("GET", "/below/x", "Route('/x'), endpoint()"),
        ("GET", "/below/y", "404: no route takes it"),
        ("GET", "/opaque/y", "not known before it is asked; mountkit request asks it"),
        ("GET", "http://h.com/", "Route('/'), endpoint()"),
        ("GET", "/page/", "307: redirected to '/page'"),
        ("GET", "/folder", "307: redirected to '/folder/'"),
        ("GET", "/", "404: no route takes it"),
        ("GET", "ws://h.com/page", "403: no route takes this websocket"),
    ],
)
@pytest.mark.parametrize("kind", ["default", "middleware", "wrapped", "alone"])
def test_what_the_app_underneath_will_do(kind: str, method: str, url: str, answer: str) -> None:
    """As its routes tell, without serving it."""
    app: Any = underneath()
    if kind == "default":
        app = Dispatcher({"/a": shop}, default=app)
    elif kind == "middleware":
        app.add_middleware(DispatchMiddleware, mounts={"/a": shop})
    elif kind == "wrapped":
        app = Dispatcher({"/a": shop}, default=LifespanMiddleware(app))
    found = explain(app, url, method=method).answer
    assert found == answer or (not found and url == "/opaque/y")  # a route takes that


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://a.com:8443/x", 8443), ("https://a.com/x", 443), ("wss://a.com/x", 443), ("/x", 80)],
)
def test_the_port_of_the_server(url: str, port: int) -> None:
    """Is that of the URL, or of its scheme."""
    assert request_scope(url)["server"][1] == port
