"""`redirect`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mountkit import PatternError
from mountkit.config.redirects import Redirect
from tests.support.scopes import scope_of
from tests.support.sites import site_of


@pytest.mark.parametrize(
    ("target", "path", "location"),
    [
        ("/new/", "/old", "/new/"),
        ("/new/", "/old/", "/new/"),
        ("/new/", "/old/a/b", "/new/a/b"),
        ("/new", "/old/a", "/new/a"),
        ("/new", "/old", "/new"),
        ("/", "/old/a", "/a"),
        ("/", "/old//evil.com", "/evil.com"),
        ("/new/", "/old/a?x=1&y=%20", "/new/a?x=1&y=%20"),
        ("/new/", "/old/a%20b", "/new/a%20b"),
        ("/ünew/", "/old/a", "/%C3%BCnew/a"),
        ("https://example.com", "/old/a", "https://example.com/a"),
        ("https://example.com/x/", "/old/a?b", "https://example.com/x/a?b"),
    ],
)
def test_location(target: str, path: str, location: str, folder: Path) -> None:
    """The rest of the path and the query are kept."""
    site = site_of(Path(), f'[[mount]]\npath = "/old"\nredirect = "{target}"\nstatus = 308\n')
    client = TestClient(site.dispatcher, follow_redirects=False)
    answer = client.get(path, headers={"sec-fetch-mode": "navigate"})
    assert (answer.status_code, answer.headers["location"]) == (308, location)


def test_below_a_root_path(folder: Path) -> None:
    """A path is one of the site."""
    site = site_of(Path(), '[[mount]]\npath = "/old"\nredirect = "/new/"\n')
    client = TestClient(site.dispatcher, root_path="/sub", follow_redirects=False)
    answer = client.get("/sub/old/a")
    assert (answer.status_code, answer.headers["location"]) == (307, "/sub/new/a")


def test_a_websocket(folder: Path) -> None:
    """It cannot be redirected."""
    site = site_of(Path(), '[[mount]]\npath = "/old"\nredirect = "/new/"\n')
    client = TestClient(site.dispatcher)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/old/"):
        pass


@pytest.mark.parametrize(
    "target", ["new", "//evil.com", "/\\evil.com", "http://", "ftp://a", "http://[", "/a\nb", ""]
)
def test_a_target_that_is_none(target: str) -> None:
    """Neither a path nor a URL."""
    with pytest.raises(
        PatternError, match=r"is neither a path nor a URL; write '/new/' or 'https:"
    ):
        Redirect(target)


@given(st.text(max_size=30), st.binary(max_size=30), st.sampled_from(["/", "/new", "/new/"]))
def test_no_path_leads_to_another_host(path: str, query: bytes, target: str) -> None:
    """And none breaks the header."""
    scope = scope_of(path=f"/{path}", raw_path=None, query_string=query)
    location = Redirect(target).location(scope)
    assert location.isascii()
    assert location.isprintable()
    assert location[:1] == "/"
    assert location[1:2] not in ("/", "\\")


def test_repr() -> None:
    """For explanations."""
    assert repr(Redirect("/new/")) == "Redirect('/new/')"
