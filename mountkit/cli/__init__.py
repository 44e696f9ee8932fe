"""The command line: `mountkit routes`, `explain`, `check`, `request`, `serve` and others.

`config.finding` finds the app that is meant. `trees` is what `routes` shows, `requests` sends what
`request` sends, `serving` reads the options of `serve`, `printing` lays out tables, and `commands`
puts them together. rich and shtab are optional: colours, and completion in a shell.

May import: everything of mountkit. Nothing imports this.

To add a command, write a function of the app and the options in `commands`, add it to `_COMMANDS`,
and its arguments to `_parser`. It prints through `Printer`, and takes `--json`. Each mistake that
one can make with it is a row of `tests/cli/test_mistakes.py`.
"""

from mountkit.cli.commands import main

__all__ = ["main"]
