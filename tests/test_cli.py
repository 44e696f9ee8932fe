"""The command line, run as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mountkit.cli import main

APP = """
from starlette.applications import Starlette
from starlette.routing import Route
from mountkit import Dispatcher, DispatchMiddleware, Mount, Split


async def v1(scope, receive, send): ...
async def v2(scope, receive, send): ...


def page(request): ...


dispatch = Dispatcher(
    [
        Mount("/api", v1),
        Mount("/api", v2, headers={"x-api-version": "2"}),
        Mount("/t", v1, host="{tenant}.a.com"),
        Mount("/split", Split({"a": (v1, 1), "b": (v2, 3)})),
        Mount("/team", routes=[Mount("/a", v1), Route("/x", page)]),
        Mount("/falcon", v1, convention="strip"),
    ]
)
site = Starlette(routes=[Route("/", page), Mount("/team", routes=[Mount("/a", v1)])])
empty = Starlette()
both = Dispatcher({"/a": v1}, default=v2)
faulty = Dispatcher({"/a/": v1, "/b//c": v2})


class box:
    def make():
        return dispatch
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `shop` in the current directory."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "broken.py").write_text("import does_not_exist_either")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)


def line_of(text: str) -> int:
    return APP[: APP.index(text)].count("\n") + 1


Capture = pytest.CaptureFixture[str]


def test_routes_are_printed_in_match_order(capsys: Capture) -> None:
    """The most specific first, with the place of each definition."""
    assert main(["routes", "shop:dispatch"]) == 0
    out = capsys.readouterr().out
    assert "Dispatcher: the most specific wins" in out
    rows = [line.split("│")[2].strip() for line in out.splitlines() if line.startswith("│ ")]
    assert rows[:3] == [
        "Mount('/t', host='{tenant}.a.com')",
        "Mount('/api', when=Header('x-api-version', '2'))",
        "Mount('/api')",
    ]
    line = line_of('Mount("/api", v1)')
    assert f"shop.py:{line}" in out
    assert "Split(a: 1, b: 3)" in out


def test_routes_of_an_app_are_printed_in_their_order(capsys: Capture) -> None:
    """And named as such."""
    assert main(["routes", "shop:site"]) == 0
    out = capsys.readouterr().out
    assert "routes: tried in this order" in out
    assert out.index("Route('/')") < out.index("Mount('/team')")


def test_routes_for_machines(capsys: Capture) -> None:
    """A list of layers, each with what decides and what is tried."""
    assert main(["routes", "shop:dispatch", "--json"]) == 0
    layer, below = json.loads(capsys.readouterr().out)
    assert (below["layer"], below["order"]) == ("/team > routes", "declaration")
    assert (layer["layer"], layer["order"]) == ("Dispatcher", "specificity")
    assert layer["routes"][0]["route"] == "Mount('/t', host='{tenant}.a.com')"
    assert layer["routes"][0]["app"] == "v1()"


def test_the_app_underneath_is_the_last_route(capsys: Capture) -> None:
    """It gets what no mount takes."""
    assert main(["routes", "shop:both"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ ")]
    assert [cell.strip() for cell in rows[-1].split("│")[2:4]] == ["default", "v2()"]
    assert main(["routes", "shop:both", "--json"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)
    assert layer["routes"][-1] == {"route": "default", "app": "v2()", "where": ""}


def test_explain_names_the_app_underneath(capsys: Capture) -> None:
    """And what it sees."""
    assert main(["explain", "shop:both", "/b"]) == 0
    out = capsys.readouterr().out
    assert "-> default\n" in out
    assert "app        v2()" in out
    assert "path       '/b'" in out


def test_an_app_without_mounts(capsys: Capture) -> None:
    """There is nothing to print, and nothing wrong."""
    assert main(["routes", "shop:empty"]) == 0
    assert capsys.readouterr().out == "No mounts.\n"
    assert main(["check", "shop:empty"]) == 0
    assert capsys.readouterr().out == "Nothing found.\n"


def test_explain(capsys: Capture) -> None:
    """The winner, what its app sees, and why no other."""
    arguments = ["explain", "shop:dispatch", "https://acme.a.com/api/x", "-H", "x-api-version: 2"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "GET https://acme.a.com/api/x" in out
    assert "-> Mount('/api', when=Header('x-api-version', '2'))" in out
    assert "root_path  '/api'" in out
    assert "comes first, by header conditions" in out
    assert "path: wants one that starts with '/t', the request has '/api/x'" in out


def test_explain_shows_what_is_unusual(capsys: Capture) -> None:
    """Placeholders, another convention, a redirect, what lies below, and nothing at all."""
    main(["explain", "shop:dispatch", "http://x.a.com/t/1"])
    assert "path_params  {'tenant': 'x'}" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/falcon/1"])
    assert "convention  strip" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/api", "-H", "sec-fetch-mode: navigate"])
    assert "redirected to  './api/'" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/team/a/1"])
    assert "Below it:\n-> Mount('/a')" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/nowhere"])
    assert "No mount takes it." in capsys.readouterr().out
    main(["explain", "shop:empty", "/"])
    assert "No mount takes it." in capsys.readouterr().out


def test_explain_for_machines(capsys: Capture) -> None:
    """Method, client and root path can be given."""
    arguments = [
        "explain",
        "shop:dispatch",
        "/r/api/x",
        "-X",
        "post",
        "--root-path",
        "/r",
        "--json",
    ]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["request"] == "POST /r/api/x"
    assert found["takes"] == "Mount('/api')"
    assert found["child"]["root_path"] == "/r/api"


def test_check_exits_1_on_findings(capsys: Capture) -> None:
    """One line each, and a count."""
    assert main(["check", "shop:faulty"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "trailing-slash Mount('/a') at " in out
    assert "not-normal Mount('/b//c') at " in out
    assert out.endswith("2 findings.")


def test_check_for_machines(capsys: Capture) -> None:
    """A list of findings with their places."""
    assert main(["check", "shop:faulty", "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert {first["code"], second["code"]} == {"trailing-slash", "not-normal"}
    assert first["where"][0].endswith(f"shop.py:{line_of('faulty = ')}")


def test_check_of_a_sound_app(capsys: Capture) -> None:
    """Exit 0."""
    assert main(["check", "shop:dispatch"]) == 0
    assert capsys.readouterr().out == "Nothing found.\n"


def test_a_factory(capsys: Capture) -> None:
    """Attributes may be dotted, and called."""
    assert main(["check", "shop:box.make", "--factory"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "shop"], "App 'shop' lacks a module or an attribute; write 'main:app'."),
        (["check", "nope:app"], "Module 'nope' was not found; name another."),
        (["check", "shop:nope"], "Module 'shop' has no 'nope'; name its app."),
        (
            ["explain", "shop:empty", "x"],
            "URL 'x' is neither absolute nor a path; write 'http://host/path' or '/path'.",
        ),
        (
            ["explain", "shop:empty", "/", "-H", "x"],
            "Header 'x' has no colon; write 'NAME: VALUE'.",
        ),
    ],
)
def test_what_cannot_be_carried_out(arguments: list[str], message: str, capsys: Capture) -> None:
    """Exit 2, and one line that says why."""
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"mountkit: {message}\n"


def test_an_error_inside_the_module_is_the_users() -> None:
    """It is not taken for a wrong name."""
    with pytest.raises(ModuleNotFoundError, match="does_not_exist_either"):
        main(["check", "broken:app"])


def test_without_rich(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Say what to install; --json needs nothing."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["check", "shop:dispatch"]) == 2
    assert "pip install 'mountkit[cli]'" in capsys.readouterr().err
    assert main(["check", "shop:dispatch", "--json"]) == 0


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR"])
def test_as_a_module(variable: str) -> None:
    """`python -m mountkit`; colours only where they are wanted."""
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "mountkit", "explain", "shop:dispatch", "/api"],
        capture_output=True, text=True, check=True, env={**env, variable: "1"},
    )  # fmt: skip
    assert ("\x1b[1;32m" in done.stdout) is (variable == "FORCE_COLOR")
    assert "Mount('/api')" in done.stdout


def test_a_terminal_keeps_its_width(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Only what is no terminal is widened."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["routes", "shop:dispatch"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 160


def test_a_malformed_url(capsys: Capture) -> None:
    """It gives one line, not a traceback."""
    assert main(["explain", "shop:dispatch", "http://[bad/x"]) == 2
    assert "URL 'http://[bad/x' is not valid" in capsys.readouterr().err
