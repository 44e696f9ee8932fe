"""Mistakes that users make on the command line: each has its own sentence and exit code 2.

To add one, add a row to `MISTAKES`: what the folder holds, the command, and all of what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests.support.commands import run

pytestmark = pytest.mark.slow  # all of them together

SHOP = """\
from functools import partial

from starlette.applications import Starlette
from mountkit import Dispatcher, Mount


async def page(scope, receive, send): ...


def create_app():
    return site


async def make_async():
    return site


def make_of(config):
    return site


def fails():
    raise ValueError("no config")


def three():
    return 3


async def endpoint(request): ...


class Site:
    async def __call__(self, scope, receive, send): ...


mount = Mount("/t/{tenant}", page)
mounts = [mount]
by_path = {"/a": page}
site = Dispatcher(by_path)
empty = Starlette()
notapp = 3
nothing = None
text = "shop:site"
unclear = partial(print, 1)
builtin = max
"""

RAISING = """\
import json
from mountkit import Mount

def make():
    return Mount("api", json)

make()
"""

TWO = """\
from mountkit import Dispatcher

async def page(scope, receive, send): ...

shop, blog = Dispatcher({"/a": page}), Dispatcher({"/b": page})
"""

ROUTES = """\
from starlette.applications import Starlette
from mountkit import Mount
async def page(scope, receive, send): ...
app = Starlette(routes=[Mount("/a", page)])
"""

HEADERS = """\
from mountkit import Dispatcher, Mount

async def page(scope, receive, send): ...
app = Dispatcher([Mount("/a", page, headers={"x-v": "1"})])
"""

PATHS = HEADERS.replace('"/a"', '"/a/{x:path}"').replace(', headers={"x-v": "1"}', "")

SITE = '[[mount]]\npath = "/shop"\napp = "shop:site"\n'

FACTORY = "def create_app(): ...\n"


class Mistake(NamedTuple):
    """A command in a folder with `shop.py` and `files`; `{folder}` stands for its path."""

    command: str
    says: str
    files: Mapping[str, str] = MappingProxyType({})
    status: int = 2


#: By name.
MISTAKES = {
    # What is named is not there.
    "no such module": Mistake("check nope:app", "Module 'nope' was not found; name another."),
    "no such file": Mistake(
        "check nope.py", "File 'nope.py' does not exist; name another, or a module."
    ),
    "no such attribute": Mistake(
        "check shop:app", "Module 'shop' has no 'app'; it has site."
    ),
    "no such attribute, and no app": Mistake(
        "check bare:app", "Module 'bare' has no 'app'; it has no app with mounts.", {"bare.py": ""}
    ),
    "a dot for a colon": Mistake(
        "check shop.site", "Module 'shop.site' was not found; write 'shop:site'."
    ),
    "no module": Mistake("check :app", "App ':app' lacks a module; write 'main:app'."),
    "a call": Mistake(
        "check shop:create_app()",
        "App 'shop:create_app()' is a call; write 'shop:create_app --factory'.",
    ),
    "nothing to be found": Mistake(
        "check",
        "No app was found: no main.py, app.py, api.py, asgi.py, wsgi.py is here, in app/ or in "
        "src/; name one, as in 'package.module:app'.",
    ),
    "files without an app": Mistake(
        "check",
        "Module 'main' has no app; name one, as in 'module:app'. Nor is one in app.py.",
        {"main.py": "", "app.py": ""},
    ),
    "several apps": Mistake(
        "check two",
        "Module 'two' has several apps: shop, blog; write e.g. 'two:shop'.",
        {"two.py": TWO},
    ),
    "a factory is found": Mistake(
        "check",
        "Module 'main' has no app, but a factory; write 'main:create_app --factory'.",
        {"main.py": FACTORY},
    ),
    "a module without an app": Mistake(
        "check bare", "Module 'bare' has no app; name one, as in 'module:app'.", {"bare.py": ""}
    ),
    "a package without an app": Mistake(
        "check pkg", "Module 'pkg.main' has no app; name one, as in 'module:app'.",
        {"pkg/__init__.py": "", "pkg/main.py": ""},
    ),
    "a name that is taken": Mistake(
        "check src/json.py",
        "File 'json.py' has the name of the module 'json', which is loaded already; rename it.",
        {"src/json.py": ""},
    ),
    # What is named is no app.
    "a number": Mistake("check shop:notapp", "'shop:notapp' is 3, not an app; name the app."),
    "None": Mistake("routes shop:nothing", "'shop:nothing' is None, not an app; name the app."),
    "a text": Mistake("explain shop:text /", "'shop:text' is 'shop:site', not an app; name the app."),
    "a list of mounts": Mistake(
        "check shop:mounts", "'shop:mounts' is a list, not an app; write app = Dispatcher(mounts)."
    ),
    "a mapping of apps": Mistake(
        "check shop:by_path",
        "'shop:by_path' is a dict, not an app; write app = Dispatcher(by_path).",
    ),
    "a mount": Mistake(
        "check shop:mount",
        "'shop:mount' is Mount('/t/{tenant}'), not an app; write app = Dispatcher([mount]).",
    ),
    "a factory": Mistake(
        "request shop:create_app /",
        "'shop:create_app' can be called without arguments, so it may return an app; add "
        "--factory.",
    ),
    "a factory with parameters": Mistake(
        "check shop:make_of", "'shop:make_of' is a function of (config), not an app; name the app."
    ),
    "an endpoint": Mistake(
        "check shop:endpoint",
        "'shop:endpoint' is a function of (request), not an app; name the app.",
    ),
    "a class": Mistake(
        "check shop:Site",
        "'shop:Site' is a class, not an app; name an instance, or add --factory to make one.",
    ),
    "a module": Mistake(
        "check pkg:main", "'pkg:main' is a module; write 'pkg.main:app'.",
        {"pkg/__init__.py": "import pkg.main", "pkg/main.py": ""},
    ),
    "something that can be called": Mistake(
        "check shop:unclear",
        "'shop:unclear' can be called without arguments, so it may return an app; add --factory.",
    ),
    "a builtin": Mistake(
        "check shop:builtin",
        "'shop:builtin' can be called without arguments, so it may return an app; add --factory.",
    ),
    "an app without mounts": Mistake(
        "check shop:empty",
        "'shop:empty' has no mounts, so there is nothing to check; mount an app in it, or name "
        "another.",
    ),
    "routes of an app without mounts": Mistake(
        "routes shop:empty",
        "'shop:empty' has no mounts, so there is nothing to print; mount an app in it, or name "
        "another.",
    ),
    # Factories.
    "no factory": Mistake(
        "check shop:notapp --factory", "'shop:notapp' is 3, not a factory; leave --factory out."
    ),
    "a factory that wants arguments": Mistake(
        "check shop:make_of --factory",
        "Factory 'shop:make_of' has parameters (config); write one without.",
    ),
    "an async factory": Mistake(
        "check shop:make_async --factory",
        "'shop:make_async' is an async factory; write one that returns its app without 'await'.",
    ),
    "a factory of something else": Mistake(
        "check shop:three --factory", "'shop:three' is 3, not an app; name the app."
    ),
    "a factory that fails": Mistake(
        "check shop:fails --factory",
        """\
Traceback (most recent call last):
  File "{folder}/shop.py", line 23, in fails
    raise ValueError("no config")
ValueError: no config
mountkit: Factory 'shop:fails' failed: ValueError at shop.py:23; fix it first.""",
    ),
    # The module cannot be imported.
    "a module that raises": Mistake(
        "check raising:app",
        """\
Traceback (most recent call last):
  File "{folder}/raising.py", line 7, in <module>
    make()
  File "{folder}/raising.py", line 5, in make
    return Mount("api", json)
           ^^^^^^^^^^^^^^^^^^
mountkit.exceptions.PatternError: Mount path 'api' must start with '/'; write '/api'.
mountkit: Module 'raising' cannot be imported: PatternError at raising.py:5; fix it first.""",
        {"raising.py": RAISING},
    ),
    "a module that exits": Mistake(
        "check exiting:app",
        """\
Traceback (most recent call last):
  File "{folder}/exiting.py", line 1, in <module>
    raise SystemExit("no config")
SystemExit: no config
mountkit: Module 'exiting' cannot be imported: SystemExit at exiting.py:1; fix it first.""",
        {"exiting.py": 'raise SystemExit("no config")'},
    ),
    "a syntax error": Mistake(
        "check broken:app",
        """\
  File "{folder}/broken.py", line 1
    app = (
          ^
SyntaxError: '(' was never closed
mountkit: Module 'broken' cannot be imported: SyntaxError at broken.py:1; fix it first.""",
        {"broken.py": "app = (\n"},
    ),
    "a missing dependency": Mistake(
        "check needy:app",
        "Module 'needy' imports 'not_installed' (needy.py:2), which is not installed; install it, "
        "or fix the import.",
        {"needy.py": "\nimport not_installed.part\n"},
    ),
    # A site's file.
    "no such site": Mistake(
        "check nope.toml",
        """\
nope.toml:1: The file cannot be read: No such file or directory; name another, or run mountkit init.
mountkit: 1 problem found; fix the file.""",
    ),
    "a site with mistakes": Mistake(
        "routes",
        """\
mountkit.toml:2: path = 1 is not a text; write e.g. path = "/shop".
mountkit.toml:4: The key 'pat' is not known; write 'path'.
mountkit: 2 problems found; fix the file.""",
        {"mountkit.toml": '[[mount]]\npath = 1\n[[mount]]\npat = "/a"\n'},
    ),
    "a site whose app raises": Mistake(
        "explain site.toml /",
        """\
Traceback (most recent call last):
  File "{folder}/boom.py", line 1, in <module>
    raise ValueError
ValueError
site.toml:2: Module 'boom' cannot be imported: ValueError at boom.py:1; fix it first.
mountkit: 1 problem found; fix the file.""",
        {"site.toml": '[[mount]]\napp = "boom:app"\n', "boom.py": "raise ValueError\n"},
    ),
    "a site without mounts": Mistake(
        "check site.toml",
        "'site.toml' has no mounts, so there is nothing to check; mount an app in it, or name "
        "another.",
        {"site.toml": ""},
    ),
    "a factory that is a file": Mistake(
        "check site.toml --factory",
        "'site.toml' is not an app; leave --factory out, or write factory = true in it.",
        {"site.toml": ""},
    ),
    "a file where a URL is missing": Mistake(
        "request site.toml",
        "The URL is missing; write mountkit request site.toml http://localhost/path.",
        {"site.toml": ""},
    ),
    "a file that exists": Mistake(
        "init", "'mountkit.toml' exists; edit it, or remove it first.", {"mountkit.toml": ""}
    ),
    "a folder that does not exist": Mistake(
        "init nope", "Folder 'nope' does not exist; name another."
    ),
    "a folder that cannot be written": Mistake(
        "init /proc/self", "'/proc/self/mountkit.toml' cannot be written: No such file or "
        "directory; name another folder.",
    ),
    # The request.
    "no URL": Mistake(
        "explain shop:site",
        "The URL is missing; write mountkit explain shop:site http://localhost/path.",
    ),
    "a URL without a slash": Mistake(
        "explain shop:site x",
        "URL 'x' is neither absolute nor a path; write 'http://host/path' or '/path'.",
    ),
    "a malformed URL": Mistake(
        "explain shop:site http://[bad/x",
        "URL 'http://[bad/x' is not valid: Invalid IPv6 URL; write 'http://host/path'.",
    ),
    "a header without a colon": Mistake(
        "request shop:site / -H x", "Header 'x' has no colon; write 'NAME: VALUE'."
    ),
    "no such data": Mistake(
        "request shop:site / -d @nope",
        "Data '@nope' cannot be read: No such file or directory; name a file.",
    ),
    # Parts of a site.
    "parts of an app": Mistake(
        "serve shop:site --only /a",
        "--only and --upstream are for a file; run mountkit init to write one.",
    ),
    "no such mount to serve": Mistake(
        "serve --only /shpo",
        "'/shpo' is not a mount of this app, nor a path or name of one; did you mean '/shop'.",
        {"mountkit.toml": SITE},
    ),
    "no mount to be passed on": Mistake(
        "serve --upstream http://b",
        "Upstream 'http://b' names no mount; write '/shop=http://shop:8000'.",
        {"mountkit.toml": SITE},
    ),
    "a unix socket from here": Mistake(
        "serve --upstream /shop=unix:b",
        "Upstream 'unix:b' has no path; write 'unix:/run/app.sock'.",
        {"mountkit.toml": SITE},
    ),
    # Export.
    "no upstream": Mistake(
        "export nginx shop:site",
        "Mount '/a' has no upstream; write --upstream '/a=http://host:port', or one URL for all.",
    ),
    "an upstream of no mount": Mistake(
        "export nginx shop:site --upstream /b=http://b",
        "Upstream '/b' is of no mount; there are '/a'.",
    ),
    "an upstream with a path": Mistake(
        "export nginx shop:site --upstream http://b/x",
        "Upstream 'http://b/x' is not a server; write 'http://host:port', without a path.",
    ),
    "no such file of upstreams": Mistake(
        "export nginx --upstream @nope shop:site",
        "Upstreams '@nope' cannot be read: No such file or directory; name a file.",
    ),
    "no port to listen on": Mistake(
        "export nginx shop:site --upstream http://b --listen localhost",
        "Listen 'localhost' is not an address; write 'host:port' or ':8080'.",
    ),
    "an app without mounts to export": Mistake(
        "export nginx shop:empty --upstream http://b",
        "'shop:empty' has no mounts, so there is nothing to export; mount an app in it, or name "
        "another.",
    ),
    "mounts among routes": Mistake(
        "export nginx routes:app --upstream http://b",
        "Starlette does not begin with a table of mounts; put them into a Dispatcher, or a "
        "DispatchMiddleware.",
        {"routes.py": ROUTES},
    ),
    "a condition that a router cannot have": Mistake(
        "export nginx headers:app --upstream http://b",
        "Mount('/a', when=Header('x-v', '1')) at headers.py:4 cannot be exported to nginx: x-v=1: "
        "nginx cannot tell an empty header from none, nor see whether it was sent twice; --assume "
        "well-formed leaves that out.",
        {"headers.py": HEADERS},
    ),
    "a condition that no router can have": Mistake(
        "export caddy paths:app --upstream http://b",
        "Mount('/a/{x:path}') at paths.py:4 cannot be exported: path '/a/{x:path}': the "
        "placeholder '{x:path}' may hold slashes, so that its value depends on the reader.",
        {"paths.py": PATHS},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake(name: str, tmp_path: Path) -> None:
    """Nothing is printed but the reason."""
    mistake = MISTAKES[name]
    for file, text in {"shop.py": SHOP, **mistake.files}.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    done = run(tmp_path, *mistake.command.split())
    says = mistake.says.replace("{folder}", str(tmp_path))
    first = "" if "\nmountkit: " in says else "mountkit: "
    assert (done.returncode, done.stdout) == (mistake.status, "")
    assert done.stderr == f"{first}{says}\n"


USAGE = {
    "": "mountkit: error: a command is missing; write e.g. mountkit routes main:app",
    "routes shop:site --depth 0": "mountkit routes: error: argument --depth: '0' is not a number "
    "from 1",
    "routes shop:site more": "mountkit: error: unrecognized arguments: more",
    "export": "mountkit export: error: the following arguments are required: router",
    "explain shop:site / --nonsense": "mountkit: error: unrecognized arguments: --nonsense",
}


@pytest.mark.parametrize("command", USAGE)
def test_a_wrong_usage(command: str, tmp_path: Path) -> None:
    """The usage, and what is wrong."""
    (tmp_path / "shop.py").write_text(SHOP)
    done = run(tmp_path, *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: mountkit ")
    assert done.stderr.splitlines()[-1] == USAGE[command]


def test_completion_without_shtab(tmp_path: Path) -> None:
    """It says what to install."""
    done = run(tmp_path, "--print-completion", "bash", has_extra=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mountkit: Completion needs shtab, which is not installed; run pip install "
        "'mountkit[cli]'.\n"
    )
