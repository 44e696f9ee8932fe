"""Where a status page and metrics get what they show: this process, or a parent of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import anyio.to_thread
from starlette.types import Scope

from mountkit.exceptions import MountkitError
from mountkit.inspection.explanations import explain
from mountkit.serving.sites import SITE, Site
from mountkit.status.collecting import Collector
from mountkit.status.snapshots import Snapshot
from mountkit.status.words import explained
from mountkit.tasks import gently
from mountkit.types import public_name


class Source(Protocol):
    """What `Status` and `Metrics` show."""

    async def snapshot(self) -> Snapshot:
        """The site at this moment."""
        ...

    async def explain(
        self, method: str, url: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        """Who would take a request, and why; see `words.explained`.

        Raises:
            PatternError: `url` is neither absolute nor a path.
        """
        ...


class LocalSource:
    """The app of this process.

    Args:
        app: a `Dispatcher`, or an app with mounts in it, as for `mountkit.explain`.
        started: when the site was started, in seconds since the epoch; by default now.
    """

    def __init__(self, app: Any, *, started: float | None = None) -> None:
        self.app = app
        self._collector = Collector(app, started=started)

    async def snapshot(self) -> Snapshot:
        """The site at this moment; other tasks run meanwhile. Has a thread check the app if its
        mounts are others than before: `findings` are those of the check that has ended last."""
        snapshot = await gently(self._collector.steps())
        self._collector.check()
        return snapshot

    async def explain(
        self, method: str, url: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> dict[str, Any]:
        """Who would take a request, and why, in plain values, `text` in words.

        Raises:
            PatternError: `url` is neither absolute nor a path.
        """
        return await anyio.to_thread.run_sync(partial(self._explain, method, url, headers))

    def _explain(self, method: str, url: str, headers: Any) -> dict[str, Any]:
        return explained(explain(self.app, url, method=method, headers=headers))


def source_of(source: Source | None, scope: Scope, shown: Any, started: float = 0.0) -> Source:
    """What an app shows: its own source, or the site that it is mounted in, of which it is made.

    Args:
        shown: the app, for messages.
        started: see `LocalSource`.

    Raises:
        MountkitError: it has none, and is not mounted.
    """
    if source is not None and not isinstance(source, SiteSource):
        return source
    if SITE not in scope:
        name = public_name(type(shown))
        raise MountkitError(
            f"{name}() is not mounted, so it has no site to show; write "
            f"Mount('/_{name.lower()}', {name}()), or {name}(LocalSource(app))."
        )
    site = Site(*scope[SITE])
    app = site.router if site.app is None else site.app
    if source is None or source.app is not app:
        source = SiteSource(app, started=started or None)
    return source


class SiteSource(LocalSource):
    """That of a site in which something was mounted."""
