"""The SaaS of `examples/saas` in headless Chromium: what a browser does with its pages and cookies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.support.saas import PASSWORDS, Saas, serve_saas

sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = sync_api.expect

CONTRAST = (Path(__file__).parents[1] / "support" / "contrast.js").read_text("utf-8")


@pytest.fixture(scope="module")
def saas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saas]:
    with serve_saas(tmp_path_factory.mktemp("saas")) as saas:
        yield saas


def log_in(saas: Saas, page: sync_api.Page, host: str, name: str, password: str) -> None:
    page.goto(f"{saas.url(host)}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def heading(page: sync_api.Page) -> sync_api.Locator:
    """The title of the page's site, at the top."""
    return page.locator("header .title")


def test_from_the_marketing_site_to_a_shop(saas: Saas, page: sync_api.Page) -> None:
    """By its name, by a link, and back from a host that is nobody's."""
    page.goto(saas.url("localhost"))
    page.get_by_label("The name of your shop").fill("globex")
    page.get_by_role("button", name="Go there").click()
    expect(heading(page)).to_have_text("Globex Gardens")
    assert page.url == f"{saas.url('globex.localhost')}/"
    page.goto(saas.url("nobody.localhost"))
    expect(page.get_by_text("Nobody has a shop at nobody.localhost")).to_be_visible()
    page.get_by_role("link", name="To the start page").click()
    page.get_by_role("link", name="Acme Anvils").click()
    expect(heading(page)).to_have_text("Acme Anvils")
    expect(page.locator("header")).to_have_css("background-color", "rgb(179, 55, 43)")


def test_an_owner_sells_something(saas: Saas, page: sync_api.Page) -> None:
    """It is in the shop, at its own domain too, until it is removed."""
    log_in(saas, page, "acme.localhost", "owner", PASSWORDS["acme"])
    page.get_by_label("Product", exact=True).fill("<b>Giant</b> magnet")
    page.get_by_label("Price").fill("399.90")
    page.get_by_role("button", name="Add").click()
    product = page.locator("li", has_text="<b>Giant</b> magnet")
    expect(product).to_contain_text("399.90")
    page.goto(saas.url("anvils.acme.localhost"))
    expect(product).to_be_visible()
    expect(product.get_by_role("button")).to_have_count(0)
    page.goto(saas.url("acme.localhost"))
    product.get_by_role("button").click()
    expect(product).to_have_count(0)
    expect(page.get_by_text("Anvil", exact=True)).to_be_visible()


def cookie_of(response: sync_api.Response | None) -> str:
    """The cookie that the browser sent for a page."""
    assert response is not None
    return response.request.all_headers().get("cookie", "")


def test_a_login_is_of_one_host(saas: Saas, page: sync_api.Page) -> None:
    """The browser sends its cookie to no other one: not to another tenant, not to the marketing
    site, and not to another host of the same tenant."""
    log_in(saas, page, "acme.localhost", "owner", PASSWORDS["acme"])
    (cookie,) = page.context.cookies()
    assert (cookie["domain"], cookie["httpOnly"], cookie["sameSite"]) == (
        "acme.localhost",
        True,
        "Lax",
    )
    for host in ("globex.localhost", "anvils.acme.localhost", "admin.localhost", "localhost"):
        assert cookie_of(page.goto(saas.url(host))) == ""
    assert cookie_of(page.goto(saas.url("acme.localhost"))).startswith("session=")
    expect(page.get_by_text("Hello, owner")).to_be_visible()
    # As if it were sent there: another tenant's app does not believe it.
    page.context.add_cookies([{**cookie, "domain": "globex.localhost"}])
    assert cookie_of(page.goto(saas.url("globex.localhost"))).startswith("session=")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def test_a_form_of_another_tenant_is_refused(saas: Saas, page: sync_api.Page) -> None:
    """Although its page says so and the visitor is logged in."""
    log_in(saas, page, "globex.localhost", "owner", PASSWORDS["globex"])
    page.goto(saas.url("acme.localhost"))
    page.evaluate(
        """url => {
            const form = Object.assign(document.createElement("form"), {method: "post", action: url});
            for (const [name, value] of [["name", "Spy"], ["price", "1"]])
                form.append(Object.assign(document.createElement("input"), {name, value}));
            document.body.append(form);
            form.submit();
        }""",
        f"{saas.url('globex.localhost')}/products",
    )
    expect(page.get_by_text("which is another host")).to_be_visible()
    page.goto(saas.url("globex.localhost"))
    expect(page.get_by_text("Hello, owner")).to_be_visible()
    expect(page.get_by_text("Spy")).to_have_count(0)


def test_an_admin_adds_a_tenant_and_removes_it(saas: Saas, page: sync_api.Page) -> None:
    """Its pages come at once, at a domain of its own too, and are gone at once."""
    log_in(saas, page, "admin.localhost", "admin", PASSWORDS["admin"])
    page.get_by_label("Name of its host").fill("initech")
    page.get_by_label("Title").fill("Initech")
    page.get_by_label("Colour").fill("#123456")
    page.get_by_label("The owner's password").fill("demo-initech")
    page.get_by_role("button", name="Add tenant").click()
    status = page.get_by_role("status")
    expect(status).to_have_text("Initech is served now, at initech.localhost.")
    page.reload()
    expect(status).to_have_count(0)  # it is said once
    section = page.locator("[data-tenant=initech]")
    expect(section.locator("small")).to_have_text("asleep")
    section.get_by_label("A domain of its own").fill("staplers.example")
    section.get_by_role("button", name="Add").click()
    expect(status).to_have_text("staplers.example is served now.")
    section.get_by_role("link", name="staplers.example").click()
    expect(heading(page)).to_have_text("Initech")
    expect(page.locator("header")).to_have_css("background-color", "rgb(18, 52, 86)")
    log_in(saas, page, "initech.localhost", "owner", "demo-initech")
    page.goto(saas.url("admin.localhost"))
    expect(section.locator("small")).to_have_text("serving")
    section.get_by_role("button", name="Remove Initech").click()
    expect(section).to_have_count(0)
    expect(status).to_have_text("Initech is gone, with all of its data.")
    for host in ("initech.localhost", "staplers.example"):
        page.goto(saas.url(host))
        expect(page).to_have_url(re.compile(r"^http://localhost:\d+/no-shop\?host="))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200], ids=["phone", "desk"])
@pytest.mark.parametrize(
    ("host", "path", "name"),
    [
        pytest.param("localhost", "/", None, id="site"),
        pytest.param("localhost", "/nothing", None, id="site-404"),
        pytest.param("acme.localhost", "/", "owner", id="shop"),
        pytest.param("acme.localhost", "/login", None, id="login"),
        pytest.param("acme.localhost", "/nothing", None, id="shop-404"),
        pytest.param("admin.localhost", "/", "admin", id="admin"),
    ],
)
def test_pages_fit(
    saas: Saas,
    page: sync_api.Page,
    host: str,
    path: str,
    name: str | None,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    """Nothing sticks out at the side, all is legible, and there is one heading."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    if name is not None:
        log_in(saas, page, host, name, PASSWORDS[host.partition(".")[0]])
    page.goto(saas.url(host) + path)
    expect(heading(page)).to_be_visible()
    assert page.locator("h1").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == {}


@pytest.mark.parametrize("host", ["localhost", "acme.localhost", "admin.localhost"])
def test_a_page_that_is_not_there(saas: Saas, page: sync_api.Page, host: str) -> None:
    """Is the app's own, and leads back."""
    title = {"acme.localhost": "Acme Anvils", "localhost": "Stallholder"}.get(host, "Admin")
    answer = page.goto(f"{saas.url(host)}/nothing")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_text(f"{title} has no page /nothing.")).to_be_visible()
    expect(heading(page)).to_have_text(title)
    page.get_by_role("link", name="Back to the start").click()
    expect(heading(page)).to_have_text(title)
