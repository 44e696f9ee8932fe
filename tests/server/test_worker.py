"""A worker, but for what it serves."""

from __future__ import annotations

import signal
import socket
from threading import Thread, get_ident
from time import sleep

from mountkit.server import worker
from mountkit.server.worker import _first


def test_modules_that_are_not_installed() -> None:
    """Those that `--reload` follows, with the time of their last change."""
    found = worker.own_modules()
    assert found[worker.__file__] > 0
    assert not any("site-packages" in file for file in found)


def test_a_job_that_comes_in_parts() -> None:
    """A signal may interrupt the reading of a long one."""
    ours, theirs = socket.socketpair()
    text = b"x" * 5_000_000
    with ours, theirs:
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            sending = Thread(target=_send_slowly, args=(ours, text, get_ident()))
            sending.start()
            assert _first(theirs) == text
            sending.join()
        finally:
            signal.signal(signal.SIGUSR1, before)


def _send_slowly(end: socket.socket, text: bytes, reader: int) -> None:
    end.sendall(f"{len(text)}\n".encode())
    for at in range(0, len(text), 1_000_000):
        end.sendall(text[at : at + 1_000_000])
        sleep(0.02)
        signal.pthread_kill(reader, signal.SIGUSR1)
        sleep(0.02)


def test_a_job_that_is_cut_off() -> None:
    """The parent was killed while it wrote."""
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(b"10\n{")
        assert _first(theirs) == b""
