"""What is said when the site is up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from mountkit.config.elsewhere import ELSEWHERE
from mountkit.config.models import MountConfig, SiteConfig
from mountkit.config.tables import ProxyConfig

_MOST = 20


def lines_of(config: SiteConfig, urls: Sequence[str], *, can_reload: bool) -> Iterator[str]:
    """Where it serves, what, and how to change it.

    Args:
        urls: where clients find it.
        can_reload: it comes from a file.
    """
    server = config.server
    workers = f"{server.workers} worker{'s' * (server.workers > 1)}"
    yield f"Serving on {', '.join(urls)} ({server.server}, {workers})"
    mounts = [mount for mount in config.mounts if mount.app != ELSEWHERE]
    for mount in mounts[:_MOST]:
        yield f"  {mount.name} -> {_target(mount)}"
    if more := mounts[_MOST:]:
        yield f"  and {len(more)} more"
    if others := len(config.mounts) - len(mounts):
        yield f"  and {others} that {'is' if others == 1 else 'are'} served elsewhere"
    pid = os.getpid()
    reload = f"Read the file again: kill -HUP {pid}. " if can_reload else ""
    yield f"{reload}New code: kill -USR2 {pid}. Stop: Ctrl-C or kill {pid}."


def _target(mount: MountConfig) -> str:
    if mount.split is not None:
        return " | ".join(share.app for share in mount.split.apps.values())
    if mount.command is not None:
        return f"command {' '.join(mount.command)}"
    if mount.proxy is not None:
        urls = mount.proxy.url if isinstance(mount.proxy, ProxyConfig) else mount.proxy
        return f"proxy to {urls if isinstance(urls, str) else ', '.join(urls)}"
    kinds = {"static folder ": mount.static, "redirect to ": mount.redirect, "": mount.app}
    return next(f"{kind}{value}" for kind, value in kinds.items() if value is not None)
