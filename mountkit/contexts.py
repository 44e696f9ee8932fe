"""Context variables: what an app sets there is its own."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextvars import Context, copy_context
from typing import Any


def is_current(context: Context) -> bool:
    """Whether all variables have the values that they have in another context. It is quick where
    nothing was set since the other was copied: they are one object inside then."""
    try:
        return copy_context() == context
    except Exception:  # of somebody's own `__eq__`
        return False


async def run_in(context: Context, awaitable: Awaitable[None]) -> None:
    """Await something in another context, in the same task. Not twice at a time in the same one."""
    await _InContext(context, awaitable)


class _InContext:
    """Drives an awaitable as `yield from` does (PEP 380), each step of it in a context."""

    def __init__(self, context: Context, awaitable: Awaitable[None]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._awaitable.__await__()
        step, value = steps.send, None
        while True:
            try:
                waited_for = self._context.run(step, value)
            except StopIteration:
                return
            try:
                value = yield waited_for
                step = steps.send
            except BaseException as exc:
                step, value = steps.throw, exc


def restore(context: Context) -> None:
    """Give variables back the values that they have in another context. Those that it has not
    keep theirs: a variable cannot be unset."""
    for variable, value in context.items():
        if variable.get(value) is not value:
            variable.set(value)
