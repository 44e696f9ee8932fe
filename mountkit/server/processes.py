"""A worker as the parent sees it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from mountkit.exceptions import spelled
from mountkit.logs import serve as logger
from mountkit.server.channels import Channel, ChannelClosed, ChannelRefused, Handler
from mountkit.server.deadlines import SPARE
from mountkit.server.failures import WorkerError
from mountkit.server.jobs import Job
from mountkit.status.snapshots import Snapshot, WorkerState, WorkerStatus

#: Seconds until a worker that does not end is killed, beyond those that it has itself.
_KILLED_AFTER = 0.4
_LAST_WORDS = 1.0
#: Seconds that a worker may run on after it has closed its channel.
_FAREWELL = 5.0
_HELD_BACK = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


class Process:
    """One worker.

    Args:
        job: what it serves; a change puts another in its place.
        fds: of the sockets that it accepts from.
        answer: what it may ask the parent.
        on_gone: called with the last snapshot, when it has ended.
        spawning: one process is started at a time, as signals are held back meanwhile.

    Attributes:
        state: see `WorkerStatus`.
        since: when it got ready, or was started, in seconds since the epoch.
        modules: the files that it has imported, if the job asks for them, and when each was
            changed, in nanoseconds.
        last: the last snapshot that it gave.
        is_silent: it has not answered lately.
        ended: its exit status, once it has one.
    """

    def __init__(
        self,
        job: Job,
        number: int,
        fds: Sequence[int],
        answer: Handler,
        on_gone: Callable[[Snapshot], None],
        spawning: asyncio.Lock,
    ) -> None:
        self.job = job
        self.number = number
        self.state: WorkerState = "starting"
        self.since: float = time.time()
        self.pid: int = 0
        self.modules: dict[str, int] = {}
        self.last: Snapshot | None = None
        self.is_silent: bool = False
        self._fds = fds
        self._answer = answer
        self._on_gone = on_gone
        self._spawning = spawning
        self._channel = Channel(self._hear)
        self._process: asyncio.subprocess.Process | None = None
        self._early: int | None = None
        self._is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Task[int] = asyncio.create_task(self._live())

    def __str__(self) -> str:
        return f"Worker {self.number} ({self.pid})" if self.pid else f"Worker {self.number}"

    async def ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            WorkerError: it does not start.
        """
        either: list[asyncio.Future[Any]] = [self._is_ready, self.ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._is_ready.done():
            raise WorkerError(f"{self} has ended {how(self.ended.result())} while it started.")
        self._is_ready.result()

    async def ask(self, kind: str, within: float | None = None, **values: Any) -> Any:
        """What it answers.

        Args:
            within: seconds that it has; `None`: it may take its time.

        Raises:
            WorkerError: it refuses, does not answer, or has ended.
        """
        try:
            async with asyncio.timeout(within):
                return await self._channel.ask(kind, **values)
        except TimeoutError as exc:
            raise WorkerError(f"{self} does not answer.") from exc
        except ChannelRefused as exc:
            raise WorkerError(str(exc)) from exc
        except ChannelClosed as exc:
            raise WorkerError(f"{self} has ended.") from exc

    def tell(self, kind: str) -> None:
        """Say something that needs no answer."""
        self._channel.tell(kind)

    @property
    def status(self) -> WorkerStatus:
        """For the page."""
        is_silent = self.is_silent and self.state == "serving"
        state: WorkerState = "silent" if is_silent else self.state
        return WorkerStatus(self.pid, self.job.generation, self.since, state)

    async def stop(self, seconds: float, deadline: float) -> None:
        """Have it accept no more, and wait for its end.

        Args:
            seconds: that requests in flight have.
            deadline: seconds until it is killed.
        """
        if self.state == "serving":
            self.state = "stopping"
            self._channel.tell("stop", seconds=seconds, deadline=deadline)
        elif not self._is_ready.done():  # it serves nobody, and may not listen yet
            self.signal(signal.SIGTERM)
        await self._outlive(deadline)

    async def end(self, grace: float) -> None:
        """The same when the site ends. A worker whose event loop is blocked hears it, too, as does
        one whose app has taken SIGTERM; one that has said that it failed ends by itself."""
        if self.state == "serving":
            self._channel.tell("stop", seconds=grace, deadline=grace + SPARE)
        self.state = "stopping"
        if not self._has_failed:
            self.signal(signal.SIGTERM)
        await self._outlive(grace + SPARE)

    async def _outlive(self, seconds: float) -> None:
        await asyncio.wait([self.ended], timeout=seconds + _KILLED_AFTER)
        if not self.ended.done():
            logger.error("%s does not end within %s; it is killed.", self, spelled(seconds))
            self.kill()
            await asyncio.wait([self.ended])

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs; one that is about to start gets it then."""
        self._early = number
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _live(self) -> int:
        ours, theirs = socket.socketpair()
        text = self.job.to_json().encode()
        with theirs:
            fds = [theirs.fileno(), *self._fds]
            command = [sys.executable, "-m", "mountkit.server.worker", str(self.number)]
            # It inherits what is blocked, until it has handlers of its own.
            async with self._spawning:
                before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
                try:
                    self._process = await asyncio.create_subprocess_exec(
                        *command, *map(str, fds), pass_fds=fds
                    )
                except OSError as exc:  # no memory, or too many processes
                    ours.close()
                    self._fail(WorkerError(f"{self} cannot be started: {exc.strerror}."))
                    return 1
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.pid = self._process.pid
        if self._early is not None:
            self.signal(self._early)
        first = f"{len(text)}\n".encode() + text
        streams = await self._channel.open(ours, first)
        listening = asyncio.create_task(self._channel.run(streams))
        status = await self._exit(self._process, listening)
        # What it said last; a process that it has forked may hold the other end.
        await asyncio.wait([listening], timeout=_LAST_WORDS)
        listening.cancel()
        self.state = "gone"
        if self.last is not None:  # it has ended without a word
            self._on_gone(self.last)
        return status

    async def _exit(
        self, process: asyncio.subprocess.Process, listening: asyncio.Task[None]
    ) -> int:
        """Wait for its end; it must come if it can no longer be talked to."""
        ending = asyncio.create_task(process.wait())
        await asyncio.wait([ending, listening], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([ending], timeout=_FAREWELL)
        if not ending.done() and self.state in ("starting", "serving"):
            logger.error("%s can no longer be talked to; it is killed.", self)
            self.kill()
        return await ending

    @property
    def _has_failed(self) -> bool:
        return self._is_ready.done() and self._is_ready.exception() is not None

    def _fail(self, error: WorkerError) -> None:
        self._is_ready.set_exception(error)
        self._is_ready.exception()  # it may be that nobody waits for it

    async def _hear(self, kind: str, values: dict[str, Any]) -> Any:
        if kind == "ready" and not self._is_ready.done():
            self.modules = values["modules"]
            self.since = time.time()
            self.state = "serving" if self.state == "starting" else self.state
            self._is_ready.set_result(None)
        elif kind == "failed" and not self._is_ready.done():
            self._fail(WorkerError(values["error"], values["status"]))
        elif kind == "gone":
            self.last = Snapshot.from_dict(values["snapshot"])
        else:
            return await self._answer(kind, values)
        return None


def how(status: int) -> str:
    """How a process has ended: `"with status 1"`, `"by SIGKILL"`."""
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}"
