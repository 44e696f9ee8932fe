"""Other processes in a file: servers and children."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest

from mountkit import Process, Proxy, running
from mountkit.config.building import Site, restart_reasons
from mountkit.server.banners import lines_of
from tests.support.programs import PROGRAM
from tests.support.sites import config_of, site_of

VENV = Path(sys.prefix)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def apps_of(site: Site) -> list[Any]:
    return [mount.child.app for mount in site.dispatcher.table.declared if mount.child]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ('proxy = "http://a.example"', ["http://a.example"]),
        ('proxy = ["http://a.example", "unix:/a"]', ["http://a.example", "unix:/a"]),
        ('proxy = { url = "http://a.example/b" }', ["http://a.example/b"]),
    ],
)
def test_a_proxy(text: str, urls: list[str], folder: Path) -> None:
    """One URL, several, or a table."""
    [app] = apps_of(site_of(folder, f'[[mount]]\npath = "/a"\n{text}'))
    assert isinstance(app, Proxy)
    assert [one.target.url for one in app.upstreams] == urls


def test_the_options_of_a_proxy(folder: Path) -> None:
    """All that are in the table, with the names of Python's."""
    shutil.copy(certifi.where(), folder / "ca.pem")
    text = """
        [[mount]]
        path = "/a"
        [mount.proxy]
        url = "https://a.example"
        host = "replace"
        strip_prefix = true
        forwarded = "off"
        connect_timeout = 1
        head_timeout = 2
        idle_timeout = "off"
        keep_alive = 0
        max_connections = 3
        max_message_size = 4
        health = "/healthz"
        health_interval = 5
        retry = false
        mend_redirects = true
        own_cookie_paths = true
        ca = "ca.pem"
    """
    [app] = apps_of(site_of(folder, text))
    limits = app._pool.limits
    assert (app._rules.host, app._rules.strip_prefix, app._rules.forwarded) == (
        "replace",
        True,
        None,
    )
    assert (limits.connect, limits.head, limits.idle, limits.keep_alive) == (1, 2, None, 0)
    assert (limits.max_connections, app._max_message_size) == (3, 4)
    assert (app._health, app._pool.retry, app._mends) == (("/healthz", 5), False, (True, True))
    assert isinstance(app.upstreams[0].context, ssl.SSLContext)


def test_a_child_and_its_options(folder: Path) -> None:
    """Those of Python; paths start at the file that says so."""
    (folder / "more").mkdir()
    (folder / "more" / "a.toml").write_text(
        f"""
[[mount]]
path = "/a"
app = "blog/main.py:make"
factory = true
interface = "asgi3"
python = {str(VENV)!r}
cwd = "x"
env = {{ A = "1" }}
[mount.process]
ready = "/healthz"
startup_timeout = 1
grace = 2
restart_pause = 3
max_restart_pause = 4
inherit_env = ["PATH"]
without_headers = ["cookie"]
max_connections = 5
""",
        encoding="utf-8",
    )
    [app] = apps_of(site_of(folder, 'include = ["more/*.toml"]'))
    assert isinstance(app, Process)
    command = app._command
    assert command.arguments[0] == str(VENV / "bin" / "python")
    assert command.arguments[3] == f"{folder}/more/blog/main.py:make"
    assert command.arguments[-3:] == ("--interface", "asgi", "--factory")
    assert (command.cwd, dict(command.env)) == (str(folder / "more" / "x"), {"A": "1"})
    assert command.inherit_env == {"PATH"}
    assert (app._ready, app._startup_timeout, app._grace, app._pauses) == ("/healthz", 1, 2, (3, 4))
    assert b"cookie" in app._left_out
    assert app._proxy._pool.limits.max_connections == 5


def program(path: str, more: str = "") -> str:
    return f'[[mount]]\npath = "{path}"\ncommand = {PROGRAM!r}\n{more}\n'


def test_the_folder_and_the_environment_of_a_child(folder: Path) -> None:
    """By default that of the main file; its variables are its own, so that they may differ."""
    text = program("/a", 'env = { A = "1" }') + program("/b", 'env = { A = "2" }')
    config = config_of(folder, text)
    site = Site.build(config)
    assert [app._command.cwd for app in apps_of(site)] == [str(folder)] * 2
    assert "A" not in os.environ
    assert restart_reasons(config, config_of(folder, text.replace('"2"', '"3"'))) == []


@pytest.mark.anyio
async def test_a_change_swaps_a_child(folder: Path) -> None:
    """If it says another thing of how it is run; all others run on."""
    text = program("/a", 'env = { A = "1" }') + program("/b")
    for more in ("/a", "/b"):
        text = text.replace(
            f'path = "{more}"', f'path = "{more}"\nprocess = {{ strip_prefix = true }}'
        )
    site = site_of(folder, text)
    async with running(site.dispatcher) as served:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.example") as client:

            async def pids() -> list[str]:
                return [(await client.get(f"/{name}/pid")).text for name in "ab"]

            before = await pids()
            change = await site.prepare(config_of(folder, text.replace('"1"', '"2"')))
            assert change.replaced == ["/a"]
            await change.commit()
            after = await pids()
            assert after[0] != before[0]
            assert after[1] == before[1]
            assert (await client.get("/a/env")).json()["A"] == "2"


def test_what_the_banner_says(folder: Path) -> None:
    """Where requests go."""
    text = """
        [[mount]]
        path = "/a"
        proxy = "http://a.example"
        [[mount]]
        path = "/b"
        proxy = { url = ["http://a.example", "unix:/b"] }
        [[mount]]
        path = "/c"
        command = ["serve", "{fd}"]
    """
    lines = [*lines_of(config_of(folder, text), [], can_reload=False)]
    assert lines[1:4] == [
        "  /a -> proxy to http://a.example",
        "  /b -> proxy to http://a.example, unix:/b",
        "  /c -> command serve {fd}",
    ]


def test_equal_tables_are_one_child(folder: Path) -> None:
    """Wherever they are mounted; a variable is a difference."""
    tables = [
        f'[[mount]]\npath = "/{name}"\ncommand = ["serve", "{{fd}}"]\n{more}\n'
        for name, more in (("a", ""), ("b", ""), ("c", 'env = { A = "1" }'))
    ]
    first, second, third = apps_of(site_of(folder, "".join(tables)))
    assert first is second
    assert first is not third
