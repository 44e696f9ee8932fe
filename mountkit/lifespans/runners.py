"""`LifespanRunner`: what an app made of apps has, to answer the lifespans of its servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import current_token
from starlette.types import Message, Receive, Scope, Send

from mountkit.exceptions import LifespanError, MountkitError, several, spelled
from mountkit.lifespans.children import Child
from mountkit.lifespans.options import Timeouts
from mountkit.lifespans.registers import Job
from mountkit.lifespans.runs import Health
from mountkit.logs import lifespan as logger
from mountkit.tasks import guarded

if TYPE_CHECKING:
    from mountkit.lifespans.supervisors import Supervisor

_USUAL = Timeouts()
_STOPPED = "lifespan.shutdown.complete"


class _Outcome:
    """What comes of one server's lifespan: the last message to it, and what is raised then."""

    answer: Message | None = None
    error: BaseException | None = None
    is_wrapped_starting: bool = False


class LifespanRunner:
    """Starts the apps of an app made of apps, waits, and stops them, once for each server.

    Made once; then `await runner(scope, receive, send)` answers one lifespan. Several servers may
    run at a time, in one event loop or in several: each starts every app again, with a scope and a
    state of its own. `Child.run_for` finds the run for a request.

    Args:
        children: the apps in the order in which they start, given the lifespan scope; asked for
            once the wrapped app is up.
        timeouts: for these apps.
        wrapped: the app underneath. It starts before the others and stops after them, with the
            server's own scope, so that its state is what the server gives every request.
        prepare: what else to do before the server takes requests, given its supervisor.
        report: the health of the mounts, given the lifespan scope.
        is_transparent: if no app supports lifespans, raise what the wrapped app raised, so that
            the server sees it too.

    Attributes:
        supervisors: one for each server that runs this now, the oldest first.
        has_warned: it was said that nothing runs this.
    """

    def __init__(
        self,
        children: Callable[[Scope], Iterable[Child]],
        timeouts: Timeouts = _USUAL,
        *,
        wrapped: Child | None = None,
        prepare: Callable[[Supervisor], Awaitable[None]] | None = None,
        report: Callable[[Scope], Iterable[Health]] = lambda scope: (),
        is_transparent: bool = False,
    ) -> None:
        self._children = children
        self._timeouts = timeouts
        self._wrapped = wrapped
        self._prepare = prepare
        self._report = report
        self._is_transparent = is_transparent
        self.supervisors: list[Supervisor] = []
        self.has_warned: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a server's lifespan.

        Raises:
            LifespanError: an app failed to start or to stop; the server was told before.
            Exception: what the wrapped app raised, as if nothing stood before it; what `prepare`
                or the server's own functions raised.
        """
        from mountkit.lifespans.supervisors import Supervisor  # when a server starts

        await receive()
        outcome = _Outcome()
        is_answered = False
        try:
            async with anyio.create_task_group() as task_group:
                supervisor = Supervisor(scope, task_group, self._timeouts, self._wrapped)
                await self._run(supervisor, outcome, receive, send)
                task_group.cancel_scope.cancel()
                # Now, as an app that does not heed its end may hold up that of the task group.
                if outcome.answer is not None:
                    is_answered = True
                    try:
                        with anyio.CancelScope(shield=True):
                            await send(outcome.answer)
                    except Exception as exc:
                        outcome.error = exc
        except asyncio.CancelledError:  # by hypercorn, which cancels as soon as it has its answer
            if not is_answered:
                raise
        if outcome.error is not None:
            raise outcome.error

    async def _run(
        self, supervisor: Supervisor, outcome: _Outcome, receive: Receive, send: Send
    ) -> None:
        """Start all, wait for the server's shutdown, and stop all."""
        register, report = supervisor.register, partial(self._report, supervisor.scope)
        if any(other.register is not register for other in self.supervisors):
            register.marked()
        self.supervisors.append(supervisor)
        register.reports.append(report)
        try:
            with anyio.move_on_after(self._timeouts.total_startup_timeout) as limit:
                await self._start(supervisor, outcome)
            if limit.cancelled_caught:
                limit_text = spelled(self._timeouts.total_startup_timeout or 0)
                raise LifespanError(f"The apps did not start within {limit_text} in all.")
            logger.keep()  # an app may have configured its logging
            await send({"type": "lifespan.startup.complete"})
            await receive()
            outcome.answer = {"type": _STOPPED}
        except LifespanError as exc:
            outcome.answer = {"type": "lifespan.startup.failed", "message": str(exc)}
            if supervisor.is_outermost and exc.raised is not None:  # servers show no traceback
                text = "An app has failed to start, and the server does not start either:"
                logger.error(text, exc_info=exc.raised)
            outcome.error = _to_raise(exc) if outcome.is_wrapped_starting else exc
        except Exception as exc:  # out of the server's own functions: not to be put in a group
            outcome.error = exc
        finally:
            self.supervisors.remove(supervisor)
            try:
                await self._stop(supervisor, outcome)
            finally:
                register.reports.remove(report)

    async def _start(self, supervisor: Supervisor, outcome: _Outcome) -> None:
        if self._wrapped is not None:
            outcome.is_wrapped_starting = True
            await supervisor.start(self._wrapped)
            outcome.is_wrapped_starting = False
        await supervisor.start_all(self._children(supervisor.scope))
        if self._prepare is not None:
            await guarded(partial(self._prepare, supervisor))
        is_seen = self._is_transparent and supervisor.is_outermost
        refusal = supervisor.refusal if is_seen else None
        if refusal and not any(run.task for run in supervisor.register.runs.values()):
            raise refusal

    async def _stop(self, supervisor: Supervisor, outcome: _Outcome) -> None:
        """Stop all, whatever happens to this task meanwhile."""
        failures: dict[Child, LifespanError] = {}

        async def stop() -> None:
            try:
                failures.update(await supervisor.stop_all(self._timeouts.total_shutdown_timeout))
            finally:
                if supervisor.is_outermost:
                    await supervisor.register.end()

        await supervisor.register.outlast(stop)
        is_told = outcome.answer is not None and outcome.answer["type"] == _STOPPED
        # The log has them in any case: not every server tells of a failed shutdown.
        if supervisor.is_outermost or not is_told:
            for failure in failures.values():
                logger.error("%s", failure, exc_info=failure.raised)
        if failures and is_told:
            error = several(failures.values())
            outcome.answer = {"type": "lifespan.shutdown.failed", "message": str(error)}
            outcome.error = _to_raise(error) if [*failures] == [self._wrapped] else error

    async def start(self, children: list[Child]) -> None:
        """Start apps while servers run: for each of the servers, or for none.

        Raises:
            LifespanError: an app did not start.
            MountkitError: a server in another event loop runs this too.
        """
        done: list[Supervisor] = []
        try:
            while pending := [one for one in self.supervisors if one not in done]:
                if self._reachable() != self.supervisors:
                    raise MountkitError(
                        "The mounts cannot be changed from here: a server in another event loop "
                        "runs them too, and only there can its apps be started and stopped. Run "
                        "all servers of these mounts in one event loop, and make the change in it."
                    )
                done.append(pending[0])
                await pending[0].start_all(children)
        except BaseException:
            await _stop_in(done, children)
            raise

    async def stop(self, children: list[Child]) -> None:
        """Stop apps while servers run, for each of the servers, and log what goes wrong. It is
        done to its end even if the caller is cancelled. Servers in other event loops stop the
        apps at their own end."""
        await _stop_in(self._reachable(), children)
        if not self.supervisors:
            for child in children:
                child.end()

    async def finish(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work to its end even if the caller is cancelled. The shutdown of the server that
        does it cancels it; then the next server does it anew, if there is one."""
        jobs: list[Job] = []
        is_done = False

        async def do_after(others: list[Job]) -> None:
            nonlocal is_done
            for job in others:
                await job.ended.wait()
            if not is_done:
                await work()
                is_done = True

        for supervisor in self._reachable()[::-1]:
            if not supervisor.is_stopped:
                jobs.append(supervisor.spawn(partial(do_after, [*jobs])))
        for job in jobs:
            await job.ended.wait()
        if not jobs:
            await work()

    def _reachable(self) -> list[Supervisor]:
        """Those in this event loop."""
        here = current_token()
        return [one for one in self.supervisors if one.register.token == here]


async def _stop_in(supervisors: Iterable[Supervisor], children: list[Child]) -> None:
    for supervisor in supervisors:
        await supervisor.register.outlast(partial(supervisor.stop_some, children))


def _to_raise(error: LifespanError) -> BaseException | None:
    """What a wrapped app raised, as if nothing stood before it, if that cannot end the server."""
    cause = error.__cause__
    return cause if cause is None or isinstance(cause, Exception) else error
