"""`mountkit init`: what it finds, and the file that it writes."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest
from starlette.testclient import TestClient

from mountkit.config.building import Site
from mountkit.config.drafting import draft, find_mounts
from mountkit.config.parsing import parse
from mountkit.config.sources import read_source
from tests.support.sites import write

#: A module by what is in it, what is found, and how it is named.
MODULES = {
    "Flask": ("from flask import Flask\napp = Flask(__name__)\n", "app"),
    "FastAPI": ("import fastapi\napi: fastapi.FastAPI = fastapi.FastAPI()\n", "api"),
    "Starlette": ("from starlette.applications import Starlette as S\nx = S()\napp = S()\n", "app"),
    "Litestar": ("from litestar import Litestar\napp = Litestar([])\n", "app"),
    "Quart": ("from quart import Quart\nsite = Quart(__name__)\n", "site"),
    "Django": (
        "import os\nfrom django.core.asgi import get_asgi_application\n"
        "application = get_asgi_application()\n",
        "application",
    ),
    "Falcon": ("import falcon.asgi\napp = falcon.asgi.App()\n", "app"),
    "Bottle": ("import bottle\napp = bottle.Bottle()\n", "app"),
    "Dash": ("from dash import Dash\ndashboard = Dash()\n", "dashboard.server"),
    "Socket.IO": ("import socketio\napp = socketio.ASGIApp(1)\n", "app"),
    "mountkit": ("from mountkit import Dispatcher\napp = Dispatcher()\n", "app"),
}


@pytest.mark.parametrize("framework", MODULES)
def test_an_app(framework: str, tmp_path: Path) -> None:
    """Its module is read, and not imported."""
    text, name = MODULES[framework]
    write(tmp_path, {"pkg/__init__.py": "", "pkg/web.py": text + "raise SystemExit\n"})
    (found,) = find_mounts(tmp_path)
    assert (found.framework, found.target) == (framework, f"pkg.web:{name}")
    assert not found.is_factory


FACTORIES = {
    "a factory": (
        "from flask import Flask\ndef create_app(config=None, *, x=1):\n    return Flask('x')\n",
        ("web:create_app", True, ()),
    ),
    "the SDK of MCP": (
        "from mcp.server.mcpserver import MCPServer\nserver = MCPServer('x')\n",
        ("web:server.streamable_http_app", True, (("streamable_http_path", "/"),)),
    ),
    "FastMCP": (
        "from fastmcp import FastMCP\nmcp = FastMCP('x')\n",
        ("web:mcp.http_app", True, (("path", "/"),)),
    ),
    "middleware around an app": (
        "from flask import Flask\nfrom x import Layer\napp = Layer(Flask('x'))\n",
        ("web:app", False, ()),
    ),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_what_makes_an_app(name: str, tmp_path: Path) -> None:
    """It is called, with what it needs."""
    text, expected = FACTORIES[name]
    write(tmp_path, {"web.py": text})
    (found,) = find_mounts(tmp_path)
    assert (found.target, found.is_factory, found.args) == expected


NOTHING = {
    "no call": "from flask import Flask\napp = Flask\n",
    "another's class": "from other import Flask\napp = Flask()\n",
    "a relative import": "from .flask import Flask\napp = Flask()\n",
    "a name that is not imported": "app = Flask()\n",
    "a target that is no name": "from flask import Flask\nx.app = Flask()\n",
    "a call of a call": "from flask import Flask\napp = Flask()()\n",
    "a factory with parameters": "from flask import Flask\ndef create_app(x): Flask()\n",
    "a factory with others": "from flask import Flask\ndef create_app(*, x): Flask()\n",
    "a factory of nothing": "def create_app(): return 1\n",
    "a factory of a server": "from fastmcp import FastMCP\ndef create_app(): return FastMCP()\n",
    "a layer around no app": "from x import L\napp = L(L(1), 2)\n",
    "a layer around a server": "from fastmcp import FastMCP\nfrom x import L\napp = L(FastMCP())\n",
    "no Python": "app = (\n",
    "a null": "\0",
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_module_without_an_app(name: str, tmp_path: Path) -> None:
    """Nothing is found."""
    write(tmp_path, {"web.py": NOTHING[name]})
    assert find_mounts(tmp_path) == []


FLASK = "from flask import Flask\napp = Flask(__name__)\n"


def targets(folder: Path) -> dict[str, str]:
    """By prefix."""
    return {one.prefix: one.target for one in find_mounts(folder)}


def test_where_it_does_not_look(tmp_path: Path) -> None:
    """In tests, in what others have made, and too deep."""
    names = [
        "tests/a",
        "node_modules/a",
        ".venv/a",
        "own/a",
        "test_a",
        "conftest",
        "_x/a",
        "1/2/3/4/5/a",
    ]
    write(
        tmp_path,
        {f"{name}.py": FLASK for name in names} | {"own/pyvenv.cfg": "", "1/2/3/4/a.py": FLASK},
    )
    write(tmp_path, {"large.py": FLASK + "#" * 1_000_001})
    assert [one.target for one in find_mounts(tmp_path)] == ["1/2/3/4/a.py:app"]


def test_a_folder_with_very_many_files(tmp_path: Path) -> None:
    """It stops."""
    write(tmp_path, {f"a{number}.py": "" for number in range(2001)} | {"z.py": FLASK})
    assert find_mounts(tmp_path) == []


def test_django(tmp_path: Path) -> None:
    """ASGI before WSGI, from the folder of the project, as its settings need it."""
    asgi = (
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    )
    files = {"site/manage.py": "", "site/notes/__init__.py": "", "site/notes/asgi.py": asgi}
    write(tmp_path, files | {"site/notes/wsgi.py": asgi.replace("asgi", "wsgi")})
    assert targets(tmp_path) == {"": "site/notes/asgi.py:application"}


def test_prefixes(tmp_path: Path) -> None:
    """From what tells most; `main` at the top takes the rest."""
    names = ["main", "blog/app", "shop/app", "src/shop/web", "Old_Site/__init__", "app/api"]
    names.append("web/main")
    write(tmp_path, {f"{name}.py": FLASK for name in names})
    assert targets(tmp_path) == {
        "": "main:app",
        "/api": "app/api.py:app",
        "/blog": "blog/app.py:app",
        "/old-site": "Old_Site:app",
        "/shop": "shop.app:app",
        "/shop-2": "src/shop/web.py:app",
        "/web": "web/main.py:app",
    }


def test_static_folders(tmp_path: Path) -> None:
    """Those at the top that have files. One with an index takes the rest, if nothing else does."""
    write(tmp_path, {"static/a.css": "", "public/index.html": "", "a.py": FLASK, "b.py": FLASK})
    (tmp_path / "assets").mkdir()
    found = {one.prefix: (one.target, one.is_html) for one in find_mounts(tmp_path)}
    assert found == {
        "": ("public", True),
        "/a": ("a:app", False),
        "/b": ("b:app", False),
        "/static": ("static", False),
    }


def test_the_file(tmp_path: Path) -> None:
    """Its comments say where each comes from."""
    write(tmp_path, {"a.py": FLASK, "b.py": FACTORIES["the SDK of MCP"][0], "static/x": "x"})
    text = draft(find_mounts(tmp_path))
    assert (
        dedent("""\
        # Flask: a.py:2
        [[mount]]
        path = "/a"
        app = "a:app"

        # MCP: b.py:2
        [[mount]]
        path = "/b"
        app = "b:server.streamable_http_app"
        factory = true
        args = { streamable_http_path = "/" }

        # Files: static/
        [[mount]]
        path = "/static"
        static = "static"
    """)
        in text
    )


def test_what_was_written_is_served(folder: Path) -> None:
    """By the apps that were found."""
    starlette = (
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "app = Starlette(routes=[Route('/', lambda request: PlainTextResponse('{}'))])\n"
    )
    (folder / "shop.py").unlink()
    flask = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef index(): return 'flask'\n"
    write(
        folder,
        {
            "main.py": starlette.replace("{}", "main"),
            "old/app.py": flask,
            "public/index.html": "public",
        },
    )
    Path("mountkit.toml").write_text(draft(find_mounts(Path())))
    os.environ.pop("PORT", None)
    site = Site.build(parse(read_source(Path("mountkit.toml"))))
    with TestClient(site.dispatcher) as client:
        assert [client.get(path).text for path in ("/", "/old/", "/public/")] == [
            "main",
            "flask",
            "public",
        ]


def test_an_empty_folder(tmp_path: Path) -> None:
    """The file has an example."""
    text = draft(find_mounts(tmp_path))
    assert '# path = "/blog"\n# app = "package.module:app"\n' in text
