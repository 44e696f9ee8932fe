"""What traces and metrics see of a mounted app: one server span, with the whole route."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ASGIInstrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.routing import Mount as StarletteMount
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import CheckMiddleware, Dispatcher, DispatchMiddleware, Mount, Split
from tests.support.requests import asked
from tests.support.scopes import scope_of, served_scope

RECORDERS = ("fastapi", "starlette", "asgi")
PLACES = ("middleware", "dispatcher", "route")
CHILDREN = ("fastapi", "fastapi-router", "starlette", "flask")


class Traces:
    """A tracer provider of the test's own, and the server spans that it got."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def server_spans(self) -> list[ReadableSpan]:
        spans = self._exporter.get_finished_spans()
        return [span for span in spans if span.kind is SpanKind.SERVER]

    @property
    def routes(self) -> list[tuple[str, Any]]:
        """Name and `http.route` of every server span."""
        return [
            (span.name, (span.attributes or {}).get("http.route")) for span in self.server_spans
        ]


@pytest.fixture
def traces() -> Traces:
    return Traces()


async def item(request: Request) -> Response:
    return PlainTextResponse(f"item {request.path_params['id']}")


async def fails(request: Request) -> Response:
    raise RuntimeError("no such luck")


def fastapi_item(id: int) -> str:
    return f"item {id}"


def make_child(kind: str, traces: Traces) -> Any:
    """An app with a route `/item/{id}`. Those of FastAPI would record a span of their own."""
    if kind == "starlette":
        return Starlette(routes=[Route("/item/{id:int}", item), Route("/fails", fails)])
    if kind == "flask":
        app = flask.Flask("child")
        app.add_url_rule("/item/<int:id>", view_func=fastapi_item)
        return app
    api = FastAPI(telemetry={"tracer_provider": traces.provider})
    if kind == "fastapi-router":
        router = APIRouter()
        router.add_api_route("/{id}", fastapi_item)
        api.include_router(router, prefix="/item")
    else:
        api.add_api_route("/item/{id}", fastapi_item)
    return api


def recorded(recorder: str, app: ASGIApp, traces: Traces) -> ASGIApp:
    """`app` behind one of the two middlewares that record any ASGI app."""
    if recorder == "starlette":
        return OpenTelemetryMiddleware(app, tracer_provider=traces.provider)
    return ASGIInstrumentation(app, tracer_provider=traces.provider)


def make_parent(
    recorder: str, place: str, mounts: list[Mount], traces: Traces, **options: Any
) -> ASGIApp:
    """An app that has `mounts` in one of three places and is watched by one of three recorders."""
    routes: list[BaseRoute] = [*mounts] if place == "route" else []
    if recorder == "fastapi":
        telemetry: Any = {"tracer_provider": traces.provider, **options}
        api = FastAPI(routes=routes, telemetry=telemetry)
        if place == "dispatcher":
            api.mount("", Dispatcher(mounts))
        if place == "middleware":
            api.add_middleware(DispatchMiddleware, mounts=mounts)
        return api
    if place == "dispatcher":
        return recorded(recorder, Dispatcher(mounts), traces)
    parent = Starlette(routes=routes)
    if place == "middleware":
        parent.add_middleware(DispatchMiddleware, mounts=mounts)
    return recorded(recorder, parent, traces)


def ask(app: ASGIApp, path: str = "/outer/admin/item/3", method: str = "GET") -> int:
    """The status of one request to a server whose `root_path` is `/outer`."""
    client = TestClient(app, root_path="/outer", raise_server_exceptions=False)
    return client.request(method, path).status_code


def both(route: str, method: str = "GET") -> list[tuple[str, str]]:
    """One span with this route, named after it."""
    return [(f"{method} {route}", route)]


@pytest.mark.anyio
@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("recorder", ["starlette", "asgi"])
async def test_requests_as_servers_make_them(recorder: str, child: str, traces: Traces) -> None:
    """Their scopes have other keys than those of a test client: these take the short way."""
    dispatcher = Dispatcher([Mount("/admin", make_child(child, traces))])
    app = recorded(recorder, dispatcher, traces)
    for _ in range(3):
        scope = served_scope("/outer/admin/item/3", root_path="/outer")
        assert (await asked(app, scope))[0][0]["status"] == 200
    assert traces.routes == 3 * both("/outer/admin/item/{id}")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("layers", "statuses"),
    [
        pytest.param([], [], id="server"),
        pytest.param([Middleware(CheckMiddleware)], [500], id="layer"),
    ],
)
async def test_an_app_that_says_nothing(layers: Any, statuses: Any, traces: Traces) -> None:
    """The server answers in its place, or a layer does: the span has the route of its mount."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing."""

    app = recorded("asgi", Dispatcher([Mount("/admin", silent, middleware=layers)]), traces)
    sent, error = await asked(app, served_scope("/admin/x"))
    assert ([message["status"] for message in sent[:1]], error) == (statuses, None)
    assert traces.routes == both("/admin")


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
def test_one_server_span_with_the_whole_route(
    recorder: str, place: str, child: str, traces: Traces
) -> None:
    """Whoever records, wherever the mount stands, whatever is mounted."""
    app = make_parent(recorder, place, [Mount("/admin", make_child(child, traces))], traces)
    assert ask(app) == 200
    assert traces.routes == both("/outer/admin/item/{id}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_child_without_routes_has_the_route_of_its_mount(
    recorder: str, place: str, traces: Traces
) -> None:
    """A plain WSGI function shows no route."""

    def child(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"any"]

    app = make_parent(recorder, place, [Mount("/admin", child)], traces)
    assert ask(app) == 200
    [(name, route)] = traces.routes
    # FastAPI says of its own mounts that something follows.
    assert route in ("/outer/admin", "/outer/admin/{path}")
    assert name == f"GET {route}"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_path_that_the_child_does_not_know(recorder: str, place: str, traces: Traces) -> None:
    """A 404 of the child has the route of its mount, never the path that was asked for."""
    child = make_child("starlette", traces)
    app = make_parent(recorder, place, [Mount("/admin", child)], traces)
    assert ask(app, "/outer/admin/wp-login.php") == 404
    assert traces.routes == both("/outer/admin")


@pytest.mark.parametrize("place", ["middleware", "dispatcher"])
@pytest.mark.parametrize("recorder", RECORDERS)
def test_two_mounts_with_the_same_route_are_told_apart(
    recorder: str, place: str, traces: Traces
) -> None:
    """What metrics by `http.route` are for."""
    mounts = [Mount(path, make_child("starlette", traces)) for path in ("/shop", "/blog")]
    app = make_parent(recorder, place, mounts, traces)
    ask(app, "/outer/shop/item/3")
    ask(app, "/outer/blog/item/3")
    assert traces.routes == both("/outer/shop/item/{id}") + both("/outer/blog/item/{id}")


def nested_dispatchers(child: Any) -> Mount:
    return Mount("/a", Dispatcher([Mount("/b", child)]))


def nested_routes(child: Any) -> Mount:
    return Mount("/a", routes=[Mount("/b", child)])


def nested_starlette(child: Any) -> Mount:
    return Mount("/a", Starlette(routes=[Mount("/b", child)]))


def nested_starlette_mount(child: Any) -> Mount:
    return Mount("/a", Starlette(routes=[StarletteMount("/b", child)]))


def nested_fastapi(child: Any) -> Mount:
    return Mount("/a", FastAPI(routes=[Mount("/b", child)]))


NESTS = (
    nested_dispatchers,
    nested_routes,
    nested_starlette,
    nested_starlette_mount,
    nested_fastapi,
)
# Starlette's own Mount takes no WSGI app.
NESTED = [
    pytest.param(nest, child, id=f"{nest.__name__}-{child}")
    for nest in NESTS
    for child in ("fastapi", "starlette", "flask")
    if (nest, child) != (nested_starlette_mount, "flask")
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(("nest", "child"), NESTED)
def test_nested_mounts(
    nest: Callable[[Any], Mount], recorder: str, place: str, child: str, traces: Traces
) -> None:
    """Every prefix on the way, once."""
    app = make_parent(recorder, place, [nest(make_child(child, traces))], traces)
    assert ask(app, "/outer/a/b/item/3") == 200
    assert traces.routes == both("/outer/a/b/item/{id}")


@pytest.mark.parametrize("child", ["fastapi", "starlette", "flask"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(
    ("prefix", "asked", "template"),
    [
        pytest.param("/t/{tenant}", "/t/acme", "/t/{tenant}", id="text"),
        pytest.param("/u/{user:int}", "/u/7", "/u/{user}", id="convertor"),
    ],
)
def test_placeholders_in_the_prefix(
    prefix: str, asked: str, template: str, recorder: str, place: str, child: str, traces: Traces
) -> None:
    """The template, not the tenant: else a metric per tenant."""
    mount = Mount(prefix, make_child(child, traces))
    app = make_parent(recorder, place, [mount], traces)
    assert ask(app, f"/outer{asked}/item/3") == 200
    assert traces.routes == both(f"/outer{template}/item/{{id}}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
def test_static_files_below_a_mounted_app(
    recorder: str, place: str, traces: Traces, tmp_path: Path
) -> None:
    """Starlette's mount inside of a mounted app: its template, not the file's name."""
    (tmp_path / "style.css").write_text("")
    child = Starlette(routes=[StarletteMount("/static", StaticFiles(directory=tmp_path))])
    app = make_parent(recorder, place, [Mount("/admin", child)], traces)
    assert ask(app, "/outer/admin/static/style.css") == 200
    assert traces.routes == both("/outer/admin/static/{path}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_child_that_raises(recorder: str, place: str, traces: Traces) -> None:
    """A server error has its route too: it is what one looks for."""
    mount = Mount("/admin", make_child("starlette", traces))
    app = make_parent(recorder, place, [mount], traces)
    assert ask(app, "/outer/admin/fails") == 500
    assert traces.routes == both("/outer/admin/fails")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", ["fastapi", "asgi"])
def test_an_unknown_method_does_not_name_the_span(
    recorder: str, place: str, traces: Traces
) -> None:
    """OpenTelemetry, "HTTP spans", name: `HTTP` where the method is none that is known."""
    mount = Mount("/admin", make_child("starlette", traces))
    app = make_parent(recorder, place, [mount], traces)
    assert ask(app, method="GUESS") == 405
    [(name, route)] = traces.routes
    assert (name, route) == ("HTTP /outer/admin/item/{id}", "/outer/admin/item/{id}")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_what_no_mount_takes_is_recorded_as_ever(recorder: str, traces: Traces) -> None:
    """The wrapped app's own routes under a `DispatchMiddleware`."""
    if recorder == "fastapi":
        api = FastAPI(telemetry={"tracer_provider": traces.provider})
        api.add_middleware(DispatchMiddleware, mounts=[Mount("/admin", Starlette())])
        api.add_api_route("/item/{id}", fastapi_item)
        app: ASGIApp = api
    else:
        parent = Starlette(routes=[Route("/item/{id}", item)])
        parent.add_middleware(DispatchMiddleware, mounts=[Mount("/admin", Starlette())])
        app = recorded(recorder, parent, traces)
    assert ask(app, "/outer/item/3") == 200
    # OpenTelemetry's ASGI instrumentation knows no routes.
    plain = [("GET /outer/item/3", None)]
    assert traces.routes == (plain if recorder == "asgi" else both("/outer/item/{id}"))


def test_a_dispatcher_that_nobody_watches_leaves_a_fastapi_app_its_span(traces: Traces) -> None:
    """FastAPI's own telemetry below a bare `Dispatcher`: its span knows the prefix."""
    assert ask(Dispatcher({"/admin": make_child("fastapi", traces)})) == 200
    assert traces.routes == both("/outer/admin/item/{id}")


def points_of(reader: InMemoryMetricReader, name: str) -> list[dict[str, Any]]:
    """The attributes of a metric's points."""
    data = reader.get_metrics_data()
    assert data is not None
    return [
        dict(point.attributes or {})
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("place", PLACES)
def test_metrics_of_fastapi(place: str, child: str, traces: Traces) -> None:
    """FastAPI's histogram is grouped by the route of the span."""
    reader = InMemoryMetricReader()
    mount = Mount("/admin", make_child(child, traces))
    options = {"meter_provider": MeterProvider(metric_readers=[reader])}
    assert ask(make_parent("fastapi", place, [mount], traces, **options)) == 200
    points = points_of(reader, "http.server.request.duration")
    assert [point["http.route"] for point in points] == ["/outer/admin/item/{id}"]


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("place", ["middleware", "dispatcher"])
def test_metrics_of_the_asgi_instrumentation(place: str, child: str, traces: Traces) -> None:
    """It reads the template from `scope["route"]`."""
    reader = InMemoryMetricReader()
    mount = Mount("/admin", make_child(child, Traces()))
    app: ASGIApp = Dispatcher([mount])
    if place == "middleware":
        app = Starlette()
        app.add_middleware(DispatchMiddleware, mounts=[mount])
    meters = MeterProvider(metric_readers=[reader])
    watched = ASGIInstrumentation(app, tracer_provider=traces.provider, meter_provider=meters)
    assert ask(watched) == 200
    points = points_of(reader, "http.server.duration")
    assert [point["http.target"] for point in points] == ["/outer/admin/item/{id}"]


@pytest.mark.parametrize("child", ["fastapi", "starlette"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorder", ["fastapi", "asgi"])
def test_websockets(recorder: str, place: str, child: str, traces: Traces) -> None:
    """The span of a websocket has the whole route as well."""

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    if child == "starlette":
        inner: Any = Starlette(routes=[WebSocketRoute("/chat/{room}", chat)])
    else:
        inner = make_child("fastapi", traces)
        inner.add_api_websocket_route("/chat/{room}", chat)
    app = make_parent(recorder, place, [Mount("/admin", inner)], traces)
    client = TestClient(app, root_path="/outer")
    with client.websocket_connect("/outer/admin/chat/3") as websocket:
        assert websocket.receive_text() == "hello"
        websocket.receive()
    assert [route for _, route in traces.routes] == ["/outer/admin/chat/{room}"]


class Watcher:
    """Keeps the scope that it passed on, as exporters of metrics do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        await self.app(scope, receive, send)


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("place", PLACES)
def test_scope_route_for_exporters(place: str, child: str, traces: Traces) -> None:
    """`scope["route"]` after the call: a template below `root_path`, no `Mount`, a name."""
    mount = Mount("/admin", make_child(child, Traces()))
    app: ASGIApp
    if place == "dispatcher":
        app = Dispatcher([mount])
    else:
        app = Starlette(routes=[mount] if place == "route" else [])
        if place == "middleware":
            app.add_middleware(DispatchMiddleware, mounts=[mount])
    watcher = Watcher(app)
    assert ask(watcher) == 200
    route = watcher.scope["route"]
    assert route.path_format == route.path == "/admin/item/{id}"
    assert not isinstance(route, StarletteMount)
    assert route.name in ("item", "fastapi_item")
    assert watcher.scope["root_path"] == "/outer"


def test_providers_of_the_whole_process() -> None:
    """FastAPI turns its telemetry on by itself where a provider was set globally.

    In a process of its own: the global provider can be set only once.
    """
    script = Path(__file__).parents[1] / "support" / "apps" / "global_traces.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    route = "/outer/admin/item/{id}"
    expected = [
        f"{recorder} {place} {child}: GET {route} {route}"
        for recorder in RECORDERS
        for place in ("middleware", "route")
        for child in ("FastAPI", "Starlette", "Flask")
    ]
    assert done.stdout.splitlines() == expected


class Record:
    """FastAPI's, as much of it as is written to."""

    route: str | None = None
    span: Any = None


@pytest.mark.anyio
async def test_a_route_is_composed_when_it_is_read() -> None:
    """From what the child has left in its scope by then; without a route it is the mount."""

    async def item(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    child = Starlette(routes=[Route("/item/{id}", item, name="item")])
    app = Dispatcher([Mount("/shop", child, name="shop")])
    found = []
    for path in ("/shop/item/3", "/shop/none"):
        scope = scope_of(path)
        await asked(app, scope)
        route = scope["route"]
        found.append((route.path_format, route.path, route.name, route.endpoint))
    assert found == [
        ("/shop/item/{id}", "/shop/item/{id}", "item", item),
        ("/shop", "/shop", "shop", None),
    ]


@pytest.mark.anyio
async def test_the_record_of_fastapi_below_a_split() -> None:
    """It gets the route of the app that was chosen."""

    async def item(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    split = Split({"only": (Starlette(routes=[Route("/item/{id}", item)]), 1)})
    scope = scope_of("/item/3", **{"fastapi.telemetry": (record := Record())})
    await asked(split, scope)
    assert record.route == "/item/{id}"


@pytest.mark.anyio
async def test_a_parent_that_is_watched_without_a_span() -> None:
    """The child makes none of its own."""
    seen: list[Any] = []

    async def child(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await PlainTextResponse("x")(scope, receive, send)

    app = Dispatcher({"/x": child})
    await asked(app, scope_of("/x", **{"starlette.opentelemetry": True}))
    assert seen[0]["fastapi.telemetry"] is None
