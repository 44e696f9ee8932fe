"""What functions of the user raise while a request is decided, on real servers."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support import http
from tests.support.apps.deciding import FAULTS, KINDS
from tests.support.servers import SERVERS, Server, serve


def status_of(server: Server, path: str) -> int:
    """500, if the server says that itself; 0 if it only breaks the connection."""
    try:
        return http.get(server.url + path, timeout=60).status_code
    except httpx.RemoteProtocolError:
        return 0


@pytest.mark.parametrize("name", SERVERS)
def test_no_function_ends_the_server(name: str, tmp_path: Path) -> None:
    """The request fails; the server goes on, and so does every lifespan."""
    record = tmp_path / "record"
    record.touch()
    env = {"TEST_RECORD": str(record)}
    with serve(name, "tests.support.apps.deciding:app", env=env) as server:
        for path in FAULTS:
            assert status_of(server, path) in (500, 0), server.output
            assert status_of(server, "/ok/") == 200, server.output
        assert record.read_text().splitlines() == ["ok up"]
        server.stop()
    assert record.read_text().splitlines() == ["ok up", "ok down"]


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("app", ["bare_split", "bare_tenants"])
def test_without_a_mount(name: str, app: str) -> None:
    """Nothing else stands between the function and the server."""
    with serve(name, f"tests.support.apps.deciding:{app}", options=lifespan_off(name)) as server:
        for kind in KINDS:
            assert status_of(server, f"/{kind}") in (500, 0), server.output
            assert status_of(server, "/") == 200, server.output


def lifespan_off(name: str) -> list[str]:
    """These apps have none."""
    return ["--lifespan", "off"] if name.startswith("uvicorn") else []
