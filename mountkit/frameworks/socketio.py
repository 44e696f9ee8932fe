"""Engine.IO and Socket.IO. They compare the whole path with a path of their own."""

from typing import Any

from mountkit.frameworks import Framework, Stripped


def _convention(app: Any, prefix: str) -> Stripped | None:
    """Without a path of its own it takes any; with one that holds the prefix, the full one."""
    own: str | None = app.engineio_path
    return None if own is None or (prefix and own.startswith(f"{prefix}/")) else "strip"


SOCKETIO = Framework(name="Socket.IO", app=("engineio", "ASGIApp"), convention=_convention)
