"""A program of the standard library that answers on a socket, and does what its requests say.

    python programs.py --fd 3 [--pause FILE] [--exit STATUS] [--broken FILE] [--ignore-term]

Beside it, what tests ask of processes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

#: The command that a `Process` runs.
PROGRAM = [sys.executable, "-uP", __file__, "--fd", "{fd}"]


def is_alive(pid: int) -> bool:
    """Whether a process runs. One that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def group_of(pid: int) -> list[int]:
    """All processes in the group of this one."""
    group = os.getpgid(pid)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(folder.name)) == group:
                found.append(int(folder.name))
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        what, _, value = self.path.lstrip("/").partition("/")
        answer = getattr(self, f"on_{what or 'pid'}")(value)
        body = json.dumps(answer).encode()
        is_late = what == "later" and answer < int(value)
        self.send_response(int(value) if what == "status" else 503 if is_late else 200)
        self.send_header("content-length", "0" if what == "status" else str(len(body)))
        self.end_headers()
        if what != "status":
            self.wfile.write(body)
        if what == "exit":
            self.wfile.flush()
            os._exit(int(value))

    def on_pid(self, value: str) -> Any:
        return os.getpid()

    on_exit = on_status = on_pid

    def on_kill(self, value: str) -> Any:
        """By a signal, unanswered."""
        os.kill(os.getpid(), int(value))
        time.sleep(600)  # until it is delivered

    def on_later(self, value: str) -> Any:
        """503 until it is asked so often."""
        _Server.asked += 1
        return _Server.asked

    def on_env(self, value: str) -> Any:
        return dict(os.environ)

    def on_cwd(self, value: str) -> Any:
        return os.getcwd()

    def on_headers(self, value: str) -> Any:
        return self.headers.items()

    def on_path(self, value: str) -> Any:
        return self.path

    def on_print(self, value: str) -> Any:
        """Kibibytes, in lines of 1023 characters."""
        for _ in range(int(value)):
            print("x" * 1023)
        return os.getpid()

    def on_say(self, value: str) -> Any:
        os.write(2, value.encode())
        return os.getpid()

    def on_spawn(self, value: str) -> Any:
        """A process that holds stdout, in this group or in one of its own."""
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        return subprocess.Popen(command, start_new_session=value == "apart").pid

    def on_wait(self, value: str) -> Any:
        """Until a file is there."""
        while not os.path.exists(f"/{value}"):
            time.sleep(0.01)
        return os.getpid()

    def log_message(self, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return ""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    asked = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--socket")
    parser.add_argument("--pause", help="listen once this file is there")
    parser.add_argument("--exit", type=int, help="end at once")
    parser.add_argument("--broken", help="end at once with 7 if this file is there")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--starts", help="a file that gets a line at each start")
    given = parser.parse_args()
    if given.starts:
        with open(given.starts, "a") as file:
            file.write("started\n")
    if given.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if given.broken and os.path.exists(given.broken):
        sys.exit(7)
    if given.exit is not None:
        print("I cannot.")
        sys.exit(given.exit)
    server = _Server(given.socket or "", _Handler, bind_and_activate=False)
    if given.fd is not None:
        server.socket.close()
        server.socket = socket.socket(fileno=given.fd)
    else:
        server.socket.bind(given.socket)
    while given.pause and not os.path.exists(given.pause):
        time.sleep(0.01)
    if given.fd is None:
        server.socket.listen()
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
