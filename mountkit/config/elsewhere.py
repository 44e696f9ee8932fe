"""Some mounts of a site, served without the others, which run in other processes.

All of them decide, so that each request goes where it goes in the whole site. The tables of the
others lose what does not decide, before anything reads it: no variable of theirs has to be set, no
folder to be there, no module to be installed. In the place of their apps stands one that says 404,
or passes requests on to where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from mountkit.answers import answer
from mountkit.config.models import MountConfig
from mountkit.config.variables import Given
from mountkit.exceptions import PatternError
from mountkit.proxy.targets import Target
from mountkit.serving.alone import named
from mountkit.serving.mounts import Mount

#: What the tables of mounts that are left out name.
ELSEWHERE = "mountkit.config.elsewhere:elsewhere"
_NAMING = ("path", "host", "name")
_DECIDING = {*_NAMING, "headers", "methods", "query", "when", "priority", "exact", "expose"}
#: Whether a browser is redirected to the slash is decided where the app is.
_OF_MOUNTS = {"redirect_slashes": "bare"}
_LEFT_OUT = MountConfig.model_fields.keys() - _DECIDING


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands in the place of an app that is served elsewhere."""
    await answer(404, scope, receive, send)


def leave_out(
    only: Sequence[str] | None,
    upstreams: Sequence[str],
    files: Sequence[dict[str, Any]],
    environ: Mapping[str, str],
) -> None:
    """Put stand-ins in the place of all mounts but some. If one cannot be read, nothing is done:
    the site is refused as a whole.

    Args:
        only: paths, names, or hosts with paths; `None` is all that have no upstream.
        upstreams: such a name, `=` and a URL, as `Proxy` takes it; several are tried in turn.
        files: the tables of each file, which are changed.
        environ: for variables in paths, hosts and names.

    Raises:
        PatternError: there is no such mount, and the message has near names; or not such a URL.
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
    known = [("", mount) for _, mount, _ in mounts]
    urls: dict[int, list[str]] = {}
    for which, url in map(_divided, upstreams):
        for mount in named(which, known):
            urls.setdefault(id(mount), []).append(url)
    served = {id(mount) for which in only or () for mount in named(which, known)}
    for table, mount, more in mounts:
        to = urls.get(id(mount))
        if to is None and (only is None or id(mount) in served):
            continue
        for name in _LEFT_OUT & table.keys():
            del table[name]
        left = {"app": ELSEWHERE, "lifespan": "off"} if to is None else _passing(to)
        table.update(left, **more)


def _passing(urls: list[str]) -> dict[str, Any]:
    """Passes requests on without the prefix that this server was told, which it says in
    `X-Forwarded-Prefix`: the server behind may be told the same."""
    return {"convention": "whole", "proxy": {"url": urls, "strip_prefix": True}}


def _divided(text: str) -> tuple[str, str]:
    found = re.search("=(?=https?://|unix:)", text)  # names and paths may hold "=", too
    which, _, url = text.rpartition("=")
    if found:
        which, url = text[: found.start()], text[found.end() :]
    if not which:
        raise PatternError(f"Upstream {text!r} names no mount; write '/shop=http://shop:8000'.")
    return which, Target.parse(url).url


def _mount(table: dict[str, Any], environ: Mapping[str, str]) -> Mount:
    """What has the path, the host and the name."""
    naming = {name: value for name, value in table.items() if name in _NAMING}
    given = Given(naming, (), environ, lambda *_: None).value
    return Mount(given.pop("path", ""), elsewhere, **given)
