"""`mountkit serve`: from its start to its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.programs import is_alive
from tests.support.serving import ended_within, serve, start
from tests.support.waiting import wait_until

SERVERS = ["uvicorn", "hypercorn", "granian"]
SITE = """
[server]
port = 0
grace = 5
[[mount]]
path = "/one"
app = "one:app"
"""
WSGI = """
import time


def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        print("it hangs", flush=True)
        time.sleep(60)
    start_response("200 OK", [])
    return [b"wsgi"]
"""
every_server = pytest.mark.parametrize("server", SERVERS)


def of(text: str = SITE, **keys: Any) -> str:
    """The site with other keys of `[server]`."""
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
    return text.replace("[server]\n", f"[server]\n{lines}")


@every_server
def test_a_site_is_served_and_stopped(tmp_path: Path, server: str) -> None:
    """With its lifespan, and without an error."""
    with serve(tmp_path, of(server=server)) as site:
        assert site.get("/one/").text.startswith("one ")
        assert site.get("/two/").status_code == 404
        assert site.end() == 0
        assert "lifespan one startup" in site.output
        assert "lifespan one shutdown" in site.output
        assert "Traceback" not in site.output
        assert "ERROR" not in site.output


def test_proxies_that_are_trusted(tmp_path: Path) -> None:
    """What they say is applied; of others it is not."""
    for trusted, prefix in {"127.0.0.1": "/outer/one", "10.0.0.1": "/one"}.items():
        with serve(tmp_path, of(trusted=[trusted])) as site:
            answer = site.get("/one/", headers={"x-forwarded-prefix": "/outer"})
            assert answer.text.split()[-1] == prefix


def test_an_app_is_served_without_a_file(tmp_path: Path) -> None:
    """As by a server's own command; options are those of `[server]`."""
    with serve(tmp_path, None, "one:app", "--port", "0", "--root-path", "/below") as site:
        assert site.get("/").text.endswith(" /below")


def test_a_factory_is_served(tmp_path: Path) -> None:
    """It is called first."""
    (tmp_path / "made.py").write_text("def make():\n    import one\n    return one.app\n")
    with serve(tmp_path, None, "made:make", "--factory", "--port", "0") as site:
        assert site.get("/").text.startswith("one ")


@every_server
def test_requests_in_flight_end_first(tmp_path: Path, server: str) -> None:
    """A stream that began before the signal is whole; new connections are refused meanwhile."""
    with serve(tmp_path, of(server=server)) as site:
        url = site.url
        with httpx.stream("GET", f"{url}/one/stream?n=50", timeout=20) as response:
            lines = response.iter_lines()
            assert next(lines) == "0"
            site.send(signal.SIGTERM)
            site.says("Stopping")
            assert [*lines][-2] == "49"
        assert site.end(None) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


@pytest.mark.slow
@every_server
def test_a_request_that_takes_too_long_is_cut_off(tmp_path: Path, server: str) -> None:
    """After the grace of the file; the command ends within two seconds of it."""
    with serve(tmp_path, of(server=server).replace("grace = 5", "grace = 1")) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(b"GET /one/stream?n=100000 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100)
            site.send(signal.SIGTERM)
            assert ended_within(site, 15)
        assert site.process.returncode == 0


@pytest.mark.slow
@every_server
def test_a_wsgi_thread_that_hangs_is_left(tmp_path: Path, server: str) -> None:
    """The log says where it hangs."""
    (tmp_path / "old.py").write_text(WSGI)
    text = of(server=server).replace("one:app", "old:app").replace("grace = 5", "grace = 1")
    with serve(tmp_path, text) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(b"GET /one/hang HTTP/1.1\r\nHost: a\r\n\r\n")
            site.says("it hangs")
            [worker] = site.workers
            site.send(signal.SIGTERM)
            assert ended_within(site, 15)
        assert site.process.returncode == 0
        assert "time.sleep(60)" in site.output
        assert not is_alive(worker)


@pytest.mark.slow
def test_a_worker_that_is_blocked_ends_itself(tmp_path: Path) -> None:
    """Its event loop hears nothing; the log says what blocks it."""
    (tmp_path / "stuck.py").write_text(
        "import time\n\n\nasync def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        print('it hangs', flush=True)\n        time.sleep(60)\n"
    )
    text = SITE.replace("one:app", "stuck:app").replace("grace = 5", "grace = 0.5")
    with serve(tmp_path, text) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(b"GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n")
            site.says("it hangs")
            site.send(signal.SIGTERM)
            assert ended_within(site, 15)
        assert "Still running" in site.output
        assert "time.sleep(60)" in site.output


@pytest.mark.slow
def test_a_worker_that_hears_nothing_is_killed(tmp_path: Path) -> None:
    """Here it is stopped, as by a debugger."""
    with serve(tmp_path, SITE.replace("grace = 5", "grace = 0")) as site:
        [worker] = site.workers
        os.kill(worker, signal.SIGSTOP)
        site.send(signal.SIGTERM)
        assert ended_within(site, 15)
        assert "it is killed" in site.output
        assert not is_alive(worker)


def test_ctrl_c_is_graceful_and_twice_is_not(tmp_path: Path) -> None:
    """The terminal sends it to all processes of the group."""
    with serve(tmp_path, SITE) as site:
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            client.sendall(b"GET /one/stream?n=100000 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100)
            os.killpg(site.pid, signal.SIGINT)
            site.says("Stopping")
            assert site.process.poll() is None
            os.killpg(site.pid, signal.SIGINT)
            assert ended_within(site, 15)
        assert site.process.returncode == 130
    with serve(tmp_path, SITE) as site:
        os.killpg(site.pid, signal.SIGINT)
        assert site.end(None) == 0
        assert "lifespan one shutdown" in site.output


def test_workers_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    """They see that it is gone."""
    with serve(tmp_path, SITE, "--workers", "2") as site:
        workers = site.workers
        assert len(workers) == 2
        site.end(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, workers)))
        assert site.output.count("lifespan one shutdown") == 2


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """At once, and after pauses if that happens often."""
    with serve(tmp_path, SITE) as site:
        for number in (1, 2, 3):
            [worker] = site.workers
            os.kill(worker, signal.SIGKILL)
            site.says("is ready.", number + 1)
            assert site.get("/one/").status_code == 200
        assert "by SIGKILL; another is started now" in site.output
        assert "another is started in 1 second." in site.output


def test_a_worker_can_be_told_to_end(tmp_path: Path) -> None:
    """`kill` on one of them: it ends gracefully, and another takes its place."""
    with serve(tmp_path, SITE) as site:
        [worker] = site.workers
        for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR2):
            os.kill(worker, ignored)
        os.kill(worker, signal.SIGTERM)
        site.says("has ended with status 0; another is started")
        site.says("is ready.", 2)
        assert site.get("/one/").text != f"one {worker} /one"


def test_a_unix_socket(tmp_path: Path) -> None:
    """It is removed at the end; one that was left over is replaced."""
    path = tmp_path / "site.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with serve(tmp_path, SITE, "--unix-socket", str(path)) as site:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport) as client:
            assert client.get("http://localhost/one/").status_code == 200
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        with start(tmp_path, None, "--unix-socket", str(path)) as other:
            assert other.end(None) == 1
            assert "Another process listens on" in other.output
        assert site.end() == 0
    assert not path.exists()


@pytest.mark.parametrize("server", ["hypercorn", "granian"])
def test_a_unix_socket_of_others(tmp_path: Path, server: str) -> None:
    """They take the parent's."""
    path = tmp_path / "site.sock"
    with (
        serve(tmp_path, SITE, "--unix-socket", str(path), "--server", server),
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client,
    ):
        assert client.get("http://localhost/one/").status_code == 200


FAILURES = {
    "a bad file": (SITE + 'colour = "red"', 1, "mountkit.toml:8: "),
    "no toml": ("[server", 1, "mountkit.toml:1: "),
    "an app that is not there": (SITE.replace("one:app", "two:app"), 3, "'two'"),
    "an app that raises": (SITE.replace("one:app", "broken:app"), 3, "ZeroDivisionError"),
    "an app that fails to start": (SITE.replace("one:app", "failing:app"), 3, "no database"),
    "a worker that dies": (SITE.replace("one:app", "dying:app"), 3, "with status 7 while"),
    "no certificate": (of(tls={"cert": "a.pem", "key": "b.pem"}), 3, "cannot be used"),
    "no certificate for hypercorn": (
        of(tls={"cert": "a.pem", "key": "b.pem"}, server="hypercorn"),
        3,
        "cannot be used",
    ),
    "no certificate for granian": (
        of(tls={"cert": "a.pem", "key": "b.pem"}, server="granian"),
        3,
        "a.pem",
    ),
    "an app that fails in hypercorn": (
        of(SITE.replace("one:app", "failing:app"), server="hypercorn"),
        3,
        "no database",
    ),
    "an app that fails in granian": (
        of(SITE.replace("one:app", "failing:app"), server="granian"),
        3,
        "no database",
    ),
    "a host of others": (of(host="192.0.2.1"), 1, "is not an address of this machine"),
}


@pytest.mark.parametrize(("text", "status", "reason"), FAILURES.values(), ids=FAILURES)
def test_what_cannot_be_served(tmp_path: Path, text: str, status: int, reason: str) -> None:
    """One sentence and a status of its own."""
    text = text.replace(
        'tls = {"cert": "a.pem", "key": "b.pem"}', 'tls = {cert="a.pem", key="b.pem"}'
    )
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "dying.py").write_text("import os\n\nos._exit(7)\n")
    (tmp_path / "failing.py").write_text(
        "async def app(scope, receive, send):\n    await receive()\n"
        "    raise RuntimeError('no database')\n"
    )
    with start(tmp_path, text) as site:
        assert site.end(None) == status, site.output
        assert reason in site.output.splitlines()[-1]


def test_a_port_that_is_in_use(tmp_path: Path) -> None:
    """Nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with start(tmp_path, SITE, "--port", str(port)) as site:
            assert site.end(None) == 1
            assert f"Port {port} of 127.0.0.1 is in use" in site.output
            assert "lifespan" not in site.output


def test_check_validates_only(tmp_path: Path) -> None:
    """Nothing is imported."""
    with start(tmp_path, SITE.replace("one:app", "two:app"), "--check") as site:
        assert site.end(None) == 0
        assert site.output == "mountkit.toml: 1 mount, nothing wrong.\n"


MISTAKES = {
    "no file": ([], "There is no mountkit.toml here"),
    "watch": (["one:app", "--watch"], "--watch is for a file"),
    "folder": (["."], "'.' is a folder; name its file, 'mountkit.toml', or an app."),
    "factory": (["mountkit.toml", "--factory"], "--factory is for an app"),
    "port": (["--port", "99999"], "'99999' is not a port"),
    "workers": (["--workers", "0"], "'0' is not a number from 1"),
    "server": (["--server", "gunicorn"], "invalid choice: 'gunicorn'"),
}


@pytest.mark.parametrize(("arguments", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path: Path, arguments: list[str], reason: str) -> None:
    """Of the command."""
    with start(tmp_path, None, *arguments) as site:
        assert site.end(None) == 2
        assert reason in site.output


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({!r}))
from mountkit.cli import main
sys.exit(main())
"""
MISSING = {
    "pydantic": (["pydantic"], [], "needs pydantic, which is not installed; run pip install"),
    "uvicorn": (
        ["uvicorn"],
        [],
        "'uvicorn' is not installed (uvicorn); run pip install 'mountkit[serve]'",
    ),
    "hypercorn": (["hypercorn"], ["--server", "hypercorn"], "run pip install 'hypercorn'"),
    "granian": (["granian"], ["--server", "granian"], "run pip install 'granian'"),
    "watchfiles": (
        ["watchfiles"],
        ["--watch"],
        "watchfiles, which is not installed; run pip install",
    ),
    "the page": (
        ["uvicorn"],
        ["--status", "0", "--server", "granian"],
        "needs uvicorn, which is not",
    ),
}


@pytest.mark.parametrize(("modules", "arguments", "reason"), MISSING.values(), ids=MISSING)
def test_what_is_not_installed(
    tmp_path: Path, modules: list[str], arguments: list[str], reason: str
) -> None:
    """One sentence with what to install."""
    program = ["-c", WITHOUT.format(modules), "serve"]
    with start(tmp_path, SITE, *arguments, program=program) as site:
        assert site.end(None) == 2
        assert reason in site.output.splitlines()[-1]
        assert "Traceback" not in site.output


def test_granian_takes_one_address(tmp_path: Path) -> None:
    """A name may have several."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--server", "granian", "--port", str(port)]
    with start(tmp_path, of(host=""), *arguments) as site:
        assert site.end(None) == 1
        assert "granian listens on one address" in site.output


def test_it_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    """Nobody is served yet."""
    (tmp_path / "late.py").write_text(
        "import time\n\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    with start(tmp_path, SITE.replace("one:app", "late:app")) as site:
        site.says("importing")
        [worker] = site.workers
        assert site.end() == 0
        assert not is_alive(worker)


def test_a_worker_whose_parent_has_gone_does_not_start(tmp_path: Path) -> None:
    """It gets no job."""
    ours, theirs = socket.socketpair()
    ours.close()
    fd = theirs.fileno()
    program = ["-m", "mountkit.server.worker", "1", str(fd)]
    with theirs, start(tmp_path, None, program=program, pass_fds=[fd]) as worker:
        assert worker.end(None) == 3
        assert worker.output == ""


def test_many_mounts_are_not_all_named(tmp_path: Path) -> None:
    """When the site is up."""
    kinds = [
        'redirect = "/one/"',
        'static = "."',
        'split = {apps = {a = {app = "one:app", weight = 1}, b = {app = "one:app", weight = 1}}}',
    ]
    texts = [f'[[mount]]\npath = "/{n}"\n{kind}\n' for n, kind in enumerate(kinds * 8)]
    with serve(tmp_path, SITE + "".join(texts)) as site:
        assert "/0 -> redirect to /one/\n" in site.output
        assert "/1 -> static folder .\n" in site.output
        assert "/2 -> one:app | one:app\n" in site.output
        assert "and 5 more\n" in site.output
