"""Names the mounted app that blocks the event loop; nothing can take the loop away from it."""

from __future__ import annotations

import sys
import threading
import traceback
from time import monotonic
from types import FrameType

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.exceptions import PatternError, spelled
from mountkit.logs import watchdog as logger
from mountkit.tasks import SERVING


class Watchdog:
    """Logs a warning when the event loop is blocked, with the mount and the place in its code.

        app = Watchdog(dispatcher, seconds=0.5)

    Work without an `await` blocks the loop, and so does a blocking call; WSGI apps run in threads.
    A thread watches the loop while the lifespan runs, and requests cost nothing. It only reports:
    nothing can interrupt the app.

    Args:
        app: any ASGI app; its lifespan goes through.
        seconds: how long the loop may be blocked. Each time is reported once.

    Raises:
        PatternError: `seconds` is not a number above 0.
    """

    def __init__(self, app: ASGIApp, *, seconds: float = 1.0) -> None:
        if not isinstance(seconds, (int, float)) or not seconds > 0:
            raise PatternError(f"seconds={seconds!r} is not a number above 0; write e.g. 0.5.")
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        watch = _Watch(self.seconds)
        error: Exception | None = None
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(watch.beat)
            watch.start()
            try:
                await self.app(scope, receive, send)
            except Exception as exc:  # not in a group: servers look for their own classes
                error = exc
            finally:
                watch.ended.set()
                task_group.cancel_scope.cancel()
        if error is not None:
            raise error


class _Watch(threading.Thread):
    """Watches one run of the loop of the thread that makes it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(name="mountkit watchdog", daemon=True)
        self.seconds = seconds
        self.last_beat = monotonic()
        self.of_loop = threading.get_ident()
        self.ended = threading.Event()

    async def beat(self) -> None:
        """In the loop: record that it runs."""
        while True:
            self.last_beat = monotonic()
            await anyio.sleep(self.seconds / 4)

    def run(self) -> None:
        """In the thread: report when it does not."""
        reported = 0.0
        while not self.ended.wait(self.seconds / 4):
            last_beat = self.last_beat
            late = monotonic() - last_beat
            if late > self.seconds and last_beat != reported:
                reported = last_beat
                frame = sys._current_frames().get(self.of_loop)
                stack = "".join(traceback.format_stack(frame, limit=10))
                text = "%s has blocked the event loop for %s:\n%s"
                logger.warning(text, _where(frame), spelled(round(late, 1)), stack)


def _where(frame: FrameType | None) -> str:
    """The innermost mount whose app is on the stack."""
    for called, _ in traceback.walk_stack(frame):
        if called.f_code in SERVING:
            return str(called.f_locals[SERVING[called.f_code]].where)
    return "Something outside the mounts"
