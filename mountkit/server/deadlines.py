"""The end of a worker that does not end by itself. A thread of Python cannot be ended."""

from __future__ import annotations

import concurrent.futures
import os
import sys
import threading
import traceback
from _thread import start_new_thread  # gevent may patch it later, and sleep
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import anyio

from mountkit import logs
from mountkit.exceptions import spelled
from mountkit.logs import serve as logger

#: Seconds beyond its grace after which a worker ends itself; the parent waits a little longer.
SPARE = 1.5
#: With which a worker ends that had to be cut off.
CUT_OFF = 4

_ALIKE = 0.1  # seconds
_armed: list[float] = []
_LOOK = 1.0  # seconds between two looks at the parent
_DEPTH = 12  # calls of each thread that are shown; those of servers and pools are above
#: A thread that has no other calls than those of these is idle.
_IDLE = tuple(
    str(Path(module.__file__ or "").parent)
    for module in (threading, concurrent.futures, anyio, logs)
)


def arm(seconds: float) -> None:
    """End the process after this time, and log what each of its threads is doing then. If it was
    said several times, the earliest holds.

    It works while the event loop is blocked. The last resort is the parent, which kills it.
    """
    at = monotonic() + seconds
    if any(one <= at + _ALIKE for one in _armed):
        return
    _armed.append(at)
    # Not `threading.Thread`: a handler of signals may interrupt the main thread in its locks.
    start_new_thread(end_after, (seconds,))


def tie(seconds: Callable[[], float]) -> None:
    """End this process so long after its parent has gone, whatever its threads do then.

    Args:
        seconds: asked at that moment.
    """
    start_new_thread(end_without, (os.getppid(), seconds))


def end_without(parent: int, seconds: Callable[[], float]) -> None:
    """Wait until the parent has gone, and end the process after so many seconds."""
    while os.getppid() == parent:
        sleep(_LOOK)
    end_after(seconds())


def end_after(seconds: float) -> None:
    """Wait, and end the process."""
    sleep(seconds)
    text = "Still running %s after it was told to stop; it ends now.\n%s"
    logger.error(text, spelled(seconds), "".join(stacks()))
    os._exit(CUT_OFF)


def stacks(*, are_all: bool = True) -> Iterator[str]:
    """What the other threads are doing, the innermost call last.

    Args:
        are_all: else without the main thread, and those that wait for something to do.
    """
    names = {one.ident: one.name for one in threading.enumerate()}
    for number, frame in sys._current_frames().items():
        calls = traceback.extract_stack(frame)
        is_idle = all(call.filename.startswith(_IDLE) for call in calls)
        is_main = number == threading.main_thread().ident
        is_own = calls[-1].filename == __file__
        if not is_own and number != threading.get_ident() and (are_all or not (is_idle or is_main)):
            yield f"Thread {names.get(number, number)}:\n"
            yield from traceback.StackSummary.from_list(calls[-_DEPTH:]).format()
