"""Real frameworks at every place, through every way: what each of them can do works there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from tests.matrix.client import Site, serve
from tests.matrix.frameworks import FRAMEWORKS
from tests.matrix.places import PLACES, WAYS
from tests.support.apps.sites import STATIC

#: A page takes seconds in a browser: at every place, and in every way.
IN_BROWSER = {(place, "dispatcher") for place in PLACES} | {("sub", way) for way in WAYS}

STYLE = (STATIC / "style.css").read_text()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every framework, place and way that a check is made of."""
    check = metafunc.function.__name__.removeprefix("test_")
    cases = []
    for name, facts in FRAMEWORKS.items():
        for place in PLACES:
            for way in WAYS:
                if check == "browser" and (place, way) not in IN_BROWSER:
                    continue
                case = f"{name}-{place}-{way}"
                found = [
                    known
                    for known in facts.checks
                    if known == check or (check == "page" and known.startswith("page-"))
                ]
                for known in found:
                    marks: list[Any] = []
                    reason = facts.unlike.get((known, place)) or facts.unlike.get((known, "*"))
                    if reason:
                        is_certain = not reason.startswith("at times")
                        marks.append(pytest.mark.xfail(reason=reason, strict=is_certain))
                    detail = known.removeprefix(check).removeprefix("-")
                    values = ((name, place, way), detail)[: 2 if check == "page" else 1]
                    test_id = f"{case}-{detail}" if detail else case
                    cases.append(pytest.param(*values, marks=marks, id=test_id))
    names = ("site", "page")[: 2 if check == "page" else 1]
    metafunc.parametrize(names, cases, indirect=["site"], scope="module")


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    name, place, way = request.param
    facts = FRAMEWORKS[name]
    for package in (facts.package, *facts.needs):
        try:
            version(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed")
    with serve(name, facts, place, PLACES[place], way) as found:
        yield found


def test_index(site: Site) -> None:
    """At the bare prefix and with a slash; a browser that navigates is sent to the slash."""
    assert site.facts.index is not None
    site.http.cookies.clear()  # whoever was logged in before
    for url in (site.base, f"{site.base}/"):
        response = site.get(url)
        for _ in range(3):
            if response.is_redirect:
                response = site.get(site.location(response, response.status_code))
        assert response.status_code == 200, response.text
        assert re.search(site.facts.index, response.text)
    if site.place.prefix:
        response = site.get(site.base, headers={"sec-fetch-mode": "navigate"})
        assert site.location(response, 307) == f"{site.base}/"


def test_url(site: Site) -> None:
    """The URL of an item, as the framework makes it."""
    url = site.get("").text.split()[-1]
    assert site.absolute(url) == f"{site.base}/item/7"
    assert site.get(url).text == "item 7"


def test_link(site: Site) -> None:
    """The URL of a page of another mount, wherever in a request it is asked for."""
    response = site.get("link")
    if site.place.host == "127.0.0.1":
        expected = f"{site.origin}{site.place.root_path}/neighbour/page/1"
    else:
        expected = f"http://neighbour.example.com:{site.port}/page/1"
    assert response.text == expected
    url = urlsplit(response.text)
    assert site.http.get(url.path, headers={"host": url.netloc}).text == "page 1"


def test_redirect(site: Site) -> None:
    """By name."""
    assert site.facts.redirect is not None
    assert site.location(site.get("go"), site.facts.redirect) == f"{site.base}/item/7"


def test_slash(site: Site) -> None:
    """From a path without its slash to the one with it."""
    assert site.facts.slash is not None
    response = site.get("things")
    if site.facts.slash != 200:
        assert site.location(response, site.facts.slash) == f"{site.base}/things/"
        response = site.get("things/")
    assert response.status_code == 200
    assert response.text.startswith("index")


def test_static(site: Site) -> None:
    """A file, unchanged."""
    assert site.facts.static is not None
    response = site.get(site.facts.static)
    assert response.text == STYLE
    assert response.headers["content-type"].startswith("text/css")


def test_stream(site: Site) -> None:
    """What the app has yielded is here before it yields more."""
    assert site.facts.stream is not None
    with site.stream(site.facts.stream) as parts:
        assert next(parts) == b"first\n"
        (site.folder / "gate").touch()
        assert b"".join(parts) == b"second\n"


def test_websocket(site: Site) -> None:
    """An echo."""
    assert site.facts.websocket is not None
    with site.websocket(site.facts.websocket) as websocket:
        websocket.send("hello")
        assert websocket.recv(20) == "hello"
        with pytest.raises(ConnectionClosed):
            websocket.recv(20)


def test_page(site: Site, page: str) -> None:
    """The pages that the framework brings with it."""
    site.facts.pages[page](site)


def test_browser(site: Site) -> None:
    """The page in headless Chromium: loaded, used, and no request of its own has failed."""
    assert site.facts.browser is not None
    site.facts.browser(site)


def test_end(site: Site) -> None:
    """The server ends in good order, and nothing was reported while it ran."""
    assert site.stop() in (0, -15)
    assert "Traceback" not in site.output, site.output
    assert "ERROR" not in site.output, site.output


def test_lifespan(site: Site) -> None:
    """It ran once, from its start to its end."""
    assert re.findall("lifespan: (started|stopped)", site.output) == ["started", "stopped"]
