"""What a fleet knows of each tenant's app."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from time import monotonic
from typing import Generic, Literal, NamedTuple, TypeVar

import anyio

from mountkit.lifespans.supervision import Child, Health
from mountkit.serving.mounts import Mount

T = TypeVar("T")


class Failure(NamedTuple):
    """Why an app is not up.

    Attributes:
        retry_at: the `time.monotonic()` from which it may be started again.
        delay: seconds from the failure to `retry_at`.
    """

    error: str
    retry_at: float
    delay: float


class Record(Generic[T]):
    """One tenant's app, from its first request to its end.

    Attributes:
        status: `"gone"` also means that it did not start.
        mount, child: set once it is up.
        failure: why it did not start.
        users: requests that it works on, or that wait until it is up.
        used: when the last of them came or ended (`time.monotonic()`).
        settled: set once it is up or did not start.
        gone: set once it is down.
        unused: set when the last user leaves; exists while its eviction waits for that.
    """

    def __init__(self, key: Hashable, tenant: T) -> None:
        self.key = key
        self.tenant = tenant
        self.status: Literal["starting", "serving", "leaving", "gone"] = "starting"
        self.since = time.time()
        self.mount: Mount
        self.child: Child
        self.failure: Failure | None = None
        self.users = 0
        self.used = monotonic()
        self.settled = anyio.Event()
        self.gone = anyio.Event()
        self.unused: anyio.Event | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return f"tenant {self.key!r}"

    @property
    def error(self) -> str | None:
        """Why its lifespan ended while it served, if that happened and it will not restart."""
        run = self.child.run
        return run.error if run.status == "failed" and run.retry_at is None else None

    @property
    def is_idle(self) -> bool:
        """Whether it is up and has no requests."""
        return self.status == "serving" and not self.users

    @property
    def health(self) -> Health:
        """How it is doing."""
        if self.status == "starting":
            return Health(self.name, "starting", self.since, self.users, {}, None)
        return replace(self.mount.health, mount=self.name)
