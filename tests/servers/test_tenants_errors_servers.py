"""What the functions of tenants raise, on real servers: the others are served on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import http
from tests.support.apps.tenants_faults import FAULTS
from tests.support.servers import SERVERS, serve


@pytest.mark.parametrize("name", SERVERS)
def test_no_function_ends_the_server(name: str, tmp_path: Path) -> None:
    """503 for its tenant, however often it is asked for; no other app is shut down before the
    server is."""
    record = tmp_path / "record"
    record.touch()
    target, env = "tests.support.apps.tenants_faults:app", {"TEST_RECORD": str(record)}
    with (
        serve(name, target, env=env) as server,
        http.Client(base_url=server.url, timeout=60) as client,
    ):

        def ask(tenant: str, path: str = "/") -> tuple[int, str]:
            found = client.get(path, headers={"host": f"{tenant}.localhost"})
            return found.status_code, found.text

        for _ in range(2):
            for fault in FAULTS:
                assert ask(fault) == (503, "Service Unavailable"), server.output
                if fault.startswith("find"):
                    assert ask(fault, "/one/") == (503, "Service Unavailable")
                assert ask("acme") == (200, "acme")
                assert ask("acme", "/one/") == (200, "acme")
        assert "acme down" not in record.read_text()
        server.stop()
        lines = record.read_text().splitlines()
        assert [line for line in lines if line.startswith("acme")] == ["acme up", "acme down"]
        assert [line for line in lines if line.startswith("one")] == ["one up", "one down"]
        assert "The app of tenant 'make-exit' did not start: " in server.output
        assert "never retrieved" not in server.output
