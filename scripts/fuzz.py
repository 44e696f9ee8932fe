"""Random tables and requests, held against the slow twin of the tests and against what must hold.

    scripts/fuzz --count 5000000

A request either gets the mount that the twin finds, with its path divided so that
`root_path + prefix + rest` is the path, and a scope below its own prefix; or it is refused. Never
an exception. The seed is printed; `--seed` replays it, and `--table` one table of it.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from urllib.parse import unquote

from starlette.types import Scope

from mountkit import ConflictError, Mount, PatternError, Table
from mountkit.matching.tables import Refusal, Resolution
from tests.support.reference import Spec, resolve
from tests.support.scopes import scope_of

#: Requests for each table.
REQUESTS = 500
SEGMENTS = (
    "a",
    "b",
    "ab",
    "A",
    "é",
    "{x}",
    "{y}",
    "{n:int}",
    "v{n}",
    "{x}-{y}",
    "{p:path}",
    ".",
    "..",
    "a.b",
)
RAW = (
    *(
        "a",
        "b",
        "ab",
        "A",
        "%C3%A9",
        "%61",
        "7",
        "v7",
        "a-b-c",
        "",
        ".",
        "..",
        "%2e%2e",
        "%2E",
        "%2F",
    ),
    *("a%2Fb", "%5C", "\\", "%00", "%0a", "%ff", "%25", "%252e", "a;b", "..;", "a.b", "%7Bx%7D"),
    *("b#c", "#", "%23"),
)
HOSTS = (
    "a.com",
    "b.a.com",
    "*.a.com",
    "*.b.a.com",
    "{t}.a.com",
    "{t}.com",
    "a.com:8000",
    "a{t}.com",
)
ASKED = (
    *(
        "a.com",
        "A.com",
        "a.com.",
        "a.com:80",
        "a.com:8000",
        "b.a.com",
        "c.b.a.com",
        "x.com",
        "ab.com",
    ),
    *("", "a..com", "u@a.com", "a.com:99999", "a.com:x", "[::1]", "a" * 70 + ".com", "é.com", "*"),
)
VALUES = ("1", "2")
METHODS = (("GET",), ("PUT",), ("PUT", "DELETE"), ("OPTIONS",), ("OPTIONS", "GET"))
PREFLIGHTS = (
    [("origin", "http://b.com"), ("access-control-request-method", "PUT")],
    [
        ("origin", "http://b.com"),
        ("access-control-request-method", "DELETE"),
        ("access-control-request-headers", "x,h"),
    ],
    [("origin", "http://b.com"), ("access-control-request-method", "OPTIONS")],
    [("access-control-request-method", "PUT")],
)


def specs(random: random.Random) -> Iterator[Spec]:
    """Mounts of a table."""
    for _ in range(random.randint(1, 25)):
        path = "".join("/" + random.choice(SEGMENTS) for _ in range(random.randint(0, 3)))
        yield Spec(
            path=path,
            exact=random.random() < 0.15,
            host=random.choice(HOSTS) if random.random() < 0.4 else None,
            methods=random.choice(METHODS) if random.random() < 0.15 else (),
            headers={"h": random.choice((*VALUES, True))} if random.random() < 0.15 else {},
            query={"q": random.choice(VALUES)} if random.random() < 0.1 else {},
            cookies={"c": random.choice(VALUES)} if random.random() < 0.1 else {},
            priority=random.choice((0, 0, 0, 1)) if random.random() < 0.2 else 0,
        )


def table_of(random: random.Random) -> tuple[Table[Spec], list[Spec]]:
    """A table, and the mounts that it took."""
    table: Table[Spec] = Table()
    taken: list[Spec] = []
    for spec in specs(random):
        try:
            table.apply(add=[spec])
        except (ConflictError, PatternError):
            continue
        taken.append(spec)
        if random.random() < 0.1:  # some leave again
            table.apply(remove=[taken.pop(random.randrange(len(taken)))])
    return table, taken


def request(random: random.Random) -> Scope:
    """Anything that a server may hand on."""
    raw_path = "".join("/" + random.choice(RAW) for _ in range(random.randint(0, 5)))
    root_path = random.choice(("", "", "", "/a", "/a/b", "/é"))
    if root_path and random.random() < 0.7:
        raw_path = root_path.replace("é", "%C3%A9") + raw_path
    headers = [("h", random.choice(VALUES)) for _ in range(random.choice((0, 0, 1, 2)))]
    headers += [("cookie", f"c={random.choice(VALUES)}")] * random.choice((0, 0, 1))
    headers += random.choice(PREFLIGHTS) if random.random() < 0.2 else []
    scope = scope_of(
        unquote(raw_path),
        host=[random.choice(ASKED) for _ in range(random.choice((0, 1, 1, 1, 1, 2)))],
        headers=headers,
        method=random.choice(("GET", "POST", "OPTIONS")),
        query=random.choice(("", "q=1", "q=2", "q=1&q=2", "%zz")),
        root_path=root_path,
    )
    if random.random() < 0.9:
        scope["raw_path"] = raw_path.encode("latin-1")
    return scope


def hold(table: Table[Spec], taken: Sequence[Spec], scope: Scope) -> None:
    """What must be true of a decision.

    Raises:
        AssertionError: it is not.
    """
    before = {
        key: value.copy() if isinstance(value, list) else value for key, value in scope.items()
    }
    decided = table.decide(scope)
    found = table.resolve(scope)
    assert isinstance(decided, Refusal) or decided == found, "A quicker way decides otherwise."
    assert scope == before, "The scope was changed."
    host = table._hosts.place_of(scope)
    if not isinstance(decided, Refusal) and (
        host is not None or not table.has_hosts or not scope["headers"]
    ):
        expected = resolve(taken, scope)
        assert (found is None) == (expected is None), (found, expected)
        if found is not None and expected is not None:
            assert found == Resolution(
                *(expected.spec, expected.root_path, expected.prefix),
                *(expected.rest, expected.params),
            ), (found, expected)
    if found is not None:
        root_path, prefix = found.root_path, found.prefix
        full = root_path + prefix + found.rest
        assert full in (scope["path"], root_path + scope["path"]), (found, scope["path"])
        mount = Mount(found.mount.path, _app, exact=found.mount.exact)
        own = Resolution(mount, root_path, prefix, found.rest, found.params)
        child = mount._build_scope(mount, own, scope, {}, None)
        assert child["root_path"] == root_path + prefix
        assert child["path"].startswith(child["root_path"])
        assert child["path"][len(child["root_path"]) :][:1] == "/", child["path"]
        assert not child["root_path"].endswith("/")


async def _app(scope: Scope, receive: object, send: object) -> None:
    """The child; it is never called."""


def hold_some(seed: int, number: int) -> None:
    """One table, and its requests. They follow from the two numbers."""
    source = random.Random(f"{seed}:{number}")
    table, taken = table_of(source)
    for _ in range(REQUESTS):
        scope = request(source)
        try:
            hold(table, taken, scope)
        except Exception:  # whatever it is: said how to see it again, and raised
            print(f"--seed {seed} --table {number}\n{taken}\n{scope}", flush=True)
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="scripts/fuzz")
    parser.add_argument("--count", type=int, default=100_000, help="requests")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--table", type=int, help="the number of one table, to see it fail again")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    tables = range(-(-options.count // REQUESTS))
    if options.table is not None:
        tables = range(options.table, options.table + 1)
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(hold_some, options.seed), tables, chunksize=20):
            pass  # raises what was raised there
    held = len(tables) * REQUESTS
    print(f"{held} requests held in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
