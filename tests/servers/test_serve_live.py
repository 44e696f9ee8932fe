"""`mountkit serve`: a site that changes while it serves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.serving import APP, Site, is_alive, serve
from tests.support.waiting import wait_until

SERVERS = ["uvicorn", "hypercorn", "granian"]
SITE = """
[server]
port = 0
workers = {workers}
server = "{server}"
[[mount]]
path = "/one"
app = "one:app"
"""
MORE = '\n[[mount]]\npath = "/two"\napp = "two:app"\n'
every_server = pytest.mark.parametrize("server", SERVERS)
workers = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a second app, one that cannot be imported, and one that does not start."""
    (tmp_path / "two.py").write_text(APP.replace('"one"', '"two"'))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "failing.py").write_text(
        "async def app(scope, receive, send):\n    await receive()\n"
        "    raise RuntimeError('no database')\n"
    )
    return tmp_path


def of(workers: int = 1, server: str = "uvicorn") -> str:
    return SITE.format(workers=workers, server=server)


@contextmanager
def load(site: Site, path: str = "/one/") -> Iterator[Counter[str]]:
    """Clients that ask without a pause, each request on a connection of its own; what they got:
    nothing but 200 is right."""
    seen: Counter[str] = Counter()
    is_over = threading.Event()
    url = f"{site.url}{path}"

    def ask() -> None:
        while not is_over.is_set():
            try:
                seen[str(httpx.get(url, timeout=30).status_code)] += 1
            except httpx.HTTPError as exc:
                seen[repr(exc)] += 1

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: seen.total() > 0)
        yield seen
        before = seen.total()
        wait_until(lambda: seen.total() >= before + 4)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@workers
@every_server
def test_a_changed_file_is_one_change(folder: Path, server: str, workers: int) -> None:
    """What is the same runs on: requests in flight and websockets too, in the same processes."""
    with serve(folder, of(workers, server)) as site:
        pids = site.workers
        with (
            load(site) as seen,
            connect(f"ws://127.0.0.1:{site.port}/one/ws") as ws,
            httpx.stream("GET", f"{site.url}/one/stream?n=30", timeout=30) as response,
        ):
            ws.send("a")
            assert ws.recv() == "one a"
            site.reload(of(workers, server) + MORE)
            site.says("Generation 2 is served: added /two")
            assert site.get("/two/").text.startswith("two ")
            ws.send("b")
            assert ws.recv() == "one b"
            assert [*response.iter_lines()][-2] == "29"
        assert [*seen] == ["200"]
        assert site.workers == pids
        assert site.output.count("lifespan one startup") == workers
        assert site.output.count("lifespan two startup") == workers


@workers
def test_what_has_left_is_drained(folder: Path, workers: int) -> None:
    """Its streams go on; the next change does not wait for them."""
    text = of(workers)
    with serve(folder, text + MORE) as site:
        with httpx.stream("GET", f"{site.url}/two/stream?n=100", timeout=30) as response:
            site.reload(text)
            site.says("Generation 2 is served: removed /two")
            assert site.get("/two/").status_code == 404
            site.reload(text + MORE.replace("/two", "/three").replace("two:", "one:"))
            site.says("Generation 3 is served: added /three")
            assert [*response.iter_lines()][-2] == "99"
        site.says("lifespan two shutdown", workers)


REFUSALS = {
    "syntax": ("[server", "mountkit.toml:1: "),
    "key": (of() + 'colour = "red"\n', "mountkit.toml:9: "),
    "conflict": (of() + MORE.replace("/two", "/one"), "mountkit.toml:"),
    "app": (of() + MORE.replace("two:app", "three:app"), "'three'"),
    "import": (of() + MORE.replace("two:app", "broken:app"), "ZeroDivisionError"),
    "startup": (of() + MORE.replace("two:app", "failing:app"), "no database"),
    "address": (of().replace("[server]", '[server]\nhost = "192.0.2.1"'), "192.0.2.1"),
    "restart": (
        of().replace("[server]", '[server]\nroot_path = "/x"').replace("one:app", "broken:app"),
        "ZeroDivisionError",
    ),
    "more workers": (of(2).replace("one:app", "broken:app"), "ZeroDivisionError"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_file_changes_nothing(folder: Path, text: str, reason: str) -> None:
    """The log says why; the file of before is no failure any more."""
    with serve(folder, of(), "--status", "0") as site:
        pids = site.workers
        site.reload(text)
        site.says("Not changed; the site runs as before.")
        wait_until(lambda: reason in site.output)
        assert site.get("/one/").status_code == 200
        wait_until(lambda: not reload_of(site)["ok"])
        assert reason in reload_of(site)["error"]
        site.reload(of())
        site.says("Nothing has changed")
        wait_until(lambda: reload_of(site)["ok"])
        wait_until(lambda: site.workers == pids)


def reload_of(site: Site) -> Any:
    """What the page says of the last change."""
    headers = {"accept": "application/json"}
    return httpx.get(site.page, headers=headers, timeout=30).json()["reload"]


def test_one_worker_that_refuses_is_enough(folder: Path) -> None:
    """The others take back what they have prepared."""
    (folder / "picky.py").write_text(
        "import os\nfrom pathlib import Path\n\nfrom two import app\n\n"
        "path = Path('first')\n"
        "try:\n    path.touch(exist_ok=False)\n"
        "except FileExistsError:\n    raise RuntimeError('I am the second') from None\n"
    )
    with serve(folder, of(2)) as site:
        site.reload(of(2) + MORE.replace("two:app", "picky:app"))
        site.says("RuntimeError at picky.py:10")
        site.says("lifespan two shutdown")
        assert {site.get("/two/").status_code for _ in range(10)} == {404}


def test_the_last_of_many_changes_wins(folder: Path) -> None:
    """Signals that come during a change are one more change."""
    with serve(folder, of()) as site:
        for number in range(20):
            site.reload(of() + MORE.replace("/two", f"/two{number}"))
        wait_until(lambda: site.get("/two19/").status_code == 200)
        assert site.get("/two18/").status_code == 404


@workers
@every_server
def test_new_code_is_a_rolling_restart(folder: Path, server: str, workers: int) -> None:
    """No request is lost, and a stream is whole; a websocket may be closed."""
    with serve(folder, of(workers, server)) as site:
        pids = site.workers
        (folder / "one.py").write_text(APP.replace('"one"', '"new"'))
        with load(site) as seen:
            with httpx.stream("GET", f"{site.url}/one/stream?n=100", timeout=30) as response:
                site.send(signal.SIGUSR2)
                site.says("served by new workers (code)")
                assert [*response.iter_lines()][-2] == "99"
            wait_until(lambda: set(pids).isdisjoint(site.workers))
        if server == "granian":  # closes connections without a request that it has just accepted
            breaks = ("Server disconnected", "reset by peer")
            lost = [what for what in seen.elements() if any(one in what for one in breaks)]
            assert len(lost) <= 2 * workers  # one of each client, for each worker that ends
            seen -= Counter(lost)
        assert [*seen] == ["200"]
        assert len(site.workers) == workers
        assert site.get("/one/").text.startswith("new ")


@workers
def test_new_code_that_is_broken_leaves_the_old(folder: Path, workers: int) -> None:
    """All of it."""
    with serve(folder, of(workers)) as site:
        pids = site.workers
        (folder / "one.py").write_text("1 / 0\n")
        site.send(signal.SIGUSR2)
        site.says("Not changed")
        assert "ZeroDivisionError" in site.output
        wait_until(lambda: site.workers == pids)
        assert site.get("/one/").text.startswith("one ")


def test_other_options_are_a_rolling_restart(folder: Path) -> None:
    """Here on another port as well; nobody listens on the old one any more."""
    with serve(folder, of()) as site:
        old = site.url
        site.reload(of().replace("port = 0", 'port = 0\nhost = "localhost"\nroot_path = "/x"'))
        site.says("served by new workers ([server])")
        wait_until(lambda: len(site.workers) == 1)
        with pytest.raises(httpx.ConnectError):
            httpx.get(old)


def test_the_number_of_workers_changes(folder: Path) -> None:
    """More are started, or the last ones stopped; the first runs on."""
    with serve(folder, of(1)) as site:
        [first] = site.workers
        site.reload(of(3))
        site.says("Worker 3")
        site.says("Generation 2 is served: the mounts are the same")
        assert len(site.workers) == 3
        site.reload(of(1) + MORE)
        site.says("Generation 3 is served: added /two")
        wait_until(lambda: site.workers == [first])


def test_a_worker_that_is_started_again_has_the_new_text(folder: Path) -> None:
    """Whether it died before, during or after the change."""
    with serve(folder, of(2)) as site:
        for number in range(4):
            os.kill(site.workers[0], signal.SIGKILL)
            site.reload(of(2) + MORE.replace("/two", f"/two{number}"))
            wait_until(lambda: len(re.findall("Not changed|is served:", site.output)) > number)  # noqa: B023
        site.reload()
        wait_until(lambda: len(site.workers) == 2)
        wait_until(lambda: {site.get("/two3/").status_code for _ in range(10)} == {200})


def test_a_changed_file_heals_a_worker_that_cannot_start(folder: Path) -> None:
    """It need not wait for the end of its pause."""
    with serve(folder, of()) as site:
        (folder / "one.py").write_text("1 / 0\n")
        os.kill(site.workers[0], signal.SIGKILL)
        site.says("another is started in 1 second")
        site.reload(of().replace("one:app", "two:app"))
        wait_until(lambda: len(site.workers) == 1)
        site.says("is ready.", 2)
        assert site.get("/one/").text.startswith("two ")


def rename(path: Path, text: str) -> None:
    """As vim and most editors save."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def gone(path: Path, text: str) -> None:
    """It is not there for a moment."""
    path.unlink()
    threading.Event().wait(0.3)
    path.write_text(text)


def swap(path: Path, text: str) -> None:
    """As Kubernetes swaps the folder of a ConfigMap: `..data` is a link to a folder."""
    new = Path(f"..{abs(hash(text))}")
    folder = path.parent
    (folder / new).mkdir()
    (folder / new / path.name).write_text(text)
    (folder / "..tmp").symlink_to(new)
    (folder / "..tmp").rename(folder / "..data")
    if not path.is_symlink():
        path.unlink()
        path.symlink_to(Path("..data") / path.name)


WAITING = """
import asyncio, os
from pathlib import Path


async def app(scope, receive, send):
    await receive()
    print("waiting", flush=True)
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    if {once}:
        try:
            Path("first").touch(exist_ok=False)
        except FileExistsError:
            raise RuntimeError("I am the second") from None
    await send({{"type": "lifespan.startup.complete"}})
    await receive()
    await send({{"type": "lifespan.shutdown.complete"}})
"""


@pytest.mark.parametrize("once", [False, True], ids=["starts", "does not start"])
def test_a_worker_that_comes_up_during_a_change(folder: Path, once: bool) -> None:
    """It has the text of before, and is replaced at once; later, if that cannot be."""
    (folder / "waiting.py").write_text(WAITING.format(once=once))
    (folder / "late.py").write_text(
        "import time\nfrom pathlib import Path\nfrom one import app\n\n"
        "while Path('stop').exists():\n    time.sleep(0.02)\n"
    )
    text = of(2).replace("one:app", "late:app")
    with serve(folder, text) as site:
        (folder / "stop").touch()
        os.kill(site.workers[1], signal.SIGKILL)
        site.says("another is started now")
        site.reload(text + MORE.replace("two:app", "waiting:app"))
        site.says("waiting")
        (folder / "stop").unlink()
        site.says("is ready.", 3)
        (folder / "go").touch()
        site.says("Generation 2 is served: added /two")
        if once:
            site.says("I am the second")
            site.says("another is started")
            (folder / "first").unlink()
        site.says("is ready.", 4)
        assert {site.get("/two/").status_code for _ in range(10)} != {404}
        wait_until(lambda: len(site.workers) == 2)


def test_a_worker_that_cannot_commit(folder: Path) -> None:
    """Here because an app has changed the site meanwhile: another takes its place."""
    (folder / "waiting.py").write_text(WAITING.format(once=False))
    (folder / "meddling.py").write_text(
        "async def app(scope, receive, send):\n"
        "    router = scope['mountkit.site'][0]\n"
        "    await router.remove(router.routes[-1])\n"
        "    await send({'type': 'http.response.start', 'status': 204, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b''})\n"
    )
    text = of().replace("one:app", "meddling:app")
    with serve(folder, text + MORE) as site:
        site.reload(text + MORE.replace("/two", "/three").replace("two:app", "waiting:app"))
        site.says("waiting")
        assert site.get("/one/").status_code == 204
        (folder / "go").touch()
        site.says("has not changed: ")
        site.says("is ready.", 2)
        wait_until(lambda: len(site.workers) == 1)
        assert site.get("/two/").status_code == 404


SAVES = {"in place": Path.write_text, "rename": rename, "gone": gone, "link": swap}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_watched_file(folder: Path, save: Any) -> None:
    """Every way to save works, more than once; the same content is no change."""
    with serve(folder, of(), "--watch") as site:
        path = folder / "mountkit.toml"
        for number in (2, 3, 4):
            save(path, of() + MORE.replace("/two", f"/two{number}"))
            site.says(f"Generation {number} is served")
            assert site.get(f"/two{number}/").status_code == 200
        os.utime(path)
        save(path, of() + 'colour = "red"')
        site.says("Not changed")
        save(path, of())
        site.says("Generation 5 is served")


def test_files_that_are_included_are_watched(folder: Path) -> None:
    """Those that appear, change and go."""
    main = 'include = "sites/*.toml"\n' + of().replace("port = 0", "port = 0\nwatch = true")
    with serve(folder, main) as site:
        site.write(MORE, "sites/two.toml")
        site.says("added /two")
        site.write(MORE.replace("/two", "/three"), "sites/two.toml")
        site.says("added /three; removed /two")
        (folder / "sites" / "two.toml").unlink()
        site.says("removed /three")
        shutil.rmtree(folder / "sites")
        site.write(MORE, "sites/two.toml")
        site.says("added /two", 2)
        site.write(of())
        site.says("Generation 6 is served")


def test_reload_follows_the_code(folder: Path) -> None:
    """A broken edit says so, and the old code serves on."""
    with serve(folder, of(), "--reload") as site:
        site.write(APP.replace('"one"', '"new"'), "one.py")
        site.says("served by new workers (code)")
        assert site.get("/one/").text.startswith("new ")
        site.write("1 / 0\n", "one.py")
        site.says("ZeroDivisionError")
        site.says("Not changed")
        assert site.get("/one/").text.startswith("new ")
        site.write(APP, "one.py")
        site.says("served by new workers (code)", 2)
        assert site.get("/one/").text.startswith("one ")
        site.reload(of() + MORE)
        site.says("added /two")


def test_a_renewed_certificate(folder: Path) -> None:
    """New connections get it; the file has not changed."""
    certificate(folder, "first.example")
    text = of().replace("[server]", '[server]\ntls = {cert = "cert.pem", key = "key.pem"}')
    with serve(folder, text) as site:
        assert "first.example" in name_of(site)
        certificate(folder, "second.example")
        site.reload()
        site.says("served by new workers (the certificate)")
        wait_until(lambda: "second.example" in name_of(site))


@pytest.mark.parametrize("server", ["hypercorn", "granian"])
def test_tls_of_others(folder: Path, server: str) -> None:
    """With the same keys."""
    certificate(folder, "first.example")
    tls = '[server]\ntls = {cert = "cert.pem", key = "key.pem"}'
    with serve(folder, of(server=server).replace("[server]", tls)) as site:
        assert "first.example" in name_of(site)


def certificate(folder: Path, name: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem",
         "-out", "cert.pem", "-days", "2", "-subj", f"/CN={name}"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def name_of(site: Site) -> str:
    """What the server's certificate is for."""
    pem = ssl.get_server_certificate(("127.0.0.1", site.port))
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"],
        input=pem,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_last_worker_is_killed_while_it_changes(folder: Path) -> None:
    """An app that ends its process is a refusal; the worker comes back with what was served."""
    (folder / "ending.py").write_text("import os\n\nos._exit(7)\n")
    with serve(folder, of()) as site:
        site.reload(of() + MORE.replace("two:app", "ending:app"))
        site.says("Not changed")
        site.says("is ready.", 2)
        assert site.get("/one/").status_code == 200


def test_old_workers_end(folder: Path) -> None:
    """After the drain timeout, even if a stream goes on; and at once when the site ends."""
    text = of().replace("[server]", "[server]\ndrain_timeout = 0.5")
    with serve(folder, text) as site:
        [old] = site.workers
        with httpx.stream("GET", f"{site.url}/one/stream?n=100000", timeout=30) as response:
            site.send(signal.SIGUSR2)
            site.says("served by new workers")
            wait_until(lambda: not is_alive(old))
            with pytest.raises(httpx.RemoteProtocolError):
                [*response.iter_lines()]
    text = of().replace("[server]", "[server]\ngrace = 0.5")
    with serve(folder, text) as site:
        [old] = site.workers
        with httpx.stream("GET", f"{site.url}/one/stream?n=100000", timeout=30):
            site.send(signal.SIGUSR2)
            site.says("served by new workers")
            assert site.end() == 0
        assert re.search("lifespan one shutdown.*\n(.*\n)*.*lifespan one shutdown", site.output)


def test_a_websocket_at_a_rolling_restart(folder: Path) -> None:
    """uvicorn closes it with 1012; the client connects again, to the new worker."""
    with serve(folder, of()) as site:
        [old] = site.workers
        with connect(f"ws://127.0.0.1:{site.port}/one/ws") as ws:
            site.send(signal.SIGUSR2)
            with pytest.raises(ConnectionClosed) as caught:
                ws.recv(timeout=60)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        assert old not in site.workers or len(site.workers) == 2
        with connect(f"ws://127.0.0.1:{site.port}/one/ws") as ws:
            ws.send("a")
            assert ws.recv() == "one a"


def test_what_goes_wrong_in_the_parent_ends_nothing(folder: Path) -> None:
    """Whatever it is: here the file is a folder, which is an error of the system."""
    with serve(folder, of()) as site:
        path = folder / "mountkit.toml"
        path.rename(folder / "old.toml")
        path.mkdir()
        site.reload()
        site.says("Not changed")
        assert site.get("/one/").status_code == 200
