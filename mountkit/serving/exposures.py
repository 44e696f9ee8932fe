"""Where a mounted app is served too: paths outside of its prefix, and its other hosts.

RFC 8615 puts `/.well-known/` at the root of a host, wherever the app is that it tells of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from mountkit.exceptions import PatternError
from mountkit.locations import encode_path
from mountkit.matching.decisions import Resolution
from mountkit.matching.rules import Rule

if TYPE_CHECKING:
    from mountkit.serving.mounts import Mount


class Exposure:
    """An entry of a table that points to a mount.

    Args:
        mount: the mount of the app.
        rule: what is served: a path below the router of the mount, or all of it at another host.
        below: where the app has that path, below its own root; `None` for another host.
    """

    __slots__ = ("below", "mount", "rule")

    def __init__(self, mount: Mount, rule: Rule, below: str | None = None) -> None:
        self.mount: Mount = mount
        self.rule: Rule = rule
        self.below: str | None = below

    def inner(
        self, found: Resolution[Any], scope: Scope
    ) -> tuple[Resolution[Mount], dict[str, Any]]:
        """The request as it would be below the prefix of the mount."""
        if self.below is None:
            return replace(found, mount=self.mount), {**scope}
        full = found.root_path + self.mount.path + self.below
        inner = {**scope, "path": full, "raw_path": encode_path(full).encode("ascii")}
        path = self.mount.path
        return Resolution(self.mount, found.root_path, path, self.below, found.params), inner

    def preview(self, found: Resolution[Any], scope: Scope) -> tuple[dict[str, Any], str | None]:
        """What `serve` would do; see `Mount.preview`."""
        return self.mount.preview(*self.inner(found, scope))

    async def serve(
        self,
        found: Resolution[Any],
        scope: Scope,
        receive: Receive,
        send: Send,
        router: Any = None,
    ) -> None:
        """Serve a request for the path, as the mount would serve it below its prefix."""
        inner_found, inner = self.inner(found, scope)
        try:
            await self.mount.serve(inner_found, inner, receive, send, router)
        finally:
            scope["route"] = inner["route"]


def with_exposures(mounts: Iterable[Mount]) -> Iterator[Mount | Exposure]:
    """The entries of a table: mounts, each followed by what it exposes."""
    for mount in mounts:
        yield mount
        yield from mount.exposures


def exposures_of(mount: Mount) -> Iterator[Exposure]:
    """Where a mount is served besides its own path at its first host."""
    rules = [mount.rule, *mount.rule.elsewhere()]
    for rule in rules[1:]:
        yield Exposure(mount, rule)
    for rule in rules:
        for at, below in mount.expose.items():
            yield Exposure(mount, rule.at(at, exact=True), below)


def checked_exposures(rule: Rule, expose: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """The exposed paths by where they are served.

    Raises:
        PatternError: it is one text, one is not a path, or the mount has placeholders.
    """
    if isinstance(expose, str):
        raise PatternError(f"expose={expose!r} is one text; write expose=[{expose!r}].")
    pairs = dict(expose) if isinstance(expose, Mapping) else {path: path for path in expose}
    for path in {*pairs, *pairs.values()}:
        if not isinstance(path, str) or len(path) < 2 or path[0] != "/" or "{" in path:
            raise PatternError(
                f"expose={expose!r} has {path!r}, which is not a path that begins with '/'; write "
                "e.g. ['/.well-known/oauth-protected-resource']."
            )
    if pairs and rule.path.convertors:
        raise PatternError(
            f"expose={expose!r} needs a prefix without placeholders, not {rule.path.path!r}: "
            "otherwise it does not say which app is meant."
        )
    return pairs
