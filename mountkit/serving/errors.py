"""The end of a request that did not end well: an exception goes up, as in Starlette."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException, WebSocketException
from starlette.formparsers import MultiPartException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.exceptions import MountkitError
from mountkit.middleware.errors import ANSWERS, contain
from mountkit.middleware.exchanges import ACCEPTED, GONE, STARTED, UNANSWERED, has_left
from mountkit.serving.flights import LEFT, Flight
from mountkit.serving.sites import MOUNT, SITE
from mountkit.tasks import describe, is_outside

# How far an answer is, by its status.
_STATES = {0: UNANSWERED, 101: ACCEPTED}
_NOTE = "mountkit: raised by "


class _Noted:
    """In which request an exception got its note. A pickle of the exception leaves it out."""

    def __init__(self, site: Any = None) -> None:
        self.site = site

    def __reduce__(self) -> Any:
        return _Noted, ()


def annotated(exc: BaseException, where: str, scope: Scope, *, has_started: bool) -> Exception:
    """The exception that goes up, with a note that names the app that raised it: in one request the
    innermost, in a later one another, if the object is raised again.

    What is not an `Exception` (`SystemExit`, a cancellation of the app's own, a group of them)
    would end the server or a neighbour: it goes up as the cause of an error.

    Args:
        scope: the app's; its site tells one request from another.
    """
    if not isinstance(exc, Exception):
        wrapper = MountkitError(f"{where} was ended by {describe(exc)}.")
        wrapper.__cause__ = exc
        exc = wrapper
    site, before = scope.get(SITE), vars(exc).get(SITE, _Noted())
    if site is None or before.site is not site:
        vars(exc)[SITE] = _Noted(site)
        started = ", which had started to answer" if has_started else ""
        others = [note for note in getattr(exc, "__notes__", ()) if not note.startswith(_NOTE)]
        exc.__notes__ = [*others, f"{_NOTE}{where[0].lower()}{where[1:]}{started}."]
    return exc


async def hand_up(exc: Exception, scope: Scope, receive: Receive, send: Send, router: Any) -> None:
    """Leave an exception to the handlers above, or raise it.

    Where a router is above, its own machinery takes it. Otherwise it is done here as Starlette's
    routers do it, with the handlers of the app, if there is one: in front of an app, its own
    `ExceptionMiddleware` is not reached, and without an app there is none.
    """
    if isinstance(exc, MultiPartException) and "app" in scope:
        # Starlette's Request.form() does this where it finds an app above.
        exc = HTTPException(400, exc.message)
    # In front of an app, those in the scope are of an app further up.
    if "starlette.exception_handlers" in scope and not getattr(router, "is_middleware", False):
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


async def end(
    mount: Any,
    exc: BaseException | None,
    flight: Flight,
    scope: Scope,
    child: Scope,
    receive: Receive,
    router: Any,
) -> None:
    """Deal with an app that has raised, whose request was cut, or that has returned without an
    answer: answer, raise, or note that the client has gone.

    Args:
        mount: whose app it is.
        exc: what it raised, if it did.
        scope, child: the parent's and the app's.
        router: the dispatcher, whose `errors` counts as well as the mount's.
    """
    is_cut = flight.settle(exc)
    if flight.is_closed:
        child[GONE] = True
    if is_cut:
        await _break_off(mount.where, flight, scope, receive)
    elif exc is not None and is_outside(exc, flight.task):
        raise exc
    elif await has_left(exc, bool(flight.status), child, receive):
        flight.status = LEFT
        if exc is not None and MOUNT in scope:  # a mount further up, which counts it too
            raise exc
    elif exc is not None:
        await _fail(mount, exc, flight, scope, child, receive, router)


async def _fail(
    mount: Any,
    exc: BaseException,
    flight: Flight,
    scope: Scope,
    child: Scope,
    receive: Receive,
    router: Any,
) -> None:
    """Deal with an exception of the app's own."""
    error = annotated(exc, mount.where, child, has_started=bool(flight.status))
    if isinstance(exc, ANSWERS) and flight.status in _answerable(exc):
        await hand_up(error, scope, receive, flight.send, router)
        return
    mount.error = describe(exc)
    if "contain" in (mount.errors, getattr(router, "errors", "raise")):
        state = _STATES.get(flight.status, STARTED)
        if not await contain(exc, mount.where, state, child, receive, flight.send):
            raise error
    elif flight.status not in _answerable(
        exc
    ):  # nothing may answer a second time: the server breaks the connection
        raise error
    else:
        await hand_up(error, scope, receive, flight.send, router)


def _answerable(exc: BaseException) -> tuple[int, ...]:
    """How far an answer may be when a handler is asked: an open websocket has yet to be closed."""
    return (0,) if isinstance(exc, HTTPException) else (0, 101)


async def _break_off(where: str, flight: Flight, scope: Scope, receive: Receive) -> None:
    """End a request that has outlived its mount."""
    if flight.status == 101:  # IANA's registry of close codes: service restart
        reason = "The app was removed."
        await flight.send({"type": "websocket.close", "code": 1012, "reason": reason})
    elif flight.status:  # ASGI has no message for it; to raise is what breaks the connection
        raise MountkitError(f"{where} was removed, and waited no longer for the request to end.")
    else:
        await answer(503, scope, receive, flight.send, was_called=True)
