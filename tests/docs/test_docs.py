"""The README and the documentation: code runs, links lead somewhere, figures are measured."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from markdown import markdown
from starlette.applications import Starlette

from benchmarks import dispatch, layers, load, proxy, reload, tenants, wsgi
from benchmarks.measuring import read
from mountkit import Dispatcher, check
from mountkit.matching.findings import Code
from scripts import api_page
from scripts.included import included
from tests.support.commands import run
from tests.support.pages import OF_FILES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.glob("*.md")),
]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[tuple[int, str, str]]:
    """Line, options and text of every block in a language."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(3)), match[2].strip(), match[3])
        for match in _BLOCK.finditer(text)
        if match[1] == language
    ]


def commands_of_mountkit(page: Path) -> list[str]:
    """Its commands with what they print."""
    return [text for _, _, text in blocks(page, "console") if text.startswith("$ mountkit ")]


TESTING = DOCS / "testing.md"
#: `tests/matrix/test_recipes.py` runs those of the page on frameworks, each in a process of its own; the
#: files of other pages have tests of their own.
APART = {DOCS / "frameworks.md", *(DOCS / name for name in OF_FILES)}
#: What the pages show that `check` finds; all else is clean.
FAULTS = {"matching.md": {"unreachable"}, "explain.md": {"unreachable", "overlap"}}
RUN = [page for page in PAGES if page not in APART and blocks(page, "python")]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_code_runs(page: Path) -> None:
    """Every block of a page, in order, in one namespace; what it asserts is true."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    for line, _, text in blocks(page, "python"):
        # Errors name the line of the page.
        exec(compile("\n" * line + text, page, "exec", dont_inherit=True), namespace)
    apps = [one for one in namespace.values() if isinstance(one, (Dispatcher, Starlette))]
    assert {found.code for app in apps for found in check(app)} == FAULTS.get(page.name, set())


#: `test_quickstart.py` runs those that are of other programs.
CONSOLE = [page for page in PAGES if commands_of_mountkit(page)]


@pytest.mark.parametrize("page", CONSOLE, ids=lambda page: page.name)
def test_commands_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    """In a folder with the files of the page, those blocks that have a title."""
    for language in ("python", "toml", "html"):
        for _, options, text in blocks(page, language):
            if title := re.search(r'title="([^"]+)"', options):
                (tmp_path / title[1]).parent.mkdir(exist_ok=True)
                (tmp_path / title[1]).write_text(text, encoding="utf-8")
    for text in commands_of_mountkit(page):
        command, _, expected = text.partition("\n")
        assert printed(command, tmp_path) == expected


def printed(command: str, folder: Path) -> str:
    """What a command of a page prints."""
    prompt, program, *arguments = shlex.split(command)
    assert (prompt, program) == ("$", "mountkit")
    done = run(folder, *arguments)
    assert done.stderr == ""
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def anchors(page: Path) -> set[str]:
    text = _BLOCK.sub("", included(page.read_text(encoding="utf-8")))
    html = markdown(text, extensions=["toc", "tables"])
    return set(re.findall(r' id="([^"]+)"', html))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the checkout, or to a heading in it."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.suffix != ".md" or not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_navigation() -> None:
    """And nothing else is."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(pages_in(config["nav"])) == sorted(page.name for page in DOCS.glob("*.md"))


def pages_in(nav: list[dict[str, Any]]) -> Iterator[str]:
    """The pages of a navigation with groups."""
    for entry in nav:
        for what in entry.values():
            if isinstance(what, str):
                yield what
            else:
                yield from pages_in(what)


def test_api_page_is_up_to_date() -> None:
    """`python scripts/api_page.py` writes it from the docstrings."""
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page()


def test_api_page_is_complete() -> None:
    """Every public name has its heading."""
    import mountkit

    shown = {name for names in api_page.GROUPS.values() for name in names.split()}
    assert shown == set(mountkit.__all__)


def test_every_package_is_described() -> None:
    """And every module beside them, in the table of the page on the architecture."""
    package = ROOT / "mountkit"
    found = {path.parent.name for path in package.glob("*/__init__.py")}
    found |= {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    text = (DOCS / "architecture.md").read_text("utf-8")
    table = text.partition("| package |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == found


def test_every_kind_of_finding_is_explained() -> None:
    """In the table of the page on `check`."""
    text = (DOCS / "explain.md").read_text("utf-8")
    rows = [line.partition("|")[2].partition("|")[0] for line in text.splitlines()]
    shown = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]
    assert sorted(shown) == sorted(get_args(Code))


@pytest.mark.parametrize(
    "benchmark",
    [dispatch, layers, load, proxy, reload, tenants, wsgi],
    ids=["dispatch", "layers", "load", "proxy", "reload", "tenants", "wsgi"],
)
def test_figures_are_those_of_the_run(benchmark: Any) -> None:
    """The page quotes what the benchmark has measured."""
    name = benchmark.__name__.rpartition(".")[2]
    assert benchmark.tables(read(name)) in benchmark.PAGE_OF_DOCS.read_text("utf-8")


def test_pages_fit_a_terminal() -> None:
    """Lines are broken, but for tables and output."""
    for page in PAGES:
        text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
        long = [
            line for line in text.splitlines() if len(line) > 120 and line[:1] not in ("|", "!")
        ]
        assert long == [], page.name


#: The tests that show what a row of the README's table claims, for mountkit and for the others.
ROWS = {
    "The mounted app's lifespan runs": "test_one_line_starts_the_mounts_among_routes",
    "Which mount wins": "test_order",
    "Chosen by header, cookie, query, method, client": "test_conditions_are_in_force",
    "Hosts": "test_pattern",
    "The child's own `url_for` is right": "test_the_childs_urls",
    "Apps that do not know their prefix": "test_the_app_is_named_once",
    "WSGI apps": "test_an_app_that_hangs_has_its_own_threads",
    "Conflicts": "test_equivalent_mounts_are_refused",
    "Why this mount?": "test_explain_agrees_with_resolve",
    "Canary and sticky split": "test_gateway_api_weights",
    "Mounts change while requests are served": "test_hundreds_of_changes_under_traffic",
    "Tenants by host, from a database": "test_a_thousand_tenants",
    "Limits, contained errors and health of one mount": "test_an_error_before_the_answer",
    "Traces and logs name the whole route": "test_the_parents_scope_after_the_call",
}


def test_rows_of_the_readme_are_tested() -> None:
    """Each row has a test, which exists."""
    rows = re.findall(r"^\| \[([^]]+)\]", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert rows == list(ROWS)
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    missing = [name for name in ROWS.values() if f"def {name}(" not in tests]
    assert missing == []


def test_the_home_page_has_the_table_of_the_readme() -> None:
    """The same rows, whose links are right there."""
    readme, home = ((path / name).read_text("utf-8") for path, name in HOMES)
    table = re.search(r"^\|  \| mountkit \|.*?\n\n", readme, re.MULTILINE | re.DOTALL)
    assert table is not None
    assert table[0].replace("](docs/", "](") in home


HOMES = [(ROOT, "README.md"), (DOCS, "index.md")]


def test_scripts_of_the_readme_are_there() -> None:
    """Those that it names can be run."""
    text = (ROOT / "README.md").read_text("utf-8")
    for name in ("scripts/demo", "scripts/saas", "scripts/test"):
        assert f"`{name}`" in text
        assert os.access(ROOT / name, os.X_OK)


@pytest.mark.slow
def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """Each block is a file; pytest runs them in a process of its own, as a reader would."""
    for _, options, text in blocks(TESTING, "python"):
        (tmp_path / options.removeprefix('title="').removesuffix('"')).write_text(text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = len(re.findall(r"^(?:async )?def test_", TESTING.read_text("utf-8"), re.MULTILINE))
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= asked  # type: ignore[index]
