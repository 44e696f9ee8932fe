"""The states of an app that is being run, as a table, and the `Health` that follows from them.

Whatever moves a run calls `Run.apply`, which refuses what is not in the table `STATES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, overload

import anyio

from mountkit.exceptions import LifespanError

if TYPE_CHECKING:
    from mountkit.lifespans.protocol import LifespanTask
    from mountkit.lifespans.registers import Job

Event: TypeAlias = Literal["start", "up", "fail", "isolate", "lose", "stop", "end"]
Status: TypeAlias = Literal["starting", "serving", "draining", "failed"]

#: For each state, what users see of it, and the events that may happen in it with the states that
#: they lead to.
STATES: dict[str, tuple[Status, dict[Event, str]]] = {
    "new": ("starting", {"start": "starting"}),
    "starting": (
        "starting",
        {
            "up": "serving",
            "fail": "failed",
            "isolate": "isolated",
            "stop": "aborting",
            "end": "stopped",  # the start was cancelled
        },
    ),
    "aborting": ("starting", {"fail": "failed", "end": "stopped"}),  # stopped before it was up
    "serving": ("serving", {"lose": "broken", "isolate": "isolated", "stop": "stopping"}),
    "broken": ("failed", {"stop": "stopping"}),  # its lifespan has ended; it is still served
    # Answers 503.
    "isolated": ("failed", {"up": "serving", "isolate": "isolated", "stop": "stopping"}),
    "stopping": ("draining", {"end": "stopped"}),
    "failed": ("failed", {}),
    "stopped": ("starting", {}),  # until a server starts it again
}
#: States that are left soon: another mount of the same app waits.
PASSING = frozenset({"starting", "aborting", "stopping"})


@dataclass(frozen=True, slots=True)
class Health:
    """The health of one mount.

    Attributes:
        mount: its host and path.
        status: `"starting"`: its app is not up, not yet or no longer. `"draining"`: it gets no
            new requests, and the ones in flight are waited for. `"failed"`: its app did not
            start, or its lifespan has ended.
        since: when that status began, in seconds since the epoch.
        in_flight: requests and websockets in progress.
        answered: finished ones by class: `{"2xx": 5}`; an accepted websocket counts as `"1xx"`,
            a request that ended without an answer as `"none"`, and one that its app has given up
            because the client has gone as `"client_gone"`.
        error: the last one: of the app's lifespan if it has failed, else of a request.
    """

    mount: str
    status: Status
    since: float
    in_flight: int
    answered: dict[str, int]
    error: str | None


class HealthReport(Sequence[Health]):
    """The `Health` of several mounts, each made when it is read: 100,000 take some 0.3 seconds.

    Args:
        walk: the mounts, whenever it is called.
    """

    def __init__(self, walk: Callable[[], Iterable[Any]]) -> None:
        self._walk = walk

    @cached_property
    def _mounts(self) -> Sequence[Any]:
        return tuple(self._walk())

    def __iter__(self) -> Iterator[Health]:
        return (mount.health for mount in self._walk())

    def __bool__(self) -> bool:
        return any(True for _ in self._walk())

    def __len__(self) -> int:
        return len(self._mounts)

    @overload
    def __getitem__(self, index: int) -> Health: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Health]: ...
    def __getitem__(self, index: int | slice) -> Health | Sequence[Health]:
        if isinstance(index, slice):
            return HealthReport(partial(self._mounts.__getitem__, index))
        health: Health = self._mounts[index].health
        return health

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, tuple, HealthReport)) and [*self] == [*other]

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr([*self])


@dataclass(slots=True, eq=False)
class Run:
    """One app run for one server; every `Child` of the app in that server shares it.

    Attributes:
        app: the application; kept so that its identity stays its own.
        state: its lifespan state.
        phase: the state it is in; see `STATES`.
        since: when its status began, in seconds since the epoch.
        error: why it has failed.
        failure: what failed its first start, if it is not isolated.
        retry_at: while its mount answers 503, the time (`time.monotonic()`) of the next start. Of a
            new run, not `None` until it was said that nothing has started it.
        users: how many mounts hold it; 0 once the last has begun to stop it.
        task: the talk with the app, if it is up and supports lifespans.
        starting: around its first start.
        told: what was logged with a traceback while it is not up.
        retries: the further starts of an isolated app.
        restarts: how many of them there were.
    """

    app: Any
    state: dict[str, Any] = field(default_factory=dict)
    phase: str = "new"
    since: float = field(default_factory=time.time)
    error: str | None = None
    failure: LifespanError | None = None
    retry_at: float | None = None
    users: int = 0
    task: LifespanTask | None = None
    starting: anyio.CancelScope | None = None
    told: object = None
    retries: Job | None = None
    restarts: int = 0
    _changed: anyio.Event | None = None  # made by the first that waits

    @property
    def status(self) -> Status:
        """Its state as `Health` shows it."""
        return STATES[self.phase][0]

    def apply(
        self, event: Event, error: str | None = None, *, retry_at: float | None = None
    ) -> None:
        """Move to the state that an event leads to.

        Args:
            error, retry_at: see the attributes; kept while it stops.

        Raises:
            RuntimeError: the event cannot happen in this state. Nothing has changed.
        """
        status, events = STATES[self.phase]
        if event not in events:
            raise RuntimeError(
                f"Event {event!r} cannot happen in the state {self.phase!r} of a run; possible: "
                f"{', '.join(events) or 'none'}."
            )
        if self.phase == "isolated" and event != "stop":
            self.restarts += 1
        self.phase = events[event]
        if self.status != status:
            self.since = time.time()
        if event != "stop":
            self.error, self.retry_at = error, retry_at
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def change(self) -> None:
        """Wait until the next event."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    async def settled(self) -> None:
        """Wait until it is in a state that lasts."""
        while self.phase in PASSING:
            await self.change()
