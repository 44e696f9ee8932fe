"""What a fleet knows of each tenant's app."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, NamedTuple, TypeVar

import anyio

from mountkit.lifespans.children import Child
from mountkit.lifespans.runs import Health
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


@dataclass(eq=False)
class Record(Generic[T]):
    """One tenant's app, from its first request to its end."""

    key: Hashable
    tenant: T
    # "gone" also means that it did not start.
    status: Literal["starting", "serving", "leaving", "gone"] = "starting"
    since: float = field(default_factory=time.time)
    mount: Mount = field(init=False)  # once its factory has returned
    child: Child = field(init=False)
    failure: Failure | None = None  # why it did not start
    has_place: bool = False
    users: int = 0  # requests that it works on, or that wait until it is up
    used: float = 0.0  # when the last of them came or ended (`time.monotonic()`)
    settled: anyio.Event = field(default_factory=anyio.Event)  # set once it is up or did not start
    gone: anyio.Event = field(default_factory=anyio.Event)  # set once it is down
    unused: anyio.Event | None = None  # set when the last user leaves, if an eviction waits for it

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
