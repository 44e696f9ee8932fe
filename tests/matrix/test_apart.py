"""What `check` says of frameworks whose requirements do not go together with those of the others:
they have an environment of their own (`scripts/matrix apart`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mountkit import Dispatcher, Lifespan, Mount, check

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def codes(app: Any) -> list[str]:
    return [finding.code for finding in check(app)]


def test_mesop_that_was_not_told_its_prefix() -> None:
    module = pytest.importorskip("mesop.server.wsgi_app")
    assert codes(Dispatcher({"/sub": module.create_wsgi_app()})) == ["unaware-of-prefix"]


MESOP = """
import os
os.environ["MESOP_BASE_URL_PATH"] = "/sub"
import mesop
from starlette.testclient import TestClient
from mountkit import Dispatcher, Mount, check

@mesop.page(path="/")
def page():
    mesop.text("Hello")

app = Dispatcher([Mount("/sub", mesop.create_wsgi_app(), convention="whole")])
assert check(app) == []
with TestClient(app) as client:
    answer = client.get("/sub/")
    assert answer.status_code == 200, answer
    assert '<base href="/sub/"' in answer.text, answer.text
"""


def test_mesop_that_was_told_its_prefix() -> None:
    """It reads the environment when it is imported."""
    pytest.importorskip("mesop")
    subprocess.run([sys.executable, "-c", MESOP], check=True, timeout=120)


def test_chainlit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHAINLIT_APP_ROOT", str(tmp_path))  # it writes files
    app = pytest.importorskip("chainlit.server").app
    monkeypatch.delenv("CHAINLIT_ROOT_PATH", raising=False)
    assert codes(Dispatcher({"/sub": app})) == ["unaware-of-prefix", "ends-the-process"]
    monkeypatch.setenv("CHAINLIT_ROOT_PATH", "/sub")
    assert codes(Dispatcher([Mount("/sub", app, lifespan=Lifespan(shutdown=False))])) == []


def flask_admin() -> Any:
    module = pytest.importorskip("flask_admin")
    app = pytest.importorskip("flask").Flask("shop")

    # The checker does not know a class out of `importorskip`.
    class View(module.BaseView):  # type: ignore[misc, name-defined]
        @module.expose("/")
        def index(self) -> str:
            return str(self.render("admin/index.html"))

    admin = module.Admin(app)
    admin.add_view(View(name="Orders", endpoint="orders"))
    return app


def flet() -> Any:
    return pytest.importorskip("flet_web.fastapi").app(lambda page: None)


def solara() -> Any:
    return pytest.importorskip("solara.server.starlette").app


def lilya() -> Any:
    return pytest.importorskip("lilya.apps").Lilya()


def ravyn() -> Any:
    return pytest.importorskip("ravyn").Ravyn()


@pytest.mark.parametrize("make", [flask_admin, flet, solara, lilya, ravyn])
def test_an_app_at_several_prefixes(make: Any) -> None:
    """It is recognised."""
    app = make()
    assert codes(Dispatcher({"/one": app, "/two": app})) == ["several-prefixes"]
    assert codes(Dispatcher({"/one": app})) == []


def test_flask_admin_keeps_the_first_prefix() -> None:
    """That is why."""
    app = flask_admin()
    with TestClient(Dispatcher({"/one": app, "/two": app})) as client:
        first, second = (client.get(f"{prefix}/admin/").text for prefix in ("/one", "/two"))
    assert 'href="/one/admin/orders/"' in first
    assert 'href="/one/admin/orders/"' in second
