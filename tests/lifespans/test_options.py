"""`Lifespan`, and finding the supervisor of a request's server."""

from __future__ import annotations

from typing import Any

import pytest

from mountkit import Lifespan, PatternError
from mountkit.lifespans.options import Timeouts
from mountkit.lifespans.runners import LifespanRunner
from tests.support.lifespans import running
from tests.support.scopes import scope_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"startup_timeout": 0},
            "startup_timeout=0 is not a number of seconds above 0; write e.g. 10, or None.",
            id="timeout",
        ),
        pytest.param(
            {"on_failure": "ignore"},
            "on_failure='ignore' is not known; write one of 'fail', 'isolate'.",
            id="on_failure",
        ),
        pytest.param(
            {"independent": "yes"},
            "independent='yes' is not known; write one of True, False.",
            id="independent",
        ),
        pytest.param(
            {"shutdown": None},
            "shutdown=None is not known; write one of True, False.",
            id="shutdown",
        ),
        pytest.param(
            {"share": "db"},
            "share='db' is not a list of names; write e.g. share=['db'].",
            id="share-a-string",
        ),
        pytest.param(
            {"share": [1]},
            "share=[1] is not a list of names; write e.g. share=['db'].",
            id="share-numbers",
        ),
        pytest.param(
            {"share": 5},
            "share=5 is not a list of names; write e.g. share=['db'].",
            id="share-a-number",
        ),
    ],
)
def test_what_can_never_work_is_refused(options: dict[str, Any], message: str) -> None:
    """Value, reason, fix, when it is written."""
    with pytest.raises(PatternError) as caught:
        Lifespan(**options)
    assert str(caught.value) == message


def test_equal_options_are_equal() -> None:
    """A list of names is as good as a tuple."""
    assert Lifespan(share=["a", "b"]) == Lifespan(share=("a", "b"))
    assert hash(Lifespan(share=iter(["a"]))) == hash(Lifespan(share=("a",)))


def test_timeouts_are_checked() -> None:
    """Under the names that users write."""
    with pytest.raises(PatternError, match=r"^total_shutdown_timeout=-1 is not a number"):
        Timeouts(total_shutdown_timeout=-1)


async def test_the_supervisor_of_a_request() -> None:
    """The one of its server; of the only one, if there is one."""
    runner = LifespanRunner(lambda scope: ())
    assert runner.supervisor_for(scope_of("/")) is None
    async with running(runner) as one, running(runner) as two:
        found = [
            runner.supervisor_for(scope_of("/", state=dict(server.state))) for server in (one, two)
        ]
        assert found == runner.supervisors
        assert runner.supervisor_for({"type": "http"}) is found[0]
