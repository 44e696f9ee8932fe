"""`Process`: the ASGI app that runs a command, and passes requests on to it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic, time
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from mountkit.answers import answer_unavailable
from mountkit.exceptions import MountkitError, PatternError, spelled
from mountkit.logs import process as logger
from mountkit.processes.children import Child, ProcessError
from mountkit.processes.commands import Command, names_of
from mountkit.processes.runner import HEADER
from mountkit.proxy.proxies import Proxy
from mountkit.tasks import current_task

# Seconds for which a child has to be up until its next end is not one of a series.
_STEADY = 60.0
# Where nothing listens.
_NOWHERE = "unix:/nonexistent"
_PATH = re.compile(r"/[!-~]*")
_PLAIN = (str, int, float)


class ProxyOptions(TypedDict, total=False):
    """Those of `Proxy` that are of use here."""

    host: str
    strip_prefix: bool
    forwarded: Literal["x-forwarded", "forwarded"] | None
    head_timeout: float | None
    idle_timeout: float | None
    max_connections: int | None
    max_message_size: int
    mend_redirects: bool
    own_cookie_paths: bool


class Process:
    """An ASGI app that runs a command, and passes requests and websockets on to it: for apps whose
    requirements clash with the others', or that need another Python or are in another language.

        Mount("/old", Process(app="shop:app", python="/srv/old/venv", cwd="/srv/old"))
        Mount("/js", Process(["node", "server.js", "{socket}"], ready="/healthz"))

    The command starts with the app's lifespan, in its own session, on a new unix socket in a folder
    that no other user can enter. It is up when it answers; if it exits before that, or does not
    answer in time, the startup fails. If it exits later, with any status, it is restarted after a
    pause that doubles each time until it has been up for a minute. Meanwhile requests get 503 with
    `Retry-After`.

    It stops with the app's lifespan, and also if this process is gone, even if it was killed: the
    command and all that it has started get SIGTERM, and after `grace` SIGKILL. Processes that leave
    its process group are not reached. The logger `mountkit.process` logs each line that it prints,
    under the name of its mount.

    With `app=`, the app gets the same scope or environ as if it were mounted here, with
    `root_path`, client, server and scheme, but no state and no objects of this process. It is not
    recognised: set `Mount(convention=)` if it needs one.

    Runs on asyncio. Each worker of the site has its own child.

    Args:
        command: the program and its arguments. `"{fd}"` in them, or in `env`, becomes the number of
            a socket that it inherits and that listens already, `"{socket}"` the path of one to
            listen on.
        app: `"package.module:app"`, or a file, `"blog/main.py:app"`, to be served by uvicorn or
            hypercorn, or by gunicorn if it is a WSGI app; the server must be installed beside it.
        factory: the name is that of a function without parameters that makes the app.
        interface: `"asgi"` or `"wsgi"`, if it cannot be recognised.
        python: a virtual environment, or an interpreter. A command is looked for there first.
        cwd: the folder to run in; by default this one.
        env: variables that are set.
        inherit_env: the names of the variables to inherit; by default all but those for this
            process, such as `NOTIFY_SOCKET` and `WEB_CONCURRENCY`.
        ready: a path that must get a status below 400; by default any response will do.
        startup_timeout: seconds within which it must answer. `Lifespan(startup_timeout=)` limits it
            too.
        grace: seconds from SIGTERM to SIGKILL.
        restart_pause, max_restart_pause: seconds before a restart: at first, and at most.
        without_headers: names of headers not to pass on, such as `"cookie"`.
        name: for the log; by default that of the mount.
        options: as for `Proxy`: `host`, `strip_prefix`, `forwarded` (with `app=` `None` by
            default), `head_timeout`, `idle_timeout`, `max_connections`, `max_message_size`,
            `mend_redirects`, `own_cookie_paths`.

    Raises:
        PatternError: one of these cannot work.

    Attributes:
        pid: of the command, while it is up; else `None`.
        restarts: how often it was restarted.
        outage: while it is to be restarted: since when, in seconds since the epoch, and how it has
            ended. `Health` shows it too, as `"starting"`.
    """

    outage: tuple[float, str] | None = None

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        app: str | None = None,
        factory: bool = False,
        interface: Literal["auto", "asgi", "wsgi"] = "auto",
        python: str | os.PathLike[str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        inherit_env: Iterable[str] | None = None,
        ready: str | None = None,
        startup_timeout: float = 60.0,
        grace: float = 10.0,
        restart_pause: float = 1.0,
        max_restart_pause: float = 60.0,
        without_headers: Iterable[str] = (),
        name: str | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        self._command = Command.make(
            command, app, factory, interface, python, cwd, env, inherit_env
        )
        if ready is not None and not (isinstance(ready, str) and _PATH.fullmatch(ready)):
            raise PatternError(f"ready={ready!r} is not a path; write '/healthz'.")
        self._ready = ready
        seconds = {"startup_timeout": startup_timeout, "grace": grace}
        seconds |= {"restart_pause": restart_pause, "max_restart_pause": max_restart_pause}
        for option, value in seconds.items():
            _check_seconds(option, value)
        self._startup_timeout = startup_timeout
        self._grace = grace
        self._pauses = (restart_pause, max_restart_pause)
        self._name = name or app or os.path.basename(self._command.arguments[0])
        self._is_named = name is not None
        self._is_app = app is not None
        left_out = names_of("without_headers", without_headers)
        self._left_out = {HEADER, *(one.lower().encode() for one in left_out)}
        if self._is_app:
            options.setdefault("forwarded", None)
        self._proxy = Proxy(_NOWHERE, **options)
        self._children: list[Child] = []  # the one that was started last
        self._is_up = self._is_running = False
        self._retry_at = 0.0
        self.restarts: int = 0

    def named_after(self, name: str) -> None:
        """Take the name of a mount, unless it was given one."""
        if not self._is_named:
            self._name = name

    @property
    def pid(self) -> int | None:
        return self._children[-1].pid if self._is_up else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if current_task() is None:
            raise MountkitError("Process needs asyncio; run the server on asyncio, not on trio.")
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._is_up:
            headers = [one for one in scope["headers"] if one[0] not in self._left_out]
            if self._is_app:
                headers.append((HEADER, _said(scope)))
            await self._proxy({**scope, "headers": headers}, receive, send)
        else:
            await answer_unavailable(self._retry_at, scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if self._is_running:
            reason = "It runs already, for another server; make a Process for each."
            await send({"type": "lifespan.startup.failed", "message": reason})
            return
        self._is_running = True
        keeping: asyncio.Task[None] | None = None
        try:
            child = await self._started()
            keeping = asyncio.create_task(self._keep(child))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        except ProcessError as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        finally:
            self._is_up = self._is_running = False
            self.outage = None
            self._proxy.switch(_NOWHERE)
            if keeping is not None:
                keeping.cancel()
            for child in self._children:  # if this was cancelled, nothing is awaited any more
                child.abandon()
        for child in self._children:
            await child.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _started(self) -> Child:
        """A child that answers, to which requests are passed on.

        Raises:
            ProcessError: there is none.
        """
        child = Child(self._command, self._grace, self._log)
        self._children = [child]
        try:
            await child.ready(self._ready, self._startup_timeout)
        except ProcessError:
            await child.stop()
            raise
        self._proxy.switch(child.url)
        self._is_up, self.outage = True, None
        logger.info("%s: pid %d is up.", self._name, child.pid)
        return child

    async def _keep(self, child: Child | None) -> None:
        """Start it again whenever it has ended."""
        pause, how, since = self._pauses[0], "", 0.0
        while True:
            if child is not None:
                began = monotonic()
                await asyncio.wait([child.ended])
                how, since = f"It {child.ended.result()}.", time()
                self._is_up = False
                self._proxy.switch(_NOWHERE)
                if monotonic() - began >= _STEADY:
                    pause = self._pauses[0]
            self._retry_at, self.outage = monotonic() + pause, (since, how)
            logger.error("%s: %s It is started again in %s.", self._name, how, spelled(pause))
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._pauses[1])
            self.restarts += 1
            child = None
            try:
                child = await self._started()
            except ProcessError as exc:
                how = str(exc)

    def _log(self, line: str) -> None:
        logger.info("%s: %s", self._name, line)


def _said(scope: Scope) -> bytes:
    """What `runner` has to know of a request that it cannot see."""
    said: dict[str, Any] = {
        "root_path": scope.get("root_path", ""),
        "scheme": scope.get("scheme", "http"),
        "client": scope.get("client"),
        "server": scope.get("server"),
        "http_version": scope.get("http_version", "1.1"),
    }
    if scope["path"] != _decoded(scope.get("raw_path")):
        said["path"] = scope["path"]
    if params := scope.get("path_params"):
        said["path_params"] = {k: v if isinstance(v, _PLAIN) else str(v) for k, v in params.items()}
    return json.dumps(said).encode("ascii")


def _decoded(raw_path: bytes | None) -> str:
    """The path that a server makes of it."""
    return unquote((raw_path or b"").partition(b"?")[0].decode("ascii", "replace"))


def _check_seconds(option: str, value: object) -> None:
    least = 0.0 if option == "grace" else 0.001
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value < math.inf:  # type: ignore[operator]
        raise PatternError(f"{option}={value!r} is not a number of seconds; write e.g. 10.")
