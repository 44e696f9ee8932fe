"""End to end: real servers, real clients, real frameworks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support import http
from tests.support.servers import SERVERS, Server, exit_status, serve, start


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Every server in turn; those of one server share its process."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    """One of each kind of app, at the root of the host."""
    with serve(name, "tests.support.apps.served:app") as running:
        yield running


@pytest.fixture(scope="module")
def outer(name: str) -> Iterator[Server]:
    """The same, told that a proxy has it at `/outer`."""
    with serve(name, "tests.support.apps.served:app", root_path="/outer") as running:
        yield running


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
def test_urls_and_state_are_the_mounted_apps_own(server: Server, app: str) -> None:
    """`url_for`, `request.url` and the lifespan state, through a real server."""
    url = f"{server.url}/{app}/item/3"
    response = http.get(f"{url}?x=1")
    assert response.status_code == 200
    assert response.json() == {"owner": app, "url": url, "asked": f"{url}?x=1"}


def test_a_redirect_stays_in_the_mount(server: Server) -> None:
    """A Starlette app that redirects by name sends the browser below its prefix."""
    response = http.get(f"{server.url}/starlette/go")
    assert response.status_code == 307
    assert response.headers["location"] == f"{server.url}/starlette/item/3"


def test_docs_name_the_prefix(server: Server) -> None:
    """FastAPI's docs page and schema know where they are mounted."""
    assert "/fastapi/openapi.json" in http.get(f"{server.url}/fastapi/docs").text
    schema = http.get(f"{server.url}/fastapi/openapi.json").json()
    assert schema["servers"] == [{"url": "/fastapi"}]


@pytest.mark.parametrize(
    ("asked", "path", "raw_path"),
    [
        pytest.param("/raw/x", "/raw/x", "/raw/x", id="below"),
        pytest.param("/raw/", "/raw/", "/raw/", id="slash"),
        pytest.param("/raw", "/raw/", "/raw/", id="bare"),
        pytest.param("/raw/caf%C3%A9", "/raw/café", "/raw/caf%C3%A9", id="non-ascii"),
        pytest.param("/raw/a%2Fb", "/raw/a/b", "/raw/a%2Fb", id="encoded-slash"),
    ],
)
def test_scope_of_a_raw_app(server: Server, asked: str, path: str, raw_path: str) -> None:
    """Full path, `raw_path` as it was sent, `root_path` grown, whatever the server."""
    response = http.get(server.url + asked)
    assert response.json() == {"path": path, "raw_path": raw_path, "root_path": "/raw"}


def test_urls_of_a_flask_app(server: Server) -> None:
    """`url_for(_external=True)` of a WSGI app."""
    url = f"{server.url}/flask/item/3"
    assert http.get(url).json() == {"url": url, "asked": url}


@pytest.mark.parametrize("size", [5, 300_000])
def test_a_request_body_reaches_a_flask_app(server: Server, size: int) -> None:
    """The body of a POST, in one message or in many."""
    response = http.post(f"{server.url}/flask/upload", content="x" * size)
    assert response.status_code == 200
    assert response.json() == {"text": "x" * size, "name": "/upload"}


@pytest.mark.parametrize("app", ["starlette", "flask"])
def test_a_stream_is_sent_as_it_comes(server: Server, name: str, app: str) -> None:
    """The client has the first line while the app has not made the second one yet."""
    url = f"{server.url}/{app}"
    with http.stream("GET", f"{url}/stream/{name}") as response:
        lines = response.iter_lines()
        assert next(lines) == "first"
        http.post(f"{url}/release/{name}")
        assert list(lines) == ["second"]


def test_websocket_echo(server: Server) -> None:
    """A websocket below a mount, with the URL and the state of its app."""
    with connect(f"{server.ws_url}/starlette/echo", open_timeout=10) as websocket:
        websocket.send("hello")
        assert websocket.recv(timeout=10) == (
            f'{{"text":"hello","url":"{server.ws_url}/starlette/echo","owner":"starlette"}}'
        )


@pytest.mark.parametrize("path", ["/nowhere", "/starlette/nowhere"])
def test_a_websocket_for_nobody_is_refused(server: Server, path: str) -> None:
    """By its handshake, at once: neither a hang nor a server error."""
    with pytest.raises(InvalidStatus) as refusal, connect(server.ws_url + path, open_timeout=10):
        pass  # pragma: no cover
    assert refusal.value.response.status_code in (403, 404)


def test_a_websocket_for_a_wsgi_app_is_refused(server: Server) -> None:
    """WSGI has no websockets."""
    url = f"{server.ws_url}/flask/item/3"
    with pytest.raises(InvalidStatus) as refusal, connect(url, open_timeout=10):
        pass  # pragma: no cover
    assert refusal.value.response.status_code in (403, 404)


def test_a_request_for_nobody_is_not_found(server: Server) -> None:
    """No mount and no default: 404, and nothing for a cache to keep."""
    response = http.get(f"{server.url}/flasks")
    assert (response.status_code, response.text) == (404, "Not Found")
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("app", ["starlette", "fastapi"])
def test_root_path_with_a_path_that_the_proxy_stripped(outer: Server, app: str) -> None:
    """The proxy takes `/outer` off; the app's URLs have it."""
    response = http.get(f"{outer.url}/{app}/item/3")
    assert response.json()["url"] == f"{outer.url}/outer/{app}/item/3"


def test_scope_with_a_path_that_the_proxy_stripped(outer: Server) -> None:
    """Every server gives a mounted app the same scope, and not two different ones."""
    assert http.get(f"{outer.url}/raw/caf%C3%A9").json() == {
        "path": "/outer/raw/café",
        "raw_path": "/outer/raw/caf%C3%A9",
        "root_path": "/outer/raw",
    }


def test_urls_of_a_flask_app_below_a_root_path(outer: Server) -> None:
    """SCRIPT_NAME holds the server's `root_path` and the mount's prefix."""
    response = http.get(f"{outer.url}/flask/item/3")
    assert response.json()["url"] == f"{outer.url}/outer/flask/item/3"


def test_apps_start_in_order_and_stop_in_reverse(name: str, tmp_path: Path) -> None:
    """A server's whole life, as its apps wrote it down."""
    record = tmp_path / "record"
    with serve(
        name, "tests.support.apps.lifecycles:app", env={"TEST_RECORD": str(record)}
    ) as server:
        assert record.read_text().split("\n") == ["a up", "b up", "c up", ""]
        for app in "abc":
            assert http.get(f"{server.url}/{app}/").json() == {"owner": app}
        server.stop()
        lines = record.read_text().splitlines()[3:]
        assert lines == ["c down", "b down", "a down"], server.output


def test_a_failed_startup_fails_the_server(name: str, tmp_path: Path) -> None:
    """The server ends with an error that names the mount; who was up is taken down again."""
    record = tmp_path / "record"
    environ = {"TEST_RECORD": str(record)}
    with start(name, "tests.support.apps.lifecycles:failing", env=environ, fails=True) as server:
        assert exit_status(server) != 0
        assert "The app mounted at '/c' (" in server.output
        assert "c has no database" in server.output
    assert record.read_text().splitlines() == ["a up", "b up", "b down", "a down"]
