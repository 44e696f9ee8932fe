"""Starting and stopping the apps: one lifespan per distinct app, each in a task of its own.

ASGI spec, "Lifespan Protocol". Apps are started in order and stopped in reverse; one that
fails to start takes those before it down again. An app does not support lifespans if it
raises before it has asked for the first event (as asgi-lifespan tells them), or returns
before it has answered it; such an app is simply served.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
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
# An app has answered its shutdown: how long its task may still go on, in seconds.
_EXIT_GRACE = 1.0
# The key under which a dispatcher finds what those above it have started.
_REGISTER = "mountkit.lifespans"


class Child:
    """One app, as a mount holds it.

    Attributes:
        app: the application as it was given: what tells distinct apps apart.
        asgi: the same, behind a bridge where it is no ASGI 3 app.
        name: for messages: "the app mounted at '/mcp' (main.py:12)".
        has_lifespan: `False` for apps that have none to run, such as WSGI ones.
        state: its lifespan state; empty until it was started, and shared by the `Child`
            objects of one app.
        is_started: whether a lifespan has reached it.
    """

    def __init__(self, app: Any, asgi: ASGIApp, name: str, *, has_lifespan: bool = True) -> None:
        self.app = app
        self.asgi = asgi
        self.name = name
        self.has_lifespan = has_lifespan
        self.state: dict[str, Any] = {}
        self.is_started = False


class _Lifespan:
    """One run of one app's lifespan."""

    def __init__(self, app: ASGIApp, name: str, scope: Scope) -> None:
        self.app = app
        self.name = name
        self.scope = scope
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
        self._cancel_scope = anyio.CancelScope()

    async def start(self, task_group: anyio.abc.TaskGroup, seconds: float | None) -> bool:
        """Run the app up to its answer.

        Returns:
            Whether it supports lifespans.

        Raises:
            LifespanError: it failed, raised, or did not answer in time.
        """
        task_group.start_soon(self._run, name=f"mountkit lifespan of {self.name}")
        with anyio.move_on_after(seconds):
            await self._startup.wait()
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

    async def stop(self, seconds: float | None) -> None:
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
            raise LifespanError(f"{self.name} did not stop within {seconds:g} seconds.")
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
            if _is_cancelled(exc):
                raise
            self.exception = exc
        finally:
            if self._phase == "serving":
                logger.error(
                    "%s ended its lifespan while it was serving.",
                    self.name,
                    exc_info=self.exception,
                )
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


def _is_cancelled(exc: BaseException) -> bool:
    """Whether `exc` is a cancellation that was asked for from outside of the app."""
    return (
        isinstance(exc, anyio.get_cancelled_exc_class())
        and anyio.current_effective_deadline() == -math.inf
    )


class Lifespans:
    """The lifespans of one dispatcher's apps.

    Dispatchers below share the register of the one above, so that an app which both of them
    mount starts once.

    Args:
        scope: the lifespan scope that the dispatcher was called with.
        startup_timeout, shutdown_timeout: seconds for one app; `None` waits for ever.
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
        # By identity, the state of every app that runs; the app is kept so that its id is.
        self._register: dict[int, tuple[Any, dict[str, Any]]] = scope.get(_REGISTER, {})
        self._running: list[tuple[Child, _Lifespan]] = []

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
            LifespanError: it did not start.
        """
        if child.app is self._scope.get("app"):
            raise LifespanError(
                f"{child.name} is mounted into itself and would start itself without end; "
                "mount another app."
            )
        child.is_started = True
        if id(child.app) in self._register:
            child.state = self._register[id(child.app)][1]
            return None
        if scope is None:
            asgi = self._scope.get("asgi", {"version": "3.0", "spec_version": "2.0"})
            scope = {"type": "lifespan", "asgi": asgi, "state": {}}
        scope = {**scope, _REGISTER: self._register}
        child.state = scope.get("state", {})
        self._register[id(child.app)] = (child.app, child.state)
        if not child.has_lifespan:
            return None
        lifespan = _Lifespan(child.asgi, child.name, scope)
        if await lifespan.start(self._task_group, self._startup_timeout):
            self._running.append((child, lifespan))
            return None
        return lifespan.exception

    async def stop(self) -> list[tuple[Child, LifespanError]]:
        """Stop every app that `start` has started, the last one first.

        Returns:
            What went wrong. Whatever one app does, the others are stopped.
        """
        errors: list[tuple[Child, LifespanError]] = []
        while self._running:
            child, lifespan = self._running.pop()
            try:
                await lifespan.stop(self._shutdown_timeout)
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
) -> None:
    """Answer a server's lifespan: start all, wait, stop all.

    Args:
        children: in the order in which they start.
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
    async with anyio.create_task_group() as task_group:
        lifespans = Lifespans(
            scope, task_group, startup_timeout=startup_timeout, shutdown_timeout=shutdown_timeout
        )
        try:
            for child in children if wrapped is None else (wrapped, *children):
                try:
                    raised = await lifespans.start(child, scope if child is wrapped else None)
                    refusal = raised if child is wrapped else refusal
                except LifespanError as exc:
                    answer = {"type": "lifespan.startup.failed", "message": str(exc)}
                    error = _to_raise(child, exc, wrapped)
                    break
            else:
                if is_transparent and refusal is not None and not lifespans.is_any_running:
                    raise refusal
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as exc:  # out of the server's own functions: not to be put in a group
            answer, error = {}, exc
        finally:
            with anyio.CancelScope(shield=True):
                failures = await lifespans.stop()
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


def _to_raise(child: Child, error: LifespanError, wrapped: Child | None) -> BaseException | None:
    """A wrapped app's exception is raised as if nothing stood before it; else it is ours."""
    return error.__cause__ if child is wrapped else error
