"""Servers in front of a `Proxy`, which each test gives an app of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.upstreams import Front, front

SERVERS = ["uvicorn", "hypercorn", "granian"]


@pytest.fixture
def anyio_backend() -> str:
    """The one that a proxy runs on."""
    return "asyncio"


@pytest.fixture(scope="module")
def uvicorn() -> Iterator[Front]:
    with front("uvicorn") as found:
        yield found


@pytest.fixture(scope="module", params=SERVERS)
def every(request: pytest.FixtureRequest) -> Iterator[Front]:
    """Each server."""
    with front(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest) -> None:
    """No call of another test counts."""
    for name in {"uvicorn", "every"} & set(request.fixturenames):
        request.getfixturevalue(name).calls = []
