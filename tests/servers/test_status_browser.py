"""The status page in headless Chromium: live, without JavaScript, on a phone, by keyboard."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.browsers import MILLISECONDS, chromium
from tests.support.servers import Server, serve

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = sync_api.expect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    with serve("uvicorn-httptools", "tests.support.apps.status_site:app") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser: sync_api.Browser, site: Server) -> Iterator[Any]:
    """Opens a page in a context with these options. Nothing may be wrong on its console, nor may
    it ask any other origin."""
    contexts: list[sync_api.BrowserContext] = []
    wrong: list[str] = []

    def look(request: sync_api.Request) -> None:
        if not request.url.startswith((site.url, "data:")):
            wrong.append(request.url)

    def open_page(path: str = "/_status/", **options: Any) -> sync_api.Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(MILLISECONDS)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", look)
        page.goto(site.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def get(site: Server, path: str) -> None:
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(site.url + path, timeout=60).read()


def row_of(page: sync_api.Page, name: str) -> sync_api.Locator:
    return page.get_by_role("table", name="Mounts").get_by_role("row").filter(has_text=name)


def test_the_page_is_live(opened: Any, site: Server) -> None:
    """What happens shows without a reload; what has not changed stays the same element."""
    page = opened()
    expect(page.locator("#state")).to_have_text("Live")
    row = row_of(page, "/shop")
    row.evaluate("row => { row.marked = true }")
    get(site, "/shop/fail")
    expect(row).to_contain_text("ValueError: <script>document.title")
    expect(row).to_contain_text("5xx")
    expect(row).to_contain_text("median")
    assert row.evaluate("row => row.marked")
    assert page.title() == "Status"
    assert page.locator("img").count() == 0


def test_what_the_reader_does_is_kept(opened: Any, site: Server) -> None:
    """The focus, what is written, and a box that was opened."""
    page = opened()
    page.get_by_label("Filter").fill("sho")
    page.get_by_text("Method and headers").click()
    page.get_by_label("Filter").focus()
    get(site, "/shop/fail")
    get(site, "/api/nothing")
    expect(row_of(page, "/shop")).to_contain_text("ValueError")
    expect(page.get_by_label("Filter")).to_have_value("sho")
    expect(page.get_by_label("Filter")).to_be_focused()
    expect(page.get_by_label("Headers, one a line")).to_be_visible()


def test_a_reader_can_pause_it(opened: Any, site: Server) -> None:
    """And go on."""
    page = opened()
    expect(page.locator("#state")).to_have_text("Live")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_have_text("Paused")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#state")).to_have_text("Live")


def test_the_page_goes_on_after_the_stream(opened: Any, site: Server) -> None:
    """Which ends now and then: the browser asks for the next."""
    page = opened()
    with (
        page.expect_request(lambda request: request.url.endswith("/events")),
        page.expect_request_finished(lambda request: request.url.endswith("/events")),
    ):
        pass
    get(site, "/a/very/long/path/" + "that-goes-on-" * 12 + "/nothing")
    expect(row_of(page, "/a/very/long")).to_contain_text("4xx")
    expect(page.locator("#state")).to_have_text("Live")


def test_without_javascript(opened: Any, site: Server) -> None:
    """All of it is there, and the forms work."""
    page = opened(java_script_enabled=False)
    expect(page.locator("#verdict")).to_contain_text("/reports has failed.")
    expect(row_of(page, "/reports")).to_contain_text("the database of the reports")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.get_by_label("Filter").fill("shop")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("1 of 6 mounts")).to_be_visible()
    page.get_by_role("textbox", name="URL").fill("/shop/fail")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("is taken by")).to_contain_text("GET /shop/fail is taken by /shop.")
    page.get_by_role("link", name="Status of the site").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Status")


@pytest.mark.parametrize("path", ["/_status/", "/_status/explain?url=/shop/fail"])
@pytest.mark.parametrize("width", [320, 380, 700, 1000, 1200])
def test_it_fits_the_screen(path: str, width: int, opened: Any) -> None:
    """No page is wider than the screen, and nothing is cut off."""
    page = opened(path, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        """width => [...document.querySelectorAll("main *")]
            .filter(e => !e.closest(".hidden") && !e.closest("thead"))
            .filter(e => e.getBoundingClientRect().right > width + 1)
            .map(e => e.outerHTML.slice(0, 100))""",
        width,
    )
    assert wide == []


def test_the_keyboard_is_enough(opened: Any) -> None:
    """In the order of the page, each with a mark where the focus is."""
    page = opened()
    seen = []
    for _ in range(7):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => { const e = document.activeElement;
                return [e.id || e.textContent, getComputedStyle(e).outlineStyle] }"""
        )
        seen.append(name)
        assert outline == "solid", name
    expected = ["Skip to the content", "pause", "q", "Filter", "url", "Explain"]
    assert seen == [*expected, "Method and headers"]
    page.get_by_role("textbox", name="URL").focus()
    page.keyboard.type("/api")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is taken by")).to_be_visible()


def test_a_screen_reader_finds_tables(opened: Any) -> None:
    """On a phone too, where they look like cards; with heads of rows and columns, and labels."""
    for width in (380, 1200):
        page = opened(viewport={"width": width, "height": 800})
        table = page.get_by_role("table", name="Mounts")
        assert table.get_by_role("row").count() == 7
        heads = table.get_by_role("columnheader")
        assert heads.count() == 8
        assert table.get_by_role("rowheader").count() == 6
        for name in ("Summary", "Mounts", "What the check finds", "Who takes this URL, and why?"):
            assert page.get_by_role("region", name=name).count() == 1
        expect(page.get_by_role("searchbox", name="Filter")).to_be_visible()
        expect(page.get_by_role("textbox", name="URL")).to_be_visible()
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.locator("[aria-live]").count() == 0
        assert page.get_by_role("status").count() == 2


CONTRAST = """() => {
    const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
            if (a > 0) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || e.closest("script, style, .hidden, [hidden], .skip"))
            continue;
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push([e.outerHTML.slice(0, 120), ratio]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/_status/", "/_status/explain?url=/shop", "/_status/explain?url="]
)
def test_texts_can_be_read(path: str, scheme: str, opened: Any, site: Server) -> None:
    """Against what is behind them, at least 4.5 to 1 (WCAG 2.2, 1.4.3), by day and by night."""
    get(site, "/shop/fail")
    if path.endswith("="):
        path += "nonsense"
    page = opened(path.replace("nonsense", "/x"), color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    assert dark == (scheme == "dark")
    assert page.evaluate(CONTRAST) == []


def test_nothing_moves_for_those_who_want_that(opened: Any) -> None:
    """`prefers-reduced-motion`."""
    page = opened(reduced_motion="reduce")
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter(e =>
            parseFloat(getComputedStyle(e).transitionDuration) ||
            getComputedStyle(e).animationName !== "none").length"""
    )
    assert moving == 0


def test_targets_are_large_enough(opened: Any) -> None:
    """For a finger (WCAG 2.2, 2.5.8)."""
    page = opened(viewport={"width": 380, "height": 800})
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary, textarea")]
            .filter(e => e.offsetParent && e.getBoundingClientRect().height < 24)
            .map(e => e.outerHTML)"""
    )
    assert small == []


def test_a_page_of_another_site_reads_nothing(browser: sync_api.Browser, site: Server) -> None:
    """Neither by a script, nor in a frame."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://evil.example:{site.port}/shop/")
    read = page.evaluate(
        """async url => { try { return (await fetch(url, {mode: "no-cors"})).type }
            catch (error) { return "refused" } }""",
        f"{site.url}/_status/",
    )
    assert read in ("opaque", "refused")
    status = []
    page.on("response", lambda response: status.append(response.status))
    page.evaluate(
        """url => new Promise(done => { const frame = document.createElement("iframe");
            frame.onload = done; frame.src = url; document.body.append(frame) })""",
        f"{site.url}/_status/",
    )
    assert status == [403]
    context.close()
