"""Litestar."""

from collections.abc import Iterable
from typing import Any

from mountkit.frameworks.base import Framework, Reversal


def _reversal(app: Any) -> Reversal:
    """By the `name=` of the handler."""

    def names() -> Iterable[str]:
        for route in app.routes:
            handlers = getattr(route, "route_handlers", None) or (route.route_handler,)
            yield from (handler.name for handler in handlers if handler.name)

    return Reversal(lambda name, params: str(app.route_reverse(name, **params)), names)


LITESTAR = Framework(
    name="Litestar",
    app=("litestar", "Litestar"),
    left_keys="app litestar_app path_params path_template route_handler",
    reversal=_reversal,
    document=lambda app: app.openapi_schema.to_schema() if app.openapi_config else None,
)
