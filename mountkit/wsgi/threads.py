"""A small thread pool, and calls from its threads back into the event loop.

`anyio.to_thread` shares one limiter in the whole process: a mount that hangs would take its
neighbours' threads. These are daemon threads, so a call that never ends does not keep the process
from exiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias

from anyio.lowlevel import current_token

Job: TypeAlias = Callable[[], None]


class ThreadPool:
    """Up to `limit` threads, started when they are needed; `name` is for debuggers.

    Attributes:
        pending: how many jobs were submitted and have not ended.
    """

    def __init__(self, limit: int, name: str) -> None:
        self.limit = limit
        self.name = name
        self.pending: int = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0

    def submit(self, job: Job) -> None:
        """Run `job` in a thread as soon as one is free. It must not raise."""
        with self._lock:
            self.pending += 1
            if self._threads < min(self.pending, self.limit):
                self._threads += 1
                args = (self._jobs,)
                threading.Thread(target=self._work, args=args, name=self.name, daemon=True).start()
            self._jobs.put(job)

    def close(self) -> None:
        """End the threads once they have run the jobs that were submitted. Later jobs get new
        threads and do not wait for these."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)
            self._threads = 0
            self._jobs = SimpleQueue()

    def _work(self, jobs: SimpleQueue[Job | None]) -> None:
        while (job := jobs.get()) is not None:
            job()
            del job  # an idle thread must not keep the last request alive
            with self._lock:
                self.pending -= 1


def loop_caller() -> Callable[[Callable[[], Any]], None]:
    """A function that schedules a call in this event loop, from any thread. It returns at once, and
    does nothing if the loop has ended."""
    token: Any = current_token().native_token
    # trio, asyncio
    call_soon = getattr(token, "run_sync_soon", None) or token.call_soon_threadsafe

    def call(function: Callable[[], Any]) -> None:
        with suppress(RuntimeError):  # trio.RunFinishedError, or asyncio's "loop is closed"
            call_soon(function)

    return call
