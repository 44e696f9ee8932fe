"""The decision: which mount takes a request. A pure function of the scope.

A table is an index over rules. Hosts lead to a tree of path segments, a segment a level, whose
nodes hold the mounts that end there. A request walks down as deep as the deepest mount, and the
last mount on its way takes it. Where that does not settle it, the mounts that may match are
collected and asked in their order (`Rule.rank`). Nothing here grows with the number of mounts
or hosts. The obvious way to decide, which this is held against, is `tests/reference.py`.

Inside, a mount is its number: its place in the order of declaration. So an entry of an index
costs a small integer, and 100,000 mounts are one dictionary of segments and numbers.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from starlette.types import Scope

from mountkit.exceptions import ConflictError, ImproperRequestError, PatternError
from mountkit.hosts import HostIndex, HostPattern, HostPort, host_of_value
from mountkit.matchers import Header
from mountkit.paths import PathPattern, Segment, has_control, other_views, split_root_path
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


# Spellings of known hosts that are remembered, besides two for each host.
_SPELLINGS = 1000
# Numbers that were given up, besides as many as are in use, before all are given anew.
_HOLES = 100
# A walk down the tree does not settle it.
_UNDECIDED: Any = object()
_HAS_CONTROL = "The path has a control character in it."


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
        # By number: the mounts, and the rules that they had when they came.
        self._mounts: list[Any] = []  # None where one was removed
        self._rules: list[Rule] = []
        self._sorted: tuple[M, ...] | None = None
        self._declared: tuple[M, ...] | None = None
        self._spellings: dict[Any, HostPort] = {}
        self._clear()
        self.apply(add=mounts)

    def _clear(self) -> None:
        self._mounts.clear()
        self._rules.clear()
        self._live = 0
        self._priorities = 0  # how many mounts have one
        self._any_host = _Tree(self._mounts, self._rules)
        # A host alone, without a port; a number if all that is mounted there is one root.
        self._exact: dict[str, int | _Tree] = {}
        # Hosts with ports, wildcards and placeholders.
        self._patterns: HostIndex[_Tree] = HostIndex()
        self._trees: dict[Any, _Tree] = {}  # those of the patterns, by their keys
        self._ports = 0  # how many of them have one
        #: Whether any mount has a condition on the host.
        self.has_hosts = False
        self._otherwise: int | None = None  # the mount at the root of any host
        # The segments of a table whose every mount is found by its first segment, if at all.
        self._first: dict[str, int | _Node] | None = None

    @property
    def mounts(self) -> Sequence[M]:
        """The mounts in the order in which they are tried."""
        if self._sorted is None:
            pairs = [(n, mount) for n, mount in enumerate(self._mounts) if mount is not None]
            pairs.sort(key=lambda pair: (self._rules[pair[0]].rank, pair[0]))
            self._sorted = tuple(mount for _, mount in pairs)
        return self._sorted

    @property
    def declared(self) -> Sequence[M]:
        """The mounts in the order of their declaration."""
        if self._declared is None:
            self._declared = tuple(mount for mount in self._mounts if mount is not None)
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
        leaving, taking, added = self._plan(add, remove, replace)
        for number in leaving:
            self._discard(number)
        for number, mount in taking:
            self._insert(number, mount)
        for mount in added:
            self._mounts.append(None)
            self._rules.append(mount.rule)
            self._insert(len(self._mounts) - 1, mount)
        while self._mounts and self._mounts[-1] is None:
            self._mounts.pop()
            self._rules.pop()
        if len(self._mounts) > 2 * self._live + _HOLES:
            self._renumber()
        self._sorted = self._declared = None
        self.has_hosts = bool(self._exact or self._trees)
        is_quick = not self.has_hosts and not self._priorities
        self._first = self._any_host.first if is_quick else None
        self._otherwise = self._any_host.otherwise

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
    ) -> tuple[set[int], list[tuple[int, M]], list[M]]:
        """The numbers that leave, the mounts that come for a number, and those for a new one."""
        taking = [(self._number(old), new) for old, new in replace]
        leaving = {self._number(mount) for mount in remove} | {number for number, _ in taking}
        added = list(add)
        self._refuse_conflicts(chain((new for _, new in taking), added), leaving)
        return leaving, taking, added

    def _number(self, mount: M) -> int:
        for number in self._numbers_beside(mount.rule):
            if self._mounts[number] is mount:
                return number
        # Its path was set since it was added: it is where it was.
        for number, known in enumerate(self._mounts):
            if known is mount:
                return number
        raise PatternError(f"{mount!r} is not in the table; name a mount that is.")

    def _refuse_conflicts(self, coming: Iterable[M], leaving: Collection[int]) -> None:
        seen: dict[Any, Rule] = {}
        is_empty = not self._live
        for mount in coming:
            rule = mount.rule
            # To build large tables is mostly this; the short key of most rules is there already.
            is_short = rule.host is None and not rule.conditions and not rule.priority
            other = seen.setdefault(rule.path.key if is_short else rule.key, rule)
            if other is rule and not is_empty:
                for number in self._numbers_beside(rule):
                    if number not in leaving and self._rules[number].key == rule.key:
                        other = self._rules[number]
            if other is not rule:
                raise ConflictError(
                    f"Mount({rule!r}) at {rule.where} takes exactly the requests of "
                    f"Mount({other!r}) at {other.where}{_example(other)}; remove one, or give it "
                    "a condition or a priority of its own."
                )

    def _numbers_beside(self, rule: Rule) -> Sequence[int]:
        """The mounts with the same host and path, whatever their conditions."""
        host = rule.host
        tree: int | _Tree | None
        if host is None:
            tree = self._any_host
        elif _is_plain(host):
            tree = self._exact.get(host.key[0])
        else:
            tree = self._trees.get(host.key)
        if isinstance(tree, int):
            return () if rule.path.segments else (tree,)
        return () if tree is None else tree.beside(rule.path)

    def _insert(self, number: int, mount: M) -> None:
        rule = mount.rule
        self._mounts[number] = mount
        self._rules[number] = rule
        self._live += 1
        if rule.priority:
            self._priorities += 1
        host = rule.host
        if host is None:
            self._any_host.add(number, rule)
            return
        tree: int | _Tree | None
        if _is_plain(host):
            name = host.key[0]
            tree = self._exact.get(name)
            if tree is None and _is_leaf(rule) and not rule.path.segments:
                self._exact[name] = number
                return
            if not isinstance(tree, _Tree):
                before, tree = tree, _Tree(self._mounts, self._rules)
                self._exact[name] = tree
                if before is not None:
                    tree.add(before, self._rules[before])
        else:
            tree = self._trees.get(host.key)
            if tree is None:
                tree = self._trees[host.key] = _Tree(self._mounts, self._rules)
                self._patterns.add(host, tree)
                self._ports += host.port is not None
        tree.add(number, rule)

    def _discard(self, number: int) -> None:
        rule = self._rules[number]
        self._mounts[number] = None
        self._live -= 1
        if rule.priority:
            self._priorities -= 1
        host = rule.host
        if host is None:
            self._any_host.remove(number, rule)
        elif _is_plain(host):
            name = host.key[0]
            known = self._exact[name]
            if isinstance(known, _Tree):
                known.remove(number, rule)
            if isinstance(known, int) or known.is_empty():
                del self._exact[name]
        else:
            tree = self._trees[host.key]
            tree.remove(number, rule)
            if tree.is_empty():
                del self._trees[host.key]
                self._patterns.remove(host)
                self._ports -= host.port is not None

    def _renumber(self) -> None:
        """Close the holes that changes have left. It comes at most once in as many changes as
        there are mounts, so that a change costs no more for it."""
        pairs = [(m, r) for m, r in zip(self._mounts, self._rules, strict=True) if m is not None]
        self._clear()
        for number, (mount, rule) in enumerate(pairs):
            self._mounts.append(mount)
            self._rules.append(rule)
            self._insert(number, mount)

    def resolve(self, scope: Scope) -> Resolution[M] | None:
        """The mount that takes this request (`http` or `websocket`), or `None`.

        Pure: the same scope gives the same answer, and is not changed. Paths that are no
        paths (`*`, an authority, `""` with no `root_path`) match nothing.
        """
        found = self.find(scope)
        return None if found is None else Resolution(*found)

    def find(self, scope: Scope) -> Found[M] | None:
        """What `resolve` answers, as a plain tuple, which is quicker made."""
        root_path, rest = split_root_path(scope, path_has_root=self.path_has_root)
        if rest[:1] != "/" and (rest or not root_path):
            return None
        return self._find(scope, root_path, rest, self._host_of(scope) if self.has_hosts else None)

    def choose(self, scope: Scope) -> Found[M] | None:
        """`find`, for requests as they come from a network: this is where the time of a decision
        goes. Three ways, from the quickest and most frequent to the one that can do everything;
        each leaves to the next what it cannot tell.

        One view decides, or none: if the mount would be another, or be another's, for whoever
        reads the segments of `raw_path`, or the path without its dot segments, empty segments and
        backslashes, then one of those in front of this server may have taken the request for
        another one than it is. If all agree, the path goes through as it is. Control characters
        are refused, and where hosts are conditions a request without exactly one proper `Host`
        (RFC 9112, section 3.2; HTTP/1.0 may leave it out).

        Raises:
            ImproperRequestError: nobody is to answer the request; it is one for a 400.
        """
        path: str = scope["path"]
        try:
            raw_path, root_path = scope["raw_path"], scope["root_path"]
        except KeyError:
            raw_path, root_path = scope.get("raw_path"), scope.get("root_path", "")
        # Whether the path may have several views: `paths.is_odd`, without the call. (37 is "%": to
        # look for a number in bytes is much quicker than to look for bytes.)
        is_odd = (
            "//" in path
            or "/." in path
            or "\\" in path
            or not path.isprintable()
            or (raw_path and 37 in raw_path)
        )
        # 1. By the first segment, in one look-up, where no mount is deeper and none has a host.
        first = self._first
        if first is not None and not is_odd and not root_path:
            parts = path.split("/", 2)  # never further than needed, whatever the path
            if parts[0] or len(parts) == 1:
                return None
            number = first.get(parts[1], self._otherwise)
            if isinstance(number, _Node):
                number = number.settle(scope, self._otherwise)
            if isinstance(number, int):
                prefix = self._rules[number].path.path
                return self._mounts[number], "", prefix, path[len(prefix) :], {}
            if number is None:
                return None
            # What is left is a node that does not settle it: `_UNDECIDED`.
        host = None
        if self.has_hosts:
            host = self._host_of(scope)
            if host is None and not _may_lack_host(scope):
                raise ImproperRequestError(
                    "The request has no Host header, several, or no proper one."
                )
        if root_path:
            root_path, rest = split_root_path(scope, path_has_root=self.path_has_root)
        else:
            rest = path
        if rest[:1] != "/":
            if not self._live:
                return None
            if is_odd and has_control(path):
                raise ImproperRequestError(_HAS_CONTROL)
            return self._find(scope, root_path, rest, host) if root_path and not rest else None
        found = self._find(scope, root_path, rest, host)
        if is_odd and self._live:
            self._refuse_other_views(scope, root_path, rest, host, found)
        return found

    def _refuse_other_views(
        self, scope: Scope, root_path: str, rest: str, host: HostPort | None, found: Found[M] | None
    ) -> None:
        if has_control(scope["path"]):
            raise ImproperRequestError(_HAS_CONTROL)
        for view in other_views(scope, root_path, rest):
            if view is None:
                reason = f"The path {rest!r} may be read as one above {root_path!r}."
                raise ImproperRequestError(reason)
            if _choice(found) != _choice(self._find(scope, root_path, view, host)):
                raise ImproperRequestError(
                    f"The path {rest!r} may be read as {view!r}, which is another mount's."
                )

    def refusal(self, scope: Scope) -> str | None:
        """Why `choose` refuses a request; `None` if it does not."""
        try:
            self.choose(scope)
        except ImproperRequestError as exc:
            return str(exc)
        return None

    def knows_host(self, scope: Scope) -> bool:
        """Whether the host of a request is that of any mount."""
        host = self._host_of(scope)
        return host is not None and bool(self._trees_of(host))

    def _find(
        self, scope: Scope, root_path: str, rest: str, host: HostPort | None
    ) -> Found[M] | None:
        if self._priorities:
            return self._decide(scope, root_path, rest, host)
        # 2. By a walk down the segments; a more specific host goes before any path.
        found: Found[M] | None
        if host is not None:
            trees = self._trees_of(host)
            if len(trees) > 1 and any(a.rank == b.rank for (a, _), (b, _) in pairwise(trees)):
                return self._decide(scope, root_path, rest, host)
            for pattern, tree in trees:
                if isinstance(tree, int):
                    return self._mounts[tree], root_path, "", rest, {}
                found = tree.walk(scope, root_path, rest)
                if found is _UNDECIDED:
                    return self._decide(scope, root_path, rest, host)
                if found is not None:
                    if pattern.host is None:
                        return (*found[:4], {**(pattern.match(host) or {}), **found[4]})
                    return found
        found = self._any_host.walk(scope, root_path, rest)
        if found is _UNDECIDED:
            return self._decide(scope, root_path, rest, host)
        return found

    def _host_of(self, scope: Scope) -> HostPort | None:
        """`hosts.request_host`, which remembers the spellings of hosts that are mounted. Those of
        other hosts are never kept: a client may make up as many as it likes."""
        value = None
        for name, found in scope["headers"]:
            if name == b"host":
                if value is not None:
                    return None
                value = found
        # A port that is left out is the scheme's; that matters where a mount has a port.
        key = (value, scope.get("scheme")) if self._ports else value
        host = self._spellings.get(key)
        if host is None and value is not None:
            host = host_of_value(value, scope)
            if host is not None and self._trees_of(host):
                if len(self._spellings) > _SPELLINGS + 2 * self._live:
                    self._spellings.clear()
                self._spellings[key] = host
        return host

    def _trees_of(self, host: HostPort) -> Sequence[tuple[HostPattern, int | _Tree]]:
        """What is mounted at a host, the most specific first."""
        exact = self._exact.get(host.host)
        if not self._trees:
            return () if exact is None else ((_EXACT, exact),)
        trees: list[tuple[HostPattern, int | _Tree]] = list(self._patterns.find(host))
        if exact is not None:
            # Of the patterns only the same host with a port is more specific.
            at = len(trees) > 0 and trees[0][0].host is not None
            trees.insert(at, (_EXACT, exact))
        return trees

    def _decide(
        self, scope: Scope, root_path: str, rest: str, host: HostPort | None
    ) -> Found[M] | None:
        """3. Any table, any request: ask all that may match, in their order."""
        rules = self._rules
        numbers = self._any_host.find(rest)
        for _, tree in () if host is None else self._trees_of(host):
            if isinstance(tree, int):
                numbers.append(tree)
            else:
                numbers += tree.find(rest)
        candidates = sorted((rules[number].rank, number) for number in numbers)
        for position, (rank, chosen) in enumerate(candidates):
            number, rule = chosen, rules[chosen]
            found = rule.match(scope, rest, host)
            if found is None:
                continue
            if rule.accept is not None:
                equals = [n for r, n in candidates[position:] if r == rank]
                number, found = self._negotiate(equals, found, scope, rest, host)
            prefix, params = found
            return self._mounts[number], root_path, prefix, rest[len(prefix) :], params
        return None

    def _negotiate(
        self,
        numbers: Sequence[int],
        match: tuple[str, dict[str, Any]],
        scope: Scope,
        rest: str,
        host: HostPort | None,
    ) -> tuple[int, tuple[str, dict[str, Any]]]:
        """Of mounts that are equally specific, the one whose media type is wanted most. The first
        of them takes the request with `match`."""
        best, best_quality = numbers[0], -1.0
        for number in numbers:
            rule = self._rules[number]
            if rule.accept is None:
                continue
            quality = rule.accept.quality(scope)
            if quality > best_quality:
                found = rule.match(scope, rest, host)
                if found is not None:
                    best, match, best_quality = number, found, quality
        return best, match

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


def _choice(found: Found[Any] | None) -> Any:
    """What must not depend on the reader: the mount, and whose it is."""
    return None if found is None else (id(found[0]), found[4])


def _may_lack_host(scope: Scope) -> bool:
    return scope.get("http_version") == "1.0" and all(k != b"host" for k, _ in scope["headers"])


def _example(rule: Rule) -> str:
    from mountkit.witnesses import describe_request, overlap

    scope = overlap(rule, rule)
    return "" if scope is None else f", such as {describe_request(scope)}"


# Stands for the pattern of a host in `Table._exact`.
_EXACT = HostPattern("exact")
# What most nodes have; never written to.
_NOTHING: Any = {}


def _is_leaf(rule: Rule) -> bool:
    return not rule.conditions and not rule.path.exact


def _is_plain(host: HostPattern) -> bool:
    return host.host is not None and host.port is None


class _Tree:
    """The mounts of one host, by path.

    Args:
        mounts, rules: those of the table, by number.
    """

    __slots__ = ("_depth", "_depths", "_mounts", "_multi", "_root", "_rules")

    def __init__(self, mounts: list[Any], rules: list[Rule]) -> None:
        self._mounts = mounts
        self._rules = rules
        self._root = _Node()
        self._depth = 0
        self._depths: dict[int, int] = {}
        # A placeholder that holds slashes fits no tree of segments. These are rare.
        self._multi: list[int] = []

    def is_empty(self) -> bool:
        return not self._multi and self._root.is_empty()

    @property
    def first(self) -> dict[str, int | _Node] | None:
        """The mounts by their only segment, if that is how all of them can be found."""
        root = self._root
        if self._multi or self._depth > 1 or root.placeholders or root.choices or root.exact:
            return None
        return root.static

    @property
    def otherwise(self) -> int | None:
        """The mount at the root."""
        return self._root.only

    def beside(self, path: PathPattern) -> Sequence[int]:
        """The mounts at the same path, and perhaps others."""
        if path.multi is not None:
            return self._multi
        node: int | _Node | None = self._root
        for segment in path.segments:
            if not isinstance(node, _Node):
                return ()
            if isinstance(segment, str):
                node = node.static.get(segment)
            else:
                node = node.placeholders.get(segment.key, (None, None))[1]
        if node is None:
            return ()
        return (node,) if isinstance(node, int) else [*node.exact, *node.prefix]

    def add(self, number: int, rule: Rule) -> None:
        path = rule.path
        if path.multi is not None:
            self._multi.append(number)
            return
        segments = path.segments
        depth = len(segments)
        self._depths[depth] = self._depths.get(depth, 0) + 1
        if depth > self._depth:
            self._depth = depth
        node = self._root
        for segment in segments[:-1]:
            node = node.child(segment)
        if segments:
            last = segments[-1]
            if isinstance(last, str) and _is_leaf(rule) and last not in node.static:
                node.add_leaf(last, number)
                return
            node = node.child(last)
        node.add(number, rule, self._rules)

    def remove(self, number: int, rule: Rule) -> None:
        path = rule.path
        if path.multi is not None:
            self._multi.remove(number)
            return
        depth = len(path.segments)
        self._depths[depth] -= 1
        if not self._depths[depth]:
            del self._depths[depth]
            self._depth = max(self._depths, default=0)
        self._root.remove(number, path.segments)

    def walk(self, scope: Scope, root_path: str, rest: str) -> Found[Any] | None:
        """The last mount on the way down, if no node on the way asks for more than that.

        Returns:
            `_UNDECIDED` if one does.
        """
        node = self._root
        if not node.is_plain or self._multi or not rest:
            return _UNDECIDED  # type: ignore[no-any-return]
        best = node.only
        end = position = 0
        waiting = None if node.choices is None else [(0, node.choices)]
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)[1:]
        for part in parts:
            child = node.static.get(part)
            if child is None:
                child = node.lone
                if child is None or not part:
                    break
            position += len(part) + 1
            if isinstance(child, int):  # nothing is below
                best, end = child, position
                break
            node = child
            if not node.is_plain:
                return _UNDECIDED  # type: ignore[no-any-return]
            if node.only is not None:
                best, end = node.only, position
            if node.choices is not None:
                if waiting is None:
                    waiting = []
                waiting.append((position, node.choices))
        if waiting is not None:
            for position, choices in waiting[::-1]:
                if position < end:
                    break
                number = choices.first(scope)
                if number is not None:
                    best, end = number, position
                    break
        if best is None:
            return None
        names = self._rules[best].path.bare_names
        params = {name: parts[at] for at, name in names} if names else {}
        return self._mounts[best], root_path, rest[:end], rest[end:], params

    def find(self, rest: str) -> list[int]:
        """The mounts whose path matches, or would if a placeholder's text can be converted."""
        found = list(self._multi)
        # Never split further than the deepest mount: a path of 10,000 slashes costs no more.
        parts = rest.split("/", self._depth + 1)[1:]
        found += self._root.prefix
        live = [self._root]
        for depth, part in enumerate(parts, 1):
            reached: list[int | _Node] = []
            for node in live:
                reached += node.children(part)
            live = []
            for child in reached:
                if isinstance(child, int):
                    found.append(child)
                else:
                    live.append(child)
                    found += child.prefix
                    if depth == len(parts):
                        found += child.exact
            if not live:
                break
        if not parts:  # "" is "/" (RFC 3986, section 6.2.3)
            slash = self._root.static.get("")
            if isinstance(slash, _Node):
                found += slash.exact
        return found


class _Node:
    """The segments of all mounts that begin alike.

    A mount that is static, has no conditions and nothing below it has no node, but its number in
    the place of one.

    Attributes:
        is_plain: a walk may go through: what is below and what is here can be told by the next
            segment, and by the conditions of the mounts here alone.
        only: the mount that ends here without a condition.
        choices: those that end here with conditions.
        lone: what is below the one placeholder, if it is plain.
    """

    __slots__ = ("bare", "choices", "exact", "is_plain", "lone", "only", "placeholders", "static")

    def __init__(self) -> None:
        self.static: dict[str, int | _Node] = _NOTHING
        self.placeholders: dict[str, tuple[Segment, _Node]] = _NOTHING
        self.bare: tuple[int, ...] = ()  # several if their priorities differ
        self.exact: tuple[int, ...] = ()
        self.choices: _Choices | None = None
        self.is_plain = True
        self.only: int | None = None
        self.lone: _Node | None = None

    @property
    def prefix(self) -> Sequence[int]:
        """All mounts that end here and take what is below."""
        return self.bare if self.choices is None else [*self.bare, *self.choices.numbers]

    def is_empty(self) -> bool:
        return not (self.static or self.placeholders or self.prefix or self.exact)

    def _refresh(self) -> None:
        """See what a walk may do here, after a change."""
        self.only = self.bare[0] if self.bare else None
        self.is_plain = not self.exact and (self.choices is None or self.choices.is_plain)
        self.lone = None
        if self.placeholders:
            (segment, node), *others = self.placeholders.values()
            self.lone = node
            # A static segment beside it would have to be tried first, and this one after it.
            self.is_plain &= not others and not self.static and segment.bare is not None

    def add(self, number: int, rule: Rule, rules: list[Rule]) -> None:
        """A mount that ends here."""
        if rule.path.exact:
            self.exact = (*self.exact, number)
        elif rule.conditions:
            if self.choices is None:
                self.choices = _Choices(rules)
            self.choices.add(number)
        else:
            self.bare = (*self.bare, number)
        self._refresh()

    def add_leaf(self, segment: str, number: int) -> None:
        """A mount without conditions, one static segment below, where nothing is yet."""
        if self.static:
            self.static[segment] = number
        else:
            self.static = {segment: number}
            self._refresh()

    def child(self, segment: str | Segment) -> _Node:
        """The node below, made if need be."""
        if isinstance(segment, str):
            known = self.static.get(segment)
            if isinstance(known, _Node):
                return known
            node = _Node()
            if known is not None:
                node.bare = (known,)
                node._refresh()
            if self.static is _NOTHING:
                self.static = {}
            self.static[segment] = node
            self._refresh()
            return node
        if segment.key not in self.placeholders:
            self.placeholders = {**self.placeholders, segment.key: (segment, _Node())}
            self._refresh()
        return self.placeholders[segment.key][1]

    def settle(self, scope: Scope, otherwise: int | None) -> int | None:
        """The mount that ends here, if nothing is below; `otherwise` if there is none."""
        if not self.is_plain:
            return _UNDECIDED  # type: ignore[no-any-return]
        number = None if self.choices is None else self.choices.first(scope)
        if number is None:
            number = self.only
        return otherwise if number is None else number

    def children(self, part: str) -> Iterable[int | _Node]:
        if part in self.static:
            yield self.static[part]
        for segment, node in self.placeholders.values():
            if segment.match(part) is not None:
                yield node

    def remove(self, number: int, segments: Sequence[str | Segment]) -> None:
        """Remove a mount below here, and every node that becomes empty."""
        if not segments:
            self.exact = tuple(n for n in self.exact if n != number)
            self.bare = tuple(n for n in self.bare if n != number)
            if self.choices is not None and number in self.choices.numbers:
                self.choices = self.choices.without(number)
            self._refresh()
            return
        first, *rest = segments
        if isinstance(first, str):
            child = self.static[first]
            if isinstance(child, _Node):
                child.remove(number, rest)
            if isinstance(child, int) or child.is_empty():
                del self.static[first]
        else:
            below = self.placeholders[first.key][1]
            below.remove(number, rest)
            if below.is_empty():
                del self.placeholders[first.key]
        self._refresh()


class _Choices:
    """The mounts with conditions that end at one node, in their order.

    Where each of them wants one value of the same header, as versions and tenants are told apart,
    one look-up finds the mount, however many there are.

    Attributes:
        numbers: in their order, unless they are looked up.
        is_plain: whether the first whose conditions hold takes the request.
    """

    __slots__ = ("_by_value", "_header", "_rules", "is_plain", "numbers")

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self.numbers: list[int] = []
        self.is_plain = True
        self._header = b""
        self._by_value: dict[bytes, int] | None = {}

    def _order(self, number: int) -> tuple[Any, ...]:
        return (self._rules[number].rank, number)

    def add(self, number: int) -> None:
        rule = self._rules[number]
        if self._by_value is not None:
            wanted = _wanted_value(rule)
            if wanted is not None and (wanted[0] == self._header or not self._by_value):
                self._header, value = wanted
                if value not in self._by_value:  # it is where their priorities differ
                    self._by_value[value] = number
                    self.numbers.append(number)
                    return
            self._by_value = None
            self.numbers.sort(key=self._order)
        insort(self.numbers, number, key=self._order)
        self.is_plain &= rule.accept is None

    def without(self, number: int) -> _Choices | None:
        """What is left without a mount; `None` if that is nothing."""
        self.numbers.remove(number)
        if self._by_value is not None:
            del self._by_value[_wanted_value(self._rules[number])[1]]  # type: ignore[index]
        elif not self.is_plain:
            self.is_plain = all(self._rules[n].accept is None for n in self.numbers)
        return self if self.numbers else None

    def first(self, scope: Scope) -> int | None:
        """The first of them whose conditions hold."""
        if self._by_value is not None:
            header, value = self._header, None
            for name, given in scope["headers"]:
                if name == header:
                    if value is not None and given != value:  # two values satisfy none
                        return None
                    value = given
            return None if value is None else self._by_value.get(value)
        for number in self.numbers:
            for matcher in self._rules[number].conditions:
                if not matcher.matches(scope):
                    break
            else:
                return number
        return None


def _wanted_value(rule: Rule) -> tuple[bytes, bytes] | None:
    """The header and its one value, if that is all that a mount asks for."""
    if len(rule.conditions) == 1:
        matcher = rule.conditions[0]
        if type(matcher) is Header and matcher.raw_wanted is not None:
            return matcher.raw_name, matcher.raw_wanted
    return None
