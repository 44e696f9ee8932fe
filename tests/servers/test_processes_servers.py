"""Child processes as targets: each test starts real ones."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from mountkit import Dispatcher, Lifespan, LifespanError, Mount, MountkitError, Process, running
from mountkit.processes import children, commands, processes
from mountkit.status.sources import LocalSource
from tests.support.apps.processes import SCOPES, WORKERS, WRAPPED
from tests.support.programs import PROGRAM, group_of, is_alive
from tests.support.servers import serve
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.anyio
LOGGER = "mountkit.process"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a.example")


@asynccontextmanager
async def up(process: Process, **how: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A child that is up, and a client of it alone."""
    async with running(Dispatcher([Mount("", process, **how)])) as site, client(site) as found:
        yield found


async def pid_of(found: httpx.AsyncClient) -> int:
    response = await found.get("/pid")
    assert response.status_code == 200
    return int(response.text)


def child_of(process: Process) -> children.Child:
    """The one that was started last."""
    return process._children[-1]


def is_started(process: Process) -> bool:
    """Whether the command runs; it may not answer yet."""
    return bool(process._children) and child_of(process).pid > 0


def place_of(process: Process) -> Path:
    """Where its child listens."""
    return Path(child_of(process).url.removeprefix("unix:"))


async def is_back(process: Process, restarts: int) -> None:
    await until(lambda: process.restarts >= restarts and process.pid is not None)


# Its life.


async def test_a_child_serves_while_the_site_does(caplog: pytest.LogCaptureFixture) -> None:
    """It is up when the startup is complete, and has gone after the shutdown."""
    caplog.set_level(logging.INFO, LOGGER)
    process = Process(PROGRAM)
    assert process.pid is None
    async with up(process) as found:
        pid = await pid_of(found)
        assert process.pid == pid
        assert is_alive(pid)
    assert process.pid is None
    assert not is_alive(pid)
    assert f"/: pid {pid} is up." in caplog.text


async def test_it_can_be_started_again() -> None:
    """The same object, in another lifespan."""
    process = Process(PROGRAM)
    async with up(process) as found:
        first = await pid_of(found)
    async with up(process) as found:
        assert await pid_of(found) != first


async def test_it_is_503_before_it_is_started() -> None:
    """And so is a websocket, if nothing runs the lifespan."""
    async with client(Process(PROGRAM)) as found:
        response = await found.get("/")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_one_object_in_two_mounts_is_one_child() -> None:
    """Until the last of them leaves."""
    process = Process(PROGRAM)
    first, second = Mount("/a", process), Mount("/b", process)
    site = Dispatcher([first, second])
    async with running(site) as served, client(served) as found:
        pids = {(await found.get(f"{path}/pid")).text for path in ("/a", "/b")}
        assert len(pids) == 1
        await site.remove(first)
        assert {(await found.get("/b/pid")).text} == pids
        await site.remove(second)
        assert process.pid is None


async def test_one_object_is_of_one_server() -> None:
    """The child of two could be stopped by either."""
    process = Process(PROGRAM)
    async with up(process):
        with pytest.raises(LifespanError, match="runs already, for another server"):
            async with running(process):
                pass
        assert process.pid is not None


def test_it_needs_asyncio() -> None:
    """As `Proxy` does."""
    import trio

    async def call() -> None:
        with pytest.raises(
            MountkitError, match=r"^Process needs asyncio; run the server on asyncio"
        ):
            await Process(PROGRAM)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    trio.run(call)


# 31: what ends with a thread.


async def test_a_child_outlives_the_threads_of_its_time() -> None:
    """Nothing of it belongs to one."""
    process = Process(PROGRAM)
    await asyncio.to_thread(time.sleep, 0)
    async with up(process) as found:
        pid = await pid_of(found)
        await asyncio.to_thread(time.sleep, 0)
        await asyncio.get_running_loop().shutdown_default_executor()
        assert await pid_of(found) == pid


def test_the_parent_has_gone_though_another_holds_its_descriptors() -> None:
    """The end of the socket tells nothing then; who the parent is does."""
    command = [sys.executable, "-m", "tests.support.apps.processes", "held"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, holder = map(int, parent.stdout.readline().split())
        try:
            parent.kill()
            parent.wait()
            assert is_alive(holder)
            wait_until(lambda: not is_alive(pid))
        finally:
            os.kill(holder, signal.SIGKILL)


# 32 and 39: what is left behind.


def test_nothing_outlives_a_parent_that_is_killed() -> None:
    """Nor what ignores SIGTERM, nor the workers and the children of a shell."""
    paths = ("/child/pid", "/child/spawn", "/stubborn/pid", "/wrapped/pid", "/wrapped/spawn")
    with serve("uvicorn-httptools", "tests.support.apps.processes:app") as server:
        pids = [int(httpx.get(server.url + path).text) for path in paths]
        pids += group_of(int(httpx.get(f"{server.url}/workers/").headers["x-pid"]))
        assert len(pids) >= 8
        assert all(map(is_alive, pids))
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("command", [PROGRAM, WRAPPED], ids=["program", "shell"])
async def test_all_that_it_has_started_ends_with_it(command: list[str]) -> None:
    """The whole group is told."""
    async with up(Process(command, grace=5)) as found:
        pids = [await pid_of(found), int((await found.get("/spawn")).text)]
    assert not any(map(is_alive, pids))


async def test_what_ignores_sigterm_is_killed() -> None:
    """After its grace, and not before."""
    async with up(Process([*PROGRAM, "--ignore-term"], grace=0.3)) as found:
        pids = [await pid_of(found), int((await found.get("/spawn")).text)]
        began = time.monotonic()
    assert time.monotonic() - began >= 0.3
    assert not any(map(is_alive, pids))


async def test_all_workers_end() -> None:
    """As do those of a master that was killed, before it is started again."""
    process = Process(WORKERS, grace=5, restart_pause=0.01)
    async with up(process):
        assert process.pid is not None
        first = group_of(process.pid)
        assert len(first) >= 3
        os.kill(process.pid, signal.SIGKILL)
        await is_back(process, 1)
        assert not any(map(is_alive, first))
        second = group_of(process.pid)
    assert len(second) >= 3
    assert not any(map(is_alive, second))


async def test_it_has_a_session_of_its_own() -> None:
    """Ctrl-C goes to the group in the foreground, which is not its."""
    process = Process(PROGRAM)
    async with up(process):
        assert process.pid is not None
        assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
        shim = child_of(process)._shim.pid
        assert os.getsid(shim) == shim != os.getsid(0)


async def test_the_process_between_may_be_killed() -> None:
    """What it was to end is ended all the same, and started again."""
    process = Process(PROGRAM, restart_pause=0.01)
    async with up(process) as found:
        pids = [await pid_of(found), int((await found.get("/spawn")).text)]
        os.kill(child_of(process)._shim.pid, signal.SIGKILL)
        await is_back(process, 1)
        assert not any(map(is_alive, pids))
        assert await pid_of(found) == process.pid


async def test_the_process_between_may_be_killed_before_it_has_heard_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then nothing was started."""
    shim = tmp_path / "shim.py"
    shim.write_text(
        "import os, select, socket, sys\n"
        "control = socket.socket(fileno=int(sys.argv[1]))\n"
        "control.recv(1, socket.MSG_PEEK)\n"
    )
    monkeypatch.setattr(children, "SHIM", shim)
    with pytest.raises(LifespanError, match="It was killed, and has not answered before"):
        async with up(Process(PROGRAM)):
            pass


async def test_the_process_between_may_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is killed, after a while, and the child with it."""
    monkeypatch.setattr(children, "_SPARE", 0.1)
    process = Process(PROGRAM, grace=0.1)
    async with up(process) as found:
        pid = await pid_of(found)
        os.kill(child_of(process)._shim.pid, signal.SIGSTOP)
    assert not is_alive(pid)


# 33 and 34: what is printed.


async def test_what_it_prints_is_drained(caplog: pytest.LogCaptureFixture) -> None:
    """All of it, however much, line by line, under the name of the mount."""
    caplog.set_level(logging.INFO, LOGGER)
    async with up(Process(PROGRAM), name="old") as found:
        assert (await found.get("/print/1000")).status_code == 200
        assert (await found.get("/say/no%20end")).status_code == 200
    lines = [one.getMessage() for one in caplog.records if one.name == LOGGER]
    assert lines.count("old: " + "x" * 1023) == 1000
    assert "old: no%20end" in lines


async def test_a_line_without_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """It is not kept in memory."""
    caplog.set_level(logging.INFO, LOGGER)
    code = "import sys; sys.stdout.write('x' * 100_000); sys.stdout.flush(); input()"
    with pytest.raises(LifespanError):
        async with up(Process([sys.executable, "-c", code, "{fd}"], name="given"), name="old"):
            pass
    lines = [one.getMessage() for one in caplog.records if "xxx" in one.getMessage()]
    assert len(lines) > 1
    assert all(line.startswith("given: x") for line in lines)
    assert sum(line.count("x") for line in lines) == 100_000


async def test_a_process_that_left_may_hold_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the child is seen, though its output has none."""
    monkeypatch.setattr(children, "_LAST_WORDS", 0.1)
    async with up(Process(PROGRAM)) as found:
        pid, apart = await pid_of(found), int((await found.get("/spawn/apart")).text)
    try:
        assert not is_alive(pid)
        assert is_alive(apart)
    finally:
        os.kill(apart, signal.SIGKILL)


def test_the_exit_status_need_not_be_known() -> None:
    """Where SIGCHLD is ignored, the system keeps none."""
    command = [sys.executable, "-m", "tests.support.apps.processes", "without_sigchld"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\nstopped\n"


# 35 to 37: when it is up, and where it listens.


@pytest.mark.parametrize("where", ["{fd}", "{socket}"])
async def test_it_is_up_when_it_answers(where: str, tmp_path: Path) -> None:
    """Neither when its socket is there, nor when a connection can be made."""
    gate = tmp_path / "gate"
    command = [*PROGRAM[:3], "--" + where.strip("{}"), where, "--pause", str(gate)]
    process = Process(command)
    lifespan = asyncio.create_task(_start_and_stop(process))
    await until(lambda: is_started(process))
    await until(lambda: place_of(process).exists())
    async with client(process) as found:
        assert (await found.get("/")).status_code == 503
        assert not lifespan.done()
        gate.touch()
        await lifespan


async def _start_and_stop(process: Process) -> None:
    async with up(process) as found:
        assert await pid_of(found) == process.pid


async def test_the_path_that_tells_that_it_is_ready() -> None:
    """Is asked until it is answered with a status below 400."""
    async with up(Process(PROGRAM, ready="/later/3")) as found:
        assert (await found.get("/later/3")).text == "4"
    message = r"has not answered at '/status/503' within 0.5 seconds"
    with pytest.raises(LifespanError, match=message):
        async with up(Process(PROGRAM, ready="/status/503", startup_timeout=0.5)):
            pass


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([*PROGRAM, "--exit", "3"], r"ended with status 3, .* before. It has printed 'I cannot.'"),
        ([*PROGRAM, "--exit", "0"], r"ended with status 0, and has not answered before"),
        (["sh", "-c", "kill -KILL $$; : {fd}"], r"was ended by SIGKILL, and has not answered"),
        (["/no/such/program", "{fd}"], r"cannot be started \(.*No such file.*'/no/such/program'"),
        (["/" + 70_000 * "x", "{fd}"], r"cannot be started \(.*File name too long: '/xxx"),
        ([*PROGRAM, "--pause", "/no/such/gate"], r"has not answered within 0.5 seconds"),
    ],
    ids=["exit", "exit-0", "signal", "no-program", "long-name", "mute"],
)
async def test_a_start_that_fails_is_that_of_the_site(command: list[str], reason: str) -> None:
    """With the reason; and nothing is left of it."""
    seconds = 0.5 if "--pause" in command else 30.0
    process = Process(command, startup_timeout=seconds)
    with pytest.raises(LifespanError, match=reason):
        async with up(process):
            pass
    assert not is_alive(child_of(process)._shim.pid)
    assert not place_of(process).parent.exists()


async def test_a_site_can_go_on_without_it() -> None:
    """`on_failure="isolate"` answers 503 until it is up."""
    process = Process([*PROGRAM, "--exit", "1"])
    async with up(process, lifespan=Lifespan(on_failure="isolate")) as found:
        assert (await found.get("/")).status_code == 503


async def test_a_start_that_takes_too_long_for_the_mount_is_given_up() -> None:
    """Whatever `startup_timeout` of the process says."""
    process = Process([*PROGRAM, "--pause", "/no/such/gate"], grace=0.1)
    with pytest.raises(LifespanError, match="did not start within 1 second"):
        async with up(process, lifespan=Lifespan(startup_timeout=1)):
            pass
    child = child_of(process)
    await until(child.ended.done)
    assert not is_alive(child.pid)


async def test_too_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses is a start that has failed."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(LifespanError, match=r"It cannot be started: .*'/no/such/python'"):
        async with up(Process(PROGRAM)):
            pass


async def test_no_other_user_reaches_its_socket() -> None:
    """Each start has a new name, in a folder of its own, of which nothing is left."""
    process = Process(PROGRAM, restart_pause=0.01)
    async with up(process) as found:
        first = place_of(process)
        assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
        assert first.is_socket()
        assert len(str(first)) <= 100
        with suppress(httpx.HTTPError):
            await found.get("/exit/1")
        await is_back(process, 1)
        second = place_of(process)
        assert second.parent != first.parent
        assert not first.parent.exists()
        os.kill(await pid_of(found), signal.SIGKILL)
        await is_back(process, 2)
        assert not second.parent.exists()
        third = place_of(process)
    assert not third.parent.exists()


async def test_a_long_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is longer than the address of a socket can be."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    process = Process(PROGRAM)
    async with up(process) as found:
        assert await pid_of(found)
        assert place_of(process).parent.parent == Path("/tmp")
    assert not list(folder.iterdir())


async def test_what_comes_before_it_accepts_is_answered(tmp_path: Path) -> None:
    """The socket that it inherits listens already: the first question is not asked again."""
    gate = tmp_path / "gate"
    process = Process([*PROGRAM, "--pause", str(gate)])
    lifespan = asyncio.create_task(_start_and_stop(process))
    await until(lambda: is_started(process))
    reader, writer = await asyncio.open_unix_connection(place_of(process))
    writer.write(b"GET /pid HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    gate.touch()
    answer = await reader.read()
    writer.close()
    await lifespan
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_full_backlog_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: nothing was sent."""
    monkeypatch.setattr(commands, "_BACKLOG", 0)
    process = Process(PROGRAM)
    async with up(process) as found:
        pid = await pid_of(found)
        os.kill(pid, signal.SIGSTOP)
        process._proxy.switch(child_of(process).url)  # no connection is kept
        waiting = asyncio.create_task(found.get("/pid"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        response = await found.get("/pid")
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - began < 5
        os.kill(pid, signal.SIGCONT)
        assert (await waiting).text == str(pid)


# 38: it is started again.


@pytest.mark.parametrize("status", [0, 1])
async def test_it_is_started_again_whatever_its_status(status: int) -> None:
    """Also after it has said that all was well."""
    process = Process(PROGRAM, restart_pause=0.01)
    async with up(process) as found:
        first = await pid_of(found)
        assert (await found.get(f"/exit/{status}")).status_code == 200
        await is_back(process, 1)
        assert await pid_of(found) != first


@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGSEGV, "SIGSEGV"), (40, "signal 40")],
    ids=["with a name", "without"],
)
async def test_it_is_started_again_whatever_signal_has_ended_it(
    number: int, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Real-time signals have no names in Python."""
    process = Process(PROGRAM, restart_pause=0.01)
    async with up(process) as found:
        await found.get(f"/kill/{int(number)}")
        await is_back(process, 1)
    assert f"It was ended by {how}. It is started again" in caplog.text


async def test_its_mount_is_starting_while_it_is_started_again(tmp_path: Path) -> None:
    """`health`, the status page and the metrics tell since when, and how it has ended."""
    flag = tmp_path / "flag"
    process = Process([*PROGRAM, "--broken", str(flag)], restart_pause=0.01)
    site = Dispatcher([Mount("", process)])
    async with running(site), client(site) as found:
        [health] = site.health
        assert (health.status, health.error) == ("serving", None)
        flag.touch()
        before = time.time()
        await found.get("/exit/3")
        await until(lambda: process.restarts >= 2)
        [health], [shown] = site.health, (await LocalSource(site).snapshot()).mounts
        assert (health.status, shown.status) == ("starting", "starting")
        assert health.error is not None
        assert "It has ended with status 7, and has not answered before." in health.error
        assert health.since >= before
        assert shown.restarts >= 2
        assert shown.error == health.error
        flag.unlink()
        await until(lambda: process.pid is not None)
        [health] = site.health
        assert (health.status, health.error) == ("serving", None)
    assert process.outage is None


async def test_it_is_started_once_however_many_ask(tmp_path: Path) -> None:
    """Requests meanwhile get 503 and are told when to come again."""
    starts = tmp_path / "starts"
    process = Process([*PROGRAM, "--starts", str(starts)], restart_pause=1.5)
    async with up(process) as found:
        await found.get("/exit/0")
        await until(lambda: process.pid is None)
        responses = await asyncio.gather(*[found.get("/pid") for _ in range(50)])
        assert {(one.status_code, one.headers["retry-after"]) for one in responses} == {(503, "2")}
        await is_back(process, 1)
        assert starts.read_text().count("started") == 2


def again(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of new starts."""
    return [one.getMessage() for one in caplog.records if "again in" in one.getMessage()]


async def test_pauses_grow(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Up to the most, while it does not stay up."""
    flag = tmp_path / "flag"
    command = [*PROGRAM, "--broken", str(flag)]
    process = Process(command, restart_pause=0.01, max_restart_pause=0.04, name="old")
    async with up(process) as found:
        flag.touch()
        await found.get("/exit/0")
        await until(lambda: len(again(caplog)) >= 4)
        flag.unlink()
        await is_back(process, 4)
    lines = again(caplog)
    assert lines[0] == "old: It has ended with status 0. It is started again in 0.01 seconds."
    pauses = [line.rpartition(" in ")[2] for line in lines]
    assert pauses[:4] == ["0.01 seconds.", "0.02 seconds.", "0.04 seconds.", "0.04 seconds."]
    assert "status 7, and has not answered before" in lines[1]


async def test_after_a_long_time_the_pause_is_the_first(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer one of a series."""
    monkeypatch.setattr(processes, "_STEADY", 0.0)
    process = Process(PROGRAM, restart_pause=0.01)
    async with up(process) as found:
        for number in (1, 2):
            await found.get("/exit/0")
            await is_back(process, number)
    assert caplog.text.count("again in 0.01 seconds.") == 2


async def test_a_child_that_has_just_ended_can_be_stopped() -> None:
    """A signal to nobody is no error."""
    process = Process(PROGRAM)
    async with up(process) as found:
        os.kill(await pid_of(found), signal.SIGKILL)


async def test_the_site_stops_while_it_is_started_again(tmp_path: Path) -> None:
    """The start is given up, and nothing is left of it."""
    gate = tmp_path / "gate"
    gate.touch()
    process = Process([*PROGRAM, "--pause", str(gate)], restart_pause=0.01, grace=0.1)
    async with up(process) as found:
        gate.unlink()
        first = child_of(process)
        await found.get("/exit/0")
        await until(lambda: child_of(process) is not first and is_started(process))
    assert child_of(process).ended.done()
    assert not is_alive(child_of(process).pid)


# 39: it is swapped.


async def test_a_swap_drops_no_request(tmp_path: Path) -> None:
    """The new one is ready, gets the requests, and the old one ends with its last request."""
    gate = tmp_path / "gate"
    process = Process(PROGRAM, strip_prefix=True)
    old = Mount("/old", process)
    dispatcher = Dispatcher([old])
    async with running(dispatcher) as site, client(site) as found:
        first = process.pid
        assert first is not None
        slow = asyncio.create_task(found.get(f"/old/wait{gate}"))
        statuses: list[int] = []
        is_over = False

        async def load() -> None:
            while not is_over:
                statuses.append((await found.get("/old/pid")).status_code)

        loads = [asyncio.create_task(load()) for _ in range(4)]
        newer = Process(PROGRAM, strip_prefix=True)
        change = asyncio.create_task(dispatcher.replace(old, Mount("/old", newer)))
        await until(lambda: newer.pid is not None)
        await until_answered_by(found, newer)
        assert is_alive(first)
        gate.touch()
        assert (await slow).text == str(first)
        await change
        is_over = True
        await asyncio.gather(*loads)
        assert not is_alive(first)
        assert {*statuses} == {200}
        assert (await found.get("/old/pid")).text == str(newer.pid)
        assert process._proxy._pool is not newer._proxy._pool
        assert not process._proxy.upstreams[0]._idle


async def until_answered_by(found: httpx.AsyncClient, process: Process) -> None:
    text = ""
    while text != str(process.pid):
        text = (await found.get("/old/pid")).text


async def test_a_swap_to_what_does_not_start_changes_nothing() -> None:
    """The old one serves on."""
    process = Process(PROGRAM)
    mount = Mount("", process)
    dispatcher = Dispatcher([mount])
    async with running(dispatcher) as site, client(site) as found:
        with pytest.raises(LifespanError, match="status 1, and has not answered"):
            await dispatcher.replace(mount, Mount("", Process([*PROGRAM, "--exit", "1"])))
        assert await pid_of(found) == process.pid


# 40: what it gets.


async def test_variables_that_are_for_this_process_are_not_inherited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All others are, and those of `env`."""
    for name in commands.OWN:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OTHER", "a")
    monkeypatch.setenv("CHANGED", "a")
    process = Process(PROGRAM, env={"CHANGED": "b", "AT": "{fd}"})
    async with up(process) as found:
        variables = (await found.get("/env")).json()
    assert not commands.OWN & variables.keys()
    assert (variables["OTHER"], variables["CHANGED"]) == ("a", "b")
    assert variables["AT"].isdigit()


async def test_only_named_variables_are_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of this process stay here."""
    monkeypatch.setenv("SECRET", "a")
    monkeypatch.setenv("LISTEN_FDS", "3")
    process = Process(PROGRAM, inherit_env=["PATH", "LISTEN_FDS"], env={"MINE": "1"})
    async with up(process) as found:
        variables = (await found.get("/env")).json()
    assert {"PATH", "MINE"} <= variables.keys()
    assert not {"SECRET", "LISTEN_FDS", "HOME"} & variables.keys()


async def test_only_its_own_descriptors_are_inherited() -> None:
    """No socket of this process or of its neighbours, whatever their flags say."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        async with up(Process(PROGRAM)) as found:
            folder = f"/proc/{await pid_of(found)}/fd"
            opened = {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
        assert os.readlink(f"/proc/self/fd/{writer}") not in opened
    finally:
        os.close(reader)
        os.close(writer)


async def test_the_folder(tmp_path: Path) -> None:
    """`cwd` is where it runs."""
    async with up(Process(PROGRAM, cwd=tmp_path)) as found:
        assert (await found.get("/cwd")).json() == str(tmp_path)


async def test_headers_can_be_left_out() -> None:
    """Cookies of the site are not for everyone."""
    headers = {"cookie": "a=1", "authorization": "Basic x", "x-other": "1"}
    process = Process(PROGRAM, without_headers=["Cookie", "authorization"])
    async with up(process) as found:
        got = dict((await found.get("/headers", headers=headers)).json())
    assert got["x-other"] == "1"
    assert not {"cookie", "authorization"} & got.keys()
    assert got["x-forwarded-for"] == "127.0.0.1"
    async with up(Process(PROGRAM)) as found:
        assert dict((await found.get("/headers", headers=headers)).json())["cookie"] == "a=1"


async def test_the_options_of_a_proxy() -> None:
    """`strip_prefix` and the like are passed on."""
    process = Process(PROGRAM, strip_prefix=True, forwarded=None)
    dispatcher = Dispatcher([Mount("/sub", process)])
    async with running(dispatcher) as site, client(site) as found:
        assert (await found.get("/sub/path/a%2Fb")).json() == "/path/a%2Fb"
        got = dict((await found.get("/sub/headers")).json())
    assert not [name for name in got if name.startswith("x-forwarded")]


# An app in an interpreter of its own.


def mounted(path: str, name: str, kind: str, **how: Any) -> tuple[Dispatcher, Dispatcher]:
    """An app in this process, and in one of its own."""
    from tests.support.apps import scopes

    here: Any = getattr(scopes, name)
    there = Process(app=f"{SCOPES}:{name}", **how)
    return Dispatcher([Mount(path, here)]), Dispatcher([Mount(path, there)])


REQUESTS = [
    ("/old", "/old/x?a=1&b=%20"),
    ("/old", "/old/"),
    ("/old", "/old"),
    ("/old", "/old/a%2Fb//c/%C3%A9;x"),
    ("/{tenant}/{number:int}", "/acme/5/x"),
    ("/ol%64", "/old/x"),
    ("", "/x"),
]
# What a proxy has to say itself, and what belongs to one connection.
_HOPS = {"connection", "transfer-encoding"}


def scope_in(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()
    found["headers"] = sorted(one for one in found["headers"] if one[0] not in _HOPS)
    return found


@pytest.mark.parametrize("root_path", ["", "/site"])
async def test_an_app_gets_the_scope_that_it_would_have_here(root_path: str) -> None:
    """By all conventions, whatever the client claims."""
    headers = [("x-a", "1"), ("x-a", "2"), ("cookie", "c=1"), ("x-mountkit-scope", "{}")]
    for path, target in REQUESTS:
        here, there = mounted(path, "app", "asgi")
        answers = []
        for app in (here, there):
            async with running(app) as site:
                transport = httpx.ASGITransport(site, root_path=root_path, client=("192.0.2.1", 5))
                async with httpx.AsyncClient(
                    transport=transport, base_url="https://a.example:444"
                ) as found:
                    answers.append(scope_in(await found.get(target, headers=headers)))
        expected, got = answers
        expected["headers"] = [one for one in expected["headers"] if one[0] != "x-mountkit-scope"]
        assert got == expected


@pytest.mark.parametrize("convention", ["spec", "strip", "none", "whole"])
async def test_the_convention_is_that_of_the_mount(convention: Any) -> None:
    """The app is in another process, and gets what it would get here."""
    from tests.support.apps import scopes

    app: Any = scopes.app
    targets = [Mount("/here", app, convention=convention)]
    targets.append(Mount("/ther", Process(app=f"{SCOPES}:app"), convention=convention))
    async with running(Dispatcher(targets)) as site, client(site) as found:
        here, there = [(await found.get(f"/{name}/x%2Fy")).json() for name in ("here", "ther")]
    for name in ("path", "raw_path", "root_path"):
        assert there[name] == here[name].replace("here", "ther")


@pytest.mark.parametrize("root_path", ["", "/site"])
async def test_a_wsgi_app_gets_the_environ_that_it_would_have_here(root_path: str) -> None:
    """What the server's own is, apart."""
    names = [
        *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME"),
        *("SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "HTTPS"),
        *("wsgi.url_scheme", "HTTP_HOST", "HTTP_COOKIE", "HTTP_X_MOUNTKIT_SCOPE"),
    ]
    here, there = mounted("/old", "wsgi", "wsgi")
    answers: list[list[Any]] = []
    for app in (here, there):
        async with running(app) as site:
            transport = httpx.ASGITransport(site, root_path=root_path, client=("192.0.2.1", 5))
            async with httpx.AsyncClient(
                transport=transport, base_url="https://a.example"
            ) as found:
                answers.append([])
                for target in ("/old/x%2Fy?a=1", "/old/", "/old/%C3%A9", "/old"):
                    environ = (await found.get(target, headers={"cookie": "a=1"})).json()
                    answers[-1].append({name: environ.get(name) for name in names})
    assert answers[1] == answers[0]


@pytest.mark.parametrize("framework", ["flask", "django", "fastapi"])
async def test_a_framework_makes_its_urls_below_its_prefix(framework: str) -> None:
    """In pages and redirects, also below the prefix of a proxy."""
    process = Process(app=f"tests.support.apps.framed:{framework}", factory=True)
    async with running(Dispatcher([Mount("/old", process)])) as site:
        for root_path in ("", "/site"):
            transport = httpx.ASGITransport(site, root_path=root_path)
            base = f"http://a.example{root_path}/old"
            async with httpx.AsyncClient(transport=transport, base_url=base) as found:
                assert (await found.get("/")).text == f"{base}/item/"
                for path in ("/go", "/item"):
                    response = await found.get(path)
                    assert response.is_redirect
                    assert response.url.join(response.headers["location"]) == f"{base}/item/"


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
async def test_an_app_gets_what_the_server_in_front_lets_in(interface: str) -> None:
    """Long targets, long headers and many of them."""
    _, there = mounted("/old", "app" if interface == "asgi" else "wsgi", interface)
    headers = {f"x-{number}": "1" for number in range(200)}
    async with running(there) as site, client(site) as found:
        for target, sent in (
            ("/old/?" + 9000 * "q", {}),
            ("/old/", {"cookie": "a=" + 20_000 * "c"}),
            ("/old/", headers),
        ):
            assert (await found.get(target, headers=sent)).status_code == 200


async def test_the_path_is_that_of_the_layers() -> None:
    """If one has changed it, and not what the client has sent."""

    async def layer(scope: Any, receive: Any, send: Any) -> None:
        await process({**scope, "path": "/other"}, receive, send)

    process = Process(app=f"{SCOPES}:app")
    async with running(process), client(layer) as found:
        scope = (await found.get("/x?a=1")).json()
    assert (scope["path"], scope["raw_path"]) == ("/other", "/x")


async def test_a_websocket_of_an_app() -> None:
    """Has the scope, too."""
    from tests.support.scopes import scope_of

    sent: list[Any] = []
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])
    is_closed = asyncio.Event()

    async def receive() -> Any:
        message = next(messages)
        if message["type"] == "websocket.disconnect":
            await is_closed.wait()
        return message

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "websocket.close":
            is_closed.set()

    async with running(Dispatcher([Mount("/old", Process(app=f"{SCOPES}:app"))])) as site:
        await site({**scope_of("/old/x", type="websocket"), "scheme": "ws"}, receive, send)
    assert [one["type"] for one in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert sent[-1]["code"] == 4000
    scope = json.loads(sent[1]["text"])
    assert (scope["type"], scope["path"], scope["root_path"]) == ("websocket", "/old/x", "/old")


APP = "import sys\n{}\nfrom tests.support.apps.scopes import app, make, wsgi\n"
_ROOT = str(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("hidden", "options", "key"),
    [
        ([], {}, "root_path"),
        ([], {"factory": True}, "root_path"),
        (["uvicorn"], {}, "root_path"),
        ([], {"interface": "wsgi"}, "SCRIPT_NAME"),
    ],
    ids=["file", "factory", "hypercorn", "wsgi"],
)
async def test_an_app_in_a_file(
    hidden: list[str], options: Any, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Served by what is installed; its lifespan ends well."""
    caplog.set_level(logging.INFO, LOGGER)
    lines = "".join(f"sys.modules[{name!r}] = None\n" for name in hidden)
    (tmp_path / "main.py").write_text(APP.format(lines))
    name = "make" if "factory" in options else "wsgi" if "interface" in options else "app"
    env = {"PYTHONPATH": _ROOT}
    process = Process(
        app=f"{tmp_path.name}/main.py:{name}", cwd=tmp_path.parent, env=env, **options
    )
    async with running(Dispatcher([Mount("/old", process)])) as site, client(site) as found:
        assert (await found.get("/old/x")).json()[key] == "/old"
        assert not {"server", "date"} & (await found.get("/old/x")).headers.keys() or key[0] == "S"
    assert (f"{process._name}: stopped well" in caplog.text) == (key == "root_path")


async def test_no_server_is_installed_beside_the_app(tmp_path: Path) -> None:
    """What is to be done is said."""
    lines = "sys.modules['uvicorn'] = sys.modules['hypercorn'] = None"
    (tmp_path / "main.py").write_text(APP.format(lines))
    process = Process(app="main.py:app", cwd=tmp_path, env={"PYTHONPATH": _ROOT})
    with pytest.raises(
        LifespanError, match=r"has no server for main.py:app: install uvicorn or hyp"
    ):
        async with up(process):
            pass


async def test_an_app_that_does_not_start() -> None:
    """Its startup is that of the site."""
    process = Process(app=f"{SCOPES}:app", env={"FAILS": "1"})
    with pytest.raises(LifespanError, match="has ended with status 3, and has not answered before"):
        async with up(process):
            pass


async def test_the_python_of_an_environment(tmp_path: Path) -> None:
    """Its programs come first, and it is said to be the environment."""
    bin = tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    (bin / "python").symlink_to(sys.executable)
    (bin / "serve").write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM[:3])} "$@"\n')
    (bin / "serve").chmod(0o700)
    for python in (tmp_path / "venv", bin / "python"):
        process = Process(["serve", "--fd", "{fd}"], python=python, env={"A": "1"})
        async with up(process) as found:
            variables = (await found.get("/env")).json()
        assert variables["VIRTUAL_ENV"] == str(tmp_path / "venv")
        assert variables["PATH"].startswith(f"{bin}{os.pathsep}")
        assert "PYTHONPATH" not in variables


async def test_an_app_below_another_proxy() -> None:
    """`runner.py` can be run by hand, with a prefix that does not change."""
    command = [sys.executable, str(commands.RUNNER), f"{SCOPES}:app", "--fd", "{fd}"]
    command += ["--root-path", "/given"]
    async with up(Process(command)) as found:
        scope = (await found.get("/given/x")).json()
    assert (scope["root_path"], scope["path"]) == ("/given", "/given/x")
