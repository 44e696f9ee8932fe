"""A program that runs commands of `mountkit`, each in a process of its own: a fork, so that mountkit
is imported once for all of them.

A line of its input is a JSON object with the folder, the arguments, the environment, and the files
that get what is printed; a line of its output is the exit status. Its argument `plain` hides what
the extras `cli` and `serve` install.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

_SECONDS = 60


def run(command: dict[str, Any]) -> int:
    """Be the command."""
    from mountkit.cli import main

    signal.alarm(_SECONDS)
    for number, name in enumerate((os.devnull, command["out"], command["err"])):
        file = os.open(name, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["env"])
    sys.path[0] = command["folder"]  # as `python -m` has it
    sys.argv[1:] = command["arguments"]
    return main()


def serve() -> int:
    if sys.argv[1:] == ["plain"]:
        hidden: Any = dict.fromkeys(("rich", "rich.console", "shtab", "pydantic"))
        sys.modules.update(hidden)
    else:
        import rich.console  # noqa: F401
    import mountkit.cli  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            return run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(serve())
