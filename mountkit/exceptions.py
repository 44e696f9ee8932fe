"""What mountkit raises. Every message says the value, the reason and the fix."""

from __future__ import annotations


class MountkitError(Exception):
    """The base of every error that mountkit raises by itself."""


class PatternError(MountkitError, ValueError):
    """A path, host or matcher was written in a form that can never work."""


class ConflictError(MountkitError, ValueError):
    """Two mounts would take exactly the same requests, so neither may win in silence."""


class InterfaceError(MountkitError, TypeError):
    """An object is no application, or it cannot be told whether it speaks ASGI or WSGI."""


class LifespanError(MountkitError, RuntimeError):
    """A mounted app failed to start or to stop; the message names its mount."""


class ResolutionError(MountkitError, RuntimeError):
    """Whose host a request has asked for could not be found out."""


class ImproperResponseError(MountkitError, RuntimeError):
    """A mounted app has sent what is no response, or a second one; nothing of it went out."""


def shown(value: object) -> str:
    """`repr(value)` for messages; its class where that raises, as that of CherryPy's app does
    outside of a request."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__module__}.{type(value).__qualname__} object>"
