"""`LifespanMiddleware`: the one line that starts the apps mounted among an app's routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit.lifespans.children import Child, children_of, mounts_of
from mountkit.lifespans.options import SHUTDOWN_TIMEOUT, STARTUP_TIMEOUT, Timeouts
from mountkit.lifespans.runners import LifespanRunner


class LifespanMiddleware:
    """Starts and stops the apps of every `Mount` among an app's routes.

    `app.add_middleware(LifespanMiddleware)` is the one line that mounts in `routes=`, in
    `app.router.routes` and in included routers need: Starlette runs none of their lifespans.
    Routes are looked through when the server starts, so its place does not matter.

    An app that `app.mount` holds is started too if a `DispatchMiddleware` or a
    `LifespanMiddleware` is among its middleware, or if it is a `Dispatcher`, a `TenantApps`, a
    `Split` or a `Readiness`. Its requests have the parent's state; what its lifespan yields is
    added to that.

    Args:
        app: the wrapped app. It starts before the mounts and stops after them.
        startup_timeout, …, total_shutdown_timeout: as for `Dispatcher`.

    Raises:
        PatternError: a timeout is not a number of seconds.
    """

    has_lifespans = True

    def __init__(
        self,
        app: ASGIApp,
        *,
        startup_timeout: float | None = STARTUP_TIMEOUT,
        shutdown_timeout: float | None = SHUTDOWN_TIMEOUT,
        total_startup_timeout: float | None = None,
        total_shutdown_timeout: float | None = None,
    ) -> None:
        self.app = app
        self.lifespans: LifespanRunner = LifespanRunner(
            lambda scope: children_of(self._routes(scope)),
            Timeouts(
                startup_timeout, shutdown_timeout, total_startup_timeout, total_shutdown_timeout
            ),
            wrapped=Child(app, app, "The wrapped app"),
            report=lambda scope: (mount.health for mount in mounts_of(self._routes(scope))),
            is_transparent=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespans(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _routes(self, scope: Scope) -> Iterable[Any]:
        return getattr(scope.get("app", self.app), "routes", None) or ()
