"""What an application is, for type checkers and for messages. Imports nothing of mountkit.

Scopes, messages and environs are `Any` here: Starlette, Litestar, Quart and asgiref type them
differently, and an app of any of them can be mounted.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

#: Of ASGI 3: `await app(scope, receive, send)`. Also a class of endpoints, whose instances are
#: awaited.
ASGI3Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[Any]]
#: Of ASGI 2: `await app(scope)(receive, send)`.
ASGI2Application: TypeAlias = Callable[[Any], Callable[[Any, Any], Awaitable[Any]]]
#: Of PEP 3333: `app(environ, start_response)`.
WSGIApplication: TypeAlias = Callable[[Any, Any], Iterable[bytes]]
#: What can be mounted.
Application: TypeAlias = ASGI3Application | ASGI2Application | WSGIApplication


def name_of(app: Any) -> str:
    """An app in a word: its class, or its function's name."""
    while isinstance(app, functools.partial):
        app = app.func
    name = getattr(app, "__qualname__", None)
    if inspect.isroutine(app) and name:
        return f"{name.rpartition('<locals>.')[2]}()"
    return public_name(type(app))


def public_name(cls: type[Any]) -> str:
    """Of a private class, the name of its first public base."""
    names = (one.__qualname__.rpartition("<locals>.")[2] for one in cls.__mro__)
    return next(name for name in names if not name.startswith("_"))
