"""Is this object an ASGI 3, an ASGI 2 or a WSGI application? Told by its signature alone.

Never by calling it, and never "not async, so WSGI": bound methods, partials and plain
functions that return an awaitable are ASGI applications as well. What stays unclear is
refused, with what to write.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.exceptions import InterfaceError, shown
from mountkit.frameworks.prefixes import middleware_of
from mountkit.wsgi.bridge import WSGIBridge

#: As uvicorn names them.
Interface: TypeAlias = Literal["asgi3", "asgi2", "wsgi"]
INTERFACES: tuple[Interface, ...] = ("asgi3", "asgi2", "wsgi")

# Where wrappers keep what they wrap, for objects whose own signature says nothing.
_WRAPPED = (
    "__wrapped__",
    "wsgi_app",
    "asgi_app",
    "app",
    "application",
    "_app",
    "wrapped",
    "inner",
    "server",
)


def recognise(app: Any) -> Interface:
    """The interface that `app` speaks.

    Raises:
        InterfaceError: it is no application, or the object does not tell.
    """
    found = _recognise(app, set())
    if found is not None:
        return found
    if not callable(app):
        raise InterfaceError(f"{shown(app)} is no application: it cannot be called.")
    if inspect.isclass(app):
        raise InterfaceError(
            f"{shown(app)} is a class, not an application; make one: {app.__name__}(…). "
            "If the class itself is the application, write interface='asgi2' or 'wsgi'."
        )
    raise InterfaceError(
        f"Whether {shown(app)} is an ASGI or a WSGI application cannot be told from its signature; "
        "write interface='asgi3' or interface='wsgi'."
    )


def _recognise(app: Any, seen: set[int]) -> Interface | None:
    if id(app) in seen or not callable(app):
        return None
    seen.add(id(app))
    if inspect.isclass(app):
        return _of_class(app)
    if any(cls.__module__ == "webob.dec" for cls in type(app).__mro__):
        return "wsgi"  # its signature is that of a function of one request, or none at all
    parameters = _parameters(app)
    if parameters is None:
        return _of_wrapped(app, seen)
    names = [parameter.name for parameter in parameters]
    if {"scope", "receive", "send"} <= set(names):
        return "asgi3"
    is_async = _is_async(app)
    if names[:2] in (["environ", "start_response"], ["env", "start_response"]):
        return None if is_async else "wsgi"
    required = sum(parameter.default is parameter.empty for parameter in parameters)
    variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    if is_async:
        return "asgi3" if required <= 3 and (variadic or len(parameters) >= 3) else None
    if variadic:
        return _of_wrapped(app, seen)
    if required == 1:
        return "asgi2" if names[0] == "scope" or _is_partial_class(app) else None
    # Guesses, but for the right number of parameters there is hardly another callable.
    return {3: "asgi3", 2: "wsgi"}.get(required)  # type: ignore[return-value]


def _parameters(app: Any) -> list[inspect.Parameter] | None:
    """The positional parameters of a call; `None` if the object does not tell them."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    keyword_only = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind not in keyword_only]


def _is_async(app: Any) -> bool:
    while isinstance(app, functools.partial):
        app = app.func
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__)


def _is_partial_class(app: Any) -> bool:
    return isinstance(app, functools.partial) and inspect.isclass(app.func)


def _of_class(cls: type[Any]) -> Interface | None:
    if hasattr(cls, "__await__"):  # Starlette's HTTPEndpoint
        return "asgi3"
    parameters = _parameters(cls) or []
    names = [parameter.name for parameter in parameters]
    if names[:1] == ["scope"] and inspect.iscoroutinefunction(cls.__call__):
        return "asgi2"
    if len(parameters) == 2 and hasattr(cls, "__iter__"):  # PEP 3333's own example
        return "wsgi"
    return None


def _of_wrapped(app: Any, seen: set[int]) -> Interface | None:
    """What the wrapped objects say, if they agree."""
    wrapped = [getattr(app, name, None) for name in _WRAPPED]
    for cell in getattr(app, "__closure__", None) or ():
        try:
            wrapped.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    found = {_recognise(inner, seen) for inner in wrapped} - {None}
    return found.pop() if len(found) == 1 else None


def adapt(
    app: Any,
    interface: Interface | Literal["auto"] = "auto",
    bridge: Callable[[Any], ASGIApp] = WSGIBridge,
) -> tuple[ASGIApp, Interface]:
    """`app` as an ASGI 3 application, and what it was.

    Args:
        bridge: makes an ASGI application of a WSGI one.

    Raises:
        InterfaceError: it is no application, or it cannot be told which.
    """
    if interface == "auto":
        interface = recognise(app)
    elif interface not in INTERFACES:
        raise InterfaceError(
            f"Interface {interface!r} is not known; write one of {', '.join(INTERFACES)}."
        )
    if interface == "wsgi":
        return bridge(app), interface
    if interface == "asgi2":
        return _bridge_asgi2(app), interface
    return app, interface


def _bridge_asgi2(app: Callable[[Scope], Any]) -> ASGIApp:
    async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return asgi3


#: Apps that route on `path` alone, by class. An instance can only be met if its module was
#: imported, so that nothing is imported to look. Not the plain WSGI classes of the same name.
_STRIPPED = (
    ("falcon.asgi", "App"),
    ("sanic", "Sanic"),
    ("responder", "API"),
    ("microdot.asgi", "Microdot"),
    ("engineio", "ASGIApp"),
    ("emmett_core.app", "App"),
)


#: Those that compare the decoded `root_path` with the encoded `raw_path`.
_STRIPPED_IF_NOT_ASCII = (("blacksheep.server.application", "Application"),)

#: Muffin.
_ALONE = (("asgi_tools.app", "App"),)


def wants_stripped_path(app: Any, prefix: str = "") -> bool:
    """Whether `app`, or what it shows as `.app`, is known to route on `path` alone.

    Args:
        prefix: where it is mounted.
    """
    names = _STRIPPED if prefix.isascii() else _STRIPPED + _STRIPPED_IF_NOT_ASCII
    classes = tuple(_loaded(names))
    for one in _wrapped_in(app):
        if isinstance(one, classes):
            # python-socketio takes any path if it is told no path of its own.
            return getattr(one, "engineio_path", "/") is not None
        # Dash on FastAPI compares the whole path with its own prefix.
        for layer in middleware_of(one):
            if getattr(layer.cls, "__module__", "") == "dash.backends._fastapi":
                return True
    return False


def believes_to_be_alone(app: Any) -> bool:
    """Whether `app`, or what it shows as `.app`, is known to put `root_path` before a path that
    it takes for its own, so that it has to see neither."""
    classes = tuple(_loaded(_ALONE))
    return any(isinstance(one, classes) for one in _wrapped_in(app))


def _wrapped_in(app: Any) -> Iterable[Any]:
    for _ in range(8):  # wrappers around wrappers; a bound, should they go in a circle
        yield app
        # A Dash object shows the app that it is made of as `.server`.
        app = getattr(app, "app", None) or getattr(app, "server", None)


def _loaded(names: Iterable[tuple[str, str]]) -> Iterable[type[Any]]:
    for module_name, class_name in names:
        found = getattr(sys.modules.get(module_name), class_name, None)
        if inspect.isclass(found):
            yield found
