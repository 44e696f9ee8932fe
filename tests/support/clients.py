"""Clients of an app in the same process."""

from __future__ import annotations

from collections.abc import Callable

from starlette.testclient import TestClient

#: Makes a test client for an app: the type of the `client` fixture.
ClientFactory = Callable[..., TestClient]
