"""URLs across apps: of a named route of any mount, from anywhere in a request.

May import: `serving` and below. How frameworks reverse names: see `mountkit.frameworks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.routing import NoMatchFound
from starlette.types import Scope

from mountkit.exceptions import MountkitError
from mountkit.frameworks import reversal_of
from mountkit.locations import encode_path
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount
from mountkit.serving.sites import Site, site_of

# What convertors raise for a value that they refuse; a PatternError is a ValueError.
_UNFIT = (AssertionError, TypeError, ValueError)


class URLNotFound(MountkitError, NoMatchFound):
    """No route has the name and takes these parameters; the message has near names."""

    def __init__(self, name: str, params: dict[str, Any], known: list[str]) -> None:
        given = ", ".join(f"{key}={value!r}" for key, value in params.items()) or "none"
        if name in known:
            reason = f"Route {name!r} does not take the parameters that were given ({given})"
            fix = "pass those of its host and path, no others."
        else:
            reason = f"No route is named {name!r}"
            near = get_close_matches(name, known, cutoff=0.5) or known[:3]
            fix = f"near names: {', '.join(map(repr, near))}." if near else "no route has a name."
        MountkitError.__init__(self, f"{reason}; {fix}")


def url_for(where: Any, name: str, /, **params: Any) -> URL:
    """The absolute URL of a named route of any mount.

        url_for(request, "shop:item", id=3)  # https://example.com/shop/item/3
        url_for(request, "tenant:home", tenant="acme")  # https://acme.example.com/

    A mount without a host is at the host of this request, and a host without a port has its port.

    Args:
        where: Starlette's request or websocket, a connection scope, the request of a WSGI
            framework, or its environ.
        name: the names of the mounts from the outside in, then the route's: `"mount:route"`.
            Mounts without a name are left out.
        params: the placeholders of host and path.

    Raises:
        URLNotFound: no route has the name and these parameters.
    """
    scope, url, path = _locate(where, name, params)
    secure = scope.get("scheme", "http") in ("https", "wss")
    scheme = ("ws" if url.protocol == "websocket" else "http") + "s" * secure
    return URL(f"{scheme}://{_netloc(scope, url.host)}{path}")


def path_for(where: Any, name: str, /, **params: Any) -> str:
    """As `url_for`, but without the scheme, and without the host if the route is at the host of
    this request: `/shop/item/3`, `//acme.example.com/`."""
    scope, url, path = _locate(where, name, params)
    host = _netloc(scope, url.host)
    return path if host == _netloc(scope, "") else f"//{host}{path}"


def url_context(request: Request) -> dict[str, Any]:
    """A context processor that gives templates `mount_url_for` and `mount_path_for`:

    Jinja2Templates("templates", context_processors=[url_context])
    """
    functions = {"mount_url_for": url_for, "mount_path_for": path_for}
    return {name: partial(function, request) for name, function in functions.items()}


# Starlette and its kin; Flask, Bottle, WebOb; Django; Falcon; CherryPy.
_HOLDERS = ("scope", "environ", "META", "env", "wsgi_environ")


def _locate(where: Any, name: str, params: dict[str, Any]) -> tuple[Scope, Any, str]:
    """The scope of a request; a route's `URLPath`; and its path, encoded, below the site's."""
    found = where
    for attribute in _HOLDERS:
        found = getattr(found, attribute, found)
    scope = found.get("asgi.scope", found) if isinstance(found, dict) else {}
    if "type" not in scope:
        raise MountkitError(
            f"{found!r} has no connection scope; pass the request, its scope or its environ."
        )
    site = Site(*site_of(scope, scope.get("root_path", "").rstrip("/"), None))
    routers = [router for router in (site.router, site.app) if router is not None]
    cause: Exception | None = None
    for router in routers:
        try:
            url = router.url_path_for(name, **params)
        except (NoMatchFound, *_UNFIT) as exc:
            cause = exc
        else:
            return scope, url, encode_path(site.root_path + str(url))
    known = {name for router in routers for name in names_of(router)}
    raise URLNotFound(name, params, sorted(known)) from cause


def names_of(router: Any) -> Iterator[str]:
    """All names below a router, an application or a dispatcher."""
    reversal = reversal_of(router)
    if reversal is not None:
        yield from reversal.names()
        return
    for route in getattr(router, "routes", None) or ():
        if hasattr(route, "original_router"):  # of FastAPI's include_router
            yield from names_of(route.original_router)
        elif hasattr(route, "routes"):
            prefix = f"{route.name}:" if getattr(route, "name", None) else ""
            below = route.target if isinstance(route, Mount) else route
            yield from (prefix + name for name in names_of(below))
        else:
            yield from filter(None, [getattr(route, "name", None)])
    if isinstance(router, Dispatcher):
        yield from names_of(router.underneath)


def _netloc(scope: Scope, host: str) -> str:
    """The host of a route, or the request's if it has none, with its port."""
    own = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"host"), "")
    if not own:
        name, port = scope.get("server") or ("localhost", None)
        own = f"{name}:{port}" if port else name
    if not host:
        return own
    has_port = ":" in host.rpartition("]")[2]  # an IPv6 address has colons of its own
    _, colon, port = own.rpartition(":")
    return f"{host}:{port}" if colon and port.isdigit() and not has_port else host
