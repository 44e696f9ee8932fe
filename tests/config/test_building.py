"""A site from a file serves what the file says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mountkit import Client, Lifespan, Mount, Scheme, Split
from mountkit.config.building import Site
from mountkit.config.parsing import parse
from mountkit.config.problems import ConfigError
from mountkit.config.sources import Source, find_file, read_source, source_of_app
from mountkit.middleware.meters import Meter
from tests.support.sites import config_of, site_of, write


def mounts_of(site: Site) -> list[Any]:
    return list(site.dispatcher.routes)


def get(site: Site, path: str, **options: Any) -> str:
    """The text of an answer."""
    return TestClient(site.dispatcher, follow_redirects=False).get(path, **options).text


def test_the_words_of_a_mount(folder: Path) -> None:
    """Each does what it does in Python, and the mount knows its line."""
    text = """
    [[mount]]
    path = "/t/shop"
    name = "shop"
    host = ["{region}.example.com", "example.org"]
    methods = ["get", "POST"]
    headers = { x-a = "1", x-b = true, x-c = false, x-d = { regex = "v." } }
    query = { q = "2" }
    when = 'Scheme("https") | Client("10.0.0.0/8")'
    priority = 3
    redirect_slashes = true
    convention = "strip"
    interface = "asgi3"
    errors = "contain"
    expose = { "/.well-known/x" = "/x" }
    lifespan = { startup_timeout = 3, on_failure = "isolate", share = ["db"] }
    app = "shop:app"
    """
    site = site_of(Path(), text)
    (mount,) = mounts_of(site)
    from shop import app  # type: ignore[import-not-found]

    same = Mount(
        "/t/shop",
        app,
        host=["{region}.example.com", "example.org"],
        methods=["GET", "POST"],
        headers={"x-a": "1", "x-b": True, "x-c": False, "x-d": re.compile("v.")},
        query={"q": "2"},
        when=Scheme("https") | Client("10.0.0.0/8"),
        priority=3,
    )
    assert mount.rule.key == same.rule.key
    assert [host.pattern for host in mount.rule.hosts] == ["{region}.example.com", "example.org"]
    assert (mount.name, mount.rule.where) == ("shop", "mountkit.toml:2")
    assert (mount.redirect_slashes, mount.convention, mount.errors) == (True, "strip", "contain")
    assert dict(mount.expose) == {"/.well-known/x": "/x"}
    assert mount.child.lifespan == Lifespan(startup_timeout=3, on_failure="isolate", share=["db"])
    assert mount.child.app is app


@pytest.mark.parametrize(
    ("keys", "layers"),
    [
        ("", []),
        ("max_body_size = 10", ["RequestBodyLimitMiddleware"]),
        ("limits = { max_body_size = 10 }", ["RequestBodyLimitMiddleware"]),
        ("limits = { max_concurrency = 1, when_full = 429 }", ["LimitMiddleware"]),
        ("limits = { response = 1 }", ["TimeoutMiddleware"]),
        ("limits = { total = 1.5 }", ["TimeoutMiddleware"]),
        (
            "check = true\ncontext = true\ncontain = true\ncookie_path = true\nfix_redirects = true",
            [
                *("RedirectMiddleware", "CookiePathMiddleware", "CheckMiddleware"),
                *("ContextMiddleware", "ContainMiddleware"),
            ],
        ),
        (
            'max_body_size = 1\nlimits = { total = 1, max_concurrency = 1 }\ncheck = true\n'
            'middleware = [{ class = "layers:Tag", name = "a" }, { class = "layers:Tag", name = "b" }]',
            [
                *("RequestBodyLimitMiddleware", "TimeoutMiddleware", "LimitMiddleware"),
                *("CheckMiddleware", "Tag", "Tag"),
            ],
        ),
    ],
)  # fmt: skip
def test_layers(keys: str, layers: list[str], folder: Path) -> None:
    """From the outermost to the app."""
    write(folder, {"layers.py": LAYERS})
    (mount,) = mounts_of(site_of(Path(), f'[[mount]]\napp = "shop:app"\n{keys}\n'))
    found, app = [], mount.app
    while app is not mount.child.app:
        found.append(type(app).__name__)
        app = app.app
    assert found == layers


LAYERS = """
class Tag:
    def __init__(self, app, name):
        self.app = app
        self.name = name

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)
"""


def test_bridge_of_a_wsgi_app(folder: Path) -> None:
    """With its threads."""
    write(folder, {"old.py": "def app(environ, start_response): ...\n"})
    text = '[[mount]]\napp = "old:app"\nwsgi = { threads = 2, queue = 3 }\n'
    (mount,) = mounts_of(site_of(Path(), text))
    assert (mount.app._pool.limit, mount.app.queue) == (2, 3)


def test_the_default(folder: Path) -> None:
    """It takes what no mount takes, at each host; and those below 0 go before it."""
    text = """
    [default]
    app = "shop:app"
    [[mount]]
    path = "/a"
    host = "a.com"
    app = "shop:other"
    """
    site = site_of(Path(), text)
    assert get(site, "http://a.com/a") == "other"
    assert get(site, "http://a.com/b") == get(site, "http://b.com/a") == "app"
    assert [(one.name, one.rule.priority) for one in mounts_of(site)][-1] == ("default", 0)
    text += """
    [[mount]]
    path = "/low"
    priority = -5
    app = "shop:other"
    """
    assert get(site_of(Path(), text), "/low") == "other"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('app = "shop:make"\nfactory = true', "made"),
        ('app = "shop:make"\nargs = { name = "x", punctuation = "!" }', "x!"),
        ('app = "shop:make"\nargs = ["y"]', "y"),
        ('app = "lib/more.py:app"', "more"),
        ('app = "lib/more:app"', "more"),
        ('app = "pkg.inner:holder.app"', "held"),
        ('app = "reads:make"\nfactory = true\nenv = { NAME = "from env" }', "from env"),
    ],
)
def test_which_app(keys: str, says: str, folder: Path) -> None:
    """A factory, a file, an attribute of an attribute, with an environment."""
    write(
        folder,
        {
            "lib/more.py": "import shop\nimport beside\napp = shop.make(beside.name)\n",
            "lib/beside.py": "name = 'more'\n",
            "pkg/inner.py": "import shop\nclass holder:\n    app = shop.make('held')\n",
            "reads.py": "import os, shop\nNAME = os.environ['NAME']\ndef make():\n    return shop.make(NAME)\n",
        },
    )
    assert get(site_of(Path(), f"[[mount]]\n{keys}\n"), "/") == says


def test_one_name_is_one_app(folder: Path) -> None:
    """Mounts share it; a factory with other arguments is another."""
    text = """
    [[mount]]
    path = "/a"
    app = "shop:make"
    factory = true
    [[mount]]
    path = "/b"
    app = "shop:make"
    factory = true
    [[mount]]
    path = "/c"
    app = "shop:make"
    args = ["c"]
    """
    a, b, c = (mount.child.app for mount in mounts_of(site_of(Path(), text)))
    assert a is b
    assert a is not c


def test_static_folder(folder: Path) -> None:
    """From the folder of the file that names it."""
    write(folder, {"sites/public/index.html": "index", "sites/public/a.txt": "a", "sites/b.toml": """
    [[mount]]
    path = "/s"
    static = "public"
    html = true
    """})  # fmt: skip
    site = site_of(Path(), 'include = "sites/b.toml"')
    assert [get(site, path) for path in ("/s/", "/s/a.txt")] == ["index", "a"]
    assert mounts_of(site)[0].rule.where == "sites/b.toml:2"


def test_a_split(folder: Path) -> None:
    """Its shares, and what keeps a client."""
    text = """
    [[mount]]
    path = "/a"
    [mount.split]
    sticky_cookie = "lane"
    seed = 1
    apps.stable = { app = "shop:app", weight = 95 }
    apps.canary = { app = "shop:make", args = ["canary"], weight = 5.5 }
    """
    site = site_of(Path(), text)
    split = mounts_of(site)[0].child.app
    assert isinstance(split, Split)
    assert split.weights == {"stable": 95, "canary": 5.5}
    with TestClient(site.dispatcher, cookies={"lane": "canary"}) as client:
        assert client.get("/a/").text == "canary"


@pytest.mark.parametrize(
    "table",
    ["[status]\nlisten = '127.0.0.1:0'", "[status]\nlisten = 'unix:x'\n[metrics]\nroutes = true"],
)
def test_meters(table: str, folder: Path) -> None:
    """Where somebody reads them, each mount has one, outermost."""
    text = f'{table}\n[[mount]]\npath = "/a"\napp = "shop:app"\nmax_body_size = 3\n'
    site = site_of(Path(), text)
    assert set(site.meters) == {"/a"}
    layer = mounts_of(site)[0].app
    assert layer.meter is site.meters["/a"]
    assert isinstance(layer.meter, Meter)
    assert type(layer.app).__name__ == "RequestBodyLimitMiddleware"


def test_an_error_names_the_line(folder: Path) -> None:
    """In the note of the exception."""
    write(folder, {"raises.py": RAISES})
    site = site_of(Path(), '# a comment\n[[mount]]\npath = "/r"\napp = "raises:app"\n')
    with pytest.raises(ValueError, match="no") as caught:
        get(site, "/r/")
    assert caught.value.__notes__ == [
        "mountkit: raised by the app mounted at '/r' (mountkit.toml:2)."
    ]


RAISES = """
async def app(scope, receive, send):
    raise ValueError("no")
"""


def test_no_meters(folder: Path) -> None:
    """Nothing is on the way of a mount that did not ask for it."""
    site = site_of(Path(), '[[mount]]\napp = "shop:app"\n')
    assert site.meters == {}
    assert mounts_of(site)[0].app is mounts_of(site)[0].child.app


def test_the_server(folder: Path) -> None:
    """Its defaults, and what variables say."""
    config = config_of(Path(), "")
    assert (config.server.server, config.server.port, config.server.proxies) == (
        "uvicorn",
        8000,
        [],
    )
    assert (config.status, config.metrics, config.mounts) == (None, None, ())
    text = """
    [server]
    port = "${PORT}"
    workers = "${WORKERS:-3}"
    watch = "${WATCH}"
    grace = "${GRACE}"
    trusted = "unix"
    unix_socket = "run/x.sock"
    tls = { cert = "a.pem", key = "/b.pem" }
    log = { level = "${LEVEL}", access = "${ACCESS}" }
    unknown_host = "${UNKNOWN}"
    """
    (folder / "deep").mkdir()
    environ = {"PORT": "80", "WATCH": "true", "GRACE": "1.5", "LEVEL": "debug", "ACCESS": "false"}
    server = config_of(Path("deep"), text, {**environ, "UNKNOWN": "421"}).server
    assert (server.port, server.workers, server.watch, server.grace) == (80, 3, True, 1.5)
    assert (server.proxies, server.unix_socket) == (["unix"], "deep/run/x.sock")
    assert server.tls is not None
    assert (server.tls.cert, server.tls.key) == ("deep/a.pem", "/b.pem")
    assert (server.log.level, server.log.access, server.unknown_host) == ("debug", False, 421)


def test_a_text_stays_a_text(folder: Path) -> None:
    """Whatever a variable holds, where a key wants a text."""
    text = '[[mount]]\npath = "/a"\napp = "shop:make"\nargs = { name = "${NAME}" }\n'
    config = config_of(Path(), text, {"NAME": "1"})
    assert config.mounts[0].args == {"name": "1"}


def test_pyproject(folder: Path) -> None:
    """`[tool.mountkit]` is a site, with the lines of that file."""
    text = '[project]\nname = "x"\n\n[[tool.mountkit.mount]]\npath = "/a"\napp = "shop:app"\n'
    (folder / "pyproject.toml").write_text(text)
    found = find_file(Path())
    assert found == Path("pyproject.toml")
    site = Site.build(parse(read_source(found)))
    assert mounts_of(site)[0].rule.where == "pyproject.toml:4"
    (folder / "pyproject.toml").write_text(text.replace("/a", "a"))
    with pytest.raises(ConfigError, match=r"^pyproject\.toml:5: Mount path 'a'"):
        Site.build(parse(read_source(found)))


@pytest.mark.parametrize(
    ("target", "is_factory", "says"), [("shop:app", False, "app"), ("shop:make", True, "made")]
)
def test_a_site_of_one_app(target: str, is_factory: bool, says: str, folder: Path) -> None:
    """It takes everything."""
    site = Site.build(parse(source_of_app(target, is_factory=is_factory)))
    assert get(site, "/any/thing") == says
    assert [(one.name, one.rule.where) for one in mounts_of(site)] == [("app", f"<{target}>:1")]


def test_the_environment_after_an_error(folder: Path) -> None:
    """It is as it was before."""
    os.environ["OLD"] = "1"
    text = '[[mount]]\napp = "nope:app"\nenv = { NEW = "2", OLD = "2" }\n'
    with pytest.raises(ConfigError):
        site_of(Path(), text)
    assert os.environ["OLD"] == "1"
    assert "NEW" not in os.environ


def test_names(folder: Path) -> None:
    """Host and path, where a mount has none of its own: the label of the mount."""
    text = """
    [[mount]]
    path = "/a/"
    host = ["A.example.com", "b.example.com"]
    app = "shop:app"
    [[mount]]
    path = "/b/"
    exact = true
    app = "shop:app"
    [[mount]]
    app = "shop:app"
    """
    config = config_of(Path(), text)
    site = Site.build(config)
    assert [one.name for one in config.mounts] == [one.label for one in mounts_of(site)]
    assert [one.name for one in config.mounts] == ["A.example.com/a", "/b/", "/"]


def test_modules_of_the_files_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process is."""
    write(folder, {"there/inner.py": "from shop import app\n", "here/x": ""})
    sys.path.insert(0, str(folder))
    monkeypatch.chdir(folder / "here")
    assert get(site_of(Path("../there"), '[[mount]]\napp = "inner:app"\n'), "/") == "app"


def test_modules_of_one_name_in_two_folders(folder: Path) -> None:
    """The second would get that of the first, without a word."""
    named = "from types import ModuleType\nimport shop, named.inner\nfrom named import app\n"
    files = {"a/one.py": named, "b/two.py": named, "a/again.py": named, "b/other.py": "x = (\n"}
    write(folder, {**files, "b/types.py": "", "b/shop.txt": "", "a/named/inner.py": ""})
    write(folder, {f"{name}/named/__init__.py": "from shop import app" for name in "ab"})
    text = '[[mount]]\npath = "/{0}"\napp = "{0}.py:app"\n'.format
    assert get(site_of(Path(), text("a/one") + text("a/again")), "/a/one/x") == "app"
    with pytest.raises(ConfigError) as caught:
        site_of(Path(), text("a/one") + text("b/two") + text("b/other"))
    assert [one.message.replace(os.sep, "/") for one in caught.value.problems] == [
        "File 'two.py' imports 'named', of which another is loaded already (a/named/__init__.py), "
        "and a process has one of a name; rename it, or put it into a package.",
        "Module 'other' cannot be imported: SyntaxError at b/other.py:1; fix it first.",
    ]


def test_conflicts_that_only_the_table_finds(folder: Path) -> None:
    """As all problems, where the rules were not checked before."""
    mount = '[[mount]]\npath = "/a"\napp = "shop:app"\n'
    text = f'{mount}name = "a"\n{mount}name = "b"\n{mount}name = "c"\n'
    with pytest.raises(ConfigError) as caught:
        Site.build(parse(Source("x.toml", {"x.toml": text})))
    assert [one.line for one in caught.value.problems] == [5, 9]
