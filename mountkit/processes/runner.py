"""Serves an app in an interpreter of its own, below mountkit's `Process`.

    python runner.py package.module:app --fd 3

Run by path, with the standard library and one of `SERVERS`; mountkit need not be installed. Runs on
Python 3.8 and later. Each request comes with a header in which mountkit says what the app would see
of it if it were mounted there: it becomes the scope of an ASGI app, or the environ of a WSGI app.
`Process` removes what a client sends of it. With `--root-path /old` the header is not read, and the
app gets that prefix: behind a proxy that forwards the whole path.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import inspect
import json
import os
import signal
import socket
import sys
from typing import Any, Callable  # noqa: UP035

HEADER = b"x-mountkit-scope"
_KEY = "HTTP_X_MOUNTKIT_SCOPE"


class ASGI:
    """The app with its scope."""

    def __init__(self, app: Any, root_path: str | None) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            found = scope_of(scope, self.root_path)
            if found is None:  # whether the server is up
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            scope = found
        await self.app(scope, receive, send)


def scope_of(scope: Any, root_path: str | None) -> Any:
    """The scope as the app gets it; `None` if nobody has said."""
    if root_path is not None:
        return {**scope, "root_path": root_path}
    given = [value for name, value in scope["headers"] if name == HEADER]
    if not given:
        return None
    said = json.loads(given[0])
    for name in ("client", "server"):
        said[name] = said[name] and tuple(said[name])
    headers = [(name, value) for name, value in scope["headers"] if name != HEADER]
    return {**scope, **said, "headers": headers}


class WSGI:
    """The app with its environ."""

    def __init__(self, app: Any, root_path: str | None) -> None:
        self.app = app
        self.root_path = root_path

    def __call__(self, environ: Any, start_response: Any) -> Any:
        text = environ.pop(_KEY, None)
        path = environ["PATH_INFO"]
        if self.root_path is not None:
            _set_path(environ, path, _latin1(self.root_path))
        elif text is None:  # whether the server is up
            start_response("204 No Content", [])
            return []
        else:
            said = json.loads(text)
            path = _latin1(said["path"]) if "path" in said else path
            _set_path(environ, path, _latin1(said["root_path"]))
            _set_connection(environ, said)
        return self.app(environ, start_response)


def _set_path(environ: Any, path: str, root_path: str) -> None:
    root_path = root_path.rstrip("/")
    rest = path[len(root_path) :] if path.startswith(root_path) else path
    if rest[:1] not in ("", "/"):  # the prefix of another segment
        rest = path
    environ["SCRIPT_NAME"] = root_path
    environ["PATH_INFO"] = rest if rest or root_path else "/"


def _set_connection(environ: Any, said: Any) -> None:
    scheme = said["scheme"]
    name, port = said["server"] or ("localhost", None)
    environ["wsgi.url_scheme"] = scheme
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = str(port or (443 if scheme == "https" else 80))
    environ["SERVER_PROTOCOL"] = "HTTP/" + said["http_version"]
    for key in ("HTTPS", "REMOTE_ADDR", "REMOTE_PORT"):
        environ.pop(key, None)
    if scheme == "https":
        environ["HTTPS"] = "on"
    if said["client"]:
        environ["REMOTE_ADDR"] = said["client"][0]
        environ["REMOTE_PORT"] = str(said["client"][1])


def _latin1(path: str) -> str:
    """The bytes of the decoded path, each as one character (PEP 3333)."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


def load(target: str, is_factory: bool) -> Any:
    """The app that is named: `package.module:app`, or a file, `blog/main.py:app`."""
    name, _, attribute = target.rpartition(":")
    if name.endswith(".py"):
        sys.path.insert(0, os.path.dirname(os.path.abspath(name)))
        name = os.path.basename(name)[:-3]
    value: Any = importlib.import_module(name)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value() if is_factory else value


def interface_of(app: Any) -> str:
    """`"asgi"` or `"wsgi"`."""
    call = getattr(app, "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return "wsgi"
    wanted = [one for one in parameters if one.kind < one.VAR_POSITIONAL]
    return "asgi" if len(wanted) == 3 else "wsgi"


def _uvicorn(make: Callable[[], Any], fd: int) -> None:
    import uvicorn

    options: dict[str, Any] = {"access_log": False, "proxy_headers": False, "interface": "asgi3"}
    options.update(server_header=False, date_header=False)  # the server in front says these
    uvicorn.Server(uvicorn.Config(make(), **options)).run([socket.socket(fileno=fd)])


def _hypercorn(make: Callable[[], Any], fd: int) -> None:
    import asyncio

    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{fd}"]
    config.include_server_header = config.include_date_header = False
    asyncio.run(serve(make(), config))


def _gunicorn(make: Callable[[], Any], fd: int) -> None:
    base: Any = importlib.import_module("gunicorn.app.base").BaseApplication

    class Server(base):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {"bind": f"fd://{fd}", "worker_class": "gthread", "threads": 10}
            # Longer than mountkit keeps a connection; and nobody else is to control it.
            options.update(keepalive=75, control_socket_disable=True)
            # The server in front has limits.
            options.update(limit_request_line=0, limit_request_fields=32768)
            options.update(limit_request_field_size=2**20)
            for name in options.keys() & self.cfg.settings.keys():
                self.cfg.set(name, options[name])

        def load(self) -> Any:
            return make()

    Server().run()


#: By interface, the servers that can run an app: the first that is installed does.
SERVERS: dict[str, dict[str, Callable[[Callable[[], Any], int], None]]] = {
    "asgi": {"uvicorn": _uvicorn, "hypercorn": _hypercorn},
    "wsgi": {"gunicorn": _gunicorn},
}


def _layered(make: Callable[[], Any], interface: str, root_path: str | None) -> Any:
    return (ASGI if interface == "asgi" else WSGI)(make(), root_path)


def _stop(*_: object) -> None:
    """Before a server has a handler of its own, and after: uvicorn raises the signal again."""
    sys.exit(0)


def main() -> None:
    """Serve the app that the command line names."""
    parser = argparse.ArgumentParser(description="Serves an app below mountkit's Process.")
    parser.add_argument("target", help="package.module:app, or a file: blog/main.py:app")
    parser.add_argument("--fd", type=int, required=True, help="of a socket that listens")
    parser.add_argument("--factory", action="store_true", help="the name is that of a factory")
    parser.add_argument("--interface", choices=["auto", "asgi", "wsgi"], default="auto")
    parser.add_argument("--root-path", help="the prefix, which is in each path")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    sys.path[0] = os.getcwd()  # as `python -m` does, and not the folder of this file
    interface = given.interface
    made = functools.lru_cache(None)(functools.partial(load, given.target, given.factory))
    if interface == "auto":
        interface = interface_of(made())
        if interface == "wsgi":  # its server forks, and the app is to be imported after that
            arguments = [*sys.argv, "--interface", interface]
            os.execv(sys.executable, [sys.executable, "-u", *arguments])
    for name, serve in SERVERS[interface].items():
        if importlib.util.find_spec(name) is not None:
            make = functools.partial(_layered, made, interface, given.root_path)
            sys.exit(serve(make, given.fd))
    known = " or ".join(SERVERS[interface])
    sys.exit(f"{sys.executable} has no server for {given.target}: install {known} there.")


if __name__ == "__main__":
    main()
