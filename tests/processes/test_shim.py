"""The process between mountkit and a command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from mountkit.processes import shim
from mountkit.processes.children import SHIM


@pytest.mark.parametrize("data", [b"", b'{"command": ["touch", '], ids=["none", "half"])
def test_a_parent_that_has_gone_before_it_said_what_to_run(data: bytes) -> None:
    """Nothing is run."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, str(SHIM), str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
            ours.sendall(data)
            ours.close()
            assert process.wait(60) == 0


def test_a_group_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is there, though it cannot be told anything."""

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    assert shim._signal(1, 0) is True
