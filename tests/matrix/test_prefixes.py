"""What `check` says of the real Dash, Datasette and WsgiDAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mountkit import Dispatcher, Mount, check


def dash(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("dash")
    return module.Dash("board", requests_pathname_prefix=prefix, routes_pathname_prefix="/")


def dash_server(prefix: str, folder: Path) -> Any:
    return dash(prefix, folder).server


def dash_on_fastapi(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("dash")
    return module.Dash(
        "board", backend="fastapi", requests_pathname_prefix=prefix, routes_pathname_prefix="/"
    ).server


def datasette(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("datasette.app")
    return module.Datasette(memory=True, settings={"base_url": prefix}).app()


def wsgidav(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("wsgidav.wsgidav_app")
    provider = pytest.importorskip("wsgidav.fs_dav_provider").FilesystemProvider(str(folder))
    users = {"user_mapping": {"*": True}}
    config = {
        "provider_mapping": {"/": provider},
        "simple_dc": users,
        "mount_path": prefix.rstrip("/"),
    }
    return module.WsgiDAVApp({**config, "logging": {"enable": False}})


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("make", [dash, dash_server, dash_on_fastapi, datasette, wsgidav])
def test_told_its_prefix_or_not(make: Any, tmp_path: Path) -> None:
    """Found where it was told none or another, and only there."""

    def codes(path: str, told: str) -> list[str]:
        mount = Mount(path, make(told, tmp_path))
        return [finding.code for finding in check(Dispatcher([mount]))]

    assert codes("/sub", "/sub/") == []
    assert codes("/sub", "/outer/sub/") == []
    assert codes("/sub", "/") == ["unaware-of-prefix"]
    assert codes("/sub", "/other/") == ["unaware-of-prefix"]


@pytest.mark.filterwarnings("ignore")  # theirs
def test_dash_on_fastapi_is_served() -> None:
    """It is recognised, and gets the scope that it needs."""
    board = pytest.importorskip("dash").Dash(
        "board", backend="fastapi", requests_pathname_prefix="/sub/", routes_pathname_prefix="/"
    )
    board.layout = pytest.importorskip("dash.html").P("hello")
    for app in (board, board.server):
        mount = Mount("/sub", app)
        assert mount.convention == "strip"
    with TestClient(Dispatcher([mount])) as client:
        assert 'src="/sub/_dash-component-suites/' in client.get("/sub/").text
        assert client.get("/sub/_dash-layout").json()["type"] == "P"
