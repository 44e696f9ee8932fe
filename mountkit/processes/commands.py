"""What is started: the command, its environment, and its socket."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from mountkit.exceptions import PatternError

FD = "{fd}"
SOCKET = "{socket}"
RUNNER: Path = Path(__file__).with_name("runner.py")

#: Variables that are meant for the process that has them, and not for its children: of systemd, of
#: servers that hand on their sockets, and of those that read how many workers to start.
OWN: frozenset[str] = frozenset(
    {
        *("LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "MAINPID", "NOTIFY_SOCKET"),
        *("INVOCATION_ID", "JOURNAL_STREAM", "WATCHDOG_PID", "WATCHDOG_USEC"),
        *("GUNICORN_FD", "GUNICORN_PID", "WEB_CONCURRENCY", "__PYVENV_LAUNCHER__"),
    }
)
#: Variables that would bring one Python's modules into another.
_PYTHON = frozenset(("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"))
# What the address of a unix socket can hold is 104 bytes on macOS, and 108 on Linux.
_LONGEST = 100
_BACKLOG = 2048


@dataclass(frozen=True)
class Command:
    """What is started; see `Process`.

    Attributes:
        arguments: the command, with placeholders.
        bin: the folder of the programs of a virtual environment.
    """

    arguments: tuple[str, ...]
    cwd: str | None
    env: Mapping[str, str]
    inherit_env: frozenset[str] | None
    bin: Path | None

    @classmethod
    def make(
        cls,
        arguments: Sequence[str] | None,
        app: str | None,
        factory: bool,
        interface: str,
        python: str | os.PathLike[str] | None,
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
        inherit_env: Iterable[str] | None,
    ) -> Command:
        """Check what a user has said.

        Raises:
            PatternError: it can never work.
        """
        program, folder = _program(python)
        if app is not None:
            if arguments is not None:
                raise PatternError("A Process has a command and an app; write one of them.")
            arguments = _of_app(program, app, factory, interface)
        if isinstance(arguments, str) or not arguments or not all(map(_is_text, arguments)):
            raise PatternError(
                f"command={arguments!r} is not a list of arguments; write "
                "['uvicorn', 'app:app', '--fd', '{fd}']."
            )
        if env is not None and not isinstance(env, Mapping):
            raise PatternError(f"env={env!r} is not a mapping; write e.g. {{'DEBUG': '1'}}.")
        values = dict(env or {})
        for name, value in values.items():
            if not _is_text(name) or not _is_text(value) or not name or "=" in name:
                raise PatternError(
                    f"The variable {name!r} cannot be {value!r}; write e.g. {{'DEBUG': '1'}}."
                )
        said = [*arguments, *values.values()]
        if not any(FD in one or SOCKET in one for one in said):
            raise PatternError(
                f"The command {' '.join(arguments)!r} is not told where to listen; write '{{fd}}', "
                "the number of an open socket, or '{socket}', the path of a unix socket, into it."
            )
        names = None if inherit_env is None else names_of("inherit_env", inherit_env)
        return cls(tuple(arguments), None if cwd is None else str(cwd), values, names, folder)

    @property
    def takes_fd(self) -> bool:
        """Whether it takes a socket that listens already."""
        return any(FD in one for one in (*self.arguments, *self.env.values()))

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The variables that it gets.

        Args:
            environ: those of this process.
        """
        left_out = OWN | (_PYTHON if self.bin else frozenset())
        known = self.inherit_env
        found = {
            name: value
            for name, value in environ.items()
            if (known is None or name in known) and name not in left_out
        }
        if self.bin is not None:
            found["VIRTUAL_ENV"] = str(self.bin.parent)
            found["PATH"] = os.pathsep.join((str(self.bin), environ.get("PATH", os.defpath)))
        return {**found, **self.env}


def names_of(option: str, names: Iterable[str]) -> frozenset[str]:
    """Raises:
    PatternError: it is one text, whose letters would be taken for names.
    """
    if isinstance(names, str):
        raise PatternError(f"{option}={names!r} is one text; write [{names!r}].")
    return frozenset(names)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _of_app(program: str, app: str, factory: bool, interface: str) -> list[str]:
    if not isinstance(app, str) or not app.rpartition(":")[0]:
        raise PatternError(
            f"app={app!r} is not a name; write 'package.module:app'. To serve an app of this "
            "process, mount it."
        )
    if interface not in ("auto", "asgi", "wsgi"):
        raise PatternError(f"interface={interface!r} is not known; write 'auto', 'asgi' or 'wsgi'.")
    options = ["--interface", interface, *(["--factory"] if factory else [])]
    return [program, "-u", str(RUNNER), app, "--fd", FD, *options]


def _program(python: str | os.PathLike[str] | None) -> tuple[str, Path | None]:
    """The interpreter, and the folder of its programs, if it is not this one's."""
    if python is None:
        return sys.executable, None
    path = Path(python).absolute()  # not resolved: a link to an interpreter has its environment
    if path.is_dir():
        path = path / "bin" / "python"
    if not path.is_file():
        raise PatternError(
            f"python={str(python)!r} is not a virtual environment; make one with "
            f"'python -m venv {python}'."
        )
    return str(path), path.parent


class Place:
    """Where a child listens: a unix socket with a name of its own, in a folder that no other user
    can enter.

    Attributes:
        path: of the socket.
        listener: the socket, for a command that takes it.
    """

    def __init__(self, *, is_open: bool) -> None:
        folder = mkdtemp(prefix="mountkit-")
        if len(os.fsencode(folder)) > _LONGEST:
            os.rmdir(folder)
            folder = mkdtemp(prefix="mountkit-", dir="/tmp")
        self.path: str = f"{folder}/s"
        self.listener: socket.socket | None = None
        if is_open:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.path)
            self.listener.listen(_BACKLOG)

    def filled(self, text: str) -> str:
        """A text with its placeholders filled in."""
        fd = "" if self.listener is None else str(self.listener.fileno())
        return text.replace(FD, fd).replace(SOCKET, self.path)

    def close(self) -> None:
        """Leave the socket to the child."""
        if self.listener is not None:
            self.listener.close()

    def remove(self) -> None:
        """Remove what is left of it."""
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(self.path))
