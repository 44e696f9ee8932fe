"""Classes that stand in for those of large frameworks; `tests/matrix` has the real ones."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from starlette.types import Receive, Scope, Send


class App:
    """An ASGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing here calls it."""


class Dash(App):
    def __init__(self, prefix: str, routes: str = "/", server: Any = None) -> None:
        self.config = SimpleNamespace(
            requests_pathname_prefix=prefix, routes_pathname_prefix=routes
        )
        self.server = server or Flask("dash")
        if isinstance(self.server, Flask):
            self.server.add_url_rule(routes, view_func=self.index, endpoint="dash")
        else:
            self.server.add_api_route(routes, self.index)

    def index(self) -> str:
        """Dash's pages are its methods."""
        return ""


class Datasette:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def setting(self, name: str) -> str:
        return {"base_url": self.prefix}[name]

    def app(self) -> Any:
        outer, router = App(), App()
        router.ds = self  # type: ignore[attr-defined]

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            await router(scope, receive, send)

        outer.asgi = guarded  # type: ignore[attr-defined]
        return outer


class WsgiDAVApp(App):
    def __init__(self, prefix: str | None) -> None:
        self.config = {"mount_path": prefix}


class Application:
    """CherryPy's."""

    def __init__(self, script_name: str | None) -> None:
        self._script_name = script_name

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Nothing here calls it."""


class Tree:
    """CherryPy's."""

    def __init__(self, *names: str) -> None:
        self.apps = dict.fromkeys(names)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Nothing here calls it."""


class WhiteNoiseMiddleware:
    """Its base class is known by its name, as it is copied."""


class OwnWhiteNoise(WhiteNoiseMiddleware):
    """A project's own."""


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes stand where those of the frameworks do."""
    places: dict[str, Any] = {
        "cherrypy": Application,
        "cherrypy._cptree": Tree,
        "dash": Dash,
        "datasette.app": Datasette,
        "wsgidav.wsgidav_app": WsgiDAVApp,
        "whitenoise.middleware": OwnWhiteNoise,
    }
    for name, cls in places.items():
        module = ModuleType(name)
        setattr(module, cls.__name__, cls)
        monkeypatch.setitem(sys.modules, name, module)
