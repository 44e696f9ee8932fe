"""A dispatcher's mounts, changed in one step while requests are served."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import anyio
from starlette.routing import BaseRoute
from starlette.routing import Mount as StarletteMount

from mountkit.exceptions import MountkitError, PatternError, shown
from mountkit.lifespans.children import children_of, mounts_of
from mountkit.lifespans.options import check_seconds
from mountkit.lifespans.runners import LifespanRunner
from mountkit.matching.entries import dropped
from mountkit.matching.tables import Table
from mountkit.serving.exposures import with_exposures
from mountkit.serving.flights import Traffic
from mountkit.serving.mounts import Mount
from mountkit.tasks import STRIDE, gently, in_steps

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
        self._pending: list[dict[int, Mount]] = []  # by identity, those of each change

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Those that are not in the table yet, or no longer."""
        return tuple(chain.from_iterable(some.values() for some in self._pending))

    async def apply(
        self,
        add: Iterable[Mount],
        remove: Iterable[Mount],
        replace: Iterable[tuple[Mount, Mount]],
        drain_timeout: float | None,
    ) -> None:
        """See `Dispatcher.change`."""
        work = self.prepare(add, remove, replace, drain_timeout)
        del add, remove, replace  # what is left of them is freed in steps
        await (await work).commit()

    async def prepare(
        self,
        add: Iterable[Mount],
        remove: Iterable[Mount],
        replace: Iterable[tuple[Mount, Mount]],
        drain_timeout: float | None,
    ) -> PreparedChange:
        """See `Dispatcher.prepare`."""
        check_seconds("drain_timeout", drain_timeout, least="from 0")
        news, olds, change = await gently(self._checked(add, remove, replace))
        del add, remove, replace
        await gently(self._table.plan(**change))
        await self._start(news)
        return PreparedChange(self, news, olds, change, drain_timeout)

    async def commit(
        self,
        news: dict[int, Mount],
        olds: dict[int, Mount],
        change: dict[str, Any],
        drain_timeout: float | None,
        changed: anyio.Event,
    ) -> None:
        """Change the table, and bring what has left to its end."""
        self._forget(news)
        try:
            await gently(self._table.gradually(**change))
        except BaseException:  # another change was quicker, or this one was cancelled
            await self._lifespans.stop([*children_of(news.values())])
            raise
        changed.set()
        self._pending.append(olds)
        await self._lifespans.finish(partial(self._retire, olds, drain_timeout))
        await gently(dropped([news, olds, *change.values()]), is_shielded=True)

    async def abort(self, news: dict[int, Mount]) -> None:
        """Stop the apps of mounts that have not come into the table."""
        self._forget(news)
        await self._lifespans.stop([*children_of(news.values())])

    def _checked(
        self,
        add: Iterable[Mount],
        remove: Iterable[Mount],
        replace: Iterable[tuple[Mount, Mount]],
    ) -> Generator[None, None, tuple[dict[int, Mount], dict[int, Mount], dict[str, Any]]]:
        """The mounts that come and those that leave, and what changes in the table."""
        coming = yield from in_steps(checked_mounts(add))
        leaving = yield from in_steps(checked_mounts(remove))
        pairs = yield from in_steps(_pairs(replace))
        news = yield from _by_id(chain(coming, (new for _, new in pairs)))
        olds = yield from _by_id(chain(leaving, (old for old, _ in pairs)))
        yield from in_steps(self._refuse_known(news, olds))
        # What a mount exposes comes and goes with it.
        added = yield from in_steps(with_exposures(coming))
        removed = yield from in_steps(with_exposures(leaving))
        exposed = yield from in_steps(
            pair if pair[0].exposures or pair[1].exposures else None for pair in pairs
        )
        for old, new in exposed:
            removed += old.exposures
            added += new.exposures
        return news, olds, {"add": added, "remove": removed, "replace": pairs}

    def _refuse_known(self, news: dict[int, Mount], olds: dict[int, Mount]) -> Iterator[None]:
        for key, mount in news.items():
            if any(key in some for some in self._pending):
                raise PatternError(
                    f"{mount!r} is still starting or draining; wait until that has ended."
                )
            if key in olds:
                raise PatternError(f"{mount!r} leaves and comes in one change; make a new one.")
            yield

    async def _start(self, news: dict[int, Mount]) -> None:
        """Start mounts that are not in the table yet: all of them, or none."""
        self._pending.append(news)
        try:
            await gently(in_steps(_drained(news, None)))
            await self._lifespans.start(await gently(in_steps(children_of(news.values()))))
        except BaseException:
            self._forget(news)
            raise

    async def _retire(self, olds: dict[int, Mount], drain_timeout: float | None) -> None:
        """Drain mounts that are no longer in the table, and stop their apps."""
        try:
            leaving = await gently(in_steps(_drained(olds, time.time())), is_shielded=True)
            await gently(self._table.compact(), is_shielded=True)
            async with anyio.create_task_group() as task_group:
                for traffic in leaving:
                    task_group.start_soon(traffic.drain, drain_timeout)
            apps = in_steps(children_of(olds.values()))
            await self._lifespans.stop(await gently(apps, is_shielded=True))
        finally:
            self._forget(olds)

    def _forget(self, mounts: dict[int, Mount]) -> None:
        self._pending = [some for some in self._pending if some is not mounts]


class PreparedChange:
    """A change whose new apps are up and whose table has not changed: see `Dispatcher.prepare`.

    Call `commit` or `abort`, once. If neither is called, the new apps run until the server stops.

    Attributes:
        changed: set by `commit` when the table has changed, which is long before it returns if
            requests have to be waited for.
    """

    def __init__(self, changes: Changes, *parts: Any) -> None:
        self.changed: anyio.Event = anyio.Event()
        self._changes = changes
        self._parts: tuple[Any, ...] | None = parts

    async def commit(self) -> None:
        """Change the table, and drain and stop what has left it, as `Dispatcher.change` does.

        Raises:
            PatternError: another change has removed one of the mounts since.
            ConflictError: another change has added an equivalent mount since.
                In both cases nothing has changed, and the new apps are stopped.
            MountkitError: it was committed or aborted before.
        """
        news, olds, change, drain_timeout = self._taken()
        work = self._changes.commit(news, olds, change, drain_timeout, self.changed)
        del news, olds, change  # freed in steps
        await work

    async def abort(self) -> None:
        """Stop the new apps. Nothing has changed.

        Raises:
            MountkitError: it was committed or aborted before.
        """
        await self._changes.abort(self._taken()[0])

    def _taken(self) -> tuple[Any, ...]:
        parts, self._parts = self._parts, None
        if parts is None:
            raise MountkitError(
                "The change was committed or aborted before; prepare another with "
                "Dispatcher.prepare()."
            )
        return parts


def _drained(mounts: dict[int, Mount], since: float | None) -> Iterator[Traffic | None]:
    """Note when these mounts have left, and give what has to be waited for."""
    for mount in mounts_of(mounts.values()):
        mount.traffic.draining_since = since
        yield mount.traffic if mount.traffic.flights else None


def _by_id(mounts: Iterable[Mount]) -> Generator[None, None, dict[int, Mount]]:
    found: dict[int, Mount] = {}
    for mount in mounts:
        found[id(mount)] = mount
        if not len(found) % STRIDE:
            yield
    return found


def checked_mounts(mounts: Mapping[str, Any] | Iterable[Mount]) -> Iterator[Mount]:
    """Mounts, or those of a mapping of paths to apps.

    Raises:
        PatternError: one is not a mount.
    """
    if isinstance(mounts, Mapping):
        mounts = [Mount(path, app) for path, app in mounts.items()]
    if isinstance(mounts, (Mount, str)) or callable(mounts) or not isinstance(mounts, Iterable):
        fix = "[Mount('/', app)], or default=app for what no mount takes"
        fix = "[Mount(…)]" if isinstance(mounts, Mount) else fix
        raise PatternError(f"{shown(mounts)} is not a list of mounts; write {fix}.")
    for mount in mounts:
        if not isinstance(mount, Mount):
            raise PatternError(f"{shown(mount)} is not a mountkit.Mount; {_fix(mount)}.")
        yield mount


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


def _pairs(pairs: Iterable[tuple[Mount, Mount]]) -> Iterator[tuple[Mount, Mount]]:
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise PatternError(
                f"{pair!r} is not a pair of mounts; write replace=[(old, new)], two Mount objects."
            )
        old, new = checked_mounts(pair)
        yield pair if isinstance(pair, tuple) else (old, new)
