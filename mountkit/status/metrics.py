"""Metrics for Prometheus, in its text format and in OpenMetrics.

Names and buckets are those of OpenTelemetry's "Semantic conventions for HTTP metrics", as
Prometheus spells them. No label has values that clients can choose: neither hosts nor tenants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mountkit.answers import refuse_websocket
from mountkit.exceptions import MountkitError
from mountkit.middleware.meters import BOUNDS, Meter
from mountkit.status.guards import HEADERS, Guard
from mountkit.status.snapshots import MountStatus, Snapshot
from mountkit.status.sources import Source, source_of

if TYPE_CHECKING:
    from prometheus_client import Metric

_METHOD, _STATUS, _ROUTE = ("http_request_method", "http_response_status_code", "http_route")


class Metrics:
    """An app that answers with the metrics of a site, for Prometheus to scrape.

        Mount("/metrics", Metrics(), exact=True)

    Needs prometheus-client: `pip install 'mountkit[metrics]'`. Durations are those of mounts that
    have a `MeterMiddleware`. Answers at any path; methods other than GET and HEAD get 405.

    Args:
        source: whose metrics; by default those of the site that it is mounted in.
        hosts: see `Status`.

    Raises:
        PatternError: a host can never match.
    """

    def __init__(self, source: Source | None = None, *, hosts: Sequence[str] | None = None) -> None:
        self._source = source
        self._guard = Guard(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
        elif scope["type"] == "http":
            response = self._guard.refuse(scope) or await self._answer(scope)
            await response(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        self._source = source_of(self._source, scope, self)
        snapshot = await self._source.snapshot()
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        make = partial(exposition, snapshot, accept.decode("latin-1"))
        body, content_type = await anyio.to_thread.run_sync(make)  # of many mounts, it takes long
        headers = {**HEADERS, "content-type": content_type, "content-length": str(len(body))}
        return Response(b"" if scope["method"] == "HEAD" else body, headers=headers)


def exposition(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """A snapshot as Prometheus reads it, and the content type.

    Args:
        accept: the header of the request, which may ask for OpenMetrics.

    Raises:
        MountkitError: prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
        from prometheus_client.registry import Collector
    except ImportError as exc:
        raise MountkitError(
            "Metrics need prometheus-client; write pip install 'mountkit[metrics]'."
        ) from exc

    class Collected(Collector):
        def collect(self) -> Iterable[Metric]:
            yield from _of_mounts(snapshot.mounts)
            yield from _of_site(snapshot)

    registry = CollectorRegistry()
    registry.register(Collected())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _of_mounts(mounts: Sequence[MountStatus]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    named: dict[str, list[MountStatus]] = {}  # one that leaves has the name of the one that comes
    for mount in mounts:
        named.setdefault(mount.name, []).append(mount)
    meters = {
        name: Meter.merge(one.meter for one in same if one.meter is not None)
        for name, same in named.items()
        if any(one.meter is not None for one in same)
    }
    yield _durations(meters)
    active = GaugeMetricFamily(
        "http_server_active_requests", "Requests and websockets in flight.", labels=["mount"]
    )
    up = GaugeMetricFamily(
        "mountkit_mount_up", "Whether the app of a mount is up, in all processes.", labels=["mount"]
    )
    restarts = CounterMetricFamily(
        "mountkit_mount_restarts", "Further starts of apps that had failed.", labels=["mount"]
    )
    for name, same in named.items():
        staying = [one for one in same if one.status != "draining"]
        active.add_metric([name], sum(one.in_flight for one in same))
        up.add_metric([name], bool(staying) and all(one.status == "serving" for one in staying))
        restarts.add_metric([name], sum(one.restarts for one in same))
    websockets = CounterMetricFamily(
        "mountkit_websockets", "Handshakes, by status; 101 was accepted.", labels=["mount", _STATUS]
    )
    errors = CounterMetricFamily(
        "mountkit_errors", "Requests that an app ended by an error.", labels=["mount", "error_type"]
    )
    for name, meter in meters.items():
        for status, number in meter["websockets"].items():
            websockets.add_metric([name, status], number)
        for error, number in meter["errors"].items():
            errors.add_metric([name, error], number)
    yield from (active, up, restarts, websockets, errors)


def _durations(meters: dict[str, dict[str, Any]]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    rows = [(name, *row) for name, meter in meters.items() for row in meter["requests"]]
    has_routes = any(row[3] for row in rows)
    family = HistogramMetricFamily(
        "http_server_request_duration_seconds",
        "Until the last part of the answer was sent.",
        labels=["mount", _METHOD, _STATUS, *[_ROUTE] * has_routes],
    )
    bounds = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]
    for name, method, status, route, buckets, seconds in rows:
        labels = [name, method, str(status or ""), *[route] * has_routes]
        family.add_metric(labels, [*zip(bounds, accumulate(buckets), strict=True)], seconds)
    return family


def _of_site(snapshot: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    up = GaugeMetricFamily("mountkit_worker_up", "Whether a process serves.", labels=["worker"])
    generation = GaugeMetricFamily(
        "mountkit_worker_generation",
        "Of the configuration that a process serves.",
        labels=["worker"],
    )
    for number, worker in enumerate(snapshot.workers):  # no pid: each would be a new series
        up.add_metric([str(number)], worker.state == "serving")
        generation.add_metric([str(number)], worker.generation)
    yield from (up, generation)
    started = GaugeMetricFamily("mountkit_start_time_seconds", "When the site was started.")
    started.add_metric([], snapshot.started)
    yield started
    reload = snapshot.reload
    if reload is None:
        return
    successful = GaugeMetricFamily(
        "mountkit_config_last_reload_successful", "Whether the last change is in force."
    )
    successful.add_metric([], reload.ok)
    yield successful
    if reload.succeeded_at is not None:
        at = GaugeMetricFamily(
            "mountkit_config_last_reload_success_timestamp_seconds",
            "When the configuration came into force.",
        )
        at.add_metric([], reload.succeeded_at)
        yield at
    reloads = CounterMetricFamily(
        "mountkit_config_reloads", "Changes of the configuration.", labels=["result"]
    )
    reloads.add_metric(["success"], reload.succeeded)
    reloads.add_metric(["failure"], reload.failed)
    yield reloads
