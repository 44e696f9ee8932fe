"""Datasette. It is told its prefix, and hides behind the functions that plugins wrap it in."""

from typing import Any

from mountkit.frameworks import Framework, attribute_of, cells_of, is_a, unless_told


def _find(app: Any) -> Any:
    """Among what functions have closed over, too; up to 50 objects."""
    pending = [app]
    for one in pending:
        if is_a(one, "datasette.app", "Datasette"):
            return one
        found = (*(attribute_of(one, name) for name in ("ds", "asgi", "app")), *cells_of(one))
        pending += [x for x in found if callable(x) or hasattr(x, "setting")][: 50 - len(pending)]
    return None


DATASETTE = Framework(
    name="Datasette",
    find=_find,
    advice=unless_told(
        lambda app: app.setting("base_url"),
        "Datasette writes its links below base_url={told!r}; write "
        "Datasette(settings={{'base_url': '{prefix}/'}}) and Mount(convention='strip')",
    ),
)
