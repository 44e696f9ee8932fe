"""Litestar."""

from collections.abc import Iterable
from typing import Any

from mountkit.frameworks import Framework, Reversal


def _names(app: Any) -> Iterable[str]:
    """The `name=` of each handler."""
    for route in app.routes:
        handlers = getattr(route, "route_handlers", None) or (route.route_handler,)
        yield from (handler.name for handler in handlers if handler.name)


LITESTAR = Framework(
    name="Litestar",
    app=("litestar", "Litestar"),
    left_keys="app litestar_app path_params path_template route_handler",
    reversal=lambda app: Reversal(
        lambda name, params: str(app.route_reverse(name, **params)), lambda: _names(app)
    ),
    document=lambda app: app.openapi_schema.to_schema() if app.openapi_config else None,
)
