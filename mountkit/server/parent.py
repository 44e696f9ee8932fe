"""The parent: it reads the file, holds the sockets, owns the signals, and has the workers serve."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mountkit.config.building import check_rules, restart_reasons
from mountkit.config.models import SiteConfig
from mountkit.config.problems import ConfigError
from mountkit.config.sources import Source
from mountkit.exceptions import MountkitError, measured
from mountkit.logs import serve as logger
from mountkit.server import logs, sockets, watching
from mountkit.server.banners import lines_of
from mountkit.server.failures import ServeError
from mountkit.server.fleets import Fleet
from mountkit.server.jobs import Job
from mountkit.server.notices import has_terminal, notify
from mountkit.server.pages import Page
from mountkit.server.servers import check_server
from mountkit.server.sockets import Listener
from mountkit.server.sources import FleetSource

#: Of `[server]`: a change of these needs no new workers.
_LIVE = ("workers", "watch", "grace", "drain_timeout")
_ADDRESS = ("host", "port", "unix_socket")
_FORCED = 128 + signal.SIGINT


@dataclass(frozen=True)
class Options:
    """What the command says.

    Attributes:
        read: the texts; called again for each change.
        overrides: keys of `[server]`.
        status: `[status] listen`.
        reloads: whether to restart the workers when code has changed.
    """

    read: Callable[[], Source]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    status: str | None = None
    reloads: bool = False


@dataclass(frozen=True)
class Plan:
    """A site that could be served: its texts, what they say, and what its certificate is."""

    job: Job
    config: SiteConfig
    certificate: str

    @classmethod
    def of(cls, options: Options, generation: int) -> Plan:
        """Read and validate.

        Raises:
            ConfigError: with all problems.
        """
        source = options.read()
        job = Job(source, generation, dict(options.overrides), options.status, options.reloads)
        config = job.config()
        check_rules(config)
        return cls(job, config, certificate_of(config))


def certificate_of(config: SiteConfig) -> str:
    """Compared to see whether it was renewed."""
    tls = config.server.tls
    return watching.digest([tls.cert, tls.key]) if tls else ""


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
        self._is_given = True  # the sockets are systemd's
        self._listeners: Sequence[Listener] = sockets.inherited()
        if not self._listeners:
            self._is_given = False
            self._listeners = _listeners(plan.config)
        self._page_listeners = _page_listeners(plan.config)
        self._page: Page | None = None
        self._wished = asyncio.Event()
        self._wants_code = False
        self._seen: object = plan.job.source, plan.certificate
        self._stopped = asyncio.Event()
        self._forced = asyncio.Event()
        self._has_terminal = has_terminal()
        self._watching: asyncio.Task[None] | None = None
        self._watched: Sequence[Path] = ()
        self._stamps: dict[str, int] = {}

    async def run(self) -> int:
        """Serve until a signal says stop; the exit status.

        Raises:
            ServeError: a worker does not start.
        """
        config = self._plan.config
        check_server(config.server, len(self._listeners))
        fds = _fds(self._listeners)
        self._fleet = Fleet(self._plan.job, config.server, fds, self._answer, self._on_gone)
        self._source = FleetSource(self._fleet)
        self._take_signals()
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
        self._wished.set()

    async def _serve(self) -> None:
        await self._fleet.start()
        self._announce()
        self._open_page()
        self._watch()
        notify("READY=1")
        while True:
            await self._wished.wait()
            self._wished.clear()
            is_code, self._wants_code = self._wants_code, False
            notify("RELOADING=1")
            await self._reload(is_code)
            notify("READY=1")

    def _announce(self) -> None:
        tls = self._plan.config.server.tls
        urls = [one.url("https" if tls else "http") for one in self._listeners]
        for line in lines_of(self._plan.config, urls, can_reload=self._can_reload):
            logger.info("%s", line)

    @property
    def _can_reload(self) -> bool:
        return self._plan.config.files[0].exists()

    async def _reload(self, is_code: bool) -> None:
        started = time.monotonic()
        try:
            plan = await asyncio.to_thread(Plan.of, self._options, self._fleet.job.generation + 1)
            self._seen = plan.job.source, plan.certificate
            is_same = self._seen == (self._fleet.job.source, self._plan.certificate)
            what = "Nothing has changed" if is_same and not is_code else ""
            what = what or await self._apply(plan, is_code)
        except MountkitError as exc:
            if isinstance(exc, ConfigError):
                self._seen = await asyncio.to_thread(self._look)
            logger.error("Not changed; what was served is served on.\n%s", exc)
            self._source.note(str(exc))
        else:
            logger.info("%s (%s).", what, measured(time.monotonic() - started))
            self._source.note(None)
            self._watch()

    async def _apply(self, plan: Plan, is_code: bool) -> str:
        """Serve another site; what has changed, in words.

        Raises:
            ServeError: it cannot be served. Nothing has changed.
        """
        old = self._plan
        live = {name: getattr(plan.config.server, name) for name in _LIVE}
        before = old.config.server.model_copy(update=live)
        reasons = [*restart_reasons(_with(old.config, before), plan.config)]
        reasons += ["the certificate"] * (old.certificate != plan.certificate and not reasons)
        reasons += ["code"] * is_code
        if not reasons:
            changed = await self._fleet.change(plan.job, plan.config.server)
            self._plan = plan
            parts = [f"{what} {', '.join(names)}" for what, names in changed.items() if names]
            return f"Generation {plan.job.generation} is served: {'; '.join(parts) or 'the mounts are the same'}"
        await self._roll(plan)
        generation = plan.job.generation
        return f"Generation {generation} is served by new workers ({', '.join(reasons)})"

    async def _roll(self, plan: Plan) -> None:
        """New workers, and new sockets if others were written."""
        old, opened = self._plan.config, list[Listener]()
        listeners, pages = self._listeners, self._page_listeners
        try:
            if _address(old) != _address(plan.config) and not self._is_given:
                listeners = _listeners(plan.config)
                opened += listeners
            if _listen(old) != _listen(plan.config):
                pages = _page_listeners(plan.config)
                opened += pages
            check_server(plan.config.server, len(listeners))
            await self._fleet.roll(plan.job, plan.config.server, _fds(listeners))
        except BaseException:
            sockets.close(opened)
            raise
        if listeners is not self._listeners:
            sockets.close(self._listeners)
        self._plan, self._listeners = plan, listeners
        if old.status != plan.config.status or old.metrics != plan.config.metrics:
            await self._close_page()
            self._page_listeners = pages or _page_listeners(plan.config)
            self._open_page()
        log = plan.config.server.log
        logs.set_up(log.level, log.format, log.access, "parent")

    def _open_page(self) -> None:
        if self._page_listeners:
            self._page = Page(self._plan.config, self._source, self._page_listeners)
            for one in self._page_listeners:
                logger.info("Status page on %s.", one.url())

    async def _close_page(self) -> None:
        if self._page is not None:
            await self._page.stop()
            self._page = None

    def _watch(self) -> None:
        """Watch the folders of what is served now."""
        config = self._plan.config
        folders: list[Path] = []
        if self._options.reloads:
            for one in self._fleet.processes:
                self._stamps |= one.modules
            folders = [*watching.folders_of(self._stamps), *config.folders]
        elif config.server.watch:
            folders = [*config.folders]
        if folders == self._watched:
            return
        self._watched = folders
        if self._watching is not None:
            self._watching.cancel()
        self._watching = asyncio.create_task(self._follow(folders)) if folders else None

    async def _follow(self, folders: Sequence[Path]) -> None:
        async for paths in watching.batches(folders, are_deep=self._options.reloads):
            is_code = self._options.reloads and await asyncio.to_thread(self._is_new, paths)
            seen = await asyncio.to_thread(self._look)
            if is_code or seen not in (None, self._seen):
                logger.info("%s has changed.", "Code" if is_code else "The file")
                self.wish(is_code)

    def _is_new(self, paths: set[str]) -> bool:
        """Whether code has changed: of modules that are imported, also if nothing was reported."""
        before, self._stamps = self._stamps, watching.stamps(self._stamps)
        return before != self._stamps or any(path.endswith(".py") for path in paths)

    def _look(self) -> object:
        """What the file says now, to be compared; `None` if it is gone."""
        try:
            return self._options.read(), certificate_of(self._plan.config)
        except ConfigError as exc:
            return str(exc) if self._plan.config.files[0].exists() else None

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
        if self._watching is not None:
            self._watching.cancel()
        sockets.close(self._listeners)
        ending = asyncio.create_task(self._fleet.end(grace))
        forcing = asyncio.create_task(self._forced.wait())
        await asyncio.wait([ending, forcing], return_when=asyncio.FIRST_COMPLETED)
        forcing.cancel()
        if not ending.done():
            self._fleet.kill()
        with suppress(Exception):
            await self._close_page()
        await ending
        return _FORCED if self._forced.is_set() else 0


def _with(config: SiteConfig, server: Any) -> SiteConfig:
    return replace(config, server=server)


def _address(config: SiteConfig) -> list[Any]:
    return [getattr(config.server, name) for name in _ADDRESS]


def _listen(config: SiteConfig) -> str | None:
    return None if config.status is None else config.status.listen


def _fds(listeners: Sequence[Listener]) -> list[int]:
    return [one.socket.fileno() for one in listeners]


def _listeners(config: SiteConfig) -> list[Listener]:
    server = config.server
    if server.unix_socket:
        return [sockets.listen_at(server.unix_socket)]
    return sockets.listen_on(server.host, server.port)


def _page_listeners(config: SiteConfig) -> list[Listener]:
    where = _listen(config)
    return sockets.listen_for_page(where) if where else []


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

    plan = Plan.of(options, 1)
    if options.reloads or plan.config.server.watch:
        watching.check_watching()
    log = plan.config.server.log
    logs.set_up(log.level, log.format, log.access, "parent")
    return asyncio.run(run(plan))


def check(options: Options) -> str:
    """Validate only; what is right, in words.

    Raises:
        ConfigError: the file is refused.
    """
    config = Plan.of(options, 1).config
    count = len(config.mounts)
    return f"{config.files[0]}: {count} mount{'s' * (count != 1)}, nothing wrong."


__all__ = ["Options", "ServeError", "check", "serve"]
