from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, make_asgi_app


def make(prefix: str) -> Any:
    registry = CollectorRegistry()
    Counter("seen", "What was seen", registry=registry).inc(7)
    return make_asgi_app(registry)
