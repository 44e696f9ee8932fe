"""Some mounts of a file without the others, which decide and are not imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from mountkit import Cookie, Mount, Proxy
from mountkit.config.building import Site, check_rules, restart_reasons
from mountkit.config.elsewhere import ELSEWHERE
from mountkit.config.models import SiteConfig
from mountkit.config.parsing import parse
from mountkit.config.problems import ConfigError
from mountkit.config.sources import Source
from mountkit.exceptions import PatternError
from mountkit.export.names import Options
from mountkit.export.routers import export
from tests.support.sites import write

#: Nothing but `/shop` and `/two` can be run here.
SITE = """
include = "lib/*.toml"
[[mount]]
path = "/shop"
name = "shop"
app = "shop:app"
[[mount]]
path = "/shop/{kind}"
methods = ["PUT"]
app = "not_there:app"
args = { password = "${PASSWORD}" }
env = { PASSWORD = "${PASSWORD}" }
middleware = [{ class = "nor:This" }]
limits = { total = "${SECONDS}" }
[[mount]]
name = "beta"
path = "/shop"
when = 'Cookie("lane", "beta")'
wsgi = { threads = 3 }
split = { apps = { a = { app = "not_there:a", weight = 1 } } }
[[mount]]
host = "${HOST:-a.example.com}"
path = "/files"
static = "no/such/folder"
html = true
expose = ["/.well-known/files"]
[[mount]]
path = "/old"
redirect = "/new"
status = 308
[default]
app = "not_there:start"
"""
TWO = """
[[mount]]
path = "/two"
app = "shop:other"
"""


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    """Those of the site."""
    write(folder, {"lib/two.toml": TWO})


def config_of(
    *only: str, text: str = SITE, two: str = TWO, upstreams: Sequence[str] = ()
) -> SiteConfig:
    source = Source("mountkit.toml", {"mountkit.toml": text, "lib/two.toml": two})
    config = parse(source, {}, only=only or None, upstreams=upstreams)
    check_rules(config)
    return config


def client_of(*only: str) -> TestClient:
    return TestClient(Site.build(config_of(*only)).dispatcher, follow_redirects=False)


def served(config: SiteConfig) -> list[str | None]:
    """The names of the mounts that are."""
    return [mount.name for mount in config.mounts if mount.app != ELSEWHERE]


@pytest.mark.parametrize(
    ("method", "url", "headers", "status"),
    [
        ("GET", "/shop/", {}, 200),
        ("GET", "/shop/pens", {}, 200),
        ("GET", "/shop/", {"sec-fetch-mode": "navigate"}, 200),
        ("GET", "/shop", {"sec-fetch-mode": "navigate"}, 307),
        ("PUT", "/shop/pens", {}, 404),
        ("PUT", "/shop/pens/1", {}, 404),
        ("PUT", "/shop/", {}, 405),
        ("GET", "/shop/", {"cookie": "lane=beta"}, 404),
        ("GET", "/two/", {}, 404),
        ("GET", "/two", {"sec-fetch-mode": "navigate"}, 404),
        ("GET", "/old/x", {}, 404),
        ("GET", "http://a.example.com/files/x", {}, 404),
        ("GET", "http://a.example.com/.well-known/files", {}, 404),
        ("GET", "http://a.example.com/shop/", {}, 200),
        ("GET", "/files/x", {}, 404),
        ("GET", "/", {}, 404),
        ("GET", "/shop/%2e%2e/two/", {}, 400),
    ],
)
def test_the_whole_table_decides(
    method: str, url: str, headers: dict[str, str], status: int
) -> None:
    """What another mount would take is 404, and is not redirected either; what is refused is."""
    assert client_of("shop").request(method, url, headers=headers).status_code == status


def test_the_scope_is_that_of_the_whole_site() -> None:
    """With its prefix."""
    found = client_of("/two").get("/two/scope").json()
    assert found == {"path": "/two/scope", "root_path": "/two"}


def test_only_what_is_served_is_started() -> None:
    """Another app of the same module is not."""
    with client_of("/two"):
        import shop  # type: ignore[import-not-found]

        assert shop.events == ["other up"]


def test_websockets_of_others_are_refused() -> None:
    """With the same status."""
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        client_of("/two").websocket_connect("/old/x"),
    ):
        pass
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["/two"], ["/two"]),
        (["/two/"], ["/two"]),
        (["/two", "shop"], ["shop", "/two"]),
        (["a.example.com/files"], ["a.example.com/files"]),
        (["default"], ["default"]),
        (["/"], ["default"]),
        ([], ["shop", "/shop/{kind}", "beta", "a.example.com/files", "/old", "/two", "default"]),
    ],
)
def test_which_are_meant(only: list[str], names: list[str]) -> None:
    """By path, by name, by host and path."""
    found = SITE.replace("${PASSWORD}", "").replace('"${SECONDS}"', "1")
    found = found.replace('"no/such/folder"', '"lib"')
    assert served(config_of(*only, text=found)) == names


def test_a_path_is_that_of_all_mounts_that_have_it() -> None:
    """What differs in conditions has a name."""
    text = SITE.replace('{ app = "not_there:a"', '{ app = "shop:other"')
    assert served(config_of("/shop", text=text)) == ["shop", "beta"]


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ("/shpo", "'/shpo' is not a mount of this app, nor a path or name of one; did you mean"),
        ("bets", "did you mean 'beta'"),
    ],
)
def test_no_such_mount(only: str, says: str) -> None:
    """Near names are said."""
    with pytest.raises(PatternError, match=says):
        config_of("/two", only)


def test_upstreams() -> None:
    """A mount that is passed on keeps its conditions, and nothing else; all others are served."""
    urls = ["http://127.0.0.1:1", "unix:/run/beta.sock"]
    text = SITE.partition('[[mount]]\npath = "/old"')[0]
    given = ["beta=http://127.0.0.1:1", "/shop/{kind}=unix:/k.sock", f"beta={urls[1]}"]
    config = config_of(text=text.replace("no/such/folder", "lib"), upstreams=given)
    mounts: Any = Site.build(config).dispatcher.routes
    shop, kind, beta, *_ = mounts
    assert not isinstance(shop.target, Proxy)
    assert isinstance(kind.target, Proxy)
    assert isinstance(beta.target, Proxy)
    assert [one.target.url for one in beta.target.upstreams] == urls
    assert (shop.redirect_slashes, beta.redirect_slashes) == ("navigate", "bare")
    assert beta.rule.key == Mount("/shop", beta.target, when=Cookie("lane", "beta")).rule.key


def test_upstreams_beside_only() -> None:
    """The rest is 404."""
    config = config_of("shop", upstreams=["default=http://127.0.0.1:1"])
    client = TestClient(Site.build(config).dispatcher)
    assert [client.get(path).status_code for path in ("/shop/", "/two/", "/")] == [200, 404, 503]


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        ("http://a", "Upstream 'http://a' names no mount; write '/shop=http://shop:8000'."),
        ("/twp=http://a", "'/twp' is not a mount of this app, nor a path or name of one; did"),
        ("/two=run/x", "Upstream 'run/x' is not the URL of a server"),
    ],
)
def test_no_such_upstream(upstream: str, says: str) -> None:
    """What is wrong with it is said."""
    with pytest.raises(PatternError, match=re.escape(says)):
        config_of("shop", upstreams=[upstream])


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('path = "/two"', 'path = "two"', "Mount path 'two' must start with '/'"),
        ('path = "/two"', "path = 2", "lib/two.toml:3: "),
        ('path = "/two"', 'path = "/two', "lib/two.toml:3: "),
        ("[[mount]]", "[mount]", "lib/two.toml:2: .*write \\[\\[mount\\]\\]"),
        ('path = "/two"', 'path = "/two"\nhots = "a"', "'hots' is not known"),
        ('app = "shop:other"', 'app = "shop:other"\nheaders = 3', "lib/two.toml:5: "),
    ],
)
def test_a_file_that_is_wrong(before: str, after: str, says: str) -> None:
    """It is refused, also for what does not decide, if that is no key at all."""
    with pytest.raises(ConfigError, match=says):
        config_of("shop", two=TWO.replace(before, after))


@pytest.mark.parametrize("default", ["default = 3\n", "default = []\n"])
def test_a_default_that_is_no_table(default: str) -> None:
    """The file is refused."""
    with pytest.raises(ConfigError, match="default"):
        config_of("shop", text=default + SITE.partition("[default]")[0])


def test_a_site_without_a_default() -> None:
    """What no mount takes is 404 in the whole site too."""
    config = config_of("shop", text=SITE.partition("[default]")[0])
    assert TestClient(Site.build(config).dispatcher).get("/").status_code == 404


@pytest.mark.anyio
async def test_a_changed_file() -> None:
    """What changes of the apps elsewhere changes nothing here; what changes of their conditions
    does. The mount that is served stays."""
    site = Site.build(config_of("shop"))
    new = config_of("shop", text=SITE.replace("not_there", "nor_there").replace("308", "301"))
    assert restart_reasons(site.config, new) == []
    change = await site.prepare(new)
    assert (change.added, change.removed, change.replaced) == ([], [], [])
    await change.abort()
    new = config_of("shop", text=SITE.replace('["PUT"]', '["POST"]'))
    change = await site.prepare(new)
    assert (change.added, change.removed, change.replaced) == ([], [], ["/shop/{kind}"])
    await change.commit()
    client = TestClient(site.dispatcher)
    assert client.put("/shop/pens").status_code == 405
    assert client.post("/shop/pens").status_code == 404


def test_what_is_left_out_is_exported_alike() -> None:
    """A router is told the same, whatever is served here."""
    options = Options("mountkit.toml", assumed=frozenset(["well-formed"]))
    first, *others = (
        export(Site.build(config).dispatcher, "nginx", ["http://127.0.0.1:1"], options)
        for config in (
            parse(Source("mountkit.toml", {"mountkit.toml": SITE}), {}, only=()),
            parse(Source("mountkit.toml", {"mountkit.toml": SITE}), {}, only=["shop"]),
        )
    )
    assert others == [first]
    assert first.count("  # Mount(") >= 5
