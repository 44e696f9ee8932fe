"""What the configurations of all routers have in common: names, comments, options."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mountkit.exceptions import PatternError
from mountkit.export.conditions import Check
from mountkit.export.plans import ExportError, Plan, Row, refused
from mountkit.export.spellings import may_backtrack

#: What a client must not say of a prefix: an app could take it for the server's.
UNTRUSTED = (
    *("Script-Name", "Script_Name", "X-Forwarded-Prefix", "X_Forwarded_Prefix"),
    *("X-Forwarded_Prefix", "X_Forwarded-Prefix"),
)
#: Assumptions that can be made of all requests.
ASSUMPTIONS = ("no-preflights", "no-websockets", "plain-paths", "well-formed")
#: Headers that make a preflight or a websocket: no browser repeats one or leaves it empty.
_OWN = ("access-control-request-headers", "access-control-request-method", "origin", "upgrade")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9][A-Za-z0-9._-]*)?):([0-9]{1,5})")


@dataclass(frozen=True)
class Options:
    """How a router is to be configured.

    Attributes:
        name: of the app, for comments.
        host: it listens there; `""` for all addresses.
        assumed: some of `ASSUMPTIONS`.
        gateway: the name of the Gateway, for the Gateway API.
    """

    name: str
    host: str = ""
    port: int = 8080
    assumed: frozenset[str] = frozenset()
    gateway: str = "mountkit"

    @property
    def is_well_formed(self) -> bool:
        return "well-formed" in self.assumed

    @property
    def title(self) -> str:
        name = in_a_line(self.name)
        return f"The mounts of {name}, made by mountkit export; the first that matches wins."


def in_a_line(text: str) -> str:
    """A text for a comment, which it does not end. The line where a mount is written is left out:
    it moves with every change above it."""
    text = re.sub(r":[0-9]+$", "", text)
    return "".join(char if char.isprintable() else "?" for char in text)


def read_listen(text: str) -> tuple[str, int]:
    """A host, which may be empty, and a port.

    Raises:
        PatternError: it is something else.
    """
    match = _LISTEN.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise PatternError(f"Listen {text!r} is not an address; write 'host:port' or ':8080'.")
    return match[1], int(match[2])


def cannot(router: str, row: Row, test: Check, reason: str) -> ExportError:
    """What a router cannot say, of which mount, and why."""
    return ExportError(f"{row.about} cannot be exported to {router}: {test.about}: {reason}.")


def check_headers(plan: Plan, options: Options, router: str, reason: str) -> None:
    """Refuse conditions on headers that a router reads in its own way, unless requests are assumed
    to be well-formed.

    Raises:
        ExportError: there is one.
    """
    for row in () if options.is_well_formed else plan.rows:
        for test in row.tests:
            if test.header and test.header not in _OWN:
                raise cannot(router, row, test, f"{reason}; --assume well-formed leaves that out")


def check_linear(plan: Plan) -> None:
    """For routers whose regular expressions backtrack.

    Raises:
        ExportError: a client could keep one busy.
    """
    for rule, _ in plan.mounts:
        if may_backtrack(rule.path):
            what = f"path {rule.path.text!r}"
            raise refused(rule, what, "to find its placeholders takes PCRE too long; use a slash")


def names_of(tests: Iterable[Check], length: int = 24) -> dict[Check, str]:
    """A name for each test, in letters, digits and underscores; a hash is a part of those that
    would be the same."""
    plain = {test: _slug(test.about)[:length] for test in tests}
    count = Counter(plain.values())
    return {
        test: name if count[name] == 1 and name else f"{name}_{digest_of([test])}"
        for test, name in plain.items()
    }


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def digest_of(tests: Iterable[Check]) -> str:
    """A short name that depends on what is tested alone."""
    text = "\n".join(f"{test.subject} {test.regex} {test.negated}" for test in tests)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


_PARTS = {
    "refused": "== What no mount gets, as routers and servers read it in several ways.",
    "plain": "== The mounts, the first of which wins.",
    "every": "== The same, for all other paths: encoded, with dots, or with empty segments.",
}


def commented(rows: Iterable[Row], written: Callable[[Row], Iterable[str]]) -> Iterator[str]:
    """The lines of all rows, those of each mount below a comment."""
    part, about = "", ""
    for row in rows:
        if row.part != part:
            part, about = row.part, ""
            yield f"# {_PARTS[part]}"
        if row.about != about:
            about = row.about
            yield f"# {in_a_line(about)}"
        yield from written(row)
