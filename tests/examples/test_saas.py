"""The SaaS of `examples/saas`, over HTTP, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import asyncpg
import httpx
import pytest

from examples.saas.databases import Databases
from examples.saas.passwords import check_password, hash_password
from tests.support import postgresql
from tests.support.saas import Saas, serve_saas

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL server."""
    programs = postgresql.programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    with postgresql.cluster(programs) as url:
        yield url


def execute(url: str, statement: str) -> list[str]:
    async def ask() -> list[str]:
        connection = await asyncpg.connect(url)
        try:
            return [str(row[0]) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """The URL of a control database that nothing is in; empty if it is the default."""
    if request.param == "sqlite":
        return lambda: ""
    url: str = request.getfixturevalue("server_url")
    numbers = count(1)

    def make() -> str:
        name = f"saas{next(numbers)}"
        execute(f"{url}/postgres", f"CREATE DATABASE {name}")
        return f"{url}/{name}"

    return make


@pytest.fixture(scope="session")
def saas(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Saas]:
    """One for all tests; what they change is a tenant of their own."""
    with serve_saas(tmp_path_factory.mktemp("saas"), new_database()) as saas:
        yield saas
        assert "Traceback" not in saas.server.output, saas.server.output


def databases_of(saas: Saas, slug: str) -> list[str]:
    """The databases that a tenant has."""
    if not saas.database_url:
        return [path.name for path in saas.data.glob(f"tenant-{slug}-*.sqlite3")]
    query = f"SELECT datname FROM pg_database WHERE datname LIKE '%_{slug}-%'"
    return execute(saas.database_url, query)


def names(shop: httpx.Client) -> list[str]:
    """What a shop sells."""
    return [product["name"] for product in shop.get("/api/products").json()]


@pytest.mark.parametrize(
    ("host", "title", "product"),
    [
        pytest.param("acme.localhost", "Acme Anvils", "Rocket skates", id="acme"),
        pytest.param("ACME.localhost.", "Acme Anvils", "Rocket skates", id="another-spelling"),
        pytest.param("anvils.acme.localhost", "Acme Anvils", "Rocket skates", id="custom-domain"),
        pytest.param("globex.localhost", "Globex Gardens", "Tulips", id="globex"),
    ],
)
def test_each_shop_is_at_its_hosts(saas: Saas, host: str, title: str, product: str) -> None:
    """With its name and its goods, and nothing of the other one."""
    page = saas.visitor(host).get("/")
    assert page.status_code == 200
    assert f"<title>{title}</title>" in page.text
    assert product in page.text
    assert page.text.count("Acme Anvils") + page.text.count("Globex Gardens") == 2


def test_the_marketing_site_is_on_the_bare_domain(saas: Saas) -> None:
    """Its links lead to the shops, on the port that the server has."""
    page = saas.visitor("localhost").get("/").text
    assert "A shop of your own" in page
    for host in ("acme.localhost", "globex.localhost", "admin.localhost"):
        assert f'href="{saas.url(host)}/"' in page


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("acme", 303, id="name"),
        pytest.param(" ACME ", 303, id="typed"),
        pytest.param("evil.example/", 404, id="another-site"),
        pytest.param("", 404, id="nothing"),
    ],
)
def test_the_marketing_site_leads_to_a_shop(saas: Saas, name: str, status: int) -> None:
    """To a shop only: what is no name is told so."""
    answer = saas.visitor("localhost").get("/go", params={"shop": name})
    assert answer.status_code == status
    location = f"{saas.url('acme.localhost')}/" if status == 303 else None
    assert answer.headers.get("location") == location


@pytest.mark.parametrize(
    "host", ["nobody.localhost", "shop.example.org", "127.0.0.1", "x.acme.localhost"]
)
def test_a_host_that_is_nobodys_leads_to_the_marketing_site(saas: Saas, host: str) -> None:
    """To a page that says so."""
    answer = saas.visitor(host).get("/products?x=y")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{saas.url('localhost')}/no-shop?host={host}"
    page = saas.visitor("localhost").get(answer.headers["location"])
    assert page.status_code == 404
    assert f"Nobody has a shop at <code>{host}</code>" in page.text


@pytest.mark.parametrize("host", ["localhost", "admin.localhost", "acme.localhost", "x.localhost"])
def test_the_stylesheet_is_at_every_host(saas: Saas, host: str) -> None:
    """One mount has it, before all others."""
    answer = saas.visitor(host).get("/static/style.css")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize("path", ["/api/nothing", "/products/x"])
def test_programs_get_json_where_nothing_is(saas: Saas, path: str) -> None:
    """Pages are for browsers."""
    answer = saas.visitor("acme.localhost").get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_only_admins_get_into_the_admin_app(saas: Saas) -> None:
    """Others are sent to its login, and change nothing."""
    visitor = saas.visitor("admin.localhost")
    filled = {"slug": "sneak", "name": "Sneak", "colour": "#000000", "password": "demo-sneak"}
    for answer in (visitor.get("/"), visitor.post("/tenants", data=filled)):
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{saas.url('admin.localhost')}/login"
    wrong = visitor.post("/login", data={"name": "admin", "password": "demo-acme"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    assert saas.visitor("sneak.localhost").get("/").status_code == 303
    assert databases_of(saas, "sneak") == []


def test_a_new_tenant_is_served_at_once(saas: Saas) -> None:
    """Although it was asked for a moment ago, and was nobody's."""
    shop = saas.visitor("initech.localhost")
    assert shop.get("/").status_code == 303
    assert saas.add_tenant("initech", name="Initech & Sons").status_code == 303
    page = shop.get("/")
    assert page.status_code == 200
    assert "<title>Initech &amp; Sons</title>" in page.text
    assert names(saas.user("initech.localhost", password="demo-initech")) == []
    assert len(databases_of(saas, "initech")) == 1


def test_a_new_domain_is_served_at_once_until_it_is_removed(saas: Saas) -> None:
    """However it was typed."""
    saas.add_tenant("books")
    host = "shop.xn--bcher-kva.example"
    shop = saas.visitor(host)
    assert shop.get("/").status_code == 303
    assert saas.add_domain("books", " Shop.B\xfccher.example. ").status_code == 303
    assert "<title>Books</title>" in shop.get("/").text
    assert saas.admin.post(f"/domains/{host}/remove").status_code == 303
    assert shop.get("/").status_code == 303
    assert saas.visitor("books.localhost").get("/").status_code == 200


def test_a_removed_tenant_is_gone_at_once(saas: Saas) -> None:
    """At all of its hosts, with its data; a new one of its name knows neither that nor its users."""
    saas.add_tenant("hooli")
    saas.add_domain("hooli", "www.hooli.example")
    owner = saas.user("hooli.localhost", password="demo-hooli")
    owner.post("/products", data={"name": "Nucleus", "price": "1"})
    assert names(saas.visitor("www.hooli.example")) == ["Nucleus"]
    saas.remove_tenant("hooli")
    for host in ("hooli.localhost", "www.hooli.example"):
        assert saas.visitor(host).get("/").status_code == 303
    assert databases_of(saas, "hooli") == []
    saas.add_tenant("hooli", password="another one")
    assert names(owner) == []
    assert "Hello, owner" not in owner.get("/").text
    assert saas.visitor("www.hooli.example").get("/").status_code == 303


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"slug": "acme"}, "There is a tenant “acme” already.", id="taken"),
        pytest.param({"slug": "admin"}, "“admin” cannot be the name of a host", id="ours"),
        pytest.param({"slug": "a.b"}, "“a.b” cannot be the name of a host", id="dot"),
        pytest.param({"slug": "../x"}, "“../x” cannot be the name of a host", id="path"),
        pytest.param({"slug": "a" * 31}, "use up to 30", id="long"),
        pytest.param({"name": " "}, "A shop needs a title", id="title"),
        pytest.param({"colour": "red;x:y"}, "a colour such as #336699", id="colour"),
        pytest.param({"password": "short"}, "needs 8 characters or more", id="password"),
    ],
)
def test_what_is_no_tenant_is_refused(saas: Saas, fields: dict[str, str], message: str) -> None:
    """The page says why, and has what was typed. No database is left behind."""
    answer = saas.add_tenant(**{"slug": "newcomer", **fields})
    assert answer.status_code == 400
    assert message in answer.text
    assert f'value="{fields.get("slug", "newcomer")}"' in answer.text
    assert databases_of(saas, "newcomer") == []
    assert len(databases_of(saas, "acme")) == 1


@pytest.mark.parametrize(
    ("host", "message"),
    [
        pytest.param("localhost", "localhost is a host of this service", id="bare-domain"),
        pytest.param("admin.localhost", "admin.localhost is a host of this service", id="admin"),
        pytest.param("ACME.localhost", "acme.localhost is a host of this service", id="slug"),
        pytest.param("anvils.acme.localhost", "is somebody&#39;s already", id="taken"),
        pytest.param("*.example.org", "is not one host", id="wildcard"),
        pytest.param("https://example.org", "contains a scheme", id="scheme"),
    ],
)
def test_what_is_no_domain_of_a_tenants_own_is_refused(saas: Saas, host: str, message: str) -> None:
    """The page says why."""
    answer = saas.add_domain("globex", host)
    assert answer.status_code == 400
    assert message in answer.text


def test_the_login_cookie_is_one_hosts(saas: Saas) -> None:
    """It has no `Domain`, and no script reads it."""
    answer = saas.visitor("acme.localhost").post(
        "/login", data={"name": "owner", "password": "demo-acme"}
    )
    (cookie,) = answer.headers.get_list("set-cookie")
    value, *attributes = cookie.lower().split("; ")
    assert value.startswith("session=")
    assert {"path=/", "httponly", "samesite=lax"} <= set(attributes)
    assert not any(attribute.startswith("domain") for attribute in attributes)


@pytest.mark.parametrize("host", ["globex.localhost", "admin.localhost"])
def test_a_login_is_nobodys_elsewhere(saas: Saas, host: str) -> None:
    """Whoever sends the cookie there: it is signed by a key of its tenant's own."""
    owner = saas.user("acme.localhost")
    assert "Hello, owner" in owner.get("/").text
    cookie = {"cookie": f"session={owner.cookies['session']}"}
    elsewhere = saas.visitor(host)
    assert "Hello, owner" not in elsewhere.get("/", headers=cookie).text
    added = elsewhere.post("/products", data={"name": "Spy", "price": "1"}, headers=cookie)
    assert added.status_code == (401 if host == "globex.localhost" else 404)
    assert elsewhere.get("/", headers=cookie).status_code != 500
    assert "Spy" not in names(saas.visitor("globex.localhost"))


def test_the_data_of_tenants_is_apart(saas: Saas) -> None:
    """Rows of two shops have the same number, and are not the same."""
    shops = []
    for slug in ("left", "right"):
        saas.add_tenant(slug)
        shop = saas.user(f"{slug}.localhost", password=f"demo-{slug}")
        answer = shop.post("/products", data={"name": f"of {slug}", "price": "12.50"})
        assert answer.status_code == 303
        shops.append(shop)
    left, right = shops
    assert left.get("/api/products").json() == [{"name": "of left", "price": "12.50"}]
    assert left.post("/products/1/remove").status_code == 303
    assert (names(left), names(right)) == ([], ["of right"])


def test_who_has_logged_out_changes_nothing(saas: Saas) -> None:
    """Nor does one who never logged in, or with a password of another tenant."""
    owner = saas.user("globex.localhost")
    assert owner.post("/logout").status_code == 303
    for visitor in (owner, saas.visitor("globex.localhost")):
        assert visitor.post("/products", data={"name": "Spy", "price": "1"}).status_code == 401
        assert visitor.post("/products/1/remove").status_code == 401
    filled = {"name": "owner", "password": "demo-acme"}
    wrong = saas.visitor("globex.localhost").post("/login", data=filled)
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    assert len(names(owner)) == 2


@pytest.mark.parametrize("origin", ["http://acme.localhost", "https://evil.example", "null"])
def test_forms_of_other_hosts_are_refused(saas: Saas, origin: str) -> None:
    """Another tenant's pages are of the same site to a browser, which sends the cookie along."""
    owner = saas.user("globex.localhost")
    filled = {"name": "Spy", "price": "1"}
    assert owner.post("/products", data=filled, headers={"origin": origin}).status_code == 403
    own = {"origin": saas.url("globex.localhost")}
    assert owner.post("/products/999/remove", headers=own).status_code == 303
    assert "Spy" not in names(owner)


def test_a_stampede_on_a_cold_shop(saas: Saas) -> None:
    """Its database is opened once; everybody gets an answer of the same app."""
    saas.add_tenant("popular")

    def ask(number: int) -> tuple[int, bool]:
        page = saas.visitor("popular.localhost").get("/")
        return page.status_code, "<title>Popular</title>" in page.text

    with ThreadPoolExecutor(20) as pool:
        assert [*pool.map(ask, range(40))] == [(200, True)] * 40


def test_a_restart_loses_nothing(new_database: Callable[[], str], tmp_path: Path) -> None:
    """Neither tenants nor domains, goods or logins."""
    database_url = new_database()
    with serve_saas(tmp_path, database_url) as saas:
        saas.add_tenant("initech")
        saas.add_domain("initech", "www.initech.example")
        owner = saas.user("initech.localhost", password="demo-initech")
        owner.post("/products", data={"name": "Stapler", "price": "9.90"})
    with serve_saas(tmp_path, database_url) as saas:
        shop = saas.visitor("www.initech.example")
        assert names(shop) == ["Stapler"]
        cookie = {"cookie": f"session={owner.cookies['session']}"}
        assert "Hello, owner" in saas.visitor("initech.localhost").get("/", headers=cookie).text
        assert len(names(saas.visitor("acme.localhost"))) == 3  # not planted anew


def test_a_shop_without_its_database(tmp_path: Path) -> None:
    """503 for its visitors, and no new, empty one is made; the others see nothing of it."""
    with serve_saas(tmp_path) as saas:
        (name,) = databases_of(saas, "acme")
        (tmp_path / name).unlink()
        answer = saas.visitor("acme.localhost").get("/")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert databases_of(saas, "acme") == []
        assert saas.visitor("globex.localhost").get("/").status_code == 200
        assert "The app of tenant 'acme-" in saas.server.output


def test_passwords_are_kept_as_hashes() -> None:
    """Each with a salt of its own."""

    async def check() -> None:
        first, second = [await hash_password("demo-acme") for _ in range(2)]
        assert first != second
        assert "demo-acme" not in first
        assert await check_password("demo-acme", first)
        assert not await check_password("demo-Acme", first)
        assert not await check_password("demo-acme", None)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("mysql://localhost/saas", "is of no kind that is known here", id="kind"),
        pytest.param("sqlite://", "names no file", id="memory"),
    ],
)
def test_urls_that_do_not_work(url: str, message: str) -> None:
    """The message says what to write."""
    with pytest.raises(ValueError, match=message):
        Databases(url)


def test_the_key_is_its_owners_alone(saas: Saas) -> None:
    """Who can read it can log in as anybody."""
    path = saas.data / "secret_key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch("[0-9a-f]{64}", path.read_text())


def saas_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "examples.saas", "--port", *arguments]


def test_the_command(tmp_path: Path) -> None:
    """It says what to open and who can log in, and Ctrl-C stops it."""
    with subprocess.Popen(
        saas_command("0", "--data", str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("SAAS_")},
    ) as server:
        assert server.stdout is not None
        shown = ""
        for line in server.stdout:
            shown += line
            if "Ctrl-C stops it" in line:
                break
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=60)[0]
    assert server.returncode == 0
    assert "Traceback" not in shown + rest
    assert re.search(r"http://admin\.localhost:\d+/ +user admin, password demo-admin$", shown, re.M)
    assert re.search(r"http://acme\.localhost:\d+/ +user owner, password demo-acme$", shown, re.M)
    assert re.search(r"http://anvils\.acme\.localhost:\d+/ ", shown)
    assert (tmp_path / "control.sqlite3").is_file()


def test_a_url_that_does_not_work(tmp_path: Path) -> None:
    """The command says so, without a traceback."""
    command = saas_command("0", "--data", str(tmp_path), "--database-url", "mysql://localhost/saas")
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.returncode == 2
    assert "error: 'mysql://localhost/saas' is of no kind that is known here" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The message says how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = subprocess.run(
            saas_command(str(port), "--data", str(tmp_path)),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert found.returncode == 1
    assert f"Port {port} is taken by another program; choose one" in found.stderr
