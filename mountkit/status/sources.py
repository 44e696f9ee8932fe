"""Where a status page and metrics get what they show: this process, or a parent of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from mountkit.status.snapshots import Snapshot


class Source(Protocol):
    """What `Status` and `Metrics` show."""

    async def snapshot(self) -> Snapshot:
        """The site at this moment."""
        ...

    async def explain(
        self, method: str, url: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        """Who would take a request, and why; see `LocalSource.explain`.

        Raises:
            PatternError: `url` is neither absolute nor a path.
        """
        ...


class LocalSource:
    """The app of this process.

    Args:
        app: a `Dispatcher`, or an app with mounts in it, as for `mountkit.explain`.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def snapshot(self) -> Snapshot:
        """The site at this moment. The event loop is free again after each 250 mounts."""
        raise NotImplementedError

    async def explain(
        self, method: str, url: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        """Who would take a request, and why, in plain values: `text` is all of it in words."""
        raise NotImplementedError
