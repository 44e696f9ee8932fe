"""One run of one app's lifespan (ASGI spec, "Lifespan Protocol"), in a task of its own.

An app that raises before it asks for the first event (asgi-lifespan's rule), or returns before it
answers that event, does not support lifespans; it is simply served.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, Literal, TypeAlias

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mountkit.exceptions import LifespanError, shown, spelled
from mountkit.logs import lifespan as logger
from mountkit.tasks import current_task, describe, is_outside

#: "cut off": by an event loop that is being closed.
Phase: TypeAlias = Literal["startup", "serving", "shutdown", "done", "cut off"]

# How long, in seconds, an app's task may go on after it has answered its shutdown or was cancelled.
_EXIT_GRACE = 1.0


class LifespanTask:
    """One run of one app's lifespan.

    Args:
        name: of the app, for messages.
        scope: what the app is called with.

    Attributes:
        exception: what the app raised, if it did.
    """

    def __init__(self, app: ASGIApp, name: str, scope: Scope) -> None:
        self.app = app
        self.name = name
        self.scope = scope
        self.exception: BaseException | None = None
        self._failure: Message | None = None  # startup.failed or shutdown.failed
        self._phase: Phase = "startup"
        self._received = False
        self._on_end: Callable[[str, BaseException | None], None] | None = None
        self._startup = anyio.Event()
        self._stopping = anyio.Event()
        self._shutdown = anyio.Event()
        self._ended = anyio.Event()
        # Shielded: a server that is cancelled must still let the app shut down.
        self._cancel_scope = anyio.CancelScope(shield=True)

    async def start(self, start_soon: Callable[..., None], seconds: float | None) -> bool:
        """Run the app up to its answer. If this is cancelled, call `stop`.

        Args:
            start_soon: of the task group that the app runs in.

        Returns:
            Whether it supports lifespans.

        Raises:
            LifespanError: it failed, raised, or did not answer in time.
        """
        start_soon(self._run, name=f"mountkit lifespan of {self.name}")
        if not await _within(seconds, self._startup):
            await self.abandon()
            raise LifespanError(f"{self.name} did not start within {spelled(seconds or 0)}.")
        if self._failure is not None:
            # Its clean-up runs after `startup.failed`; the next app must not see it half done.
            await _within(_EXIT_GRACE, self._ended)
            await self.abandon()
            raise self._error("failed to start")
        if self._phase == "serving":
            return True
        # No app says by `SystemExit` or the like that it does not know this scope type.
        is_refusal = isinstance(self.exception, Exception) and not self._received
        if self.exception is not None and not is_refusal:
            raise self._error("raised while it started")
        return False

    def watch(self, on_end: Callable[[str, BaseException | None], None]) -> None:
        """Call a function if the app, which is up, ends before it is stopped, with the reason and
        what it raised; at once if it has ended already."""
        self._on_end = on_end
        if self._ended.is_set():
            self._tell()

    def _tell(self) -> None:
        if self._on_end is not None and self._phase == "serving":
            reason = f"It ended its lifespan while it was serving: {self._reason()}"
            self._on_end(reason, self.exception)

    async def stop(self, seconds: float) -> None:
        """Let the app shut down, and wait until its task has ended. An app that is still starting,
        or has said that it failed, is cancelled.

        Raises:
            LifespanError: it failed, raised, or did not answer in time.
        """
        if self._phase != "serving":
            await self.abandon()
            return
        self._phase = "shutdown"
        self._stopping.set()
        in_time = await _within(seconds, self._shutdown)
        await _within(_EXIT_GRACE if in_time else 0, self._ended)
        phase: Phase = self._phase  # it has changed meanwhile
        if phase == "cut off":
            return
        await self.abandon()
        if not in_time:
            raise LifespanError(f"{self.name} did not stop within {spelled(seconds)}.")
        if self._failure is not None or self.exception is not None:
            raise self._error("failed to stop")

    async def abandon(self) -> None:
        """Cancel the app without telling it to stop, and wait a moment for its end: some apps do
        not heed it, such as those that wait for a thread."""
        self._phase = "done"
        self._cancel_scope.cancel()
        if not await _within(_EXIT_GRACE, self._ended):
            logger.error("%s was cancelled and does not end; its task is left behind.", self.name)

    def _error(self, what: str) -> LifespanError:
        error = LifespanError(f"{self.name} {what}: {self._reason()}")
        error.__cause__ = self.exception
        return error

    def _reason(self) -> str:
        message, exc = str((self._failure or {}).get("message") or "").strip(), self.exception
        if exc is None or isinstance(exc, LifespanError):
            return str(exc or message or "it gave no reason.")
        if "\n" in message:  # Starlette's, and others': the traceback, which the exception has too
            return describe(exc)
        return message or shown(exc)

    async def _run(self) -> None:
        task = current_task()
        try:
            with self._cancel_scope:
                await self.app(self.scope, self._receive, self._send)
        except BaseException as exc:  # SystemExit, CancelledError, …: the other apps must live
            self.exception = exc
            if task is not None and task.cancelling():
                self._phase = "cut off"
            elif is_outside(exc, task):
                self._phase = "done"
                raise
        finally:
            self._tell()
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
            self._startup.set()
            if self._phase == "startup":
                self._phase = "serving"
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            self._shutdown.set()
        else:
            raise RuntimeError(
                f"{kind!r} is not a message of the lifespan protocol; send e.g. "
                "'lifespan.startup.complete'."
            )
        if kind.endswith(".failed"):
            self._failure = message
            self._phase = "done"


async def _within(seconds: float | None, event: anyio.Event) -> bool:
    """Whether an event happens in time."""
    with anyio.move_on_after(seconds):
        await event.wait()
    return event.is_set()


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Start an app, and stop it when the block ends: for clients that do not run lifespans.

        async with running(app) as site:
            client = httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://test")

    Yields an app that puts the lifespan's state into each request. The block may begin and end in
    different tasks, as in pytest-asyncio's fixtures. An app without a lifespan is just served.

    Raises:
        LifespanError: the app failed to start or to stop; what it raised is the cause.
    """
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    lifespan = LifespanTask(app, f"The {type(app).__name__} app", scope)
    tasks: list[asyncio.Task[None]] = []  # event loops hold them by weak references

    def start_soon(function: Callable[[], Any], name: str) -> None:
        if current_task() is not None:
            tasks.append(asyncio.create_task(function(), name=name))
        else:
            import trio

            trio.lowlevel.spawn_system_task(function, name=name, context=copy_context())

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {**state, **scope.get("state", {})}}, receive, send)

    try:
        await lifespan.start(start_soon, None)
        yield site
    finally:
        with anyio.CancelScope(shield=True):
            await lifespan.stop(math.inf)
