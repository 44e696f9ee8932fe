"""What `check` says of the real Dash, Datasette and WsgiDAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mountkit import Dispatcher, Mount, check


def dash(prefix: str, folder: Path) -> Any:
    module = pytest.importorskip("dash")
    return module.Dash("board", requests_pathname_prefix=prefix, routes_pathname_prefix="/")


def dash_server(prefix: str, folder: Path) -> Any:
    return dash(prefix, folder).server


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
@pytest.mark.parametrize("make", [dash, dash_server, datasette, wsgidav])
def test_told_its_prefix_or_not(make: Any, tmp_path: Path) -> None:
    """Found where it was told none or another, and only there."""

    def codes(path: str, told: str) -> list[str]:
        mount = Mount(path, make(told, tmp_path))
        return [finding.code for finding in check(Dispatcher([mount]))]

    assert codes("/sub", "/sub/") == []
    assert codes("/sub", "/outer/sub/") == []
    assert codes("/sub", "/") == ["unaware-of-prefix"]
    assert codes("/sub", "/other/") == ["unaware-of-prefix"]
