"""A small thread pool, and how one of its threads and an event loop wait for each other.

`anyio.to_thread` shares one limiter in the whole process: a mount that hangs would take its
neighbours' threads. These are daemon threads, so a call that never ends does not keep the process
from exiting. They are those of the operating system also where gevent has patched the standard
library: a green thread would wait in the thread of the event loop, which then waits for itself.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from queue import Empty
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from anyio.lowlevel import current_token

Job: TypeAlias = Callable[[], None]


def _unpatched(module: str, name: str) -> Any:
    gevent: Any = sys.modules.get("gevent.monkey")
    found = getattr(import_module(module), name)
    return gevent.get_original(module, name) if gevent else found


_SimpleQueue: Any = _unpatched("queue", "SimpleQueue")
_allocate_lock: Any = _unpatched("_thread", "allocate_lock")
_start_new_thread: Any = _unpatched("_thread", "start_new_thread")


class ClientGone(ConnectionAbortedError):
    """Raised in an app that reads from, or writes to, a client that has gone."""


class ThreadPool:
    """Up to `limit` threads, started when they are needed; `name` is for debuggers.

    Attributes:
        pending: how many jobs were submitted and have not ended.
    """

    def __init__(self, limit: int, name: str) -> None:
        self.limit = limit
        self.name = name
        self.pending: int = 0
        self._jobs: Any = _SimpleQueue()
        self._lock = _allocate_lock()
        self._threads = 0

    def submit(self, job: Job) -> None:
        """Run `job` in a thread as soon as one is free. It must not raise."""
        with self._lock:
            self.pending += 1
            if self._threads < min(self.pending, self.limit):
                self._threads += 1
                self._start()
            self._jobs.put(job)

    def withdraw(self, job: Job) -> None:
        """Take back a job that no thread has begun, and free its place."""
        jobs = []
        with self._lock:
            with suppress(Empty):
                while True:
                    jobs.append(self._jobs.get_nowait())
            for other in jobs:
                if other is job:
                    self.pending -= 1
                else:
                    self._jobs.put(other)

    def close(self) -> None:
        """End the threads once they have run the jobs that were submitted. Later jobs get new
        threads and do not wait for these."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)
            self._threads = 0
            self._jobs = _SimpleQueue()

    def _start(self) -> None:
        if _thread.start_new_thread is _start_new_thread:
            options: Any = {"args": (self._jobs,), "name": self.name, "daemon": True}
            threading.Thread(target=self._work, **options).start()
        else:  # patched
            _start_new_thread(self._work, (self._jobs,))

    def _work(self, jobs: Any) -> None:
        while (job := jobs.get()) is not None:
            job()
            del job  # an idle thread must not keep the last request alive
            with self._lock:
                self.pending -= 1


class Meeting:
    """Where one thread and the tasks of an event loop wait for each other.

    The thread waits in `hold` for `notify`, and each task in `wait` for `wake` with its name.

    Attributes:
        lock: guards what both sides touch. Not reentrant.
        is_abandoned: the client has gone, or the request was cancelled.
    """

    def __init__(self) -> None:
        self.lock: Any = _allocate_lock()
        self.is_abandoned: bool = False
        self._bell: Any = None  # a lock that the waiting thread cannot get before it is released
        self._waiting: dict[str, Callable[[], None]] = {}

    def hold(self, is_ready: Callable[[], object]) -> None:
        """Have the thread, which holds the lock, wait for the loop.

        Raises:
            ClientGone: the meeting was abandoned.
        """
        while not (self.is_abandoned or is_ready()):
            self._bell = bell = _allocate_lock()
            bell.acquire()
            self.lock.release()
            try:
                bell.acquire()
            finally:
                self.lock.acquire()
        if self.is_abandoned:
            raise ClientGone("The client has gone.")

    def notify(self) -> None:
        """Have the thread look again. The caller holds the lock."""
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.release()

    async def wait(self, task: str, is_ready: Callable[[], object]) -> None:
        """Have a task of the loop wait for the thread."""
        if not is_ready():
            await anyio.lowlevel.checkpoint()
        while True:
            with self.lock:
                if is_ready():
                    return
                event = anyio.Event()
                self._waiting[task] = partial(loop_caller(), event.set)
            await event.wait()

    def wake(self, task: str) -> None:
        """Have a task of the loop look again. The caller holds the lock."""
        self._waiting.pop(task, lambda: None)()

    def abandon(self) -> None:
        """Have the thread stop at its next step."""
        with self.lock:
            self.is_abandoned = True
            self.wake("sender")
            self.notify()


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
