"""The routers, by name; and the whole way from an app to a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mountkit.export import caddy, envoy, gateway, haproxy, nginx, traefik
from mountkit.export.names import Options
from mountkit.export.plans import Plan, plan_of, table_of
from mountkit.export.upstreams import read_upstreams

#: What writes the configuration of each.
ROUTERS: Mapping[str, Callable[[Plan, Options], str]] = {
    "caddy": caddy.write,
    "envoy": envoy.write,
    "gateway-api": gateway.write,
    "haproxy": haproxy.write,
    "nginx": nginx.write,
    "traefik": traefik.write,
}


def export(app: Any, router: str, upstreams: Iterable[str], options: Options) -> str:
    """The table of an app as the configuration of a router that decides as it does.

    Args:
        app: one with mounts; those that it contains in its own mounts are theirs to choose.
        router: one of `ROUTERS`.
        upstreams: see `upstreams.read_upstreams`.

    Raises:
        ExportError: the router cannot say it; the message names the mount, the condition and the
            reason.
        PatternError: an upstream is missing or wrong.
    """
    layer = table_of(app)
    entries: Iterable[Any] = () if layer.table is None else layer.table.declared
    mounts = [entry for entry in entries if not hasattr(entry, "below")]
    find = read_upstreams(upstreams, mounts)
    return ROUTERS[router](plan_of(layer, find, assumed=options.assumed), options)
