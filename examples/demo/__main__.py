"""`python -m examples.demo`: serve the demo, or with `--tour` walk through it and check it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from mountkit.cli import main as mountkit

SITE = Path(__file__).with_name("mountkit.toml")
PLACES = (
    ("Start page", "http://localhost:{port}/"),
    ("Django admin", "http://localhost:{port}/django/admin/   (user demo, password demo)"),
    ("FastAPI docs", "http://localhost:{port}/fastapi/docs"),
    ("Tenants", "http://acme.localhost:{port}/   http://globex.localhost:{port}/"),
    ("Status page", "http://localhost:{status}/"),
)


def free_port() -> int:
    """One that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def serve(port: int) -> int:
    port = port or free_port()
    status = free_port()
    places = [f"  {name:<14}{urls.format(port=port, status=status)}" for name, urls in PLACES]
    print("", *places, "  Ctrl-C stops it.", "", sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="mountkit-demo-") as directory:
        os.environ["DEMO_DATABASE"] = os.path.join(directory, "notes.sqlite3")
        os.environ |= {"DEMO_PORT": str(port), "DEMO_STATUS_PORT": str(status)}
        return mountkit(["serve", str(SITE)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any")
    parser.add_argument("--tour", action="store_true", help="check every mount, and exit")
    parser.add_argument("--url", help="with --tour: of a demo that is served already")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    try:
        if options.tour:
            from examples.demo import tour

            return tour.run(options.url)
        return serve(options.port)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
