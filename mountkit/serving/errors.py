"""What becomes of an exception that a mounted app raises: it goes up, as in Starlette."""

from __future__ import annotations

from starlette.exceptions import HTTPException, WebSocketException
from starlette.formparsers import MultiPartException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Receive, Scope, Send

from mountkit.exceptions import MountkitError
from mountkit.tasks import describe

_NOTE = "mountkit: raised by "


def annotated(exc: BaseException, where: str, *, has_started: bool) -> Exception:
    """The exception that goes up, with a note that names the app that raised it, once: the mounts
    further up do not add theirs.

    What is not an `Exception` (`SystemExit`, a cancellation of the app's own, a group of them)
    would end the server or a neighbour: it goes up as the cause of an error.
    """
    if not isinstance(exc, Exception):
        wrapper = MountkitError(f"{where} was ended by {describe(exc)}.")
        wrapper.__cause__ = exc
        exc = wrapper
    if not any(note.startswith(_NOTE) for note in getattr(exc, "__notes__", ())):
        started = ", which had started to answer" if has_started else ""
        exc.add_note(f"{_NOTE}{where[0].lower()}{where[1:]}{started}.")
    return exc


async def hand_up(exc: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Leave an exception to the handlers above, or raise it.

    Where a router is above, its own machinery takes it. Otherwise it is done here as Starlette's
    routers do it, with the handlers of the app, if there is one: in front of an app, its own
    `ExceptionMiddleware` is not reached, and without an app there is none.
    """
    if isinstance(exc, MultiPartException) and "app" in scope:
        # Starlette's Request.form() does this where it finds an app above.
        exc = HTTPException(400, exc.message)
    if "starlette.exception_handlers" in scope:
        raise exc
    handlers = getattr(scope.get("app"), "exception_handlers", {}).items()

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise exc

    # Those of 500 are for ServerErrorMiddleware, which is above this in any case.
    own = {key: handler for key, handler in handlers if key not in (500, Exception)}
    kinds = [HTTPException, WebSocketException, *(key for key in own if isinstance(key, type))]
    if not isinstance(exc, tuple(kinds)):
        raise exc
    await ExceptionMiddleware(fail, own)({**scope}, receive, send)
