"""The table of a run's states: what it promises, for every state and event."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountkit.lifespans.runs import PASSING, STATES, Event, Run, Status

EVENTS: tuple[Event, ...] = get_args(Event)
STATUSES = {state: status for state, (status, _) in STATES.items()}
TRANSITIONS = {state: events for state, (_, events) in STATES.items()}


def in_state(state: str) -> Run:
    run = Run(object())
    run.phase = state
    return run


@pytest.mark.parametrize(("state", "event"), [*itertools.product(STATES, EVENTS)])
def test_every_event_in_every_state(state: str, event: Event) -> None:
    """It leads where the table says, or is refused and changes nothing."""
    run = in_state(state)
    before = {name: getattr(run, name) for name in Run.__slots__}
    if event in TRANSITIONS[state]:
        run.apply(event)
        assert run.phase == TRANSITIONS[state][event]
        assert run.status == STATUSES[run.phase]
    else:
        with pytest.raises(RuntimeError, match=f"Event '{event}' cannot happen in the state"):
            run.apply(event)
        assert before == {name: getattr(run, name) for name in Run.__slots__}


def test_the_table_is_whole() -> None:
    """Each status is that of a state; each state leads to an end; no state is out of reach."""
    assert set(STATUSES.values()) == set(get_args(Status))
    ends = {state for state, row in TRANSITIONS.items() if not row}
    assert ends == {"failed", "stopped"}
    for state in STATES:
        reached, pending = {state}, [state]
        while pending:
            new = set(TRANSITIONS[pending.pop()].values()) - reached
            reached |= new
            pending += new
        assert reached & ends, state
        if state == "new":
            assert reached == set(STATES)


def test_passing_states_are_left_without_a_users_doing() -> None:
    """Another mount of the app may wait in them: `stop` and what an app does by itself later do
    not count."""
    for state in STATES:
        ends_alone = {"up", "fail", "end"} & set(TRANSITIONS[state])
        assert (state in PASSING) == bool(ends_alone - ({"up"} if state == "isolated" else set()))


@given(st.lists(st.sampled_from(EVENTS)))
def test_lives(events: list[Event]) -> None:
    """Whatever happens: it answers 503 only while it has failed and is to be started again, has an
    error exactly while it has failed, and `since` follows the status."""
    run = Run(object())
    for event in events:
        since, status = run.since, run.status
        run.since = -math.inf
        details: dict[str, Any] = {}
        if event in ("fail", "lose", "isolate"):
            details["error"] = "why"
        if event == "isolate":
            details["retry_at"] = 1.0
        try:
            run.apply(event, **details)
        except RuntimeError:
            run.since = since
            continue
        assert (run.since > -math.inf) == (run.status != status)
        if run.phase != "stopping":
            assert (run.retry_at is not None) == (run.phase == "isolated")
            assert (run.error is not None) == (run.status == "failed")


@pytest.mark.anyio
async def test_all_that_wait_hear_of_the_next_event() -> None:
    """Once each, however many there are."""
    run = Run(object())
    run.apply("start")
    heard = []

    async def wait() -> None:
        await run.change()
        heard.append(run.phase)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        run.apply("up")
    assert heard == ["serving"] * 3
