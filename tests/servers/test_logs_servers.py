"""What a user sees of the logs: on real servers, with the configuration that they have by default,
and with the files of the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import ask, websocket
from tests.support.servers import SERVERS, Server, exit_status, serve, start
from tests.support.waiting import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")
_TITLED = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
APPS = "tests.support.apps.logged"


def lines_of(server: Server) -> list[str]:
    """Its output, with figures that differ from run to run as the page has them."""
    text = re.sub(r"started in \d+ ms", "started in 1 ms", server.output)
    return re.sub(r"process \[\d+\]", "process [4711]", text).splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the files of the page."""
    for title, text in _TITLED.findall(PAGE):
        (tmp_path / title).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["uvicorn-httptools", "uvicorn-h11"])
def test_the_start_as_the_page_shows_it(name: str, folder: Path) -> None:
    """By uvicorn's default configuration."""
    with serve(name, "main:app", folder=folder) as server:
        expected = _SHOWN.findall(PAGE)[0].splitlines()
        assert lines_of(server)[: len(expected)] == expected


@pytest.mark.parametrize("name", ["uvicorn-httptools", "uvicorn-h11"])
def test_the_access_log_as_the_page_shows_it(name: str, folder: Path) -> None:
    """With the file of the page."""
    options = ["--log-config", "log.json"]
    _, *expected = _SHOWN.findall(PAGE)[1].splitlines()
    with serve(name, "main:app", folder=folder, options=options) as server:
        mounted = [line for line in lines_of(server) if "mounted" in line]
        assert mounted == [
            line for line in _SHOWN.findall(PAGE)[0].splitlines() if "mounted" in line
        ]
        ask(server.port, "/orders/7")
        ask(server.port, "/", host="acme.example.com")
        ask(server.port, "/nothing")
        wait_until(lambda: server.output.splitlines()[-len(expected) :] == expected)


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mounts": {"()": "mountkit.AccessFilter"}},
    "formatters": {"access": {"format": "[%(mount)s %(host)s %(tenant)s] %(message)s"}},
    "handlers": {
        "access": {
            "class": "logging.StreamHandler",
            "formatter": "access",
            "filters": ["mounts"],
        }
    },
    "loggers": {},
}
OPTIONS = {
    "uvicorn": ("uvicorn.access", ["--log-config", "{}"]),
    "hypercorn": ("hypercorn.access", ["--access-logfile", "-", "--log-config", "json:{}"]),
    "granian": ("granian.access", ["--access-log", "--log-config", "{}"]),
}
#: Target, host and what the record says.
REQUESTS = [
    ("/a/b/", "localhost", "[/a/b localhost -]"),
    ("/a/x", "localhost:80", "[/a localhost -]"),
    ("/wsgi/x", "localhost", "[/wsgi localhost -]"),
    ("/t/blue/", "localhost", "[/t/{tenant} localhost blue]"),
    ("/apps/", "acme.example.com", "[/apps acme.example.com acme]"),
    ("/apps/", "localhost", "[/apps localhost -]"),
    ("/routed/", "localhost", "[/routed localhost -]"),
    ("/own", "LOCALHOST.", "[- localhost -]"),
    ("/nothing", "localhost", "[- localhost -]"),
    ("/own", "a b", "[- - -]"),
]


def log_config(name: str, tmp_path: Path, *loggers: str) -> list[str]:
    """Options for a configuration with a handler for the server's access log."""
    logger, options = OPTIONS[name.partition("-")[0]]
    own = {"handlers": ["access"], "level": "INFO", "propagate": False}
    file = tmp_path / "log.json"
    file.write_text(json.dumps({**CONFIG, "loggers": dict.fromkeys([logger, *loggers], own)}))
    return [option.format(file) for option in options]


@pytest.mark.parametrize("name", SERVERS)
def test_the_access_log_of_each_server(name: str, tmp_path: Path) -> None:
    """Through middleware that sends from a task of its own, at any depth, from threads."""
    options = log_config(name, tmp_path)
    with serve(name, f"{APPS}:app", options=options) as server:
        for target, host, expected in REQUESTS:
            mark = len(server.output)
            ask(server.port, target, host=host)
            wait_until(lambda: target in server.output[mark:])  # noqa: B023
            told = [line for line in server.output[mark:].splitlines() if target in line]
            assert {line[: len(expected)] for line in told} == {expected}


@pytest.mark.parametrize("name", ["uvicorn-httptools", "uvicorn-h11"])
def test_websockets_in_the_log_of_uvicorn(name: str, tmp_path: Path) -> None:
    """They are in its other log."""
    options = log_config(name, tmp_path, "uvicorn.error")
    with serve(name, f"{APPS}:app", options=options) as server:
        assert websocket(server.port, "/t/blue/ws").status == 101
        wait_until(lambda: "[/t/{tenant} localhost blue]" in server.output)
        assert '"WebSocket /t/blue/ws" [accepted]' in server.output


@pytest.mark.parametrize("level", ["info", "warning"])
@pytest.mark.parametrize("name", ["uvicorn-h11", "granian"])
def test_the_servers_level_is_that_of_mountkit(name: str, level: str) -> None:
    """Where nobody has set another."""
    with serve(name, f"{APPS}:alone", options=["--log-level", level]) as server:
        told = [line for line in lines_of(server) if "mounted" in line]
    where = "(tests/support/apps/logged.py:"
    shown = [line.partition("mounted ")[2].partition(where)[::2] for line in told]
    assert [first for first, _ in shown] == (["/well → Starlette "] if level == "info" else [])


@pytest.mark.parametrize("name", SERVERS)
def test_an_app_that_configures_its_logging(name: str) -> None:
    """Its configuration is that of mountkit too: each record is written once, in its format."""
    with serve(name, f"{APPS}:alone", env={"TEST_LOGGING": "1"}) as server:
        told = [line for line in lines_of(server) if "mounted" in line]
    assert [line.partition("(")[0] for line in told] == [
        "INFO:mountkit.lifespan:mounted /well → Starlette "
    ]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param("failing", "The app mounted at '/bad'", id="mount"),
        pytest.param("below", "The app mounted at '/bad'", id="in front of an app"),
        pytest.param("above", "The wrapped app", id="the wrapped app"),
        pytest.param("nested", "The app mounted at '/bad'", id="nested"),
    ],
)
def test_a_failed_start(target: str, name: str) -> None:
    """Is one line and one traceback."""
    with start("uvicorn-h11", f"{APPS}:{target}", fails=True) as server:
        assert exit_status(server) == 3
        output = server.output
    assert output.count("Traceback (most recent call last)") == 1
    [line] = [line for line in output.splitlines() if name in line]
    assert line.startswith("ERROR:    The ")
    assert line.endswith("failed to start: RuntimeError: no database")
    assert output.count(", in connect") == 1


@pytest.mark.parametrize("name", ["uvicorn-h11", "hypercorn-asyncio", "granian"])
def test_an_isolated_app_that_does_not_start(name: str) -> None:
    """One traceback, and one line for each attempt."""
    with serve(name, f"{APPS}:isolated") as server:
        wait_until(lambda: "again in 2 seconds" in server.output)
        output = server.output
    told = [line.partition("/bad' (")[2].partition(") ")[2] for line in output.splitlines()]
    assert [line for line in told if line][:2] == [
        f"is not up and answers 503; it is started again in {delay}. "
        "It failed to start: RuntimeError: no database"
        for delay in ("1 second", "2 seconds")
    ]
    assert output.count("Traceback (most recent call last)") == 1
