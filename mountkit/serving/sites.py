"""What a mounted app knows of the site that it is part of."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.types import Scope

#: The key of a connection scope that holds its `Site`, as a tuple.
SITE = "mountkit.site"
#: The key that holds the `Mount` that serves the request.
MOUNT = "mountkit.mount"


class Site(NamedTuple):
    """The outermost of the routers above an app: it knows every name.

    Attributes:
        router: a dispatcher, or the application that has the mounts among its routes.
        app: the application that a dispatcher stands in front of, if it is known.
        root_path: where the router is.
    """

    router: Any
    app: Any
    root_path: str


def site_of(scope: Scope, root_path: str, router: Any) -> tuple[Any, Any, str]:
    """The site of a request: the one in `scope`, or a new one; see `new_site`."""
    site: tuple[Any, Any, str] | None = scope.get(SITE)
    return new_site(scope, root_path, router, scope.get("app")) if site is None else site


def new_site(scope: Scope, root_path: str, router: Any, app: Any) -> tuple[Any, Any, str]:
    """The site of a request that no mount has taken yet, as a tuple, which is quicker made.

    Args:
        root_path: of the request, before a mount has taken its part.
        router: the dispatcher; `None` for a mount among the routes of an application.
        app: the one of the scope, if there is one.
    """
    if router is None:
        router = app or scope.get("router")
    return router, app, scope.get("app_root_path", root_path)
