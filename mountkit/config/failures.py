"""What is wrong with the user's own code: its traceback, without the frames of others."""

from __future__ import annotations

import importlib
import sysconfig
import traceback
from pathlib import Path

from mountkit.exceptions import MountkitError
from mountkit.matching.callers import short

_OWN = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent), "<frozen ")
_OTHERS = tuple({sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")})


class UserError(MountkitError):
    """Code of the user's has raised.

    Args:
        message: for the last line, with `{what}` for the exception and its place.
        error: what was raised.
    """

    def __init__(self, message: str, error: BaseException) -> None:
        what, where = type(error).__qualname__, place_of(error)
        super().__init__(message.format(what=f"{what} at {where}" if where else what))
        self.error = error


def place_of(error: BaseException) -> str:
    """`file:line` of the user's innermost frame, as one would write it here; `""` without one."""
    if isinstance(error, SyntaxError):
        return short(f"{error.filename}:{error.lineno}")
    frames = _of_user(traceback.extract_tb(error.__traceback__))
    return short(f"{frames[-1].filename}:{frames[-1].lineno}") if frames else ""


def text_of(error: BaseException) -> str:
    """The traceback with the user's frames alone, its causes and the members of groups included."""
    shown = traceback.TracebackException.from_exception(error)
    pending = [shown]
    for one in pending:
        one.stack = traceback.StackSummary.from_list(_of_user(one.stack))
        parts = (one.__cause__, one.__context__, *(one.exceptions or ()))
        pending += [part for part in parts if part is not None]
    return "".join(shown.format())


def _of_user(frames: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """If none is the user's, those of the libraries."""
    others = [frame for frame in frames if not frame.filename.startswith(_OWN)]
    return [frame for frame in others if not frame.filename.startswith(_OTHERS)] or others
