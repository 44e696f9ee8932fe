"""Connection scopes, as servers make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import Scope

Pairs = Iterable[tuple[str, str]]


def scope_of(
    path: str = "/",
    *,
    host: str | Sequence[str] | None = None,
    method: str = "GET",
    headers: Pairs = (),
    query: str = "",
    root_path: str = "",
    type: str = "http",
    **more: Any,
) -> Scope:
    """A connection scope as a server would make it."""
    hosts = [host] if isinstance(host, str) else list(host or ())
    scope: Scope = {
        "type": type,
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1" if hosts else "1.0",
        "scheme": "http" if type == "http" else "ws",
        "path": path,
        "root_path": root_path,
        "query_string": query.encode("ascii"),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in [*(("host", host) for host in hosts), *headers]
        ],
        "client": ("192.0.2.1", 50000),
        "server": ("127.0.0.1", 80),
    }
    if type == "http":
        scope["method"] = method
    return {**scope, **more}


def served_scope(
    path: str, *, headers: list[tuple[bytes, bytes]] | None = None, **changes: Any
) -> Scope:
    """An HTTP request as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"a.com"), (b"accept", b"*/*")] if headers is None else headers,
        "state": {"server": 1},
    } | changes
