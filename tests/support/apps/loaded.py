"""The dispatcher of the load benchmark, with fewer hosts."""

from __future__ import annotations

from benchmarks.load import dispatcher
from mountkit import Dispatcher

HOSTS = 1_000


def few() -> Dispatcher:
    """What uvicorn serves."""
    return dispatcher(HOSTS)
