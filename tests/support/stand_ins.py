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
    def __init__(self, prefix: str) -> None:
        self.config = SimpleNamespace(requests_pathname_prefix=prefix)
        self.server = Flask("dash")
        self.server.add_url_rule("/", view_func=self.index, endpoint="index")

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


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes stand where those of the frameworks do."""
    places = {"dash": Dash, "datasette.app": Datasette, "wsgidav.wsgidav_app": WsgiDAVApp}
    for name, cls in places.items():
        module = ModuleType(name)
        setattr(module, cls.__name__, cls)
        monkeypatch.setitem(sys.modules, name, module)
