"""URLs across apps: of a named route of any mount, from anywhere in a request."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.routing import NoMatchFound
from starlette.types import Scope

from mountkit.exceptions import MountkitError, PatternError
from mountkit.frameworks import reversal_of
from mountkit.matching.locations import encode_path
from mountkit.serving.dispatchers import Dispatcher
from mountkit.serving.mounts import Mount
from mountkit.serving.sites import Site, site_of

# What convertors raise for a value that they do not take.
_UNFIT = (AssertionError, TypeError, ValueError, PatternError)


class URLNotFound(MountkitError, NoMatchFound):
    """No route has the name, or not with these parameters; the message has near names."""

    def __init__(self, name: str, params: dict[str, Any], known: list[str]) -> None:
        given = ", ".join(f"{key}={value!r}" for key, value in params.items()) or "none"
        if name in known:
            reason = f"Route {name!r} takes other parameters than those that were given ({given})"
            fix = "pass those of its host and path, no others."
        else:
            reason = f"No route is named {name!r}"
            near = get_close_matches(name, known, cutoff=0.5) or known[:3]
            fix = f"near names: {', '.join(map(repr, near))}." if near else "there are no names."
        MountkitError.__init__(self, f"{reason}; {fix}")


def url_for(where: Any, name: str, /, **params: Any) -> URL:
    """The absolute URL of a named route, of whichever mount.

        url_for(request, "shop:item", id=3)  # https://example.com/shop/item/3
        url_for(request, "tenant:home", tenant="acme")  # https://acme.example.com/

    Args:
        where: a request or a websocket of Starlette's, a connection scope, or the request of a
            WSGI framework, or its environ.
        name: the names of the mounts from the outside in, then the route's: `"mount:route"`. A
            mount without a name is left out. Routes of the outermost app have no mount before
            them.
        params: the placeholders of host and path.

    A mount without a host is at the host of this request. A host without a port has the port of
    this request.

    Raises:
        URLNotFound: there is no such route.
    """
    scope = _scope_of(where)
    site = _site(scope)
    url = _lookup(site, name, params)
    secure = scope.get("scheme", "http") in ("https", "wss")
    scheme = {"http": "http", "websocket": "ws"}.get(url.protocol, "http") + "s" * secure
    return URL(f"{scheme}://{_netloc(scope, url.host)}{_path(site, url)}")


def path_for(where: Any, name: str, /, **params: Any) -> str:
    """The same without scheme and host, `/shop/item/3`, where the route is at the host of this
    request; else without the scheme: `//acme.example.com/`.

    Args:
        where, name, params: see `url_for`.

    Raises:
        URLNotFound: there is no such route.
    """
    scope = _scope_of(where)
    site = _site(scope)
    url = _lookup(site, name, params)
    host = _netloc(scope, url.host)
    return _path(site, url) if host == _netloc(scope, "") else f"//{host}{_path(site, url)}"


def url_context(request: Request) -> dict[str, Any]:
    """A context processor of Jinja templates: `mount_url_for` and `mount_path_for`.

    Jinja2Templates("templates", context_processors=[url_context])
    """

    def mount_url_for(name: str, /, **params: Any) -> URL:
        return url_for(request, name, **params)

    def mount_path_for(name: str, /, **params: Any) -> str:
        return path_for(request, name, **params)

    return {"mount_url_for": mount_url_for, "mount_path_for": mount_path_for}


# Starlette and its like; Flask, Bottle, WebOb; Django; Falcon; CherryPy.
_HOLDERS = ("scope", "environ", "META", "env", "wsgi_environ")


def _scope_of(where: Any) -> Scope:
    """The connection scope that is behind a request of any framework."""
    for attribute in _HOLDERS:
        where = getattr(where, attribute, where)
    if isinstance(where, dict):
        scope: Scope = where.get("asgi.scope", where)
        if "type" in scope:
            return scope
    raise MountkitError(
        f"{where!r} holds no connection scope; pass the request, its scope or its environ."
    )


def _site(scope: Scope) -> Site:
    return Site(*site_of(scope, scope.get("root_path", "").rstrip("/"), None))


def _lookup(site: Site, name: str, params: dict[str, Any]) -> Any:
    cause: Exception | None = None
    for router in (site.router, site.app):
        if router is not None:
            try:
                return router.url_path_for(name, **params)
            except (NoMatchFound, *_UNFIT) as exc:
                cause = exc
    known = sorted({name for router in (site.router, site.app) for name in names_of(router)})
    raise URLNotFound(name, params, known) from cause


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
    """Where a route is: its own host, or that of the request."""
    own = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"host"), "")
    if not own:
        name, port = scope.get("server") or ("localhost", None)
        own = f"{name}:{port}" if port else name
    if not host:
        return own
    has_port = ":" in host.rpartition("]")[2]  # an IPv6 address has colons of its own
    _, colon, port = own.rpartition(":")
    return f"{host}:{port}" if colon and port.isdigit() and not has_port else host


def _path(site: Site, url: Any) -> str:
    return encode_path(site.root_path + str(url))
