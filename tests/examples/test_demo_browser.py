"""The pages of the demo in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest

from examples.demo.tour import served

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = sync_api.expect

CONTRAST = (Path(__file__).parents[1] / "support" / "contrast.js").read_text("utf-8")
#: Pages that are the demo's own: by name, the host and the path.
PAGES = {
    "start": ("localhost", "/"),
    "no-mount": ("localhost", "/flasks"),
    "django": ("localhost", "/django/"),
    "flask": ("localhost", "/flask/"),
    "greeting": ("localhost", "/flask/hello/Ada"),
    "litestar": ("localhost", "/litestar/"),
    "shop": ("acme.localhost", "/"),
    "shop-404": ("acme.localhost", "/nothing"),
    "unknown-shop": ("initech.localhost", "/"),
}
every_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of the demo, which is served."""
    with served() as base:
        yield urlsplit(base).port or 0


def url(port: int, name: str) -> str:
    host, path = PAGES[name]
    return f"http://{host}:{port}{path}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200], ids=["phone", "desk"])
@every_page
def test_pages_fit(
    port: int, page: sync_api.Page, name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    """Nothing sticks out at the side, and all is legible."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(url(port, name), wait_until="networkidle")
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == {}


@every_page
def test_every_page_has_the_icon(port: int, page: sync_api.Page, name: str) -> None:
    """That of the demo."""
    page.goto(url(port, name))
    icon = page.locator("link[rel=icon]").evaluate("link => link.href")
    answer = page.request.get(icon)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")


@pytest.mark.parametrize("name", [name for name in PAGES if name != "start"])
def test_every_page_has_a_way_back(port: int, page: sync_api.Page, name: str) -> None:
    """To the start page."""
    page.goto(url(port, name))
    page.get_by_role("link", name="To the start page").click()
    expect(page).to_have_url(url(port, "start"))


def test_docs_without_the_internet(port: int, page: sync_api.Page) -> None:
    """FastAPI's docs page draws its schema, and leads back; the fixture sees what it loads."""
    page.goto(f"http://localhost:{port}/fastapi/docs")
    page.get_by_role("button", name="GET /items/{name} Item").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_placeholder("name").fill("anvil")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text(f"http://localhost:{port}/fastapi/items/anvil").first).to_be_visible()
    back = page.get_by_role("link", name="To the start page of the demo")
    expect(back).to_have_attribute("href", "/")


def test_an_unknown_shop_leads_to_those_that_are_there(port: int, page: sync_api.Page) -> None:
    """The page says which host was asked for."""
    page.goto(url(port, "unknown-shop"))
    expect(page.get_by_role("heading")).to_have_text("No shop is called initech")
    page.get_by_role("link", name="acme.localhost").click()
    expect(page.get_by_role("heading")).to_have_text("Acme Anvils")
