"""Where in the user's code something was written, for messages."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import starlette

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_OWN_FILES = (_PACKAGE + os.sep, os.path.dirname(starlette.__file__) + os.sep)


_PLACE: ContextVar[str] = ContextVar("mountkit.place", default="")


@contextmanager
def written_at(where: str) -> Iterator[None]:
    """What is made here is written at `file:line`, in a file that is not code."""
    token = _PLACE.set(where)
    try:
        yield
    finally:
        _PLACE.reset(token)


def call_site() -> str:
    """`file:line` of the nearest caller outside of mountkit and Starlette."""
    if place := _PLACE.get():
        return place
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN_FILES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def short(where: str) -> str:
    """`file:line`, as seen from the current directory where that is shorter."""
    return min(where, os.path.relpath(where), key=len) if where else ""


def warn(message: str) -> None:
    """Warn of a line of the user's that may be meant."""
    file, _, line = call_site().rpartition(":")
    warnings.warn_explicit(message, UserWarning, file, int(line))
