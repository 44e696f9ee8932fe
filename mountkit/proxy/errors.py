"""What goes wrong on the way to an upstream and back. Imports nothing of `proxy`."""

from __future__ import annotations

from mountkit.exceptions import MountkitError


class ProxyError(MountkitError, RuntimeError):
    """A request could not be passed on, or its answer broke off.

    Before the answer has started, the client gets `status`. Later this is raised to the server,
    which then breaks the connection off, so that the client does not take a part for the whole.

    Attributes:
        status: 400 and 501 if the request cannot be passed on, 500 if the extra is not
            installed, 502 if the upstream did not answer as it should, 503 if none can be reached,
            504 if it took too long.
        retry_after: seconds, with 503.
    """

    def __init__(self, status: int, reason: str, *, retry_after: float = 1.0) -> None:
        super().__init__(reason)
        self.status: int = status
        self.retry_after: float = retry_after
