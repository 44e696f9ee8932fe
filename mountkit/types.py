"""What an application is, for type checkers. Imports nothing of mountkit.

Scopes, messages and environs are `Any` here: Starlette, Litestar, Quart and asgiref type them
differently, and an app of any of them can be mounted.
"""

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
