"""Starting, watching and stopping the apps of one dispatcher in one server.

Every distinct app runs its lifespan once for each server, however many mounts of however many
dispatchers hold it: the first to hold it starts it, the last to let go of it stops it. Apps start
in order and stop in reverse order.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint_if_cancelled
from starlette.types import Scope

from mountkit.exceptions import LifespanError
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import Timeouts
from mountkit.lifespans.protocol import LifespanTask
from mountkit.lifespans.registers import MARK, REGISTER, Job, Register
from mountkit.lifespans.runs import PASSING, Run

logger: logging.Logger = logging.getLogger("mountkit")

# Seconds before an isolated app is started again: doubled each time.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0


class Supervisor:
    """The apps of one dispatcher, while a server runs it.

    Args:
        scope: the lifespan scope that the dispatcher was called with.
        task_group: for the register, if there is none from above.
        timeouts: for apps that set none themselves.

    Attributes:
        register: of its server.
        is_stopped: it starts nothing any more.
    """

    def __init__(self, scope: Scope, task_group: anyio.abc.TaskGroup, timeouts: Timeouts) -> None:
        self._scope = scope
        self._timeouts = timeouts
        self.register: Register
        self._above: frozenset[int]
        own = (Register(task_group, scope), frozenset[int]())
        self.register, self._above = scope.get(REGISTER, own)
        self._held: dict[int, Child] = {}  # by identity, in the order of their start
        self._echoes: set[int] = set()  # held ones whose app stands above, which stops it
        self._queues: list[deque[Child]] = []  # of those that are not started yet
        self.is_stopped = False
        self._work: set[Job] = set()

    async def start_all(self, children: Sequence[Child]) -> None:
        """Start apps in their order; neighbours that are independent at the same time.

        Raises:
            LifespanError: one did not start. Those that did are left for `stop_all`.
        """
        queue = deque(children)
        self._queues.append(queue)
        try:
            while queue:
                group = [queue.popleft()]
                apps = {id(group[0].app)}
                # One app is started once, so that another mount of it is for the next group.
                while (
                    queue
                    and group[0].lifespan.independent
                    and queue[0].lifespan.independent
                    and id(queue[0].app) not in apps
                ):
                    group.append(queue.popleft())
                    apps.add(id(group[-1].app))
                await (self._start_together(group) if group[1:] else self.start(group[0]))
        finally:
            self._queues.remove(queue)

    async def _start_together(self, children: Sequence[Child]) -> None:
        errors: list[LifespanError] = []
        coming = [id(child) for child in children if id(child) not in self._held]

        async def start(child: Child) -> None:
            try:
                await self.start(child)
            except LifespanError as exc:
                errors.append(exc)
                task_group.cancel_scope.cancel()  # the others would come up for nothing

        try:
            async with anyio.create_task_group() as task_group:
                for child in children:
                    task_group.start_soon(start, child)
        finally:
            # They stop in the reverse of their order, whichever was up first.
            for key in [key for key in coming if key in self._held]:
                self._held[key] = self._held.pop(key)
        if errors:
            raise several(errors)

    async def start(self, child: Child, scope: Scope | None = None) -> BaseException | None:
        """Hold an app, and start it unless it runs already.

        Args:
            scope: what to call it with, instead of a scope with a state of its own.

        Returns:
            What it raised, if that is how it showed that it does not support lifespans.

        Raises:
            LifespanError: it did not start, and is not to be isolated.
        """
        if child.app is self._scope.get("app"):
            raise LifespanError(
                f"{child.name} is mounted into itself and would start itself without end; "
                "mount another app."
            )
        if id(child) in self._held:
            return None
        child.is_started = True
        self._held[id(child)] = child
        register, key = self.register, id(child.app)
        if key in self._above and key in register.runs:  # that one waits for this
            self._echoes.add(id(child))
            child.hold(register.runs[key], register)
            return None
        own = Run(child.app)
        own.users = 1
        own.apply("start")
        child.hold(own, register)
        return await self._first_start(child, own, scope)

    async def _first_start(
        self, child: Child, own: Run, scope: Scope | None
    ) -> BaseException | None:
        refusal, runs, key = None, self.register.runs, id(child.app)
        try:
            with anyio.CancelScope() as own.starting:
                other = await self._other_run(child)
                if other is not None:
                    other.users += 1
                    child.hold(other, self.register)
                    return None
                runs[key] = own
                refusal = await self._start(child, own, scope)
        except BaseException as exc:
            failure = exc if isinstance(exc, LifespanError) else None
            is_first = failure and own.phase == "starting" and runs.get(key) is own
            if is_first and child.lifespan.on_failure == "isolate":
                self._isolate(child, own, _FIRST_DELAY, str(exc), exc.__cause__)
                return None
            own.failure = failure
            own.apply("fail" if failure else "end", str(exc))
            self._held.pop(id(child), None)
            child.release(own, self.register)
            raise
        finally:
            own.starting = None
            if own.phase == "aborting":
                own.apply("end")
            if own.phase in ("failed", "stopped") and runs.get(key) is own:
                del runs[key]
        if own.phase == "stopped" and self.is_stopped:
            raise _shutting_down(child)
        return refusal

    async def _other_run(self, child: Child) -> Run | None:
        """The run of the app that another mount has started; `None` if it is to be started.

        Raises:
            LifespanError: another mount has just failed to start it, or the server is shutting
                down.
        """
        runs = self.register.runs
        run = runs.get(id(child.app))
        while run is not None and run.phase in PASSING:
            await run.change()
            if run.failure is not None and child.lifespan.on_failure == "fail":
                raise LifespanError(str(run.failure)) from run.failure.__cause__
            run = runs.get(id(child.app))
        await checkpoint_if_cancelled()
        if self.is_stopped:
            raise _shutting_down(child)
        return run

    async def _start(self, child: Child, run: Run, scope: Scope | None) -> BaseException | None:
        if not child.has_lifespan:
            run.apply("up")
            return None
        scope = self._child_scope(child) if scope is None else scope
        run.state = scope.get("state", {})
        scope = {**scope, REGISTER: (self.register, self._above | {id(child.app)})}
        task = LifespanTask(child.asgi, child.name, scope)
        timeout = child.lifespan.startup_timeout
        timeout = self._timeouts.startup_timeout if timeout is None else timeout
        try:
            is_supported = await task.start(self.register.start_soon, timeout)
            await checkpoint_if_cancelled()
        except LifespanError:
            raise
        except BaseException:  # cancelled, perhaps just as it came up
            await self.register.outlast(lambda: _logged(self._stop_task(child, task)))
            raise
        run.end_retries = None
        run.apply("up")
        if not is_supported:
            return task.exception
        run.task = task
        task.watch(partial(self._lost, child, run))
        return None

    def _child_scope(self, child: Child) -> Scope:
        parent = self._scope.get("state") or {}
        state = {**child.state, **{k: parent[k] for k in child.lifespan.share if k in parent}}
        if self.register.mark is not None:
            state[MARK] = self.register.mark
        asgi = self._scope.get("asgi", {"version": "3.0", "spec_version": "2.0"})
        return {"type": "lifespan", "asgi": asgi, "state": state}

    def _lost(self, child: Child, run: Run, error: str, exception: BaseException | None) -> None:
        """An app's lifespan has ended while it was serving."""
        run.task = None
        if child.lifespan.on_failure == "isolate":
            self._isolate(child, run, _FIRST_DELAY, error, exception)
        else:
            run.apply("lose", error)
            logger.error(
                "%s has failed, and is still served. %s", child.name, error, exc_info=exception
            )

    def _isolate(
        self, child: Child, run: Run, delay: float, error: str, exception: BaseException | None
    ) -> None:
        run.apply("isolate", error, retry_at=time.monotonic() + delay)
        logger.error(
            "%s is not up and answers 503; it is started again in %g seconds. %s",
            child.name,
            delay,
            error,
            exc_info=exception,
        )
        if run.end_retries is None:
            retries, restart = Job(), partial(self._restart, child, run, delay)
            run.end_retries = retries.end
            retries.start(self.register, restart, f"mountkit restart of {child.name}")

    async def _restart(self, child: Child, run: Run, delay: float) -> None:
        """Start an app again and again, after longer and longer pauses, until it is up."""
        while True:
            await anyio.sleep(delay)
            try:
                await self._start(child, run, None)
            except LifespanError as exc:
                await checkpoint_if_cancelled()  # it may be stopping by now
                delay = min(delay * 2, _LONGEST_DELAY)
                self._isolate(child, run, delay, str(exc), exc.__cause__)
            else:
                logger.warning("%s is up again.", child.name)
                return

    async def stop(self, child: Child, seconds: float = math.inf) -> None:
        """Let go of an app that `start` has started, and stop it if no other mount holds it.

        Args:
            seconds: the most that it may take, besides what the mount and the dispatcher say.

        Raises:
            LifespanError: it failed to stop. It is let go of all the same.
        """
        for queue in self._queues:
            if child in queue:
                queue.remove(child)
        if self._held.pop(id(child), None) is None:
            return
        run = child.run_in(self.register)
        try:
            if id(child) in self._echoes:
                self._echoes.remove(id(child))
                return
            run.users -= 1
            if run.users == 0:
                await self._stop(child, run, seconds)
        finally:
            child.release(run, self.register)
            child.close()

    async def _stop(self, child: Child, run: Run, seconds: float) -> None:
        if not child.lifespan.shutdown and run.task is not None:
            return  # `Register.end` ends it; a mount that comes until then finds it running
        run.apply("stop")
        if run.starting is not None:  # `_first_start` does the rest
            run.starting.cancel()
            while run.phase == "aborting":
                await run.change()
            return
        try:
            if run.end_retries is not None:
                await run.end_retries()
            if run.task is not None:
                await self._stop_task(child, run.task, seconds)
        finally:
            run.task = None
            run.apply("end")
            del self.register.runs[id(child.app)]

    async def _stop_task(self, child: Child, task: LifespanTask, seconds: float = math.inf) -> None:
        timeout = child.lifespan.shutdown_timeout
        timeout = self._timeouts.shutdown_timeout if timeout is None else timeout
        await task.stop(seconds if timeout is None else min(timeout, seconds))

    async def stop_some(self, children: Iterable[Child]) -> None:
        """Let go of some apps, the last one first, and log what went wrong."""
        for child in [*children][::-1]:
            await _logged(self.stop(child))

    def spawn(self, work: Callable[[], Awaitable[None]]) -> Job:
        """Do some work in a task of its own, until `stop_all` cancels it."""
        job = Job()
        self._work.add(job)

        async def run() -> None:
            try:
                await work()
            finally:
                self._work.discard(job)

        job.start(self.register, run, "mountkit change")
        return job

    async def stop_all(self, seconds: float | None = None) -> list[tuple[Child, LifespanError]]:
        """Let go of every app, the last one first.

        Args:
            seconds: for all of them together; `None` sets no such limit.

        Returns:
            What went wrong. Whatever one app does, the others are stopped.
        """
        self.is_stopped = True
        errors: list[tuple[Child, LifespanError]] = []
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while self._work:
            async with anyio.create_task_group() as task_group:
                for job in [*self._work]:
                    task_group.start_soon(job.end)
        for child in [*self._held.values()][::-1]:
            run, left = child.run_in(self.register), max(0.0, deadline - time.monotonic())
            is_echo = id(child) in self._echoes
            try:
                await self.stop(child, left)
            except LifespanError as exc:
                errors.append((child, exc))
            with anyio.move_on_after(left):
                # A change that was given up may be stopping it. One above waits for this.
                while run.phase in PASSING and not is_echo:
                    await run.change()
        return errors


def several(errors: Sequence[LifespanError]) -> LifespanError:
    """Several failures as one."""
    if len(errors) == 1:
        return errors[0]
    error = LifespanError("\n".join(map(str, errors)))
    error.__cause__ = ExceptionGroup("The failures one by one", errors)
    return error


async def _logged(stop: Awaitable[None]) -> None:
    try:
        await stop
    except LifespanError as exc:
        logger.error("%s", exc, exc_info=exc.__cause__)


def _shutting_down(child: Child) -> LifespanError:
    return LifespanError(f"{child.name} was not started: the server is shutting down.")
