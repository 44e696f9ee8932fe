"""A changed file: what is the same stays, what is new is started, what left is stopped."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import Message

from mountkit import LifespanError, running
from mountkit.config.building import Site, restart_reasons
from mountkit.config.orders import out_of_order
from mountkit.config.problems import ConfigError
from mountkit.exceptions import MountkitError
from mountkit.matching.rules import Rule
from tests.support.scopes import scope_of
from tests.support.sites import config_of, site_of, write
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


def events() -> list[str]:
    """What the apps of `shop` have seen."""
    import shop  # type: ignore[import-not-found]

    found: list[str] = [*shop.events]
    shop.events.clear()
    return found


@asynccontextmanager
async def served(text: str) -> AsyncIterator[Site]:
    """A site while a server runs it."""
    site = site_of(Path(), text)
    async with running(site.dispatcher):
        events()
        yield site


async def change(site: Site, text: str) -> tuple[list[str], list[str], list[str]]:
    """Change it to another file."""
    prepared = await site.prepare(config_of(Path(), text))
    await prepared.commit()
    assert prepared.changed.is_set()
    return prepared.added, prepared.removed, prepared.replaced


async def get(site: Site, path: str, **options: Any) -> str:
    """The body of an answer."""
    body = b""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal body
        body += message.get("body", b"")

    await site.dispatcher(scope_of(path, **options), receive, send)
    return body.decode()


def mounts_of(site: Site) -> dict[str, Any]:
    """By path."""
    return {mount.path: mount for mount in site.dispatcher.routes}  # type: ignore[attr-defined]


A = '[[mount]]\npath = "/a"\napp = "shop:app"\n'
B = '[[mount]]\npath = "/b"\napp = "shop:other"\n'
C = '[[mount]]\npath = "/c"\napp = "shop:make"\nfactory = true\n'


async def test_what_is_the_same_is_the_same_mount(folder: Path) -> None:
    """Its line is the new one."""
    async with served(A + B) as site:
        before = mounts_of(site)
        assert await change(site, f"# moved\n\n{A}{B}{C}") == (["/c"], [], [])
        after = mounts_of(site)
        assert before["/a"] is after["/a"]
        assert before["/b"] is after["/b"]
        assert [one.rule.where for one in after.values()] == [
            "mountkit.toml:3",
            "mountkit.toml:6",
            "mountkit.toml:9",
        ]
        assert events() == ["made up"]
        assert await get(site, "/c/") == "made"


async def test_nothing_has_changed(folder: Path) -> None:
    """Not even an app of a factory."""
    async with served(A + C) as site:
        before = mounts_of(site)
        assert await change(site, f"{A}\n{C}# the end") == ([], [], [])
        assert mounts_of(site)["/c"] is before["/c"]
        assert events() == []


async def test_an_app_under_other_options(folder: Path) -> None:
    """It is neither stopped nor started."""
    async with served(A + C) as site:
        before = mounts_of(site)
        assert await change(site, f"{A}check = true\n{C}limits.total = 3\n") == (
            [],
            [],
            ["/a", "/c"],
        )
        after = mounts_of(site)
        assert before["/a"] is not after["/a"]
        assert before["/c"].child.app is after["/c"].child.app
        assert events() == []


async def test_an_app_at_another_path(folder: Path) -> None:
    """It moves."""
    async with served(A) as site:
        assert await change(site, A.replace('"/a"', '"/z"')) == (["/z"], ["/a"], [])
        assert [await get(site, path) for path in ("/z/", "/a/")] == ["app", "Not Found"]
        assert events() == []


@pytest.mark.parametrize(
    "keys",
    ['args = ["new"]', 'args = ["new"]\nfactory = false', 'env = { NEW = "1" }\nargs = ["new"]'],
)
async def test_a_factory_with_other_arguments(keys: str, folder: Path) -> None:
    """The new app is up before the old one leaves."""
    async with served(C) as site:
        assert await change(site, C.replace("factory = true", keys)) == ([], [], ["/c"])
        assert await get(site, "/c/") == "new"
        assert events() == ["new up", "made down"]


async def test_a_factory_under_another_environment(folder: Path) -> None:
    """It is asked again; other apps are not."""
    async with served(A + C) as site:
        env = 'env = { NEW = "1" }\n'
        assert await change(site, A + env + C + env) == ([], [], ["/c"])
        assert os.environ["NEW"] == "1"
        assert events() == ["made up", "made down"]


async def test_what_left_is_drained_and_stopped(folder: Path) -> None:
    """And takes no new request."""
    async with served(A + B) as site:
        assert await change(site, A) == ([], ["/b"], [])
        assert await get(site, "/b/") == "Not Found"
        assert events() == ["other down"]


async def test_a_commit_that_is_cancelled_while_mounts_drain(folder: Path) -> None:
    """The site is the new one, as its requests are."""
    write(folder, {"hangs.py": HANGS})
    async with served(A + '[[mount]]\npath = "/hangs"\napp = "hangs:app"\n') as site:
        import hangs  # type: ignore[import-not-found]

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(get, site, "/hangs/")
            await until(lambda: hangs.waiting)
            prepared = await site.prepare(config_of(Path(), A + B))
            with anyio.CancelScope() as scope:

                async def end() -> None:
                    await prepared.changed.wait()
                    scope.cancel()
                    hangs.go_on.set()

                task_group.start_soon(end)
                await prepared.commit()
        assert [one.name for one in site.config.mounts] == ["/a", "/b"]
        assert list(mounts_of(site)) == ["/a", "/b"]


HANGS = """
import anyio
waiting = []
go_on = anyio.Event()
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    waiting.append(1)
    await go_on.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""

BAD = {
    "a module that raises": (
        {"boom.py": "import os\nos.environ['LEFT'] = '1'\nraise RuntimeError\n"},
        '[[mount]]\npath = "/x"\napp = "boom:app"\nenv = { NEW = "1" }\n',
        ConfigError,
    ),
    "an app that does not start": (
        {
            "fails.py": "import shop\nclass Fails:\n"
            "    def __call__(self, app): return self\n"
            "    async def __aenter__(self): raise RuntimeError('no')\n"
            "    async def __aexit__(self, *_): pass\n"
            "app = shop.Starlette(lifespan=Fails())\n"
        },
        '[[mount]]\npath = "/x"\napp = "fails:app"\nenv = { NEW = "1" }\n',
        LifespanError,
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_change_that_fails(name: str, folder: Path) -> None:
    """Nothing has changed, and the next one is made."""
    files, text, error = BAD[name]
    write(folder, files)
    async with served(A + C) as site:
        before = mounts_of(site)
        with pytest.raises(error):
            await change(site, B + C.replace("true", 'true\nargs = ["new"]') + text)
        assert mounts_of(site) == before
        assert site.config.mounts[0].path == "/a"
        assert "NEW" not in os.environ
        started = [one for one in events() if one.endswith("up")]
        assert "other up" not in started or name != "a module that raises"
        assert await get(site, "/c/") == "made"
        assert await change(site, A + B) == (["/b"], ["/c"], [])


async def test_a_module_that_was_mended(folder: Path) -> None:
    """It is imported again."""
    write(folder, {"boom.py": "raise RuntimeError\n"})
    text = '[[mount]]\npath = "/x"\napp = "boom:app"\n'
    async with served(A) as site:
        with pytest.raises(ConfigError):
            await change(site, A + text)
        write(folder, {"boom.py": "from shop import other as app  # mended\n"})
        assert await change(site, A + text) == (["/x"], [], [])
        assert await get(site, "/x/") == "other"


async def test_a_conflict(folder: Path) -> None:
    """All problems, though the rules were not checked before."""
    async with served(A) as site:
        config = config_of(Path(), A + B)
        twice = (*config.mounts, config.mounts[1].model_copy(update={"name": "c"}))
        object.__setattr__(config, "mounts", twice)
        with pytest.raises(ConfigError, match="takes exactly the requests of"):
            await site.prepare(config)
        assert list(mounts_of(site)) == ["/a"]


async def test_abort(folder: Path) -> None:
    """What is new is stopped, and the environment is as before."""
    async with served(A) as site:
        prepared = await site.prepare(config_of(Path(), f'{A}{C}env = {{ NEW = "1" }}\n'))
        assert events() == ["made up"]
        await prepared.abort()
        assert events() == ["made down"]
        assert "NEW" not in os.environ
        assert not prepared.changed.is_set()
        assert list(mounts_of(site)) == ["/a"]
        assert await change(site, A + B) == (["/b"], [], [])


async def test_another_change_was_quicker(folder: Path) -> None:
    """The site is what that one has made."""
    async with served(A) as site:
        late = await site.prepare(config_of(Path(), f'{A}check = true\nenv = {{ NEW = "1" }}\n'))
        await change(site, A + "context = true\n")
        with pytest.raises(MountkitError):
            await late.commit()
        assert site.config.mounts[0].context
        assert "NEW" not in os.environ
        assert await change(site, A + B) == (["/b"], [], ["/a"])


async def test_imports_leave_the_loop_alone(folder: Path) -> None:
    """Requests are served meanwhile."""
    write(folder, {"slow.py": "import shop\nshop.waits(60)\nfrom shop import other as app\n"})
    async with served(A) as site:
        import shop

        gate = threading.Event()
        shop.waits = gate.wait
        config = config_of(Path(), A + '[[mount]]\npath = "/slow"\napp = "slow:app"\n')
        async with anyio.create_task_group() as task_group:

            async def make() -> None:
                await (await site.prepare(config)).commit()

            task_group.start_soon(make)
            await until(lambda: "slow" in sys.modules)
            assert await get(site, "/a/") == "app"
            gate.set()
        assert await get(site, "/slow/") == "other"


async def test_shares_of_a_split(folder: Path) -> None:
    """Its apps run on."""
    text = """
    [[mount]]
    path = "/s"
    split.apps.old = { app = "shop:app", weight = 1 }
    split.apps.new = { app = "shop:other", weight = 0 }
    """
    async with served(text) as site:
        assert await get(site, "/s/") == "app"
        swapped = text.replace("1", "x").replace("0", "1").replace("x", "0")
        assert await change(site, swapped) == ([], [], ["/s"])
        assert await get(site, "/s/") == "other"
        assert events() == []


async def test_meters_outlive_their_mounts(folder: Path) -> None:
    """By name."""
    status = '[status]\nlisten = "127.0.0.1:0"\n'
    async with served(status + A) as site:
        await get(site, "/a/")
        meter = site.meters["/a"]
        await change(site, f"{status}{A}check = true\n{B}")
        await get(site, "/a/")
        assert site.meters["/a"] is meter
        assert [row[:2] for row in meter.snapshot()["requests"]] == [["GET", 200]]
        assert set(site.meters) == {"/a", "/b"}


ONE = '[[mount]]\nname = "one"\napp = "shop:app"\nheaders = { a = true }\n'
TWO = '[[mount]]\nname = "two"\napp = "shop:other"\nheaders = { b = true }\n'
BOTH = {"headers": [("a", "1"), ("b", "1")]}


async def test_the_order_of_the_file(folder: Path) -> None:
    """It decides last of all, and as if the site was started with the new file."""
    async with served(ONE + B) as site:
        assert await get(site, "/", **BOTH) == "app"
        assert await change(site, TWO + ONE + B) == (["two"], [], ["one"])
        assert await get(site, "/", **BOTH) == "other"
        assert await change(site, ONE + TWO + B) == ([], [], ["one", "two"])
        assert await get(site, "/", **BOTH) == "app"
        assert await change(site, f"{TWO}{ONE}check = true\n{B}") == ([], [], ["two", "one"])
        assert await get(site, "/", **BOTH) == "other"
        assert events() == []


@pytest.mark.parametrize(
    ("old", "new", "anew"),
    [
        ("/a /b", "/a /x /b", ""),
        ("/{a} /b", "/b /{a}", ""),
        ("/{a}/x /{b}/y", "/{b}/y /{a}/x", ""),
        ("a.com/{a} b.com/{a}", "b.com/{a} a.com/{a}", ""),
        ("/{a:int} /{b:float}", "/{b:float} /{a:int}", "/{a:int} /{b:float}"),
        ("{x}.com/{a:int} {x}.com/{b:float}", "{x}.com/{b:float} {x}.com/{a:int}", "{x}.com/{a:int} {x}.com/{b:float}"),
        ("/{a:int} /{b:float} /c", "/{a:int} /{c:uuid} /{b:float}", "/{b:float}"),
    ],
)  # fmt: skip
def test_who_has_to_come_anew(old: str, new: str, anew: str) -> None:
    """Those between which nothing else may decide."""

    def rules(text: str) -> dict[str, Rule]:
        found = {}
        for name in text.split():
            host, _, path = name.partition("/")
            found[name] = Rule(f"/{path}", host=host or None)
        return found

    assert out_of_order(rules(old), rules(new)) == set(anew.split())


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        (A, A + B, []),
        (A, f"[server]\nport = 1\n{A}", ["[server]"]),
        (f"[status]\nlisten = 'unix:a'\n{A}", A, ["[status]"]),
        (f"{A}env = {{ X = '1' }}", f"{A}env = {{ X = '1', Y = '2' }}", []),
        (f"{A}env = {{ X = '1', Y = '2' }}", f"{A}env = {{ X = '3' }}", ["env.X", "env.Y"]),
    ],
)
def test_what_takes_other_processes(old: str, new: str, reasons: list[str], folder: Path) -> None:
    """Tables of the process, and variables that apps may have read."""
    assert restart_reasons(config_of(Path(), old), config_of(Path(), new)) == reasons
