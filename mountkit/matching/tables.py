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

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from starlette.types import Scope

from mountkit.exceptions import ConflictError, ImproperRequestError, PatternError
from mountkit.matching.hosts import HostIndex, HostPattern, HostPort, host_of_value, plain_name
from mountkit.matching.paths import has_control, other_views, split_root_path
from mountkit.matching.rules import Rule
from mountkit.matching.trees import UNDECIDED, Found, Node, Tree, is_leaf

if TYPE_CHECKING:
    from mountkit.matching.findings import Finding


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


class Place(NamedTuple):
    """What is mounted at the host of a request.

    Attributes:
        host: in its normal form.
        trees: the most specific first, with what their placeholders hold; a number if all that is
            mounted there is one root.
        is_tied: whether two of them are equally specific.
        generation: the hosts of the table have changed since, if it is an older one.
    """

    host: HostPort
    trees: Sequence[tuple[dict[str, Any], int | Tree]]
    is_tied: bool
    generation: int


# Spellings of known hosts that are remembered, besides two for each host.
_SPELLINGS = 1000
# Numbers that were given up, besides as many as are in use, before all are given anew.
_HOLES = 100
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
        #: The mounts by number; `None` where one was removed.
        self.by_number: list[Any] = []
        # The rules that they had when they came.
        self._rules: list[Rule] = []
        self._sorted: tuple[M, ...] | None = None
        self._declared: tuple[M, ...] | None = None
        self._places: dict[Any, Place] = {}  # by the spellings of hosts
        self._generation = 0  # of the hosts
        self._clear()
        self.apply(add=mounts)

    def _clear(self) -> None:
        self.by_number.clear()
        self._rules.clear()
        self._live = 0
        self._priorities = 0  # how many mounts have one
        self._any_host = Tree(self.by_number, self._rules)
        # A host alone, without a port; a number if all that is mounted there is one root.
        self._exact: dict[str, int | Tree] = {}
        # Hosts with ports, wildcards and placeholders.
        self._patterns: HostIndex[Tree] = HostIndex()
        self._trees: dict[Any, Tree] = {}  # those of the patterns, by their keys
        self._ports = 0  # how many of them have one
        #: Whether any mount has a condition on the host.
        self.has_hosts: bool = False
        self._otherwise: int | None = None  # the mount at the root of any host
        #: The first segments of a table whose every mount is found by it, if at all; else empty.
        self.first: dict[str, int | Node] = {}

    @property
    def is_empty(self) -> bool:
        """Whether it has no mounts."""
        return not self._live

    @property
    def mounts(self) -> Sequence[M]:
        """The mounts in the order in which they are tried."""
        if self._sorted is None:
            pairs = [(n, mount) for n, mount in enumerate(self.by_number) if mount is not None]
            pairs.sort(key=lambda pair: (self._rules[pair[0]].rank, pair[0]))
            self._sorted = tuple(mount for _, mount in pairs)
        return self._sorted

    @property
    def declared(self) -> Sequence[M]:
        """The mounts in the order of their declaration."""
        if self._declared is None:
            self._declared = tuple(mount for mount in self.by_number if mount is not None)
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
            PatternError: a mount to be removed or replaced is not in the table, or named twice.
            In both cases nothing has changed.
        """
        leaving, taking, added = self._plan(add, remove, replace)
        for number in leaving:
            self._discard(number)
        for number, mount in taking:
            self._insert(number, mount)
        for mount in added:
            self.by_number.append(None)
            self._rules.append(mount.rule)
            self._insert(len(self.by_number) - 1, mount)
        while self.by_number and self.by_number[-1] is None:
            self.by_number.pop()
            self._rules.pop()
        if len(self.by_number) > 2 * self._live + _HOLES:
            self._renumber()
        self._sorted = self._declared = None
        self.has_hosts = bool(self._exact or self._trees)
        is_quick = not self.has_hosts and not self._priorities
        self.first = (self._any_host.first if is_quick else None) or {}
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
        leaving: set[int] = set()
        for number in chain((number for number, _ in taking), map(self._number, remove)):
            if number in leaving:
                raise PatternError(f"{self.by_number[number]!r} is to leave twice; name it once.")
            leaving.add(number)
        added = list(add)
        self._refuse_conflicts(chain((new for _, new in taking), added), leaving)
        return leaving, taking, added

    def _number(self, mount: M) -> int:
        for number in self._numbers_beside(mount.rule):
            if self.by_number[number] is mount:
                return number
        # Its path was set since it was added: it is where it was.
        for number, known in enumerate(self.by_number):
            if known is mount:
                return number
        raise PatternError(f"{mount!r} is not in the table; name a mount that is.")

    def _refuse_conflicts(self, coming: Iterable[M], leaving: Collection[int]) -> None:
        seen: dict[Any, Rule] = {}
        is_empty = not self._live
        for mount in coming:
            rule = mount.rule
            # To build large tables is mostly this. Most rules say one thing, whose key is there.
            host, path = rule.host, rule.path
            key: Any = None
            if not rule.conditions and not rule.priority:
                if host is None:
                    key = path.key
                elif not path.segments:
                    key = host.key
            if key is None:
                key = rule.key
            other = seen.get(key)
            seen[key] = rule
            if other is None and not is_empty:
                for number in self._numbers_beside(rule):
                    if number not in leaving and self._rules[number].key == rule.key:
                        other = self._rules[number]
            if other is not None:
                raise ConflictError(
                    f"Mount({rule!r}) at {rule.where} takes exactly the requests of "
                    f"Mount({other!r}) at {other.where}{_example(other)}; remove one, or give it "
                    "a condition or a priority of its own."
                )

    def _numbers_beside(self, rule: Rule) -> Sequence[int]:
        """The mounts with the same host and path, whatever their conditions."""
        host = rule.host
        tree: int | Tree | None
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
        self.by_number[number] = mount
        self._rules[number] = rule
        self._live += 1
        if rule.priority:
            self._priorities += 1
        host = rule.host
        if host is None:
            self._any_host.add(number, rule)
            return
        self._generation += 1
        tree: int | Tree | None
        name = host.host
        if name is not None and host.port is None:
            tree = self._exact.get(name)
            if tree is None and not rule.path.segments and is_leaf(rule):
                self._exact[name] = number
                return
            if not isinstance(tree, Tree):
                before, tree = tree, Tree(self.by_number, self._rules)
                self._exact[name] = tree
                if before is not None:
                    tree.add(before, self._rules[before])
        else:
            tree = self._trees.get(host.key)
            if tree is None:
                tree = self._trees[host.key] = Tree(self.by_number, self._rules)
                self._patterns.add(host, tree)
                self._ports += host.port is not None
        tree.add(number, rule)

    def _discard(self, number: int) -> None:
        rule = self._rules[number]
        self.by_number[number] = None
        self._live -= 1
        if rule.priority:
            self._priorities -= 1
        host = rule.host
        if host is None:
            self._any_host.remove(number, rule)
            return
        self._generation += 1
        if _is_plain(host):
            name = host.key[0]
            known = self._exact[name]
            if isinstance(known, Tree):
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
        pairs = [(m, r) for m, r in zip(self.by_number, self._rules, strict=True) if m is not None]
        self._clear()
        for number, (mount, rule) in enumerate(pairs):
            self.by_number.append(mount)
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
        place = self._place_of(scope) if self.has_hosts else None
        return self._find(scope, root_path, rest, place)

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
        # look for a number in bytes is much quicker than to look for bytes; of a long path,
        # `has_control` is quicker than `isprintable`.)
        is_odd = (
            "//" in path
            or "/." in path
            or "\\" in path
            or (not path.isprintable() if len(path) < 40 else has_control(path))
            or (raw_path and 37 in raw_path)
        )
        # 1. By the first segment, in one look-up, where no mount is deeper and none has a host.
        first = self.first
        if first and not is_odd and not root_path:
            parts = path.split("/", 2)  # never further than needed, whatever the path
            if parts[0] or len(parts) == 1:
                return None
            number = first.get(parts[1], self._otherwise)
            if isinstance(number, Node):
                number = number.settle(scope, self._otherwise)
            if isinstance(number, int):
                prefix = self._rules[number].path.path
                return self.by_number[number], "", prefix, path[len(prefix) :], {}
            if number is None:
                return None
            # What is left is a node that does not settle it: `UNDECIDED`.
        place = None
        if self.has_hosts:
            place = self._place_of(scope)
            if place is None and not _may_lack_host(scope):
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
            return self._find(scope, root_path, rest, place) if root_path and not rest else None
        found = self._find(scope, root_path, rest, place)
        if is_odd and self._live:
            self._refuse_other_views(scope, root_path, rest, place, found)
        return found

    def _refuse_other_views(
        self, scope: Scope, root_path: str, rest: str, place: Place | None, found: Found[M] | None
    ) -> None:
        if has_control(scope["path"]):
            raise ImproperRequestError(_HAS_CONTROL)
        for view in other_views(scope, root_path, rest):
            if view is None:
                reason = f"The path {rest!r} may be read as one above {root_path!r}."
                raise ImproperRequestError(reason)
            if _choice(found) != _choice(self._find(scope, root_path, view, place)):
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
        place = self._place_of(scope)
        return place is not None and bool(place.trees)

    def _find(
        self, scope: Scope, root_path: str, rest: str, place: Place | None
    ) -> Found[M] | None:
        if self._priorities:
            return self._decide(scope, root_path, rest, place)
        # 2. By a walk down the segments; a more specific host goes before any path.
        found: Found[M] | None
        if place is not None:
            if place.is_tied:
                return self._decide(scope, root_path, rest, place)
            for params, tree in place.trees:
                if isinstance(tree, int):
                    return self.by_number[tree], root_path, "", rest, {}
                found = tree.walk(scope, root_path, rest)
                if found is UNDECIDED:
                    return self._decide(scope, root_path, rest, place)
                if found is not None:
                    return (*found[:4], {**params, **found[4]}) if params else found
        found = self._any_host.walk(scope, root_path, rest)
        if found is UNDECIDED:
            return self._decide(scope, root_path, rest, place)
        return found

    def _place_of(self, scope: Scope) -> Place | None:
        """What is mounted at the host of a request; `None` if it has no proper one (see
        `hosts.request_host`). Spellings of hosts that are mounted are remembered. Those of others
        are never kept: a client may make up as many as it likes."""
        value = None
        for name, found in scope["headers"]:
            if name == b"host":
                if value is not None:
                    return None
                value = found
        if value is None:
            return None
        # A port that is left out is the scheme's; that matters where a mount has a port.
        key = (value, scope.get("scheme")) if self._ports else value
        place = self._places.get(key)
        if place is not None and place.generation == self._generation:
            return place
        if not self._trees:  # nobody asks for a port
            name = plain_name(value)
            if name is not None and name not in self._exact:
                return _NOWHERE
        host = host_of_value(value, scope)
        if host is None:
            return None
        place = self._place_at(host)
        if place.trees:
            if len(self._places) > _SPELLINGS + 2 * self._live:
                self._places.clear()
            self._places[key] = place
        return place

    def _place_at(self, host: HostPort) -> Place:
        patterns = list(self._patterns.find(host))
        is_tied = any(a.rank == b.rank for (a, _), (b, _) in pairwise(patterns))
        trees: list[tuple[dict[str, Any], int | Tree]] = [
            (pattern.match(host) or {}, tree) for pattern, tree in patterns
        ]
        if host.host in self._exact:
            # Of the patterns only the same host with a port is more specific.
            at = len(patterns) > 0 and patterns[0][0].host is not None
            trees.insert(at, ({}, self._exact[host.host]))
        return Place(host, trees, is_tied, self._generation)

    def _decide(
        self, scope: Scope, root_path: str, rest: str, place: Place | None
    ) -> Found[M] | None:
        """3. Any table, any request: ask all that may match, in their order."""
        rules = self._rules
        numbers = self._any_host.find(rest)
        host = None if place is None else place.host
        for _, tree in () if place is None else place.trees:
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
            return self.by_number[number], root_path, prefix, rest[len(prefix) :], params
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
        from mountkit.matching.findings import check_rules  # of no use to a server

        def resolve(scope: Scope) -> Rule | None:
            found = self.resolve(scope)
            return None if found is None else found.mount.rule

        return list(check_rules([mount.rule for mount in self.mounts], resolve))


def _choice(found: Found[Any] | None) -> Any:
    """What must not depend on the reader: the mount, and whose it is."""
    return None if found is None else (id(found[0]), found[4])


def _may_lack_host(scope: Scope) -> bool:
    # granian writes "1", and puts an empty header there.
    is_old = scope.get("http_version") in ("1.0", "1")
    return is_old and not any(k == b"host" and v for k, v in scope["headers"])


def _example(rule: Rule) -> str:
    from mountkit.matching.witnesses import describe_request, overlap

    scope = overlap(rule, rule)
    return "" if scope is None else f", such as {describe_request(scope)}"


# A host that is none of the table's. Which one it is does not matter then.
_NOWHERE = Place(HostPort("", None), (), False, 0)


def _is_plain(host: HostPattern) -> bool:
    return host.host is not None and host.port is None
