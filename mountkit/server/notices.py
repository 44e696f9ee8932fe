"""What systemd is told (`Type=notify`), and what a terminal says."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), if it has asked for it: `"READY=1"`, `"STOPPING=1"`."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    if state == "RELOADING=1":
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)


def has_terminal() -> bool:
    """Whether there is a terminal whose end, by SIGHUP, ends this process; `nohup` says no."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
