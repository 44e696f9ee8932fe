"""What a command looks at: a site's file, or an app."""

from __future__ import annotations

from pathlib import Path

from mountkit.config.finding import Found, find_app
from mountkit.config.sources import find_file, is_file, read_source
from mountkit.exceptions import MountkitError


def find(target: str | None, *, is_factory: bool = False, imports: bool = True) -> Found:
    """The site of a file, or an app: the one that is named, or the first that is found. A
    `mountkit.toml` of the folder goes before apps.

    Args:
        imports: the apps of a file; else there are stand-ins for them.

    Raises:
        ConfigError: the file has problems.
        MountkitError: as `find_app`.
    """
    path = find_file(Path()) if target is None else Path(target) if is_file(target) else None
    if path is None:
        return find_app(target, is_factory=is_factory)
    if is_factory:
        raise MountkitError(
            f"{str(path)!r} is not an app; leave --factory out, or write factory = true in it."
        )
    from mountkit.config.building import Site  # they need pydantic
    from mountkit.config.parsing import parse

    site = Site.build(parse(read_source(path), only=None if imports else ()))
    return Found(site.dispatcher, str(path), "the current folder" if target is None else "")
