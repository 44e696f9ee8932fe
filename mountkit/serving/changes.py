"""A dispatcher's mounts, changed in one step while requests are served."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from starlette.routing import BaseRoute
from starlette.routing import Mount as StarletteMount

from mountkit.exceptions import MountkitError, PatternError, shown
from mountkit.lifespans.children import children_of, mounts_of
from mountkit.lifespans.options import check_seconds
from mountkit.lifespans.runners import LifespanRunner
from mountkit.matching.tables import Table
from mountkit.serving.exposures import with_exposures
from mountkit.serving.mounts import Mount

#: Seconds that requests in flight have when their mount leaves.
DRAIN_TIMEOUT = 30.0


class Changes:
    """The changes of one table.

    Args:
        table: what changes.
        lifespans: runs the apps, once for each server.
    """

    def __init__(self, table: Table[Any], lifespans: LifespanRunner) -> None:
        self._table = table
        self._lifespans = lifespans
        self._pending: dict[int, Mount] = {}

    @property
    def mounts(self) -> Iterable[Mount]:
        """Those that are not in the table yet, or no longer."""
        return self._pending.values()

    async def apply(
        self,
        add: Iterable[Mount],
        remove: Iterable[Mount],
        replace: Iterable[tuple[Mount, Mount]],
        drain_timeout: float | None,
    ) -> None:
        """See `Dispatcher.change`."""
        check_seconds("drain_timeout", drain_timeout, least="from 0")
        coming, leaving, pairs = checked_mounts(add), checked_mounts(remove), _pairs(replace)
        news = {id(new): new for new in (*coming, *(new for _, new in pairs))}
        olds = {id(old): old for old in (*leaving, *(old for old, _ in pairs))}
        for mount in news.values():
            if id(mount) in self._pending:
                raise PatternError(
                    f"{mount!r} is still starting or draining; wait until that has ended."
                )
            if id(mount) in olds:
                raise PatternError(f"{mount!r} leaves and comes in one change; make a new one.")
        # What a mount exposes comes and goes with it.
        change: dict[str, Any] = {
            "add": [*with_exposures(coming), *_exposures(new for _, new in pairs)],
            "remove": [*with_exposures(leaving), *_exposures(old for old, _ in pairs)],
            "replace": pairs,
        }
        self._table.validate(**change)
        await self._start(news)
        try:
            self._table.apply(**change)
        except MountkitError:  # another change was quicker
            await self._lifespans.stop(children_of(news.values()))
            raise
        for mount in mounts_of(olds.values()):
            mount.traffic.draining_since = time.time()
        self._pending |= olds
        await self._lifespans.finish(partial(self._retire, olds, drain_timeout))

    async def _start(self, news: dict[int, Mount]) -> None:
        """Start mounts that are not in the table yet: all of them, or none."""
        self._pending |= news
        for mount in mounts_of(news.values()):
            mount.traffic.draining_since = None
        try:
            await self._lifespans.start(children_of(news.values()))
        finally:
            self._forget(news)

    async def _retire(self, olds: dict[int, Mount], drain_timeout: float | None) -> None:
        """Drain mounts that are no longer in the table, and stop their apps."""
        try:
            async with anyio.create_task_group() as task_group:
                for mount in mounts_of(olds.values()):
                    task_group.start_soon(mount.traffic.drain, drain_timeout)
            await self._lifespans.stop(children_of(olds.values()))
        finally:
            self._forget(olds)

    def _forget(self, mounts: dict[int, Mount]) -> None:
        for key in mounts:
            self._pending.pop(key, None)


def _exposures(mounts: Iterable[Mount]) -> Iterator[Any]:
    return (exposure for mount in mounts for exposure in mount.exposures)


def checked_mounts(mounts: Mapping[str, Any] | Iterable[Mount]) -> list[Mount]:
    """Mounts as a list, or of a mapping of paths to apps.

    Raises:
        PatternError: one is not a mount.
    """
    if isinstance(mounts, Mapping):
        return [Mount(path, app) for path, app in mounts.items()]
    if isinstance(mounts, (Mount, str)) or callable(mounts) or not isinstance(mounts, Iterable):
        fix = "[Mount('/', app)], or default=app for what no mount takes"
        fix = "[Mount(…)]" if isinstance(mounts, Mount) else fix
        raise PatternError(f"{shown(mounts)} is not a list of mounts; write {fix}.")
    found = list(mounts)
    for mount in found:
        if not isinstance(mount, Mount):
            raise PatternError(f"{shown(mount)} is not a mountkit.Mount; {_fix(mount)}.")
    return found


def _fix(item: Any) -> str:
    """What to write in place of an item that is not a mount."""
    if isinstance(item, StarletteMount):
        return "import Mount from mountkit, not from Starlette"
    if isinstance(item, BaseRoute):
        return "give it to the app underneath: default=Starlette(routes=[…])"
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return f"write Mount({item[0]!r}, app)"
    if isinstance(item, (list, tuple)):
        return "write one list, with * in front of a list that is in it"
    return "write Mount('/path', app), or a mapping of paths to apps"


def _pairs(pairs: Iterable[tuple[Mount, Mount]]) -> list[tuple[Mount, Mount]]:
    found = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise PatternError(
                f"{pair!r} is not a pair of mounts; write replace=[(old, new)], two Mount objects."
            )
        old, new = checked_mounts(pair)
        found.append((old, new))
    return found
