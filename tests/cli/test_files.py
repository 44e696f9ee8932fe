"""The commands on a site's file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.sites import APP, write

pytestmark = pytest.mark.slow  # a process for each command

SITE = """\
[[mount]]
path = "/shop"
host = "a.com"
app = "shop:app"

[[mount]]
path = "/old"
redirect = "/shop/"

[default]
static = "public"
html = true
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a site."""
    write(tmp_path, {"shop.py": APP, "public/index.html": "index"})
    (tmp_path / "mountkit.toml").write_text(SITE)
    return tmp_path


def test_routes(site: Path) -> None:
    """With the lines of the file."""
    done = run(site, "routes", "mountkit.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
Dispatcher: the most specific wins
#  mount       app          defined at
1  a.com/shop  Starlette    mountkit.toml:1
2  /old        Redirect     mountkit.toml:6
3  /           StaticFiles  mountkit.toml:10
"""
    )


@pytest.mark.parametrize("name", ["mountkit.toml", "pyproject.toml"])
def test_the_file_of_the_folder(name: str, site: Path) -> None:
    """It goes before an app, and says so."""
    (site / "main.py").write_text("raise SystemExit")
    if name == "pyproject.toml":
        (site / "mountkit.toml").unlink()
        (site / name).write_text('[[tool.mountkit.mount]]\npath = "/a"\napp = "shop:app"\n')
    done = run(site, "routes", "--json")
    assert done.returncode == 0
    assert done.stderr == f"mountkit: {name}, found in the current folder\n"
    assert f'"{name}:1"' in done.stdout


def test_explain(site: Path) -> None:
    """Which mount, where it is written, and why no other."""
    done = run(site, "explain", "mountkit.toml", "http://a.com/shop/x", columns=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-> Mount('/shop', host='a.com')  mountkit.toml:1\n" in done.stdout


def test_check(site: Path) -> None:
    """What is found names lines of the file."""
    (site / "mountkit.toml").write_text(
        SITE + '[[mount]]\npath = "/"\npriority = 1\napp = "shop:app"\n'
    )
    done = run(site, "check", "mountkit.toml", columns=200)
    assert done.returncode == 1
    assert "mountkit.toml:13" in done.stdout


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://a.com/shop/x", "HTTP 200 OK"),
        ("/old/x", "location: /shop/x"),
        ("/", "index"),
    ],
)
def test_request(url: str, says: str, site: Path) -> None:
    """It is sent to the site, whose apps run."""
    done = run(site, "request", "mountkit.toml", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert says in done.stdout


def test_init(site: Path) -> None:
    """It says what it has found; the file is served."""
    (site / "mountkit.toml").unlink()
    done = run(site.parent, "init", str(site))
    assert (done.returncode, done.stderr) == (0, "")
    assert " ".join(done.stdout.split()).startswith("path what where default files public/ ")
    assert done.stdout.splitlines()[-1].endswith("Serve it with mountkit serve.")
    done = run(site, "request", "mountkit.toml", "/index.html")
    assert (done.returncode, done.stdout[-6:]) == (0, "index\n")


def test_init_of_nothing(tmp_path: Path) -> None:
    """It writes the file all the same."""
    done = run(tmp_path, "init", columns=200)
    assert done.stdout == "mountkit.toml is written: no app found. Serve it with mountkit serve.\n"
    assert (tmp_path / "mountkit.toml").exists()


def test_schema(tmp_path: Path) -> None:
    """JSON, for editors."""
    done = run(tmp_path, "schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "mountkit.toml"


@pytest.mark.parametrize("command", ["routes mountkit.toml", "schema"])
def test_without_the_extra(command: str, site: Path) -> None:
    """One sentence, with what to install."""
    done = run(site, *command.split(), has_extra=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mountkit: A site in a file needs pydantic, which is not installed; run pip install "
        "'mountkit[serve]'.\n"
    )


def test_commands_on_an_app_load_no_extra(site: Path) -> None:
    """Neither does `import mountkit`."""
    (site / "mountkit.toml").unlink()
    (site / "main.py").write_text(
        "from mountkit import Dispatcher, Mount\nfrom shop import app as shop\n"
        "app = Dispatcher([Mount('/a', shop)])\n"
    )
    code = (
        "import sys; from mountkit.cli import main; main(['routes', 'main:app']);"
        "print([name for name in ('pydantic', 'uvicorn', 'watchfiles', 'prometheus_client') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=site, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_export_imports_no_app(tmp_path: Path) -> None:
    """The table of the file is enough, whatever is not there."""
    text = SITE.replace("shop:app", "not_there:app").replace(
        'app = "', 'env = { A = "${A}" }\napp = "'
    )
    write(tmp_path, {"mountkit.toml": text})
    done = run(tmp_path, "export", "nginx", "mountkit.toml", "--upstream", "http://127.0.0.1:8001")
    assert (done.returncode, done.stderr) == (0, "")
    assert "# Mount('/shop', host='a.com') at mountkit.toml\n" in done.stdout
