"""A worker: `python -m mountkit.server.worker FD PORTS…`, started by the parent.

It reads its job from the socket pair FD, builds the site before any event loop runs, and serves it
on the sockets that it has inherited.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from starlette.middleware import Middleware

from mountkit.config.building import Site, SiteChange
from mountkit.config.failures import UserError, text_of
from mountkit.config.finding import imported
from mountkit.config.problems import ConfigError
from mountkit.exceptions import MountkitError
from mountkit.logs import serve as logger
from mountkit.matching.callers import written_at
from mountkit.middleware.forwarded import ForwardedMiddleware
from mountkit.server import deadlines, logs, watching
from mountkit.server.channels import Channel, Streams
from mountkit.server.failures import FAILED, WorkerError
from mountkit.server.jobs import Job
from mountkit.server.servers import SERVERS, Duty, loop_factory
from mountkit.server.sources import AskingSource
from mountkit.serving.mounts import Mount
from mountkit.status.sources import LocalSource
from mountkit.tasks import is_outside

#: The terminal sends the first to all processes, `kill -HUP` with a group the others.
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def main() -> int:
    """Serve until the parent says stop, or is gone."""
    for ignored in _IGNORED:
        signal.signal(
            ignored, lambda *_: None
        )  # not SIG_IGN, which programs that apps start inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    number, fd, *fds = map(int, sys.argv[1:])
    end = socket.socket(fileno=fd)
    text = _first(end)
    if not text:
        return FAILED  # the parent has gone
    job = Job.from_json(text)
    sockets = [socket.socket(fileno=one) for one in fds]
    for one in (end, *sockets):
        one.set_inheritable(False)  # programs that apps start must not hold them
    try:
        worker = Worker(job, number, sockets)
    except BaseException as exc:
        _send(end, "failed", {"error": _told(exc), "status": FAILED})
        return FAILED
    with asyncio.Runner(loop_factory=loop_factory(worker.site.config.server)) as runner:
        return runner.run(worker.run(end))


def _first(end: socket.socket) -> bytes:
    """What the parent says first: a number of bytes in a line, and these bytes."""
    with end.makefile("rb", buffering=0) as lines:
        size = int(lines.readline() or 0)
    text = b""
    # A signal may cut MSG_WAITALL short.
    while len(text) < size and (part := end.recv(size - len(text), socket.MSG_WAITALL)):
        text += part
    return text if len(text) == size else b""


def _send(end: socket.socket, kind: str, values: dict[str, Any]) -> None:
    with suppress(OSError):
        end.sendall(json.dumps({"ask": kind, "values": values}).encode() + b"\n")


def _told(exc: BaseException) -> str:
    """The one line for the parent; the traceback of an app is logged here."""
    if isinstance(exc, UserError):
        logger.error("%s", text_of(exc.error).rstrip())
    elif isinstance(exc, ConfigError):
        if exc.traceback:
            logger.error("%s", exc.traceback.rstrip())
    elif not isinstance(exc, MountkitError):
        logger.exception("The site cannot be built.")
        return f"{type(exc).__qualname__}: {exc}"
    return " ".join([str(exc), *getattr(exc, "__notes__", ())])


class Worker:
    """One process that serves.

    Args:
        number: of the worker, from 1.

    Raises:
        MountkitError: the site cannot be built.
    """

    def __init__(self, job: Job, number: int, sockets: Sequence[socket.socket]) -> None:
        config = job.config()
        log = config.server.log
        logs.set_up(log.level, log.format, log.access, f"worker {number}")
        self._grace = config.server.grace
        deadlines.tie(lambda: self._grace + deadlines.SPARE)
        self.site: Site = Site.build(config)
        self._job = job
        self._sockets = sockets
        self._source = LocalSource(self.site.dispatcher)
        self._channel = Channel(self._answer)
        self._pending: list[tuple[Job, SiteChange]] = []
        self._changing = asyncio.Lock()
        self._aborted = 0
        self._draining: set[asyncio.Task[None]] = set()

    async def run(self, end: socket.socket) -> int:
        """Serve; the exit status."""
        server = self.site.config.server
        app: Any = self.site.dispatcher
        if server.proxies:
            app = ForwardedMiddleware(app, trusted=server.proxies)
        self._duty = Duty(app, server, self._sockets, self._ready, _log_busy)
        self._loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, self._on_term)
        streams = await self._channel.open(end)
        listening = asyncio.create_task(self._listen(streams))
        try:
            await self._mount_page()
            await SERVERS[server.server](self._duty)
            self._channel.tell("gone", snapshot=(await self._source.snapshot()).as_dict())
            status = 0
        except Exception as exc:
            self._channel.tell("failed", error=_told(exc), status=FAILED)
            status = FAILED
        with suppress(ConnectionError):
            await self._channel.flush()
        listening.cancel()
        return status

    async def _mount_page(self) -> None:
        """The page on a path of the site, behind the guard of the user's."""
        config = self.site.config
        if config.status is None or config.status.path is None:
            return
        from mountkit.status.app import Status

        try:
            guard = imported(str(config.status.guard), config.files[0].parent)
        except MountkitError as exc:
            exc.add_note(f"That is the guard of [status] in {config.files[0]}.")
            raise
        page = Status(AskingSource(self._channel))
        layers = [Middleware(guard)]
        with written_at(f"{config.files[0]}, [status]"):
            mount = Mount(config.status.path, page, middleware=layers)
        await self.site.dispatcher.add(mount)

    def _ready(self) -> None:
        self._channel.tell("ready", modules=own_modules() if self._job.is_watched else {})

    async def _listen(self, streams: Streams) -> None:
        await self._channel.run(streams)
        logger.warning("The parent has gone; the worker ends too.")
        self._stop(self._grace, self._grace + deadlines.SPARE)

    def _on_term(self, *_: Any) -> None:
        # Here, not in the event loop, which may be blocked.
        deadlines.arm(self._grace + deadlines.SPARE)
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._duty.stop, self._grace)

    def _stop(self, seconds: float, deadline: float) -> None:
        deadlines.arm(deadline)
        self._duty.stop(seconds)

    async def _answer(self, kind: str, values: dict[str, Any]) -> Any:
        answers: dict[str, Callable[..., Awaitable[Any]]] = {
            "prepare": self._prepare,
            "commit": self._commit,
            "abort": self._abort,
            "snapshot": self._snapshot,
            "explain": self._source.explain,
        }
        if kind == "stop":
            return self._stop(**values)
        return await answers[kind](**values)

    async def _prepare(self, job: str) -> dict[str, Any]:
        """The first half of a change: build and start what is new."""
        aborted = self._aborted
        async with self._changing:
            new = await asyncio.to_thread(Job.from_json, job)
            try:
                with _spared():
                    change = await self.site.prepare(await asyncio.to_thread(new.config))
            except BaseException as exc:  # an app's own SystemExit would end the worker
                if is_outside(exc):
                    raise
                raise WorkerError(_told(exc)) from exc
            self._pending.append((new, change))
        if aborted != self._aborted:
            await self._undo()
        return {name: getattr(change, name) for name in ("added", "removed", "replaced")}

    async def _commit(self) -> None:
        """The second half; what has left is drained after the answer."""
        job, change = self._pending.pop()
        draining = asyncio.create_task(change.commit())
        changed = asyncio.create_task(change.changed.wait())
        await asyncio.wait([draining, changed], return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if not change.changed.is_set():
            await draining  # it raises
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)
        self._job = job
        self._grace = self.site.config.server.grace

    async def _abort(self) -> None:
        """The parent waits no longer, be it prepared or not."""
        self._aborted += 1
        await self._undo()

    async def _undo(self) -> None:
        async with self._changing:
            while self._pending:
                _, change = self._pending.pop()
                await change.abort()

    async def _snapshot(self) -> dict[str, Any]:
        return (await self._source.snapshot()).as_dict()


@contextmanager
def _spared() -> Iterator[None]:
    """Let the garbage collector pass over what is there. A change of many mounts makes so many
    objects that it looks at all of them several times, and meanwhile nothing else runs."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _log_busy() -> None:
    if stacks := "".join(deadlines.stacks(are_all=False)):
        logger.warning("Threads that are busy when their time is up:\n%s", stacks)


def own_modules() -> dict[str, int]:
    """The files of modules that are not installed, and when each was changed."""
    found = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    files = {file for file in found if isinstance(file, str) and os.path.isabs(file)}
    return watching.stamps(file for file in files if not watching.is_installed(file))


if __name__ == "__main__":
    sys.exit(main())
