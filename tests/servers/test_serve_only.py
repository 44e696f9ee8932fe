"""`mountkit serve --only` and `--upstream`: parts of a site in processes of their own."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.serving import APP, Site, serve
from tests.support.waiting import wait_until

SITE = """
[server]
port = 0
trusted = ["unix"]
workers = {workers}
[[mount]]
path = "/one"
app = "one:app"
[[mount]]
path = "/one/two"
app = "two:app"
{more}
[default]
app = "not_there:app"
"""
#: Of another machine: nothing of it is there.
OTHER = """
[[mount]]
path = "/one/old"
app = "not_there:app"
env = {{ PASSWORD = "${{PASSWORD}}" }}
methods = ["{method}"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "two.py").write_text(APP.replace('"one"', '"two"'))
    return tmp_path


def of(method: str = "GET", workers: int = 1) -> str:
    return SITE.format(workers=workers, more=OTHER.format(method=method))


def statuses(site: Site, *paths: str) -> list[int]:
    return [site.get(path).status_code for path in paths]


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"])
def test_one_mount(folder: Path, server: str) -> None:
    """It has the scope that it has in the whole site; the others are neither imported nor
    started."""
    with serve(folder, of(), "--only", "/one", "--server", server) as site:
        name, _, root_path = site.get("/one/x").text.split()
        assert (name, root_path) == ("one", "/one")
        assert statuses(site, "/one/two", "/one/old", "/one/older", "/") == [404, 404, 200, 404]
        assert "lifespan two" not in site.output
        assert "  /one -> one:app\n" in site.output
        assert "  and 3 that are served elsewhere\n" in site.output


def test_several_in_several_workers(folder: Path) -> None:
    """With the status page, which tells who would take the others' requests."""
    options = ["--only", "/one", "--only", "/one/two", "--status", "0"]
    with serve(folder, of(workers=2), *options) as site:
        assert [site.get(path).text.split()[0] for path in ("/one", "/one/two")] == ["one", "two"]
        found = httpx.get(site.page, headers={"accept": "application/json"}).json()
        names = [mount["name"] for mount in found["mounts"]]
        assert names == ["/one", "/one/two", "/one/old", "default"]
        assert len(found["workers"]) == 2


def test_a_changed_file(folder: Path) -> None:
    """The conditions of the others change, and what is served goes on; it cannot leave, nor can
    the mount that is named."""
    with serve(folder, of(), "--only", "/one") as site:
        with connect(f"ws://127.0.0.1:{site.port}/one/ws") as ws:
            site.reload(of("PUT"))
            site.says("Generation 2 is served: replaced /one/old")
            assert statuses(site, "/one/old") == [200]
            site.reload(of("PUT").replace('path = "/one"', 'path = "/1"'))
            site.says("Not changed; the site runs as before.")
            site.says("'/one' is not a mount of this app")
            site.reload(of("PUT").replace("not_there:app", "nor_there:app"))
            site.says("Generation 3 is served: the mounts are the same")
            ws.send("a")
            assert ws.recv() == "one a"
        pids = site.workers
        site.send(signal.SIGUSR2)
        site.says("Generation 4 is served by new workers")
        wait_until(lambda: not set(pids) & set(site.workers))
        assert statuses(site, "/one/", "/one/two") == [200, 404]


@pytest.mark.parametrize(
    ("prefix", "prefix_behind"),
    [("", ""), ("/site", "/site"), ("/site", "")],
    ids=["no prefix", "in the file", "in front"],
)
def test_in_front_of_others(folder: Path, prefix: str, prefix_behind: str) -> None:
    """One process passes a mount on to another, which was started with the same file; a proxy in
    front of both may have stripped a prefix, which is told to both, or to the first."""
    behind, front = folder / "behind", folder / "front"
    with ExitStack() as stack:
        sites = []
        socket = f"{folder}/two=.sock"
        for place, options in (
            (behind, ["--only", "/one/two", "--unix-socket", socket]),
            (front, ["--only", "/one", "--upstream", f"/one/two=unix:{socket}"]),
        ):
            place.mkdir()
            app = "two" if place == behind else "one"
            (place / f"{app}.py").write_text(APP.replace('"one"', f'"{app}"'))
            own = prefix_behind if place == behind else prefix
            text = of().replace("port = 0", f"port = 0\nroot_path = '{own}'")
            sites.append(stack.enter_context(serve(place, text, *options)))
        name, pid, root_path = sites[1].get("/one/two/x").text.split()
        assert (name, root_path) == ("two", f"{prefix}/one/two")
        assert int(pid) in sites[0].workers
        assert sites[1].get("/one/x").text.split()[0] == "one"
        with connect(f"ws://127.0.0.1:{sites[1].port}/one/two/ws") as ws:
            ws.send("a")
            assert ws.recv() == "two a"
        assert sites[0].end() == 0
        assert statuses(sites[1], "/one/two/x", "/one/x") == [503, 200]
