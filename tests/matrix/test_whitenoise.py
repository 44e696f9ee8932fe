"""What the docs and `check` say of Django with WhiteNoise is true on real servers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import http
from tests.support.servers import SERVERS, serve

pytestmark = pytest.mark.slow
TARGET = "tests.matrix.whitenoise_wsgi:app"
RIGHT = [
    pytest.param({"STATIC_URL": "/sub/static/", "FORCE_SCRIPT_NAME": "/sub"}, id="forced"),
    pytest.param(
        {"STATIC_URL": "/sub/static/", "WHITENOISE_STATIC_PREFIX": "/static/"}, id="own-prefix"
    ),
]
WRONG = [
    pytest.param({"STATIC_URL": "static/"}, id="relative"),
    pytest.param({"STATIC_URL": "/static/"}, id="outside"),
    pytest.param({"STATIC_URL": "/sub/static/"}, id="not-forced"),
    pytest.param({"STATIC_URL": "static/", "FORCE_SCRIPT_NAME": "/sub"}, id="relative-forced"),
]


def status_of_the_file(server: str, options: dict[str, Any]) -> int:
    pytest.importorskip("whitenoise")
    with serve(server, TARGET, env={"OPTIONS": json.dumps(options)}) as running:
        home, file = http.get(f"{running.url}/sub/").text.split()
        assert home == "/sub/"
        return http.get(running.url + file).status_code


def found(options: dict[str, Any]) -> list[str]:
    """What `check` says, before a request has come."""
    code = f"import os; os.environ['OPTIONS'] = {json.dumps(options)!r}\n"
    code += "from mountkit import check; from tests.matrix.whitenoise_wsgi import app\n"
    code += "print([finding.code for finding in check(app)])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    return list(json.loads(run.stdout.decode().replace("'", '"')))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("options", RIGHT)
def test_the_files_are_there(server: str, options: dict[str, Any]) -> None:
    assert status_of_the_file(server, options) == 200


@pytest.mark.parametrize("options", RIGHT)
def test_nothing_is_found(options: dict[str, Any]) -> None:
    pytest.importorskip("whitenoise")
    assert found(options) == []


@pytest.mark.parametrize("options", WRONG)
def test_files_that_are_not_there(options: dict[str, Any]) -> None:
    """`check` says so."""
    assert status_of_the_file("uvicorn-h11", options) == 404
    assert found(options) == ["unaware-of-prefix"]
