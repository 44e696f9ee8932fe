"""Context variables: what an app sets there is its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any

from starlette.types import Message, Send


def is_current(context: Context) -> bool:
    """Whether all variables have the values that they have in another context. It is quick where
    nothing was set since the other was copied: they are one object inside then."""
    try:
        return copy_context() == context
    except Exception:  # of somebody's own `__eq__`
        return False


async def send_in(context: Context, send: Send, message: Message) -> None:
    """Send a message in another context, in the same task. Not twice at a time in the same one."""
    await _InContext(context, _sent(send, message))


async def _sent(send: Send, message: Message) -> None:
    await send(message)  # granian returns what can be awaited, and is no coroutine


class _InContext:
    """Drives a coroutine as `await` does (PEP 380), each step of it in a context."""

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, None]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                waited_for = self._context.run(step, value)
            except StopIteration:
                return
            try:
                value = yield waited_for
                step = self._coroutine.send
            except BaseException as exc:
                step, value = self._coroutine.throw, exc


def restore(context: Context) -> None:
    """Give variables back the values that they have in another context. Those that it has not
    keep theirs: a variable cannot be unset."""
    for variable, value in context.items():
        if variable.get(value) is not value:
            variable.set(value)
