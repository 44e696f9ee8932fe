"""Tells from the signature of an application whether it is ASGI 3, ASGI 2 or WSGI.

The application is not called, and "not async" does not mean WSGI: bound methods, partials and plain
functions that return an awaitable are ASGI applications too. What is unclear is refused.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, TypeAlias, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.exceptions import InterfaceError, shown
from mountkit.frameworks import WRAPPED, cells_of, instead_of

#: The names are uvicorn's.
Interface: TypeAlias = Literal["asgi3", "asgi2", "wsgi"]

_ASGI3 = ("scope", "receive", "send")
_REQUESTS = ("request", "req")
# What is passed in place of an application, by class.
_HINTS = {
    "str": "import the application and pass the object",
    "list": "routes go into routes=[…]",
}


def recognise(app: Any) -> Interface:
    """The interface of `app`.

    Raises:
        InterfaceError: it is not an application, or its signature does not tell.
    """
    if instead := instead_of(app):
        raise InterfaceError(f"{shown(app)} is {instead}.")
    found = _recognise(app, set())
    if found is not None:
        return found
    if not callable(app):
        how = _HINTS.get(type(app).__name__, "pass an ASGI or WSGI application")
        raise InterfaceError(f"{shown(app)} is not an application: it cannot be called; {how}.")
    if inspect.isclass(app):
        raise InterfaceError(
            f"{shown(app)} is a class, not an application; make one: {app.__name__}(…). "
            "If the class itself is the application, write interface='asgi2' or 'wsgi'."
        )
    raise InterfaceError(
        f"Whether {shown(app)} is an ASGI or a WSGI application cannot be told from its signature; "
        f"{_unclear(app)}write interface='asgi3' or interface='wsgi'."
    )


def _unclear(app: Any) -> str:
    """What a function that is not an application probably is, with the fix."""
    parameters = _parameters(app)
    name = getattr(app, "__name__", "app")
    if parameters is None:
        return ""
    if parameters and parameters[0].name in _REQUESTS:
        return (
            "it looks like a view, which an application calls: write Starlette(routes=[Route('/', "
            f"{name})]), or its like, and mount that; if it is an application, "
        )
    if all(parameter.default is not parameter.empty for parameter in parameters):
        call = f"await {name}()" if _is_async(app) else f"{name}()"
        return f"if it is a factory, call it: {call}; if it is an application, "
    return ""


def _recognise(app: Any, seen: set[int]) -> Interface | None:
    if id(app) in seen or not callable(app):
        return None
    seen.add(id(app))
    if inspect.isclass(app):
        return _of_class(app)
    # Most applications; `inspect.signature` takes ten times as long.
    code = getattr(app if type(app) is FunctionType else type(app).__call__, "__code__", None)
    if code is not None and code.co_varnames[: code.co_argcount][-3:] == _ASGI3:
        return "asgi3"
    if any(cls.__module__ == "webob.dec" for cls in type(app).__mro__):
        return "wsgi"  # its signature is that of a function of one request, or not known
    parameters = _parameters(app)
    if parameters is None:
        return _of_wrapped(app, seen)
    names = [parameter.name for parameter in parameters]
    if set(_ASGI3) <= set(names):
        return "asgi3"
    is_async = _is_async(app)
    if names and names[0] in _REQUESTS and not re.search("start|respon", "".join(names[1:2])):
        return None  # a view; Django's have parameters of the path too
    if names[:2] in (["environ", "start_response"], ["env", "start_response"]):
        return None if is_async else "wsgi"
    required = sum(parameter.default is parameter.empty for parameter in parameters)
    variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    if is_async:
        return "asgi3" if required <= 3 and (variadic or len(parameters) >= 3) else None
    if variadic:
        return _of_wrapped(app, seen)
    if required == 1:
        is_class = isinstance(app, functools.partial) and inspect.isclass(app.func)
        return "asgi2" if names[0] == "scope" or is_class else None
    # Guesses, but hardly another callable has the same number of parameters.
    return {3: "asgi3", 2: "wsgi"}.get(required)  # type: ignore[return-value]


def _parameters(app: Any) -> list[inspect.Parameter] | None:
    """The positional parameters of a call, or `None` if the object does not show them."""
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


def _of_class(cls: type[Any]) -> Interface | None:
    if hasattr(cls, "__await__"):  # Starlette's HTTPEndpoint
        return "asgi3"
    names = [parameter.name for parameter in _parameters(cls) or ()]
    if names[:1] == ["scope"] and inspect.iscoroutinefunction(cls.__call__):
        return "asgi2"
    # The example of PEP 3333.
    return "wsgi" if len(names) == 2 and hasattr(cls, "__iter__") else None


def _of_wrapped(app: Any, seen: set[int]) -> Interface | None:
    """The interface of what the object wraps, if all of that agrees."""
    wrapped = [getattr(app, name, None) for name in WRAPPED]
    found = {_recognise(one, seen) for one in (*wrapped, *cells_of(app))} - {None}
    return found.pop() if len(found) == 1 else None


def adapt(
    app: Any,
    interface: Interface | Literal["auto"] = "auto",
    bridge: Callable[[Any], ASGIApp] | None = None,
) -> tuple[ASGIApp, Interface]:
    """`app` as an ASGI 3 application, and the interface that it had; see `recognise`.

    Args:
        bridge: makes an ASGI application of a WSGI one; `None` is `WSGIBridge`.
    """
    if bridge is not None and (not callable(bridge) or is_built(bridge)):
        raise InterfaceError(
            f"bridge={shown(bridge)} does not make an application of one; write bridge=WSGIBridge, "
            "or partial(WSGIBridge, threads=4), without the application."
        )
    if interface == "auto":
        interface = recognise(app)
    elif interface not in get_args(Interface):
        known = ", ".join(get_args(Interface))
        raise InterfaceError(f"Interface {interface!r} is not known; write one of {known}.")

    async def asgi3(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    if interface == "asgi2":
        return asgi3, interface
    if interface == "wsgi":
        return (bridge or _default_bridge())(app), interface
    return app, interface


def is_built(made: Any) -> bool:
    """Whether this is an ASGI application already, and not what makes one."""
    return not inspect.isclass(made) and _recognise(made, set()) == "asgi3"


def _default_bridge() -> Callable[[Any], ASGIApp]:
    """`WSGIBridge`, loaded when the first WSGI application is met."""
    from mountkit.wsgi.bridge import WSGIBridge

    return WSGIBridge
