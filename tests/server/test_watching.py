"""Folders that are followed."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import aclosing
from pathlib import Path

import pytest

from mountkit.server import watching


def test_folders_below_others_are_left_out(tmp_path: Path) -> None:
    """And those that are not there."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    files = [tmp_path / "a" / "x.py", tmp_path / "a" / "b" / "y.py", tmp_path / "c" / "z.py"]
    assert watching.folders_of(map(str, files)) == [tmp_path / "a"]


def test_what_is_installed() -> None:
    """The standard library, and all of an environment."""
    assert watching.is_installed(os.__file__)
    assert watching.is_installed(pytest.__file__)
    assert not watching.is_installed(__file__)


def test_a_digest_is_of_contents(tmp_path: Path) -> None:
    """A file that is missing counts as well."""
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    seen = {watching.digest([one, two])}
    (tmp_path / "one").write_text("x")
    seen.add(watching.digest([one, two]))
    (tmp_path / "two").write_text("")
    seen.add(watching.digest([one, two]))
    assert len(seen) == 3
    os.utime(one, (0, 0))
    assert watching.digest([one, two]) in seen


def test_stamps(tmp_path: Path) -> None:
    """0 without a file."""
    (tmp_path / "one").write_text("x")
    os.utime(tmp_path / "one", ns=(5, 7))
    found = watching.stamps([str(tmp_path / "one"), str(tmp_path / "two")])
    assert [*found.values()] == [7, 0]


@pytest.mark.slow
def test_the_system_follows_no_more(tmp_path: Path) -> None:
    """Files are compared now and then, until it does."""

    async def run() -> None:
        watching.check_watching()  # it is imported
        found = watching.batches([tmp_path], are_deep=False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with asyncio.timeout(60), aclosing(found):  # type: ignore[type-var]
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
            try:
                assert await anext(found) == set()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            while not any("new" in path for path in await anext(found)):
                (tmp_path / "new").write_text("x")

    asyncio.run(run())


@pytest.mark.slow
def test_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    """It is followed again, and others meanwhile; without any, it is waited for."""

    async def run() -> None:
        folder, other = tmp_path / "a", tmp_path / "b"
        found = watching.batches([folder, other], are_deep=False)
        async with asyncio.timeout(60), aclosing(found):  # type: ignore[type-var]
            following = asyncio.ensure_future(anext(found))
            await asyncio.sleep(0.1)
            other.mkdir()
            await following
            folder.mkdir()
            while not any("new" in path for path in await anext(found)):
                (folder / "new").write_text("x")

    asyncio.run(run())
