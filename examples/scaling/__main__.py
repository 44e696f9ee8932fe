"""`python -m examples.scaling one|processes|machines`: the same site, in three sizes.

The machines are processes on ports of this one, behind nginx, Caddy or HAProxy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SITE = str(Path(__file__).with_name("mountkit.toml"))
MOUNTKIT = (sys.executable, "-m", "mountkit")
#: What runs apart; the rest is one more part.
APART = ("/shop", "/legacy")
REST = ("/shop/checkout", "tenants", "/readyz", "default")
SECONDS = 60

#: How each router is started, with the file that `mountkit export` has written.
ROUTERS: dict[str, Callable[[str], list[str]]] = {
    "nginx": lambda file: ["-p", str(Path(file).parent), "-c", _nginx(file)],
    "caddy": lambda file: ["run", "--adapter", "caddyfile", "--config", file],
    "haproxy": lambda file: ["-db", "-f", file],
}


def _nginx(file: str) -> str:
    """The file that includes the exported one."""
    folder = Path(file).parent
    paths = "".join(
        f"    {name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    top = f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    (folder / "nginx.conf").write_text(
        f"{top}http {{\n    access_log off;\n{paths}    include {file};\n}}\n", "utf-8"
    )
    return str(folder / "nginx.conf")


def executable(router: str) -> str | None:
    """Where it is: beside this Python, on the path, or where Debian has it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    return shutil.which(router, path=path)


class Site:
    """Processes that are one site.

    Args:
        port: where it is served.
        folder: for sockets and files.
    """

    def __init__(self, port: int, folder: str) -> None:
        self.port = port
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def one(self) -> None:
        """All apps in one process."""
        self._serve("--port", str(self.port))

    def processes(self) -> None:
        """Two apps in processes of their own; the third has the rest, and is in front."""
        upstreams = []
        for mount in APART:
            path = f"{self.folder}{mount}.sock"
            self._serve("--only", mount, "--unix-socket", path)
            self._wait(lambda path=path: _answers(path))  # type: ignore[misc]
            upstreams += ["--upstream", f"{mount}=unix:{path}"]
        self._serve("--port", str(self.port), *upstreams)

    def machines(self, router: str) -> None:
        """A router in front of three."""
        upstreams = []
        for mounts in ((APART[0],), (APART[1],), REST):
            port = free_port()
            only = [word for mount in mounts for word in ("--only", mount)]
            self._serve(*only, "--port", str(port), TRUSTED="127.0.0.1")
            self._wait(lambda port=port: _answers(port))  # type: ignore[misc]
            named = "" if mounts is REST else f"{mounts[0]}="
            upstreams += ["--upstream", f"{named}http://127.0.0.1:{port}"]
        listen = ("--listen", f"127.0.0.1:{self.port}")
        exported = subprocess.run(
            [*MOUNTKIT, "export", router, SITE, *listen, *upstreams],
            stdout=subprocess.PIPE,
            check=True,
        )
        file = os.path.join(self.folder, "exported")
        Path(file).write_bytes(exported.stdout)
        self._start([str(executable(router)), *ROUTERS[router](file)], XDG_DATA_HOME=self.folder)

    def _serve(self, *arguments: str, **environ: str) -> None:
        self._start([*MOUNTKIT, "serve", SITE, *arguments], **environ)

    def _start(self, command: Sequence[str], **environ: str) -> None:
        print("$", *command, flush=True)
        env = {**os.environ, **environ}
        process = subprocess.Popen(command, env=env, start_new_session=True)
        self._processes.append(process)

    def _wait(self, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not is_up():
            if time.monotonic() > deadline or any(
                one.poll() is not None for one in self._processes
            ):
                raise SystemExit("It does not start; see above.")
            time.sleep(0.05)

    def run(self) -> None:
        """Say when it is up, and wait until a process ends."""
        self._wait(lambda: _answers(self.port))
        print(f"The site is up: http://localhost:{self.port}/  Ctrl-C stops it.", flush=True)
        while all(one.poll() is None for one in self._processes):
            time.sleep(0.2)

    def end(self) -> None:
        """From the front to the back."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait()


def _answers(where: int | str) -> bool:
    """Whether a port or a socket accepts connections."""
    family, address = socket.AF_UNIX, where
    if isinstance(where, int):
        family, address = socket.AF_INET, ("127.0.0.1", where)
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0


def free_port() -> int:
    """One that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.scaling", description=__doc__)
    parser.add_argument("size", choices=["one", "processes", "machines"])
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any")
    parser.add_argument("--router", choices=ROUTERS, help="default: the first that is installed")
    options = parser.parse_args()
    router = options.router or next(filter(executable, ROUTERS), "")
    if options.size == "machines" and not executable(router or ""):
        missing = router or "nginx"
        parser.error(f"{missing} is not installed; install it, or write --router with another")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    with tempfile.TemporaryDirectory(prefix="mountkit-") as folder:
        site = Site(options.port or free_port(), folder)
        try:
            if options.size == "machines":
                site.machines(router)
            else:
                getattr(site, options.size)()
            site.run()
        except KeyboardInterrupt:
            return 130
        finally:
            site.end()
    return 1


if __name__ == "__main__":
    sys.exit(main())
