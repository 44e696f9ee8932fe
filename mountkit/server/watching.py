"""What changes in folders. Files are compared by their content: editors rename, ConfigMaps swap
links, and both remove a file for a moment."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from mountkit.logs import serve as logger
from mountkit.server.failures import MISUSED, ServeError

#: Milliseconds after which files are compared although nothing was reported, as on NFS.
_AT_LEAST = 2000
_RETRY = 1.0  # seconds
_LIBRARIES = {sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")}
_INSTALLED = tuple(f"{one}/" for one in (*_LIBRARIES, sys.prefix))


class Watch:
    """Follows the files of a site, and its code if the command says so.

    Args:
        look: what the files say now, to be compared; `None` if the main one is gone.
        wish: called when something has changed, with whether it is code.

    Attributes:
        seen: what they said when they were last read.
    """

    def __init__(self, look: Callable[[], object], wish: Callable[[bool], None]) -> None:
        self.seen: object = None
        self._look = look
        self._wish = wish
        self._folders: Sequence[Path] = ()
        self._stamps: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def follow(self, folders: Sequence[Path], modules: Mapping[str, int] | None = None) -> None:
        """Follow these from now on.

        Args:
            modules: files of code, and when they were changed; `None`: code is not followed.
        """
        if modules is not None:
            self._stamps |= modules
            folders = [*folders_of(self._stamps), *folders]
        if folders != self._folders:
            self.stop()
            self._folders = folders
            if folders:
                self._task = asyncio.create_task(self._run(folders, modules is not None))

    def stop(self) -> None:
        """Follow nothing."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, folders: Sequence[Path], has_code: bool) -> None:
        async for paths in batches(folders, are_deep=has_code):
            is_code = has_code and await asyncio.to_thread(self._is_new, paths)
            now = await asyncio.to_thread(self._look)
            if is_code or now not in (None, self.seen):
                logger.info("%s has changed.", "Code" if is_code else "The file")
                self._wish(is_code)

    def _is_new(self, paths: set[str]) -> bool:
        """Whether code has changed: of modules that are imported, also if nothing was reported."""
        before, self._stamps = self._stamps, stamps(self._stamps)
        return before != self._stamps or any(path.endswith(".py") for path in paths)


def check_watching() -> None:
    """Raises:
    ServeError: watchfiles is not installed.
    """
    try:
        import_module("watchfiles")
    except ImportError as exc:
        raise ServeError(
            "To watch files needs watchfiles, which is not installed; run pip install "
            "'mountkit[serve]'.",
            MISUSED,
        ) from exc


async def batches(folders: Sequence[Path], *, are_deep: bool) -> AsyncIterator[set[str]]:
    """The paths that have changed; an empty set now and then.

    Args:
        are_deep: with all folders below them, save `.git`, `.venv`, `node_modules` and the like.
    """
    from watchfiles import DefaultFilter, awatch

    while True:
        there = [folder for folder in folders if folder.is_dir()]
        try:
            found = awatch(
                *there,
                watch_filter=DefaultFilter() if are_deep else None,
                recursive=are_deep,
                yield_on_timeout=True,
                rust_timeout=_AT_LEAST,
            )
            async with aclosing(found):
                async for changes in found:
                    yield {path for _, path in changes}
                    if any(folder.is_dir() for folder in folders if folder not in there):
                        break  # one is back
        except (OSError, RuntimeError):  # one has just gone, or the system follows too many
            there = []
        yield set()
        await asyncio.sleep(0 if there else _RETRY)


def folders_of(files: Iterable[str]) -> list[Path]:
    """Their folders; those below others are left out."""
    folders = {Path(file).parent for file in files}
    folders = {one for one in folders if one.is_dir()}
    return sorted(one for one in folders if folders.isdisjoint(one.parents))


def stamps(files: Iterable[str]) -> dict[str, int]:
    """When each was changed, in nanoseconds; 0 if it is not there."""
    found = {}
    for file in files:
        try:
            found[file] = os.stat(file).st_mtime_ns
        except OSError:
            found[file] = 0
    return found


def is_installed(file: str) -> bool:
    """Whether it is of the standard library, or of an environment."""
    return file.startswith(_INSTALLED)


def digest(paths: Iterable[str]) -> str:
    """Of the contents of files; one that is missing counts as empty."""
    found = sha256()
    for path in paths:
        try:
            found.update(sha256(Path(path).read_bytes()).digest())
        except OSError:
            found.update(b"\0")
    return found.hexdigest()
