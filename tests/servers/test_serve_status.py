"""`mountkit serve`: the page, metrics and the log, over all workers; systemd."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.serving import Site, serve, start
from tests.support.waiting import wait_until

SITE = """
[server]
port = 0
workers = 2
[status]
listen = "127.0.0.1:0"
[metrics]
[[mount]]
path = "/one"
app = "one:app"
"""
JSON = {"accept": "application/json"}


def snapshot(site: Site) -> Any:
    return httpx.get(site.page, headers=JSON, timeout=30).json()


def mount(site: Site) -> Any:
    """What the page says of the one mount."""
    [found] = snapshot(site)["mounts"]
    return found


def test_all_workers_are_one_site(tmp_path: Path) -> None:
    """Counters are sums; those of workers that have left stay."""
    with serve(tmp_path, SITE) as site:
        for _ in range(20):
            site.get("/one/")
        wait_until(lambda: mount(site)["answered"].get("2xx") == 20)
        found = snapshot(site)
        assert [one["pid"] for one in found["workers"]] == site.workers
        assert {one["state"] for one in found["workers"]} == {"serving"}
        site.send(signal.SIGUSR2)
        site.says("served by new workers")
        wait_until(lambda: len(site.workers) == 2)
        wait_until(lambda: mount(site)["answered"].get("2xx") == 20)
        site.get("/one/")
        wait_until(lambda: mount(site)["answered"]["2xx"] == 21)
        assert {one["generation"] for one in snapshot(site)["workers"]} == {2}
        assert snapshot(site)["generation"] == 2


def test_a_worker_that_is_killed_leaves_its_counters(tmp_path: Path) -> None:
    """Those that it said last; the page says that it is gone."""
    with serve(tmp_path, SITE, "--workers", "1") as site:
        for _ in range(3):
            site.get("/one/")
        wait_until(lambda: mount(site)["answered"].get("2xx") == 3)
        (tmp_path / "one.py").rename(tmp_path / "away.py")
        os.kill(site.workers[0], signal.SIGKILL)
        wait_until(lambda: snapshot(site)["workers"][0]["state"] == "gone")
        asked = httpx.get(f"{site.page}/explain", params={"url": "/one/x"}, headers=JSON)
        assert "No worker is up to answer" in asked.text
        wait_until(lambda: mount(site)["answered"].get("2xx") == 3)
        (tmp_path / "away.py").rename(tmp_path / "one.py")
        site.reload(SITE + "# healed\n")
        wait_until(lambda: snapshot(site)["workers"][0]["state"] == "serving")
        wait_until(lambda: mount(site)["answered"].get("2xx") == 3)


def test_a_worker_that_does_not_answer(tmp_path: Path) -> None:
    """It counts with its last answer; the page does not wait for it."""
    (tmp_path / "one.py").write_text(
        "import time\n\n\nasync def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n        print(' busy', flush=True)\n        time.sleep(60)\n"
    )
    with (
        serve(tmp_path, SITE, "--workers", "1") as site,
        socket.create_connection(("127.0.0.1", site.port)) as client,
    ):
        assert mount(site)["in_flight"] == 0
        client.sendall(b"GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: " busy" in site.output)
        wait_until(lambda: snapshot(site)["workers"][0]["state"] == "silent")
        assert "does not answer." in httpx.get(site.page, timeout=30).text
        assert mount(site)["answered"] == {}
        os.kill(site.workers[0], signal.SIGKILL)


def test_the_page_tells_who_takes_a_url(tmp_path: Path) -> None:
    """As one of the workers says."""
    with serve(tmp_path, SITE) as site:
        url = f"{site.page}/explain"
        found = httpx.get(url, params={"url": "/one/x"}, headers=JSON, timeout=30).json()
        assert "/one" in json.dumps(found)
        wrong = httpx.get(url, params={"url": "ftp//x"}, headers=JSON, timeout=30)
        assert wrong.status_code == 400


def test_the_page_is_for_this_machine(tmp_path: Path) -> None:
    """Names that others make lead here, and pages of other sites, get nothing."""
    with serve(tmp_path, SITE) as site:
        assert httpx.get(site.page, headers={"host": "evil.example"}).status_code == 421
        assert httpx.get(site.page, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert httpx.post(site.page).status_code == 405
        assert (
            httpx.get(f"{site.page}/metrics", headers={"host": "evil.example"}).status_code == 421
        )


def test_metrics_over_all_workers(tmp_path: Path) -> None:
    """With the last change of the file."""
    with serve(tmp_path, SITE) as site:
        for _ in range(10):
            site.get("/one/")
        text = httpx.get(f"{site.page}/metrics", timeout=30).text
        assert "mountkit_config_last_reload_successful 1.0" in text
        [count] = [
            line
            for line in text.splitlines()
            if line.startswith("http_server_request_duration_seconds_count")
        ]
        assert count.endswith(" 10.0")


def test_the_page_comes_and_goes(tmp_path: Path) -> None:
    """With the file; metrics too."""
    text = SITE.replace("[metrics]\n", "")
    with serve(tmp_path, text) as site:
        assert httpx.get(f"{site.page}/metrics", timeout=30).status_code == 404
        site.reload(SITE)
        site.says("served by new workers ([metrics])")
        assert httpx.get(f"{site.page}/metrics", timeout=30).status_code == 200
        old = site.page
        site.reload(SITE.replace("127.0.0.1:0", "[::1]:0"))
        site.says("Status page on http://[::1]:")
        site.says("served by new workers ([status])")
        with pytest.raises(httpx.ConnectError):
            httpx.get(old)
        site.reload(SITE.replace("127.0.0.1:0", "0.0.0.0:0"))
        site.says("is not on a loopback address")
        site.reload(SITE.replace("127.0.0.1:0", "nowhere"))
        site.says("'nowhere' is not an address")


def test_a_private_socket(tmp_path: Path) -> None:
    """Only its owner can connect."""
    path = tmp_path / "page.sock"
    with serve(tmp_path, SITE.replace("127.0.0.1:0", f"unix:{path}")) as site:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://any/", headers=JSON).status_code == 200
        assert site.end() == 0
    assert not path.exists()


GUARD = """
class Guard:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if (b"x-key", b"secret") in scope["headers"]:
            return await self.app(scope, receive, send)
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Bad:
    def __init__(self): ...


class Raises:
    def __init__(self, app):
        raise ValueError("oh no")
"""


def test_the_page_on_a_path_of_the_site(tmp_path: Path) -> None:
    """Behind the guard of the file; it shows all workers."""
    (tmp_path / "guards.py").write_text(GUARD)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    text = SITE.replace('listen = "127.0.0.1:0"', 'path = "/-"\nguard = "guards:Guard"').replace(
        "[metrics]\n", ""
    )
    with serve(tmp_path, text) as site:
        assert site.get("/-/").status_code == 401
        assert "(mountkit.toml, [status])" in site.output
        key = {"x-key": "secret"}
        found = site.get("/-/", headers=JSON | key).json()
        assert [one["pid"] for one in found["workers"]] == site.workers
        found = site.get("/-/explain?url=/one/x", headers=JSON | key)
        assert found.status_code == 200
        assert site.get("/-/explain?url=ftp//x", headers=JSON | key).status_code == 400
        for name, reason in {"Gone": "'Gone'", "Bad": "TypeError: ", "Raises": "oh no"}.items():
            site.reload(text.replace("guards:Guard", f"guards:{name}"))
            site.says(reason)
            assert site.get("/-/").status_code == 401
        site.says("That is the guard of [status] in mountkit.toml.")
        site.reload(text.replace("guards:Guard", "broken:Guard"))
        site.says("ZeroDivisionError: division by zero")
        assert site.get("/-/").status_code == 401


def test_the_listener_of_the_page_has_no_websockets(tmp_path: Path) -> None:
    """A handshake is an ordinary request to it, and no error."""
    headers = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with serve(tmp_path, SITE) as site:
        assert httpx.get(site.page + "/", headers=headers, timeout=30).status_code == 200
        assert "ERROR" not in site.output


def test_the_log_as_json(tmp_path: Path) -> None:
    """Each line says its process; requests say their mount."""
    text = SITE.replace("[status]", '[server.log]\nformat = "json"\nlevel = "info"\n[status]')
    (tmp_path / "one.py").write_text(
        "import logging\n\n\nasync def app(scope, receive, send):\n"
        "    logging.getLogger('mine').warning('hello')\n    raise RuntimeError('oh')\n"
    )
    with serve(tmp_path, text) as site:
        site.get("/one/", headers={"host": "example.com"})
        site.end()
        lines = [json.loads(line) for line in site.output.splitlines()]
    requests = [line for line in lines if line["logger"] == "uvicorn.access"]
    assert [(line["mount"], line["host"]) for line in requests] == [("/one", "example.com")]
    assert requests[0]["process"].startswith("worker ")
    assert {line["level"] for line in lines if line["logger"] == "mine"} == {"warning"}
    assert any("RuntimeError: oh" in line.get("error", "") for line in lines)


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"])
def test_the_log_of_requests(tmp_path: Path, server: str) -> None:
    """It can be off."""
    with serve(tmp_path, SITE, "--server", server) as site:
        site.get("/one/")
        site.says('"GET /one/ ')
        site.says("[/one]")
        site.reload(SITE.replace("[status]", "[server.log]\naccess = false\n[status]"))
        site.says("served by new workers")
        wait_until(lambda: len(site.workers) == 2)
        site.get("/one/")
        site.end()
        assert site.output.count('"GET /one/') == 1


#: Opens a socket as systemd does, and starts the command with it.
ACTIVATED = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "mountkit", "serve"])
"""


def test_a_socket_of_systemd(tmp_path: Path) -> None:
    """It goes before host and port; systemd hears when the site is ready, changes and ends."""
    path = tmp_path / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(60)
        env = {"NOTIFY_SOCKET": str(path)}
        with start(tmp_path, SITE, env=env, program=["-c", ACTIVATED]) as site:
            assert systemd.recv(1000) == b"READY=1"
            site.says("Stop: Ctrl-C")
            assert site.get("/one/").status_code == 200
            url = site.url
            site.reload(SITE.replace("port = 0", "port = 1\nroot_path = '/x'"))
            assert systemd.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert systemd.recv(1000) == b"READY=1"
            assert httpx.get(f"{url}/one/").status_code == 200
            assert site.end() == 0
            assert systemd.recv(1000) == b"STOPPING=1"


#: Opens a terminal, which becomes that of its session, and starts the command.
IN_TERMINAL = """
import os, signal, sys
os.open(os.environ["TERMINAL"], os.O_RDWR)
signal.signal(signal.SIGHUP, signal.SIG_IGN if "NOHUP" in os.environ else signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "mountkit", "serve"])
"""


@pytest.mark.parametrize("nohup", [False, True], ids=["stops", "nohup"])
def test_the_end_of_the_terminal(tmp_path: Path, nohup: bool) -> None:
    """It sends SIGHUP, too: then the site stops. With `nohup` it is served on."""
    master, slave = pty.openpty()
    env = {"TERMINAL": os.ttyname(slave)} | ({"NOHUP": "1"} if nohup else {})
    with start(tmp_path, SITE, env=env, program=["-c", IN_TERMINAL]) as site:
        site.says("Stop: Ctrl-C")
        os.close(slave)
        os.close(master)
        if nohup:
            site.says("Nothing has changed")
        assert site.end(signal.SIGTERM if nohup else None) == 0
        assert ("its terminal is gone" in site.output) is not nohup


def test_process_1(tmp_path: Path) -> None:
    """As in a container."""
    namespace = ["unshare", "--pid", "--fork", "--mount-proc"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*namespace, "true"], check=False).returncode
    ):
        pytest.skip("There are no namespaces for processes here.")
    command = [*namespace, sys.executable, "-m", "mountkit", "serve"]
    program = ["-c", f"import os; os.execvp('unshare', {command})"]
    with start(tmp_path, SITE, program=program) as site:
        site.says("parent (1): Serving on")
        [parent] = site.workers  # the child of `unshare`
        os.kill(parent, signal.SIGHUP)
        site.says("Nothing has changed")
        os.kill(parent, signal.SIGTERM)
        assert site.end(None) == 0
        assert site.output.count("lifespan one shutdown") == 2
