"""Why `mountkit serve` ends, with its exit status."""

from __future__ import annotations

from mountkit.exceptions import MountkitError

#: The file is refused, or there is no socket to listen on.
REFUSED = 1
#: The command is wrong, or what it needs is not installed.
MISUSED = 2
#: An app did not start.
FAILED = 3


class ServeError(MountkitError):
    """The site cannot be served.

    Args:
        status: with which the command ends.
    """

    def __init__(self, message: str, status: int = REFUSED) -> None:
        super().__init__(message)
        self.status = status


class WorkerError(ServeError):
    """A worker did not start, or refused a change."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message, status)
