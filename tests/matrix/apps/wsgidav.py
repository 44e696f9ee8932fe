from __future__ import annotations

from typing import Any

from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

from tests.matrix.apps import common


def make(prefix: str) -> Any:
    files = common.FOLDER / "files"
    files.mkdir()
    (files / "style.css").write_bytes((common.STATIC / "style.css").read_bytes())
    return WsgiDAVApp(
        {
            "provider_mapping": {"/": FilesystemProvider(str(files))},
            "simple_dc": {"user_mapping": {"*": True}},
            "mount_path": prefix or None,
            "verbose": 1,
            "logging": {"enable": True},
        }
    )
