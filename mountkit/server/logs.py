"""What parent and workers log, as lines for people or as JSON, with the worker that says it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import PurePath
from typing import Any, Literal

from mountkit.serving.access import AccessFilter

_SERVERS = ("uvicorn", "hypercorn.error", "_granian")
_ACCESS = ("uvicorn.access", "hypercorn.access", "granian.access")
#: The folders of the servers' own code, which says in several lines that a worker has started.
_CODE = {"uvicorn", "hypercorn"}
_MORE = ("mount", "host", "tenant")


def set_up(level: str, form: Literal["text", "json"], access: bool, who: str) -> logging.Handler:
    """Have mountkit and the servers log to standard error.

    Loggers of apps keep what they configure; without a configuration, their warnings look the same.

    Args:
        level: the least, by its name.
        access: whether requests are logged.
        who: what each line says of the process: `"worker 1"`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(who) if form == "json" else TextFormatter(who))
    least = logging.getLevelName(level.upper())
    for name in ("mountkit", *_SERVERS):
        _attach(logging.getLogger(name), handler, least)
    if least > logging.DEBUG:
        handler.addFilter(_is_worth_it)
    for name in _ACCESS:
        requests = logging.getLogger(name)
        _attach(requests, handler if access else logging.NullHandler(), logging.INFO)
        if access:
            requests.addFilter(AccessFilter())
    spare = logging.StreamHandler(sys.stderr)
    spare.setFormatter(handler.formatter)
    spare.setLevel(logging.WARNING)
    logging.lastResort = spare
    return handler


def keep_standard_streams() -> None:
    """Open what is closed of standard input, output and error, here and for the workers: else a
    socket gets its number, and what an app prints."""
    for name, number in {"stdin": 0, "stdout": 1, "stderr": 2}.items():
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _attach(logger: logging.Logger, handler: logging.Handler, level: int) -> None:
    logger.handlers = [one for one in logger.handlers if one.get_name() != "mountkit serve"]
    handler.set_name("mountkit serve")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def _is_worth_it(record: logging.LogRecord) -> bool:
    """Whether it is not what a server says of itself: mountkit says which worker has started, and
    knows that granian calls its embedded server experimental."""
    if record.levelno > logging.WARNING or record.name in _ACCESS:
        return True
    if record.name.startswith("_granian"):
        return False
    is_own = not _CODE.isdisjoint(PurePath(record.pathname).parts)
    return not is_own or record.levelno == logging.WARNING


class TextFormatter(logging.Formatter):
    """`2026-11-28 15:04:05 INFO    worker 1 (4242): …`."""

    def __init__(self, who: str) -> None:
        super().__init__(
            f"%(asctime)s %(levelname)-7s {who} ({os.getpid()}): %(message)s", "%Y-%m-%d %H:%M:%S"
        )

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        mount = vars(record).get("mount")
        return line if mount is None else f"{line} [{mount}]"


class JsonFormatter(logging.Formatter):
    """An object in each line: `time` (UTC, RFC 3339), `level`, `logger`, `message`, `process`,
    `pid`; `error`, a traceback; of requests `mount`, `host` and `tenant`."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who = who

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": self.who,
            "pid": os.getpid(),
        }
        found |= {name: vars(record)[name] for name in _MORE if name in vars(record)}
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)
