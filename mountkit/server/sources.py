"""What the status page and metrics show: all workers, merged by the parent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from mountkit.exceptions import PatternError
from mountkit.server.channels import Channel, ChannelRefused
from mountkit.server.failures import WorkerError
from mountkit.status.snapshots import Reload, Snapshot, merge_snapshots

if TYPE_CHECKING:
    from mountkit.server.fleets import Fleet
    from mountkit.server.processes import Process

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

#: Seconds that a worker has to answer.
_PATIENCE = 1.0
_UP = ("serving", "stopping")


class FleetSource:
    """The parent's: it asks all workers."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._started = time.time()
        self._departed: Snapshot | None = None
        self.reload: Reload = Reload(True, self._started, succeeded=1, succeeded_at=self._started)

    def note(self, error: str | None) -> None:
        """Note what has come of a change of the file; `None` if it is in force."""
        now, last = time.time(), self.reload
        if error is None:
            self.reload = replace(
                last, ok=True, at=now, error=None, succeeded=last.succeeded + 1, succeeded_at=now
            )
        else:
            self.reload = replace(last, ok=False, at=now, error=error, failed=last.failed + 1)

    def part(self, last: Snapshot) -> None:
        """Keep the counters of a worker that ends."""
        known = [] if self._departed is None else [self._departed]
        mounts = tuple(replace(one, in_flight=0) for one in last.mounts)
        last = replace(last, mounts=mounts, workers=(), tenants=(), findings=None)
        self._departed = merge_snapshots([*known, last])

    async def snapshot(self) -> Snapshot:
        """All workers at this moment. One that does not answer within a second counts with its
        last answer."""
        processes = self._fleet.processes
        await asyncio.gather(*map(self._ask, processes))
        own = Snapshot(
            version("mountkit"),
            self._started,
            self._fleet.job.generation,
            self.reload,
            tuple(one.status for one in processes),
            taken=time.time(),
        )
        # Of this moment: the counters of those that have ended meanwhile are in `_departed`.
        last = [one.last for one in processes if one.state in _UP]
        found = [replace(one, workers=()) for one in last if one is not None]
        departed = [] if self._departed is None else [self._departed]
        if not found:  # none is up
            found, departed = departed, []
        return merge_snapshots([own, *found], departed)

    async def _ask(self, process: Process) -> None:
        if process.state in _UP:
            with suppress(WorkerError):  # it has just ended
                try:
                    async with asyncio.timeout(_PATIENCE):
                        process.last = Snapshot.from_dict(await process.ask("snapshot"))
                    process.is_silent = False
                except TimeoutError:
                    process.is_silent = True

    async def explain(self, method: str, url: str, headers: Headers = ()) -> dict[str, Any]:
        """Who would take a request, and why, as any of the workers says."""
        for process in self._fleet.processes:
            if process.state == "serving":
                try:
                    return await _explained(process.ask, method, url, headers)
                except WorkerError as exc:
                    raise PatternError(str(exc)) from exc
        raise PatternError("No worker is up to answer; try again.")


class AskingSource:
    """A worker's: it asks the parent."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def snapshot(self) -> Snapshot:
        """As the parent's."""
        return Snapshot.from_dict(await self._channel.ask("snapshot"))

    async def explain(self, method: str, url: str, headers: Headers = ()) -> dict[str, Any]:
        """As the parent's."""
        try:
            return await _explained(self._channel.ask, method, url, headers)
        except ChannelRefused as exc:
            raise PatternError(str(exc)) from exc


async def _explained(ask: Any, method: str, url: str, headers: Headers) -> dict[str, Any]:
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    found: dict[str, Any] = await ask("explain", method=method, url=url, headers=pairs)
    return found
