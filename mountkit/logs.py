"""The log of mountkit: the logger `mountkit`. Imports nothing of mountkit."""

from __future__ import annotations

import logging


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger that stays on when a logging configuration disables the loggers that it does not
    name, as `logging.config` does by default, and so alembic's `fileConfig`.

    Such a configuration belongs to one of the apps; what happens to the others has to be told. A
    level silences it, as it does any logger.
    """

    _has_told = False

    def isEnabledFor(self, level: int) -> bool:
        self.keep()
        return self.logger.isEnabledFor(level)

    def keep(self) -> None:
        """Turn the logger on again if it was disabled, and say so the first time."""
        if not self.logger.disabled:
            return
        self.logger.disabled = False
        if not self._has_told:
            self._has_told = True
            self.logger.warning(
                "The logger %r was disabled by a logging configuration, and is on again: what "
                "goes wrong would be lost. Write disable_existing_loggers=False where an app calls "
                "logging.config; to silence the logger, set its level.",
                self.logger.name,
            )


logger: Log = Log(logging.getLogger("mountkit"))
