"""The lines that parent and workers write."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from mountkit.server.logs import JsonFormatter, TextFormatter


def record(**more: Any) -> logging.LogRecord:
    found = logging.LogRecord("mine", logging.INFO, "a.py", 1, "Hello %s", ("you",), None)
    vars(found).update(more)
    return found


def test_text() -> None:
    """The process, and of a request its mount."""
    formatter = TextFormatter("worker 1")
    assert formatter.format(record()).endswith(f" INFO    worker 1 ({os.getpid()}): Hello you")
    assert formatter.format(record(mount="/shop")).endswith(": Hello you [/shop]")


def test_json() -> None:
    """One line, whatever is in it."""
    formatter = JsonFormatter("worker 1")
    found = json.loads(formatter.format(record(created=0.25, msecs=250.0, host="é", mine=object())))
    assert found == {
        "time": "1970-01-01T00:00:00.250Z", "level": "info", "logger": "mine",
        "message": "Hello you", "process": "worker 1", "pid": os.getpid(), "host": "é",
    }  # fmt: skip
    try:
        raise ValueError("two\nlines")
    except ValueError:
        line = formatter.format(record(exc_info=sys.exc_info()))
    assert "\n" not in line
    assert "ValueError: two\nlines" in json.loads(line)["error"]


LOGGERS = {
    "mountkit.serve": ("info", True),
    "mountkit.lifespan": ("debug", False),
    "uvicorn": ("info", True),
    "of an app": ("warning", True),
    "of an app too": ("info", False),
}
TOLD = """
import logging, sys
from mountkit.server import logs
for _ in range(2):
    logs.set_up({level!r}, "text", False, "worker 1")
logging.getLogger({name!r}).log(logging.getLevelName({of!r}.upper()), "hello")
"""


def lines(name: str, of: str, level: str = "info") -> list[str]:
    """What a process writes."""
    code = TOLD.format(name=name, of=of, level=level)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


@pytest.mark.parametrize(("name", "told"), LOGGERS.items(), ids=LOGGERS)
def test_loggers(name: str, told: tuple[str, bool]) -> None:
    """Each line once, even if this is set up again."""
    of, is_written = told
    assert [line[-5:] for line in lines(name, of)] == ["hello"] * is_written


def test_what_servers_say_of_themselves() -> None:
    """mountkit says it once for all servers; errors and warnings are written."""
    code = (
        "import logging, uvicorn.server as one, granian.log\n"
        "from mountkit.server import logs\n"
        "logs.set_up({!r}, 'text', False, 'worker 1')\n"
        "say = compile('l.log(level, text)', one.__file__, 'exec')\n"
        "for name, level, text in [('uvicorn.error', 20, 'a'), ('uvicorn.error', 30, 'b'),\n"
        "                          ('_granian', 30, 'c'), ('_granian', 40, 'd')]:\n"
        "    l = logging.getLogger(name)\n"
        "    exec(say)\n"
    )
    for level, said in {"info": "bd", "debug": "abcd"}.items():
        done = subprocess.run(
            [sys.executable, "-c", code.format(level)], capture_output=True, text=True, check=True
        )
        assert "".join(line[-1] for line in done.stderr.splitlines()) == said
