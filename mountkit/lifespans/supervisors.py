"""Starting, watching and stopping the apps of one dispatcher in one server.

Every distinct app runs its lifespan once for each server, however many mounts of however many
dispatchers hold it: the first to hold it starts it, the last to let go of it stops it. Apps start
in order and stop in reverse order.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby

import anyio
import anyio.abc
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled
from starlette.types import Scope

from mountkit.exceptions import LifespanError, measured, several, spelled
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import Timeouts
from mountkit.lifespans.protocol import LifespanTask
from mountkit.lifespans.registers import MARK, REGISTER, Job, Register
from mountkit.lifespans.runs import PASSING, Run
from mountkit.logs import lifespan as logger
from mountkit.matching.callers import short
from mountkit.tasks import STRIDE, gently, in_steps, origin
from mountkit.types import name_of

# Seconds before an isolated app is started again: doubled each time.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0


class Supervisor:
    """The apps of one dispatcher, while a server runs it.

    Args:
        scope: the lifespan scope that the dispatcher was called with.
        task_group: for the register, if there is none from above.
        timeouts: for apps that set none themselves.
        wrapped: the app that is called with that scope; others have a scope of their own.

    Attributes:
        register: of its server.
        is_stopped: it starts nothing any more.
        refusal: what the wrapped app raised, if that showed that it supports no lifespans.
    """

    def __init__(
        self,
        scope: Scope,
        task_group: anyio.abc.TaskGroup,
        timeouts: Timeouts,
        wrapped: Child | None,
    ) -> None:
        self.scope = scope
        self._timeouts = timeouts
        self._wrapped = wrapped
        self.is_outermost: bool = REGISTER not in scope
        self.register: Register
        self._above: frozenset[int]  # the apps above, which hold and stop themselves
        own = (Register(task_group, scope), frozenset[int]())
        self.register, self._above = scope.get(REGISTER, own)
        self.refusal: BaseException | None = None
        self._held: dict[Child, Run | None] = {}  # in order; `None`: its start is still to come
        self._leaving: dict[Child, Run] = {}
        self._work: set[Job] = set()
        self.is_stopped: bool = False

    async def start_all(self, children: Iterable[Child]) -> None:
        """Start apps in their order; neighbours that are independent at the same time.

        Raises:
            LifespanError: one did not start. Those that did are left for `stop_all`.
        """
        waiting: list[Child] = []

        def announced() -> Iterator[None]:
            for child in children:
                if child not in self._held:
                    self._held[child] = None
                    waiting.append(child)
                yield

        try:
            await gently(in_steps(announced()))
            for independent, group in groupby(waiting, lambda child: child.lifespan.independent):
                for some in [[*group]] if independent else ([child] for child in group):
                    await self._start_together(some)
            waiting.clear()  # very many, in a step of their own
            await checkpoint()
        except BaseException:
            for child in waiting:
                if self._held.get(child, child) is None:
                    del self._held[child]
            raise

    async def _start_together(self, children: Iterable[Child]) -> None:
        errors: list[LifespanError] = []

        async def start(child: Child) -> None:
            try:
                if child in self._held:  # not stopped since
                    await self.start(child)
            except LifespanError as exc:
                errors.append(exc)
                task_group.cancel_scope.cancel()  # the others would come up for nothing

        async with anyio.create_task_group() as task_group:
            for number, child in enumerate(children, 1):
                task_group.start_soon(start, child)
                if not number % STRIDE:
                    await checkpoint()
        if errors:
            raise several(errors)

    async def start(self, child: Child) -> None:
        """Hold an app, and start it unless another mount has.

        Raises:
            LifespanError: it did not start, and is not to be isolated.
        """
        if child.app is self.scope.get("app"):
            raise LifespanError(
                f"{child.name} is mounted into itself and would start itself without end; "
                "mount another app."
            )
        if id(child.app) in self._above:  # that run waits for this one
            self._hold(child, self.register.runs.get(id(child.app), child.run))
            return
        own = Run(child.app, users=1)
        own.apply("start")
        self._hold(child, own)
        began = time.monotonic()
        await self._first_start(child, own)
        self._tell(child, own, time.monotonic() - began)

    def _tell(self, child: Child, own: Run, seconds: float) -> None:
        """Log that an app is up, and what its start took, if it was started for this mount."""
        run, place = self._held.get(child), child.place
        if place and run and run.phase == "serving" and logger.isEnabledFor(logging.INFO):
            where = f" ({short(place[1])})" if place[1] else ""
            took = f", started in {measured(seconds)}" if own.task else ""
            logger.info("mounted %s → %s%s%s", place[0], name_of(child.app), where, took)

    def _hold(self, child: Child, run: Run) -> None:
        self._held[child] = run
        child.hold(run, self.register)

    async def _first_start(self, child: Child, own: Run) -> None:
        runs, key = self.register.runs, id(child.app)
        try:
            with anyio.CancelScope() as own.starting:
                other = await self._other_run(child)
                if other is not None:
                    other.users += 1
                    self._hold(child, other)
                    return
                runs[key] = own
                await self._start(child, own)
        except BaseException as exc:
            failure = exc if isinstance(exc, LifespanError) else None
            is_first = own.phase == "starting" and runs.get(key) is own
            if failure and is_first and child.lifespan.on_failure == "isolate":
                self._isolate(child, own, _FIRST_DELAY, str(exc), failure.raised)
                return
            own.failure = failure
            own.apply("fail" if failure else "end", str(exc))
            self._held.pop(child, None)
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

    async def _other_run(self, child: Child) -> Run | None:
        """The run of the app that another mount has started; `None` if it is to be started."""
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

    async def _start(self, child: Child, run: Run) -> None:
        if not child.has_lifespan:
            run.apply("up")
            return
        scope = self.scope if child is self._wrapped else self._child_scope(child)
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
        run.retries = run.told = None
        run.apply("up")
        if child.is_part:
            self._share_state(child, run)
        if is_supported:
            run.task = task
            task.watch(partial(self._lost, child, run))
        elif child is self._wrapped:
            self.refusal = task.exception

    def _child_scope(self, child: Child) -> Scope:
        parent = self.scope.get("state") or {}
        state = {**child.state, **{k: parent[k] for k in child.lifespan.share if k in parent}}
        if self.register.mark is not None:
            state[MARK] = self.register.mark
        asgi = self.scope.get("asgi", {"version": "3.0", "spec_version": "2.0"})
        return {"type": "lifespan", "asgi": {**asgi}, "state": state}

    def _share_state(self, child: Child, run: Run) -> None:
        """Add what the lifespan of an app has put into its state to that of the server, which its
        requests see."""
        state = self.scope.get("state", {})
        for key in run.state:
            if state.setdefault(key, run.state[key]) is not run.state[key]:
                logger.warning(
                    "%s has %r in its lifespan state, and so has an app above or beside it, whose "
                    "value requests of both see; give it another name, or mount it with "
                    "mountkit.Mount.",
                    child.name,
                    key,
                )

    def _lost(self, child: Child, run: Run, error: str, exception: BaseException | None) -> None:
        """An app's lifespan has ended while it was serving."""
        run.task = None
        if child.lifespan.on_failure == "isolate":
            self._isolate(child, run, _FIRST_DELAY, error, exception)
        else:
            run.apply("lose", error)
            message = "%s has failed, and is still served. %s"
            logger.error(message, child.name, error, exc_info=exception)

    def _isolate(
        self, child: Child, run: Run, delay: float, error: str, exception: BaseException | None
    ) -> None:
        run.apply("isolate", error, retry_at=time.monotonic() + delay)
        what = error.replace(child.name, "It", 1)
        last, run.told = run.told, origin(exception) or error
        if last == run.told:
            what, exception = what.rpartition("\n")[2], None
        message = "%s is not up and answers 503; it is started again in %s. %s"
        logger.error(message, child.name, spelled(delay), what, exc_info=exception)
        if run.retries is None:
            restart = partial(self._restart, child, run, delay)
            run.retries = Job(self.register, restart, f"mountkit restart of {child.name}")

    async def _restart(self, child: Child, run: Run, delay: float) -> None:
        """Start an app again and again, after longer and longer pauses, until it is up."""
        while True:
            await anyio.sleep(delay)
            try:
                await self._start(child, run)
            except LifespanError as exc:
                await checkpoint_if_cancelled()  # it may be stopping by now
                delay = min(delay * 2, _LONGEST_DELAY)
                self._isolate(child, run, delay, str(exc), exc.raised)
            else:
                logger.warning("%s is up again.", child.name)
                return

    async def stop(self, child: Child, seconds: float = math.inf) -> None:
        """Let go of an app that `start` has started, and stop it if no other mount holds it. If
        another task is stopping it, wait for that.

        Args:
            seconds: the most that it may take, besides what the mount and the dispatcher say.

        Raises:
            LifespanError: it failed to stop. It is let go of all the same.
        """
        run = self._held.pop(child, None)
        if run is None:
            if child in self._leaving:
                with anyio.move_on_after(seconds):
                    await self._leaving[child].settled()
            return
        try:
            if id(child.app) not in self._above:
                run.users -= 1
                if not run.users:
                    self._leaving[child] = run
                    await self._stop(child, run, seconds)
        finally:
            self._leaving.pop(child, None)
            child.release(run, self.register)
            child.end()

    async def _stop(self, child: Child, run: Run, seconds: float) -> None:
        if not child.lifespan.shutdown and run.task is not None:
            return  # `Register.end` ends it; a mount that comes until then finds it running
        run.apply("stop")
        if run.starting is not None:  # `_first_start` does the rest
            run.starting.cancel()
            await run.settled()
            return
        try:
            if run.retries is not None:
                await run.retries.end()
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

    async def stop_some(self, children: Sequence[Child]) -> None:
        """Let go of some apps, the last one first, and log what went wrong."""
        for number, child in enumerate(reversed(children), 1):
            await _logged(self.stop(child))
            if not number % STRIDE:
                await cancel_shielded_checkpoint()

    def spawn(self, work: Callable[[], Awaitable[None]]) -> Job:
        """Do some work in a task of its own, until `stop_all` cancels it."""
        return Job(self.register, work, "mountkit change", among=self._work)

    async def stop_all(self, seconds: float | None = None) -> dict[Child, LifespanError]:
        """Let go of every app, the last one first.

        Args:
            seconds: for all of them together; `None` sets no such limit.

        Returns:
            What went wrong. Whatever one app does, the others are stopped.
        """
        self.is_stopped = True
        errors: dict[Child, LifespanError] = {}
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while self._work:
            async with anyio.create_task_group() as task_group:
                for job in [*self._work]:
                    task_group.start_soon(job.end)
        for number, child in enumerate(reversed([*self._held, *self._leaving]), 1):
            try:
                await self.stop(child, max(0.0, deadline - time.monotonic()))
            except LifespanError as exc:
                errors[child] = exc
            if not number % STRIDE:
                await cancel_shielded_checkpoint()
        return errors


async def _logged(stop: Awaitable[None]) -> None:
    try:
        await stop
    except LifespanError as exc:
        logger.error("%s", exc, exc_info=exc.raised)


def _shutting_down(child: Child) -> LifespanError:
    return LifespanError(f"{child.name} was not started: the server is shutting down.")
