"""Chainlit. It has one app, which is told its prefix by the environment."""

import os
from collections.abc import Iterator
from typing import Any

from mountkit.frameworks.base import Framework, Place, Problem


def _problems(app: Any, place: Place) -> Iterator[Problem]:
    """Its lifespan ends with `os._exit(0)` (`server.py:lifespan`)."""
    if place.is_stopped:
        yield Problem(
            "ends-the-process",
            "Chainlit ends the process as soon as it is told to stop, so no other app is stopped; "
            "write lifespan='startup-only'",
        )


CHAINLIT = Framework(
    name="Chainlit",
    app=("chainlit.server", "app"),
    told=lambda app: os.environ.get("CHAINLIT_ROOT_PATH", ""),
    advice="Chainlit makes its URLs with the environment's CHAINLIT_ROOT_PATH={told!r}; set it to "
    "{prefix!r} before chainlit is imported",
    problems=_problems,
)
