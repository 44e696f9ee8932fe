"""The site as zensical builds it: its links, and what it is like in a browser."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.support.browsers import chromium
from tests.support.pages import DOCS, ROOT
from tests.support.waiting import wait_until

pytest.importorskip("zensical", reason="pip install zensical")

pytestmark = pytest.mark.slow

HERE = "http://site.invalid/"
REPOSITORY = re.compile(r"https://github\.com/mountkit/mountkit/(?:blob|edit)/main/(.+)")


class Page(HTMLParser):
    """The links of a page, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.places: set[str] = set()
        self.ways: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
            self.ways |= {found.get("rel", ""), *found.get("class", "").split()}
        if "src" in found or (tag == "link" and "href" in found):
            self.loads.add(found.get("src") or found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly, as `scripts/lint` does."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs")
    shutil.copytree(ROOT / "scripts" / "theme", folder / "scripts" / "theme")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    run = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        capture_output=True, text=True, cwd=folder, check=False,
        env={"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.partition("Traceback")[0]
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """Each page by its path."""
    return {
        path.relative_to(site).as_posix().removesuffix("index.html"): Page(path.read_text("utf-8"))
        for path in site.rglob("index.html")
    }


def test_there_is_a_page_for_each_file(pages: dict[str, Page]) -> None:
    names = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert set(pages) == {"", *(f"{name}/" for name in names)}


def test_links_and_anchors(site: Path, pages: dict[str, Page]) -> None:
    """Each leads to a page or a file of the site, to a place in it, or to a file of the checkout."""
    wrong = []
    for name, page in pages.items():
        for link in page.links | page.loads:
            target = urlsplit(urljoin(HERE + name, link))
            if target.netloc == urlsplit(HERE).netloc:
                path = unquote(target.path[1:])
                place = unquote(target.fragment)
                is_there = path in pages or (site / path).is_file()
                if not is_there or (place and path in pages and place not in pages[path].places):
                    wrong.append((name, link))
            elif found := REPOSITORY.fullmatch(link):
                wrong += [] if (ROOT / found[1]).exists() else [(name, link)]
    assert wrong == []


def test_bars_in_the_code_of_tables(site: Path) -> None:
    r"""GitHub needs `\|` there; readers see `|`."""
    assert '<code><span class="short">|</span></code>' in (site / "index.html").read_text("utf-8")


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    """No font, script, style or picture; in style sheets neither."""
    outside = {load for page in pages.values() for load in page.loads if "//" in load}
    assert outside == set()
    for path in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?:https?:)?//", path.read_text("utf-8")) == [], path


def test_every_page_leads_on(pages: dict[str, Page]) -> None:
    """To its neighbours, and to its source."""
    assert [name for name, page in pages.items() if "edit" not in page.ways] == []
    for way in ("prev", "next"):
        without = [
            name for name, page in pages.items() if f"md-footer__link--{way}" not in page.ways
        ]
        assert len(without) == 1, (way, without)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def origin(site: Path) -> Iterator[str]:
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


VIEWS = [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]


@pytest.mark.parametrize(("scheme", "width"), VIEWS, ids=[f"{s}-{w}" for s, w in VIEWS])
def test_in_a_browser(
    browser: Any, origin: str, pages: dict[str, Page], scheme: str, width: int
) -> None:
    """No page is wider than the window, has text that is hard to read, logs an error, or asks
    another host for anything. In each view every fourth page, so that all pages are seen."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[tuple[str, object]] = []
    page.on(
        "console",
        lambda said: wrong.append((page.url, said.text)) if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: wrong.append((page.url, str(error))))
    page.on(
        "request",
        lambda sent: (
            None
            if sent.url.startswith((origin, "data:", "blob:"))
            else wrong.append((page.url, sent.url))
        ),
    )
    contrast = (ROOT / "tests" / "support" / "contrast.js").read_text("utf-8")
    start = VIEWS.index((scheme, width))
    for name in {"": None, **dict.fromkeys(sorted(pages)[start :: len(VIEWS)])}:
        page.goto(origin + name, wait_until="domcontentloaded")
        page.locator(".md-content").wait_for()
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append((name, "is wider than the window"))
        wrong += [(name, found) for found in page.evaluate(contrast).items()]
    context.close()
    assert wrong == []


def test_the_colours_can_be_chosen(browser: Any, origin: str) -> None:
    """Those of the system, light, dark; and code can be copied."""
    page = browser.new_page(color_scheme="dark")
    page.goto(origin + "quickstart/")
    schemes = []
    for _ in range(3):
        schemes.append(page.locator("body").get_attribute("data-md-color-scheme"))
        page.locator("label[for^='__palette']:visible").first.click()
    assert schemes == ["slate", "default", "slate"]
    assert page.locator(".md-code__nav button, .md-clipboard").count() > 0
    page.close()


#: What people search for, and the page that has to be among the first results.
WORDS = {
    "migrate": "migrating",
    "deploy": "deploying",
    "nginx": "deploying",
    "caddy": "deploying",
    "traefik": "deploying",
    "kubernetes": "deploying",
    "gunicorn": "deploying",
    "troubleshooting": "troubleshooting",
    "wrong links behind a proxy": "troubleshooting",
    "404": "troubleshooting",
    "testing": "testing",
    "werkzeug": "migrating",
    "DispatcherMiddleware": "migrating",
    "a2wsgi": "migrating",
    "hypercorn": "migrating",
    "sub-application": "migrating",
    "strangler": "strangler-fig",
    "cors": "guards",
    "session": "guards",
    "django": "frameworks",
    "root_path": "root-path",
    "url_for": "api",
    "security": "security",
    "changelog": "changelog",
    "subdomain": "tenants",
    "subprocess": "process",
    "prometheus": "status",
    "mountkit.toml": "config",
    "docker": "serve",
    "differences": "differences",
}


def test_search(browser: Any, origin: str) -> None:
    """Finds each among the first three."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(origin)
    page.locator(".md-search__button").click()
    words_of = page.locator("input[aria-label='Search']")
    results = page.locator("a[href*='?h=']")
    for words, name in WORDS.items():
        words_of.fill(words)
        asked = "?h=" + words.replace(" ", "+")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: (f"/{name}/", asked) in shown(results))  # noqa: B023
        assert (f"/{name}/", asked) in shown(results), (words, shown(results))
    page.close()


def shown(results: Any) -> list[tuple[str, str]]:
    """The path and the query of each of the first results."""
    found = results.evaluate_all("links => links.map(link => [link.pathname, link.search])")
    return [(path, query) for path, query in found[:3]]
