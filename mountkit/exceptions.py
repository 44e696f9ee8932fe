"""What mountkit raises. Imports nothing of mountkit.

Every message gives the value, the reason and the fix. To add an error, derive it from
`MountkitError` and the built-in class that fits; export it from `mountkit` if users catch it.
"""

from __future__ import annotations

from collections.abc import Collection


class MountkitError(Exception):
    """The base of every error of mountkit's own."""


class PatternError(MountkitError, ValueError):
    """A path, host, matcher or option can never work as it is written."""


class ConflictError(MountkitError, ValueError):
    """Two mounts would take exactly the same requests."""


class InterfaceError(MountkitError, TypeError):
    """An object is not an application, or its interface, ASGI or WSGI, cannot be told."""


class LifespanError(MountkitError, RuntimeError):
    """A mounted app failed to start or to stop; the message names its mount."""

    @property
    def raised(self) -> BaseException | None:
        """What the app raised, below however many dispatchers; `None` if it raised nothing."""
        cause = self.__cause__
        return cause.raised if isinstance(cause, LifespanError) else cause


class ResolutionError(MountkitError, RuntimeError):
    """The tenant of a host could not be looked up."""


class ImproperResponseError(MountkitError, RuntimeError):
    """A mounted app sent something that is not a valid response; nothing of it went out."""


def spelled(seconds: float) -> str:
    """A number of seconds for messages: "1 second", "0.5 seconds"."""
    return f"{round(seconds, 3):g} second{'' if seconds == 1 else 's'}"


def measured(seconds: float) -> str:
    """What something took, for messages: "12 ms", "1.2 seconds"."""
    return spelled(round(seconds, 1)) if seconds >= 1 else f"{max(seconds * 1000, 1):.0f} ms"


def shown(value: object) -> str:
    """`repr(value)` for messages, or its class if that raises, as CherryPy's apps do outside of a
    request."""
    try:
        return repr(value)
    except BaseException:
        return f"<{type(value).__module__}.{type(value).__qualname__} object>"


def several(errors: Collection[LifespanError]) -> LifespanError:
    """Several failures as one, each told once."""
    messages = dict.fromkeys(map(str, errors))
    if len(messages) == 1:
        return next(iter(errors))
    error = LifespanError("\n".join(messages))
    error.__cause__ = ExceptionGroup("The failures one by one", [*errors])
    return error
