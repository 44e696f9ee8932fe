"""The `Status` page."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from mountkit.status.sources import Source


class Status:
    """The status page; see the arguments.

    Args:
        source: what it shows; `None`: the site that it is mounted in.
        hosts: the hosts that a request may name, as in `Mount(host=)`; `None`: any.
    """

    def __init__(self, source: Source | None = None, *, hosts: Sequence[str] | None = None) -> None:
        self.source = source
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End the streams of the page, for a server that stops."""
        raise NotImplementedError
