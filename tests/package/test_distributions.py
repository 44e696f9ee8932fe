"""What is published: the sdist, the wheel, and what PyPI shows of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path

import pytest
from readme_renderer import markdown

import mountkit

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FILES = f"https://github.com/mountkit/mountkit/blob/v{PROJECT['version']}/"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    return folder


@pytest.fixture(scope="module")
def metadata(built: Path) -> Message:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return Parser().parsestr(archive.read(name).decode("utf-8"))


class Links(HTMLParser):
    """Where the links and pictures of a page lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "srcset")]


@pytest.fixture(scope="module")
def links(metadata: Message) -> list[str]:
    """Of the page that PyPI makes of the long description."""
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(metadata.get_payload())
    assert page is not None
    return Links(page).found


@pytest.mark.slow
def test_no_link_on_pypi_is_relative(links: list[str]) -> None:
    """There is no repository around it."""
    assert len(links) > 30
    assert [link for link in links if not link.startswith(("https://", "http://", "#"))] == []


@pytest.mark.slow
def test_links_on_pypi_lead_to_files_and_headings(links: list[str]) -> None:
    """Those of the very release."""
    for link in links:
        if not link.startswith(FILES):
            continue
        path, _, anchor = link.removeprefix(FILES).partition("#")
        text = (ROOT / path).read_text("utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
        }
        assert anchor in {"", *anchors}, link


def test_only_links_differ_from_the_readme(metadata: Message) -> None:
    """Code blocks above all are as they were."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert metadata.get_payload().replace(FILES, "").strip() == text.strip()


def test_the_version_is_said_once(metadata: Message) -> None:
    """In `pyproject.toml`; `mountkit.__version__` is that of the installed package."""
    assert metadata["Version"] == PROJECT["version"] == mountkit.__version__


def test_the_version_costs_nothing_on_import() -> None:
    """It is looked up when it is asked for, and kept."""
    code = (
        "import mountkit as m; print('__version__' in vars(m), m.__version__ in vars(m).values())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("label", ["Documentation", "Source", "Changelog", "Issues", "Security"])
def test_project_urls(metadata: Message, label: str) -> None:
    """PyPI shows them at the side."""
    urls = dict(text.split(", ") for text in metadata.get_all("Project-URL", []))
    assert urls[label].startswith("https://github.com/mountkit/mountkit")


def test_classifiers_name_the_versions_that_scripts_run(metadata: Message) -> None:
    """3.11 is the one of `scripts/test`."""
    found = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier", [])))
    assert PROJECT["requires-python"] == f">={found[0]}"
    assert f"versions=({' '.join(found[1:])})" in (ROOT / "scripts/pythons").read_text("utf-8")


def test_the_lowest_versions_are_those_of_the_project() -> None:
    """`scripts/lowest` pins each of what mountkit and its extras require."""
    shown = subprocess.run(
        ["scripts/lowest", "--pins"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    required = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    assert shown == [re.sub(r"\[.*\]", "", text).replace(">=", "==") for text in required]


def test_the_wheel_has_the_package_only(built: Path) -> None:
    """With the mark that it is typed."""
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"mountkit"}
    assert "mountkit/py.typed" in names


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, elsewhere."""
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path_factory.mktemp("sdist"), filter="data")
        return Path(
            tmp_path_factory.getbasetemp(), "sdist0", archive.getnames()[0].partition("/")[0]
        )


def test_the_sdist_has_all_of_the_repository(unpacked: Path) -> None:
    """So that whoever packages mountkit can run its tests and build its docs."""
    listed = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if listed.returncode:
        pytest.skip("this is no checkout")
    missing = [name for name in listed.stdout.splitlines() if not (unpacked / name).exists()]
    assert missing == []


@pytest.mark.slow
def test_tests_run_in_the_sdist(unpacked: Path) -> None:
    """A share of them, without the repository."""
    environ = {"PYTHONPATH": str(unpacked), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=unpacked, env=environ
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    here = "import mountkit; print(mountkit.__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", here],
        capture_output=True,
        text=True,
        check=True,
        env=environ,
        cwd=unpacked,
    )
    assert shown.stdout.startswith(str(unpacked))
    assert " passed" in run(
        "tests/test_structure.py", "tests/test_urls.py", "tests/cli/test_finding.py"
    )
