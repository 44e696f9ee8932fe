"""Writes docs/api.md from the public docstrings: `python scripts/api_page.py`."""

from __future__ import annotations

import inspect
from pathlib import Path

import mountkit

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
GROUPS = {
    "Mounts and what decides between them": (
        "Mount Lifespan Dispatcher PreparedChange DispatchMiddleware LifespanMiddleware Table "
        "Resolution Refusal Split WSGIBridge"
    ),
    "Other processes": "Proxy Process",
    "Layers": (
        "LimitMiddleware TimeoutMiddleware CheckMiddleware ContextMiddleware ContainMiddleware "
        "RedirectMiddleware CookiePathMiddleware LocationMiddleware ForwardedMiddleware Watchdog"
    ),
    "Tenants": "TenantResolver TenantMiddleware TenantApps",
    "Matchers": "Matcher Header Cookie Query Method Scheme ScopeType Client Host Accept",
    "Explanations and findings": "explain Explanation Candidate check Finding",
    "Tests": "only running",
    "Logs": "AccessFilter",
    "URLs": "url_for path_for url_context OpenAPI",
    "Health": "Health Liveness Readiness",
    "Errors": (
        "MountkitError PatternError ConflictError InterfaceError LifespanError ResolutionError "
        "URLNotFound"
    ),
}
METHODS = {
    "Dispatcher": ("change", "prepare", "add", "remove", "replace", "only", "url_path_for"),
    "PreparedChange": ("commit", "abort"),
    "Table": ("decide", "resolve", "apply", "check"),
    "TenantResolver": ("resolve", "invalidate", "invalidate_tenant", "normal"),
    "TenantApps": ("start", "evict", "pin", "unpin"),
    "Proxy": ("switch",),
    "WSGIBridge": ("close",),
    "Matcher": ("matches",),
    "Explanation": ("as_dict",),
}


def page() -> str:
    """The page, made anew."""
    lines = ["# API", "", "Import all of these from `mountkit`.", ""]
    for title, names in GROUPS.items():
        lines += [f"## {title}", ""]
        for name in names.split():
            found = getattr(mountkit, name)
            lines += [f"### {name}", "", *_described(name, found)]
            for method in METHODS.get(name, ()):
                lines += _described(f"{name}.{method}", getattr(found, method))
    return "\n".join(lines).rstrip() + "\n"


def _described(name: str, found: object) -> list[str]:
    is_error = inspect.isclass(found) and issubclass(found, Exception)
    signature = "" if is_error else _signature(found)
    doc = inspect.getdoc(found) or ""
    return ["```text", f"{name}{signature}", "", doc, "```", ""]


def _signature(found: object) -> str:
    parameters = inspect.signature(found).parameters.values()  # type: ignore[arg-type]
    shown, is_keyword_only = [], False
    for parameter in parameters:
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            shown.append("*")
        text = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            text = f"*{text}"
            is_keyword_only = True
        elif parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.default is not parameter.empty:
            default = parameter.default
            text += "=" + (default.__name__ if inspect.isclass(default) else repr(default))
        shown.append(text)
    return f"({', '.join(shown)})"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
