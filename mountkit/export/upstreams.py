"""Where each mount is: `--upstream`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from mountkit.exceptions import PatternError

_URL = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?")


class Upstream(NamedTuple):
    """An HTTP server."""

    host: str
    port: int

    @property
    def name(self) -> str:
        """In letters, digits and underscores; begins with a letter, so as not to be a number."""
        name = re.sub(r"[^a-z0-9]+", "_", f"{self.host}_{self.port}".lower()).strip("_")
        return name if name[0].isalpha() else f"server_{name}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"


def upstream_of(url: str) -> Upstream:
    """Raises:
    PatternError: it is not a URL of a server.
    """
    match = _URL.fullmatch(url)
    if match is None or int(match[2] or 80) > 65535:
        raise PatternError(
            f"Upstream {url!r} is not a server; write 'http://host:port', without a path."
        )
    return Upstream(match[1].lower(), int(match[2] or 80))


def lines_of(file: str) -> list[str]:
    """The lines of a file that say something.

    Raises:
        PatternError: it cannot be read.
    """
    try:
        text = Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise PatternError(f"Upstreams '@{file}' cannot be read: {reason}; name a file.") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def read_upstreams(texts: Iterable[str], mounts: Iterable[Any]) -> Callable[[Any], Upstream]:
    """Read what was given: `/shop=http://shop:8000`, with the path, the name, or the host and path
    of a mount, or `default`; `http://…`, for all that is not named; `@FILE`, with such lines.

    Args:
        mounts: those of the table.

    Returns:
        A function that finds the upstream of a mount, or of `None`, the app underneath. It raises
        a `PatternError` for one that has none.

    Raises:
        PatternError: there is no such mount, or not such a server.
    """
    given: dict[str, Upstream] = {}
    for text in texts:
        for line in lines_of(text[1:]) if text.startswith("@") else [text]:
            named, _, url = ("", "", line) if line.startswith("http") else line.rpartition("=")
            which = named.strip()
            if which in given:
                raise PatternError(f"Upstream {which or url!r} is the second one; leave one out.")
            given[which] = upstream_of(url.strip())
    known = dict.fromkeys(name for mount in mounts for name in names_of(mount))
    for which in given:
        if which and which not in known and which != "default":
            near = get_close_matches(which, known, cutoff=0.5) or [*known][:10]
            shown = ", ".join(map(repr, near))
            raise PatternError(f"Upstream {which!r} is of no mount; there are {shown}.")

    def find(mount: Any) -> Upstream:
        names = ["default"] if mount is None else names_of(mount)
        for name in [*names, ""]:
            if name in given:
                return given[name]
        what = "The app underneath" if mount is None else f"Mount {names[0]!r}"
        raise PatternError(
            f"{what} has no upstream; write --upstream '{names[0]}=http://host:port', or one URL "
            "for all."
        )

    return find


def names_of(mount: Any) -> list[str]:
    """What a mount may be called, the most telling first."""
    hosts = [host.pattern for host in mount.rule.hosts]
    path = mount.rule.path.text or "/"
    names = [*(host + path for host in hosts), mount.name, path]
    return [name for name in dict.fromkeys(names) if name]
