"""Many web apps behind one port: mounts by path, host, header and more, for Starlette.

Import public names from here. What every app needs is loaded at once; names in `_MODULES` are
loaded when they are first used, which keeps `import mountkit` cheap. To add a public name, add it
to `__all__`; if few apps need it, add it to `_MODULES` and to the imports for type checkers, else
to the imports above them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mountkit.exceptions import (
    ConflictError,
    InterfaceError,
    LifespanError,
    MountkitError,
    PatternError,
    ResolutionError,
)
from mountkit.lifespans.options import Lifespan
from mountkit.matching.accept import Accept
from mountkit.matching.conditions import (
    Client,
    Cookie,
    Header,
    Host,
    Method,
    Query,
    Scheme,
    ScopeType,
)
from mountkit.matching.decisions import Refusal, Resolution
from mountkit.matching.matchers import Matcher
from mountkit.matching.tables import Table
from mountkit.serving.dispatchers import Dispatcher, DispatchMiddleware
from mountkit.serving.mounts import Mount

if TYPE_CHECKING:
    from mountkit.inspection.alone import only
    from mountkit.inspection.audits import check
    from mountkit.inspection.explanations import Candidate, Explanation, explain
    from mountkit.lifespans.middleware import LifespanMiddleware
    from mountkit.lifespans.probes import Liveness, Readiness
    from mountkit.lifespans.protocol import running
    from mountkit.lifespans.runs import Health
    from mountkit.matching.findings import Finding
    from mountkit.middleware.checks import CheckMiddleware
    from mountkit.middleware.contexts import ContextMiddleware
    from mountkit.middleware.cookies import CookiePathMiddleware
    from mountkit.middleware.errors import ContainMiddleware
    from mountkit.middleware.forwarded import ForwardedMiddleware
    from mountkit.middleware.limits import LimitMiddleware
    from mountkit.middleware.meters import MeterMiddleware
    from mountkit.middleware.redirects import LocationMiddleware, RedirectMiddleware
    from mountkit.middleware.timeouts import TimeoutMiddleware
    from mountkit.middleware.watchdogs import Watchdog
    from mountkit.openapi.pages import OpenAPI
    from mountkit.processes.processes import Process
    from mountkit.proxy.proxies import Proxy
    from mountkit.serving.access import AccessFilter
    from mountkit.serving.changes import PreparedChange
    from mountkit.serving.splits import Split
    from mountkit.status.app import Status
    from mountkit.status.metrics import Metrics
    from mountkit.tenants.apps import TenantApps
    from mountkit.tenants.middleware import TenantMiddleware
    from mountkit.tenants.resolvers import TenantResolver
    from mountkit.urls import URLNotFound, path_for, url_context, url_for
    from mountkit.wsgi.bridge import WSGIBridge


__all__ = [
    "Accept",
    "AccessFilter",
    "Candidate",
    "CheckMiddleware",
    "Client",
    "ConflictError",
    "ContainMiddleware",
    "ContextMiddleware",
    "Cookie",
    "CookiePathMiddleware",
    "DispatchMiddleware",
    "Dispatcher",
    "Explanation",
    "Finding",
    "ForwardedMiddleware",
    "Header",
    "Health",
    "Host",
    "InterfaceError",
    "Lifespan",
    "LifespanError",
    "LifespanMiddleware",
    "LimitMiddleware",
    "Liveness",
    "LocationMiddleware",
    "Matcher",
    "MeterMiddleware",
    "Method",
    "Metrics",
    "Mount",
    "MountkitError",
    "OpenAPI",
    "PatternError",
    "PreparedChange",
    "Process",
    "Proxy",
    "Query",
    "Readiness",
    "RedirectMiddleware",
    "Refusal",
    "Resolution",
    "ResolutionError",
    "Scheme",
    "ScopeType",
    "Split",
    "Status",
    "Table",
    "TenantApps",
    "TenantMiddleware",
    "TenantResolver",
    "TimeoutMiddleware",
    "URLNotFound",
    "WSGIBridge",
    "Watchdog",
    "check",
    "explain",
    "only",
    "path_for",
    "running",
    "url_context",
    "url_for",
]

_MODULES = {
    "AccessFilter": "serving.access",
    "Candidate": "inspection.explanations",
    "CheckMiddleware": "middleware.checks",
    "ContainMiddleware": "middleware.errors",
    "ContextMiddleware": "middleware.contexts",
    "CookiePathMiddleware": "middleware.cookies",
    "Explanation": "inspection.explanations",
    "Finding": "matching.findings",
    "ForwardedMiddleware": "middleware.forwarded",
    "Health": "lifespans.runs",
    "LifespanMiddleware": "lifespans.middleware",
    "LimitMiddleware": "middleware.limits",
    "Liveness": "lifespans.probes",
    "LocationMiddleware": "middleware.redirects",
    "MeterMiddleware": "middleware.meters",
    "Metrics": "status.metrics",
    "OpenAPI": "openapi.pages",
    "PreparedChange": "serving.changes",
    "Process": "processes.processes",
    "Proxy": "proxy.proxies",
    "Readiness": "lifespans.probes",
    "RedirectMiddleware": "middleware.redirects",
    "Split": "serving.splits",
    "Status": "status.app",
    "TenantApps": "tenants.apps",
    "TenantMiddleware": "tenants.middleware",
    "TenantResolver": "tenants.resolvers",
    "TimeoutMiddleware": "middleware.timeouts",
    "URLNotFound": "urls",
    "WSGIBridge": "wsgi.bridge",
    "Watchdog": "middleware.watchdogs",
    "check": "inspection.audits",
    "explain": "inspection.explanations",
    "only": "inspection.alone",
    "path_for": "urls",
    "running": "lifespans.protocol",
    "url_context": "urls",
    "url_for": "urls",
}

if not TYPE_CHECKING:  # pragma: no branch - type checkers would let every name pass

    def __getattr__(name: str) -> object:
        """Load a name on its first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"mountkit.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
