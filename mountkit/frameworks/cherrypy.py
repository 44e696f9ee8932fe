"""CherryPy. It compares the whole path with the `script_name` of its apps."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mountkit.frameworks import Framework, Place, Problem


def _unless_below(
    names: Callable[[Any], Iterable[str | None]], fix: str
) -> Callable[[Any, Place], Iterator[Problem]]:
    """Nothing is wrong with `None`, which takes the prefix of each request."""

    def problems(app: Any, place: Place) -> Iterator[Problem]:
        told = [*names(app)]
        is_right = any(name is None or f"{place.prefix}/" in f"{name}/" for name in told)
        if place.prefix and place.convention in ("spec", "strip") and not is_right:
            message = f"CherryPy answers below script_name={told!r} only; write {fix}"
            yield Problem("unaware-of-prefix", message.format(prefix=place.prefix))

    return problems


APPLICATION = Framework(
    name="CherryPy",
    app=("cherrypy", "Application"),
    problems=_unless_below(lambda app: [app._script_name], "cherrypy.Application(root, None)"),
)
TREE = Framework(
    name="CherryPy's tree",
    app=("cherrypy._cptree", "Tree"),
    problems=_unless_below(lambda app: app.apps, "cherrypy.tree.mount(root, {prefix!r})"),
)
