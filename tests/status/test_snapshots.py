"""Snapshots: plain values, to JSON and back, and merged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mountkit.middleware.meters import Meter
from mountkit.status.snapshots import (
    FindingStatus,
    MountStatus,
    Reload,
    Snapshot,
    TenantStatus,
    WorkerStatus,
    latency_of,
    merge_snapshots,
)


def mount(name: str = "shop", **values: Any) -> MountStatus:
    given: dict[str, Any] = {"label": f"/{name}", "conditions": "", "app": "App", "where": "a.py:1"}
    return MountStatus(name, **{"status": "serving", "since": 10.0, **given, **values})


def meter(number: int) -> dict[str, Any]:
    one = Meter()
    one.row("GET", 200, "")[0] += number
    return one.snapshot()


def of(*mounts: MountStatus, **values: Any) -> Snapshot:
    return Snapshot(**{"version": "1", "started": 1.0, "mounts": mounts, **values})


WHOLE = of(
    mount(meter=meter(3), latency={"p50": 1.0, "p99": 2.0}, answered={"2xx": 3}),
    generation=2,
    reload=Reload(False, 3.0, "no", 2, 1, 2.0),
    workers=(WorkerStatus(7, 2, 1.0),),
    tenants=(TenantStatus("shop", "acme", "serving", 4.0),),
    findings=(FindingStatus("overlap", "both", False),),
    taken=5.0,
)


@pytest.mark.parametrize("snapshot", [WHOLE, of()], ids=["full", "empty"])
def test_to_json_and_back(snapshot: Snapshot) -> None:
    """Nothing is lost on the way from one process to another."""
    assert Snapshot.from_dict(json.loads(json.dumps(snapshot.as_dict()))) == snapshot


def test_what_is_not_known_is_left_out() -> None:
    """As of a newer release."""
    values = {**WHOLE.as_dict(), "weather": "fine"}
    values["mounts"][0]["colour"] = "red"
    assert Snapshot.from_dict(values) == WHOLE


def test_processes_are_merged() -> None:
    """Counts are added, the worst state is shown, and the rest is of the first that has it."""
    parent = of(generation=3, reload=Reload(True, 9.0), workers=())
    one = mount(answered={"2xx": 1}, in_flight=1, limit=10, restarts=1, waiting=1, threads=2)
    other = mount(answered={"2xx": 2, "5xx": 1}, in_flight=2, limit=10, waiting=0, threads=2)
    workers = [WorkerStatus(1, 3, 5.0), WorkerStatus(2, 2, 4.0)]
    whole = merge_snapshots(
        [
            parent,
            of(replace(one, error="old", error_at=1.0), workers=(workers[0],), taken=7.0),
            of(
                replace(other, status="failed", since=20.0, error="new", error_at=2.0),
                mount("alone"),
                workers=(workers[1],),
                taken=6.0,
            ),
        ]
    )
    assert (whole.generation, whole.reload, whole.taken) == (3, Reload(True, 9.0), 7.0)
    assert whole.workers == tuple(workers)
    assert whole.mounts == (
        mount(
            answered={"2xx": 3, "5xx": 1},
            in_flight=3,
            limit=20,
            restarts=1,
            waiting=1,
            threads=4,
            status="failed",
            since=20.0,
            error="new",
            error_at=2.0,
        ),
        mount("alone"),
    )


def test_the_last_error_is_shown() -> None:
    """Of mounts that serve, whichever process had it."""
    one = mount(since=1.0)
    other = mount(since=2.0, error="x", error_at=3.0)
    [found] = merge_snapshots([of(one), of(other)]).mounts
    assert (found.since, found.error, found.error_at) == (1.0, "x", 3.0)


def test_meters_are_merged() -> None:
    """With the latency of all of them."""
    [found] = merge_snapshots([of(mount(meter=meter(1))), of(mount(meter=meter(2)))]).mounts
    assert found.meter == meter(3)
    assert found.latency == latency_of(meter(3)) == pytest.approx({"p50": 0.0025, "p99": 0.00495})
    assert latency_of(None) is None


def test_counters_of_processes_that_have_ended_stay() -> None:
    """But not what was in flight there, nor mounts that are nowhere any more."""
    gone = of(mount(answered={"2xx": 5}, meter=meter(5), in_flight=3, restarts=2), mount("removed"))
    [found] = merge_snapshots([of(mount(answered={"2xx": 1}, meter=meter(1)))], [gone]).mounts
    assert found == mount(
        answered={"2xx": 6}, meter=meter(6), latency=latency_of(meter(6)), restarts=2
    )
    twice = merge_snapshots([gone, gone])
    [found] = merge_snapshots([of(mount(answered={"2xx": 1}, meter=meter(1)))], [twice]).mounts
    assert found.answered == {"2xx": 11}


def test_a_mount_that_leaves_is_not_the_one_that_comes() -> None:
    """Both have the name."""
    new, old = mount(in_flight=1), mount(status="draining", in_flight=2)
    gone = of(mount(answered={"2xx": 5}))
    found = merge_snapshots([of(new, old), of(new)], [gone]).mounts
    assert found == (mount(in_flight=2, answered={"2xx": 5}), old)


def test_tenants_are_merged() -> None:
    """By mount and tenant."""
    one = TenantStatus("m", "acme", "serving", 2.0, 1, {"2xx": 1})
    other = TenantStatus("m", "acme", "starting", 3.0, 2, {"2xx": 2})
    third = TenantStatus("m", "globex", "serving", 3.0)
    found = merge_snapshots([of(tenants=(one,)), of(tenants=(other, third))]).tenants
    assert found == (TenantStatus("m", "acme", "starting", 3.0, 3, {"2xx": 3}), third)


def test_findings_are_merged() -> None:
    """Each once; those of processes that have checked."""
    one, other = FindingStatus("a", "x"), FindingStatus("b", "y", True)
    snapshots = [of(), of(findings=(one,)), of(findings=(one, other))]
    assert merge_snapshots(snapshots).findings == (one, other)
    assert merge_snapshots([of(), of()]).findings is None
