"""Many web apps behind one port: mounts by path, host, header and more, for Starlette."""

from mountkit.exceptions import (
    ConflictError,
    InterfaceError,
    LifespanError,
    MountkitError,
    PatternError,
    ResolutionError,
)
from mountkit.inspection.audits import check
from mountkit.inspection.explanations import Candidate, Explanation, explain
from mountkit.lifespans.probes import Liveness, Readiness
from mountkit.lifespans.supervision import Health
from mountkit.matching.findings import Finding
from mountkit.matching.matchers import (
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
from mountkit.matching.tables import Resolution, Table
from mountkit.middleware.forwarded import ForwardedMiddleware
from mountkit.middleware.watchdogs import SERVING, Watchdog
from mountkit.openapi.pages import OpenAPI
from mountkit.serving.dispatchers import Dispatcher, DispatchMiddleware, LifespanMiddleware
from mountkit.serving.mounts import Mount
from mountkit.serving.splits import Split
from mountkit.tenants.apps import TenantApps, TenantMiddleware
from mountkit.tenants.resolvers import TenantResolver
from mountkit.urls import URLNotFound, path_for, url_context, url_for
from mountkit.wsgi.bridge import WSGIBridge

# Until `Mount.serve` and `Dispatcher.__call__` register themselves.
SERVING.update({Mount.serve.__code__: "self", Dispatcher.__call__.__code__: "mount"})

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
    "ForwardedMiddleware",
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
    "OpenAPI",
    "PatternError",
    "Query",
    "Readiness",
    "Resolution",
    "ResolutionError",
    "Scheme",
    "ScopeType",
    "Split",
    "Table",
    "TenantApps",
    "TenantMiddleware",
    "TenantResolver",
    "URLNotFound",
    "WSGIBridge",
    "Watchdog",
    "check",
    "explain",
    "path_for",
    "url_context",
    "url_for",
]
