"""The decision: which mount takes a request. A pure function of the scope.

A table is an index over rules. Hosts lead to a tree of path segments, whose nodes hold the mounts
that end there. There are three ways through it, from the quickest and most frequent to the one that
decides everything, and each leaves to the next what it cannot tell:

1. one look-up of the first segment, if all mounts have at most one, and no host (`Tree.look_up`);
2. a walk down the segments, in which the last mount on the way takes the request (`Tree.walk`);
3. all mounts that may match, asked in their order (`Rule.rank`, `Table._ask_all`).

The first two do not depend on the number of mounts or hosts. The obvious way to decide, against
which all three are tested, is `tests/reference.py`.

Inside, a mount is its number: its place in the order of declaration. So an entry of an index costs
a small integer, and 100,000 mounts are one dictionary of segments and numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from mountkit.matching.decisions import Refusal, Resolution
from mountkit.matching.entries import Entries, M, Ruled
from mountkit.matching.host_trees import Place
from mountkit.matching.hosts import may_lack_host
from mountkit.matching.paths import split_root_path
from mountkit.matching.preflights import announced
from mountkit.matching.rules import Rule
from mountkit.matching.trees import UNDECIDED
from mountkit.matching.views import has_control, has_fragment, is_odd, other_views, target_refusal
from mountkit.tasks import reraise

__all__ = ["Refusal", "Resolution", "Ruled", "Table"]

if TYPE_CHECKING:
    from mountkit.matching.findings import Finding


# A tunnel, and perhaps a preflight.
_RARE = frozenset(("CONNECT", "OPTIONS"))


class Table(Entries[M]):
    """Compiled mounts, which decide where a request goes.

    Args:
        mounts: in the order of declaration, which is the last criterion.
        path_has_root: see `paths.split_root_path`.

    Raises:
        ConflictError: two of them would take exactly the same requests.
    """

    def __init__(self, mounts: Iterable[M] = (), *, path_has_root: bool | None = None) -> None:
        self.path_has_root = path_has_root
        super().__init__(mounts)

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

    def decide(self, scope: Scope) -> Resolution[M] | Refusal | None:
        """The mount that takes this request; or a refusal, if no app may see it; or `None`, if no
        mount takes it. No mount takes a scope of another type than `http` and `websocket`.

        Pure: the same scope gives the same answer, and is not changed.

        A request is refused if the table has mounts and

        - its target is not a path (RFC 9112, section 3.2; see `views.target_refusal`);
        - mounts have hosts, and it has no `Host` header, several, or not a valid one (RFC 9112,
          section 3.2; HTTP/1.0 may leave it out);
        - its path has a control character in it, or its target a fragment;
        - its path can be read in several ways that lead to different mounts, or to other values
          of placeholders; see `views.other_views`. Whatever stands in front of this server may
          have read it differently and let it pass for that reason. If all views agree, the path
          goes through as it is.

        A preflight goes where the request that it announces would go, unless a mount takes it by
        its own method.
        """
        if scope["type"] not in ("http", "websocket"):
            return None
        rest = path = scope["path"]
        try:
            raw_path, root_path = scope["raw_path"], scope["root_path"]
            query = scope["query_string"]
        except KeyError:  # they are optional
            return self.decide({"raw_path": None, "root_path": "", "query_string": b"", **scope})
        if root_path:
            root_path, rest = split_root_path(scope, path_has_root=self.path_has_root)
        odd = is_odd(path, raw_path) or (query and has_fragment(scope))
        quick = None if odd else self._quick
        try:
            found = UNDECIDED if quick is None else quick(scope, root_path, rest)
            if found is UNDECIDED:
                found = self._decide(scope, root_path, rest, odd)
        except BaseException as exc:
            reraise(exc, "A condition of a mount")
        if (found is None and path[:1] != "/") or scope.get("method") in _RARE:
            return self._decide_rare(scope, found)
        return found

    def _decide_rare(
        self, scope: Scope, found: Resolution[M] | Refusal | None
    ) -> Resolution[M] | Refusal | None:
        """`decide`, for targets that are not paths, CONNECT and OPTIONS."""
        refusal = target_refusal(scope) if self._live else None
        if refusal is None and not isinstance(found, Refusal):
            asked = announced(scope, found)
            return found if asked is None else self.decide(asked)
        return refusal or found

    def _decide(
        self, scope: Scope, root_path: str, rest: str, odd: bool
    ) -> Resolution[M] | Refusal | None:
        """`decide`, for every table and request whose target is a path."""
        if not self._live:
            return None
        if odd and has_control(scope["path"]):
            return Refusal(400, "The path has a control character in it.")
        place = None
        if self.has_hosts:
            place = self._hosts.place_of(scope)
            if place is None and not may_lack_host(scope):
                return Refusal(400, "The request has no Host header, several, or not a valid one.")
        found = self._search(scope, root_path, rest, place)
        if not odd:
            return found
        chosen = _choice(found)
        refusal = None
        for view in other_views(scope, root_path, rest):
            if view is None:
                reason = f"The path {rest!r} may be read as another, or as one above {root_path!r}."
                refusal = Refusal(400, reason, is_ambiguous=found is not None)
            elif chosen != _choice(self._search(scope, root_path, view, place)):
                reason = f"The path {rest!r} may be read as {view!r}, which is another mount's."
                return Refusal(400, reason, is_ambiguous=True)
        if refusal is not None:
            return refusal
        return Refusal(400, "The target has a fragment.") if has_fragment(scope) else found

    def resolve(self, scope: Scope) -> Resolution[M] | None:
        """The mount that would take this request if no request were refused; see `decide`."""
        if scope["type"] not in ("http", "websocket"):
            return None
        root_path, rest = split_root_path(scope, path_has_root=self.path_has_root)
        place = self._hosts.place_of(scope) if self.has_hosts else None
        found = self._search(scope, root_path, rest, place)
        asked = announced(scope, found)
        return found if asked is None else self.resolve(asked)

    def knows_host(self, scope: Scope) -> bool:
        """Whether any mount has the host of a request, or its scope is of a type without one."""
        if scope["type"] not in ("http", "websocket"):
            return True
        place = self._hosts.place_of(scope)
        return place is not None and bool(place.trees)

    def _search(
        self, scope: Scope, root_path: str, rest: str, place: Place | None
    ) -> Resolution[M] | None:
        """The mount for one view of a path, at one place."""
        if rest[0] != "/" if rest else not root_path:
            return None
        if self._priorities or (place is not None and place.is_tied):
            return self._ask_all(scope, root_path, rest, place)
        found: Resolution[M] | None
        # A more specific host goes before any path.
        for params, tree in () if place is None else place.trees:
            if isinstance(tree, int):
                return Resolution(self._mounts[tree], root_path, "", rest, {})
            found = tree.walk(scope, root_path, rest)
            if found is UNDECIDED:
                return self._ask_all(scope, root_path, rest, place)
            if found is not None:
                if params:
                    found.params = {**params, **found.params}
                return found
        found = self._any_host.walk(scope, root_path, rest)
        if found is UNDECIDED:
            return self._ask_all(scope, root_path, rest, place)
        return found

    def _ask_all(
        self, scope: Scope, root_path: str, rest: str, place: Place | None
    ) -> Resolution[M] | None:
        """Any table, any request: ask all mounts that may match, in their order."""
        rules = self._rules
        numbers = self._any_host.find(rest)
        host = None if place is None else place.host
        for _, tree in () if place is None else place.trees:
            if isinstance(tree, int):
                numbers.append(tree)
            else:
                numbers += tree.find(rest)
        candidates = sorted((rules[number].rank, number) for number in numbers)
        matches = (
            (rank, number, found)
            for rank, number in candidates
            if (found := rules[number].match(scope, rest, host)) is not None
        )
        best = next(matches, None)
        if best is None:
            return None
        rank, number, (prefix, params) = best
        if rules[number].accept is not None:
            # Of those that are equally specific, the one whose media type the client prefers.
            equals = [best, *takewhile(lambda match: match[0] == rank, matches)]
            best = max(equals, key=lambda match: _quality(rules[match[1]], scope))
            _, number, (prefix, params) = best
        return Resolution(self._mounts[number], root_path, prefix, rest[len(prefix) :], params)

    def check(self) -> list[Finding]:
        """Likely mistakes in this table.

        Mounts that can never be reached, and what hides them; pairs that overlap without either
        being more specific, with such a request; prefixes that end in a slash or have a form that
        requests never have. Your own conditions cannot be read, and are not guessed.
        """

        from mountkit.matching.findings import check_rules  # a server does not need it

        def resolve(scope: Scope) -> Rule | None:
            found = self.resolve(scope)
            return None if found is None else found.mount.rule

        return list(check_rules([mount.rule for mount in self.mounts], resolve))


def _choice(found: Resolution[Any] | None) -> Any:
    """What must not depend on the reader: the mount, and the values of its placeholders."""
    return None if found is None else (id(found.mount), found.params)


def _quality(rule: Rule, scope: Scope) -> float:
    return -1.0 if rule.accept is None else rule.accept.quality(scope)
