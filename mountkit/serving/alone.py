"""Some mounts of a site without the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import PatternError
from mountkit.lifespans.children import children_of
from mountkit.lifespans.options import Timeouts
from mountkit.lifespans.runners import LifespanRunner
from mountkit.matching.paths import PathPattern


class Alone:
    """A site of which only some mounts are started and served: all else is 404.

    Args:
        app: the whole site, which serves what they take.
        mounts: those that are started.
        takes: whether they take a request.
    """

    def __init__(
        self, app: ASGIApp, mounts: Sequence[Any], takes: Callable[[Scope], bool], times: Timeouts
    ) -> None:
        self.app = app
        self._takes = takes
        self._lifespans = LifespanRunner(lambda scope: children_of(mounts), times)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespans(scope, receive, send)
        elif self._takes(scope):
            await self.app(scope, receive, send)
        else:
            await answer(404, scope, receive, send)


def named(which: Any, mounts: Iterable[tuple[str, Any]]) -> list[Any]:
    """The mounts that have a path, a name or a label; or the one that is given, and its copies.

    Args:
        mounts: each with the path of what stands above it.

    Raises:
        PatternError: there is none.
    """
    found: list[Any] = []
    known: dict[str, None] = {}
    is_path = isinstance(which, str) and which[:1] in ("", "/")
    wanted = (PathPattern(which).path or "/") if is_path else which
    child = getattr(which, "child", None)  # copies share it
    for above, mount in mounts:
        host = "" if mount.rule.host is None else mount.rule.host.pattern
        path = above + mount.path or "/"
        names = [name for name in (path, mount.name, host + path) if name]
        known |= dict.fromkeys(names)
        if which is mount or wanted in names or (child is not None and child is mount.child):
            found.append(mount)
    if found:
        return found
    near = get_close_matches(str(which), known, cutoff=0.5)
    shown = ", ".join(map(repr, near or [*known][:10]))
    fix = f"{'did you mean' if near else 'there are'} {shown}" if known else "the app has none"
    raise PatternError(f"{which!r} is not a mount of this app, nor a path or name of one; {fix}.")
