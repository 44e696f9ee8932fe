"""Context variables: what an app sets does not reach the next request."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from types import coroutine
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# After these, without `more_body` or `more_trailers`, a server may start the next request of the
# connection, and uvicorn does so within `send`.
_ENDS = {f"http.response.{part}" for part in ("body", "pathsend", "zerocopysend", "trailers")}
_ENDS |= {"websocket.http.response.body", "websocket.close"}


class ContextMiddleware:
    """Keeps the context variables that an app sets from the rest of the server.

    Servers call an app in a task that they may use again, and uvicorn starts the next request of a
    connection while the end of the response before is sent. So the end is sent in the context from
    before the app was called, and once the app has returned or raised, its variables have the
    values from before. A variable that had no value keeps the app's: Python cannot unset it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        context = copy_context()

        async def send_outside(message: Message) -> None:
            if message["type"] in _ENDS and not is_current(context):
                await send_in(context, send, message)
            else:
                await send(message)

        try:
            await self.app(scope, receive, send_outside)
        finally:
            if not is_current(context):
                for variable, value in context.items():
                    if variable.get(value) is not value:
                        variable.set(value)


def is_current(context: Context) -> bool:
    """Whether all variables have their values of `context`; quick if none was set since."""
    try:
        return copy_context() == context
    except Exception:  # raised by the `__eq__` of a value
        return False


@coroutine
def send_in(context: Context, send: Send, message: Message) -> Generator[Any, Any, None]:
    """Send in another context, but in the same task: runs each step of `await` (PEP 380) there."""

    async def sent() -> None:
        await send(message)  # granian returns an awaitable that is not a coroutine

    call = sent()
    step: Callable[[Any], Any] = call.send
    value: Any = None
    while True:
        try:
            waited_for = context.run(step, value)
        except StopIteration:
            return
        try:
            value = yield waited_for
            step = call.send
        except BaseException as exc:
            step, value = call.throw, exc
