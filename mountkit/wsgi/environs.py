"""The WSGI environ of an ASGI scope (PEP 3333, "environ Variables"; RFC 3875)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from wsgiref.util import FileWrapper

from starlette.types import Scope

from mountkit.matching.paths import split_root_path


def environ_of(scope: Scope, body: Any, length: int | None = None) -> dict[str, Any]:
    """The environ of a mounted app's request, with `body` as its `wsgi.input`.

    Args:
        length: of the body; `None` if only its end tells.
    """
    root_path, rest = split_root_path(scope)
    # What is optional is there below a mount, but not where nothing has made a scope of its own.
    scheme = scope.get("scheme", "http")
    server_name, server_port = scope.get("server") or ("localhost", None)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        # The environment variable of this name is ignored.
        "SCRIPT_NAME": _latin1(root_path),
        # "*", of OPTIONS, is "/"; what is below a prefix may be empty.
        "PATH_INFO": _latin1(rest) if rest[:1] == "/" or (root_path and not rest) else "/",
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": server_name,
        "SERVER_PORT": str(server_port or (443 if scheme == "https" else 80)),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "asgi.scope": scope,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if scheme == "https":
        environ["HTTPS"] = "on"
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    _add_headers(environ, scope["headers"])
    _set_length(environ, length)
    return environ


def _set_length(environ: dict[str, Any], length: int | None) -> None:
    """The length without the transfer coding, which the server has removed (RFC 3875, section
    4.1.2), or that the body ends by itself. Not both: at a length, frameworks tell by themselves a
    body that was cut off."""
    is_framed = environ.pop("CONTENT_LENGTH", "") or "HTTP_TRANSFER_ENCODING" in environ
    if length or (length == 0 and is_framed):
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["CONTENT_LENGTH"] = str(length)
    else:
        environ["wsgi.input_terminated"] = True


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        # "x_a" would become the variable of "x-a", and "proxy" HTTP_PROXY (httpoxy).
        if b"_" in name or name == b"proxy":
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        if key in environ:
            # HTTP/2 may split cookies (RFC 9113, section 8.2.3).
            text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        environ[key] = text


def _latin1(path: str) -> str:
    """The bytes of the decoded path, each as one character (PEP 3333)."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")
