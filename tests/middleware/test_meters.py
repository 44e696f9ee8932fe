"""`MeterMiddleware`: what an app answers, and how long it takes."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount as StarletteMount
from starlette.routing import Route, Router, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from mountkit import Dispatcher, Mount
from mountkit.middleware.meters import BOUNDS, MOST, OTHER, Meter, MeterMiddleware, quantiles
from tests.support.actors import Child, Slow, raising
from tests.support.clients import ClientFactory
from tests.support.requests import ask, asked
from tests.support.scopes import scope_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b""}


def counts(meter: Meter) -> dict[tuple[str, int, str], int]:
    """How many requests each series has."""
    return {key: round(sum(row[:-1])) for key, row in meter.series.items()}


def of(*rows: tuple[str, int, list[int]]) -> dict[str, Any]:
    """A snapshot with these buckets, of which the first are given."""
    size = len(BOUNDS) + 1
    requests = [[m, s, "", (b + [0] * size)[:size], 1.0] for m, s, b in rows]
    return {"requests": requests, "websockets": {}, "errors": {}}


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_answers_are_counted_by_method_and_status(status: int) -> None:
    """Each request once."""
    layer = MeterMiddleware(PlainTextResponse("x", status))
    for method in ("GET", "GET", "POST"):
        await asked(layer, scope_of("/", method=method))
    assert counts(layer.meter) == {("GET", status, ""): 2, ("POST", status, ""): 1}
    assert layer.meter.errors == {}


@pytest.mark.parametrize("method", ["get", "PROPFIND", "X" * 1000])
async def test_a_method_that_is_not_known_is_other(method: str) -> None:
    """So that clients cannot invent series."""
    layer = MeterMiddleware(PlainTextResponse("x"))
    await asked(layer, scope_of("/", method=method))
    assert counts(layer.meter) == {(OTHER, 200, ""): 1}


async def test_the_sum_and_the_bucket_are_those_of_the_duration() -> None:
    """In seconds; nothing ends before it began."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(0.03)
        await PlainTextResponse("x")(scope, receive, send)

    layer = MeterMiddleware(app)
    await asked(layer, scope_of("/"))
    [row] = layer.meter.series.values()
    assert row[:2] == [0, 0]
    assert row[-1] >= 0.03
    assert sum(row[:-1]) == 1


async def test_a_stream_lasts_until_its_end() -> None:
    """And not only until its first part."""

    async def parts() -> Any:
        yield b"a"
        await anyio.sleep(0.02)
        yield b"b"

    layer = MeterMiddleware(StreamingResponse(parts()))
    await asked(layer, scope_of("/"))
    [row] = layer.meter.series.values()
    assert row[-1] >= 0.02


async def test_what_an_app_does_afterwards_does_not_count() -> None:
    """A background task is not part of the answer."""
    done: list[float] = []

    async def task() -> None:
        await anyio.sleep(0.05)
        done.append(1)

    layer = MeterMiddleware(PlainTextResponse("x", background=BackgroundTask(task)))
    await asked(layer, scope_of("/"))
    [row] = layer.meter.series.values()
    assert done
    assert row[-1] < 0.05


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_files_that_the_server_sends(kind: str) -> None:
    """Are the end of an answer too."""
    layer = MeterMiddleware(Child([START, {"type": kind, "path": "/x"}], None))
    await asked(layer, scope_of("/"))
    assert counts(layer.meter) == {("GET", 200, ""): 1}
    assert layer.meter.errors == {}


RAISED = [
    (ValueError("x"), 500, {"ValueError": 1}),
    (SystemExit(), 500, {"SystemExit": 1}),
    (HTTPException(404), 404, {}),
    (MultiPartException("x"), 400, {}),
    (ClientDisconnect(), 0, {}),
]


@pytest.mark.parametrize(("exc", "status", "errors"), RAISED, ids=lambda value: repr(value)[:20])
async def test_an_exception_before_the_answer(exc: Any, status: int, errors: Any) -> None:
    """Counts as what the client gets, goes up, and is an error if it is none of Starlette's
    answers and the client is still there."""
    layer = MeterMiddleware(raising(exc))
    with pytest.raises(type(exc)):
        await layer(scope_of("/"), _nothing, _drop)
    assert counts(layer.meter) == {("GET", status, ""): 1}
    assert layer.meter.errors == errors


@pytest.mark.parametrize(
    ("exc", "errors"), [(ValueError("x"), {"ValueError": 1}), (HTTPException(404), {})]
)
async def test_an_exception_after_the_start(exc: Exception, errors: Any) -> None:
    """The client has the status that was sent."""
    layer = MeterMiddleware(raising(exc, after=[START]))
    _, error = await asked(layer, scope_of("/"))
    assert error is exc
    assert counts(layer.meter) == {("GET", 200, ""): 1}
    assert layer.meter.errors == errors


async def _nothing() -> Message:
    return {"type": "http.request"}


async def _gone() -> Message:
    return {"type": "http.disconnect"}


async def _drop(message: Message) -> None:
    pass


async def test_an_app_without_an_answer() -> None:
    """Servers answer 500."""
    layer = MeterMiddleware(Child([], None))
    await asked(layer, scope_of("/"))
    assert counts(layer.meter) == {("GET", 500, ""): 1}
    assert layer.meter.errors == {"no answer": 1}


async def test_no_answer_to_a_client_that_has_gone() -> None:
    """Is nobody's fault, and has no status."""
    layer = MeterMiddleware(Child([], None))
    await layer(scope_of("/"), _gone, _drop)
    assert counts(layer.meter) == {("GET", 0, ""): 1}
    assert layer.meter.errors == {}


async def test_messages_before_the_answer() -> None:
    """Do not start it."""
    hint: Message = {"type": "http.response.early_hint", "links": []}
    layer = MeterMiddleware(Child([hint, {**START, "status": 201}, END], None))
    await asked(layer, scope_of("/"))
    assert counts(layer.meter) == {("GET", 201, ""): 1}


async def test_an_answer_without_its_end() -> None:
    """Counts; servers break the connection."""
    layer = MeterMiddleware(Child([START], None))
    await asked(layer, scope_of("/"))
    assert counts(layer.meter) == {("GET", 200, ""): 1}


async def test_a_request_that_is_cancelled_is_no_error() -> None:
    """It counts, without a status."""
    slow = Slow([])
    layer = MeterMiddleware(slow)
    async with anyio.create_task_group() as tasks:
        ask(tasks, layer, scope_of("/"))
        await until(lambda: slow.entered == 1)
        tasks.cancel_scope.cancel()
    assert counts(layer.meter) == {("GET", 0, ""): 1}
    assert layer.meter.errors == {}


@pytest.mark.parametrize(("status", "counted"), [(99, 500), (1000, 500), ("200", 500), (299, 299)])
async def test_a_status_that_is_none(status: Any, counted: int) -> None:
    """Is a fault of the app, which servers answer in their ways."""
    layer = MeterMiddleware(Child([{**START, "status": status}, END], None))
    await asked(layer, scope_of("/"))
    assert counts(layer.meter) == {("GET", counted, ""): 1}


ANSWERS = [
    ([{"type": "websocket.accept"}, {"type": "websocket.close"}], 101),
    ([{"type": "websocket.close"}], 403),
    (
        [
            {"type": "websocket.http.response.start", "status": 404, "headers": []},
            {"type": "websocket.http.response.body", "body": b""},
        ],
        404,
    ),
]


@pytest.mark.parametrize(("messages", "status"), ANSWERS, ids=["101", "403", "404"])
async def test_websockets_are_counted_apart(messages: list[Message], status: int) -> None:
    """By the status of the handshake, without a duration."""
    layer = MeterMiddleware(Child(messages, None))
    await asked(layer, scope_of("/", type="websocket"))
    await asked(layer, scope_of("/", type="websocket"))
    assert layer.meter.websockets == {status: 2}
    assert layer.meter.series == {}


@pytest.mark.parametrize(
    ("exc", "errors"),
    [(ValueError("x"), {"ValueError": 1}), (WebSocketDisconnect(), {}), (HTTPException(404), {})],
    ids=["error", "gone", "answer"],
)
async def test_an_exception_of_a_websocket(exc: Exception, errors: Any) -> None:
    """Is an error, unless the client has gone or it is an answer."""
    layer = MeterMiddleware(raising(exc, after=[{"type": "websocket.accept"}]))
    _, error = await asked(layer, scope_of("/", type="websocket"))
    assert error is exc
    assert layer.meter.websockets == {101: 1}
    assert layer.meter.errors == errors


async def test_other_scopes_pass() -> None:
    """Lifespans are not counted."""
    child = Child([], None)
    layer = MeterMiddleware(child)
    await asked(layer, {"type": "lifespan"})
    assert child.scopes == [{"type": "lifespan"}]
    assert layer.meter.snapshot() == {"requests": [], "websockets": {}, "errors": {}}


async def item(request: Request) -> Response:
    return PlainTextResponse("item")


ITEMS = [
    Route("/item/{id}", item),
    StarletteMount("/deep", routes=[Route("/item/{id}", item)]),
]
ROUTED = [
    ("/shop/item/7", "/shop/item/{id}"),
    ("/shop/deep/item/7", "/shop/deep/item/{id}"),
    ("/shop/nowhere", ""),
]


@pytest.mark.parametrize(("path", "route"), ROUTED)
def test_routes_where_they_are_asked_for(path: str, route: str, client: ClientFactory) -> None:
    """As templates, with the prefix of the mount; never the path itself."""
    layers = [Middleware(MeterMiddleware, routes=True)]
    mount = Mount("/shop", Starlette(routes=ITEMS), middleware=layers)
    client(Dispatcher([mount])).get(path)
    [key] = mount.app.meter.series  # type: ignore[attr-defined]
    assert key[2] == route


def test_the_routes_of_a_mount_below(client: ClientFactory) -> None:
    """Are seen through it, as in traces."""
    inner = Dispatcher([Mount("/{version}", Starlette(routes=ITEMS))])
    mount = Mount("/api", inner, middleware=[Middleware(MeterMiddleware, routes=True)])
    client(Dispatcher([mount])).get("/api/v1/item/7")
    assert [*mount.app.meter.series] == [("GET", 200, "/api/{version}/item/{id}")]  # type: ignore[attr-defined]


def test_routes_without_a_mount(client: ClientFactory) -> None:
    """Are those of the app."""
    layer = MeterMiddleware(Router(ITEMS), routes=True)
    client(layer).get("/item/7")
    assert counts(layer.meter) == {("GET", 200, "/item/{id}"): 1}


async def test_routes_are_bounded() -> None:
    """An app that shows others without end does not fill the memory."""
    meter = Meter()
    for number in range(MOST + 10):
        meter.row("GET", 200, f"/{number}")
    assert len(meter.series) == MOST + 1
    assert ("GET", 200, OTHER) in meter.series
    assert meter.row("GET", 200, "/0") is meter.series["GET", 200, "/0"]


async def test_names_of_errors_are_bounded() -> None:
    """Classes can be made at run time."""
    meter = Meter()
    for number in range(60):
        meter.note(f"Error{number}")
    meter.note("Error0")
    assert len(meter.errors) == 51
    assert meter.errors[OTHER] == 10
    assert meter.errors["Error0"] == 2


async def test_a_meter_outlives_its_layer() -> None:
    """A mount that takes another's place goes on counting."""
    meter = Meter()
    for body in ("old", "new"):
        await asked(MeterMiddleware(PlainTextResponse(body), meter=meter), scope_of("/"))
    assert counts(meter) == {("GET", 200, ""): 2}


def test_snapshots_are_added() -> None:
    """Of any number of processes."""
    one = {**of(("GET", 200, [1, 2]), ("POST", 500, [1])), "websockets": {"101": 2}}
    other = {**of(("GET", 200, [0, 3])), "websockets": {"101": 1}, "errors": {"E": 1}}
    whole = Meter.merge([one, other])
    assert whole == {
        **of(("GET", 200, [1, 5]), ("POST", 500, [1])),
        "requests": [
            ["GET", 200, "", [1, 5] + [0] * 13, 2.0],
            ["POST", 500, "", [1] + [0] * 14, 1.0],
        ],
        "websockets": {"101": 3},
        "errors": {"E": 1},
    }
    assert Meter.merge([]) == of()


def test_quantiles_are_estimated_from_the_buckets() -> None:
    """As `histogram_quantile` of Prometheus does it."""
    assert quantiles(of(), 0.5) is None
    assert quantiles(of(("GET", 200, [100])), 0.5, 0.99) == pytest.approx((0.0025, 0.00495))
    both = of(("GET", 200, [50]), ("GET", 500, [0, 50]))
    assert quantiles(both, 0.5, 1.0) == pytest.approx((0.005, 0.01))
    assert quantiles(of(("GET", 200, [0] * 14 + [5])), 0.5) == (10.0,)


async def ends(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def test_a_mounted_app_with_websockets(client: ClientFactory) -> None:
    """All of it through a mount."""
    app = Starlette(routes=[*ITEMS, WebSocketRoute("/ws", ends)])
    mount = Mount("/shop", app, middleware=[Middleware(MeterMiddleware)])
    with client(Dispatcher([mount])) as session:
        session.get("/shop/item/1")
        session.get("/shop/none")
        with session.websocket_connect("/shop/ws") as websocket:
            assert websocket.receive()["type"] == "websocket.close"
    meter: Meter = mount.app.meter  # type: ignore[attr-defined]
    assert counts(meter) == {("GET", 200, ""): 1, ("GET", 404, ""): 1}
    assert meter.websockets == {101: 1}
