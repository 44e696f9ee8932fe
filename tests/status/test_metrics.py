"""Metrics, read as Prometheus reads them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mountkit import Dispatcher, MeterMiddleware, Metrics, Mount, MountkitError
from mountkit.middleware.meters import Meter
from mountkit.status.metrics import exposition
from mountkit.status.snapshots import MountStatus, Reload, Snapshot, WorkerStatus, merge_snapshots
from tests.support.clients import ClientFactory
from tests.support.requests import asked
from tests.support.scopes import scope_of

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DURATION = "http_server_request_duration_seconds"


def samples(families: Iterable[Any]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels; each once, or else Prometheus refuses all of them."""
    found: dict[Any, float] = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def of(snapshot: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples(parse(exposition(snapshot)[0].decode()))


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return (name, frozenset(labels.items()))


def mount(name: str = "shop", **values: Any) -> MountStatus:
    given: dict[str, Any] = {"label": f"/{name}", "conditions": "", "app": "App", "where": "a.py:1"}
    return MountStatus(name, **{"status": "serving", "since": 1000.0, **given, **values})


def site_of(*mounts: MountStatus, **values: Any) -> Snapshot:
    return Snapshot("1", 1000.0, mounts=mounts, **values)


def meter(route: str = "", number: int = 1) -> dict[str, Any]:
    one = Meter()
    row = one.row("GET", 200, route)
    row[0], row[3], row[-1] = number, number, 2.5
    return one.snapshot()


async def item(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


async def fail(request: Request) -> None:
    raise ValueError


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def shop() -> Starlette:
    return Starlette(
        routes=[Route("/item/{id}", item), Route("/fail", fail), WebSocketRoute("/ws", echo)]
    )


@pytest.mark.parametrize("accept", ["", OPENMETRICS], ids=["text", "openmetrics"])
def test_metrics_of_a_site(accept: str, client: ClientFactory) -> None:
    """In both formats, with the names and labels of the semantic conventions."""
    app = Dispatcher(
        [
            Mount("/shop", shop(), name="shop", middleware=[Middleware(MeterMiddleware)]),
            Mount("/other", PlainTextResponse("x"), name="other"),
            Mount("/metrics", Metrics(), name="metrics", exact=True),
        ]
    )
    with client(app, raise_server_exceptions=False) as session:
        session.get("/shop/item/1")
        session.get("/shop/fail")
        session.request("PROPFIND", "/shop/item/2")
        session.get("/other")
        with session.websocket_connect("/shop/ws") as websocket:
            websocket.receive()
        response = session.get("/metrics", headers={"accept": accept})
    assert response.headers["cache-control"] == "no-store"
    kind = "application/openmetrics-text" if accept else "text/plain"
    assert response.headers["content-type"].startswith(kind)
    found = samples((parse_openmetrics if accept else parse)(response.text))
    labels = {"mount": "shop", "http_request_method": "GET", "http_response_status_code": "200"}
    assert found[key(f"{DURATION}_count", **labels)] == 1
    assert found[key(f"{DURATION}_bucket", **labels, le="+Inf")] == 1
    assert found[key(f"{DURATION}_sum", **labels)] > 0
    assert found[key(f"{DURATION}_count", **{**labels, "http_response_status_code": "500"})] == 1
    assert found[key("mountkit_errors_total", mount="shop", error_type="ValueError")] == 1
    other = {**labels, "http_request_method": "_OTHER", "http_response_status_code": "405"}
    assert found[key(f"{DURATION}_count", **other)] == 1
    websockets = key("mountkit_websockets_total", mount="shop", http_response_status_code="101")
    assert found[websockets] == 1
    assert found[key("http_server_active_requests", mount="metrics")] == 1
    assert found[key("mountkit_mount_up", mount="other")] == 1
    assert found[key("mountkit_worker_up", worker="0")] == 1
    assert not any(name.startswith("mountkit_config") for name, _ in found)
    assert not any(
        dict(labels).get("mount") == "other" for name, labels in found if DURATION in name
    )


def test_buckets_add_up() -> None:
    """Each has what is below it; bounds as the conventions give them."""
    found = of(site_of(mount(meter=meter())))
    bounds = {
        float(dict(labels)["le"]): value
        for (name, labels), value in found.items()
        if name == f"{DURATION}_bucket"
    }
    assert [*bounds][:4] == [0.005, 0.01, 0.025, 0.05]
    assert [*bounds.values()][:5] == [1, 1, 1, 2, 2]
    assert len(bounds) == 15
    assert sum(name.startswith(DURATION) for name, _ in found) == 17


def test_routes_where_they_were_asked_for() -> None:
    """Else the label is not there."""
    found = of(site_of(mount(meter=meter("/shop/item/{id}")), mount("api", meter=meter())))
    routes = {dict(labels).get("http_route") for name, labels in found if DURATION in name}
    assert routes == {"/shop/item/{id}", ""}
    plain = of(site_of(mount(meter=meter())))
    assert not any("http_route" in dict(labels) for _, labels in plain)


def test_a_request_without_a_status() -> None:
    """Has none in its label."""
    one = Meter()
    one.row("GET", 0, "")[0] += 1
    found = of(site_of(mount(meter=one.snapshot())))
    labels = {"mount": "shop", "http_request_method": "GET", "http_response_status_code": ""}
    assert found[key(f"{DURATION}_count", **labels)] == 1


def test_two_mounts_of_one_name_are_one_series() -> None:
    """As while one takes the other's place."""
    new = mount(in_flight=1, meter=meter(), restarts=1)
    old = mount(in_flight=2, meter=meter(), status="draining", restarts=2)
    found = of(site_of(new, old))
    labels = {"mount": "shop", "http_request_method": "GET", "http_response_status_code": "200"}
    assert found[key(f"{DURATION}_count", **labels)] == 4
    assert found[key("http_server_active_requests", mount="shop")] == 3
    assert found[key("mountkit_mount_restarts_total", mount="shop")] == 3
    assert found[key("mountkit_mount_up", mount="shop")] == 1


@pytest.mark.parametrize("status", ["failed", "starting", "draining"])
def test_a_mount_that_is_not_up(status: Any) -> None:
    """Is 0."""
    assert of(site_of(mount(status=status)))[key("mountkit_mount_up", mount="shop")] == 0


def test_the_configuration() -> None:
    """What its last change was, and how many there were."""
    name = "mountkit_config_last_reload_successful"
    at = "mountkit_config_last_reload_success_timestamp_seconds"
    good = of(site_of(reload=Reload(True, 5.0, None, 3, 1, 5.0)))
    assert good[key(name)] == 1
    assert good[key(at)] == 5.0
    assert good[key("mountkit_config_reloads_total", result="success")] == 3
    assert good[key("mountkit_config_reloads_total", result="failure")] == 1
    bad = of(site_of(reload=Reload(False, 5.0, "no", 0, 1)))
    assert bad[key(name)] == 0
    assert key(at) not in bad


def test_processes_have_numbers() -> None:
    """Not their ids, each of which would be a new series."""
    workers = (WorkerStatus(71, 4, 1.0), WorkerStatus(72, 3, 1.0, "gone"))
    found = of(site_of(workers=workers))
    assert found[key("mountkit_worker_up", worker="0")] == 1
    assert found[key("mountkit_worker_up", worker="1")] == 0
    assert found[key("mountkit_worker_generation", worker="1")] == 3
    assert found[key("mountkit_start_time_seconds")] == 1000.0


def test_no_counter_goes_down_when_a_process_leaves() -> None:
    """What it has counted stays."""
    one, other = site_of(mount(meter=meter())), site_of(mount(meter=meter(number=3)))
    both = of(merge_snapshots([one, other]))
    left = of(merge_snapshots([one], [other]))
    for labels, value in both.items():
        assert left[labels] == value


@pytest.mark.parametrize("missing", ["prometheus_client"])
def test_without_prometheus_client(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what to install."""
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MountkitError) as caught:
        exposition(site_of())
    assert str(caught.value) == (
        "Metrics need prometheus-client; write pip install 'mountkit[metrics]'."
    )


def test_who_may_scrape(client: ClientFactory) -> None:
    """As for the page: hosts, other sites, methods."""
    app = Dispatcher([Mount("/metrics", Metrics(hosts=["testserver"]), exact=True)])
    session = client(app)
    assert session.get("/metrics").status_code == 200
    head = session.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert session.post("/metrics").status_code == 405
    assert session.get("/metrics", headers={"host": "evil.example"}).status_code == 421
    assert session.get("/metrics", headers={"origin": "http://evil.example"}).status_code == 403


@pytest.mark.anyio
async def test_other_scopes() -> None:
    """A websocket is refused; a lifespan passes."""
    sent, _ = await asked(Metrics(), scope_of("/", type="websocket"))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert await asked(Metrics(), {"type": "lifespan"}) == ([], None)
