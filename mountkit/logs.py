"""The loggers of mountkit, one for each concern below `mountkit`. Imports nothing of mountkit.

`lifespan`: apps that start, fail and stop. `dispatch`: requests that are refused, and apps whose
URLs lead out of their prefix. `errors`: exceptions, and apps without an answer. `access`: requests
that are turned away or broken off. The others are named after what writes to them.

A module takes its own: `from mountkit.logs import lifespan as logger`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

# The loggers of servers, which configure handlers for these alone.
_SERVERS = ("uvicorn.error", "hypercorn.error", "_granian", "gunicorn.error")


class _Borrowing(logging.Handler):
    """The handler of the logger `mountkit`: has the server write what no other handler writes."""

    def emit(self, record: logging.LogRecord) -> None:
        if _has_handlers(logging.getLogger(record.name)):
            return
        if server := _server():
            server.callHandlers(record)
        elif logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger that says what users have to know, however logging is configured.

    Where nobody has set a level or a handler, it has those of the server, which by default writes
    nothing but its own records. It stays on when a configuration disables the loggers that it does
    not name, as `logging.config` does by default, and so alembic's `fileConfig`: that belongs to
    one of the apps; what happens to the others has to be told. A level silences it.
    """

    _has_told = False

    def isEnabledFor(self, level: int) -> bool:
        self.keep()
        is_set = any(one.level for one in _chain(self.logger) if one.parent)  # not the root
        server = None if is_set or _has_handlers(self.logger) else _server()
        if server is None:
            return self.logger.isEnabledFor(level)
        return level >= server.getEffectiveLevel() and level > server.manager.disable

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        if self.isEnabledFor(level):  # by the server's level, if need be
            self.logger._log(level, msg, args, stacklevel=2, **options)

    def keep(self) -> None:
        """Turn the logger on again if it was disabled, and say so, once for all of mountkit's."""
        if not self.logger.disabled:
            return
        self.logger.disabled = False
        if not Log._has_told:
            Log._has_told = True
            self.warning(
                "The logger %r was disabled by a logging configuration, and is on again: what "
                "goes wrong would be lost. Write disable_existing_loggers=False where an app calls "
                "logging.config; to silence the logger, set its level.",
                self.logger.name,
            )


def _chain(logger: logging.Logger) -> Iterator[logging.Logger]:
    """The loggers whose handlers get its records."""
    yield logger
    if logger.parent is not None and logger.propagate:
        yield from _chain(logger.parent)


def _has_handlers(logger: logging.Logger) -> bool:
    return any(handler is not _BORROWING for one in _chain(logger) for handler in one.handlers)


def _server() -> logging.Logger | None:
    """The logger of the server that runs here."""
    return next(filter(logging.Logger.hasHandlers, map(logging.getLogger, _SERVERS)), None)


_BORROWING = _Borrowing()
logging.getLogger("mountkit").addHandler(_BORROWING)
access: Log = Log(logging.getLogger("mountkit.access"))
dispatch: Log = Log(logging.getLogger("mountkit.dispatch"))
errors: Log = Log(logging.getLogger("mountkit.errors"))
forwarded: Log = Log(logging.getLogger("mountkit.forwarded"))
lifespan: Log = Log(logging.getLogger("mountkit.lifespan"))
process: Log = Log(logging.getLogger("mountkit.process"))
proxy: Log = Log(logging.getLogger("mountkit.proxy"))
serve: Log = Log(logging.getLogger("mountkit.serve"))
tenants: Log = Log(logging.getLogger("mountkit.tenants"))
watchdog: Log = Log(logging.getLogger("mountkit.watchdog"))
wsgi: Log = Log(logging.getLogger("mountkit.wsgi"))
