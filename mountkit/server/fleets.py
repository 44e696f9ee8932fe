"""The workers of a site, as many as there should be, and all of one generation."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mountkit.exceptions import spelled
from mountkit.logs import serve as logger
from mountkit.server import deadlines
from mountkit.server.channels import Handler
from mountkit.server.failures import WorkerError
from mountkit.server.jobs import Job
from mountkit.server.processes import Process, how
from mountkit.status.snapshots import Snapshot

if TYPE_CHECKING:
    from mountkit.config.models import ServerConfig

T = TypeVar("T")

#: A worker that lives shorter than this is started again after a pause, which grows.
_STEADY = 10.0
_LONGEST_PAUSE = 30.0
#: Seconds for which a change goes on in any case.
_PATIENCE = 5.0
#: Seconds that a worker has to do what it has prepared.
_COMMITTED_WITHIN = 10.0
_LONG = "The workers are not ready after {}. Give up, and try with new ones: kill -USR2 {}."


class Fleet:
    """All workers.

    Args:
        job: what they serve.
        server: of the file; how many workers, and their limits of time.
        fds: of the sockets that they accept from.
        answer: what they may ask the parent.
        on_gone: called with the last snapshot of each.

    Attributes:
        job: what is committed: every worker serves it, or is about to.
        is_wanted: set when new code is asked for; a change that takes long is given up then.
    """

    def __init__(
        self,
        job: Job,
        server: ServerConfig,
        fds: Sequence[int],
        answer: Handler,
        on_gone: Callable[[Snapshot], None],
    ) -> None:
        self.job: Job = job
        self.is_wanted: asyncio.Event = asyncio.Event()
        self._server = server
        self._fds = fds
        self._answer = answer
        self._on_gone = on_gone
        self._workers: dict[int, Process] = {}
        self._alive: set[Process] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()
        self._spawning = asyncio.Lock()

    @property
    def processes(self) -> list[Process]:
        """Those that serve, in the order of their numbers; then those that come or leave."""
        current = [self._workers[number] for number in sorted(self._workers)]
        others = [one for one in self._alive if one.pid and one not in current]
        return [*current, *sorted(others, key=lambda one: one.pid)]

    async def start(self) -> None:
        """Start all of them.

        Raises:
            WorkerError: one does not start; those that did are stopped.
        """
        self._put(await self._started(self.job, self._fds, _numbers(1, self._server.workers)))

    async def change(self, job: Job, server: ServerConfig) -> dict[str, list[str]]:
        """Have all workers serve another text, at the same moment, or none of them. There may be
        more or fewer of them then.

        Returns:
            The names of mounts that were `added`, `removed` and `replaced`.

        Raises:
            WorkerError: one of them cannot. Nothing has changed.
        """
        able = [one for one in self._workers.values() if one.state == "serving"]
        text = job.to_json()
        numbers = _numbers(len(self._workers) + 1, server.workers)
        try:
            preparing = _all(one.ask("prepare", job=text) for one in able)
            found = [_unless_error(one) for one in await self._unless_wanted(preparing)]
            new = await self._unless_wanted(self._started(job, self._fds, numbers))
        except BaseException:
            for one in able:
                one.tell("abort")
            raise
        self.job, self._server = job, server
        committing = (one.ask("commit", _COMMITTED_WITHIN) for one in able)
        for worker, answer in zip(able, await _all(committing), strict=True):
            if isinstance(answer, WorkerError):
                logger.error("%s has not changed: %s", worker, answer)
            else:
                worker.job = job
        self._put(new)
        self._remove_beyond(server.workers)
        self._hurry.set()  # what did not start may do so now
        for number, worker in self._workers.items():
            # Those that could not, and those that came up meanwhile, with the text of before.
            if worker.state == "serving" and worker.job is not job:
                self._keepers.append(asyncio.create_task(self._refill(number, worker, 0)))
        return found[0] if found else {}

    async def roll(self, job: Job, server: ServerConfig, fds: Sequence[int]) -> None:
        """Put new workers in the place of all, once all of them are up.

        Raises:
            WorkerError: one of the new ones does not start. The old ones serve on.
        """
        starting = self._started(job, fds, _numbers(1, server.workers))
        new = await self._unless_wanted(starting)
        self.job, self._server, self._fds = job, server, fds
        self._put(new)
        self._remove_beyond(server.workers)

    async def _unless_wanted(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives. If it takes long, it goes on until new code is asked for.

        Raises:
            WorkerError: it was given up.
        """
        working = asyncio.create_task(work)
        waiting = asyncio.create_task(self.is_wanted.wait())
        try:
            await asyncio.wait([working], timeout=_PATIENCE)
            if not working.done() and not waiting.done():
                logger.warning("%s", _LONG.format(spelled(_PATIENCE), os.getpid()))
            await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise WorkerError("It took too long, and was given up for new workers.")
            return working.result()
        finally:
            working.cancel()
            waiting.cancel()

    async def end(self, grace: float) -> None:
        """Stop all of them, at the latest `grace` and two seconds from now."""
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*(one.end(grace) for one in self._alive))

    def kill(self) -> None:
        """End all of them at once."""
        for one in self._alive:
            one.kill()

    async def _started(
        self, job: Job, fds: Sequence[int], numbers: Sequence[int]
    ) -> dict[int, Process]:
        """Workers that are up: all of them, or none. One goes ahead, as what is wrong with it is
        most often wrong with all."""
        new: dict[int, Process] = {}
        try:
            for some in (numbers[:1], numbers[1:]):
                new |= {number: self._spawn(job, fds, number) for number in some}
                for number in some:
                    await new[number].ready()
        except BaseException:
            for one in new.values():
                self._in_background(one.stop(0, deadlines.SPARE))
            raise
        return new

    def _spawn(self, job: Job, fds: Sequence[int], number: int) -> Process:
        process = Process(job, number, fds, self._answer, self._on_gone, self._spawning)
        self._alive.add(process)
        process.ended.add_done_callback(lambda _: self._alive.discard(process))
        return process

    def _put(self, new: dict[int, Process]) -> None:
        """Have workers serve in the place of those with their numbers."""
        for number, process in new.items():
            old = self._workers.get(number)
            self._workers[number] = process
            logger.info("%s is ready.", process)
            if old is not None:
                self._retire(old)
            else:
                self._keepers.append(asyncio.create_task(self._keep(number)))

    def _remove_beyond(self, count: int) -> None:
        for number in [number for number in self._workers if number > count]:
            self._retire(self._workers.pop(number))

    def _retire(self, process: Process) -> None:
        """Have a worker finish its requests, and stop its apps within their own limits."""
        seconds = self._server.drain_timeout
        deadline = seconds + self._server.shutdown_timeout + deadlines.SPARE
        if process.state != "gone":
            self._in_background(process.stop(seconds, deadline))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it ends."""
        failures = 0
        while process := self._workers.get(number):
            status = await asyncio.shield(process.ended)
            if self._workers.get(number) is not process:
                failures = 0
                continue  # another was put in its place, or none
            failures = 0 if time.time() - process.since >= _STEADY else failures + 1
            await self._pause(f"{process} has ended {how(status)}", failures)
            await self._refill(number, process, failures)

    async def _refill(self, number: int, old: Process, failures: int) -> None:
        """Start a worker until one is up that serves what is committed."""
        while self._workers.get(number) is old:
            try:
                job = self.job
                new = await self._started(job, self._fds, [number])
            except WorkerError as exc:
                failures += 1
                await self._pause(str(exc), failures)
                continue
            if job is self.job and self._workers.get(number) is old:
                self._put(new)
            else:  # the site has changed meanwhile
                self._retire(new[number])

    async def _pause(self, what: str, failures: int) -> None:
        """Pauses of 0, 1, 2, 4, … seconds; a change of the site ends them."""
        seconds = min(2.0 ** (failures - 2), _LONGEST_PAUSE) if failures > 1 else 0
        when = f"in {spelled(seconds)}" if seconds else "now"
        logger.error("%s; another is started %s.", what, when)
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass


def _numbers(first: int, last: int) -> Sequence[int]:
    return range(first, last + 1)


def _unless_error(answer: T | WorkerError) -> T:
    if isinstance(answer, WorkerError):
        raise answer
    return answer


async def _all(questions: Iterable[Awaitable[T]]) -> list[T | WorkerError]:
    """What each answers, or why it does not."""

    async def one(question: Awaitable[T]) -> T | WorkerError:
        try:
            return await question
        except WorkerError as exc:
            return exc

    return await asyncio.gather(*map(one, questions))
