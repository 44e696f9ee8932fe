"""A site that moves piece by piece, as its page says."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mountkit import Dispatcher, Mount, check, explain
from tests.support.pages import ROOT, commands, write_files

PAGE = "strangler-fig.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(PAGE, tmp_path_factory.mktemp("strangler"))


def load(folder: Path, name: str) -> dict[str, Any]:
    """The names of a file of the page, run alone."""
    return runpy.run_path(str(folder / name))


@pytest.fixture
def flask(folder: Path) -> dict[str, Any]:
    return load(folder, "flask_to_fastapi.py")


def test_what_has_moved_and_what_has_not(flask: dict[str, Any]) -> None:
    """By prefix and by method; URLs of either app are those of the site."""
    client = TestClient(flask["app"])
    assert client.get("/invoices/7").text == "the invoice of /orders/7"
    assert client.post("/orders").text == "bought in the old app"
    assert client.get("/orders/7").status_code == 401
    assert client.get("/orders/7/pdf").json() == {"detail": "Not Found"}
    assert check(flask["app"]) == []


def test_a_login_of_the_old_app(flask: dict[str, Any]) -> None:
    """Holds in the new one; a forged one does not."""
    client = TestClient(flask["app"])
    client.post("/login", follow_redirects=False)
    expected = {"order": 7, "user": "ada", "url": "/orders/7"}
    assert client.get("/orders/7").json() == expected
    cookie = client.cookies["session"]
    client.cookies.clear()
    forged = {"cookie": f"session={cookie[:-2]}"}
    assert client.get("/orders/7", headers=forged).status_code == 401


def test_a_path_that_stays(flask: dict[str, Any]) -> None:
    kept = Mount("/orders/{id:int}/pdf", flask["old"], convention="whole")
    app = Dispatcher([*flask["app"].routes[:1], kept], default=flask["old"])
    assert "<!doctype html>" in TestClient(app).get("/orders/7/pdf").text  # Flask's 404


def test_two_cookies_of_one_name(flask: dict[str, Any]) -> None:
    from starlette.middleware.sessions import SessionMiddleware

    flask["new"].add_middleware(SessionMiddleware, secret_key="x")
    assert [found.code for found in check(flask["app"])] == ["shared-cookie"]
    flask["new"].user_middleware.clear()
    flask["new"].add_middleware(SessionMiddleware, secret_key="x", session_cookie="new_session")
    assert check(flask["app"]) == []


@pytest.mark.slow
def test_the_command(folder: Path) -> None:
    """Of the page, as it is."""
    [command] = [line for line in commands(PAGE) if line.startswith("mountkit ")]
    run = subprocess.run(
        [sys.executable, "-m", *command.split()],
        capture_output=True, text=True, cwd=folder, env={"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert "-> default" in run.stdout, run.stderr
    assert "Method(" in run.stdout


DJANGO = """
from starlette.testclient import TestClient
from django_to_fastapi import User, app

with TestClient(app) as client:
    assert client.get("/orders/7").status_code == 401
    assert client.get("/login").text == "go to /orders/7"
    assert client.get("/orders/7").json() == {"order": 7, "user": "ada"}
    assert client.post("/orders/7").text == "the old order 7"
    user = User.objects.get(username="ada")
    user.set_password("another")
    user.save()
    assert client.get("/orders/7").status_code == 401
"""


@pytest.mark.slow
def test_django(folder: Path) -> None:
    """Its settings hold for a process: it has one of its own."""
    run = subprocess.run(
        [sys.executable, "-c", DJANGO],
        capture_output=True, text=True, cwd=folder, env={"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_the_last_route(folder: Path) -> None:
    """Gets other paths, and other methods of the same paths."""
    client = TestClient(load(folder, "last_route.py")["app"])
    assert client.get("/orders/7").json() == "the new order 7"
    assert client.post("/orders/7").text == "the old app: POST /orders/7"
    assert client.get("/docs").text == "the old app: GET /docs"
    assert client.get("/api/docs").status_code == 200


def test_a_route_that_is_declared_too_late(folder: Path) -> None:
    app = load(folder, "last_route.py")["app"]
    assert check(app) == []
    app.add_api_route("/late", lambda: "late")
    assert [found.code for found in check(app)] == ["unreachable"]


def test_a_canary(folder: Path) -> None:
    app = load(folder, "canary.py")["app"]
    shares = Counter(TestClient(app).get("/orders/7").text for _ in range(300))
    assert 240 <= shares["the old order 7"] <= 295
    client = TestClient(app)
    first = client.get("/orders/7").text
    assert {client.get("/orders/7").text for _ in range(10)} == {first}
    assert TestClient(app, cookies={"staff": "yes"}).get("/orders/7").json() == "the new order 7"
    assert check(app) == []


def test_the_way_back(folder: Path) -> None:
    app = load(folder, "way_back.py")["app"]
    with TestClient(app) as client:
        assert client.get("/orders/7").json() == "the new order 7"
        assert client.post("/operations/back").status_code == 200
        assert client.get("/orders/7").text == "the old order 7"
    assert explain(app, "/orders/7").mount is None
