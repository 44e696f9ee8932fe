"""What threads are doing when their time is up."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from mountkit.server import deadlines
from tests.support.waiting import wait_until


def test_the_end_of_a_process() -> None:
    """It says what its threads are doing; nothing that hangs at exit keeps it."""
    code = (
        "import threading, time\nfrom mountkit.server import deadlines, logs\n"
        "logs.set_up('info', 'text', False, 'worker 1')\n"
        "threading.Thread(target=time.sleep, args=(60,), name='the sleeper').start()\n"
        "deadlines.end_after(0.01)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == deadlines.CUT_OFF
    assert "Still running 0.01 seconds after it was told to stop" in done.stderr
    assert "Thread the sleeper:\n" in done.stderr


def test_a_process_whose_parent_is_another() -> None:
    """It does not wait for its own."""
    code = "from mountkit.server import deadlines\ndeadlines.end_without(-1, lambda: 0.01)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == deadlines.CUT_OFF


def test_a_process_looks_again_while_its_parent_is_there() -> None:
    """It ends when it has another."""
    code = (
        "from mountkit.server import deadlines\nparents = [7, 7, 8]\n"
        "deadlines.os.getppid = lambda: parents.pop(0)\n"
        "deadlines.end_without(7, lambda: 0.01)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == deadlines.CUT_OFF


def test_threads_that_wait_for_work_are_idle() -> None:
    """Those that do something are shown with the place."""
    is_over = threading.Event()

    def work_hard() -> None:
        is_over.wait()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        busy = threading.Thread(target=work_hard, name="the busy one")
        busy.start()
        wait_until(lambda: "work_hard" in "".join(deadlines.stacks(are_all=False)))
        text = "".join(deadlines.stacks(are_all=False))
        everything = "".join(deadlines.stacks())
        is_over.set()
        busy.join()
    assert "Thread the busy one:\n" in text
    assert "ThreadPoolExecutor" not in text
    assert "ThreadPoolExecutor" in everything
