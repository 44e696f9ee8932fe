"""Many frameworks, one interpreter, one port: run `scripts/demo`, or `python -m examples.demo`."""
