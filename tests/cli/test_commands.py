"""The command line, run as a user does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from mountkit.cli import main
from tests.support.commands import run

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
nested = Dispatcher([
    Mount("/in", both),
    Mount("/team", routes=[Mount("/a", v1), Route("/x", page, methods=["POST"])]),
    Mount("/again", both),
    Mount("/exact", v1, exact=True, priority=-1),
])
many = Dispatcher({f"/{name}": v1 for name in ("orders", "order", "users", "items", "shop")})
site_below = Starlette(routes=[Route("/", page), Route("/pages/{name}", page)])
site_below.add_middleware(DispatchMiddleware, mounts={"/a": v1})


class box:
    def make():
        return dispatch
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `shop` in the current directory."""
    (tmp_path / "shop.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)


def line_of(text: str) -> int:
    return APP[: APP.index(text)].count("\n") + 1


def place_of(text: str) -> str:
    return f"shop.py:{line_of(text)}"


Capture = pytest.CaptureFixture[str]


def lines_of(capsys: Capture) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_routes_are_printed_in_match_order(capsys: Capture) -> None:
    """The most specific first, with the place of each definition, and mounts below."""
    assert main(["routes", "shop:dispatch"]) == 0
    first = line_of('Mount("/api", v1)')
    assert lines_of(capsys) == [
        "Dispatcher: the most specific wins",
        "#    mount                              app                defined at",
        f"1    {{tenant}}.a.com/t                   v1()               shop.py:{first + 2}",
        f"2    /api Header('x-api-version', '2')  v2()               shop.py:{first + 1}",
        f"3    /api                               v1()               shop.py:{first}",
        f"4    /split                             Split(a: 1, b: 3)  shop.py:{first + 3}",
        f"5    /team                              Router             shop.py:{first + 4}",
        "  1    /x GET HEAD                      page()",
        f"  2    /a                               v1()               shop.py:{first + 4}",
        f"6    /falcon                            v1()               shop.py:{first + 5}",
    ]


def test_mounts_in_mounts_are_a_tree(capsys: Capture) -> None:
    """The same app twice is shown once; the app underneath comes last."""
    assert main(["routes", "shop:nested"]) == 0
    first = line_of("nested =") + 1
    assert lines_of(capsys)[2:] == [
        f"1    /in                            Dispatcher  shop.py:{first}",
        f"  1    /a                           v1()        shop.py:{line_of('both =')}",
        "  2    default                      v2()",
        f"2    /team                          Router      shop.py:{first + 1}",
        "  1    /x POST                      page()",
        f"  2    /a                           v1()        shop.py:{first + 1}",
        f"3    /again                         Dispatcher  shop.py:{first + 2}",
        "       (as above)",
        f"4    /exact exact=True priority=-1  v1()        shop.py:{first + 3}",
    ]


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


def test_routes_of_an_app_are_printed_in_their_order(capsys: Capture) -> None:
    """And named as such."""
    assert main(["routes", "shop:site"]) == 0
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == "Starlette: tried in this order"
    assert [row.split()[1] for row in rows] == ["/", "/team", "/a"]


def test_an_app_in_itself(capsys: Capture) -> None:
    """It does not go on without end."""
    Path("loop.py").write_text(
        "from starlette.applications import Starlette\nfrom mountkit import Mount\n"
        "app = Starlette()\napp.router.routes.append(Mount('/self', app))"
    )
    assert main(["routes", "loop:app"]) == 0
    assert [line.split()[1] for line in lines_of(capsys)[2:]] == ["/self", "/self"]


CHOOSER = """
from starlette.applications import Starlette
from mountkit import Dispatcher, DispatchMiddleware


class Chooser:
    def __init__(self, one, other):
        self.one, self.other = one, other

    async def __call__(self, scope, receive, send): ...


class Opaque:
    def __init__(self, app):
        self.find = {"app": {"app": app}}

    async def __call__(self, scope, receive, send): ...


app = Chooser(Dispatcher({"/a": Starlette(), "/b/": Starlette()}), Dispatcher({"/c": Starlette()}))
opaque = Starlette()
opaque.add_middleware(DispatchMiddleware, mounts={"/a": Starlette()})
opaque.add_middleware(Opaque)
"""


def test_apps_of_a_chooser(capsys: Capture) -> None:
    """All of them are shown and checked, as it is not known which one gets a request."""
    Path("choosing.py").write_text(CHOOSER)
    assert main(["routes", "choosing:app"]) == 0
    first, _, *rows = lines_of(capsys)
    assert first == "Chooser: it chooses by itself"
    assert [row.split()[1] for row in rows] == ["Dispatcher", "/a", "/b", "Dispatcher", "/c"]
    assert main(["check", "choosing:app"]) == 1
    assert lines_of(capsys)[-1] == "3 mounts checked, 1 finding."


def test_notes_are_no_faults(capsys: Capture) -> None:
    """They are printed, and say where nothing was checked."""
    Path("choosing.py").write_text(CHOOSER)
    assert main(["check", "choosing:opaque"]) == 0
    note, *_, last = lines_of(capsys)
    assert (note, last) == ("not-looked-into", "0 mounts checked, nothing found.")
    assert main(["check", "choosing:opaque", "--json"]) == 0
    assert [one["code"] for one in json.loads(capsys.readouterr().out)] == ["not-looked-into"]


def test_depth_says_what_it_leaves_out(capsys: Capture) -> None:
    """As a row of its own."""
    assert main(["routes", "shop:nested", "--depth", "1"]) == 0
    rows = [line.split("  ")[-1].strip() for line in lines_of(capsys)[2:]]
    assert rows[1::2] == ["(2 below)", "(2 below)", "(2 below)"]


def test_routes_below_a_root_path(capsys: Capture) -> None:
    """It stands before the paths at the top."""
    assert main(["routes", "shop:both", "--root-path", "/r/"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[1] for row in rows] == ["/r/a", "default"]


def test_routes_for_machines(capsys: Capture) -> None:
    """A tree, with how those below are chosen."""
    assert main(["routes", "shop:both", "--json"]) == 0
    where = str(Path("shop.py").resolve())
    assert json.loads(capsys.readouterr().out) == {
        "route": "Dispatcher", "app": "Dispatcher", "where": "", "order": "specificity",
        "below": [
            {"route": "Mount('/a')", "app": "v1()", "where": f"{where}:{line_of('both =')}"},
            {"route": "default", "app": "v2()", "where": ""},
        ],
    }  # fmt: skip


def test_names_of_routes_are_public(capsys: Capture) -> None:
    """Those of FastAPI's included routers, of functions in functions, and of partials."""
    Path("api.py").write_text(API)
    assert main(["routes", "api:app"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1:-1] for line in out.splitlines() if "/v1/" in line] == [
        ["/v1/items", "GET"],
    ]  # fmt: skip
    for name in ("list_items()", "StaticFiles", "inner()", "Site", "part()"):
        assert name in out
    assert "<locals>" not in out
    assert not re.search(r"\b_\w", out)


API = """
from functools import partial
from fastapi import APIRouter, FastAPI
from starlette.routing import Host
from starlette.staticfiles import StaticFiles
from mountkit import Mount

router = APIRouter()


@router.get("/items")
def list_items(): ...


class Site:
    async def __call__(self, scope, receive, send): ...


class _Site(Site): ...


def make():
    async def inner(scope, receive, send): ...
    return inner


async def part(option, scope, receive, send): ...


app = FastAPI(openapi_url=None)
app.include_router(router, prefix="/v1")
app.mount("/files", StaticFiles(directory="."))
app.router.routes += [Mount("/in", make()), Mount("/own", _Site()), Host("h.com", FastAPI())]
app.router.routes += [Mount("/part", partial(part, 1))]
"""


LONG = """
from mountkit import Dispatcher, Mount
from starlette.applications import Starlette


async def an_app_with_quite_a_long_name_of_its_own(scope, receive, send): ...


app = Dispatcher([
    Mount("/", an_app_with_quite_a_long_name_of_its_own, host="{tenant}.a-rather-long-name.example.com"),
    Mount("/one/two/three/four/five/six/seven/eight/nine", Starlette(), headers={"x-v": "1", "x-w": "2"}),
])
"""


@pytest.mark.parametrize("has_extra", [True, False], ids=["rich", "plain"])
def test_80_columns(has_extra: bool, tmp_path: Path) -> None:
    """Hosts and places stay whole, the rest is folded, and the number goes first."""
    (tmp_path / "long.py").write_text(LONG)
    done = run(tmp_path, "routes", "long:app", has_extra=has_extra)
    assert done.stderr == ""
    assert (
        done.stdout
        == """\
Dispatcher: the most specific wins
mount                                     app                         defined at
{tenant}.a-rather-long-name.example.com/  an_app_with_quite_a_long_n  long.py:10
                                              ame_of_its_own()
/one/two/three/four/five/six/seven/       Starlette                   long.py:11
    eight/nine Header('x-v', '1')
    Header('x-w', '2')
"""
    )


def test_the_output_need_not_be_a_file() -> None:
    """A program may take it."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["check", "shop:both"]) == 0
    assert out.getvalue() == "1 mount checked, nothing found.\n"


def test_what_fits_nowhere_is_not_cut(tmp_path: Path) -> None:
    """Lines become longer than the terminal."""
    (tmp_path / "long.py").write_text(LONG)
    out = run(tmp_path, "routes", "long:app", columns=20).stdout
    assert "{tenant}.a-rather-long-name.example.com/" in out
    assert "long.py:10" in out


def test_wide_characters_are_aligned(tmp_path: Path) -> None:
    """They take two columns."""
    text = "from mountkit import Dispatcher\nasync def a(scope, receive, send): ...\n"
    (tmp_path / "wide.py").write_text(f"{text}app = Dispatcher({{'/日本': a, '/ab': a}})")
    rows = run(tmp_path, "routes", "wide:app").stdout.splitlines()[2:]
    assert sorted(rows) == ["1  /日本  a()  wide.py:3", "2  /ab    a()  wide.py:3"]


def test_characters_that_cannot_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written as escapes."""
    (tmp_path / "wide.py").write_text(
        "from mountkit import Dispatcher\nasync def a(scope, receive, send): ...\n"
        "app = Dispatcher({'/é': a})"
    )
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = subprocess.run(
        [sys.executable, "-m", "mountkit", "routes", "wide:app"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert r"/\xe9" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_closed_pipe(tmp_path: Path) -> None:
    """No traceback, and the status that a shell has for it."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mountkit", "routes", "shop:many"],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback either."""

    def interrupted(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("mountkit.cli.commands._run", interrupted)
    assert main(["routes"]) == 130


def test_explain(capsys: Capture) -> None:
    """The winner, what its app sees, and why no other."""
    arguments = ["explain", "shop:dispatch", "https://acme.a.com/api/x", "-H", "x-api-version: 2"]
    assert main(arguments) == 0
    line = line_of('Mount("/api", v2')
    assert (
        capsys.readouterr().out
        == f"""\
GET https://acme.a.com/api/x
-> Mount('/api', when=Header('x-api-version', '2'))  shop.py:{line}
   app          v2()
   path         '/api/x'
   root_path    '/api'
outcome    mount, and why
chosen     Mount('/api', when=Header('x-api-version', '2')): the most specific that matches
outranked  Mount('/api'): Mount('/api', when=Header('x-api-version', '2')) comes first, by header conditions
refused    Mount('/split'): path: wants one that starts with '/split', the request has '/api/x'
refused    Mount('/team'): path: wants one that starts with '/team', the request has '/api/x'
refused    Mount('/falcon'): path: wants one that starts with '/falcon', the request has '/api/x'
1 more, --all
"""
    )


def test_explain_shows_the_nearest_misses(capsys: Capture) -> None:
    """Or all, with an option between app and URL."""
    assert main(["explain", "shop:many", "/ordrs/7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "GET /ordrs/7",
        "No mount takes it.",
        "   answer       404: no mount takes it, and no app is underneath",
    ]
    assert [line.split(":")[0] for line in lines[4:]] == [
        "refused  Mount('/orders')",
        "refused  Mount('/order')",
        "refused  Mount('/users')",
        "2 more, --all",
    ]
    assert main(["explain", "shop:many", "--all", "/ordrs/7"]) == 0
    assert "more" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("/pages/x", "Route('/pages/{name}'), page()"),
        ("/pages", "404: no route takes it"),
        ("/pages/x/", "307: redirected to '/pages/x'"),
    ],
)
def test_explain_says_what_the_app_underneath_does(url: str, answer: str, capsys: Capture) -> None:
    """By its routes."""
    assert main(["explain", "shop:site_below", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["-> default", "   app          Starlette"]
    assert f"   answer       {answer}" in lines


def test_explain_does_not_guess(capsys: Capture) -> None:
    """What an app without such routes does is not known."""
    assert main(["explain", "shop:both", "/b"]) == 0
    out = capsys.readouterr().out
    assert "   path         '/b'\n" in out
    assert "   answer       not known before it is asked; mountkit request asks it\n" in out


def test_explain_shows_what_is_unusual(capsys: Capture) -> None:
    """Placeholders, another convention, a redirect, and what lies below."""
    main(["explain", "shop:dispatch", "http://x.a.com/t/1"])
    assert "path_params  {'tenant': 'x'}" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/falcon/1"])
    assert "convention   strip" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/api", "-H", "sec-fetch-mode: navigate"])
    assert "redirected to  './api/'" in capsys.readouterr().out
    main(["explain", "shop:dispatch", "/team/a/1"])
    assert "Below it:\n-> Mount('/a')" in capsys.readouterr().out


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
    assert out.endswith("2 mounts checked, 2 findings.")


def test_check_for_machines(capsys: Capture) -> None:
    """A list of findings with their places."""
    assert main(["check", "shop:faulty", "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert {first["code"], second["code"]} == {"trailing-slash", "not-normal"}
    assert first["where"][0].endswith(f"shop.py:{line_of('faulty = ')}")


def test_check_says_how_much_it_has_checked(capsys: Capture) -> None:
    """Exit 0."""
    assert main(["check", "shop:dispatch"]) == 0
    assert capsys.readouterr().out == "7 mounts checked, nothing found.\n"
    assert main(["check", "shop:both"]) == 0
    assert capsys.readouterr().out == "1 mount checked, nothing found.\n"


def test_check_below_a_root_path(capsys: Capture) -> None:
    """Apps are told the whole prefix."""
    Path("told.py").write_text(
        "from fastapi import FastAPI\nfrom mountkit import Dispatcher\n"
        "app = Dispatcher({'/api': FastAPI()})\n"
        "app.routes[0].target.root_path = '/r/api'"
    )
    assert main(["check", "told:app"]) == 1
    assert main(["check", "told:app", "--root-path", "/r"]) == 0


def test_version(capsys: Capture) -> None:
    """As it is installed."""
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"mountkit {metadata.version('mountkit')}\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_in_bash(tmp_path: Path) -> None:
    """Of commands, options and files."""
    script = run(tmp_path, "--print-completion", "bash")
    assert (script.returncode, script.stderr) == (0, "")
    asked = """
complete_for() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMPREPLY=()
    _shtab_mountkit "" "${COMP_WORDS[COMP_CWORD]}"
    echo ${COMPREPLY[@]}
}
complete_for mountkit ro
complete_for mountkit explain --ro
complete_for mountkit routes sho
"""
    done = subprocess.run(
        ["bash", "-c", script.stdout + asked], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["routes", "--root-path", "shop.py"]


@pytest.mark.parametrize(("shell", "start"), [("zsh", "#compdef mountkit"), ("tcsh", "#")])
def test_completion_in_other_shells(shell: str, start: str, tmp_path: Path) -> None:
    """A script for each."""
    done = run(tmp_path, "--print-completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(start)


def test_export(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole configuration, and nothing else."""
    (tmp_path / "exported_site.py").write_text(
        "from mountkit import Dispatcher, Mount\n"
        "async def page(scope, receive, send): ...\n"
        "app = Dispatcher([Mount('/a', page, methods=['GET'])])\n"
    )
    monkeypatch.chdir(tmp_path)
    command = ["export", "haproxy", "exported_site:app", "--upstream", "http://a:1"]
    options = ["--listen", "127.0.0.1:8443", "--assume", "no-preflights"]
    assert main([*command, *options, "--assume", "no-websockets"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# The mounts of exported_site:app,")
    assert "bind 127.0.0.1:8443" in out
    assert "server upstream a:1" in out
    assert "origin" not in out
