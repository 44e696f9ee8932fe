"""What mountkit logs, although an app configures its logging for itself alone."""

from __future__ import annotations

import logging.config
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from mountkit import Dispatcher, Mount
from mountkit.logs import Log
from tests.support.clients import ClientFactory

INI = """
[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
level = WARNING
handlers =
"""


def by_dict(tmp_path: Path) -> None:
    logging.config.dictConfig({"version": 1, "incremental": False})


def by_file(tmp_path: Path) -> None:
    """As the `env.py` that alembic writes does it."""
    path = tmp_path / "alembic.ini"
    path.write_text(INI)
    logging.config.fileConfig(path)


@pytest.fixture(params=[by_dict, by_file])
def configure(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[], None]]:
    """Configures logging and names no logger of mountkit's; the handlers of the test stay."""
    root, logger = logging.getLogger(), logging.getLogger("mountkit.lifespan")
    handlers, level = root.handlers[:], root.level

    def configured() -> None:
        request.param(tmp_path)
        root.handlers[:] = handlers
        assert logger.disabled

    yield configured
    for name in ("", ".lifespan", ".errors"):
        logging.getLogger(f"mountkit{name}").disabled = False
    root.setLevel(level)


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mountkit.logs.Log._has_told", False)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("mountkit")]


def failing(configure: Callable[[], None]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            configure()
        raise RuntimeError("boom")

    return app


@pytest.mark.parametrize("when", ["import", "startup"])
def test_a_configuration_is_told_at_start(
    client: ClientFactory,
    configure: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    """And what goes wrong later is not lost."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if when == "startup":
            configure()
        yield

    if when == "import":
        configure()
    mounts = [
        Mount("/a", failing(lambda: None), errors="contain"),
        Mount("/b", Starlette(lifespan=lifespan)),
    ]
    with client(Dispatcher(mounts)) as session:
        [told] = messages(caplog)
        assert told.startswith(
            "The logger 'mountkit.lifespan' was disabled by a logging configuration"
        )
        assert "disable_existing_loggers=False" in told
        assert session.get("/a/").status_code == 500
    assert "The app mounted at '/a'" in messages(caplog)[-1]


def test_a_configuration_in_a_request(
    client: ClientFactory, configure: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, with the first record that would be lost."""
    with client(Dispatcher([Mount("/a", failing(configure), errors="contain")])) as session:
        assert messages(caplog) == []
        for _ in range(2):
            assert session.get("/a/").status_code == 500
    assert [message.split(" (")[0] for message in messages(caplog)] == [
        "The logger 'mountkit.errors' was disabled by a logging configuration, and is on again: what goes "
        "wrong would be lost. Write disable_existing_loggers=False where an app calls "
        "logging.config; to silence the logger, set its level.",
        *["The app mounted at '/a'"] * 2,
    ]


def test_a_level_silences(
    client: ClientFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with any logger."""
    logger = logging.getLogger("mountkit.test")
    logger.setLevel(logging.CRITICAL)
    monkeypatch.setattr("mountkit.middleware.errors.logger", Log(logger))
    app = Dispatcher([Mount("/a", failing(lambda: None), errors="contain")])
    with client(app) as session:
        assert session.get("/a/").status_code == 500
    assert caplog.records == []


def test_a_record_says_who_has_written_it(caplog: pytest.LogCaptureFixture) -> None:
    """The line is not that of the adapter."""
    Log(logging.getLogger("mountkit")).warning("here")
    [record] = caplog.records
    assert record.filename == "test_logs.py"


# Where nobody has configured anything.


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger of a server."""
    server = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(server, "level", logging.INFO)
    monkeypatch.setattr(server, "disabled", True)  # by an app's configuration
    monkeypatch.setattr(logging.getLogger("mountkit.test"), "level", logging.NOTSET)
    return server


class Kept(logging.Handler):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture
def kept(bare: logging.Logger) -> Iterator[Kept]:
    """The handler of the server."""
    handler = Kept()
    bare.addHandler(handler)
    yield handler
    bare.removeHandler(handler)


def written(log: Log) -> None:
    """As in a process without handlers but for those of this test: pytest adds its own, and servers
    that other tests have run here may have left some."""
    names = ("", "uvicorn", "uvicorn.error", "hypercorn.error", "_granian", "gunicorn.error")
    found = {name: logging.getLogger(name).handlers for name in names}
    for name, handlers in found.items():
        kept = [handler for handler in handlers if isinstance(handler, Kept)]
        logging.getLogger(name).handlers = kept
    try:
        log.debug("debug")
        log.info("info")
        log.error("error")
    finally:
        for name, handlers in found.items():
            logging.getLogger(name).handlers = handlers


def test_the_handlers_and_the_level_of_the_server(kept: Kept) -> None:
    """As if the record were its own."""
    written(Log(logging.getLogger("mountkit.test")))
    assert kept.messages == ["mountkit.test: info", "mountkit.test: error"]


def test_a_level_of_ones_own_with_the_handlers_of_the_server(kept: Kept) -> None:
    """It goes before that of the server."""
    logger = logging.getLogger("mountkit.test")
    logger.setLevel(logging.ERROR)
    written(Log(logger))
    assert kept.messages == ["mountkit.test: error"]


def test_what_is_disabled_for_all(kept: Kept) -> None:
    """`logging.disable` holds here too."""
    logging.disable(logging.INFO)
    try:
        written(Log(logging.getLogger("mountkit.test")))
    finally:
        logging.disable(logging.NOTSET)
    assert kept.messages == ["mountkit.test: error"]


@pytest.mark.parametrize("name", ["", "mountkit", "mountkit.test"])
def test_a_handler_of_ones_own(name: str, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets each record once, and the server none."""
    own, owner = Kept(), logging.getLogger(name)
    monkeypatch.setattr(owner, "handlers", [*owner.handlers, own])
    written(Log(logging.getLogger("mountkit.test")))
    assert own.messages == ["mountkit.test: error"]
    assert kept.messages == []


def test_a_logger_that_does_not_propagate(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root's handlers are not its own."""
    own, logger = Kept(), logging.getLogger("mountkit.test")
    monkeypatch.setattr(logger, "handlers", [own])
    monkeypatch.setattr(logger, "propagate", False)
    written(Log(logger))
    assert own.messages == ["mountkit.test: error"]
    assert kept.messages == []


def test_without_a_server(bare: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """As `logging` does it without configuration: warnings, on stderr."""
    written(Log(logging.getLogger("mountkit.test")))
    assert capsys.readouterr().err == "error\n"


def test_without_a_last_resort(
    bare: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be turned off."""
    monkeypatch.setattr(logging, "lastResort", None)
    written(Log(logging.getLogger("mountkit.test")))
    assert capsys.readouterr().err == ""
