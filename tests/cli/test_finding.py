"""The app that a command is about: named in several ways, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.commands import run

pytestmark = pytest.mark.slow  # all of them together

APP = """\
from mountkit import Dispatcher


async def page(scope, receive, send): ...


{name} = Dispatcher({{"/a": page}})
"""
MAIN = APP.format(name="app")
FACTORY = MAIN.replace("app = ", "def create_app():\n    return ")
DJANGO = """\
import os

from django.core.asgi import get_asgi_application
from mountkit import Dispatcher, Mount

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
application = Dispatcher([Mount("/", get_asgi_application())])
"""
SETTINGS = "SECRET_KEY = 'x'\nROOT_URLCONF = 'mysite.urls'\n"
ENTRY = '[tool.fastapi]\nentrypoint = "shop.web:site"\n'

#: By name: the files, the command, and what it says of the app.
FOUND: dict[str, tuple[Mapping[str, str], str, str]] = {
    "main.py": ({"main.py": MAIN}, "check", "main:app, found in main.py"),
    "app.py": ({"app.py": APP.format(name="api")}, "check", "app:api, found in app.py"),
    "api.py": ({"api.py": MAIN}, "check", "api:app, found in api.py"),
    "app/main.py": ({"app/main.py": MAIN}, "check", "main:app, found in app/main.py"),
    "app/main.py of a package": (
        {"app/__init__.py": "", "app/main.py": "from .web import app", "app/web.py": MAIN},
        "check",
        "app.main:app, found in app/main.py",
    ),
    "app/main.py beside its imports": (
        {"app/main.py": "from app.web import app", "app/web.py": MAIN},
        "check",
        "main:app, found in app/main.py",
    ),
    "src/app/main.py": (
        {"src/app/__init__.py": "", "src/app/main.py": MAIN},
        "check",
        "app.main:app, found in src/app/main.py",
    ),
    "src/shop/web.py of a project": (
        {"src/shop/__init__.py": "", "src/shop/main.py": MAIN},
        "check",
        "shop.main:app, found in src/shop/main.py",
    ),
    "Django's asgi.py": (
        {
            "manage.py": "raise ValueError",
            "mysite/__init__.py": "",
            "mysite/settings.py": SETTINGS,
            "mysite/urls.py": "urlpatterns = []",
            "mysite/asgi.py": DJANGO,
        },
        "routes",
        "mysite.asgi:application, found in mysite/asgi.py",
    ),
    "Flask's package with a factory": (
        {"flaskr/__init__.py": FACTORY, "docs/__init__.py": "raise ValueError"},
        "check --factory",
        "flaskr:create_app, found in flaskr/__init__.py",
    ),
    "what fastapi dev is told": (
        {"pyproject.toml": ENTRY, "shop/web.py": APP.format(name="site"), "main.py": ""},
        "check",
        "",
    ),
    "a pyproject.toml that says nothing": (
        {"pyproject.toml": "[project]", "main.py": MAIN},
        "check",
        "main:app, found in main.py",
    ),
    "not the first file": (
        {"main.py": "print", "other/main.py": "raise ValueError", "asgi.py": MAIN},
        "check",
        "asgi:app, found in asgi.py",
    ),
    "the only app with mounts": (
        {"main.py": "from flask import request\n" + APP.format(name="site") + "_app = site"},
        "check",
        "main:site, found in main.py",
    ),
    "the one that mounts the other": (
        {"main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n" + APP.format(name="site")},
        "check",
        "main:site, found in main.py",
    ),
    "an app before its factory": (
        {"main.py": FACTORY + "\n\napp = create_app()\n"},
        "check",
        "main:app, found in main.py",
    ),
    "a module": ({"shop.py": MAIN}, "check shop", "shop:app, found in shop.py"),
    "a module and a colon": ({"shop.py": MAIN}, "check shop:", "shop:app, found in shop.py"),
    "a dotted module": (
        {"shop/__init__.py": "", "shop/web.py": MAIN},
        "check shop.web",
        "shop.web:app, found in shop/web.py",
    ),
    "a package": (
        {"shop/__init__.py": "", "shop/main.py": MAIN},
        "check shop",
        "shop.main:app, found in shop/main.py",
    ),
    "a folder": ({"shop/main.py": MAIN}, "check ./shop", "main:app, found in shop/main.py"),
    "a folder without a slash": ({"shop/main.py": MAIN}, "check shop", "main:app, found in shop/main.py"),
    "a file": ({"shop.py": MAIN}, "check shop.py", "shop:app, found in shop.py"),
    "a file in a folder": (
        {"src/shop.py": MAIN},
        "check ./src/shop.py",
        "shop:app, found in src/shop.py",
    ),
    "a file and an attribute": ({"src/shop.py": MAIN}, "check ./src/shop.py:app", ""),
    "a file without its ending": ({"src/shop.py": MAIN}, "check src/shop:app", ""),
    "the file of a package": (
        {"shop/__init__.py": MAIN},
        "check shop/__init__.py",
        "shop:app, found in shop/__init__.py",
    ),
    "a dotted attribute": ({"shop.py": MAIN + "class box: site = app"}, "check shop:box.site", ""),
    "a factory": ({"shop.py": FACTORY}, "check shop:create_app --factory", ""),
    "a class as a factory": (
        {"shop.py": MAIN + "class Site(Dispatcher):\n    def __init__(self):\n"
         "        super().__init__({'/b': page})\n"},
        "check shop:Site --factory",
        "",
    ),
    "options first": ({"shop.py": FACTORY}, "routes --factory shop:create_app", ""),
    "options first, with a URL": ({"shop.py": MAIN}, "explain --all shop:app /a", ""),
    "options between": ({"shop.py": MAIN}, "explain shop:app -X PUT /a", ""),
    "only a URL": ({"main.py": MAIN}, "explain /a/1", "main:app, found in main.py"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_an_app_is_found(name: str, tmp_path: Path) -> None:
    """It is said which, if it was not named in full."""
    files, command, says = FOUND[name]
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / file).write_text(text)
    done = run(tmp_path, *command.split())
    assert done.stderr == (f"mountkit: {says}\n" if says else "")
    assert done.returncode == 0


def test_the_first_file_that_raises_is_reported(tmp_path: Path) -> None:
    """It is not skipped."""
    (tmp_path / "main.py").write_text("1 / 0")
    (tmp_path / "app.py").write_text(MAIN)
    done = run(tmp_path, "check")
    assert done.returncode == 2
    assert done.stderr.endswith(
        "mountkit: Module 'main' cannot be imported: ZeroDivisionError at main.py:1; fix it "
        "first.\n"
    )


def test_tracebacks_keep_causes_and_groups(tmp_path: Path) -> None:
    """Each with the user's frames alone; where there are none, with those of libraries."""
    (tmp_path / "main.py").write_text(
        "import json\n"
        "try:\n"
        "    json.loads('{')\n"
        "except ValueError as exc:\n"
        "    raise ExceptionGroup('several', [exc, TypeError('other')]) from exc\n"
    )
    done = run(tmp_path, "check", "main:app")
    assert "json.decoder.JSONDecodeError: Expecting property name" in done.stderr
    assert "json.loads('{')" in done.stderr
    assert "decoder.py" not in done.stderr
    assert "TypeError: other" in done.stderr
    (tmp_path / "shop.py").write_text("from email.message import Message\n")
    done = run(tmp_path, "check", "shop:Message.get_content_type", "--factory")
    assert done.returncode == 2
    assert "has parameters (self)" in done.stderr
    (tmp_path / "shop.py").write_text(
        "from functools import partial\nimport json\nmake = partial(json.loads, '{')"
    )
    done = run(tmp_path, "check", "shop:make", "--factory")
    assert "decoder.py" in done.stderr
    assert "mountkit: Factory 'shop:make' failed: JSONDecodeError at " in done.stderr
