"""Engine.IO and Socket.IO. They compare the whole path with a path of their own."""

from collections.abc import Callable
from typing import Any

from mountkit.frameworks import Framework, Special, loaded


def _convention(app: Any, prefix: str) -> Special | None:
    """Without a path of its own it takes any; with one that holds the prefix, the full one."""
    own: str | None = app.engineio_path
    return None if own is None or (prefix and f"{prefix}/" in own) else "strip"


def _hands_on(app: Any) -> tuple[Callable[[str], bool], Any] | None:
    """As its `__call__` does it."""
    static_file = loaded("engineio.static_files", "get_static_file")

    def is_own(path: str) -> bool:
        is_io = f"{path.rstrip('/')}/".startswith(app.engineio_path)
        return is_io or bool(app.static_files and static_file(path, app.static_files))

    other = app.other_asgi_app
    return None if other is None else (is_own, other)


SOCKETIO = Framework(
    name="Socket.IO", app=("engineio", "ASGIApp"), convention=_convention, hands_on=_hands_on
)
