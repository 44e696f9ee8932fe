"""The route that logs, metrics and traces see: `/outer/admin/item/{id}`, and one span of it.

A child with a scope of its own is invisible to whoever watches its parent: the child's route
stays in the child's scope. So the composed template is carried upwards, to where each of the
three kinds of instrumentation looks for it:

* `scope["route"]`, read after the call by Starlette's middleware and by most exporters;
* FastAPI's record of the request, written before the response ends its span;
* the current OpenTelemetry span, which the ASGI instrumentation does not name by itself.

OpenTelemetry is never imported here; if it was not imported elsewhere, no span is open.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from starlette.types import Scope

_FASTAPI_RECORD = "fastapi.telemetry"
_STARLETTE_FLAG = "starlette.opentelemetry"
# OpenTelemetry, "Semantic conventions for HTTP spans": the methods that name a span.
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)


class RouteTemplate:
    """What a dispatcher leaves in the `scope["route"]` of its parent.

    Not a `Mount`: Starlette's middleware would take `root_path` for the route.

    Attributes:
        path_format, path: the template below the parent's `root_path`: `/admin/item/{id}`.
        name: the child's route's name, else the mount's.
        endpoint: the child's endpoint, if it is known.
    """

    __slots__ = ("endpoint", "name", "path", "path_format")

    def __init__(self, path_format: str, name: str | None, endpoint: Any) -> None:
        self.path: str = path_format
        self.path_format: str = path_format
        self.name: str | None = name
        self.endpoint: Any = endpoint

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path_format!r})"


def compose(prefix: str, mount_name: str | None, child: Scope, own_root: str) -> RouteTemplate:
    """The template of a request, once its child has chosen a route or has not.

    Args:
        prefix: the mount's path format, `/t/{tenant}`.
        child: the child's scope, as the child has left it.
        own_root: the `root_path` that the child was handed.
    """
    route = _route_of(child)
    path_format = getattr(route, "path_format", None)
    if not isinstance(path_format, str):
        # The child has no route, or shows none (Django): what is known is the mount.
        return RouteTemplate(prefix, mount_name, child.get("endpoint"))
    grown: str = child.get("root_path", "")
    # Starlette's own mounts below the child grow its root_path in place. A mount that is
    # itself the last route has its prefix in both.
    inner = grown[len(own_root) :] if grown.startswith(own_root) else ""
    if inner and hasattr(route, "app") and path_format.endswith("/{path}"):
        inner = ""
    name = getattr(route, "name", None) or mount_name
    return RouteTemplate(prefix + inner + path_format, name, child.get("endpoint"))


def _route_of(child: Scope) -> Any:
    # An APIRoute below `include_router(prefix=…)` does not know the prefix; its context does.
    context = child.get("fastapi", {}).get("effective_route_context")
    if context is not None:
        return getattr(context, "starlette_route", None) or context
    return child.get("route")


class Publisher:
    """Carries one request's template upwards.

    It has to be published when the response starts, as FastAPI's span ends with it and middleware
    looks for the route when `call_next` returns, and once more at the end.
    """

    __slots__ = ("_compose", "_parent", "_record", "_root_path", "_span")

    def __init__(
        self, parent: Scope, child: Scope, root_path: str, compose: Callable[[], RouteTemplate]
    ) -> None:
        self._parent = parent
        self._root_path = root_path
        self._compose = compose
        self._record = parent.get(_FASTAPI_RECORD)
        self._span = _server_span()
        if _FASTAPI_RECORD not in parent and (
            self._span is not None or parent.get(_STARLETTE_FLAG)
        ):
            # Somebody above has made the request's one server span already.
            child[_FASTAPI_RECORD] = None

    def publish(self) -> None:
        """Tell everyone above what is known by now."""
        template = self._compose()
        self._parent["route"] = template
        route = self._root_path + template.path_format or "/"
        record = self._record
        if record is not None:
            record.route = route
        for span in {id(s): s for s in (getattr(record, "span", None), self._span) if s}.values():
            if span.is_recording():
                span.set_attribute("http.route", route)
                span.update_name(f"{_shown_method(self._parent)} {route}")


def _shown_method(scope: Scope) -> str:
    method: str = scope.get("method", "GET")  # a websocket's handshake is a GET
    return method if method in _METHODS else "HTTP"


def _server_span() -> Any:
    """The OpenTelemetry server span that is open here, if any."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span()
    if not span.is_recording() or getattr(span, "kind", None) is not trace.SpanKind.SERVER:
        return None
    return span
