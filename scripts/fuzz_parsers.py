"""The parsers, under atheris: it changes bytes in whatever way leads to code that has not run yet.

    scripts/fuzz parsers --count 1000000
    scripts/fuzz parsers --only forwarded --replay crash-…

Each parser has a process of its own. The seed is printed, `--seed` runs the same again; bytes that
a parser fails on are kept in a file, and printed with the error.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mountkit"]):
    from tests.support.parsers import PARSERS

#: Longer than any of them takes, and still quick.
MAX_LENGTH = 400


def run(name: str, arguments: list[str]) -> None:
    """Fuzz one parser in this process, which ends with it."""
    atheris.Setup([name, *arguments], PARSERS[name])
    atheris.Fuzz()


def fuzz(name: str, count: int, seed: int, kept: Path) -> bool:
    """Fuzz one parser in another process.

    Returns:
        Whether it stood.
    """
    # libFuzzer's options; 0 would have it choose a seed of its own.
    options = [f"-runs={count}", f"-seed={seed or 1}", f"-max_len={MAX_LENGTH}", "-timeout=10"]
    options.append(f"-artifact_prefix={kept}/{name}-")
    command = [sys.executable, "-m", "scripts.fuzz_parsers", "--only", name, "--run"]
    done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
    *_, last = [line for line in done.stderr.splitlines() if "cov:" in line] or [""]
    print(f"{name}: {'held' if not done.returncode else 'FAILED'}  {last}", flush=True)
    if done.returncode:
        shown = [line for line in done.stderr.splitlines() if line[:1] not in ("#", "I", "W")]
        print("\n".join([done.stdout, *shown]), flush=True)
    return not done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="scripts/fuzz parsers")
    parser.add_argument("--count", type=int, default=100_000, help="inputs for each parser")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--only", choices=sorted(PARSERS), help="one of the parsers")
    parser.add_argument("--replay", type=Path, help="a file of bytes that were kept; with --only")
    parser.add_argument("--run", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = [options.only] if options.only else list(PARSERS)
    if options.run is not None:
        run(options.only, options.run)
    elif options.replay is not None:
        for name in names:
            PARSERS[name](options.replay.read_bytes())
    else:
        kept = Path(tempfile.mkdtemp(prefix="mountkit-fuzz-"))
        print(f"seed {options.seed}; what a parser fails on is kept in {kept}", flush=True)
        held = [fuzz(name, options.count, options.seed, kept) for name in names]
        raise SystemExit(not all(held))


if __name__ == "__main__":
    main()
