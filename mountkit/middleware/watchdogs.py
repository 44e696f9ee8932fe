"""Says which mounted app holds up the event loop, as nothing can take it away from it."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from time import monotonic
from types import FrameType

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.exceptions import PatternError
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount

logger: logging.Logger = logging.getLogger("mountkit")

# What is on the stack while a mounted app runs, and where it has the mount.
_SERVING = {Mount.serve.__code__: "self", Dispatcher.__call__.__code__: "mount"}


class Watchdog:
    """Logs a warning, with the name of the mount and the place in its code, when an app holds up
    the event loop: by work that awaits nothing, or a call that blocks.

        app = Watchdog(dispatcher, seconds=0.5)

    A thread looks after the loop as long as the lifespan runs; requests cost nothing. The app goes
    on: nothing can interrupt it. What runs in threads, as WSGI apps do, holds up nobody.

    Args:
        app: what stands behind it; its lifespan goes through.
        seconds: how long the loop may stand still. Each stop is reported once.

    Raises:
        PatternError: `seconds` is no number above 0.
    """

    def __init__(self, app: ASGIApp, *, seconds: float = 1.0) -> None:
        if not isinstance(seconds, (int, float)) or not seconds > 0:
            raise PatternError(f"seconds={seconds!r} is no number above 0; write e.g. 0.5.")
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        watch = _Watch(self.seconds)
        thread = threading.Thread(target=watch.run, name="mountkit watchdog", daemon=True)
        error: Exception | None = None
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(watch.beat)
            thread.start()
            try:
                await self.app(scope, receive, send)
            except Exception as exc:  # not in a group: servers look for their own classes
                error = exc
            finally:
                watch.ended.set()
                task_group.cancel_scope.cancel()
        if error is not None:
            raise error


class _Watch:
    """One run of a loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last_beat = monotonic()
        self.thread_id = threading.get_ident()
        self.ended = threading.Event()

    async def beat(self) -> None:
        """In the loop: say that it runs."""
        while True:
            self.last_beat = monotonic()
            await anyio.sleep(self.seconds / 4)

    def run(self) -> None:
        """In the thread: see whether it does."""
        reported = 0.0
        while not self.ended.wait(self.seconds / 4):
            last_beat = self.last_beat
            late = monotonic() - last_beat
            if late > self.seconds and last_beat != reported:
                reported = last_beat
                self.report(late)

    def report(self, late: float) -> None:
        """Log what the loop is busy with."""
        frame = sys._current_frames().get(self.thread_id)
        mount = _mount_on(frame)
        logger.warning(
            "%s has held up the event loop for %.1f seconds:\n%s",
            "Something outside of the mounts" if mount is None else mount.where,
            late,
            "".join(traceback.format_stack(frame, limit=10)),
        )


def _mount_on(frame: FrameType | None) -> Mount | None:
    """The innermost mount whose app is on the stack."""
    while frame is not None:
        mount: Mount | None = None
        if frame.f_code in _SERVING:
            mount = frame.f_locals[_SERVING[frame.f_code]]
        if mount is not None:
            return mount
        frame = frame.f_back
    return None
