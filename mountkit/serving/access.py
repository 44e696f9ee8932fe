"""What a server's access log says of mounts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import FrameType
from typing import cast

from starlette.types import Scope

from mountkit.exceptions import shown
from mountkit.matching.hosts import request_host
from mountkit.serving.routes import Route
from mountkit.serving.scopes import PARAMS
from mountkit.serving.sites import MOUNT

_KINDS = ("http", "websocket")


class AccessFilter(logging.Filter):
    """Adds `mount`, `host` and `tenant` to the records of a server's access log (uvicorn's,
    hypercorn's or granian's), for its formatter: `%(mount)s`.

    `mount` is the prefix as it is written, with those of mounts below it; `default` for the app
    underneath a `Dispatcher`. `host` is the one valid `Host`, without its port. `tenant` is that of
    `TenantMiddleware` or `TenantApps`, else the value of a placeholder `{tenant}`. A missing value
    is "-". The scope is found among the callers that write the record.

    Args:
        tenant: the attribute of a tenant to show, such as `"slug"`; else `str` of the tenant.
        state_key: see `TenantMiddleware`; also the name of the placeholder.
    """

    def __init__(self, *, tenant: str = "", state_key: str = "tenant") -> None:
        super().__init__()
        self.tenant = tenant
        self.state_key = state_key

    def filter(self, record: logging.LogRecord) -> bool:
        scope = _served(sys._getframe(1))
        host = request_host(scope) if scope else None
        found = [*_passed(scope)] if scope else []
        more = {"mount": _label(found) or "-", "tenant": self._tenant(found)}
        vars(record).update(more, host="-" if host is None else host.host)
        return True

    def _tenant(self, scopes: list[Scope]) -> str:
        for scope in scopes:
            for values in (scope.get("state"), scope.get(PARAMS)):
                tenant = values.get(self.state_key) if isinstance(values, dict) else None
                if tenant is not None:
                    return self._text(tenant)
        return "-"

    def _text(self, tenant: object) -> str:
        """A tenant in one line. What its code raises must not end the request."""
        try:
            text = str(getattr(tenant, self.tenant, tenant) if self.tenant else tenant)
        except Exception:
            text = shown(tenant)
        return text if text.isprintable() else repr(text)


def _served(frame: FrameType | None) -> Scope | None:
    """The scope that the nearest of these callers has, unless it is a mount's."""
    while frame is not None:
        names = frame.f_locals
        own = getattr(names.get("self"), "__dict__", {})  # runs no code of it
        for one in (names.get("scope"), names.get("request"), own.get("scope")):
            if isinstance(one, dict) and one.get("type") in _KINDS and MOUNT not in one:
                return cast("Scope", one)
        frame = frame.f_back
    return None


def _passed(scope: Scope) -> Iterator[Scope]:
    """The server's scope, and those of the mounts that the request went through."""
    yield scope
    while isinstance(route := scope.get("route"), Route):
        scope = route.child
        yield scope


def _label(scopes: list[Scope]) -> str:
    """The mounts of these scopes as one: `acme.example.com/shop/admin`."""
    label = ""
    for scope in scopes[:-1]:  # the last one went no further
        mount = scope["route"].mount
        below = mount.path_format.removesuffix("/{path}")
        if not label:
            label = getattr(mount, "label", "")  # a split has none
        elif below:
            label = label.rstrip("/") + below
    return label
