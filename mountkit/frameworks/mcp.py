"""The MCP SDK. It makes Starlette apps, and answers 421 to hosts that are not in its list."""

from collections.abc import Iterator
from typing import Any

from mountkit.frameworks import Framework, Place, Problem, items_of


def _find(app: Any) -> Any:
    """What guards the endpoints of its apps."""
    endpoints = (getattr(route, "endpoint", None) for route in items_of(app, "routes"))
    managers = (getattr(endpoint, "session_manager", None) for endpoint in endpoints)
    return [getattr(one, "security_settings", None) for one in managers if one is not None] or None


def _problems(app: Any, place: Place) -> Iterator[Problem]:
    """By default the list has the local hosts."""
    host = place.host
    for security in app:
        if host is None or not getattr(security, "enable_dns_rebinding_protection", False):
            continue
        known = security.allowed_hosts
        if host not in (name.partition(":")[0] for name in known):
            yield Problem(
                "refuses-host",
                f"the MCP server answers 421 to the host {host!r}: it has allowed_hosts={known!r}; "
                f"write TransportSecuritySettings(allowed_hosts={[host, f'{host}:*']!r})",
            )


MCP = Framework(name="MCP", find=_find, problems=_problems)
