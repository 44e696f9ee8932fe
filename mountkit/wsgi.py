"""WSGI applications as ASGI ones, through `a2wsgi`.

The request is brought into the shape in which `a2wsgi` makes a faithful environ of it;
responses are its own business.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from a2wsgi import WSGIMiddleware
from starlette.types import Message, Receive, Scope, Send

from mountkit.paths import split_root_path
from mountkit.websockets import refuse_websocket

_QUERY = "mountkit.query_string"


class WSGIBridge:
    """An ASGI app around a WSGI one. Its threads are its own: ten, as `a2wsgi` starts them.

    Attributes:
        app: the WSGI application.
    """

    def __init__(self, app: Any) -> None:
        self.app: Any = app
        self._bridge = WSGIMiddleware(self._call)

    def _call(self, environ: Any, start_response: Any) -> Any:
        scope: Scope = environ["asgi.scope"]
        _mend(environ, scope)

        def publishing_start_response(*args: Any) -> Any:
            scope["route"] = _werkzeug_route(environ)
            return start_response(*args)

        return self.app(environ, publishing_start_response)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
            return

        async def receive_coroutine() -> Message:
            # a2wsgi insists on a coroutine; granian's receive returns a future.
            return await receive()

        wsgi_scope = _wsgi_scope(scope)

        async def send_with_route(message: Message) -> None:
            # For whoever watches above, before the response ends their span.
            if wsgi_scope.get("route") is not None:
                scope["route"] = wsgi_scope["route"]
            await send(message)

        await self._bridge(wsgi_scope, receive_coroutine, send_with_route)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.app!r})"


def _wsgi_scope(scope: Scope) -> Scope:
    headers = []
    cookies = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            cookies.append(value)
        # "x_a" would become the environ key of "x-a"; "proxy" would become HTTP_PROXY (httpoxy).
        elif b"_" not in name and name != b"proxy":
            headers.append((name, value))
    if cookies:  # RFC 9113, section 8.2.3: joined with "; ", not as other headers are
        headers.append((b"cookie", b"; ".join(cookies)))
    # a2wsgi reads the query as ASCII; `_mend` puts it in as it is.
    return {**scope, "headers": headers, "query_string": b"", _QUERY: scope["query_string"]}


def _mend(environ: dict[str, Any], scope: Scope) -> None:
    """What a2wsgi takes from elsewhere, or leaves out (PEP 3333, "environ Variables")."""
    root_path, rest = split_root_path(scope)
    # Of the mount alone: an environment variable SCRIPT_NAME would override every mount.
    environ["SCRIPT_NAME"] = root_path.encode("utf-8").decode("latin-1")
    environ["PATH_INFO"] = rest.encode("utf-8").decode("latin-1")
    environ["QUERY_STRING"] = scope[_QUERY].decode("latin-1")
    environ["wsgi.errors"] = sys.stderr
    environ["wsgi.input_terminated"] = True  # chunked bodies have no Content-Length to trust
    environ["wsgi.multiprocess"] = False
    if scope["scheme"] == "https":
        environ["HTTPS"] = "on"


class _WSGIRoute(NamedTuple):
    """As much of a Starlette route as traces and logs look for."""

    path: str
    path_format: str
    name: str
    endpoint: Any = None


def _werkzeug_route(environ: Mapping[str, Any]) -> _WSGIRoute | None:
    """The rule that Flask has matched, `/item/<int:id>`, in Starlette's form: `/item/{id}`.

    Werkzeug's requests leave themselves in the environ. Other frameworks show nothing.
    """
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    if rule is None:
        return None
    path = re.sub(r"<(?:[^<>:]*:)?([^<>:]+)>", r"{\1}", rule.rule)
    return _WSGIRoute(path, path, rule.endpoint)
