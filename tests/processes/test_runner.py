"""What the file says that serves an app in another interpreter."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from mountkit.processes.runner import WSGI, interface_of


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


def wrapped(scope: Any, receive: Any, send: Any) -> Any: ...


class Flask:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class Starlette:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (asgi, "asgi"),
        (functools.partial(asgi), "asgi"),
        (Starlette(), "asgi"),
        (wrapped, "asgi"),
        (wsgi, "wsgi"),
        (Flask(), "wsgi"),
        (functools.partial(lambda extra, environ, start_response: [], 1), "wsgi"),
        (dict, "wsgi"),
    ],
)
def test_which_interface_an_app_has(app: Any, interface: str) -> None:
    """By what its call is and takes."""
    assert interface_of(app) == interface


def environ_of(path: str, said: Any = None, prefix: str | None = None) -> dict[str, Any]:
    """What an app gets.

    Args:
        said: by mountkit.
        prefix: of the command line.
    """
    got: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.append(environ)
        return []

    given = {"PATH_INFO": path, "HTTPS": "on", "REMOTE_ADDR": "", "REMOTE_PORT": ""}
    usual = {"root_path": "", "scheme": "http", "client": None, "server": None}
    if said is not None:
        given["HTTP_X_MOUNTKIT_SCOPE"] = json.dumps({**usual, "http_version": "1.1", **said})
    WSGI(app, prefix)(given, None)
    return got[0]


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/old/x", "/old", ("/old", "/x")),
        ("/old", "/old", ("/old", "")),
        ("/older", "/old", ("/old", "/older")),
        ("/x", "/old", ("/old", "/x")),
        ("/x", "", ("", "/x")),
        ("", "", ("", "/")),
        ("/\u00c3\u00a9/x", "/é", ("/\u00c3\u00a9", "/x")),
    ],
)
def test_where_the_prefix_ends(path: str, root_path: str, expected: tuple[str, str]) -> None:
    """SCRIPT_NAME and PATH_INFO, from what mountkit says and from the command line."""
    for found in (environ_of(path, {"root_path": root_path}), environ_of(path, None, root_path)):
        assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == expected


def test_what_the_server_in_front_knows() -> None:
    """Nothing of this server's own is left."""
    found = environ_of("/x", {"path": "/y"})
    assert found["PATH_INFO"] == "/y"
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("localhost", "80")
    assert not {"HTTPS", "REMOTE_ADDR", "REMOTE_PORT", "HTTP_X_MOUNTKIT_SCOPE"} & found.keys()
    found = environ_of("/x", {"scheme": "https", "client": ["::1", 5], "server": ["a", 1]})
    assert (found["HTTPS"], found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("on", "::1", "5")
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("a", "1")
