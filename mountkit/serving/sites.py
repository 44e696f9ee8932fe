"""What a mounted app is told of the site that it is a part of: who knows all names."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.types import Scope

#: The key of a connection scope under which a site is found.
SITE = "mountkit.site"


class Site(NamedTuple):
    """The outermost of the routers above an app.

    Attributes:
        router: a dispatcher, or the application whose routes the mounts stand among.
        app: the application that a dispatcher stands in front of, if it is known.
        root_path: where it is.
    """

    router: Any
    app: Any
    root_path: str


def site_of(scope: Scope, root_path: str, router: Any) -> tuple[Any, Any, str]:
    """The site that a request has come to, as the plain tuple of a `Site`, which is quicker made.

    Args:
        root_path: of the request, before a mount has taken its part.
        router: the dispatcher; `None` for a mount among the routes of an application.
    """
    if SITE in scope:
        site: tuple[Any, Any, str] = scope[SITE]
        return site
    app = scope.get("app")
    if router is None:
        router = app or scope.get("router")
    return router, app, scope.get("app_root_path", root_path)
