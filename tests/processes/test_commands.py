"""What is started, and what can never work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mountkit import Mount, PatternError, Process
from mountkit.processes.commands import RUNNER, Command

FD = ["serve", "{fd}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "command=None is not a list of arguments; write ['uvicorn', 'app:app', '--fd', '{fd}'].",
        ),
        (
            {"command": "serve {fd}"},
            "command='serve {fd}' is not a list of arguments; write ['uvicorn', 'app:app', '--fd', "
            "'{fd}'].",
        ),
        (
            {"command": ["serve", 5]},
            "command=['serve', 5] is not a list of arguments; write ['uvicorn', 'app:app', '--fd', "
            "'{fd}'].",
        ),
        (
            {"command": ["serve", "--port", "80"]},
            "The command 'serve --port 80' is not told where to listen; write '{fd}', the number of "
            "an open socket, or '{socket}', the path of a unix socket, into it.",
        ),
        (
            {"command": FD, "app": "main:app"},
            "A Process has a command and an app; write one of them.",
        ),
        (
            {"app": "main"},
            "app='main' is not a name; write 'package.module:app'. To serve an app of this process, "
            "mount it.",
        ),
        (
            {"app": print},
            "app=<built-in function print> is not a name; write 'package.module:app'. To serve an "
            "app of this process, mount it.",
        ),
        (
            {"app": "main:app", "interface": "cgi"},
            "interface='cgi' is not known; write 'auto', 'asgi' or 'wsgi'.",
        ),
        (
            {"command": FD, "env": {"A": 1}},
            "The variable 'A' cannot be 1; write e.g. {'DEBUG': '1'}.",
        ),
        (
            {"command": FD, "env": {"A=B": "1"}},
            "The variable 'A=B' cannot be '1'; write e.g. {'DEBUG': '1'}.",
        ),
        (
            {"command": FD, "env": ["DEBUG"]},
            "env=['DEBUG'] is not a mapping; write e.g. {'DEBUG': '1'}.",
        ),
        (
            {"command": FD, "inherit_env": "PATH"},
            "inherit_env='PATH' is one text; write ['PATH'].",
        ),
        (
            {"command": FD, "without_headers": "cookie"},
            "without_headers='cookie' is one text; write ['cookie'].",
        ),
        (
            {"command": FD, "python": "/no/such/venv"},
            "python='/no/such/venv' is not a virtual environment; make one with 'python -m venv "
            "/no/such/venv'.",
        ),
        ({"command": FD, "ready": "healthz"}, "ready='healthz' is not a path; write '/healthz'."),
        ({"command": FD, "ready": "/a b"}, "ready='/a b' is not a path; write '/healthz'."),
        (
            {"command": FD, "host": "a b"},
            "host='a b' is not a host; write 'keep', 'replace' or 'a.com'.",
        ),
        *[
            (
                {"command": FD, option: value},
                f"{option}={value!r} is not a number of seconds; write e.g. 10.",
            )
            for option, value in (
                ("startup_timeout", 0),
                ("startup_timeout", None),
                ("grace", -1),
                ("grace", float("inf")),
                ("restart_pause", True),
                ("max_restart_pause", "1"),
            )
        ],
    ],
    ids=str,
)
def test_what_can_never_work(options: Any, message: str) -> None:
    """Is refused when it is made, with the fix."""
    with pytest.raises(PatternError) as caught:
        Process(**options)
    assert str(caught.value) == message


def command(**options: Any) -> Command:
    given = {"arguments": None, "app": None, "factory": False, "interface": "auto"}
    given |= {"python": None, "cwd": None, "env": None, "inherit_env": None}
    return Command.make(**{**given, **options})


def test_a_command_that_gets_its_socket_in_a_variable() -> None:
    """As those that know no option for it."""
    assert command(arguments=["serve"], env={"SOCKET": "{socket}"}).takes_fd is False
    assert command(arguments=["serve"], env={"SOCKET": "{fd}"}).takes_fd is True


def test_the_command_of_an_app() -> None:
    """It is run by a file, by path, so that mountkit need not be installed there."""
    found = command(app="main:make", factory=True, interface="asgi").arguments
    assert found[:4] == (sys.executable, "-u", str(RUNNER), "main:make")
    assert found[4:] == ("--fd", "{fd}", "--interface", "asgi", "--factory")


def test_the_environment_of_another_python(tmp_path: Path) -> None:
    """Modules of this one are not for it; what the user says goes last."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    made = command(app="main:app", python=tmp_path, env={"PYTHONPATH": "/mine"})
    assert made.arguments[0] == str(python)
    environ = {"PYTHONHOME": "/a", "PYTHONPATH": "/b", "HOME": "/c"}
    found = made.environment(environ)
    assert found["PATH"].split(":")[0] == str(python.parent)
    assert {k: v for k, v in found.items() if k != "PATH"} == {
        "HOME": "/c",
        "PYTHONPATH": "/mine",
        "VIRTUAL_ENV": str(tmp_path),
    }
    assert command(arguments=FD).environment(environ) == environ


@pytest.mark.parametrize(
    ("given", "mounted", "name"),
    [
        ({"command": ["/srv/bin/serve", "{fd}"]}, None, "serve"),
        ({"app": "main:app"}, None, "main:app"),
        ({"app": "main:app"}, {"path": "/old", "host": "a.com"}, "a.com/old"),
        ({"app": "main:app"}, {"path": "/old", "name": "old"}, "old"),
        ({"app": "main:app", "name": "mine"}, {"path": "/old", "name": "old"}, "mine"),
    ],
)
def test_its_name_in_the_log(given: Any, mounted: Any, name: str) -> None:
    """Is that of its mount, unless it has one."""
    process = Process(**given)
    if mounted is not None:
        Mount(app=process, **mounted)
    assert process._name == name
