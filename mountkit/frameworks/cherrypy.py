"""CherryPy. It compares the whole path with a `script_name`, unless that is `None`."""

from collections.abc import Iterator
from typing import Any

from mountkit.frameworks import Framework, Place, Problem, is_a


def _find(app: Any) -> Any:
    known = (("cherrypy", "Application"), ("cherrypy._cptree", "Tree"))
    return app if any(is_a(app, *place) for place in known) else None


def _problems(app: Any, place: Place) -> Iterator[Problem]:
    is_tree = hasattr(app, "apps")
    told = [*app.apps] if is_tree else [app._script_name]
    is_right = any(name is None or f"{place.prefix}/" in f"{name}/" for name in told)
    if place.prefix and place.convention in ("spec", "strip") and not is_right:
        fix = f"tree.mount(root, {place.prefix!r})" if is_tree else "Application(root, None)"
        message = f"CherryPy answers below script_name={told!r} only; write cherrypy.{fix}"
        yield Problem("unaware-of-prefix", message)


CHERRYPY = Framework(name="CherryPy", find=_find, problems=_problems)
