"""A site that is attacked: by signals at the wrong moment, and by the apps that it serves."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.programs import is_alive
from tests.support.serving import APP, serve, start
from tests.support.waiting import wait_until

SITE = """
[server]
port = 0
workers = {workers}
grace = 1
drain_timeout = 1
shutdown_timeout = 1
[[mount]]
path = "/one"
app = "one:app"
"""
ONE, TWO = SITE.format(workers=1), SITE.format(workers=2)
MORE = '\n[[mount]]\npath = "/two"\napp = "two:app"\n'
IMPORT_HANGS = "import time\n\nprint('hanging', flush=True)\ntime.sleep(600)\n"
BLOCKS = """
import time


async def app(scope, receive, send):
    print("hanging", flush=True)
    time.sleep(600)
"""


def test_signals_that_come_too_early(tmp_path: Path) -> None:
    """They wait until it can follow them. Here it reads a pipe."""
    os.mkfifo(tmp_path / "mountkit.toml")
    with start(tmp_path, None, "mountkit.toml") as site:
        with (tmp_path / "mountkit.toml").open("w") as pipe:  # it reads: the command runs
            site.send(signal.SIGHUP)
            site.send(signal.SIGUSR2)
            (tmp_path / "new").write_text(ONE)
            (tmp_path / "new").rename(tmp_path / "mountkit.toml")
            pipe.write(ONE)
        site.says("is served by new workers (code)")


@pytest.mark.parametrize("code", [IMPORT_HANGS, BLOCKS], ids=["import", "event loop"])
@pytest.mark.parametrize("is_change", [False, True], ids=["start", "change"])
def test_nothing_outlives_a_parent_that_is_killed(
    tmp_path: Path, code: str, is_change: bool
) -> None:
    """Also workers that are busy, and hear nothing."""
    (tmp_path / "two.py").write_text(code)
    with start(tmp_path, ONE if is_change else TWO + MORE) as site:
        if is_change:
            site.says("Stop: Ctrl-C")
            site.reload(ONE + MORE)
        site.says("hanging")
        workers = site.workers
        site.end(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, workers)))


@pytest.mark.slow
def test_new_code_ends_a_change_that_hangs(tmp_path: Path) -> None:
    """It would wait for ever; so would all changes that come after it."""
    (tmp_path / "two.py").write_text(IMPORT_HANGS)
    with serve(tmp_path, ONE) as site:
        site.reload(ONE + MORE)
        site.says("The workers are not ready after 5 seconds.")
        (tmp_path / "two.py").write_text(APP.replace('"one"', '"two"'))
        site.send(signal.SIGUSR2)
        site.says("It took too long, and was given up for new workers.")
        site.says("Generation 2 is served by new workers (code)")
        assert site.get("/two/").text.startswith("two ")


@pytest.mark.slow
def test_a_worker_that_is_ready_too_late(tmp_path: Path) -> None:
    """What it has started for a change that was given up is stopped, and it can change again."""
    waiting = "import time\nfrom pathlib import Path\nwhile not Path('go').exists():\n    time.sleep(0.02)\n"
    (tmp_path / "two.py").write_text(waiting + APP.replace('"one"', '"two"'))
    with serve(tmp_path, ONE) as site:
        site.reload(ONE + MORE)
        site.says("The workers are not ready after 5 seconds.")
        (tmp_path / "one.py").write_text("1 / 0\n")
        site.write(ONE)
        site.send(signal.SIGUSR2)
        site.says("was given up for new workers")
        site.says("Not changed", 2)
        (tmp_path / "go").touch()
        site.says("lifespan two shutdown")
        assert site.get("/two/").status_code == 404
        site.reload(ONE + MORE)
        site.says("Generation 2 is served: added /two")


@pytest.mark.slow
def test_new_code_ends_a_restart_that_hangs(tmp_path: Path) -> None:
    """An edit that makes an import hang is mended by the next one."""
    with serve(tmp_path, ONE, "--reload") as site:
        site.write(IMPORT_HANGS, "one.py")
        site.says("hanging")
        site.write(APP.replace('"one"', '"two"'), "one.py")
        site.says("Generation 2 is served by new workers (code)")
        assert site.get("/one/").text.startswith("two ")


@pytest.mark.slow
def test_a_worker_that_is_frozen_between_both_halves(tmp_path: Path) -> None:
    """The others change; another takes its place."""
    (tmp_path / "two.py").write_text(
        "from one import *\nimport os, signal\nfrom one import app as inner\n\n\n"
        "async def app(scope, receive, send):\n"
        "    async def send_and_freeze(message):\n"
        "        await send(message)\n"
        "        if message['type'] == 'lifespan.startup.complete' and claimed():\n"
        "            from threading import Timer\n"
        "            Timer(1, os.kill, (os.getpid(), signal.SIGSTOP)).start()\n"
        "    await inner(scope, receive, send_and_freeze)\n\n\n"
        "def claimed():\n"
        "    try:\n        with open('claimed', 'x') as file:\n            file.write(str(os.getpid()))\n"
        "    except FileExistsError:\n        return False\n    return True\n"
    )
    (tmp_path / "late.py").write_text(
        "import asyncio, os\nfrom pathlib import Path\nfrom one import app as inner\n\n\n"
        "async def app(scope, receive, send):\n"
        "    is_other = Path('claimed').read_text() != str(os.getpid())\n"
        "    if scope['type'] == 'lifespan' and is_other and not Path('slow').exists():\n"
        "        Path('slow').touch()\n        await asyncio.sleep(3)\n"
        "    await inner(scope, receive, send)\n"
    )
    late = '\n[[mount]]\npath = "/late"\napp = "late:app"\n'
    with serve(tmp_path, TWO) as site:
        site.reload(TWO + MORE + late)
        site.says("does not answer.")
        site.says("is ready.", 3)
        wait_until(lambda: len(site.workers) == 2)
        assert {site.get("/two/").status_code for _ in range(6)} == {200}


ODD = {
    "import, BaseException": "class Odd(BaseException): ...\nraise Odd('odd')\n",
    "import, CancelledError": "import asyncio\nraise asyncio.CancelledError('odd')\n",
    "import, SystemExit": "raise SystemExit(7)\n",
    "start, SystemExit": "async def app(scope, receive, send):\n    raise SystemExit(7)\n",
}


@pytest.mark.parametrize("code", ODD.values(), ids=ODD)
def test_whatever_an_app_raises(tmp_path: Path, code: str) -> None:
    """The worker serves on, and the parent gets an answer."""
    (tmp_path / "two.py").write_text(code)
    with serve(tmp_path, ONE) as site:
        workers = site.workers
        site.reload(ONE + MORE)
        site.says("Not changed")
        assert site.workers == workers
        assert site.get("/one/").status_code == 200


def test_the_traceback_of_a_changed_file(tmp_path: Path) -> None:
    """Beside the line that says which module it is."""
    (tmp_path / "two.py").write_text("def number():\n    return 1 / 0\n\n\nnumber()\n")
    with serve(tmp_path, ONE) as site:
        site.reload(ONE + MORE)
        site.says("Not changed")
        assert "    return 1 / 0" in site.output
        assert "ZeroDivisionError: division by zero" in site.output


def test_an_app_that_takes_the_signal(tmp_path: Path) -> None:
    """It is stopped in good order all the same."""
    taking = (
        "        import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        while True:"
    )
    (tmp_path / "one.py").write_text(APP.replace("        while True:", taking, 1))
    with serve(tmp_path, ONE) as site:
        assert site.end() == 0
        assert "lifespan one shutdown" in site.output
        assert "killed" not in site.output


@pytest.mark.slow
def test_an_app_that_closes_what_is_not_its_own(tmp_path: Path) -> None:
    """Nobody can talk to its worker any more, and here it does not end by itself; another takes its
    place."""
    closing = (
        "import socket\n    if scope['path'].endswith('/close'):\n"
        "        for fd in range(3, 64):\n"
        "            try:\n                one = socket.socket(fileno=os.dup(fd))\n"
        "            except OSError:\n                continue\n"
        "            if one.family == socket.AF_UNIX:\n"
        "                one.shutdown(socket.SHUT_RDWR)\n"
        "        import time\n        time.sleep(600)\n"
    )
    code = APP.replace(
        "async def app(scope, receive, send):\n",
        "async def app(scope, receive, send):\n    " + closing,
    )
    (tmp_path / "one.py").write_text(code)
    with serve(tmp_path, ONE) as site:
        [worker] = site.workers
        with pytest.raises(httpx.HTTPError):
            site.get("/one/close")
        site.says("can no longer be talked to; it is killed.")
        wait_until(lambda: not is_alive(worker))
        site.says("is ready.", 2)
        assert site.get("/one/").status_code == 200


def test_a_certificate_that_cannot_be_used_is_tried_once(tmp_path: Path) -> None:
    """Until the file or the certificate changes."""
    (tmp_path / "bad.pem").write_text("bad")
    with serve(tmp_path, ONE, "--watch") as site:
        bad = ONE.replace("port = 0", 'port = 0\ntls = {cert = "bad.pem", key = "bad.pem"}')
        site.write(bad)
        site.says("Certificate and key")
        time.sleep(3)  # files are compared every two seconds
        site.write(ONE)
        site.says("Nothing has changed")
        assert site.output.count("Not changed") == 1


def test_another_host_on_the_same_port(tmp_path: Path) -> None:
    """One includes the other, and both are open for a moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = ONE.replace("port = 0", f"port = {port}\nhost = '127.0.0.1'")
    with serve(tmp_path, text) as site:
        for times, host in enumerate(["0.0.0.0", "127.0.0.1"], 1):
            site.reload(text.replace("127.0.0.1", host))
            site.says("is served by new workers ([server])", times)
            assert site.get("/one/").status_code == 200
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


CLOSED = {
    "output": ">&- 2>&-",
    "all": "<&- >&- 2>&-",
    "pipe": "2>&1 | true",
    "full": ">/dev/full 2>&1",
}


@pytest.mark.parametrize("how", CLOSED.values(), ids=CLOSED)
def test_nobody_hears_what_is_said(tmp_path: Path, how: str) -> None:
    """It serves, and no socket is in the place of the standard streams."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "quiet.py").write_text(
        APP.replace("print(f", "str((f").replace("file=sys.stderr, flush=True)", "))")
    )
    text = ONE.replace("one:app", "quiet:app").replace("port = 0", f"port = {port}")
    shell = ["-c", f"import os; os.execvp('bash', ['bash', '-c', {_line(how)!r}])"]
    with start(tmp_path, text, program=shell):
        wait_until(lambda: (tmp_path / "pid").exists() and _answers(port))
        pid = int((tmp_path / "pid").read_text())
        try:
            [worker] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for process in (pid, worker):
                streams = {os.readlink(f"/proc/{process}/fd/{number}") for number in range(3)}
                assert not any(one.startswith(("socket:", "anon_inode:")) for one in streams)
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_until(
            lambda: (tmp_path / "status").exists() and (tmp_path / "status").read_text() == "0\n"
        )


def _line(how: str) -> str:
    run = f"{shlex.quote(sys.executable)} -m mountkit serve & echo $! >pid"
    return f"({run}; wait $!; echo $? >status) {how}"


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/one/").is_success
    except httpx.HTTPError:
        return False


def test_the_garbage_collector_passes_over_what_is_there(tmp_path: Path) -> None:
    """While a change is made: among many mounts it would take long, and nothing else runs."""
    code = APP.replace('NAME = "one"', 'import gc\n\nNAME = f"{gc.get_freeze_count()}"')
    (tmp_path / "two.py").write_text(code.replace("{os.getpid()}", "{gc.get_freeze_count()}"))
    with serve(tmp_path, ONE) as site:
        site.reload(ONE + MORE)
        site.says("Generation 2 is served: added /two")
        during, after, _ = site.get("/two/").text.split()
        assert int(during) > 1000
        assert int(after) < 1000  # the interpreter has some of its own


def test_a_connection_that_has_not_sent_its_request_yet(tmp_path: Path) -> None:
    """It came when the worker was about to stop; its request is answered."""
    with serve(tmp_path, ONE) as site:
        files = Path(f"/proc/{site.workers[0]}/fd")
        before = len([*files.iterdir()])
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            wait_until(lambda: len([*files.iterdir()]) > before)  # it is accepted
            site.send(signal.SIGTERM)
            site.says("Stopping")
            client.sendall(b"GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
