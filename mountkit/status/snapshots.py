"""What a site is doing, as values: of one process, or of several merged into one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from mountkit.lifespans.runs import Status
from mountkit.middleware.meters import Meter, quantiles

R = TypeVar("R", bound="Record")

WorkerState: TypeAlias = Literal["starting", "serving", "silent", "stopping", "gone"]
#: The worst first: what several processes say of a mount becomes one of these.
_WORST: tuple[Status, ...] = ("failed", "starting", "draining", "serving")


class Record:
    """A frozen dataclass of plain values, to JSON and back."""

    #: The fields that are records, or tuples of them.
    PARTS: ClassVar[Mapping[str, type[Record]]] = {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. What is mutable in them is not copied."""
        found = {**vars(self)}
        for name in self.PARTS:
            value = found[name]
            if value is not None:
                is_one = isinstance(value, Record)
                found[name] = value.as_dict() if is_one else [one.as_dict() for one in value]
        return found

    @classmethod
    def from_dict(cls: type[R], values: Mapping[str, Any]) -> R:
        """The same from what `as_dict` has made. Values that are not known are left out, so that
        releases may differ."""
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}  # type: ignore[arg-type]
        for name, kind in cls.PARTS.items():
            value = known.get(name)
            if isinstance(value, Mapping):
                known[name] = kind.from_dict(value)
            elif value is not None:
                known[name] = tuple(map(kind.from_dict, value))
        return cls(**known)


@dataclass(frozen=True)
class MountStatus(Record):
    """One mount.

    Attributes:
        name: its name, which a file gives it, else host and path; those of nested mounts are
            `"outer:inner"`. The label `mount` of metrics.
        label: host and path, with those of the mounts above.
        conditions: in words; values that may be secrets are left out.
        app: its class, or its function's name.
        where: `file:line` of its definition.
        status, since, in_flight, answered, error: see `Health`.
        error_at: when the last error was, in seconds since the epoch.
        limit: how many requests it serves at a time, if a `LimitMiddleware` says so.
        waiting: how many requests wait for a thread; `None` if it is not a WSGI app.
        threads: how many it has at most; `None` if it is not a WSGI app.
        restarts: how often its app was started again, after it had failed.
        meter: the snapshot of its `Meter`; `None` without a `MeterMiddleware`.
        latency: seconds, `{"p50": …, "p99": …}`, estimated from the meter; `None` if nothing was
            measured.
    """

    name: str
    label: str
    conditions: str
    app: str
    where: str
    status: Status
    since: float
    in_flight: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    error_at: float | None = None
    limit: int | None = None
    waiting: int | None = None
    threads: int | None = None
    restarts: int = 0
    meter: dict[str, Any] | None = None
    latency: dict[str, float] | None = None


@dataclass(frozen=True)
class TenantStatus(Record):
    """The app of one tenant that runs; `mount` is the name of the mount of its `TenantApps`."""

    mount: str
    tenant: str
    status: Status
    since: float
    in_flight: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class WorkerStatus(Record):
    """One process.

    Attributes:
        pid: of the process.
        generation: of the configuration that it serves; 0 if there is none.
        since: when it began to serve, in seconds since the epoch.
        state: whether it serves; `"silent"` is one that does not answer its parent, `"gone"` one
            that has ended and was not replaced yet.
    """

    pid: int
    generation: int
    since: float
    state: WorkerState = "serving"


@dataclass(frozen=True)
class Reload(Record):
    """The last change of the configuration, and how many there were.

    Attributes:
        ok: whether it is in force.
        at: when it was tried, in seconds since the epoch.
        error: why it was refused, as it was logged.
        succeeded, failed: how many were, the first start included.
        succeeded_at: when the last one came into force.
    """

    ok: bool
    at: float
    error: str | None = None
    succeeded: int = 0
    failed: int = 0
    succeeded_at: float | None = None


@dataclass(frozen=True)
class FindingStatus(Record):
    """What `check` has found."""

    code: str
    message: str
    is_note: bool = False


@dataclass(frozen=True)
class Snapshot(Record):
    """A site at one moment.

    Attributes:
        version: of mountkit.
        started: when the site was started, in seconds since the epoch.
        generation: of its configuration; 0 if it has none.
        reload: `None` if it cannot be reloaded.
        workers: its processes.
        mounts: in the order in which they are tried, each followed by those below it.
        tenants: those whose apps run.
        findings: `None` if nothing was checked (yet).
        taken: when, in seconds since the epoch.
    """

    PARTS: ClassVar[Mapping[str, type[Record]]] = {
        "reload": Reload,
        "workers": WorkerStatus,
        "mounts": MountStatus,
        "tenants": TenantStatus,
        "findings": FindingStatus,
    }

    version: str
    started: float
    generation: int = 0
    reload: Reload | None = None
    workers: tuple[WorkerStatus, ...] = ()
    mounts: tuple[MountStatus, ...] = ()
    tenants: tuple[TenantStatus, ...] = ()
    findings: tuple[FindingStatus, ...] | None = None
    taken: float = 0.0


def latency_of(meter: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Median and 99th percentile of a meter's snapshot, in seconds."""
    found = None if meter is None else quantiles(meter, 0.5, 0.99)
    return None if found is None else {"p50": found[0], "p99": found[1]}


def merge_snapshots(snapshots: Sequence[Snapshot], departed: Sequence[Snapshot] = ()) -> Snapshot:
    """One snapshot of several processes.

    Args:
        snapshots: at least one. What is not a sum comes from the first that has it: a parent puts
            its own, with `generation`, `reload` and no mounts, before those of its workers.
        departed: the last ones of processes that have ended, of which only counters count, so that
            none goes down. Several may be merged into one and kept.
    """
    # One that leaves has the name of the one that takes its place.
    mounts: dict[tuple[str, bool], list[MountStatus]] = {}
    tenants: dict[tuple[str, str], list[TenantStatus]] = {}
    for snapshot in snapshots:
        for mount in snapshot.mounts:
            mounts.setdefault((mount.name, mount.status == "draining"), []).append(mount)
        for tenant in snapshot.tenants:
            tenants.setdefault((tenant.mount, tenant.tenant), []).append(tenant)
    past: dict[str, list[MountStatus]] = {}
    for mount in (mount for one in departed for mount in one.mounts):
        past.setdefault(mount.name, []).append(mount)
    first = snapshots[0]
    checked = [one.findings for one in snapshots if one.findings is not None]
    found = {finding: None for findings in checked for finding in findings}
    return replace(
        first,
        workers=tuple(worker for one in snapshots for worker in one.workers),
        mounts=tuple(_merged(same, past.pop(name, [])) for (name, _), same in mounts.items()),
        tenants=tuple(map(_merged_tenants, tenants.values())),
        findings=tuple(found) if checked else None,
        taken=max(one.taken for one in snapshots),
    )


def _merged(mounts: list[MountStatus], past: list[MountStatus]) -> MountStatus:
    """One mount, as several processes have it, and some have had it."""
    if len(mounts) == 1 and not past:
        return mounts[0]
    worst = min(mounts, key=lambda mount: (_WORST.index(mount.status), mount.since))
    last = max([*mounts, *past], key=lambda mount: mount.error_at or 0)
    shown = worst if worst.status == "failed" else last
    meters = [one.meter for one in [*mounts, *past] if one.meter is not None]
    meter = Meter.merge(meters) if meters else None
    return replace(
        worst,
        in_flight=sum(mount.in_flight for mount in mounts),
        answered=_added(mount.answered for mount in [*mounts, *past]),
        error=shown.error,
        error_at=shown.error_at,
        limit=_sum(mount.limit for mount in mounts),
        waiting=_sum(mount.waiting for mount in mounts),
        threads=_sum(mount.threads for mount in mounts),
        restarts=sum(mount.restarts for mount in [*mounts, *past]),
        meter=meter,
        latency=latency_of(meter),
    )


def _merged_tenants(tenants: list[TenantStatus]) -> TenantStatus:
    worst = min(tenants, key=lambda one: (_WORST.index(one.status), one.since))
    return replace(
        worst,
        in_flight=sum(one.in_flight for one in tenants),
        answered=_added(one.answered for one in tenants),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    whole: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            whole[name] = whole.get(name, 0) + number
    return whole


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
