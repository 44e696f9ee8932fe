"""The parent: it reads the file, holds the sockets, owns the signals, and has the workers serve."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any

from mountkit.config.problems import ConfigError
from mountkit.exceptions import MountkitError, measured, shown
from mountkit.logs import serve as logger
from mountkit.server import logs, sockets
from mountkit.server.banners import lines_of
from mountkit.server.failures import ServeError
from mountkit.server.fleets import Fleet
from mountkit.server.notices import has_terminal, notify
from mountkit.server.pages import Page
from mountkit.server.plans import Options, Plan, certificate_of
from mountkit.server.servers import check_server
from mountkit.server.sockets import Listener
from mountkit.server.sources import FleetSource
from mountkit.server.watching import Watch, check_watching

#: By default they would end a parent that has just been started.
_WHEN_READY = (signal.SIGHUP, signal.SIGUSR2)
_FORCED = 128 + signal.SIGINT


class Parent:
    """One run of `mountkit serve`.

    Args:
        plan: what is served first.

    Raises:
        ServeError: there is no socket to listen on, or the server is not installed.
    """

    def __init__(self, options: Options, plan: Plan) -> None:
        self._options = options
        self._plan = plan
        self._read = plan  # the last one, be it served or not
        self._page: Page | None = None
        self._page_listeners: Sequence[Listener] = ()
        self._listeners: Sequence[Listener] = sockets.inherited()
        self._is_given = bool(self._listeners)  # by systemd
        self._listeners = self._listeners or plan.listeners()
        try:
            self._page_listeners = plan.page_listeners()
            check_server(plan.config.server, len(self._listeners))
        except ServeError:
            self.close()
            raise
        fds = _fds(self._listeners)
        self._fleet = Fleet(plan.job, plan.config.server, fds, self._answer, self._on_gone)
        self._source = FleetSource(self._fleet)
        self._watch = Watch(self._look, self.wish)
        self._watch.seen = plan.content
        self._wished = asyncio.Event()
        self._wants_code = False
        self._stopped = asyncio.Event()
        self._forced = asyncio.Event()
        self._has_terminal = has_terminal()

    async def run(self) -> int:
        """Serve until a signal says stop; the exit status.

        Raises:
            ServeError: a worker does not start.
        """
        self._take_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WHEN_READY)
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        grace = self._plan.config.server.grace if self._stopped.is_set() else 0
        stopping.cancel()
        serving.cancel()
        status = await self._end(grace)
        if serving.done() and not serving.cancelled():
            serving.result()
        return status

    def close(self) -> None:
        """Remove what was made."""
        sockets.close([*self._listeners, *self._page_listeners])

    def _take_signals(self) -> None:
        add = asyncio.get_running_loop().add_signal_handler
        add(signal.SIGTERM, self._stop, "SIGTERM")
        add(signal.SIGINT, self._interrupt)
        add(signal.SIGHUP, self._hang_up)
        add(signal.SIGUSR2, self.wish, True)

    def _stop(self, reason: str) -> None:
        if not self._stopped.is_set():
            grace = self._plan.config.server.grace
            logger.info("Stopping (%s); requests in flight have %g seconds.", reason, grace)
            self._stopped.set()

    def _interrupt(self) -> None:
        if self._stopped.is_set():
            self._forced.set()
        self._stop("Ctrl-C; once more ends it at once")

    def _hang_up(self) -> None:
        if self._has_terminal and not has_terminal():
            self._stop("its terminal is gone")
        else:
            self.wish()

    def wish(self, is_code: bool = False) -> None:
        """Read the file again; those that come during a change are one more change.

        Args:
            is_code: restart the workers in any case.
        """
        self._wants_code = self._wants_code or is_code
        if is_code:
            self._fleet.is_wanted.set()
        self._wished.set()

    async def _serve(self) -> None:
        await self._fleet.start()
        self._announce()
        self._open_page()
        self._follow()
        notify("READY=1")
        while True:
            await self._wished.wait()
            self._wished.clear()
            is_code, self._wants_code = self._wants_code, False
            self._fleet.is_wanted.clear()
            notify("RELOADING=1")
            await self._reload(is_code)
            notify("READY=1")

    def _announce(self) -> None:
        tls = self._plan.config.server.tls
        urls = [one.url("https" if tls else "http") for one in self._listeners]
        is_file = self._options.file is not None
        for line in lines_of(self._plan.config, urls, can_reload=is_file):
            logger.info("%s", line)

    async def _reload(self, is_code: bool) -> None:
        """Read the file again, and serve what it says, or go on as before."""
        started = time.monotonic()
        try:
            plan = await asyncio.to_thread(Plan.of, self._options, self._fleet.job.generation + 1)
            self._read = plan
            self._watch.seen = plan.content
            if plan.content == self._plan.content and not is_code:
                what = "Nothing has changed"
            else:
                what = await self._apply(plan, is_code)
        except Exception as exc:  # whatever it is, the site must not end by it
            if isinstance(exc, ConfigError):
                self._watch.seen = await asyncio.to_thread(self._look)
            is_known = isinstance(exc, MountkitError)
            text = "Not changed; the site runs as before.\n%s"
            logger.error(text, exc, exc_info=None if is_known else exc)
            self._source.note(str(exc) if is_known else shown(exc))
        else:
            logger.info("%s (%s).", what, measured(time.monotonic() - started))
            self._source.note(None)
            self._follow()

    async def _apply(self, plan: Plan, is_code: bool) -> str:
        """Serve another site; what has changed, in words.

        Raises:
            ServeError: it cannot be served. Nothing has changed.
        """
        generation = f"Generation {plan.job.generation} is served"
        reasons = [*plan.reasons_for_new_workers(self._plan), *["code"] * is_code]
        if reasons:
            await self._roll(plan)
            return f"{generation} by new workers ({', '.join(reasons)})"
        changed = await self._fleet.change(plan.job, plan.config.server)
        self._plan = plan
        parts = [f"{what} {', '.join(names)}" for what, names in changed.items() if names]
        return f"{generation}: {'; '.join(parts) or 'the mounts are the same'}"

    async def _roll(self, plan: Plan) -> None:
        """New workers, and new sockets if others were written."""
        old, opened = self._plan, list[Listener]()
        listeners, pages = self._listeners, self._page_listeners
        try:
            if old.where != plan.where and not self._is_given:
                listeners = plan.listeners(self._listeners)
                opened += listeners
            if old.page != plan.page:
                pages = plan.page_listeners()
                opened += pages
            check_server(plan.config.server, len(listeners))
            await self._fleet.roll(plan.job, plan.config.server, _fds(listeners))
        except BaseException:
            sockets.close(opened)
            raise
        if listeners is not self._listeners:
            sockets.close(self._listeners)
        self._plan, self._listeners = plan, listeners
        log = plan.config.server.log
        logs.set_up(log.level, log.format, False, "parent")
        if pages is not self._page_listeners:
            await self._close_page()
            self._page_listeners = pages
            self._open_page()
        elif self._page is not None:
            self._page.configure(plan.config)

    def _open_page(self) -> None:
        if self._page_listeners:
            self._page = Page(self._plan.config, self._source, self._page_listeners)
            for one in self._page_listeners:
                logger.info("Status page on %s.", one.url())

    async def _close_page(self) -> None:
        if self._page is not None:
            await self._page.stop()
            self._page = None

    def _follow(self) -> None:
        """Watch the folders of what is served now."""
        config = self._plan.config
        if self._options.reloads:
            modules = dict[str, int]()
            for one in self._fleet.processes:
                modules |= one.modules
            self._watch.follow(config.folders, modules)
        else:
            self._watch.follow(config.folders if config.server.watch else ())

    def _look(self) -> object:
        """What the files say now, to be compared; `None` if the main one is gone."""
        try:
            return self._options.read(), certificate_of(self._read.config)
        except ConfigError as exc:
            file = self._options.file
            return str(exc) if file is not None and file.exists() else None

    async def _answer(self, kind: str, values: dict[str, Any]) -> Any:
        """What a worker asks, for a page on a path of the site."""
        if kind == "explain":
            return await self._source.explain(**values)
        return (await self._source.snapshot()).as_dict()

    def _on_gone(self, snapshot: Any) -> None:
        self._source.part(snapshot)

    async def _end(self, grace: float) -> int:
        """Stop all; the exit status."""
        notify("STOPPING=1")
        self._watch.stop()
        sockets.close(self._listeners)
        ending = asyncio.create_task(self._fleet.end(grace))
        forcing = asyncio.create_task(self._forced.wait())
        await asyncio.wait([ending, forcing], return_when=asyncio.FIRST_COMPLETED)
        forcing.cancel()
        if not ending.done():
            self._fleet.kill()
        await self._close_page()
        await ending
        return _FORCED if self._forced.is_set() else 0


def _fds(listeners: Sequence[Listener]) -> list[int]:
    return [one.socket.fileno() for one in listeners]


def serve(options: Options) -> int:
    """Serve a site until it is stopped; the exit status.

    Raises:
        ConfigError: the file is refused.
        ServeError: it cannot be served; it has the exit status.
    """

    async def run(plan: Plan) -> int:
        parent = Parent(options, plan)
        try:
            return await parent.run()
        finally:
            parent.close()

    signal.pthread_sigmask(signal.SIG_BLOCK, _WHEN_READY)
    logs.keep_standard_streams()
    plan = Plan.of(options)
    if options.reloads or plan.config.server.watch:
        check_watching()
    log = plan.config.server.log
    logs.set_up(log.level, log.format, False, "parent")
    return asyncio.run(run(plan))


def check(options: Options) -> str:
    """Validate only; what is right, in words.

    Raises:
        ConfigError: the file is refused.
    """
    config = Plan.of(options).config
    count = len(config.mounts)
    return f"{config.files[0]}: {count} mount{'s' * (count != 1)}, nothing wrong."
