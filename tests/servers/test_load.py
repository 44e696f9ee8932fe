"""Many mounts and hosts under an open load; `scripts/bench load` has a minute of 2,000 a second."""

from __future__ import annotations

import pytest

from benchmarks.load import Load
from benchmarks.wsgi import served
from tests.support.apps.loaded import HOSTS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The client is asyncio's; the server is a process of its own."""
    return "asyncio"


@pytest.mark.parametrize(
    ("app", "is_bare"), [("benchmarks.load:bare", True), ("tests.support.apps.loaded:few", False)]
)
async def test_every_answer_is_that_of_its_app(app: str, is_bare: bool) -> None:
    """Requests come whether the earlier ones were answered or not; none is lost, none fails."""
    async with served(["uvicorn", "--factory", app, "--no-access-log"]) as port:
        load = Load(port, is_bare, HOSTS)
        await load.run(2, rate=200)
    assert load.errors == {}
    assert len(load.latencies) == 400


async def test_another_answer_is_an_error() -> None:
    """What is checked can fail."""
    async with served(["uvicorn", "--factory", "benchmarks.load:bare", "--no-access-log"]) as port:
        load = Load(port)
        await load.run(0.1, rate=100)
    assert load.errors.total() == 10
    assert all("b'bare' answered in the place of" in error for error in load.errors)
