"""What users say about lifespans: of one app, and of all apps of a dispatcher."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mountkit.exceptions import PatternError

# Seconds; hypercorn's own defaults.
STARTUP_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 60.0


def check_seconds(option: str, value: Any, *, least: str = "above 0") -> None:
    """Raise `PatternError` for a value that is neither a number of seconds nor `None`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and (value > 0 or (value == 0 and least != "above 0"))):
        raise PatternError(f"{option}={value!r} is not a number of seconds {least}; write e.g. 10.")


def _check_choice(option: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        choice = ", ".join(map(repr, known))
        raise PatternError(f"{option}={value!r} is not known; write one of {choice}.")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each app that sets none itself, where `None` waits for ever; and for all apps
    together, where `None` sets no such limit.

    Raises:
        PatternError: one is not a number of seconds.
    """

    startup_timeout: float | None = STARTUP_TIMEOUT
    shutdown_timeout: float | None = SHUTDOWN_TIMEOUT
    total_startup_timeout: float | None = None
    total_shutdown_timeout: float | None = None

    def __post_init__(self) -> None:
        for option, value in asdict(self).items():
            check_seconds(option, value)


@dataclass(frozen=True, slots=True)
class Lifespan:
    """How one app is started and stopped: `Mount("/mcp", app, lifespan=Lifespan(share=["db"]))`.

    Args:
        startup_timeout, shutdown_timeout: seconds that its startup and its shutdown may take;
            `None` leaves it to the dispatcher.
        on_failure: `"fail"`: if the app does not start, the server does not start; if its lifespan
            ends early, the app has failed and is still served. `"isolate"`: the other apps are
            served, this one answers 503, and it is started again until it is up.
        independent: it may start at the same time as neighbours that are independent too.
        share: keys of the parent's lifespan state that the app sees in its own state.
        shutdown: `False` sends no shutdown event; the app's task is cancelled once all other apps
            have stopped. For apps that end the process when they stop.

    Raises:
        PatternError: an option can never work.
    """

    startup_timeout: float | None = None
    shutdown_timeout: float | None = None
    on_failure: Literal["fail", "isolate"] = "fail"
    independent: bool = False
    share: Iterable[str] = ()
    shutdown: bool = True

    def __post_init__(self) -> None:
        check_seconds("startup_timeout", self.startup_timeout)
        check_seconds("shutdown_timeout", self.shutdown_timeout)
        _check_choice("on_failure", self.on_failure, ("fail", "isolate"))
        _check_choice("independent", self.independent, (True, False))
        _check_choice("shutdown", self.shutdown, (True, False))
        is_list = isinstance(self.share, Iterable) and not isinstance(self.share, str)
        keys = tuple(self.share) if is_list else (None,)
        if not all(isinstance(key, str) for key in keys):
            raise PatternError(
                f"share={self.share!r} is not a list of names; write e.g. share=['db']."
            )
        object.__setattr__(self, "share", keys)
