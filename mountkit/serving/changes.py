"""A dispatcher's mounts, changed in one step while requests are served."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import anyio

from mountkit.exceptions import PatternError
from mountkit.lifespans.children import children_of, mounts_of
from mountkit.lifespans.options import check_seconds
from mountkit.lifespans.runners import LifespanRunner
from mountkit.matching.tables import Table
from mountkit.serving.exposures import with_exposures
from mountkit.serving.mounts import Mount
from mountkit.tasks import gently, in_steps

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
        news, olds, change = await gently(self._checked(add, remove, replace))
        await gently(self._table.plan(**change))
        await self._start(news)
        try:
            await gently(self._table.gradually(**change))
        except BaseException:  # another change was quicker, or this one was cancelled
            await self._lifespans.stop(children_of(news.values()))
            raise
        self._pending |= olds
        await self._lifespans.finish(partial(self._retire, olds, drain_timeout))

    def _checked(
        self,
        add: Iterable[Mount],
        remove: Iterable[Mount],
        replace: Iterable[tuple[Mount, Mount]],
    ) -> Generator[None, None, tuple[dict[int, Mount], dict[int, Mount], dict[str, Any]]]:
        """The mounts that come and those that leave, and what changes in the table."""
        coming, leaving = checked_mounts(add), checked_mounts(remove)
        yield
        pairs = yield from in_steps(_pairs(replace))
        entering = [*coming, *(new for _, new in pairs)]
        exiting = [*leaving, *(old for old, _ in pairs)]
        yield
        news = dict(zip(map(id, entering), entering, strict=True))
        yield
        olds = dict(zip(map(id, exiting), exiting, strict=True))
        yield
        for key in news.keys() & self._pending.keys():
            raise PatternError(
                f"{news[key]!r} is still starting or draining; wait until that has ended."
            )
        for key in news.keys() & olds.keys():
            raise PatternError(f"{news[key]!r} leaves and comes in one change; make a new one.")
        # What a mount exposes comes and goes with it.
        added = chain(with_exposures(coming), _exposures(new for _, new in pairs))
        removed = chain(with_exposures(leaving), _exposures(old for old, _ in pairs))
        change = {"add": (yield from in_steps(added)), "remove": (yield from in_steps(removed))}
        return news, olds, {**change, "replace": pairs}

    async def _start(self, news: dict[int, Mount]) -> None:
        """Start mounts that are not in the table yet: all of them, or none."""
        self._pending |= news
        try:
            for mount in await gently(in_steps(mounts_of(news.values()))):
                mount.traffic.draining_since = None
            await self._lifespans.start(await gently(in_steps(children_of(news.values()))))
        finally:
            self._forget(news)

    async def _retire(self, olds: dict[int, Mount], drain_timeout: float | None) -> None:
        """Drain mounts that are no longer in the table, and stop their apps."""
        try:
            leaving = await gently(in_steps(mounts_of(olds.values())), is_shielded=True)
            for mount in leaving:
                mount.traffic.draining_since = time.time()
            async with anyio.create_task_group() as task_group:
                for mount in leaving:
                    if mount.traffic.flights:
                        task_group.start_soon(mount.traffic.drain, drain_timeout)
            apps = in_steps(children_of(olds.values()))
            await self._lifespans.stop(await gently(apps, is_shielded=True))
            await gently(self._table.compact(), is_shielded=True)
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
    found = list(mounts)
    for mount in found:
        if not isinstance(mount, Mount):
            raise PatternError(
                f"{mount!r} is not a mountkit.Mount; write Mount('/path', app), or a mapping of "
                "paths to apps."
            )
    return found


def _pairs(pairs: Iterable[tuple[Mount, Mount]]) -> Iterator[tuple[Mount, Mount]]:
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise PatternError(
                f"{pair!r} is not a pair of mounts; write replace=[(old, new)], two Mount objects."
            )
        old, new = checked_mounts(pair)
        yield old, new
