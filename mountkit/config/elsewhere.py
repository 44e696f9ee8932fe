"""Some mounts of a site, served without the others, which run in other processes.

All of them decide, so that each request goes where it goes in the whole site. The tables of the
others lose what does not decide, before anything reads it: no variable of theirs has to be set, no
folder to be there, no module to be installed. In the place of their apps stands one that says 404.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.config.models import MountConfig
from mountkit.config.variables import Given
from mountkit.serving.alone import named
from mountkit.serving.mounts import Mount

#: What the tables of mounts that are left out name.
ELSEWHERE = "mountkit.config.elsewhere:elsewhere"
_NAMING = ("path", "host", "name")
_DECIDING = {*_NAMING, "headers", "methods", "query", "when", "priority", "exact", "expose"}
#: Not redirected to the slash, either.
_OF_MOUNTS = {"redirect_slashes": False}
_LEFT_OUT = MountConfig.model_fields.keys() - _DECIDING


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what an app that is served elsewhere would answer."""
    await answer(404, scope, receive, send)


def leave_out(
    only: Sequence[str], files: Sequence[dict[str, Any]], environ: Mapping[str, str]
) -> None:
    """Put the stand-in in the place of all mounts but some. If one cannot be read, nothing is done:
    the site is refused as a whole.

    Args:
        only: paths, names, or hosts with paths.
        files: the tables of each file, which are changed.
        environ: for variables in paths, hosts and names.

    Raises:
        PatternError: there is no such mount; the message has near names.
    """
    default = files[0].get("default")
    try:
        tables = [table for file in files for table in file.get("mount", ())]
        mounts = [(table, _mount(table, environ), _OF_MOUNTS) for table in tables]
        if default is not None:
            root = {**default, "path": "", "name": "default"}
            mounts.append((default, _mount(root, environ), {}))
    except Exception:  # it is told when the table is read
        return
    found = [one for which in only for one in named(which, (("", one[1]) for one in mounts))]
    served = {id(mount) for mount in found}
    for table, mount, more in mounts:
        if id(mount) not in served:
            for name in _LEFT_OUT & table.keys():
                del table[name]
            table |= {"app": ELSEWHERE, "interface": "asgi3", "lifespan": "off", **more}


def _mount(table: dict[str, Any], environ: Mapping[str, str]) -> Mount:
    """What has the path, the host and the name."""
    naming = {name: value for name, value in table.items() if name in _NAMING}
    given = Given(naming, (), environ, lambda *_: None).value
    return Mount(given.pop("path", ""), elsewhere, **given)
