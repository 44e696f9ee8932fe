"""What is asked of each framework, and what is known not to work, with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One app of the matrix.

    Attributes:
        title: its name in the table.
        package: whose version the table shows.
        needs: further packages without which it is skipped.
        index: how the page at the prefix begins, or what is to be found in it.
        has_url: the page at the prefix ends in the URL of item 7.
        has_link: it gives the URL of a page of another mount.
        redirect: the status of a redirect to it by name.
        slash: the status that `/things` gets: a redirect, or 200 where both are the same.
        static: a file with styles.
        stream, websocket: paths of the site's own.
        has_lifespan: it says when it starts and stops.
        pages: further checks, of the framework's own pages.
        browser: loads the page in Chromium and uses it.
        recipe: the section of the docs about it, if that is not called by the title.
        unlike: what cannot be right, by check and place (`*`: everywhere), with the reason.
    """

    title: str
    package: str
    needs: Sequence[str] = ()
    index: str | None = "index"
    has_url: bool = True
    has_link: bool = True
    redirect: int | None = 302
    slash: int | None = None
    static: str | None = "static/style.css"
    stream: str | None = "stream"
    websocket: str | None = None
    has_lifespan: bool = False
    pages: Mapping[str, Callable[..., None]] = field(default_factory=dict)
    browser: Callable[..., None] | None = None
    recipe: str = ""
    unlike: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.recipe:
            object.__setattr__(self, "recipe", self.title.partition(" (")[0])

    @property
    def checks(self) -> list[str]:
        """The checks that are made of it, in their order."""
        has: dict[str, Any] = {
            "index": self.index,
            "url": self.has_url,
            "link": self.has_link,
            "redirect": self.redirect,
            "slash": self.slash,
            "static": self.static,
            "stream": self.stream,
            "websocket": self.websocket,
            **{f"page-{name}": True for name in self.pages},
            "browser": self.browser,
            "lifespan": self.has_lifespan,
            "end": True,
        }
        return [name for name, wanted in has.items() if wanted]
