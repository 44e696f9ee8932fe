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
    ResolutionError,
)
from mountkit.explanations import Candidate, Explanation, explain
from mountkit.forwarded import ForwardedMiddleware
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
from mountkit.openapi import OpenAPI
from mountkit.resolvers import TenantResolver
from mountkit.routing import Mount
from mountkit.splits import Split
from mountkit.supervision import Health
from mountkit.tables import Resolution, Table
from mountkit.tenants import TenantApps, TenantMiddleware
from mountkit.urls import URLNotFound, path_for, url_context, url_for
from mountkit.watchdogs import Watchdog
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
