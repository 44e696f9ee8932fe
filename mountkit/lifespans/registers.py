"""What all dispatchers below one server share, and how requests of several servers are told apart.

A server copies its lifespan's `state` into the scope of each request (ASGI spec, "Lifespan
State"). A server that starts what another is running puts `MARK` into its state and into that of
every app that it starts, so that its requests show it at any depth. The first has no mark: one
server alone has no key of mountkit in any state.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import copy_context
from functools import partial
from typing import Any

import anyio
import anyio.abc
from anyio.lowlevel import current_token
from starlette.types import Scope

from mountkit.lifespans.runs import Health, Run
from mountkit.logs import lifespan as logger
from mountkit.tasks import describe, guarded

#: The key of a lifespan scope that holds the `Register` of the server, and the identities of the
#: apps above, which may still be starting.
REGISTER = "mountkit.lifespans"
#: The key of a lifespan's `state`, and so of a request's, that tells servers apart.
MARK = "mountkit.server"

_marks = itertools.count(1)


def mark_of(scope: Scope) -> int | None:
    """The mark of the server that a request came through; `None` for the one without."""
    state = scope.get("state")
    return state.get(MARK) if state else None


class Register:
    """All apps that run below one server, at any depth.

    Args:
        task_group: for the lifespans, a task for each.
        scope: of the server's lifespan.

    Attributes:
        runs: by the identity of the app.
        reports: the health of the mounts, a function for each dispatcher.
        mark: what requests of this server carry, if anything.
        token: the event loop of the server.
        is_over: the server has stopped.
    """

    def __init__(self, task_group: anyio.abc.TaskGroup, scope: Scope) -> None:
        self._task_group = task_group
        self._state: dict[str, Any] = scope.get("state", {})
        self._context = copy_context()
        self.runs: dict[int, Run] = {}
        self.reports: list[Callable[[], Iterable[Health]]] = []
        self.mark: int | None = None
        self.token: object = current_token()
        self.is_over: bool = False

    def marked(self) -> int:
        """The mark of this server, which has one from now on."""
        if self.mark is None:
            self.mark = next(_marks)
            for state in (self._state, *(run.state for run in self.runs.values())):
                state[MARK] = self.mark
        return self.mark

    def start_soon(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any, name: str
    ) -> None:
        """Start a task that sees no context variables of the request that has asked for it."""
        context = self._context.copy()  # since a context cannot be entered twice at a time
        context.run(partial(self._task_group.start_soon, function, *args, name=name))

    async def outlast(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work to its end however often this task is cancelled; then let that go on.

        A shield is not enough: `asyncio.timeout`, asgi-lifespan and test fixtures call asyncio's
        `Task.cancel`, which anyio does not see.
        """
        if self.is_over:  # no task can be started any more, and no app is left
            await work()
            return
        ended = Job(self, work, "mountkit stop", shield=True).ended
        cancelled: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not ended.is_set():
                try:
                    await ended.wait()
                except asyncio.CancelledError as exc:
                    cancelled = exc
        if cancelled is not None:
            raise cancelled

    async def end(self) -> None:
        """Wait for the apps that are still stopping, and end the tasks of those that were kept."""
        try:
            for run in [*self.runs.values()][::-1]:
                await run.settled()
                if run.task is not None:
                    run.apply("stop")
                    await run.task.abandon()
                    run.apply("end")
        finally:
            self.is_over = True


class Job:
    """Some work in a task of its own, which has started when this is made.

    Args:
        shield: it goes on if the server is cancelled.
        among: holds the job until it has ended.

    Attributes:
        ended: set when the work is done or cancelled.
    """

    def __init__(
        self,
        register: Register,
        work: Callable[[], Awaitable[None]],
        name: str,
        *,
        shield: bool = False,
        among: set[Job] | None = None,
    ) -> None:
        self._cancel_scope = anyio.CancelScope(shield=shield)
        self._among = set[Job]() if among is None else among
        self._among.add(self)
        self.ended: anyio.Event = anyio.Event()
        register.start_soon(self._run, work, name=name)

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._cancel_scope:
                await guarded(work)
        except Exception as exc:  # of a user's function, as no other goes unnoticed
            logger.error("A task of mountkit has failed: %s", describe(exc), exc_info=exc)
        finally:
            self._among.discard(self)
            self.ended.set()

    async def end(self) -> None:
        """Cancel the work and wait until it has ended."""
        self._cancel_scope.cancel()
        await self.ended.wait()
