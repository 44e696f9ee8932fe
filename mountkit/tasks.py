"""The task that runs a request, and which exceptions come from outside the app it calls."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from traceback import walk_tb
from types import CodeType
from typing import Any, NoReturn, TypeVar

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint

T = TypeVar("T")

#: After how many of very many things work in steps lets other tasks run: about a millisecond.
STRIDE = 250
#: Functions whose frames are on the stack while a mounted app runs, and which of their local
#: variables is the mount, for the watchdog. What serves mounts registers itself.
SERVING: dict[CodeType, str] = {}

# Python 3.11 finds the running loop by a system call: it is remembered for each thread. A thread's
# loop has no current task unless it is running.
_thread = threading.local()


def current_task() -> asyncio.Task[Any] | None:
    """asyncio's current task; `None` on trio, and outside any event loop."""
    try:
        return asyncio.current_task(_thread.loop) or _find_current_task()
    except AttributeError:
        return _find_current_task()


def _find_current_task() -> asyncio.Task[Any] | None:
    try:
        _thread.loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return asyncio.current_task()


def is_outside(exc: BaseException, task: Any = None) -> bool:
    """Whether an exception was not raised by the app itself: Ctrl-C, a cancellation, or the end of
    a coroutine that is no longer awaited. `SystemExit`, and any of these that the app raises on its
    own, must not end the server.

    Args:
        task: asyncio's task that called the app.
    """
    if isinstance(exc, Exception):
        return False
    if isinstance(exc, GeneratorExit):
        return not _is_in_task(task)
    if _is_in_task(None) and isinstance(exc, anyio.get_cancelled_exc_class()):
        task = current_task()  # none on trio, where an app cannot raise a cancellation of its own
        return task is None or task.cancelling() > 0
    if isinstance(exc, BaseExceptionGroup):
        return any(is_outside(part, task) for part in exc.exceptions)
    return isinstance(exc, KeyboardInterrupt) and _may_be_ctrl_c(exc)


def _may_be_ctrl_c(exc: BaseException) -> bool:
    """Whether a signal may have raised this. Servers install handlers that raise nothing; those of
    asyncio and trio are the last frame of what they raise."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    raised = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(exc.__traceback__)]
    return bool(raised) and raised[-1].startswith(("asyncio.runners", "trio."))


def _is_in_task(task: Any) -> bool:
    if task is not None:
        return task is current_task()
    try:
        anyio.get_current_task()
    except RuntimeError:
        return False
    return True


def describe(exc: BaseException) -> str:
    """An exception in one line."""
    name = type(exc).__name__
    try:
        text = f"{name}: {exc}".removesuffix(": ")
        return " ".join(map(str.strip, text.splitlines()))
    except Exception:  # the exception's own `__str__` may raise
        return name


def origin(exc: BaseException | None) -> tuple[Any, ...]:
    """Equal for exceptions with the same traceback, whatever they say."""
    places: list[Any] = []
    while exc is not None and len(places) < 1000:  # causes may go in a circle
        lines = ((frame.f_code.co_filename, line) for frame, line in walk_tb(exc.__traceback__))
        places += [type(exc).__qualname__, *lines]
        exc = exc.__cause__ or exc.__context__
    return tuple(places)


async def guarded(call: Callable[[], Awaitable[T]]) -> T:
    """Await a user's function in a task of ours, which must not end with it.

    What comes from outside goes through: a cancellation, Ctrl-C; see `is_outside`.

    Raises:
        Exception: what the function raised. `SystemExit`, and any `KeyboardInterrupt` or
            cancellation that it raised by itself, or a group of them, is the cause of a
            `RuntimeError`.
    """
    task = current_task()
    try:
        return await call()
    except BaseException as exc:
        function = call.func if isinstance(call, partial) else call
        reraise(exc, getattr(function, "__qualname__", None) or type(function).__name__, task)


def reraise(exc: BaseException, name: str, task: Any = None) -> NoReturn:
    """Raise what a user's function has raised, as `guarded` does."""
    if isinstance(exc, Exception) or is_outside(exc, task):
        raise exc
    raise RuntimeError(f"{name} raised {describe(exc)}, which would end the server.") from exc


async def gently(steps: Generator[None, None, T], *, is_shielded: bool = False) -> T:
    """Run some work to its end, and let other tasks run wherever it yields.

    Args:
        is_shielded: a cancellation does not interrupt it.
    """
    pause = cancel_shielded_checkpoint if is_shielded else checkpoint
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await pause()


def in_steps(items: Iterable[T | None]) -> Generator[None, None, list[T]]:
    """A list of these, made in steps; `None` counts, and is left out."""
    found: list[T] = []
    for number, item in enumerate(items, 1):
        if item is not None:
            found.append(item)
        if not number % STRIDE:
            yield
    return found
