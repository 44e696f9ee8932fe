"""Runs the command line: `python -m mountkit`."""

import sys

from mountkit.cli import main

sys.exit(main())
