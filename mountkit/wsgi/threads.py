"""A few threads of one's own, and the way from them back to the event loop.

Not `anyio.to_thread`, whose one limiter is shared by the whole process: a mount that hangs
would take its neighbours' threads. Daemon threads, so that a call that never ends does not
keep the process from exiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

from anyio.lowlevel import current_token

Job: TypeAlias = Callable[[], None]


class ThreadPool:
    """Up to `limit` threads, started when they are needed.

    Args:
        limit: from 1.
        name: what the threads are called, in debuggers and in messages.
    """

    def __init__(self, limit: int, name: str) -> None:
        self.limit: int = limit
        self.name: str = name
        #: Jobs that were submitted and have not ended.
        self.pending: int = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0

    def submit(self, job: Job) -> None:
        """Run `job` in a thread, as soon as one is free. It must not raise."""
        with self._lock:
            self.pending += 1
            if self._threads < min(self.pending, self.limit):
                self._threads += 1
                thread = threading.Thread(
                    target=self._work, args=(self._jobs,), name=self.name, daemon=True
                )
                thread.start()
            self._jobs.put(job)

    def close(self) -> None:
        """End the threads, each after the job that it is at; jobs that wait are run before. What
        is submitted later gets threads of its own, however long these may take."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)
            self._threads = 0
            self._jobs = SimpleQueue()

    def _work(self, jobs: SimpleQueue[Job | None]) -> None:
        while self._work_on_next(jobs):
            pass

    def _work_on_next(self, jobs: SimpleQueue[Job | None]) -> bool:
        """Wait for a job and do it; `False` if the thread is to end."""
        job = jobs.get()
        if job is None:
            return False
        job()
        with self._lock:
            self.pending -= 1
        return True


def loop_caller() -> Callable[[Callable[[], Any]], None]:
    """A function that other threads may call to have something called in this event loop.

    It returns at once. When the loop has ended meanwhile, nothing happens.
    """
    token: Any = current_token().native_token
    # trio's and asyncio's name for the same.
    call_soon = getattr(token, "run_sync_soon", None) or token.call_soon_threadsafe

    def call(function: Callable[[], Any]) -> None:
        try:
            call_soon(function)
        except RuntimeError:  # trio.RunFinishedError is one; so is asyncio's "loop is closed"
            return

    return call
