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
    """Has the server write what nobody else does: it is the handler of the logger `mountkit`, and
    does nothing once there is another one, there or at the root."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(record.name)
        if _has_handlers(logger):
            return
        server = _server()
        if server is not None:
            server.callHandlers(record)
        elif logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger that says what users have to know, however logging is configured.

    Where nobody has set a level or a handler, at the logger, above it or at the root, it has those
    of the server: by its default configuration a server writes nothing but its own records.

    It stays on when a logging configuration disables the loggers that it does not name, as
    `logging.config` does by default, and so alembic's `fileConfig`: such a configuration belongs
    to one of the apps; what happens to the others has to be told. A level silences it, as it does
    any logger.
    """

    _has_told = False

    def isEnabledFor(self, level: int) -> bool:
        self.keep()
        logger = self.logger
        is_set = any(one.level for one in _chain(logger) if one.parent) or _has_handlers(logger)
        server = None if is_set else _server()
        return (server or logger).isEnabledFor(level)

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
    one: logging.Logger | None = logger
    while one is not None:
        yield one
        one = one.parent if one.propagate else None


def _has_handlers(logger: logging.Logger) -> bool:
    return any(handler is not _BORROWING for one in _chain(logger) for handler in one.handlers)


def _server() -> logging.Logger | None:
    """The logger of the server that runs here, if that writes its records."""
    servers = map(logging.getLogger, _SERVERS)
    return next((server for server in servers if server.hasHandlers()), None)


_BORROWING = _Borrowing()
logging.getLogger("mountkit").addHandler(_BORROWING)
access: Log = Log(logging.getLogger("mountkit.access"))
dispatch: Log = Log(logging.getLogger("mountkit.dispatch"))
errors: Log = Log(logging.getLogger("mountkit.errors"))
forwarded: Log = Log(logging.getLogger("mountkit.forwarded"))
lifespan: Log = Log(logging.getLogger("mountkit.lifespan"))
tenants: Log = Log(logging.getLogger("mountkit.tenants"))
watchdog: Log = Log(logging.getLogger("mountkit.watchdog"))
wsgi: Log = Log(logging.getLogger("mountkit.wsgi"))
