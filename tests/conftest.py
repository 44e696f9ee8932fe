"""Fixtures that every test may use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support import commands
from tests.support.clients import ClientFactory


@pytest.fixture(autouse=True)
def levels_of_loggers() -> None:
    """Frameworks set that of the root, some of them when they are imported; examples set those of
    mountkit's."""
    logging.getLogger().setLevel(logging.WARNING)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("mountkit")]:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def servers_of_commands() -> Iterator[None]:
    """They end with the tests: a worker that ends late is killed before its coverage is saved."""
    yield
    commands.stop()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, for tests and for the `client` factory."""
    return str(request.param)


@pytest.fixture
def client(anyio_backend: str) -> ClientFactory:
    """`client(app)`: Starlette's test client on either event loop; use it as a context manager
    where the lifespan matters."""
    options: dict[str, Any] = {"backend": anyio_backend}
    return partial(TestClient, **options)
