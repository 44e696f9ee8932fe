"""The decision: which mount takes a request. A pure function of the scope.

A table is an index over rules. Host patterns lead to a tree of path segments, a segment a
level, whose nodes hold the rules that end there. A request walks down as deep as the
deepest mount, collects what it passes and asks the collected rules in their order
(`Rule.rank`) for their conditions. Nothing here grows with the number of mounts or hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from starlette.types import Scope

from mountkit.exceptions import ConflictError
from mountkit.hosts import HostIndex, HostPort, request_host
from mountkit.paths import Segment, split_root_path
from mountkit.rules import Rule

if TYPE_CHECKING:
    from mountkit.checks import Finding


class Ruled(Protocol):
    """Anything that a table can choose: it has a rule."""

    @property
    def rule(self) -> Rule: ...


M = TypeVar("M", bound=Ruled)


class Resolution(NamedTuple, Generic[M]):
    """A decision, and how it divides the request's path.

    `root_path + prefix + rest` is the full path; `root_path` came with the request, `prefix`
    was taken by the mount and never ends in a slash, `rest` is left to its app and is `""`
    where the bare prefix was asked for.
    """

    mount: M
    root_path: str
    prefix: str
    rest: str
    params: dict[str, Any]


class _Entry(NamedTuple, Generic[M]):
    rank: tuple[Any, ...]
    rule: Rule
    mount: M


class Table(Generic[M]):
    """Mounts, compiled. Immutable: a change is a new table.

    Args:
        mounts: in the order of their declaration, which decides last of all.
        path_has_root: see `paths.split_root_path`.

    Raises:
        ConflictError: two of them would take exactly the same requests.
    """

    def __init__(self, mounts: Iterable[M], *, path_has_root: bool | None = None) -> None:
        self.path_has_root = path_has_root
        entries = [
            _Entry((*mount.rule.rank, index), mount.rule, mount)
            for index, mount in enumerate(mounts)
        ]
        _refuse_conflicts(entries)
        entries.sort(key=lambda entry: entry.rank)
        #: The mounts in the order in which they are tried.
        self.mounts: Sequence[M] = tuple(entry.mount for entry in entries)
        self._any_host = _Tree[M]()
        self._hosts: HostIndex[_Tree[M]] = HostIndex()
        trees: dict[Any, _Tree[M]] = {}
        for entry in entries:
            host = entry.rule.host
            if host is None:
                self._any_host.add(entry)
            else:
                if host.key not in trees:
                    trees[host.key] = _Tree()
                    self._hosts.add(host, trees[host.key])
                trees[host.key].add(entry)
        self._has_hosts = bool(trees)

    def resolve(self, scope: Scope) -> Resolution[M] | None:
        """The mount that takes this request (`http` or `websocket`), or `None`.

        Pure: the same scope gives the same answer, and is not changed. Paths that are no
        paths (`*`, an authority, `""` with no `root_path`) match nothing.
        """
        root_path, rest = split_root_path(scope, path_has_root=self.path_has_root)
        if rest[:1] != "/" and (rest or not root_path):
            return None
        host = request_host(scope) if self._has_hosts else None
        candidates = self._candidates(rest, host)
        for position, entry in enumerate(candidates):
            found = entry.rule.match(scope, rest, host)
            if found is None:
                continue
            chosen = entry
            if entry.rule.accept is not None:
                chosen, found = _negotiate(entry, found, candidates[position:], scope, rest, host)
            prefix, params = found
            return Resolution(chosen.mount, root_path, prefix, rest[len(prefix) :], params)
        return None

    def check(self) -> list[Finding]:
        """What is wrong with this table, although it can be built.

        Mounts that can never be reached and what hides them; pairs that overlap without
        either being more specific, with a request that shows it; prefixes that end in a slash
        or are written in a form that no request has. What a condition of the user's own
        does cannot be read, and is not guessed at.
        """
        from mountkit.checks import check_rules  # of no use to a server

        def resolve(scope: Scope) -> Rule | None:
            found = self.resolve(scope)
            return None if found is None else found.mount.rule

        return list(check_rules([mount.rule for mount in self.mounts], resolve))

    def _candidates(self, rest: str, host: HostPort | None) -> list[_Entry[M]]:
        """The mounts whose host and path may match, in the order in which they are tried."""
        found = self._any_host.find(rest)
        for _, tree in self._hosts.find(host):
            found += tree.find(rest)
        if len(found) > 1:
            found.sort(key=lambda entry: entry.rank)
        return found


def _negotiate(
    first: _Entry[M],
    match: tuple[str, dict[str, Any]],
    candidates: Sequence[_Entry[M]],
    scope: Scope,
    rest: str,
    host: HostPort | None,
) -> tuple[_Entry[M], tuple[str, dict[str, Any]]]:
    """Of the mounts that are as specific as `first`, the one whose media type is wanted most."""
    best, best_quality = first, -1.0
    for entry in candidates:
        if entry.rank[:-1] != first.rank[:-1]:
            break
        if entry.rule.accept is None:
            continue
        quality = entry.rule.accept.quality(scope)
        if quality > best_quality:
            found = entry.rule.match(scope, rest, host)
            if found is not None:
                best, match, best_quality = entry, found, quality
    return best, match


def _refuse_conflicts(entries: Iterable[_Entry[Any]]) -> None:
    seen: dict[Any, Rule] = {}
    for entry in entries:
        other = seen.setdefault(entry.rule.key, entry.rule)
        if other is not entry.rule:
            raise ConflictError(
                f"Mount({entry.rule!r}) at {entry.rule.where} takes exactly the requests of "
                f"Mount({other!r}) at {other.where}{_example(other)}; remove one, or give it a "
                "condition or a priority of its own."
            )


def _example(rule: Rule) -> str:
    from mountkit.witnesses import describe_request, overlap

    scope = overlap(rule, rule)
    return "" if scope is None else f", such as {describe_request(scope)}"


class _Tree(Generic[M]):
    """The mounts of one host, by path."""

    __slots__ = ("_depth", "_multi", "_root")

    def __init__(self) -> None:
        self._root = _Node[M]()
        self._depth = 0
        # A placeholder that holds slashes fits no tree of segments. These are rare.
        self._multi: list[_Entry[M]] = []

    def add(self, entry: _Entry[M]) -> None:
        path = entry.rule.path
        if path.multi is not None:
            self._multi.append(entry)
            return
        self._depth = max(self._depth, len(path.segments))
        node = self._root
        for segment in path.segments:
            node = node.child(segment)
        (node.exact if path.exact else node.prefix).append(entry)

    def find(self, rest: str) -> list[_Entry[M]]:
        """The mounts whose path matches, or would if a placeholder's text can be converted."""
        found = list(self._multi)
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)[1:]
        found += self._root.prefix
        if self._depth == 0:
            return found
        live = [self._root]
        for depth, part in enumerate(parts, 1):
            live = [child for node in live for child in node.children(part)]
            if not live:
                break
            for node in live:
                found += node.prefix
                if depth == len(parts):
                    found += node.exact
        if not parts:  # "" is "/" (RFC 3986, section 6.2.3)
            root = self._root.static.get("")
            found += root.exact if root is not None else ()
        return found


class _Node(Generic[M]):
    """The segments of all mounts that begin alike."""

    __slots__ = ("exact", "placeholders", "prefix", "static")

    def __init__(self) -> None:
        self.static: dict[str, _Node[M]] = {}
        self.placeholders: dict[str, tuple[Segment, _Node[M]]] = {}
        self.prefix: list[_Entry[M]] = []
        self.exact: list[_Entry[M]] = []

    def child(self, segment: str | Segment) -> _Node[M]:
        if isinstance(segment, str):
            return self.static.setdefault(segment, _Node())
        return self.placeholders.setdefault(segment.key, (segment, _Node()))[1]

    def children(self, part: str) -> Iterable[_Node[M]]:
        if part in self.static:
            yield self.static[part]
        for segment, node in self.placeholders.values():
            if segment.match(part) is not None:
                yield node
