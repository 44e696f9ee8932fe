"""What threads are doing when their time is up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from mountkit.server import deadlines
from tests.support.waiting import wait_until


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
