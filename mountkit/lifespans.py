"""Starting and stopping the apps: one lifespan per distinct app, each in a task of its own.

ASGI spec, "Lifespan Protocol". Apps are started in order and stopped in reverse; one that
fails to start takes those before it down again. An app does not support lifespans if it
raises before it has asked for the first event (as asgi-lifespan tells them), or returns
before it has answered it; such an app is simply served.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import anyio
import anyio.abc
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.exceptions import LifespanError

logger: logging.Logger = logging.getLogger("mountkit")

#: Seconds; hypercorn's own default.
STARTUP_TIMEOUT = 60.0
#: Seconds; hypercorn's own default.
SHUTDOWN_TIMEOUT = 60.0
# Seconds before an isolated app is started again: doubled each time.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
# An app has answered its shutdown: how long its task may still go on, in seconds.
_EXIT_GRACE = 1.0
# The key under which a dispatcher finds what those above it have started.
_REGISTER = "mountkit.lifespans"


class Run:
    """How an app is doing. Every `Child` of the app refers to the same.

    Attributes:
        app: the application; kept, so that its identity stays its own.
        state: its lifespan state.
        error: why it is not up, if it is not: it did not start, or its lifespan has ended.
        retry_at: for an app whose mount answers 503, the time (`time.monotonic()`) at which it
            is started again.
    """

    __slots__ = ("app", "error", "retry_at", "state")

    def __init__(self, app: Any, state: dict[str, Any]) -> None:
        self.app: Any = app
        self.state: dict[str, Any] = state
        self.error: str | None = None
        self.retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Supervision:
    """How one app is started and stopped.

    Attributes:
        startup_timeout, shutdown_timeout: seconds; `None` is what the dispatcher says.
        on_failure: `"fail"`: an app that does not start fails the server's startup.
            `"isolate"`: the others serve, its mount answers 503, and it is started again.
        independent: it may start at the same time as its neighbours that are independent too.
        share: keys of the parent's state that it sees in its own.
    """

    startup_timeout: float | None = None
    shutdown_timeout: float | None = None
    on_failure: Literal["fail", "isolate"] = "fail"
    independent: bool = False
    share: tuple[str, ...] = ()


class Child:
    """One app, as a mount holds it.

    Attributes:
        app: the application as it was given: what tells distinct apps apart.
        asgi: the same, behind a bridge where it is no ASGI 3 app.
        name: for messages: "the app mounted at '/mcp' (main.py:12)".
        has_lifespan: `False` for apps that have none to run, such as WSGI ones.
        supervision: how it is started and stopped.
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
    ) -> None:
        self.app = app
        self.asgi = asgi
        self.name = name
        self.has_lifespan = has_lifespan
        self.supervision = supervision
        self.run = Run(app, {})
        self.is_started = False


class _Lifespan:
    """One run of one app's lifespan."""

    def __init__(
        self, app: ASGIApp, name: str, scope: Scope, on_end: Callable[[str], None]
    ) -> None:
        self.app = app
        self.name = name
        self.scope = scope
        self.on_end = on_end  # called if it ends while it serves
        self.exception: BaseException | None = None
        self.message: str | None = None  # of startup.failed or shutdown.failed
        self._received = False
        self._phase: Literal["startup", "serving", "shutdown", "done"] = "startup"
        self._answered = False
        self._failed = False
        self._startup = anyio.Event()
        self._stopping = anyio.Event()
        self._shutdown = anyio.Event()
        self._ended = anyio.Event()
        # Shielded: a server that is cancelled must still let the app shut down.
        self._cancel_scope = anyio.CancelScope(shield=True)

    async def start(self, task_group: anyio.abc.TaskGroup, seconds: float | None) -> bool:
        """Run the app up to its answer.

        Returns:
            Whether it supports lifespans.

        Raises:
            LifespanError: it failed, raised, or did not answer in time.
        """
        task_group.start_soon(self._run, name=f"mountkit lifespan of {self.name}")
        try:
            with anyio.move_on_after(seconds):
                await self._startup.wait()
        except BaseException:  # cancelled: nobody will stop it
            with anyio.CancelScope(shield=True):
                await self._abandon()
            raise
        if not self._startup.is_set():
            await self._abandon()
            raise LifespanError(f"{self.name} did not start within {seconds:g} seconds.")
        if self._failed:
            # Its clean-up runs after `startup.failed`; the next app must not see half of it.
            with anyio.move_on_after(_EXIT_GRACE):
                await self._ended.wait()
            await self._abandon()
            raise LifespanError(
                f"{self.name} failed to start: {self._reason()}"
            ) from self.exception
        if self._answered:
            return True
        if self.exception is not None and self._received:
            raise LifespanError(
                f"{self.name} raised while it started: {self._reason()}"
            ) from self.exception
        return False

    async def stop(self, seconds: float) -> None:
        """Let the app shut down, and wait until its task has ended.

        Raises:
            LifespanError: it failed, raised, or did not answer in time.
        """
        died = self._ended.is_set()
        self._phase = "shutdown"
        self._failed = False
        self._stopping.set()
        with anyio.move_on_after(seconds):
            await self._shutdown.wait()
        in_time = self._shutdown.is_set()
        with anyio.move_on_after(_EXIT_GRACE if in_time else 0):
            await self._ended.wait()
        await self._abandon()
        if not in_time:
            raise LifespanError(f"{self.name} did not stop within {seconds:.3g} seconds.")
        if self._failed or (self.exception is not None and not died):
            raise LifespanError(f"{self.name} failed to stop: {self._reason()}") from self.exception

    def _reason(self) -> str:
        if self.message:
            return self.message
        return repr(self.exception) if self.exception is not None else "it gave no reason."

    async def _abandon(self) -> None:
        self._cancel_scope.cancel()
        await self._ended.wait()

    async def _run(self) -> None:
        try:
            with self._cancel_scope:
                await self.app(self.scope, self._receive, self._send)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # SystemExit, CancelledError, …: siblings must live
            self.exception = exc
        finally:
            if self._phase == "serving":
                logger.error(
                    "%s ended its lifespan while it was serving.",
                    self.name,
                    exc_info=self.exception,
                )
                self.on_end(f"It ended its lifespan while it was serving: {self._reason()}")
            for event in (self._startup, self._shutdown, self._ended):
                event.set()

    async def _receive(self) -> Message:
        if not self._received:
            self._received = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        if self._phase == "done":
            await anyio.sleep_forever()
        self._phase = "done"
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed"):
            self._answered = True
            self._startup.set()
            if self._phase == "startup":
                self._phase = "serving"
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            self._shutdown.set()
        else:
            raise RuntimeError(f"{kind!r} is no message of the lifespan protocol.")
        if kind.endswith(".failed"):
            self._failed = True
            self._phase = "done"
            self.message = message.get("message") or None


class Lifespans:
    """The lifespans of one dispatcher's apps.

    Dispatchers below share the register of the one above, so that an app which both of them
    mount starts once.

    Args:
        scope: the lifespan scope that the dispatcher was called with.
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
        self._task_group = task_group
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        # Every app that runs, by its identity.
        self._register: dict[int, Run] = scope.get(_REGISTER, {})
        self._running: list[tuple[Child, _Lifespan]] = []
        self._restarts: list[anyio.CancelScope] = []

    @property
    def is_any_running(self) -> bool:
        """Whether any app was started that supports lifespans."""
        return bool(self._running)

    async def start(self, child: Child, scope: Scope | None = None) -> BaseException | None:
        """Start one app, unless it runs already.

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
        child.is_started = True
        if id(child.app) in self._register:
            child.run = self._register[id(child.app)]
            return None
        child.run = self._register[id(child.app)] = Run(child.app, {})
        if not child.has_lifespan:
            return None
        try:
            return await self._start(child, scope)
        except LifespanError as exc:
            if child.supervision.on_failure == "fail":
                raise
            self._isolate(child, str(exc))
            return None

    async def start_all(self, children: Sequence[Child]) -> None:
        """Start apps in their order; neighbours that are independent at the same time.

        Raises:
            LifespanError: one did not start. Those that did are left for `stop`.
        """
        for independent, group in groupby(children, lambda child: child.supervision.independent):
            if independent:
                await self._start_together(list(group))
            else:
                for child in group:
                    await self.start(child)

    async def _start_together(self, children: Sequence[Child]) -> None:
        errors: list[LifespanError] = []
        before = len(self._running)

        async def start(child: Child) -> None:
            try:
                await self.start(child)
            except LifespanError as exc:
                errors.append(exc)

        async with anyio.create_task_group() as task_group:
            for child in children:
                task_group.start_soon(start, child)
        # They stop in the reverse of their order, whichever was up first.
        self._running[before:] = sorted(
            self._running[before:], key=lambda running: children.index(running[0])
        )
        if errors:
            raise errors[0]

    async def _start(self, child: Child, scope: Scope | None = None) -> BaseException | None:
        if scope is None:
            asgi = self._scope.get("asgi", {"version": "3.0", "spec_version": "2.0"})
            parent = self._scope.get("state", {})
            state = {key: parent[key] for key in child.supervision.share if key in parent}
            scope = {"type": "lifespan", "asgi": asgi, "state": state}
        scope = {**scope, _REGISTER: self._register}
        child.run.state = scope.get("state", {})
        timeout = child.supervision.startup_timeout
        lifespan = _Lifespan(
            child.asgi, child.name, scope, lambda error: self._lost(child, lifespan, error)
        )
        if await lifespan.start(
            self._task_group, self._startup_timeout if timeout is None else timeout
        ):
            self._running.append((child, lifespan))
            return None
        return lifespan.exception

    def _lost(self, child: Child, lifespan: _Lifespan, error: str) -> None:
        """An app's lifespan has ended while it was serving."""
        child.run.error = error
        if child.supervision.on_failure == "isolate":
            self._running.remove((child, lifespan))
            self._isolate(child, error)

    def _isolate(self, child: Child, error: str) -> None:
        child.run.error = error
        child.run.retry_at = time.monotonic() + _FIRST_DELAY
        self._task_group.start_soon(self._restart, child, name=f"mountkit restart of {child.name}")

    async def _restart(self, child: Child) -> None:
        """Start an app again and again, after longer and longer pauses, until it is up."""
        delay = _FIRST_DELAY
        with anyio.CancelScope() as cancel_scope:
            self._restarts.append(cancel_scope)
            while True:
                logger.error(
                    "%s is not up and answers 503; it is started again in %g seconds. %s",
                    child.name,
                    delay,
                    child.run.error,
                )
                child.run.retry_at = time.monotonic() + delay
                await anyio.sleep(delay)
                try:
                    await self._start(child)
                except LifespanError as exc:
                    child.run.error = str(exc)
                    delay = min(delay * 2, _LONGEST_DELAY)
                else:
                    child.run.error = child.run.retry_at = None
                    logger.warning("%s is up again.", child.name)
                    return

    async def stop(self, seconds: float | None = None) -> list[tuple[Child, LifespanError]]:
        """Stop every app that `start` has started, the last one first.

        Args:
            seconds: for all of them together; `None` sets no such limit.

        Returns:
            What went wrong. Whatever one app does, the others are stopped.
        """
        for cancel_scope in self._restarts:
            cancel_scope.cancel()
        errors: list[tuple[Child, LifespanError]] = []
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while self._running:
            child, lifespan = self._running.pop()
            timeout = child.supervision.shutdown_timeout
            timeout = self._shutdown_timeout if timeout is None else timeout
            left = max(0.0, deadline - time.monotonic())
            try:
                await lifespan.stop(left if timeout is None else min(timeout, left))
            except LifespanError as exc:
                errors.append((child, exc))
            self._register.pop(id(child.app), None)
        return errors


async def run_lifespan(
    scope: Scope,
    receive: Receive,
    send: Send,
    children: Sequence[Child],
    *,
    wrapped: Child | None = None,
    is_transparent: bool = False,
    startup_timeout: float | None = STARTUP_TIMEOUT,
    shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
    total_startup_timeout: float | None = None,
    total_shutdown_timeout: float | None = None,
) -> None:
    """Answer a server's lifespan: start all, wait, stop all.

    Args:
        children: in the order in which they start.
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
    answer: Message = {"type": "lifespan.shutdown.complete"}
    error: BaseException | None = None
    refusal: BaseException | None = None
    starting: Child | None = None
    async with anyio.create_task_group() as task_group:
        lifespans = Lifespans(
            scope, task_group, startup_timeout=startup_timeout, shutdown_timeout=shutdown_timeout
        )
        try:
            with _time_limit(total_startup_timeout):
                if wrapped is not None:
                    starting = wrapped
                    refusal = await lifespans.start(wrapped, scope)
                    starting = None
                await lifespans.start_all(children)
            if is_transparent and refusal is not None and not lifespans.is_any_running:
                raise refusal
            await send({"type": "lifespan.startup.complete"})
            await receive()
        except LifespanError as exc:
            answer = {"type": "lifespan.startup.failed", "message": str(exc)}
            error = _to_raise(starting, exc, wrapped)
        except Exception as exc:  # out of the server's own functions: not to be put in a group
            answer, error = {}, exc
        finally:
            with anyio.CancelScope(shield=True):
                failures = await lifespans.stop(total_shutdown_timeout)
            task_group.cancel_scope.cancel()
    if answer.get("type") == "lifespan.shutdown.complete" and failures:
        message = "\n".join(str(failure) for _, failure in failures)
        answer = {"type": "lifespan.shutdown.failed", "message": message}
        error = _to_raise(*failures[-1], wrapped) if len(failures) == 1 else LifespanError(message)
    else:
        for _, failure in failures:
            logger.error("%s", failure)
    if answer:
        await send(answer)
    if error is not None:
        raise error


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as exc:
        raise LifespanError(f"The apps did not start within {seconds:g} seconds in all.") from exc


def _to_raise(
    child: Child | None, error: LifespanError, wrapped: Child | None
) -> BaseException | None:
    """A wrapped app's exception is raised as if nothing stood before it; else it is ours."""
    return error.__cause__ if child is not None and child is wrapped else error
