"""Datasette. It is told its prefix, and hides behind the functions that plugins wrap it in."""

from collections.abc import Iterator
from typing import Any

from mountkit.frameworks.base import Framework, cells_of, is_a


def _within(app: Any) -> Iterator[Any]:
    """An app and whatever it wraps, in functions too; up to 50 objects."""
    pending, seen = [app], 0
    while pending and seen < 50:
        one = pending.pop(0)
        seen += 1
        yield one
        found = (*(getattr(one, name, None) for name in ("ds", "asgi", "app")), *cells_of(one))
        pending += [inside for inside in found if callable(inside) or hasattr(inside, "setting")]


DATASETTE = Framework(
    name="Datasette",
    find=lambda app: next((x for x in _within(app) if is_a(x, "datasette.app", "Datasette")), None),
    told=lambda app: app.setting("base_url"),
    advice="Datasette writes its links below base_url={told!r}; write "
    "Datasette(settings={{'base_url': '{prefix}/'}}) and Mount(convention='strip')",
)
