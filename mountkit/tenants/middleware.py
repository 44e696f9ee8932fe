"""`TenantMiddleware`: the tenant of a request, in its state."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.answers import answer, answer_unavailable
from mountkit.exceptions import PatternError, ResolutionError
from mountkit.logs import tenants as logger
from mountkit.matching.hosts import request_host
from mountkit.tasks import guarded
from mountkit.tenants.resolvers import TenantResolver
from mountkit.types import Application
from mountkit.wsgi.detection import adapt


class TenantMiddleware:
    """Puts the tenant of each request into `request.state.tenant`.

    `app.add_middleware(TenantMiddleware, resolver=resolver)`, or
    `Mount("/", TenantMiddleware(app, resolver))`. A WSGI app finds it in
    `environ["asgi.scope"]["state"]["tenant"]`. Scopes of other types, such as the app's lifespan,
    pass through.

    A request without exactly one valid `Host` gets 400; one whose tenant could not be looked up
    gets 503 with `Retry-After`.

    Args:
        app: an ASGI or WSGI application.
        resolver: finds the tenant of a host.
        state_key: the name in `request.state`.
        unknown: an app, or a response such as `RedirectResponse("https://example.com/")`, that
            answers HTTP requests for hosts without a tenant, instead of a 404. Its lifespan is not
            run. Websockets get 404.

    Raises:
        PatternError: `resolver` is not a `TenantResolver`.
    """

    def __init__(
        self,
        app: Application,
        resolver: TenantResolver[Any],  # a type variable here would fail `add_middleware` in mypy
        *,
        state_key: str = "tenant",
        unknown: Application | None = None,
    ) -> None:
        if not isinstance(resolver, TenantResolver):
            raise PatternError(
                f"{resolver!r} is not a TenantResolver; write TenantResolver(find), where find is "
                "an async function that takes a host and returns its tenant."
            )
        self.app: ASGIApp = adapt(app)[0]
        self.resolver = resolver
        self.state_key = state_key
        self.unknown: ASGIApp | None = None if unknown is None else adapt(unknown)[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host = request_host(scope)
        if host is None:
            logger.debug("400: the request has no Host header, several, or not a valid one.")
            await answer(400, scope, receive, send)
            return
        try:
            tenant = await self.resolver.resolve(host.host)
        except ResolutionError:
            await answer_unavailable(monotonic() + self.resolver.failure_ttl, scope, receive, send)
            return
        if tenant is not None:
            # In place, as Starlette's middleware does, so that those above see the route.
            scope["state"] = {**scope.get("state", {}), self.state_key: tenant}
            await self.app(scope, receive, send)
        elif self.unknown is None or scope["type"] == "websocket":
            logger.debug("404: the host %r has no tenant.", host.host)
            await answer(404, scope, receive, send)
        else:
            await guarded(partial(self.unknown, {**scope}, receive, send))
