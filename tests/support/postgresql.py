"""A PostgreSQL server for the tests: a cluster of its own on loopback, which is gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_USER = "postgres"
_PASSWORD = "of-the-tests"
_START_SECONDS = 60.0
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def programs() -> Path | None:
    """The directory of the newest server's programs; `None` if none is installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    # Where Debian has them, off the PATH.
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in versions), default=None, key=lambda path: path.parts[-2])


@contextmanager
def cluster(programs: Path) -> Iterator[str]:
    """Start a cluster; the URL of its server, without a database."""
    # The server refuses to run as root, who then starts it as the user whom the package has made.
    who: dict[str, Any] = {"user": _USER, "group": _USER} if os.getuid() == 0 else {}
    directory = Path(tempfile.mkdtemp(prefix="mountkit-postgresql-"))
    try:
        password = directory / "password"
        password.write_text(_PASSWORD, encoding="ascii")
        for path in (directory, password) if who else ():
            shutil.chown(path, _USER, _USER)
        data = directory / "data"
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [programs / "initdb", f"--username={_USER}", f"--pwfile={password}", *options, data],
            cwd=directory,
            check=False,
            capture_output=True,
            text=True,
            **who,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        with _server(programs, data, who) as port:
            yield f"postgresql://{_USER}:{_PASSWORD}@127.0.0.1:{port}"
    finally:
        shutil.rmtree(directory)


@contextmanager
def _server(programs: Path, data: Path, who: dict[str, Any]) -> Iterator[int]:
    # It takes no open socket: it gets the port, freed a moment before.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    options = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", data]
    for setting in _QUICK:
        options += ["-c", setting]
    log = data.parent / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "postgres", *options],
            cwd=data.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **who,
        )
    try:
        _wait_until_it_is_ready(programs, process, port, log)
        yield port
    finally:
        # Its immediate shutdown: no client is waited for, and nothing is written any more.
        process.send_signal(signal.SIGQUIT)
        process.wait(_START_SECONDS)


def _wait_until_it_is_ready(
    programs: Path, process: subprocess.Popen[bytes], port: int, log: Path
) -> None:
    asked = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if subprocess.run(asked, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"PostgreSQL does not answer.\n{log.read_text(errors='replace')}")
