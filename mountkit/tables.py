"""The decision: which mount takes a request. A pure function of the scope.

A table is an index over rules. Host patterns lead to a tree of path segments, a segment a
level, whose nodes hold the rules that end there. A request walks down as deep as the
deepest mount, collects what it passes and asks the collected rules in their order
(`Rule.rank`) for their conditions. Nothing here grows with the number of mounts or hosts.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from starlette.types import Scope

from mountkit.exceptions import ConflictError, PatternError
from mountkit.hosts import HostIndex, HostPort, host_value, request_host
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


#: A `Resolution` as a plain tuple.
Found: TypeAlias = tuple[M, str, str, str, dict[str, Any]]


class _Entry(NamedTuple, Generic[M]):
    rank: tuple[Any, ...]
    rule: Rule
    mount: M
    # Where the placeholders are that take a whole segment, as an index into the split path.
    names: tuple[tuple[int, str], ...]


# Spellings of known hosts that are remembered, besides two for each host.
_SPELLINGS = 1000
# A walk down the tree does not settle it.
_UNDECIDED: Any = object()


class Table(Generic[M]):
    """Mounts, compiled.

    Args:
        mounts: in the order of their declaration, which decides last of all.
        path_has_root: see `paths.split_root_path`.

    Raises:
        ConflictError: two of them would take exactly the same requests.
    """

    def __init__(self, mounts: Iterable[M] = (), *, path_has_root: bool | None = None) -> None:
        self.path_has_root = path_has_root
        self._entries: dict[int, _Entry[M]] = {}  # by the identity of the mount
        self._keys: dict[Any, Rule] = {}
        self._count = itertools.count()
        self._sorted: tuple[M, ...] | None = None
        self._declared: tuple[M, ...] | None = None
        self._any_host = _Tree[M]()
        self._trees: dict[Any, _Tree[M]] = {}
        self._hosts: HostIndex[_Tree[M]] = HostIndex()
        self._spellings: dict[tuple[bytes | None, str | None], HostPort] = {}
        self._priorities = 0  # how many mounts have one
        self.apply(add=mounts)

    @property
    def mounts(self) -> Sequence[M]:
        """The mounts in the order in which they are tried."""
        if self._sorted is None:
            entries = sorted(self._entries.values(), key=lambda entry: entry.rank)
            self._sorted = tuple(entry.mount for entry in entries)
        return self._sorted

    @property
    def declared(self) -> Sequence[M]:
        """The mounts in the order of their declaration."""
        if self._declared is None:
            entries = sorted(self._entries.values(), key=lambda entry: entry.rank[-1])
            self._declared = tuple(entry.mount for entry in entries)
        return self._declared

    def apply(
        self,
        *,
        add: Iterable[M] = (),
        remove: Iterable[M] = (),
        replace: Iterable[tuple[M, M]] = (),
    ) -> None:
        """Change the table in one step, at a cost that grows with the change alone.

        There is no `await` in it, so that a request is decided before it or after it.

        Args:
            add: are declared after those that are there.
            replace: pairs of an old mount and the new one, which takes its place in the order
                of declaration.

        Raises:
            ConflictError: two mounts would take exactly the same requests.
            PatternError: a mount to be removed or replaced is not in the table.
            In both cases nothing has changed.
        """
        leaving, coming = self._plan(add, remove, replace)
        for entry in leaving:
            self._discard(entry)
        for mount, index in coming:
            rule = mount.rule
            names = tuple(
                (at, segment.bare)
                for at, segment in enumerate(rule.path.segments, 1)
                if not isinstance(segment, str) and segment.bare is not None
            )
            self._insert(_Entry((*rule.rank, index), rule, mount, names))
        self._sorted = self._declared = None

    def validate(
        self,
        *,
        add: Iterable[M] = (),
        remove: Iterable[M] = (),
        replace: Iterable[tuple[M, M]] = (),
    ) -> None:
        """Raise what `apply` would raise, and change nothing."""
        self._plan(add, remove, replace)

    def _plan(
        self, add: Iterable[M], remove: Iterable[M], replace: Iterable[tuple[M, M]]
    ) -> tuple[list[_Entry[M]], list[tuple[M, int]]]:
        """What leaves the table, and what comes with its place in the order of declaration."""
        pairs = list(replace)
        leaving = list(
            {id(m): self._entry(m) for m in (*remove, *(old for old, _ in pairs))}.values()
        )
        coming = [(new, self._entry(old).rank[-1]) for old, new in pairs] + [
            (mount, next(self._count)) for mount in add
        ]
        self._refuse_conflicts([mount for mount, _ in coming], leaving)
        return leaving, coming

    def _entry(self, mount: M) -> _Entry[M]:
        try:
            return self._entries[id(mount)]
        except KeyError:
            raise PatternError(f"{mount!r} is not in the table; name a mount that is.") from None

    def _refuse_conflicts(self, coming: Iterable[M], leaving: Iterable[_Entry[M]]) -> None:
        gone = {entry.rule.key for entry in leaving}
        seen: dict[Any, Rule] = {}
        for mount in coming:
            rule = mount.rule
            other = seen.get(rule.key)
            if other is None and rule.key not in gone:
                other = self._keys.get(rule.key)
            if other is not None:
                raise ConflictError(
                    f"Mount({rule!r}) at {rule.where} takes exactly the requests of "
                    f"Mount({other!r}) at {other.where}{_example(other)}; remove one, or give it "
                    "a condition or a priority of its own."
                )
            seen[rule.key] = rule

    def _insert(self, entry: _Entry[M]) -> None:
        self._entries[id(entry.mount)] = entry
        self._priorities += entry.rule.priority != 0
        self._keys[entry.rule.key] = entry.rule
        host = entry.rule.host
        if host is None:
            self._any_host.add(entry)
            return
        tree = self._trees.get(host.key)
        if tree is None:
            tree = self._trees[host.key] = _Tree()
            self._hosts.add(host, tree)
        tree.add(entry)

    def _discard(self, entry: _Entry[M]) -> None:
        del self._entries[id(entry.mount)], self._keys[entry.rule.key]
        self._priorities -= entry.rule.priority != 0
        host = entry.rule.host
        if host is None:
            self._any_host.remove(entry)
            return
        tree = self._trees[host.key]
        tree.remove(entry)
        if tree.is_empty():
            del self._trees[host.key]
            self._hosts.remove(host)

    def resolve(self, scope: Scope) -> Resolution[M] | None:
        """The mount that takes this request (`http` or `websocket`), or `None`.

        Pure: the same scope gives the same answer, and is not changed. Paths that are no
        paths (`*`, an authority, `""` with no `root_path`) match nothing.
        """
        found = self.find(scope)
        return None if found is None else Resolution(*found)

    def find(self, scope: Scope) -> Found[M] | None:
        """What `resolve` answers, as a plain tuple, which is quicker made.

        This is where the time of a decision goes. Most tables have no placeholder, condition or
        priority where a request comes by: there, to walk down the segments and to take the last
        mount on the way is the whole decision. Where a node is not `plain`, the mounts that may
        match are collected and asked in their order.
        """
        if scope.get("root_path"):
            root_path, rest = split_root_path(scope, path_has_root=self.path_has_root)
        else:
            root_path, rest = "", scope["path"]
        if rest[:1] != "/" and (rest or not root_path):
            return None
        host = self._host_of(scope) if self._trees else None
        if self._priorities:
            return self._decide(scope, root_path, rest, host)
        if host is not None:
            patterns = self._hosts.find(host)
            if len(patterns) > 1 and any(a.rank == b.rank for (a, _), (b, _) in pairwise(patterns)):
                return self._decide(scope, root_path, rest, host)
            for pattern, tree in patterns:  # a more specific host goes before any path
                found = tree.walk(root_path, rest)
                if found is _UNDECIDED:
                    return self._decide(scope, root_path, rest, host)
                if found is not None:
                    if pattern.host is None:
                        return (*found[:4], {**(pattern.match(host) or {}), **found[4]})
                    return found
        found = self._any_host.walk(root_path, rest)
        if found is _UNDECIDED:
            return self._decide(scope, root_path, rest, host)
        return found

    def _host_of(self, scope: Scope) -> HostPort | None:
        """`request_host`, which remembers the spellings of hosts that are mounted. Those of other
        hosts are never kept: a client may make up as many as it likes."""
        key = host_value(scope), scope.get("scheme")
        host = self._spellings.get(key)
        if host is None:
            host = request_host(scope)
            if host is not None and self._hosts.find(host):
                if len(self._spellings) > _SPELLINGS + 2 * len(self._trees):
                    self._spellings.clear()
                self._spellings[key] = host
        return host

    def _decide(
        self, scope: Scope, root_path: str, rest: str, host: HostPort | None
    ) -> Found[M] | None:
        """Any table, any request."""
        candidates = self._candidates(rest, host)
        for position, entry in enumerate(candidates):
            found = entry.rule.match(scope, rest, host)
            if found is None:
                continue
            chosen = entry
            if entry.rule.accept is not None:
                chosen, found = _negotiate(entry, found, candidates[position:], scope, rest, host)
            prefix, params = found
            return chosen.mount, root_path, prefix, rest[len(prefix) :], params
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


def _example(rule: Rule) -> str:
    from mountkit.witnesses import describe_request, overlap

    scope = overlap(rule, rule)
    return "" if scope is None else f", such as {describe_request(scope)}"


class _Tree(Generic[M]):
    """The mounts of one host, by path."""

    __slots__ = ("_depth", "_depths", "_multi", "_root")

    def __init__(self) -> None:
        self._root = _Node[M]()
        self._depth = 0
        self._depths: Counter[int] = Counter()
        # A placeholder that holds slashes fits no tree of segments. These are rare.
        self._multi: list[_Entry[M]] = []

    def is_empty(self) -> bool:
        return not self._multi and self._root.is_empty()

    def add(self, entry: _Entry[M]) -> None:
        path = entry.rule.path
        if path.multi is not None:
            self._multi.append(entry)
            return
        self._count(len(path.segments), 1)
        node = self._root
        for segment in path.segments:
            node = node.child(segment)
        node.add(entry)

    def remove(self, entry: _Entry[M]) -> None:
        path = entry.rule.path
        if path.multi is not None:
            self._multi.remove(entry)
            return
        self._count(len(path.segments), -1)
        self._root.remove(entry, path.segments)

    def _count(self, depth: int, change: int) -> None:
        self._depths[depth] += change
        if change > 0:
            self._depth = max(self._depth, depth)
        else:
            self._depths += Counter()  # forgets what is not above 0
            self._depth = max(self._depths, default=0)

    def walk(self, root_path: str, rest: str) -> Found[M] | None:
        """The last mount on the way down, if no node on the way asks for more than that.

        Returns:
            `_UNDECIDED` if one does.
        """
        node = self._root
        if not node.is_plain or self._multi or not rest:
            return _UNDECIDED  # type: ignore[no-any-return]
        best = node.only
        end = position = 0
        if self._depth < 2:  # one segment deep: one look-up
            part = rest.split("/", 2)[1]
            child = node.static.get(part)
            if child is None and part:
                child = node.lone
            if child is not None:
                if not child.is_plain:
                    return _UNDECIDED  # type: ignore[no-any-return]
                best = child.only  # there is one: nothing else can be here
                end = len(part) + 1
            if best is None:
                return None
            params = {name: part for _, name in best.names} if best.names else {}
            return best.mount, root_path, rest[:end], rest[end:], params
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)
        for index in range(1, len(parts)):
            part = parts[index]
            child = node.static.get(part)
            if child is None:
                if node.lone is None or not part:
                    break
                child = node.lone
            node = child
            if not node.is_plain:
                return _UNDECIDED  # type: ignore[no-any-return]
            position += len(part) + 1
            if node.only is not None:
                best = node.only
                end = position
        if best is None:
            return None
        params = {name: parts[at] for at, name in best.names} if best.names else {}
        return best.mount, root_path, rest[:end], rest[end:], params

    def find(self, rest: str) -> list[_Entry[M]]:
        """The mounts whose path matches, or would if a placeholder's text can be converted."""
        found = list(self._multi)
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)[1:]
        found += self._root.prefix
        live = [self._root]
        for depth, part in enumerate(parts, 1):
            live = [child for node in live for child in node.children(part)]
            if not live:
                break
            for node in live:
                found += node.prefix
                if depth == len(parts):
                    found += node.exact
        if not parts and "" in self._root.static:  # "" is "/" (RFC 3986, section 6.2.3)
            found += self._root.static[""].exact
        return found


# What most nodes have; never written to.
_NOTHING: Any = {}


class _Node(Generic[M]):
    """The segments of all mounts that begin alike.

    Attributes:
        is_plain: what is below and what is here can be told by the next segment alone.
        only: the mount that ends here, if it is plain.
        lone: the one placeholder below, if it is plain.
    """

    __slots__ = ("exact", "is_plain", "lone", "only", "placeholders", "prefix", "static")

    def __init__(self) -> None:
        self.static: dict[str, _Node[M]] = _NOTHING
        self.placeholders: dict[str, tuple[Segment, _Node[M]]] = _NOTHING
        self.prefix: tuple[_Entry[M], ...] = ()
        self.exact: tuple[_Entry[M], ...] = ()
        self.is_plain = True
        self.only: _Entry[M] | None = None
        self.lone: _Node[M] | None = None

    def is_empty(self) -> bool:
        return not (self.static or self.placeholders or self.prefix or self.exact)

    def _refresh(self) -> None:
        """See what a walk may do here, after a change."""
        self.only = self.lone = None
        self.is_plain = not self.exact
        if self.prefix:
            self.only = self.prefix[0]
            self.is_plain &= len(self.prefix) == 1 and not self.only.rule.conditions
        if self.placeholders:
            (segment, node), *others = self.placeholders.values()
            self.lone = node
            # A static segment beside it would have to be tried first, and this one after it.
            self.is_plain &= not others and not self.static and segment.bare is not None

    def add(self, entry: _Entry[M]) -> None:
        """A mount that ends here."""
        if entry.rule.path.exact:
            self.exact = (*self.exact, entry)
        else:
            self.prefix = (*self.prefix, entry)
        self._refresh()

    def child(self, segment: str | Segment) -> _Node[M]:
        """The node below, made if need be."""
        if isinstance(segment, str):
            if segment not in self.static:
                if self.static is _NOTHING:
                    self.static = {}
                self.static[segment] = _Node()
                self._refresh()
            return self.static[segment]
        if segment.key not in self.placeholders:
            self.placeholders = {**self.placeholders, segment.key: (segment, _Node())}
            self._refresh()
        return self.placeholders[segment.key][1]

    def children(self, part: str) -> Iterable[_Node[M]]:
        if part in self.static:
            yield self.static[part]
        for segment, node in self.placeholders.values():
            if segment.match(part) is not None:
                yield node

    def remove(self, entry: _Entry[M], segments: Sequence[str | Segment]) -> None:
        """Remove an entry below here, and every node that becomes empty."""
        if not segments:
            self.exact = tuple(e for e in self.exact if e is not entry)
            self.prefix = tuple(e for e in self.prefix if e is not entry)
            self._refresh()
            return
        first, *rest = segments
        child = self.child(first)
        child.remove(entry, rest)
        if child.is_empty():
            if isinstance(first, str):
                del self.static[first]
            else:
                del self.placeholders[first.key]
            self._refresh()
