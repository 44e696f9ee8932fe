"""A site with a child process, in processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from mountkit import Dispatcher, Mount, Process, running
from tests.support.programs import PROGRAM
from tests.support.waiting import until

SCOPES = "tests.support.apps.scopes"
WORKERS = [sys.executable, "-m", "uvicorn", f"{SCOPES}:app", "--fd", "{fd}", "--workers", "2"]
# The second `python` is a grandchild of the shell's parent, as a wrapper script has it.
WRAPPED = ["sh", "-c", f"{' '.join(PROGRAM)}; true"]

app = Dispatcher(
    [
        Mount("/child", Process(PROGRAM, grace=1, strip_prefix=True)),
        Mount("/stubborn", Process([*PROGRAM, "--ignore-term"], grace=0.2, strip_prefix=True)),
        Mount("/workers", Process(WORKERS, grace=2, strip_prefix=True)),
        Mount("/wrapped", Process(WRAPPED, grace=1, strip_prefix=True)),
    ]
)


async def held() -> None:
    """A process beside it, forked, has all its descriptors, so that nobody sees its end by them."""
    child = Process(PROGRAM, grace=1)
    async with running(child):
        holder = os.fork()
        if not holder:
            signal.pause()
        print(child.pid, holder, flush=True)
        await asyncio.sleep(600)


async def without_sigchld() -> None:
    """Nothing is told of children."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = Process(PROGRAM, grace=1, restart_pause=0.01)
    async with running(child):
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.pid is not None)
        print(child.pid != first, flush=True)
    print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run({"held": held, "without_sigchld": without_sigchld}[sys.argv[1]]())
