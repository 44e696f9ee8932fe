"""Chainlit. It has one app, which is told its prefix by the environment."""

import os

from mountkit.frameworks import Framework, Problem, loaded, unless_told

# Its lifespan calls `os._exit(0)` (`server.py:lifespan`).
_END = Problem(
    "ends-the-process",
    "Chainlit ends the process as soon as it is told to stop, so no other app is stopped; write "
    "lifespan=Lifespan(shutdown=False)",
)

CHAINLIT = Framework(
    name="Chainlit",
    find=lambda app: app if app is loaded("chainlit.server", "app") else None,
    advice=unless_told(
        lambda app: os.environ.get("CHAINLIT_ROOT_PATH", ""),
        "Chainlit makes its URLs with the environment's CHAINLIT_ROOT_PATH={told!r}; set it to "
        "{prefix!r} before chainlit is imported",
    ),
    problems=lambda app, place: [_END] if place.is_stopped else [],
)
