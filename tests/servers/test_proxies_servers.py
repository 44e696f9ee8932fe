"""Behind a proxy that has the site at `/outer`, with what each server makes of its own option.

The requests are those that nginx (`proxy_pass http://app/;` strips the prefix, `proxy_pass
http://app;` keeps it) and Caddy (`handle_path`, `handle`) send on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import raw
from tests.support.servers import SERVERS, Server, serve

#: What a client asks for, and what each kind of proxy makes of it.
PROXIES = {"strips": "", "keeps": "/outer"}
HOST = "example.com"


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    """Every server in turn."""
    return str(request.param)


def served(name: str, root_path: str) -> Iterator[Server]:
    # uvicorn would apply the proxy's headers itself.
    options = ["--no-proxy-headers"] if name.startswith("uvicorn") else []
    app = "tests.support.apps.proxied:app"
    with serve(name, app, root_path=root_path, options=options) as server:
        yield server


@pytest.fixture(scope="module")
def told(name: str) -> Iterator[Server]:
    """`uvicorn --root-path /outer`, `hypercorn --root-path /outer`, `granian --url-path-prefix`."""
    yield from served(name, "/outer")


@pytest.fixture(scope="module")
def untold(name: str) -> Iterator[Server]:
    yield from served(name, "")


def url(server: Server, target: str, shape: str, *headers: tuple[str, str]) -> str | None:
    """The URL of a page as its app makes it; `None` if it was not found."""
    response = raw.ask(server.port, target, host=HOST, headers=[("X-Shape", shape), *headers])
    assert response is not None
    if response.status == 404:
        return None
    found: str = response.json()
    return found


def live_url(server: Server, target: str, shape: str, *headers: tuple[str, str]) -> str | None:
    """The same for a websocket."""
    found = raw.websocket(server.port, target, [("X-Shape", shape), *headers], host=HOST)
    return found.frames[0][1].decode() if found.status == 101 else None


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_option_of_the_server(told: Server, name: str, proxy: str) -> None:
    """hypercorn and granian take it for the name of the prefix, whether the path has it or not.
    uvicorn puts it in front of every path, so that a proxy has to strip it."""
    before = PROXIES[proxy]
    is_doubled = name.startswith("uvicorn") and proxy == "keeps"
    page, live = f"http://{HOST}/outer/shop/item/3", f"ws://{HOST}/outer/shop/live"
    assert url(told, f"{before}/shop/item/3", "flag") == (None if is_doubled else page)
    assert live_url(told, f"{before}/shop/live", "flag") == (None if is_doubled else live)


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_mount_of_the_name_of_the_prefix(told: Server, name: str, proxy: str) -> None:
    """Under hypercorn and granian the path alone does not tell what a proxy has stripped. uvicorn
    has put the prefix there in any case."""
    page = f"http://{HOST}/outer/outer/item/3"
    target = f"{PROXIES[proxy]}/outer/item/3"
    if name.startswith("uvicorn"):
        assert url(told, "/outer/item/3", "of-the-same-name") == page
    else:
        right = "of-the-same-name" if proxy == "keeps" else "of-the-same-name-stripped"
        assert url(told, target, right) == page


def test_a_mount_below_the_prefix(untold: Server) -> None:
    """For a proxy that keeps it, on every server, without an option."""
    page, live = f"http://{HOST}/outer/shop/item/3", f"ws://{HOST}/outer/shop/live"
    assert url(untold, "/outer/shop/item/3", "mounted") == page
    assert live_url(untold, "/outer/shop/live", "mounted") == live


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_header_of_the_proxy(untold: Server, proxy: str) -> None:
    """`X-Forwarded-Prefix`, for proxies of both kinds, on every server, without an option."""
    before, header = PROXIES[proxy], ("X-Forwarded-Prefix", "/outer")
    page, live = f"http://{HOST}/outer/shop/item/3", f"ws://{HOST}/outer/shop/live"
    assert url(untold, f"{before}/shop/item/3", "header", header) == page
    assert live_url(untold, f"{before}/shop/live", "header", header) == live
