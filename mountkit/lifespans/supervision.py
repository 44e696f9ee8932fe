"""Starting, watching and stopping the apps of a dispatcher, at its start and while it runs.

Every distinct app runs its lifespan once, however many mounts of however many dispatchers
hold it: the first to hold it starts it, the last to let go of it stops it. Apps are started
in order and stopped in reverse; one that fails to start takes those before it down again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint_if_cancelled
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.exceptions import LifespanError, PatternError
from mountkit.lifespans.protocol import Lifespan

logger: logging.Logger = logging.getLogger("mountkit")

#: Seconds; hypercorn's own default.
STARTUP_TIMEOUT = 60.0
#: Seconds; hypercorn's own default.
SHUTDOWN_TIMEOUT = 60.0
# Seconds before an isolated app is started again: doubled each time.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
#: The key of a lifespan scope under which an app finds what those above it have started.
REGISTER = "mountkit.lifespans.protocol"


Status: TypeAlias = Literal["starting", "serving", "draining", "failed"]


@dataclass(frozen=True, slots=True)
class Health:
    """How one mount is doing.

    Attributes:
        mount: its host and path.
        status: `"starting"`: its app is not up yet, or not any more. `"draining"`: it gets no new
            requests, and those in flight are waited for. `"failed"`: its app did not start, or
            its lifespan has ended.
        since: when it came into that status, in seconds since the epoch.
        in_flight: requests and websockets that it works on.
        answered: those that have ended, by class: `{"2xx": 5}`; an accepted websocket is
            `"1xx"`, a request that ended without an answer `"none"`.
        error: the last one: of the app's lifespan if it has failed, else of a request.
    """

    mount: str
    status: Status
    since: float
    in_flight: int
    answered: dict[str, int]
    error: str | None


def check_seconds(option: str, value: Any, *, least: str = "above 0") -> None:
    """Refuse what is no time limit.

    Raises:
        PatternError: it is neither a number of seconds nor `None`.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and (value > 0 or (value == 0 and least != "above 0"))):
        raise PatternError(
            f"{option}={value!r} is no number of seconds {least}; write e.g. 10, or None."
        )


@dataclass(frozen=True, slots=True)
class Supervision:
    """How one app is started and stopped.

    Attributes:
        startup_timeout, shutdown_timeout: seconds; `None` is what the dispatcher says.
        on_failure: `"fail"`: an app that does not start fails the server's startup, and one whose
            lifespan ends while it serves has failed. `"isolate"`: the others serve, its mount
            answers 503, and it is started again.
        independent: it may start at the same time as its neighbours that are independent too.
        share: keys of the parent's state that it sees in its own.
        is_kept: it is not told to stop; its task is ended once all others have stopped.

    Raises:
        PatternError: a timeout is no number of seconds.
    """

    startup_timeout: float | None = None
    shutdown_timeout: float | None = None
    on_failure: Literal["fail", "isolate"] = "fail"
    independent: bool = False
    share: tuple[str, ...] = ()
    is_kept: bool = False

    def __post_init__(self) -> None:
        check_seconds("startup_timeout", self.startup_timeout)
        check_seconds("shutdown_timeout", self.shutdown_timeout)


class Run:
    """How an app is doing. Every `Child` of the app refers to the same.

    Attributes:
        app: the application; kept, so that its identity stays its own.
        state: its lifespan state.
        status: `"failed"` if it did not start, or its lifespan has ended while it served.
        since: when it came into that status, in seconds since the epoch.
        error: why it has failed.
        failure: what it raised, if it failed to start and is not isolated.
        retry_at: for an app whose mount answers 503, the time (`time.monotonic()`) at which it
            is started again.
    """

    __slots__ = (
        "app",
        "error",
        "failure",
        "is_stopping",
        "lifespan",
        "restart",
        "retry_at",
        "settled",
        "since",
        "starting",
        "state",
        "status",
        "users",
    )

    def __init__(self, app: Any) -> None:
        self.app: Any = app
        self.state: dict[str, Any] = {}
        self.status: Literal["starting", "serving", "failed"] = "starting"
        self.since: float = time.time()
        self.error: str | None = None
        self.failure: LifespanError | None = None
        self.retry_at: float | None = None
        self.users: int = 0  # the mounts that hold it
        self.lifespan: Lifespan | None = None  # for apps that support it
        self.starting: anyio.CancelScope | None = None  # around its first start
        self.restart: Job | None = None
        self.is_stopping: bool = False
        # Set once it is up or has failed, then replaced and set once it is gone.
        self.settled: anyio.Event = anyio.Event()

    def turn(self, status: Literal["starting", "serving", "failed"], error: str | None) -> None:
        """Take down how it is doing from now on."""
        self.status = status
        self.since = time.time()
        self.error = error


class Child:
    """One app, as a mount holds it.

    Attributes:
        app: the application as it was given: what tells distinct apps apart.
        asgi: the same, behind a bridge where it is no ASGI 3 app.
        name: for messages: "the app mounted at '/mcp' (main.py:12)".
        has_lifespan: `False` for apps that have none to run, such as WSGI ones.
        supervision: how it is started and stopped.
        state: what its lifespan's state has in it from the first.
        close: called after the mount has let go of it.
        run: how it is doing; shared by the `Child` objects of one app once it was started.
        is_started: whether a lifespan has reached it.
    """

    def __init__(
        self,
        app: Any,
        asgi: ASGIApp,
        name: str,
        *,
        has_lifespan: bool = True,
        supervision: Supervision = Supervision(),
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.app = app
        self.asgi = asgi
        self.name = name
        self.has_lifespan = has_lifespan
        self.supervision = supervision
        self.state: dict[str, Any] = {}
        self.close: Callable[[], None] = close
        self.run: Run = Run(app)
        self.is_started = False


@dataclass(frozen=True, slots=True)
class Register:
    """All apps that run below one server: those of a dispatcher and of the ones below it.

    Attributes:
        task_group: the outermost dispatcher's; every lifespan has a task in it.
        runs: by the identity of the app.
        reports: the health of the mounts, a function for each dispatcher.
        above: the identities of the apps that stand above, which may be starting still.
        context: of the server's lifespan.
    """

    task_group: anyio.abc.TaskGroup
    runs: dict[int, Run] = field(default_factory=dict)
    reports: list[Callable[[], Iterable[Health]]] = field(default_factory=list)
    above: frozenset[int] = frozenset()
    context: Context = field(default_factory=copy_context)

    async def end(self) -> None:
        """End the tasks of the apps that were kept when everything was stopped."""
        kept = [run.lifespan for run in self.runs.values() if run.lifespan is not None]
        for lifespan in kept[::-1]:
            await lifespan.abandon()

    def start_soon(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any, name: str
    ) -> None:
        """Start a task that sees nothing of the context variables of the request, or whatever
        else, that has asked for it."""
        context = self.context.copy()  # as no context can be entered twice at a time
        context.run(partial(self.task_group.start_soon, function, *args, name=name))


class Job:
    """Some work in a task of its own, until it has ended or is cancelled.

    Attributes:
        ended: set then.
    """

    def __init__(self) -> None:
        self._cancel_scope = anyio.CancelScope()
        self.ended: anyio.Event = anyio.Event()

    def start(self, register: Register, work: Callable[[], Awaitable[None]], *, name: str) -> None:
        """Begin with it."""
        register.start_soon(self._run, work, name=name)

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._cancel_scope:
                await work()
        finally:
            self.ended.set()

    def cancel(self) -> None:
        """Cancel it. It has not ended yet then."""
        self._cancel_scope.cancel()


class Supervisor:
    """The apps of one dispatcher, while a server runs it.

    Args:
        scope: the lifespan scope that the dispatcher was called with.
        task_group: for the register, if there is none from above.
        startup_timeout, shutdown_timeout: seconds for an app that has none of its own; `None`
            waits for ever.
    """

    def __init__(
        self,
        scope: Scope,
        task_group: anyio.abc.TaskGroup,
        *,
        startup_timeout: float | None,
        shutdown_timeout: float | None,
    ) -> None:
        self._scope = scope
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self.register: Register = scope.get(REGISTER) or Register(task_group)
        self._held: dict[int, Child] = {}  # by identity, in the order of their start
        self._queues: list[deque[Child]] = []  # of those that are to be started yet
        self._is_stopped = False
        self._work: set[Job] = set()
        self.is_any_supported: bool = False  # whether any app that was started supports lifespans

    async def start_all(self, children: Sequence[Child]) -> None:
        """Start apps in their order; neighbours that are independent at the same time.

        Raises:
            LifespanError: one did not start. Those that did are left for `stop_all`.
        """
        queue = deque(children)
        self._queues.append(queue)
        try:
            while queue:
                child = queue.popleft()
                if not child.supervision.independent:
                    await self.start(child)
                    continue
                group, apps = [child], {id(child.app)}
                # One app is started once, so that another mount of it is for the next group.
                while queue and queue[0].supervision.independent and id(queue[0].app) not in apps:
                    group.append(queue.popleft())
                    apps.add(id(group[-1].app))
                await self._start_together(group)
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
        if len(errors) > 1:
            raise _several(errors)
        if errors:
            raise errors[0]

    async def start(self, child: Child, scope: Scope | None = None) -> BaseException | None:
        """Hold an app, and start it unless it runs already.

        Args:
            scope: what to call it with, if not a scope with a state of its own.

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
        key, runs = id(child.app), self.register.runs
        if key in self.register.above and key in runs:  # that one waits for this
            child.run = runs[key]
            return None
        self._held[id(child)] = child
        own = child.run = Run(child.app)
        own.users = 1
        refusal, is_kept = None, False
        try:
            with anyio.CancelScope() as own.starting:
                other = await self._other_run(child)
                if other is not None:
                    child.run = other
                    other.users += 1
                    return None
                runs[key] = own
                if child.has_lifespan:
                    refusal = await self._start(child, own, scope)
                else:
                    own.turn("serving", None)
                is_kept = True
        except BaseException as exc:
            if isinstance(exc, LifespanError) and self._may_isolate(child, own):
                self._isolate(child, own, str(exc), exc.__cause__)
                is_kept = True
                return None
            own.turn("failed", str(exc))
            own.failure = exc if isinstance(exc, LifespanError) else None
            self._held.pop(id(child), None)
            raise
        finally:
            if not is_kept and runs.get(key) is own:
                del runs[key]
            own.starting = None
            own.settled.set()
        if not is_kept and self._is_stopped:
            raise _shutting_down(child)
        return refusal

    async def _other_run(self, child: Child) -> Run | None:
        """The run of the app that another mount has started; `None` if it is to be started.

        Raises:
            LifespanError: another mount has just tried to start it, or the server is shutting
                down.
        """
        runs = self.register.runs
        run = runs.get(id(child.app))
        while run is not None and (run.is_stopping or run.status == "starting"):
            await run.settled.wait()
            if run.failure is not None and child.supervision.on_failure == "fail":
                raise LifespanError(str(run.failure)) from run.failure.__cause__
            run = runs.get(id(child.app))
        await checkpoint_if_cancelled()
        if self._is_stopped:
            raise _shutting_down(child)
        return run

    async def _start(
        self, child: Child, run: Run, scope: Scope | None = None
    ) -> BaseException | None:
        if scope is None:
            asgi = self._scope.get("asgi", {"version": "3.0", "spec_version": "2.0"})
            parent = self._scope.get("state", {})
            shared = {key: parent[key] for key in child.supervision.share if key in parent}
            state = {**child.state, **shared}
            scope = {"type": "lifespan", "asgi": asgi, "state": state}
        above = self.register.above | {id(child.app)}
        scope = {**scope, REGISTER: replace(self.register, above=above)}
        run.state = scope.get("state", {})
        timeout = child.supervision.startup_timeout
        lifespan = Lifespan(child.asgi, child.name, scope)
        try:
            is_supported = await lifespan.start(
                self.register.start_soon, self._startup_timeout if timeout is None else timeout
            )
            await checkpoint_if_cancelled()
        except LifespanError:
            raise
        except BaseException:  # cancelled, perhaps just as it came up
            with anyio.CancelScope(shield=True):
                await self._stop_quietly(partial(self._stop_lifespan, child, lifespan))
            raise
        run.retry_at = run.restart = None
        run.turn("serving", None)
        if not is_supported:
            return lifespan.exception
        run.lifespan = lifespan
        self.is_any_supported = True
        lifespan.watch(partial(self._lost, child, run))
        return None

    def _lost(self, child: Child, run: Run, error: str, exception: BaseException | None) -> None:
        """An app's lifespan has ended while it was serving."""
        run.lifespan = None
        if child.supervision.on_failure == "isolate":
            self._isolate(child, run, error, exception)
        else:
            run.turn("failed", error)
            logger.error(
                "%s has failed, and is served on. %s", child.name, error, exc_info=exception
            )

    def _may_isolate(self, child: Child, run: Run) -> bool:
        is_running = self.register.runs.get(id(child.app)) is run and not run.is_stopping
        return is_running and child.supervision.on_failure == "isolate"

    def _isolate(self, child: Child, run: Run, error: str, exception: BaseException | None) -> None:
        run.turn("failed", error)
        run.restart = Job()
        self._put_off(child, run, _FIRST_DELAY, exception)
        run.restart.start(
            self.register,
            partial(self._restart, child, run),
            name=f"mountkit restart of {child.name}",
        )

    def _put_off(
        self, child: Child, run: Run, delay: float, exception: BaseException | None
    ) -> None:
        run.retry_at = time.monotonic() + delay
        logger.error(
            "%s is not up and answers 503; it is started again in %g seconds. %s",
            child.name,
            delay,
            run.error,
            exc_info=exception,
        )

    async def _restart(self, child: Child, run: Run) -> None:
        """Start an app again and again, after longer and longer pauses, until it is up."""
        delay = _FIRST_DELAY
        while True:
            await anyio.sleep(delay)
            try:
                await self._start(child, run)
            except LifespanError as exc:
                run.error = str(exc)
                delay = min(delay * 2, _LONGEST_DELAY)
                self._put_off(child, run, delay, exc.__cause__)
            else:
                logger.warning("%s is up again.", child.name)
                return

    async def stop(self, child: Child, seconds: float = math.inf) -> None:
        """Let go of an app that `start` has started, and stop it if nobody else holds it.

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
        run = child.run
        run.users -= 1
        try:
            if run.users == 0:
                await self._stop(child, run, seconds)
        finally:
            child.close()

    async def _stop(self, child: Child, run: Run, seconds: float) -> None:
        if child.supervision.is_kept and run.lifespan is not None:
            return  # `Register.end` ends it; a mount that comes until then finds it running
        run.is_stopping = True
        if run.starting is not None:  # whoever starts it sees to the rest
            run.starting.cancel()
            await run.settled.wait()
            return
        run.settled = anyio.Event()
        try:
            if run.restart is not None:
                run.restart.cancel()
                await run.restart.ended.wait()
            if run.lifespan is not None:
                await self._stop_lifespan(child, run.lifespan, seconds)
        finally:
            run.turn("starting", None)  # it is not up
            del self.register.runs[id(child.app)]
            run.settled.set()

    async def _stop_lifespan(
        self, child: Child, lifespan: Lifespan, seconds: float = math.inf
    ) -> None:
        timeout = child.supervision.shutdown_timeout
        timeout = self._shutdown_timeout if timeout is None else timeout
        await lifespan.stop(seconds if timeout is None else min(timeout, seconds))

    async def stop_some(self, children: Iterable[Child]) -> None:
        """Let go of some apps, the last one first, and log what went wrong."""
        for child in [*children][::-1]:
            await self._stop_quietly(partial(self.stop, child))

    async def _stop_quietly(self, stop: Callable[[], Awaitable[None]]) -> None:
        try:
            await stop()
        except LifespanError as exc:
            logger.error("%s", exc, exc_info=exc.__cause__)

    async def finish(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work to its end, even if the caller is cancelled; `stop_all` cancels it."""
        if self._is_stopped:
            await work()
        else:
            await self.spawn(work).ended.wait()

    def spawn(self, work: Callable[[], Awaitable[None]]) -> Job:
        """Do some work in a task of its own, until `stop_all` cancels it."""
        job = Job()
        self._work.add(job)

        async def run() -> None:
            try:
                await work()
            finally:
                self._work.discard(job)

        job.start(self.register, run, name="mountkit change")
        return job

    async def stop_all(self, seconds: float | None = None) -> list[tuple[Child, LifespanError]]:
        """Let go of every app, the last one first.

        Args:
            seconds: for all of them together; `None` sets no such limit.

        Returns:
            What went wrong. Whatever one app does, the others are stopped.
        """
        self._is_stopped = True
        errors: list[tuple[Child, LifespanError]] = []
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while self._work:
            jobs = [*self._work]
            for job in jobs:
                job.cancel()
            for job in jobs:
                await job.ended.wait()
        for child in [*self._held.values()][::-1]:
            try:
                await self.stop(child, max(0.0, deadline - time.monotonic()))
            except LifespanError as exc:
                errors.append((child, exc))
        return errors


async def run_lifespan(
    scope: Scope,
    receive: Receive,
    send: Send,
    children: Callable[[], Iterable[Child]],
    *,
    prepare: Callable[[], Awaitable[None]] | None = None,
    running: list[Supervisor],
    report: Callable[[], Iterable[Health]] = tuple,
    wrapped: Child | None = None,
    is_transparent: bool = False,
    startup_timeout: float | None = STARTUP_TIMEOUT,
    shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
    total_startup_timeout: float | None = None,
    total_shutdown_timeout: float | None = None,
) -> None:
    """Answer a server's lifespan: start all, wait, stop all.

    Args:
        children: in the order in which they start; asked for once the wrapped app is up.
        prepare: what else is to be done before the server takes requests.
        running: has the supervisor in it for as long as there is one.
        report: for the register.
        total_startup_timeout, total_shutdown_timeout: seconds for all together; `None` sets no
            such limit.
        wrapped: the app underneath. It starts before them and stops after them, with the
            server's own scope, so that its state is what the server gives every request.
        is_transparent: where no app supports lifespans, raise what the wrapped app raised, so
            that the server sees it too.

    Raises:
        LifespanError: an app failed to start or to stop; the server was told before.
        Exception: what the wrapped app raised, as if nothing stood before it.
    """
    await receive()
    answer: Message = {}
    error: BaseException | None = None
    refusal: BaseException | None = None
    starting: Child | None = None
    answered: list[Message] = []
    async with _task_group(answered) as task_group:
        supervisor = Supervisor(
            scope, task_group, startup_timeout=startup_timeout, shutdown_timeout=shutdown_timeout
        )
        running.append(supervisor)
        supervisor.register.reports.append(report)
        try:
            with _time_limit(total_startup_timeout):
                if wrapped is not None:
                    starting = wrapped
                    refusal = await supervisor.start(wrapped, scope)
                    starting = None
                await supervisor.start_all(list(children()))
                if prepare is not None:
                    await prepare()
            if is_transparent and refusal is not None and not supervisor.is_any_supported:
                raise refusal
            await send({"type": "lifespan.startup.complete"})
            await receive()
            answer = {"type": "lifespan.shutdown.complete"}
        except LifespanError as exc:
            answer = {"type": "lifespan.startup.failed", "message": str(exc)}
            error = _to_raise(starting, exc, wrapped)
        except Exception as exc:  # out of the server's own functions: not to be put in a group
            error = exc
        finally:
            running.remove(supervisor)
            with anyio.CancelScope(shield=True):
                failures = await supervisor.stop_all(total_shutdown_timeout)
                if REGISTER not in scope:
                    await supervisor.register.end()
            supervisor.register.reports.remove(report)
            # The log has them in any case: not every server tells of a failed shutdown.
            if REGISTER not in scope or answer.get("type") != "lifespan.shutdown.complete":
                for _, failure in failures:
                    logger.error("%s", failure, exc_info=failure.__cause__)
            task_group.cancel_scope.cancel()
        if failures and answer.get("type") == "lifespan.shutdown.complete":
            together = _several([failure for _, failure in failures])
            answer = {"type": "lifespan.shutdown.failed", "message": str(together)}
            error = together if len(failures) > 1 else _to_raise(*failures[0], wrapped)
        # Now, as an app that does not heed its end may hold up that of the task group.
        if answer:
            try:
                with anyio.CancelScope(shield=True):
                    answered.append(answer)
                    await send(answer)
            except Exception as exc:
                error = exc
    if error is not None:
        raise error


@asynccontextmanager
async def _task_group(answered: Sequence[Message]) -> AsyncIterator[anyio.abc.TaskGroup]:
    """A task group that does not mind being cancelled once the server has had its answer:
    hypercorn does that at once, and takes what comes of it for an error."""
    try:
        async with anyio.create_task_group() as task_group:
            yield task_group
    except asyncio.CancelledError:
        if not answered:
            raise


def _several(errors: Sequence[LifespanError]) -> LifespanError:
    """Several failures as one."""
    several = LifespanError("\n".join(map(str, errors)))
    several.__cause__ = ExceptionGroup("The failures one by one", errors)
    return several


def _shutting_down(child: Child) -> LifespanError:
    return LifespanError(f"{child.name} was not started: the server is shutting down.")


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    with anyio.move_on_after(seconds) as cancel_scope:
        yield
    if cancel_scope.cancelled_caught:
        raise LifespanError(f"The apps did not start within {seconds:g} seconds in all.")


def _to_raise(
    child: Child | None, error: LifespanError, wrapped: Child | None
) -> BaseException | None:
    """A wrapped app's exception is raised as if nothing stood before it; else it is ours."""
    return error.__cause__ if child is not None and child is wrapped else error
