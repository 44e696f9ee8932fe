"""`mountkit serve` with child processes: they belong to its workers."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from tests.support.programs import PROGRAM, is_alive
from tests.support.serving import serve
from tests.support.waiting import wait_until

SITE = f"""
[server]
port = 0
workers = 2

[[mount]]
path = "/one"
app = "one:app"

[[mount]]
path = "/old"
command = {PROGRAM!r}
env = {{ A = "1" }}
process = {{ strip_prefix = true, grace = 1 }}

[[mount]]
path = "/same"
app = "one:app"
python = {sys.prefix!r}
"""


def test_a_change_of_the_file_swaps_the_children(tmp_path: Path) -> None:
    """In all workers, without a request that fails; what has left has ended."""
    with serve(tmp_path, SITE) as site:
        assert site.get("/same/x").text.split()[2] == "/same"
        old, statuses, is_over = set[int](), set[int](), threading.Event()

        def load() -> None:
            while not is_over.is_set():
                response = site.get("/old/pid")
                statuses.add(response.status_code)
                old.add(int(response.text))

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(old) >= 1)
        site.reload(SITE.replace('"1"', '"2"'))
        wait_until(lambda: site.get("/old/env").json()["A"] == "2" and len(old) >= 2)
        is_over.set()
        for thread in threads:
            thread.join()
        assert statuses == {200}
        wait_until(lambda: sum(map(is_alive, old)) <= 2)
        wait_until(lambda: {site.get("/old/env").json()["A"] for _ in range(10)} == {"2"})
        assert "/old: pid " in site.output


def test_nothing_is_left_of_a_site_that_was_killed(tmp_path: Path) -> None:
    """Neither workers nor children."""
    with serve(tmp_path, SITE) as site:
        pids = [*site.workers, int(site.get("/old/pid").text), int(site.get("/old/spawn").text)]
        pids.append(int(site.get("/same/x").text.split()[1]))
        site.process.send_signal(signal.SIGKILL)
        site.process.wait()
        wait_until(lambda: not any(map(is_alive, pids)))
