"""`Lifespan` and `Timeouts`."""

from __future__ import annotations

from typing import Any

import pytest

from mountkit import Lifespan, PatternError
from mountkit.lifespans.options import Timeouts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"startup_timeout": 0},
            "startup_timeout=0 is not a number of seconds above 0; write e.g. 10.",
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
