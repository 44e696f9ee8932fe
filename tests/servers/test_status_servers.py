"""The status page and the metrics through real servers: streams do not hold up a stop."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
SITE = "tests.support.apps.status_site:app"


@contextmanager
def following(server: Server) -> Iterator[None]:
    """A client of a stream, once that has sent something."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", "/_status/events")
        with connection.getresponse() as response:
            assert response.status == 200
            assert response.readline() == b"retry: 500\n"
            yield


def get(server: Server, path: str, accept: str = "*/*") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path, headers={"accept": accept})
    response = connection.getresponse()
    assert response.status == 200
    body = response.read()
    connection.close()
    return body


@pytest.mark.parametrize("name", SERVERS)
def test_pages_and_streams(name: str) -> None:
    """Of a site on any server; a client that goes leaves nothing in flight, and one that stays does
    not hold up the stop."""
    with serve(name, SITE) as server:
        found = json.loads(get(server, "/_status/", "application/json"))
        assert found["mounts"][0]["name"] == "/reports"
        families = text_string_to_metric_families(get(server, "/metrics").decode())
        assert "mountkit_mount_up" in {family.name for family in families}
        with following(server):
            pass
        wait_until(lambda: in_flight(server) == 1)  # the request that asks
        with following(server):
            began = time.monotonic()
            server.stop()
            assert time.monotonic() - began < 8


def in_flight(server: Server) -> int:
    mounts = json.loads(get(server, "/_status/", "application/json"))["mounts"]
    return int(next(one["in_flight"] for one in mounts if one["name"] == "status"))
