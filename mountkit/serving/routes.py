"""The route of a mounted app, for logs, metrics and traces of those above it.

A child that gets a scope of its own is invisible from above: its route stays in its scope. So the
composed template is carried upwards, to where each kind of instrumentation looks for it:

* `scope["route"]`, read after the call by Starlette's middleware and by most exporters;
* FastAPI's record of the request, written before the response ends its span;
* the current OpenTelemetry span, which the ASGI instrumentation does not name by itself.

OpenTelemetry is never imported here. Unless it was imported elsewhere, no span is open.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from starlette.types import Scope

from mountkit.frameworks import route_below, route_of

# Of OpenTelemetry; FastAPI's and Starlette's own telemetry need it too.
TRACING = "opentelemetry.trace"
_FASTAPI_RECORD = "fastapi.telemetry"
_STARLETTE_FLAG = "starlette.opentelemetry"
# OpenTelemetry, "Semantic conventions for HTTP spans": the methods that name a span.
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)


class Named(Protocol):
    """What a route belongs to: a mount, or an app of a split.

    Attributes:
        path_format: `/t/{tenant}/{path}`.
        name: for `url_for`.
    """

    @property
    def path_format(self) -> str: ...
    @property
    def name(self) -> str | None: ...


class Route:
    """What a mount leaves in its parent's `scope["route"]`.

    It is composed when it is read, from what the child has left in its own scope by then: most
    requests are never looked at. Not a `Mount`: Starlette's middleware would take `root_path` for
    the route.

    Args:
        mount: what the route belongs to.
        child: the child's scope.
    """

    __slots__ = ("child", "mount", "own_root")

    def __init__(self, mount: Named, child: Scope) -> None:
        self.mount: Named = mount
        self.child: Scope = child
        self.own_root: str = child["root_path"]

    @property
    def path_format(self) -> str:
        """The template below the parent's `root_path`: `/admin/item/{id}`. If the child has no
        route, or shows none (Django), the mount's alone."""
        prefix = self.mount.path_format.removesuffix("/{path}")
        return prefix + (route_below(self.child, self.own_root) or "")

    path = path_format

    @property
    def name(self) -> str | None:
        """The name of the child's route, else the mount's."""
        route = route_of(self.child)
        if not isinstance(getattr(route, "path_format", None), str):
            return self.mount.name
        return getattr(route, "name", None) or self.mount.name

    @property
    def endpoint(self) -> Any:
        """The child's endpoint, if it is known."""
        return self.child.get("endpoint")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path_format!r})"


class Publisher:
    """Tells those that do not look for themselves: FastAPI's record and OpenTelemetry's span.

    Called when the response starts, as FastAPI's span ends with it, and again at the end.
    """

    __slots__ = ("_parent", "_record", "_root_path", "_span")

    def __init__(self, parent: Scope, root_path: str, span: Any) -> None:
        self._parent = parent
        self._root_path = root_path
        self._record = parent.get(_FASTAPI_RECORD)
        self._span = span

    def __call__(self) -> None:
        route = self._root_path + self._parent["route"].path_format or "/"
        record = self._record
        if record is not None:
            record.route = route
        for span in {id(s): s for s in (getattr(record, "span", None), self._span) if s}.values():
            if span.is_recording():
                span.set_attribute("http.route", route)
                span.update_name(f"{_shown_method(self._parent)} {route}")


def watch(parent: Scope, child: Scope, root_path: str) -> Callable[[], None] | None:
    """Find what above has to be told of the route that is left in `parent`.

    Needs OpenTelemetry to be imported: call it only `if TRACING in sys.modules`.

    Args:
        child: the child's scope, before it is called.
        root_path: the `root_path` of `parent`, normalised.

    Returns:
        What to call when the response starts and when it has ended; `None` if nothing watches.
    """
    span = _server_span()
    if _FASTAPI_RECORD in parent:
        return Publisher(parent, root_path, span)
    if span is not None or parent.get(_STARLETTE_FLAG):
        child[_FASTAPI_RECORD] = None  # the request's one server span exists already
    return None if span is None else Publisher(parent, root_path, span)


def _shown_method(scope: Scope) -> str:
    method: str = scope.get("method", "GET")  # a websocket's handshake is a GET
    return method if method in _METHODS else "HTTP"


def _server_span() -> Any:
    """The OpenTelemetry server span that is open here, if any."""
    trace = sys.modules[TRACING]
    span = trace.get_current_span()
    if not span.is_recording() or getattr(span, "kind", None) is not trace.SpanKind.SERVER:
        return None
    return span
