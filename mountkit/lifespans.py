"""One run of one app's lifespan (ASGI spec, "Lifespan Protocol"), in a task of its own.

An app does not support lifespans if it raises before it has asked for the first event (as
asgi-lifespan tells them), or returns before it has answered it; such an app is simply served.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import anyio
from starlette.types import ASGIApp, Message, Scope

from mountkit.exceptions import LifespanError, shown

logger: logging.Logger = logging.getLogger("mountkit")

# An app has answered its shutdown: how long its task may still go on, in seconds.
_EXIT_GRACE = 1.0


class Lifespan:
    """One run of one app's lifespan.

    Args:
        name: of the app, for messages.
        scope: what the app is called with.
        on_end: called with the reason if it ends while it serves.

    Attributes:
        exception: what the app raised, if it did.
    """

    def __init__(
        self, app: ASGIApp, name: str, scope: Scope, on_end: Callable[[str], None]
    ) -> None:
        self.app = app
        self.name = name
        self.scope = scope
        self.on_end = on_end
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

    async def start(self, start_soon: Callable[..., None], seconds: float | None) -> bool:
        """Run the app up to its answer.

        Args:
            start_soon: of the task group that the app is to run in.

        Returns:
            Whether it supports lifespans.

        Raises:
            LifespanError: it failed, raised, or did not answer in time.
        """
        start_soon(self._run, name=f"mountkit lifespan of {self.name}")
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
        return shown(self.exception) if self.exception is not None else "it gave no reason."

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
