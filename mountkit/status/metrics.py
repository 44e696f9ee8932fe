"""Metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from mountkit.status.snapshots import Snapshot
from mountkit.status.sources import Source


def exposition(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """Body and content type."""
    raise NotImplementedError


class Metrics:
    """An app that answers with metrics; arguments as of `Status`."""

    def __init__(self, source: Source | None = None, *, hosts: Sequence[str] | None = None) -> None:
        self.source = source
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError
