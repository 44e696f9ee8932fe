"""Many web apps behind one port: mounts by path, host, header and more, for Starlette."""

from mountkit.audits import check
from mountkit.checks import Finding
from mountkit.dispatch import Dispatcher, DispatchMiddleware, LifespanMiddleware
from mountkit.endpoints import Liveness, Readiness
from mountkit.exceptions import (
    ConflictError,
    InterfaceError,
    LifespanError,
    MountkitError,
    PatternError,
)
from mountkit.explanations import Candidate, Explanation, explain
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
from mountkit.supervision import Health
from mountkit.tables import Resolution, Table
from mountkit.wsgi import WSGIBridge

__all__ = [
    "Accept",
    "Candidate",
    "Client",
    "ConflictError",
    "Cookie",
    "DispatchMiddleware",
    "Dispatcher",
    "Explanation",
    "Finding",
    "Header",
    "Health",
    "Host",
    "InterfaceError",
    "LifespanError",
    "LifespanMiddleware",
    "Liveness",
    "Matcher",
    "Method",
    "Mount",
    "MountkitError",
    "PatternError",
    "Query",
    "Readiness",
    "Resolution",
    "Scheme",
    "ScopeType",
    "Split",
    "Table",
    "WSGIBridge",
    "check",
    "explain",
]
