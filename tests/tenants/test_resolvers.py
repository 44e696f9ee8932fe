"""The tenant of a host: looked up once, remembered for as long as was said, forgotten on demand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountkit import PatternError, ResolutionError, TenantResolver
from tests.support.tenants import Clock, Database
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("mountkit.tenants.resolvers.monotonic", clock)
    return clock


async def test_a_tenant_is_remembered_for_its_ttl(clock: Clock) -> None:
    """A change in the database is seen once the time is over, and not before."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find, ttl=60)
    assert await resolver.resolve("a.com") == "acme"
    database.tenants["a.com"] = "globex"
    clock.now += 59.9
    assert await resolver.resolve("a.com") == "acme"
    clock.now += 0.1
    assert await resolver.resolve("a.com") == "globex"
    assert database.asked == ["a.com", "a.com"]


async def test_that_a_host_is_nobodys_is_remembered_too(clock: Clock) -> None:
    """For a time of its own."""
    database = Database()
    resolver = TenantResolver(database.find, ttl=60, unknown_ttl=10)
    assert await resolver.resolve("a.com") is None
    database.tenants["a.com"] = "acme"
    clock.now += 9.9
    assert await resolver.resolve("a.com") is None
    clock.now += 0.1
    assert await resolver.resolve("a.com") == "acme"
    assert (await resolver.resolve("a.com"), len(database.asked)) == ("acme", 2)


async def test_without_a_ttl_nothing_is_remembered(clock: Clock) -> None:
    """Each request looks its host up; those at the same time share the look-up."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find, ttl=0)
    assert [await resolver.resolve("a.com") for _ in range(3)] == ["acme"] * 3
    assert len(database.asked) == 3


async def test_a_stampede_is_one_look_up() -> None:
    """However many ask at a time."""
    database = Database(a_com="acme")
    database.gate = anyio.Event()
    resolver = TenantResolver(database.find)
    answers: list[str | None] = []

    async def ask() -> None:
        answers.append(await resolver.resolve("a.com"))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(ask)
        await until(lambda: bool(database.asked))
        database.gate.set()
    assert (answers, database.asked) == (["acme"] * 100, ["a.com"])


async def test_a_cancelled_look_up_is_taken_over() -> None:
    """The client that has caused it goes away; those that wait do not get its cancellation."""
    database = Database(a_com="acme")
    database.gate = anyio.Event()
    resolver = TenantResolver(database.find)
    answers: list[str | None] = []

    async def ask(scope: anyio.CancelScope) -> None:
        with scope:
            answers.append(await resolver.resolve("a.com"))

    first = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, first)
        await until(lambda: len(database.asked) == 1)
        for _ in range(3):
            tasks.start_soon(ask, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await until(lambda: len(database.asked) == 2)
        database.gate.set()
    assert (answers, len(database.asked)) == (["acme"] * 3, 2)


async def test_a_failure_is_raised_and_logged_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """For a short time the database is not asked again."""
    database = Database(a_com="acme")
    database.error = OSError("no route")
    resolver = TenantResolver(database.find, failure_ttl=1)
    message = "The tenant of 'a.com' could not be looked up: OSError: no route"
    for _ in range(3):
        with pytest.raises(ResolutionError, match=re.escape(message)):
            await resolver.resolve("a.com")
    assert (caplog.messages, len(database.asked)) == ([message], 1)
    assert caplog.records[0].exc_info is not None
    database.error = None
    clock.now += 1
    assert await resolver.resolve("a.com") == "acme"


async def test_all_who_wait_for_a_look_up_get_its_failure() -> None:
    """Each raises an exception of its own: tracebacks do not grow from request to request."""
    database = Database()
    database.gate, database.error = anyio.Event(), OSError("no route")
    resolver = TenantResolver(database.find)
    errors: list[Exception] = []

    async def ask() -> None:
        try:
            await resolver.resolve("a.com")
        except ResolutionError as exc:
            errors.append(exc)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
        await until(lambda: bool(database.asked))
        database.gate.set()
    assert (len({id(error) for error in errors}), len(database.asked)) == (3, 1)


async def test_a_slow_look_up_fails() -> None:
    """It is cancelled."""
    resolver = TenantResolver(sleeper, timeout=0.01)
    message = "The tenant of 'a.com' could not be looked up: TimeoutError: it took more than 0.01 seconds."
    with pytest.raises(ResolutionError, match=re.escape(message)):
        await resolver.resolve("a.com")


async def sleeper(host: str) -> str:
    await anyio.sleep_forever()
    raise AssertionError("not reached")


async def test_stale_tenants_stand_in_for_a_failure(clock: Clock) -> None:
    """As long as was said, and the database is asked again in between."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find, ttl=60, stale_ttl=30, failure_ttl=1)
    await resolver.resolve("a.com")
    database.error = OSError("no route")
    clock.now += 60
    for _ in range(3):
        assert await resolver.resolve("a.com") == "acme"
    assert len(database.asked) == 2
    clock.now += 1
    assert (await resolver.resolve("a.com"), len(database.asked)) == ("acme", 3)
    clock.now += 29
    with pytest.raises(ResolutionError):
        await resolver.resolve("a.com")
    database.error = None
    clock.now += 1
    assert await resolver.resolve("a.com") == "acme"


async def test_that_a_host_is_nobodys_is_never_stale(clock: Clock) -> None:
    """It may have become somebody's: "try again" is the honest answer."""
    database = Database()
    resolver = TenantResolver(database.find, stale_ttl=30)
    await resolver.resolve("a.com")
    database.error = OSError("no route")
    clock.now += 10
    with pytest.raises(ResolutionError):
        await resolver.resolve("a.com")


async def test_of_a_host_that_failed_nothing_of_another_is_served(clock: Clock) -> None:
    """A stale answer is that of the same host."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find, stale_ttl=30)
    await resolver.resolve("a.com")
    database.error = OSError("no route")
    with pytest.raises(ResolutionError):
        await resolver.resolve("b.com")


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param("b\xfccher.de", id="as-written"),
        pytest.param("XN--BCHER-KVA.DE.", id="ascii"),
        pytest.param("xn--bcher-kva.de:8000", id="port"),
    ],
)
async def test_an_invalidated_host_is_looked_up(spelling: str) -> None:
    """In whatever spelling it is named; the others are remembered."""
    database = Database(a_com="acme")
    database.tenants["xn--bcher-kva.de"] = "b\xfccher"
    resolver = TenantResolver(database.find)
    for host in ("a.com", "xn--bcher-kva.de"):
        await resolver.resolve(host)
    database.tenants["xn--bcher-kva.de"] = "another"
    resolver.invalidate(spelling)
    assert await resolver.resolve("xn--bcher-kva.de") == "another"
    assert await resolver.resolve("a.com") == "acme"
    assert len(database.asked) == 3


async def test_everything_is_invalidated() -> None:
    """Tenants, hosts that are nobody's, and failures."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find)
    await resolver.resolve("a.com")
    await resolver.resolve("b.com")
    database.error = OSError("no route")
    with pytest.raises(ResolutionError):
        await resolver.resolve("c.com")
    database.error = None
    resolver.invalidate()
    assert len(resolver) == 0
    assert [await resolver.resolve(f"{name}.com") for name in "abc"] == ["acme", None, None]


async def test_the_hosts_of_a_tenant_are_invalidated() -> None:
    """All of its domains, and nobody else's."""
    database = Database(a_com="acme", www_a_com="acme", b_com="globex")
    resolver = TenantResolver(database.find)
    for host in database.tenants:
        await resolver.resolve(host)
    resolver.invalidate_tenant(lambda tenant: tenant == "acme")
    assert len(resolver) == 1


@pytest.mark.parametrize(
    "invalidate",
    [
        pytest.param(lambda resolver: resolver.invalidate("a.com"), id="host"),
        pytest.param(lambda resolver: resolver.invalidate(), id="all"),
        pytest.param(lambda resolver: resolver.invalidate_tenant(bool), id="tenant"),
    ],
)
@pytest.mark.parametrize("fails", [False, True], ids=["answered", "failed"])
async def test_what_is_looked_up_during_an_invalidation_serves_nobody(
    invalidate: Any, fails: bool
) -> None:
    """It may have been read before the change: who has waited for it waits for the next one."""
    database = Database(a_com="acme")
    database.gate = anyio.Event()
    resolver = TenantResolver(database.find)
    answers: list[str | None] = []

    async def ask() -> None:
        try:
            answers.append(await resolver.resolve("a.com"))
        except ResolutionError:
            answers.append("failed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until(lambda: len(database.asked) == 1)
        database.tenants["a.com"] = "another"
        invalidate(resolver)
        tasks.start_soon(ask)
        await until(lambda: len(database.asked) == 2)
        database.error = OSError("no route") if fails else None
        database.gate.set()
        await until(lambda: len(answers) == 2)
    assert answers == ["failed" if fails else "another"] * 2
    database.error = None
    if not fails:
        assert await resolver.resolve("a.com") == "another"
    assert len(database.asked) == 2


async def test_what_is_invalidated_before_a_waiting_request_goes_on() -> None:
    """The look-up has ended, and its answer is old by the time the request sees it."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find)
    answers: list[str | None] = []

    async def first() -> None:
        database.gate = anyio.Event()
        answers.append(await resolver.resolve("a.com"))
        # The other one has been woken, and has not run yet.
        database.tenants["a.com"] = "another"
        resolver.invalidate("a.com")

    async def second() -> None:
        answers.append(await resolver.resolve("a.com"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await until(lambda: bool(database.asked))
        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert database.gate is not None
        database.gate.set()
    assert (answers, len(database.asked)) == (["acme", "another"], 2)


async def test_hosts_that_somebody_makes_up_displace_no_tenant() -> None:
    """Both kinds are bounded, each for itself."""
    database = Database(a_com="acme")
    resolver = TenantResolver(database.find, max_size=10)
    await resolver.resolve("a.com")
    for number in range(50):
        await resolver.resolve(f"{number}.com")
    assert (await resolver.resolve("a.com"), len(resolver)) == ("acme", 11)
    assert len(database.asked) == 51


async def test_the_least_recently_used_host_is_forgotten() -> None:
    """Of those that are too many."""
    database = Database(a_com="acme", b_com="globex", c_com="initech")
    resolver = TenantResolver(database.find, max_size=2)
    for host in ("a.com", "b.com", "a.com", "c.com", "a.com"):
        await resolver.resolve(host)
    assert database.asked == ["a.com", "b.com", "c.com"]
    await resolver.resolve("b.com")
    assert database.asked[-1] == "b.com"


async def test_failures_are_bounded() -> None:
    """An attacker may make up hosts while the database is down."""
    database = Database()
    database.error = OSError("no route")
    resolver = TenantResolver(database.find, max_size=3)
    for number in [*range(10), 0]:
        with pytest.raises(ResolutionError):
            await resolver.resolve(f"{number}.com")
    assert len(database.asked) == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"find": "a.com"},
            "TenantResolver('a.com') cannot call its argument; pass an async function that takes a "
            "host.",
            id="find",
        ),
        pytest.param({"ttl": -1}, "ttl=-1 is not a number of seconds; write e.g. 60.", id="ttl"),
        pytest.param(
            {"stale_ttl": float("nan")},
            "stale_ttl=nan is not a number of seconds; write e.g. 60.",
            id="nan",
        ),
        pytest.param(
            {"timeout": 0},
            "timeout=0 is not a number of seconds above 0; write e.g. 10.",
            id="timeout",
        ),
        pytest.param({"max_size": 0}, "max_size=0 is not above 0; write e.g. 1000.", id="max-size"),
    ],
)
def test_what_can_never_work_is_refused(arguments: dict[str, Any], message: str) -> None:
    """The message says what to write."""
    with pytest.raises(PatternError, match=re.escape(message)):
        TenantResolver(**{"find": sleeper, **arguments})


@pytest.mark.parametrize(
    ("host", "message"),
    [
        pytest.param(
            "*.a.com",
            "'*.a.com' is not one host; write one, such as 'a.example.com'.",
            id="wildcard",
        ),
        pytest.param(
            "http://a.com",
            "Host pattern 'http://a.com' contains a scheme; write 'a.com'.",
            id="scheme",
        ),
    ],
)
async def test_only_hosts_can_be_invalidated(host: str, message: str) -> None:
    """If one is none, nothing is forgotten."""
    resolver = TenantResolver(Database(b_com="globex").find)
    await resolver.resolve("b.com")
    with pytest.raises(PatternError, match=re.escape(message)):
        resolver.invalidate("b.com", host)
    assert len(resolver) == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("move"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("invalidate"), st.sampled_from(["a", "b", "c", ""])),
        st.tuples(st.just("fail"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1, 5, 30])),
    ),
    max_size=40,
)


@given(STEPS)
def test_no_answer_is_older_than_was_allowed(steps: list[tuple[str, Any]]) -> None:
    """Whatever happens in whatever order, an answer was true at most `ttl` (or, while the database
    is down, `ttl + stale_ttl`) seconds ago, and never before the last invalidation."""
    anyio.run(_follow, steps)


async def _follow(steps: list[tuple[str, Any]]) -> None:
    ttl, stale_ttl = 10, 20
    database = Database(a="0")
    resolver = TenantResolver(database.find, ttl=ttl, unknown_ttl=ttl, stale_ttl=stale_ttl)
    clock, failed_at = Clock(), 0.0
    history: dict[str, list[tuple[float, str | None]]] = {
        name: [(0, database.tenants.get(name))] for name in "abc"
    }
    invalidated = dict.fromkeys("abc", 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mountkit.tenants.resolvers.monotonic", clock)
        for number, (step, value) in enumerate(steps, 1):
            if step == "wait":
                clock.now += value
            elif step == "fail":
                database.error = OSError("no route") if value else None
            elif step == "move":
                tenant = None if number % 5 == 0 else str(number)
                history[value].append((clock.now, tenant))
                if tenant is None:
                    database.tenants.pop(value, None)
                else:
                    database.tenants[value] = tenant
            elif step == "invalidate":
                resolver.invalidate(*[value] if value else ())
                for name in value or "abc":
                    invalidated[name] = clock.now
            else:
                if database.error is not None:
                    failed_at = clock.now
                is_down = clock.now < failed_at + resolver.failure_ttl
                oldest = clock.now - ttl - (stale_ttl if is_down else 0)
                try:
                    answer = await resolver.resolve(value)
                except ResolutionError:
                    assert is_down
                else:
                    allowed = _true_since(history[value], max(oldest, invalidated[value]))
                    assert answer in allowed


def _true_since(history: list[tuple[float, str | None]], since: float) -> Iterator[str | None]:
    for (_, tenant), (end, _) in zip(history, [*history[1:], (float("inf"), None)], strict=True):
        if end >= since:
            yield tenant
