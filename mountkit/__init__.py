"""Many web apps behind one port: mounts by path, host, header and more, for Starlette."""

from mountkit.dispatch import Dispatcher, DispatchMiddleware, LifespanMiddleware
from mountkit.exceptions import (
    ConflictError,
    InterfaceError,
    LifespanError,
    MountkitError,
    PatternError,
)
from mountkit.matchers import (
    Accept,
    Client,
    Cookie,
    Header,
    Host,
    Matcher,
    Method,
    Query,
    Scheme,
    ScopeType,
)
from mountkit.routing import Mount
from mountkit.splits import Split
from mountkit.tables import Resolution, Table

__all__ = [
    "Accept",
    "Client",
    "ConflictError",
    "Cookie",
    "DispatchMiddleware",
    "Dispatcher",
    "Header",
    "Host",
    "InterfaceError",
    "LifespanError",
    "LifespanMiddleware",
    "Matcher",
    "Method",
    "Mount",
    "MountkitError",
    "PatternError",
    "Query",
    "Resolution",
    "Scheme",
    "ScopeType",
    "Split",
    "Table",
]
