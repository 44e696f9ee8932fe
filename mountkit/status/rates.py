"""What changes from one look at a site to the next: requests per second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from time import monotonic
from typing import NamedTuple, TypeAlias

import anyio
import anyio.to_thread

from mountkit.status.snapshots import MountStatus, Snapshot
from mountkit.status.sources import Source

# Seconds that a snapshot is shown to all who look; the share of the time that taking them may
# cost; and the longest pause, of very large sites.
_FRESH = 1.0
_SHARE = 0.05
_LONGEST = 10.0
# Seconds between two looks of which the rates are made: less is noise, more is long ago.
_LEAST = 0.5
_MOST = 120.0


class Rate(NamedTuple):
    """Requests that ended, and those of class 5xx, per second."""

    requests: float
    failures: float


#: By the name and the label of a mount.
Rates: TypeAlias = Mapping[tuple[str, str], Rate]


class View:
    """What all see who look at a site from one event loop. Nothing is done while nobody looks.

    Attributes:
        source: what is looked at.
        pause: seconds until the next look is worth it.
    """

    def __init__(self, source: Source) -> None:
        self.source: Source = source
        self.pause: float = _FRESH
        self._lock = anyio.Lock()
        self._last: Snapshot | None = None
        self._taken = 0.0  # on `time.monotonic`
        self._rates: Rates = {}

    async def look(self) -> tuple[Snapshot, Rates]:
        """The site, and the rates since the look before, if that was not long ago."""
        async with self._lock:
            began = monotonic()
            if self._last is None or began - self._taken >= self.pause * 0.9:
                snapshot = await self.source.snapshot()
                self._taken = monotonic()
                self.pause = min(max(_FRESH, (self._taken - began) / _SHARE), _LONGEST)
                if self._last is not None:
                    work = partial(rates_of, self._last, snapshot)
                    self._rates = await anyio.to_thread.run_sync(work)
                self._last = snapshot
            return self._last, self._rates


def rates_of(before: Snapshot, after: Snapshot) -> Rates:
    """The rates of the mounts that are in both; of none if the first was just now, or long ago. A
    counter that went down has begun anew."""
    seconds = after.taken - before.taken
    if not _LEAST <= seconds <= _MOST:
        return {}
    past, rates = _totals(before.mounts), {}
    for key, (ended, failed) in _totals(after.mounts).items():
        if key in past:
            had_ended, had_failed = past[key]
            gained = (max(ended - had_ended, 0), max(failed - had_failed, 0))
            rates[key] = Rate(gained[0] / seconds, gained[1] / seconds)
    return rates


def _totals(mounts: Iterable[MountStatus]) -> dict[tuple[str, str], tuple[int, int]]:
    """Requests and failures; a mount that leaves counts with the one that takes its place."""
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for mount in mounts:
        key = (mount.name, mount.label)
        ended, failed = totals.get(key, (0, 0))
        ended += sum(mount.answered.values())
        totals[key] = (ended, failed + mount.answered.get("5xx", 0))
    return totals
