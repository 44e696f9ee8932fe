"""`python -m examples.saas`: serve the SaaS on `*.localhost`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import socket
import sys

import uvicorn

from examples.ports import port_number
from examples.saas.databases import Databases
from examples.saas.seed import ADMIN_PASSWORD, SHOPS
from examples.saas.settings import Settings


def places(port: int) -> list[str]:
    """What to open, and who can log in."""
    found = [
        ("Marketing", f"http://localhost:{port}/", ""),
        ("Admin", f"http://admin.localhost:{port}/", f"user admin, password {ADMIN_PASSWORD}"),
    ]
    for shop in SHOPS:
        url = f"http://{shop.slug}.localhost:{port}/"
        found.append((shop.name, url, f"user owner, password {shop.password}"))
        if shop.domain is not None:
            found.append(("", f"http://{shop.domain}:{port}/", "the same, at a domain of its own"))
    return [f"  {name:<15} {url:<36} {login}".rstrip() for name, url, login in found]


class Server(uvicorn.Server):
    """Says where to look, once there is something to see."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            port = sockets[0].getsockname()[1]
            print("", *places(port), "  Ctrl-C stops it.", "", sep="\n", flush=True)


def serve(port: int) -> int:
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        print(
            f"Port {port} is taken by another program; choose one, or 0 for any that is free: "
            "scripts/saas --port 0",
            file=sys.stderr,
        )
        return 1
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:     %(message)s")
    # Pages that are open in a browser do not keep it waiting.
    server = Server(uvicorn.Config("examples.saas.main:app", timeout_graceful_shutdown=2))
    with contextlib.suppress(KeyboardInterrupt):  # raised by uvicorn when all is shut down
        server.run(sockets=[listener])
    return 0 if server.started else 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/saas", description=__doc__)
    parser.add_argument(
        "--port", type=port_number, default=8000, help="default: %(default)s; 0: any"
    )
    parser.add_argument(
        "--data",
        metavar="DIRECTORY",
        help="of the SQLite files and the secret key; default: saas-data",
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="of the control database, such as postgresql://user:password@localhost/saas, whose "
        "user may create databases; default: SQLite",
    )
    options = parser.parse_args()
    if options.data:
        os.environ["SAAS_DATA"] = options.data
    if options.database_url:
        os.environ["SAAS_DATABASE_URL"] = options.database_url
    try:
        Databases(Settings.from_environ().database_url)
    except ValueError as exc:
        parser.error(str(exc))
    return serve(options.port)


if __name__ == "__main__":
    sys.exit(main())
