"""A browser for the tests of the examples, if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.browsers import MILLISECONDS, chromium

if TYPE_CHECKING:
    from playwright import sync_api


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    """A page of a browser that has no cookies yet. Whatever it loads has to come, from the
    machine that served it, and its scripts and styles have to be in order."""
    context = browser.new_context()
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    wrong: list[str] = []

    def look(response: sync_api.Response) -> None:
        kind = response.request.resource_type
        # Those documents are what the tests are about; a JSON document names no icon.
        is_part = kind != "document" and not response.url.endswith("/favicon.ico")
        if is_part and response.status >= 400:
            wrong.append(f"{response.url}: {response.status}")

    def is_from_here(request: sync_api.Request) -> None:
        host = urlsplit(request.url).hostname or ""
        if not host.endswith(("localhost", "127.0.0.1", ".example")) and host:
            wrong.append(f"{request.url}: from elsewhere")

    def note(request: sync_api.Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by the next page
            wrong.append(f"{request.url}: {request.failure}")

    page.on("request", is_from_here)
    page.on("response", look)
    page.on("requestfailed", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    yield page
    context.close()
    assert wrong == []
