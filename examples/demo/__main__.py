"""`python -m examples.demo`: serve the demo, or with `--tour` walk through it and check it."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import tempfile

import uvicorn

PLACES = (
    ("Start page", "http://localhost:{port}/"),
    ("Django admin", "http://localhost:{port}/django/admin/   (user demo, password demo)"),
    ("FastAPI docs", "http://localhost:{port}/fastapi/docs"),
    ("Tenants", "http://acme.localhost:{port}/   http://globex.localhost:{port}/"),
)


class Server(uvicorn.Server):
    """Says where to look, once there is something to see."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            port = sockets[0].getsockname()[1]
            places = [f"  {name:<14}{urls.format(port=port)}" for name, urls in PLACES]
            print("", *places, "  Ctrl-C stops it.", "", sep="\n", flush=True)


def serve(port: int) -> int:
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        print(
            f"Port {port} is taken by another program; choose one, or 0 for any that is free: "
            "scripts/demo --port 0",
            file=sys.stderr,
        )
        return 1
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    with tempfile.TemporaryDirectory(prefix="mountkit-demo-") as directory:
        os.environ["DEMO_DATABASE"] = os.path.join(directory, "notes.sqlite3")
        # Pages that are open in a browser do not keep it waiting.
        server = Server(uvicorn.Config("examples.demo.main:app", timeout_graceful_shutdown=2))
        with contextlib.suppress(KeyboardInterrupt):  # raised by uvicorn when all is shut down
            server.run(sockets=[listener])
    return 0 if server.started else 3


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
