"""Runs a command for its parent, and ends it, with all that it has started, once the parent stops
writing: because it wants that, or has gone, killed or not.

Run by path, with a socket's number; imports the standard library alone. A process of its own,
because no process can do anything once it is killed, and what Linux offers (`PR_SET_PDEATHSIG`)
follows the thread that has spawned a process, and does not reach that process's own children.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

#: Characters of an error: it may name a program, and programs' names have no end.
_LONGEST_ERROR = 2000
#: Seconds between looks at who the parent is: others may hold the parent's end of the socket.
_LOOK = 1.0
_STEP = 0.02


def main() -> None:
    """Read what to run, run it, and say what becomes of it: one JSON object in each line."""
    control = socket.socket(fileno=int(sys.argv[1]))
    parent = os.getppid()
    woken = _signals()
    line = _line(control)
    if not line:
        return
    order: dict[str, Any] = json.loads(line)
    try:
        # Handlers, and not `SIG_IGN`, which the command would inherit.
        child = subprocess.Popen(
            order["command"],
            env=order["env"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            pass_fds=order["fds"],
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        _say(control, failed=str(exc)[:_LONGEST_ERROR])
    else:
        for fd in order["fds"]:
            os.close(fd)  # what nobody listens on any more refuses connections
        _say(control, pid=child.pid)
        while child.poll() is None and os.getppid() == parent:
            ready, _, _ = select.select([control, woken], [], [], _LOOK)
            if woken in ready:
                woken.recv(4096)
            if control in ready:
                break
        _end(child, order["grace"])
        _say(control, status=child.returncode)
    with suppress(OSError):
        os.unlink(order["socket"])
    with suppress(OSError):
        os.rmdir(os.path.dirname(order["socket"]))


def _signals() -> socket.socket:
    """Outlive what ends others, and note when a child has ended; what becomes readable then."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what the parent has blocked
    return woken


def _line(control: socket.socket) -> bytes:
    """The order; empty if the parent has gone before."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = control.recv(65536)
        if not chunk:
            return b""
        data += chunk
    return data


def _say(control: socket.socket, **values: object) -> None:
    with suppress(OSError):  # the parent has gone
        control.sendall(json.dumps(values).encode() + b"\n")


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to the whole group, and SIGKILL to what is left of it after some seconds."""
    is_there = _signal(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while is_there and time.monotonic() < deadline:
        time.sleep(_STEP)
        child.poll()
        is_there = _signal(child.pid, 0)
    if is_there:
        _signal(child.pid, signal.SIGKILL)
    child.wait()


def _signal(group: int, number: int) -> bool:
    """Whether there is such a group of processes."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # some of it are another user's, or all of it have ended on macOS
        pass
    return True


if __name__ == "__main__":
    main()
