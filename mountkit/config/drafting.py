"""A first `mountkit.toml` for a folder: what `mountkit init` writes.

The folder's modules are read, not imported. To have another framework found, add its row to
`_MAKERS`.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mountkit.config.finding import APPS, FACTORIES
from mountkit.config.problems import toml

#: What makes an app, by package and name; then its framework, what is to be asked of it for the
#: app, and with which arguments.
_MAKERS: dict[tuple[str, str], tuple[str, str, dict[str, str]]] = {
    ("blacksheep", "Application"): ("BlackSheep", "", {}),
    ("bottle", "Bottle"): ("Bottle", "", {}),
    ("channels", "ProtocolTypeRouter"): ("Channels", "", {}),
    ("dash", "Dash"): ("Dash", "server", {}),
    ("django", "get_asgi_application"): ("Django", "", {}),
    ("django", "get_wsgi_application"): ("Django", "", {}),
    ("falcon", "App"): ("Falcon", "", {}),
    ("fastapi", "FastAPI"): ("FastAPI", "", {}),
    ("fastmcp", "FastMCP"): ("FastMCP", "http_app", {"path": "/"}),
    ("flask", "Flask"): ("Flask", "", {}),
    ("litestar", "Litestar"): ("Litestar", "", {}),
    ("mcp", "FastMCP"): ("MCP", "streamable_http_app", {}),
    ("mcp", "MCPServer"): ("MCP", "streamable_http_app", {"streamable_http_path": "/"}),
    ("mountkit", "Dispatcher"): ("mountkit", "", {}),
    ("quart", "Quart"): ("Quart", "", {}),
    ("sanic", "Sanic"): ("Sanic", "", {}),
    ("socketio", "ASGIApp"): ("Socket.IO", "", {}),
    ("starlette", "Starlette"): ("Starlette", "", {}),
}
_SKIPPED = {"build", "dist", "docs", "migrations", "node_modules", "site-packages", "tests", "venv"}
_MOST = 2000  # files
_LARGEST = 1_000_000  # bytes of a file
_DEEPEST = 4  # folders
_STATIC = ("static", "public", "www", "assets", "dist")
#: Names that say little of an app, and those that say nothing.
_VAGUE = ("api", "server", "web")
_EMPTY = ("main", "app", "asgi", "wsgi", "application", "src", "__init__")


@dataclass(frozen=True)
class Finding:
    """Something that can be mounted.

    Attributes:
        framework: its name; "" for a folder of files.
        where: `blog/main.py:12`, or the folder.
        target: for the file: `blog.main:app`, or the folder.
        prefix: where it is mounted.
    """

    framework: str
    where: str
    target: str
    prefix: str
    is_factory: bool = False
    args: tuple[tuple[str, str], ...] = ()
    is_html: bool = False

    @property
    def is_root(self) -> bool:
        """Whether it is to take what no other takes."""
        return not self.prefix

    def lines(self) -> Iterator[str]:
        """As TOML."""
        if self.is_root:
            yield f"# {self.framework or 'Files'}: {self.where}; it takes what no mount takes"
            yield "[default]"
        else:
            yield f"# {self.framework or 'Files'}: {self.where}"
            yield "[[mount]]"
            yield f"path = {toml(self.prefix)}"
        yield f"{'app' if self.framework else 'static'} = {toml(self.target)}"
        if self.is_factory:
            yield "factory = true"
        if self.args:
            yield f"args = {toml(dict(self.args))}"
        if self.is_html:
            yield "html = true"


def find_mounts(folder: Path) -> list[Finding]:
    """The apps and the folders of files of a folder, with prefixes of their own."""
    found = [*_apps(folder)]
    folders = [*_static_folders(folder)]
    named: dict[str, Finding] = {}
    main = next((one for one in found if one.target.startswith(("main:", "app:"))), None)
    root = main or (found[0] if len(found) == 1 else None)
    for one in (*found, *folders):
        if one is root or (one.is_html and root is None):
            root, prefix = one, ""
        else:
            number = 1
            prefix = one.prefix
            while prefix in named:
                number += 1
                prefix = f"{one.prefix}-{number}"
        named[prefix] = replace(one, prefix=prefix)
    return sorted(named.values(), key=lambda one: (one.is_root, one.prefix))


def draft(mounts: Iterable[Finding]) -> str:
    """The text of a first file."""
    blocks = ["\n".join(one.lines()) for one in mounts]
    return _HEAD + "\n\n".join(blocks or [_EXAMPLE]) + "\n" + _TAIL


_HEAD = """\
#:schema ./mountkit.schema.json
# Several apps behind one port. Serve them with: mountkit serve
# An editor completes the keys after: mountkit schema > mountkit.schema.json

[server]
port = "${PORT:-8000}"
# host = "0.0.0.0"      # all addresses; by default this machine alone
# workers = 2
# watch = true          # a change of this file is applied at once

"""
_EXAMPLE = """\
# No app was found here. An app below a path:
# [[mount]]
# path = "/blog"
# app = "package.module:app\""""
_TAIL = """
# A mount can also have these, and more:
# host = "shop.example.com"
# headers = { x-api-version = "2" }
# limits = { max_concurrency = 100, response = 10 }

# A page that shows what goes on, and metrics:
# [status]
# listen = "127.0.0.1:9000"
# [metrics]
"""


def _static_folders(folder: Path) -> Iterator[Finding]:
    for name in _STATIC:
        path = folder / name
        if path.is_dir() and any(path.iterdir()):
            is_html = (path / "index.html").is_file()
            yield Finding("", f"{name}/", name, f"/{name}", is_html=is_html)


def _apps(folder: Path) -> Iterator[Finding]:
    """One for each module; that of `asgi.py` before that of `wsgi.py` beside it."""
    stems: set[str] = set()
    with_asgi: set[Path] = set()
    for path in _modules(folder):
        if path.stem == "wsgi" and path.parent in with_asgi:
            continue
        made = _made_in(path)
        if made is None:
            continue
        name, framework, line, is_factory = made
        key, below, args = framework
        if path.stem == "asgi":
            with_asgi.add(path.parent)
        attribute = f"{name}.{below}" if below else name
        yield Finding(
            key,
            f"{path.relative_to(folder).as_posix()}:{line}",
            f"{_importable(folder, path, stems)}:{attribute}",
            _prefix(folder, path),
            is_factory=is_factory or below not in ("", "server"),
            args=tuple(args.items()),
        )


def _modules(folder: Path) -> Iterator[Path]:
    """In an order that does not change, those near the top first."""
    count = 0
    for path, folders, files in os.walk(folder):
        here = Path(path)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(
            name
            for name in folders
            if depth < _DEEPEST
            and name not in _SKIPPED
            and name[0] not in "._"
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith(("test_", "conftest", "setup.")):
                count += 1
                if count > _MOST:
                    return
                yield here / name


def _importable(folder: Path, path: Path, stems: set[str]) -> str:
    """The name of a module, or the path of its file where that is a project of its own."""
    top = path.parent
    while (top / "__init__.py").exists():
        top = top.parent
    first = path.relative_to(top).parts[0]
    parts = path.relative_to(folder).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1] or parts
    is_named = all(part.isidentifier() for part in parts)
    if is_named and (top == folder or first in stems):
        return ".".join(parts)
    stems.add(first)
    return path.relative_to(folder).as_posix()


def _prefix(folder: Path, path: Path) -> str:
    """From the most telling part of a path."""
    parts = path.relative_to(folder).with_suffix("").parts
    named = [part for part in parts if part not in _EMPTY]
    telling = [part for part in named if part not in _VAGUE]
    name = (telling or named or parts)[-1]
    text = "".join(char if char.isascii() and char.isalnum() else "-" for char in name.lower())
    return f"/{text.strip('-') or 'app'}"


def _made_in(path: Path) -> tuple[str, tuple[str, str, dict[str, str]], int, bool] | None:
    """The app of a module: its name, what has made it, its line, and whether that is a factory."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names = _imports(tree)
    found = []
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            maker = _maker(node.value.func, names) or _wrapped(node.value, names)
            if maker is not None and isinstance(target, ast.Name):
                found.append((target.id, maker, node.lineno, False))
        elif isinstance(node, ast.FunctionDef) and node.name in FACTORIES and not _needs(node):
            calls = (one for one in ast.walk(node) if isinstance(one, ast.Call))
            makers = [maker for one in calls if (maker := _maker(one.func, names)) is not None]
            if makers and not makers[0][1]:
                found.append((node.name, makers[0], node.lineno, True))
    usual = [one for one in found if one[0] in APPS]
    return next(iter(usual or found), None)


def _wrapped(
    call: ast.Call, names: dict[str, tuple[str, str]]
) -> tuple[str, str, dict[str, str]] | None:
    """The row of an app that middleware is given."""
    for argument in call.args:
        if isinstance(argument, ast.Call):
            found = _maker(argument.func, names)
            return found if found is None or not found[1] else None
    return None


def _needs(function: ast.FunctionDef) -> bool:
    """Whether a call must give arguments."""
    given = function.args
    missing = [default for default in given.kw_defaults if default is None]
    return len(given.posonlyargs) + len(given.args) > len(given.defaults) or bool(missing)


def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """What names mean: a module, and what is imported from it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.partition(".")[0]] = (one.name, "")
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                found[one.asname or one.name] = (node.module, one.name)
    return found


def _maker(
    function: ast.expr, names: dict[str, tuple[str, str]]
) -> tuple[str, str, dict[str, str]] | None:
    """The row of what is called."""
    last = ""
    while isinstance(function, ast.Attribute):
        last = last or function.attr
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in names:
        return None
    module, name = names[function.id]
    return _MAKERS.get((module.partition(".")[0], last or name))
