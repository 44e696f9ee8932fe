"""Pages in headless Chromium: loaded and used, with no failed request of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Request, expect, sync_playwright

from tests.matrix.client import Site
from tests.support.browsers import ARGUMENTS, executable

# Milliseconds: of a machine that has other things to do.
_PATIENCE = 120_000
expect.set_options(timeout=_PATIENCE)


@contextmanager
def _page(site: Site) -> Iterator[Page]:
    """The site's first page, asked for without its slash. At the end: every request to the
    site was below its prefix and answered; those to other hosts, of fonts and the like, are cut
    off, and are none of its own."""
    failed: list[str] = []
    origin = site.origin

    def is_own(url: str) -> bool:
        return url.startswith((origin, origin.replace("http", "ws", 1)))

    def note(request: Request, why: str) -> None:
        if is_own(request.url) and why != "net::ERR_ABORTED":
            failed.append(f"{request.url}: {why}")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        page = browser.new_page()
        page.set_default_timeout(_PATIENCE)
        page.route(
            lambda url: not is_own(url) and not url.startswith(("data:", "blob:")),
            lambda route: route.abort(),
        )
        page.on("requestfailed", lambda request: note(request, str(request.failure)))
        page.on(
            "response",
            lambda response: response.status < 400 or note(response.request, str(response.status)),
        )
        page.on("request", lambda request: is_own(request.url) and site.absolute(request.url))
        page.goto(site.base)
        assert page.url.startswith(f"{site.base}/")
        yield page
        browser.close()
    assert failed == []


def press(site: Site) -> None:
    """A click on the button that the page has, which its server answers."""
    with _page(site) as page:
        page.get_by_role("button", name="press").click()
        expect(page.get_by_text("pressed 1")).to_be_visible()


def gradio(site: Site) -> None:
    """A click that is answered through the queue."""
    with _page(site) as page:
        page.get_by_role("button", name="press").click()
        expect(page.get_by_label("answer")).to_have_value("hello Ada")


def nicegui(site: Site) -> None:
    """A click through its websocket, and the page that a link leads to."""
    with _page(site) as page:
        page.get_by_role("button", name="press").click()
        expect(page.get_by_text("pressed 1")).to_be_visible()
        page.get_by_role("link", name="next").click()
        expect(page.get_by_text("the other page")).to_be_visible()
        assert page.url == f"{site.base}/other"
